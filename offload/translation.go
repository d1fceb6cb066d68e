package offload

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// translationKey is what an entry of egress.nat_v4 or nat_v6 is for. It belongs to one vport, so that it counts in that vport's share.
type translationKey struct {
	vport            uint16
	src, dst         flow.Addr
	srcPort, dstPort uint16
}

// translated reports whether the megaflow needs an entry of nat_v4 or nat_v6.
func (m *Megaflow) translated() bool { return m.Act == Forward && m.Rewrite.Translate }

// whole reports whether the megaflow is of one flow alone, as only an exact entry is: it is translated, or its connection is tracked.
func (m *Megaflow) whole() bool { return m.translated() || m.Act == Forward && m.Tracked }

// natTable is the table of an address family's translations.
func (t *Tables) natTable(v4 bool) *table {
	if v4 {
		return &t.nat4
	}
	return &t.nat6
}

// translation is the entry of a translation id: all four values are written.
func (t *Tables) translation(v4 bool, id uint16, k translationKey) *p4rt.Entry {
	action, etherType := "egress.translate_v6", uint16(packet.EtherTypeIPv6)
	if v4 {
		action, etherType = "egress.translate_v4", packet.EtherTypeIPv4
	}
	return t.natTable(v4).entry(action, []p4rt.Value{u(uint64(id))},
		p4rt.Addr(k.src.Netip(etherType)), p4rt.Addr(k.dst.Netip(etherType)), u(uint64(k.srcPort)), u(uint64(k.dstPort)))
}

// translation is the key and the ids of a megaflow's translation; valid iff translated.
func (p *Placer) translation(m *Megaflow, vport uint16) (translationKey, *IDs[translationKey]) {
	ids := p.nats6
	if m.Key.Is4() {
		ids = p.nats4
	}
	return translationKey{vport, m.Rewrite.Src, m.Rewrite.Dst, m.Rewrite.SrcPort, m.Rewrite.DstPort}, ids
}

// roomToTranslate says why a vport's megaflow can not be translated; nil: it can, or need not.
func (p *Placer) roomToTranslate(m *Megaflow, vport uint16) error {
	if !m.translated() {
		return nil
	}
	k, ids := p.translation(m, vport)
	if _, ok := ids.Lookup(k); ok {
		return nil
	}
	return p.room(vport, p.t.natTable(m.Key.Is4()).Table)
}
