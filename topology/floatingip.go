package topology

import (
	"fmt"
	"net/netip"
	"slices"
)

// FloatingIPSpec is an outside address of one host behind a router (N1): what is sent to it gets to the host, and what the host sends outside comes from it.
type FloatingIPSpec struct {
	Addresses []netip.Addr `json:"addresses"`        // outside, one of each IP version at most; of the same versions the host must have addresses
	VPort     string       `json:"vport"`            // of the host: its first address of the version is what it has inside
	Router    string       `json:"router"`           // that translates
	Outside   []string     `json:"outside"`          // ports of the router that lead outside. Behind the others, the host is reached by the address, too, and sends from its own
	Inside    string       `json:"inside,omitempty"` // port of the router that leads to the host: with it, hosts behind it reach the outside address, too
}

func (*FloatingIPSpec) kind() Kind { return KindFloatingIP }

// floats makes the chains of a FloatingIP, of static translations (docs/connections.md).
func (m *made) floats(o *Object, s *FloatingIPSpec, in world) {
	m.instead = true
	inward, outward := &ChainSpec{}, &ChainSpec{}
	for _, outside := range s.Addresses {
		inside, version := hostAt(in.Get(o.VPortRef(s.VPort)), outside.Is4()), "v6"
		if !inside.IsValid() {
			continue // reported
		}
		if outside.Is4() {
			version = "v4"
		}
		there := &NATSpec{From: hostSpec(outside), To: hostSpec(inside)}
		back := &NATSpec{From: hostSpec(inside), To: hostSpec(outside)}
		inward.Rules = append(inward.Rules, RuleSpec{Name: version, Action: "dnat", NAT: there})
		outward.Rules = append(outward.Rules, RuleSpec{Name: version, Match: MatchSpec{OutPorts: s.Outside}, Action: "snat", NAT: back})
		if s.Inside != "" { // what comes back by the port that it came in by would be answered past the router, but for its source
			turns := MatchSpec{InPorts: []string{s.Inside}, OutPorts: []string{s.Inside}}
			to := turns
			to.Dst = []AddrSpec{hostSpec(inside)}
			outward.Rules = append(outward.Rules,
				RuleSpec{Name: "answer-" + version, Match: turns, Action: "snat", NAT: back},
				RuleSpec{Name: "neighbour-" + version, Match: to, Action: "masquerade"})
		}
	}
	m.add(o, inward, "in")
	m.add(o, outward, "out")
}

// leads reports whether a port is outside of a FloatingIP, or towards its host: what passes there is translated without a connection.
func (s *FloatingIPSpec) leads(o *Object, port Ref) bool {
	is := func(name string) bool { return o.VPortRef(name) == port }
	return slices.ContainsFunc(s.Outside, is) || s.Inside != "" && is(s.Inside)
}

// reaches makes the chain of a router's port behind which FloatingIPs of the router are reached from inside, then its own. Whether what a host sends there is an
// answer from the outside address, or the host's own, only the connection tells. It is the port's: what passes by other ports asks for none.
func (m *made) reaches(o *Object, s *VPortSpec, in world) {
	router, ok := o.DeviceRef()
	if !ok || router.Kind != KindRouter || m.instead {
		return
	}
	c := &ChainSpec{}
	for _, r := range in.attached(router) {
		f := in.Get(r)
		spec, ok := f.Spec.(*FloatingIPSpec)
		if !ok || spec.leads(f, o.Ref()) {
			continue
		}
		for _, outside := range spec.Addresses {
			inside, version := hostAt(in.Get(f.VPortRef(spec.VPort)), outside.Is4()), "v6"
			if !inside.IsValid() {
				continue // reported
			}
			if outside.Is4() {
				version = "v4"
			}
			c.Rules = append(c.Rules, RuleSpec{Name: partName(r.Kind, r.Name, version), Match: MatchSpec{Dst: []AddrSpec{hostSpec(outside)}}, Action: "dnat", NAT: &NATSpec{Addresses: []AddrRange{{inside, inside}}}})
		}
	}
	if len(c.Rules) > 0 {
		m.filters = &FilterSpec{Ingress: m.before(o, c, s.Filters.Ingress, "ingress"), Egress: s.Filters.Egress}
	}
}

// translates makes the chains of a router that FloatingIPs and SNATGateways name: theirs, then its own.
func (m *made) translates(o *Object, s *RouterSpec, in world) {
	inward, outward, any := &ChainSpec{}, &ChainSpec{}, false
	for _, r := range in.attached(o.Ref()) { // FloatingIPs before SNATGateways, as Kinds has them
		switch r.Kind {
		case KindFloatingIP:
			inward.Rules = append(inward.Rules, jumpTo(r, "in"))
			fallthrough
		case KindSNATGateway:
			outward.Rules = append(outward.Rules, jumpTo(r, "out"))
			any = true
		}
	}
	if !any {
		return
	}
	m.filters = &FilterSpec{Ingress: m.before(o, inward, s.Filters.Ingress, "ingress"), Egress: m.before(o, outward, s.Filters.Egress, "egress")}
}

// before makes a chain that goes on with an object's own, and returns its name; if it has no rules, the object's own.
func (m *made) before(o *Object, c *ChainSpec, own, hook string) string {
	if len(c.Rules) == 0 {
		return own
	}
	if own != "" {
		c.Rules = append(c.Rules, RuleSpec{Name: "own", Action: "jump", Chain: own})
	}
	return m.add(o, c, hook)
}

// jumpTo is a rule that runs a chain which is a part of another object.
func jumpTo(r Ref, part string) RuleSpec {
	return RuleSpec{Name: partName(r.Kind, r.Name), Action: "jump", Chain: partOf(r, part)}
}

func hostSpec(a netip.Addr) AddrSpec { return AddrSpec{netip.PrefixFrom(a, a.BitLen())} }

// hostAt returns the first address of a vport of an IP version; the zero Addr if it has none.
func hostAt(vport *Object, is4 bool) netip.Addr {
	if vport == nil {
		return netip.Addr{}
	}
	s, _ := vport.Spec.(*VPortSpec)
	if s == nil {
		return netip.Addr{}
	}
	for _, a := range s.Addresses {
		if a.Addr().Is4() == is4 {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

// floatingIP checks an outside address.
func (v *validator) floatingIP(o *Object, s *FloatingIPSpec) {
	v.gateway(o, s.Router, s.Outside)
	if s.Inside != "" {
		v.portOn(o, o.refTo(KindRouter, s.Router), "spec.inside", s.Inside)
		if slices.Contains(s.Outside, s.Inside) {
			v.fail(o, "spec.inside", s.Inside, "leads outside, too", "name the port that leads to the host")
		}
	}
	v.there(o, "spec.vport", KindVPort, s.VPort)
	vport := v.set.Get(o.VPortRef(s.VPort))
	if len(s.Addresses) == 0 {
		v.fail(o, "spec.addresses", "", "is missing", "give the host's address outside")
	}
	seen := map[bool]bool{}
	for i, a := range s.Addresses {
		field := fmt.Sprintf("spec.addresses[%d]", i)
		switch {
		case !isHost(a):
			v.fail(o, field, addrText(a), "is not the address of one host", "use one such as 192.0.2.1 or 2001:db8::1")
			continue
		case seen[a.Is4()]:
			v.fail(o, field, a.String(), "is a second one of its IP version", "use a FloatingIP and a host for each")
		case vport != nil && !hostAt(vport, a.Is4()).IsValid():
			v.failRef(o, field, a.String(), "is of an IP version of which "+s.VPort+" has no address", "give the vport one, or leave this out")
		}
		seen[a.Is4()] = true
		v.answered(o, field, o.refTo(KindRouter, s.Router), a)
	}
}

// gateway checks that a router is there and has these ports.
func (v *validator) gateway(o *Object, router string, outside []string) {
	if router == "" {
		v.fail(o, "spec.router", "", "is missing", "name the router that translates")
		return
	}
	v.there(o, "spec.router", KindRouter, router)
	ref := o.refTo(KindRouter, router)
	if len(outside) == 0 {
		v.fail(o, "spec.outside", "", "is missing", "name the ports of the router that lead outside")
	}
	if v.set.Get(ref) == nil {
		return
	}
	for i, p := range outside {
		v.portOn(o, ref, fmt.Sprintf("spec.outside[%d]", i), p)
	}
}

// answered checks that an outside address in the subnet of a port of a router is an address of a port, too, or nobody would answer for it.
func (v *validator) answered(o *Object, field string, router Ref, a netip.Addr) bool {
	var ports []netip.Prefix
	users, _ := v.set.users.get(router)
	for r := range users {
		if p := v.set.Get(r); p != nil && r.Kind == KindVPort {
			ports = append(ports, p.Spec.(*VPortSpec).ownAddresses()...)
		}
	}
	on := linkOf(ports, a)
	if on.IsValid() {
		v.failRef(o, field, a.String(), fmt.Sprintf("is in %v of %v, no port of which has it: nobody would answer for it", on.Masked(), router),
			fmt.Sprintf("give it to a port of %v as %v/%d too", router, a, a.BitLen()))
	}
	return !on.IsValid()
}

// linkOf returns the port's address on whose link another one is that no port has; the zero Prefix if there is none.
func linkOf(ports []netip.Prefix, a netip.Addr) netip.Prefix {
	on := slices.IndexFunc(ports, func(p netip.Prefix) bool { return p.Contains(a) })
	if on < 0 || slices.ContainsFunc(ports, func(p netip.Prefix) bool { return p.Addr() == a }) {
		return netip.Prefix{}
	}
	return ports[on]
}
