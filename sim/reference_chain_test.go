package sim

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/randnet"
	"github.com/weft-sdn/weft/topology"
)

// chains runs chains over a packet as they are written, one rule after the other; out 0: not known yet. Ends: the packet goes no further.
func (m *model) chains(s *sent, out flow.VPortID, names ...string) []end {
	for _, name := range names {
		if name == "" {
			continue
		}
		switch action, ends := m.chain(s, out, name); {
		case ends != nil:
			return ends
		case action == "drop":
			return dropped(DropFiltered)
		case action == "reject":
			return rejected(DropFiltered)
		}
	}
	return nil
}

func (m *model) spec(kind topology.Kind, name string) topology.Spec {
	for _, o := range m.byID {
		if o.Kind == kind && o.Metadata.Name == name {
			return o.Spec
		}
	}
	return nil
}

// chain returns what a chain decides: accept, drop, reject, or return.
func (m *model) chain(s *sent, out flow.VPortID, name string) (string, []end) {
	c := m.spec(topology.KindChain, name).(*topology.ChainSpec)
	rules := slices.Clone(c.Rules)
	slices.SortStableFunc(rules, func(a, b topology.RuleSpec) int { return cmp.Compare(a.Priority, b.Priority) })
	for i := range rules {
		r := &rules[i]
		if !m.meets(s, out, &r.Match, &r.Not) {
			continue
		}
		switch r.Action {
		case "continue":
		case "mark":
			s.mark = r.Mark
		case "jump":
			if action, ends := m.chain(s, out, r.Chain); ends != nil || action != "return" {
				return action, ends
			}
		case "snat", "masquerade", "dnat":
			if ends := m.translate(s, out, r); ends != nil {
				return "", ends
			}
			if r.Then != "" && r.Then != "continue" {
				return r.Then, nil
			}
		default:
			return r.Action, nil
		}
	}
	return cmp.Or(c.Default, "return"), nil
}

// translate gives a packet the address and port that were drawn, if the rule allows them.
func (m *model) translate(s *sent, out flow.VPortID, r *topology.RuleSpec) []end {
	if !s.src.IsValid() || s.to.IsMulticast() {
		return nil
	}
	var addrs []topology.AddrRange
	ports := topology.PortRange{First: 1, Last: 65535}
	switch {
	case r.Action == "masquerade":
		p := m.port(out)
		for _, x := range p.Addresses {
			a := x.Addr()
			if p.SingleHost { // the address is the host's
				a = x.Masked().Addr().Next()
			}
			addrs = append(addrs, topology.AddrRange{First: a, Last: a})
		}
	case r.NAT.Pool != "":
		return m.balance(s, m.spec(topology.KindPool, r.NAT.Pool).(*topology.PoolSpec))
	default:
		addrs = r.NAT.Addresses
		if r.NAT.Ports != nil {
			ports = *r.NAT.Ports
		}
	}
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a topology.AddrRange) bool { return a.First.Is4() != s.src.Is4() })
	if len(addrs) == 0 {
		return nil
	}
	at, port := &s.src, &s.sport
	if r.Action == "dnat" {
		at, port = &s.dst, &s.dport
	}
	a, p, ok := s.take(r.Action == "dnat")
	switch {
	case !ok:
		return dropped(DropNAT)
	case !slices.ContainsFunc(addrs, func(x topology.AddrRange) bool { return x.First.Compare(a) <= 0 && a.Compare(x.Last) <= 0 }):
		return wrong
	case !translatesPorts(s) || *port == 0:
		if p != *port {
			return wrong
		}
	case r.Action == "dnat" && r.NAT.Ports == nil:
		if p != *port {
			return wrong
		}
	case r.Action == "dnat":
		if p < ports.First || p > ports.Last {
			return wrong
		}
	default: // kept if the rule gives it. Those from 10240 to 32767 are leased in blocks: 32768 further on instead, if the rule gives that
		has := func(p uint16) bool { return ports.First <= p && p <= ports.Last }
		leased := p >= 10240 && p <= 32767
		switch {
		case !has(p), leased && has(p+32768):
			return wrong
		case !has(*port): // any other
		case *port >= 10240 && *port <= 32767 && has(*port+32768):
			if p != *port+32768 {
				return wrong
			}
		case p != *port:
			return wrong
		}
	}
	*at, *port = a, p
	return nil
}

// balance gives a packet the member that was drawn, if it may be that.
func (m *model) balance(s *sent, pool *topology.PoolSpec) []end {
	own := slices.DeleteFunc(slices.Clone(pool.Members), func(x topology.MemberSpec) bool { return x.Address.Is4() != s.src.Is4() })
	open := slices.DeleteFunc(slices.Clone(own), func(x topology.MemberSpec) bool { return x.Drain })
	switch {
	case len(own) == 0 && len(pool.Members) > 0:
		return nil
	case len(open) == 0:
		return rejected(DropNoMember)
	}
	a, p, ok := s.take(true)
	if !ok {
		return dropped(DropNAT)
	}
	if !slices.ContainsFunc(open, func(x topology.MemberSpec) bool {
		port := s.dport
		if x.Port != 0 && translatesPorts(s) && port != 0 {
			port = x.Port
		}
		return x.Address == a && port == p
	}) {
		return wrong
	}
	s.dst, s.dport = a, p
	return nil
}

// wrong is an end that no packet has: what was drawn is not allowed.
var wrong = []end{{ttl: -1}}

func translatesPorts(s *sent) bool {
	return s.hasPorts && (s.proto == packet.ProtoTCP || s.proto == packet.ProtoUDP)
}

// take returns the next address and port that were drawn. False: there are no more, which may be as there is room for four.
func (s *sent) take(dst bool) (netip.Addr, uint16, bool) {
	if s.taken == len(s.steps) {
		return netip.Addr{}, 0, false
	}
	et := uint16(packet.EtherTypeIPv4)
	if s.src.Is6() {
		et = packet.EtherTypeIPv6
	}
	x := s.steps[s.taken]
	s.taken++
	if x.Dst != dst {
		return netip.Addr{}, 0, true
	}
	port := x.Port
	return x.Addr.Netip(et), port, true
}

// meets reads the conditions that randnet draws.
func (m *model) meets(s *sent, out flow.VPortID, match, not *topology.MatchSpec) bool {
	name := func(p flow.VPortID) string {
		if p == 0 {
			return ""
		}
		return m.byID[uint32(p)].Metadata.Name
	}
	for _, side := range []struct {
		*topology.MatchSpec
		want bool
	}{{match, true}, {not, false}} {
		in := func(list []topology.AddrSpec, groups []string, a netip.Addr) bool {
			for _, g := range groups {
				list = append(slices.Clone(list), m.spec(topology.KindAddressGroup, g).(*topology.AddressGroupSpec).Addresses...)
			}
			return slices.ContainsFunc(list, func(x topology.AddrSpec) bool { return x.Contains(a) })
		}
		members := func(list, groups []string) []string {
			for _, g := range groups {
				list = append(slices.Clone(list), m.spec(topology.KindPortGroup, g).(*topology.PortGroupSpec).Ports...)
			}
			return list
		}
		port := func(list []topology.PortRange, n uint16) bool {
			return s.hasPorts && slices.ContainsFunc(list, func(r topology.PortRange) bool { return r.First <= n && n <= r.Last })
		}
		for _, c := range []struct{ given, met bool }{
			{len(side.Src)+len(side.SrcGroups) > 0, in(side.Src, side.SrcGroups, s.src)},
			{len(side.Dst)+len(side.DstGroups) > 0, in(side.Dst, side.DstGroups, s.dst)},
			{len(side.Protocols) > 0, s.src.IsValid() && slices.Contains(side.Protocols, topology.Protocol(s.proto))},
			{len(side.SrcPorts) > 0, port(side.SrcPorts, s.sport)},
			{len(side.DstPorts) > 0, port(side.DstPorts, s.dport)},
			{len(side.Marks) > 0, slices.Contains(side.Marks, s.mark)},
			{len(side.SrcMACs) > 0, slices.Contains(side.SrcMACs, s.from)},
			{len(side.InPorts)+len(side.InPortGroups) > 0, slices.Contains(members(side.InPorts, side.InPortGroups), name(s.in))},
			{len(side.OutPorts)+len(side.OutPortGroups) > 0, out != 0 && slices.Contains(members(side.OutPorts, side.OutPortGroups), name(out))},
		} {
			if c.given && c.met != side.want {
				return false
			}
		}
	}
	return true
}

// answer checks a connection that is to be stored: its next packets are decided as the first one was, and what answers to it, if it gets back by the devices
// that know of the connection, comes to its sender with what the first packet had, turned round.
func (m *model) answer(t *testing.T, sim *Simulator, conns table, first randnet.Shot, r *Result, got end, seen map[string]int) {
	t.Helper()
	var f packet.Frame
	before := r.Outcomes[0]
	zone := r.Track.New.Forward.Zone
	conns.add(r.Track.New)
	if err := packet.Parse(first.Frame(nil), &f); err != nil {
		t.Fatal(err)
	}
	s := sentOf(&f, first.Key.Ingress)
	sim.Simulate(m.w.Snap, &f, s.in, 0, r)
	if len(r.Outcomes) != 1 || r.Outcomes[0] != before || r.Track.Commit {
		explain(t, m.w, sim, first)
		t.Fatalf("the second packet: %+v, the first: %+v", r.Outcomes, before)
	}
	if m.w.Snap.IsGroup(before.Dest) || f.Frag == packet.FragLater {
		return
	}
	back := randnet.Shot{TTL: 64, Len: 60}
	back.Key = flow.Key{
		Ingress: got.out, SrcMAC: got.to, DstMAC: got.from, EtherType: f.EtherType, Src: flow.AddrOf(got.dst), Dst: flow.AddrOf(got.src), Proto: f.Proto,
		SrcPort: got.dport, DstPort: got.sport,
	}
	if packet.Parse(back.Frame(nil), &f) != nil || !f.Src().IsUnicast() {
		return
	}
	sim.Simulate(m.w.Snap, &f, got.out, 0, r)
	if len(r.Outcomes) != 1 || r.Outcomes[0].Verdict != Forward || m.w.Snap.IsGroup(r.Outcomes[0].Dest) || !r.Track.Reply {
		seen["unanswered"]++ // or it goes another way, by no device that knows of the connection
		return
	}
	seen["answered"]++
	tell(seen, "translated back", r.Outcomes[0].Rewrite.Translate)
	b := sentOf(&f, got.out)
	e := endOf(r, &b)
	if uint32(m.w.Snap.Zone(m.w.Snap.VPort(e.out).Device)) != zone || e.src != s.dst || e.dst != s.src || e.sport != s.dport || e.dport != s.sport {
		explain(t, m.w, sim, first, back)
		t.Fatalf("the answer to %+v comes back as %+v", s, e)
	}
}
