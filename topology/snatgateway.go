package topology

import (
	"fmt"
	"slices"
)

// SNATGatewaySpec is outside addresses of a router that hosts behind it share (N1): they begin connections, and get answers.
type SNATGatewaySpec struct {
	Router    string      `json:"router"`              // that translates
	Outside   []string    `json:"outside"`             // ports of the router that lead outside
	Sources   []AddrSpec  `json:"sources"`             // of the hosts. What a FloatingIP translates is not translated again
	Addresses []AddrRange `json:"addresses,omitempty"` // outside: one of them for each connection; none: that of the port by which it leaves
	WhenAway  string      `json:"whenAway,omitempty"`  // what becomes of new connections while the database does not answer: hold (default) or local, as in rules of chains
}

func (*SNATGatewaySpec) kind() Kind { return KindSNATGateway }

// maxOutside is how many addresses of a range are looked at.
const maxOutside = 256

// hides makes the chain of a SNATGateway.
func (m *made) hides(o *Object, s *SNATGatewaySpec) {
	m.instead = true
	rule := RuleSpec{Name: "hide", Match: MatchSpec{OutPorts: s.Outside, Src: s.Sources}, Action: "masquerade", WhenAway: s.WhenAway}
	if len(s.Addresses) > 0 {
		rule.Action, rule.NAT = "snat", &NATSpec{Addresses: s.Addresses}
	}
	m.add(o, &ChainSpec{Rules: []RuleSpec{rule}}, "out")
}

// snatGateway checks how hosts are hidden.
func (v *validator) snatGateway(o *Object, s *SNATGatewaySpec) {
	v.gateway(o, s.Router, s.Outside)
	v.whenAway(o, "spec", s.WhenAway)
	if len(s.Sources) == 0 {
		v.fail(o, "spec.sources", "", "is missing", "give the prefixes of the hosts to hide")
	}
	for i, a := range s.Sources {
		field := fmt.Sprintf("spec.sources[%d]", i)
		v.prefix(o, field, a.Prefix)
		if len(s.Addresses) > 0 && !slices.ContainsFunc(s.Addresses, func(r AddrRange) bool { return r.First.Is4() == a.Addr().Is4() }) {
			v.fail(o, field, a.String(), "is of an IP version of which there is no outside address", "add one to spec.addresses, or leave this out")
		}
	}
	for i, r := range s.Addresses {
		field := fmt.Sprintf("spec.addresses[%d]", i)
		if !isHost(r.First) || !isHost(r.Last) {
			v.fail(o, field, r.String(), "is not addresses of hosts", "use some such as 192.0.2.1-192.0.2.9 or 2001:db8::1")
			continue
		}
		for a, n := r.First, 0; a.IsValid() && a.Compare(r.Last) <= 0 && n < maxOutside; a, n = a.Next(), n+1 {
			if !v.answered(o, field, o.refTo(KindRouter, s.Router), a) {
				break
			}
		}
	}
}
