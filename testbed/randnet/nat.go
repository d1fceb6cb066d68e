package randnet

import (
	"github.com/weft-sdn/weft/topology"
)

// translations adds pools, and has routers translate some of what they forward.
func (w *World) translations() {
	var pools []string
	for range 2 {
		s := new(topology.PoolSpec)
		for range w.rng.IntN(5) {
			s.Members = append(s.Members, topology.MemberSpec{
				Address: w.addr(w.rng.IntN(2) == 0), Port: uint16(w.rng.IntN(2) * 8080), Weight: uint8(w.rng.IntN(3)), Drain: w.rng.IntN(4) == 0,
			})
		}
		pools = append(pools, w.add(topology.KindPool, s).Metadata.Name)
	}
	for _, o := range w.objects {
		s, ok := o.Spec.(*topology.RouterSpec)
		if !ok || w.rng.IntN(3) == 0 {
			continue
		}
		s.Filters.Ingress = w.translating("dnat", pools)
		s.Filters.Egress = w.translating("snat", pools)
	}
}

// translating adds a chain with rules of an action, among others, and returns its name; now and then "".
func (w *World) translating(action string, pools []string) string {
	s := &topology.ChainSpec{Default: []string{"", "accept"}[w.rng.IntN(2)]}
	for range w.rng.IntN(5) {
		s.Rules = append(s.Rules, w.natRule(action, pools))
	}
	if len(s.Rules) == 0 {
		return ""
	}
	return w.add(topology.KindChain, s).Metadata.Name
}

// natRule draws a rule that translates, or, now and then, one that accepts or drops.
func (w *World) natRule(action string, pools []string) topology.RuleSpec {
	v6 := w.rng.IntN(2) == 0
	r := topology.RuleSpec{Action: action, Then: []string{"", "accept", "return"}[w.rng.IntN(3)]}
	if w.rng.IntN(3) > 0 {
		r.Match.Dst = []topology.AddrSpec{{Prefix: w.prefix(v6)}}
	} else {
		r.Not.Src = []topology.AddrSpec{{Prefix: w.prefix(v6)}}
	}
	switch k := w.rng.IntN(6); {
	case k == 0:
		r.Action, r.Then = []string{"accept", "drop"}[w.rng.IntN(2)], ""
		return r
	case k == 1 && action == "dnat":
		r.NAT = &topology.NATSpec{Pool: pools[w.rng.IntN(len(pools))]}
		return r
	case k <= 2 && action == "snat":
		r.Action = "masquerade"
		return r
	}
	r.NAT = new(topology.NATSpec)
	for _, v6 := range []bool{false, true} {
		if w.rng.IntN(4) == 0 && len(r.NAT.Addresses) > 0 {
			continue
		}
		a := topology.AddrRange{First: w.addr(v6)}
		a.Last = a.First
		for range w.rng.IntN(4) {
			a.Last = a.Last.Next()
		}
		r.NAT.Addresses = append(r.NAT.Addresses, a)
	}
	if w.rng.IntN(3) == 0 {
		r.NAT.Ports = &topology.PortRange{First: 8000, Last: 8000 + uint16(w.rng.IntN(100))}
	}
	return r
}
