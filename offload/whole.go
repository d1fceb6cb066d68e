package offload

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// WholeFlow is what an entry of one flow alone tells of it: all that the key has, but for who sent the packet that it was decided for.
type WholeFlow struct {
	VPort   uint16       // by which its packets come in: the local number
	Key     flow.Key     // without Ingress and SrcMAC
	Sources []packet.MAC // known at the vport; of packets without, the source may be any
}

// WholeOf reads an entry of flow_exact_v4 or flow_exact_v6 that forwards, with the numbers of its target; false: it is another, or refers to what is not there.
func (t *Tables) WholeOf(e *p4rt.Entry, n *Numbers) (f WholeFlow, ok bool) {
	v4 := e.Table == t.exact4.Table
	if !v4 && e.Table != t.exact6.Table || e.Action == nil || e.Action != t.exactTable(v4).forward() {
		return f, false
	}
	at, ok := n.scopeOf[uint16(e.Match[0].Value.Lo)]
	f.VPort, f.Sources = at.vport, n.sources[at.vport]
	f.Key = flow.Key{
		DstMAC: at.mac, EtherType: packet.EtherTypeIPv6, Src: addrOf(e.Match[1].Value, v4), Dst: addrOf(e.Match[2].Value, v4), Proto: uint8(e.Match[3].Value.Lo),
		SrcPort: uint16(e.Match[4].Value.Lo), DstPort: uint16(e.Match[5].Value.Lo), Frag: uint8(e.Match[6].Value.Lo),
	}
	if v4 {
		f.Key.EtherType = packet.EtherTypeIPv4
	}
	return f, ok
}

func (t *Tables) exactTable(v4 bool) *table {
	if v4 {
		return &t.exact4
	}
	return &t.exact6
}

// forward is the action of a flow table that forwards.
func (t *table) forward() *p4rt.Action {
	return t.actions["ingress.forward_"+t.Name[len("ingress."):]]
}
