package offload

import (
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// Numbers of p4src/shared/ids.p4.
const (
	CPUPort       = 510
	FirstUnderlay = 256 // underlay ports are 256–509, access ports 0–255
	LastUnderlay  = 509
	Buckets       = 16 // paths of a peer are spread over so many, by flow hash (E12)
	peerReplica   = 0x8000
	copySession   = 1
)

// Tunnel is an encapsulation.
type Tunnel uint8

const (
	VXLAN  Tunnel = 1 // RFC 7348
	GRE    Tunnel = 2 // RFC 2784 with a key, RFC 2890
	Geneve Tunnel = 3 // RFC 8926
)

func (k Tunnel) String() string {
	switch k {
	case VXLAN:
		return "vxlan"
	case GRE:
		return "gre"
	case Geneve:
		return "geneve"
	}
	return "none"
}

// Overhead returns the bytes of outer IP packet around a tenant's IP packet: what an underlay's MTU loses.
func (k Tunnel) Overhead(v6 bool) int {
	n := 20 + 14
	if v6 {
		n = 40 + 14
	}
	if k == GRE {
		return n + 8
	}
	return n + 16
}

// Copies is the clone session by which the pipeline copies to the engine what goes on (flow.ReasonTrackedEnd).
func (t *Tables) Copies(cpu uint16) *p4rt.CloneSession {
	return &p4rt.CloneSession{ID: copySession, Replicas: []p4rt.Replica{{Port: uint32(cpu)}}}
}

// Attachment is where a local vport hangs: a switch port, and the VLAN that selects the vport there (0: untagged).
type Attachment struct {
	Port uint16
	VLAN uint16
}

func (a Attachment) tagged() bool { return a.VLAN != 0 }

func u(v uint64) p4rt.Value { return p4rt.U64(v) }

// PortMap are the entries that give frames from an attachment to a local vport. Untagged ones include priority-tagged frames (IEEE 802.1Q, VID 0).
func (t *Tables) PortMap(a Attachment, vport uint16) []*p4rt.Entry {
	one := func(tagged bool) *p4rt.Entry {
		return t.portMap.entry("ingress.set_vport", []p4rt.Value{u(uint64(a.Port)), u(uint64(a.VLAN)), p4rt.Bool(tagged)}, u(uint64(vport)))
	}
	if a.tagged() {
		return []*p4rt.Entry{one(true)}
	}
	return []*p4rt.Entry{one(false), one(true)}
}

// KeepTags says that frames which come in at a port with a tag of no vport are those of its untagged vport.
func (t *Tables) KeepTags(port, vport uint16) *p4rt.Entry {
	return t.portTags.entry("ingress.keep_tag", []p4rt.Value{u(uint64(port))}, u(uint64(vport)))
}

// PuntRate bounds the packets a second that a local vport may have punted to the engine; what is more is dropped, counted.
func (t *Tables) PuntRate(vport uint16, rate int64) *p4rt.MeterCell {
	return frames(t.punts, vport, rate)
}

// FloodRate bounds the frames to group addresses, and flooded ones, that a local vport may send a second, and at once; 0: it may send any number.
func (t *Tables) FloodRate(vport uint16, rate int64) *p4rt.MeterCell {
	return frames(t.floods, vport, rate)
}

// frames is the cell of a local vport in a meter of frames.
func frames(m *p4rt.MeterArray, vport uint16, rate int64) *p4rt.MeterCell {
	c := &p4rt.MeterCell{Array: m, Index: int64(vport)}
	if rate > 0 {
		c.Config = &p4rt.MeterConfig{CIR: rate, CBurst: rate, PIR: rate, PBurst: rate}
	}
	return c
}

// Terminate accepts tunnels of a kind to an own address.
func (t *Tables) Terminate(kind Tunnel, vtep netip.Addr) *p4rt.Entry {
	table := &t.tunnelTerm6
	if vtep.Is4() {
		table = &t.tunnelTerm4
	}
	return table.entry("ingress.terminate", []p4rt.Value{u(uint64(kind)), p4rt.Addr(vtep)})
}

// KnownPeer accepts tunnels from an address.
func (t *Tables) KnownPeer(src netip.Addr) *p4rt.Entry {
	table := &t.peerList6
	if src.Is4() {
		table = &t.peerList4
	}
	return table.entry("ingress.known_peer", []p4rt.Value{p4rt.Addr(src)})
}

// KnownSource notes a source MAC at a vport, so that its frames are not punted for learning.
func (t *Tables) KnownSource(vport uint16, mac packet.MAC) *p4rt.Entry {
	return t.srcClass.entry("ingress.known_source", []p4rt.Value{u(uint64(vport)), p4rt.MAC(mac)})
}

// Scope classifies a destination MAC at a vport.
func (t *Tables) Scope(vport uint16, mac packet.MAC, scope uint16) *p4rt.Entry {
	return t.dstClass.entry("ingress.set_scope", []p4rt.Value{u(uint64(vport)), p4rt.MAC(mac)}, u(uint64(scope)))
}

// rewrite are the two entries of a rewrite id: the MACs with the link whose rate is taken from, and the guard that knows the smallest MTU behind it.
func (t *Tables) rewrite(id uint16, k rewriteKey) []*p4rt.Entry {
	key := []p4rt.Value{u(uint64(id))}
	macs := t.l2Rewrite.entry("egress.set_macs", key, p4rt.MAC(k.src), p4rt.MAC(k.dst), u(uint64(k.link)))
	if k.link != 0 && k.src.IsZero() {
		macs = t.l2Rewrite.entry("egress.keep_macs", key, u(uint64(k.link)))
	}
	return []*p4rt.Entry{macs, t.l2Guard.entry("ingress.set_mtu", key, u(uint64(k.mtu)))}
}

func locationKey(dest flow.Dest, byTunnel bool) []p4rt.Value {
	return []p4rt.Value{u(uint64(dest)), p4rt.Bool(byTunnel)}
}

// Local says that a vport hangs at this edge, for frames from vports and from tunnels alike.
func (t *Tables) Local(dest flow.Dest, a Attachment, vport uint16) []*p4rt.Entry {
	params := []p4rt.Value{u(uint64(a.Port)), u(uint64(vport)), p4rt.Bool(a.tagged()), u(uint64(a.VLAN))}
	return []*p4rt.Entry{
		t.location.entry("ingress.to_port", locationKey(dest, false), params...),
		t.location.entry("ingress.to_port", locationKey(dest, true), params...),
	}
}

// Remote says that a vport hangs at a peer. Moved: frames that still come by tunnel follow it, once.
func (t *Tables) Remote(dest flow.Dest, peer uint16, moved bool) []*p4rt.Entry {
	es := []*p4rt.Entry{t.location.entry("ingress.to_peer", locationKey(dest, false), u(uint64(peer)))}
	if moved {
		es = append(es, t.location.entry("ingress.to_peer", locationKey(dest, true), u(uint64(peer))))
	}
	return es
}

// GuardedDrop is where the drops with guards end.
func (t *Tables) GuardedDrop() *p4rt.Entry {
	return t.location.entry("ingress.location_drop", locationKey(nowhere, false))
}

// Member is a member of a group at this edge.
type Member struct {
	Attachment
	VPort uint16
}

// PathTo is one path to a peer and the underlay port that it leaves by.
type PathTo struct {
	Path uint16
	Port uint16
}

// Group are the entries of a set of vports and its two multicast groups (E10): all copies for frames from vports, local members only for frames from tunnels.
func (t *Tables) Group(dest flow.Dest, all, local uint16, members []Member, peers []PathTo) (groups []*p4rt.MulticastGroup, entries []*p4rt.Entry) {
	here := &p4rt.MulticastGroup{ID: uint32(local)}
	for _, m := range members {
		here.Replicas = append(here.Replicas, p4rt.Replica{Port: uint32(m.Port), Instance: uint32(m.VPort)})
	}
	everywhere := &p4rt.MulticastGroup{ID: uint32(all), Replicas: append([]p4rt.Replica(nil), here.Replicas...)}
	for _, p := range peers {
		everywhere.Replicas = append(everywhere.Replicas, p4rt.Replica{Port: uint32(p.Port), Instance: uint32(peerReplica | p.Path)})
	}
	return []*p4rt.MulticastGroup{here, everywhere}, []*p4rt.Entry{
		t.location.entry("ingress.to_group", locationKey(dest, false), u(uint64(all))),
		t.location.entry("ingress.to_group", locationKey(dest, true), u(uint64(local))),
	}
}

// LocalCopy is what a group's copy to a local vport needs.
func (t *Tables) LocalCopy(a Attachment, vport uint16) *p4rt.Entry {
	return t.replica.entry("egress.local_copy", []p4rt.Value{u(uint64(vport))}, u(uint64(vport)), p4rt.Bool(a.tagged()), u(uint64(a.VLAN)))
}

// PeerCopy is what a group's copy along a path needs.
func (t *Tables) PeerCopy(path uint16) *p4rt.Entry {
	return t.replica.entry("egress.peer_copy", []p4rt.Value{u(uint64(peerReplica | path))}, u(uint64(path)))
}

// Path is one way to a peer: encapsulation, addresses and MACs on the underlay link, and the underlay's MTU in bytes of outer IP packet.
type Path struct {
	Tunnel         Tunnel
	Src, Dst       netip.Addr // own and peer's VTEP, of one family
	SrcMAC, DstMAC packet.MAC
	MTU            uint16
}

// Underlay writes a path.
func (t *Tables) Underlay(id uint16, p Path) *p4rt.Entry {
	action := "egress.encap_v6"
	if p.Src.Is4() {
		action = "egress.encap_v4"
	}
	return t.underlay.entry(action, []p4rt.Value{u(uint64(id))}, u(uint64(p.Tunnel)), p4rt.Addr(p.Src), p4rt.Addr(p.Dst), p4rt.MAC(p.SrcMAC), p4rt.MAC(p.DstMAC), u(uint64(p.MTU)))
}

// Peer spreads a peer's flows over its paths. Buckets go round, so that paths get equal shares but for one bucket.
func (t *Tables) Peer(peer uint16, paths []PathTo) []*p4rt.Entry {
	if len(paths) == 0 {
		return nil
	}
	es := make([]*p4rt.Entry, Buckets)
	for b := range es {
		p := paths[b%len(paths)]
		es[b] = t.peer.entry("ingress.set_path", []p4rt.Value{u(uint64(peer)), u(uint64(b))}, u(uint64(p.Path)), u(uint64(p.Port)))
	}
	return es
}
