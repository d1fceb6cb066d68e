package randnet

import (
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Translate has some devices and vports that have no chains yet translate prefixes by static rules, or ask for the states of connections. From then on some
// packets are ICMP, errors most of them, and some are to groups.
func (w *World) Translate() {
	chain := func(action string) string {
		s := new(topology.ChainSpec)
		for range 1 + w.rng.IntN(2) {
			s.Rules = append(s.Rules, w.static(action))
		}
		if w.rng.IntN(3) == 0 {
			states := [][]topology.ConnState{{topology.ConnNew}, {topology.ConnEstablished, topology.ConnRelated}}[w.rng.IntN(2)]
			s.Rules = append(s.Rules, topology.RuleSpec{Match: topology.MatchSpec{States: states}, Action: []string{"accept", "drop"}[w.rng.IntN(2)]})
		}
		return w.add(topology.KindChain, s).Metadata.Name
	}
	if !slices.ContainsFunc(w.objects, func(o *topology.Object) bool { return o.Kind == topology.KindChain }) {
		w.chains()
	}
	devices := w.objects
	chains := [2][2]string{{chain("dnat"), chain("snat")}, {chain("dnat"), chain("snat")}}
	for _, o := range devices {
		var f *topology.FilterSpec
		switch s := o.Spec.(type) {
		case *topology.BridgeSpec:
			f = &s.Filters
		case *topology.RouterSpec:
			f = &s.Filters
		case *topology.VPortSpec:
			f = &s.Filters
		}
		if c := chains[w.rng.IntN(2)]; f != nil && *f == (topology.FilterSpec{}) && w.rng.IntN(3) == 0 {
			*f = [...]topology.FilterSpec{{Ingress: c[0]}, {Egress: c[1]}, {Ingress: c[0], Egress: c[1]}}[w.rng.IntN(3)]
		}
	}
	w.globals()
	w.settleUses()
	w.translates = true
	w.Snap, _ = new(topology.Snapshot).With(topology.Changes{Put: w.objects})
	w.Snap, _ = w.Snap.With(w.learnt)
}

// translates reports whether a chain is one of Translate's.
func translates(o *topology.Object) bool {
	return slices.ContainsFunc(o.Spec.(*topology.ChainSpec).Rules, func(r topology.RuleSpec) bool { return r.NAT != nil })
}

// static draws a rule that gives the addresses of a prefix those of another.
func (w *World) static(action string) topology.RuleSpec {
	v6 := w.rng.IntN(2) == 0
	base := 32
	if v6 {
		base = 128
	}
	bits := base - 4 - w.rng.IntN(12)
	from, _ := w.addr(v6).Prefix(bits)
	to, _ := w.addr(v6).Prefix(bits)
	return topology.RuleSpec{Action: action, NAT: &topology.NATSpec{From: topology.AddrSpec{Prefix: from}, To: topology.AddrSpec{Prefix: to}}}
}

// unusual makes some packets ICMP, or to a group.
func (w *World) unusual(k *flow.Key) {
	v6 := k.Is6()
	switch w.rng.IntN(10) {
	case 0, 1:
		k.Proto = packet.ProtoICMP
		types := [...]uint8{packet.ICMPUnreachable, packet.ICMPTimeExceeded, packet.ICMPEchoRequest, packet.ICMPEchoReply}
		if v6 {
			k.Proto = packet.ProtoICMPv6
			types = [...]uint8{packet.ICMPv6Unreachable, packet.ICMPv6TimeExceed, packet.ICMPv6EchoRequest, packet.ICMPv6EchoReply}
		}
		k.SrcPort = uint16(types[w.rng.IntN(len(types))]) << 8
	case 2:
		group := netip.AddrFrom4([4]byte{224, 0, byte(w.rng.IntN(2)), 9})
		if v6 {
			group = netip.AddrFrom16([16]byte{0xff, 5, 15: 9})
		}
		k.Dst = flow.AddrOf(group)
	}
}

// appendICMP appends an ICMP message. An error is one about a datagram that the packet's destination sent to its source.
func appendICMP(b []byte, k *flow.Key) []byte {
	b = append(b, byte(k.SrcPort>>8), byte(k.SrcPort), 0, 0, byte(k.DstPort>>8), byte(k.DstPort), 0, 1)
	if k.Is6() {
		b = append(b, 0x60, 0, 0, 0, 0, 8, packet.ProtoUDP, 64)
		b = append(append(b, k.Dst[:]...), k.Src[:]...)
	} else {
		b = append(b, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, packet.ProtoUDP, 0, 0)
		b = append(append(b, k.Dst[12:]...), k.Src[12:]...)
	}
	return append(b, 0, 9, 0, 9, 0, 8, 0, 0)
}
