package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// maxPolicies bounds the policies of a router: every packet that it routes is classified by them.
const maxPolicies = 1024

// policies checks the tables and policies of a router.
func (v *validator) policies(o *Object, s *RouterSpec) {
	tables := map[string]bool{}
	for i := range s.Tables {
		t, field := &s.Tables[i], fmt.Sprintf("spec.tables[%d]", i)
		if !validName(t.Name) || t.Name == policyMain {
			v.fail(o, field+".name", t.Name, "is not a name for a table", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first; "+policyMain+" is the router's own")
		}
		if tables[t.Name] {
			v.fail(o, field+".name", t.Name, "is the name of an earlier table", "name each table once")
		}
		tables[t.Name] = true
		v.routes(o, t.Routes, field+".routes")
	}
	if len(s.Policies) > maxPolicies {
		v.fail(o, "spec.policies", strconv.Itoa(len(s.Policies))+" policies", "is too many", fmt.Sprintf("use %d at most", maxPolicies))
	}
	names := map[string]bool{}
	for i := range s.Policies {
		p, field := &s.Policies[i], fmt.Sprintf("spec.policies[%d]", i)
		if p.Name != "" && (!validName(p.Name) || names[p.Name]) {
			v.fail(o, field+".name", p.Name, "is not a name, or is that of an earlier policy", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first, once")
		}
		names[p.Name] = true
		v.policyMatch(o, &p.Match, field+".match", &p.Match)
		v.policyMatch(o, &p.Not, field+".not", &p.Match)
		v.meetable(o, &p.Match, &p.Not, field)
		v.policyAction(o, p, field, tables)
	}
}

// policyMatch checks that a policy asks only for what a router can tell without other objects.
func (v *validator) policyMatch(o *Object, m *MatchSpec, field string, given *MatchSpec) {
	v.match(o, m, field, given)
	for i, p := range m.InPorts {
		v.portOf(o, fmt.Sprintf("%s.inPorts[%d]", field, i), p)
	}
	for name, n := range map[string]int{
		"inPortGroups": len(m.InPortGroups), "outPorts": len(m.OutPorts), "outPortGroups": len(m.OutPortGroups), "srcGroups": len(m.SrcGroups),
		"dstGroups": len(m.DstGroups), "etherTypes": len(m.EtherTypes), "srcMACs": len(m.SrcMACs), "dstMACs": len(m.DstMACs), "tcpFlags": len(m.TCPFlags),
		"states": len(m.States),
	} {
		if n > 0 {
			v.fail(o, field+"."+name, "", "is nothing that a policy can ask for", "ask for it in an ingress chain of the router, mark the packet there, and match marks here")
		}
	}
}

func (v *validator) policyAction(o *Object, p *PolicySpec, field string, tables map[string]bool) {
	switch p.Action {
	case policyMain, policyDrop, policyReject:
	case policyTable:
		if !tables[p.Table] {
			v.fail(o, field+".table", p.Table, "is no table of this router", "define it under spec.tables")
		}
	case policyReroute:
		if len(p.NextHops) == 0 {
			v.fail(o, field+".nextHops", "", "is missing", "give the gateways to send the packets to")
		}
	default:
		v.fail(o, field+".action", p.Action, "is no action of a policy", "use main, table, reroute, drop or reject")
	}
	if p.Table != "" && p.Action != policyTable {
		v.fail(o, field+".table", p.Table, "goes with action table alone", "leave it out")
	}
	if len(p.NextHops) > 0 && p.Action != policyReroute {
		v.fail(o, field+".nextHops", "", "goes with action reroute alone", "leave it out")
	}
	seen := map[NextHopSpec]bool{}
	for i, n := range p.NextHops {
		at := fmt.Sprintf("%s.nextHops[%d]", field, i)
		if !isHost(n.Via) {
			v.fail(o, at+".via", addrText(n.Via), "is not the address of a gateway", "use one such as 10.0.0.1 or 2001:db8::1")
		}
		v.via(o, at+".via", n.Via, n.Port)
		v.portOf(o, at+".port", n.Port)
		if n.Weight = 0; seen[n] {
			v.fail(o, at, n.Via.String(), "is listed twice", "give it a weight instead")
		}
		seen[n] = true
	}
}

// routes checks routes of one table: that no two of them are the same way.
func (v *validator) routes(o *Object, routes []RouteSpec, field string) {
	seen := map[RouteSpec]int{}
	for i := range routes {
		at := fmt.Sprintf("%s[%d]", field, i)
		v.route(o, &routes[i], at)
		r := routes[i]
		if r.Weight = 0; r.Kind == "port" {
			r.Kind = ""
		}
		if first, twice := seen[r]; twice {
			v.fail(o, at, r.Dst.String(), fmt.Sprintf("is the same way as %s[%d]", field, first), "give it a weight instead")
		}
		seen[r] = i
	}
}

// singleHost checks a port with one host (R5).
func (v *validator) singleHost(o *Object, s *VPortSpec) {
	if dev, ok := o.DeviceRef(); ok && dev.Kind != KindRouter {
		v.fail(o, "spec.singleHost", "true", "is for ports of routers", "leave it out")
	}
	if len(s.Addresses) == 0 {
		v.fail(o, "spec.addresses", "", "is missing", "give the host's address with the length of the prefix that it shares with others, such as 10.0.0.5/24")
	}
	for i, a := range s.Addresses {
		field := fmt.Sprintf("spec.addresses[%d]", i)
		switch gateway := gatewayOf(a); {
		case a.Bits() > a.Addr().BitLen()-2:
			v.fail(o, field, a.String(), "leaves no room for a gateway and hosts", fmt.Sprintf("use a prefix of at most %d bits", a.Addr().BitLen()-2))
		case a.Addr() == gateway:
			v.fail(o, field, a.String(), "is the gateway, the first address of the prefix", "use a later one")
		case a.Addr() == a.Masked().Addr(), a.Addr().Is4() && !a.Contains(a.Addr().Next()):
			v.fail(o, field, a.String(), "is not the address of one host", "use one between the first and the last of the prefix")
		}
	}
}

// portPrefix is a prefix of a router port.
type portPrefix struct {
	netip.Prefix
	port   *Object
	field  string
	single bool // the port has a single host
	text   string
}

// overlaps checks that no two ports of a router have one and the same neighbours: their prefixes do not overlap, but that ports with a single host share one.
func (v *validator) overlaps(router Ref, touched map[Ref]bool) {
	var all []portPrefix
	users, _ := v.set.users.get(router)
	for r := range users {
		o := v.set.Get(r)
		if o == nil || r.Kind != KindVPort {
			continue
		}
		s := o.Spec.(*VPortSpec)
		for i, a := range s.Addresses {
			if isHost(a.Addr()) {
				all = append(all, portPrefix{a.Masked(), o, fmt.Sprintf("spec.addresses[%d]", i), s.SingleHost, a.String()})
			}
		}
	}
	slices.SortFunc(all, func(a, b portPrefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		if c := a.Bits() - b.Bits(); c != 0 {
			return c
		}
		return compareRefs(a.port.Ref(), b.port.Ref())
	})
	var around []portPrefix // those that hold the one at hand, the widest first
	for _, p := range all {
		for len(around) > 0 && !around[len(around)-1].Overlaps(p.Prefix) {
			around = around[:len(around)-1]
		}
		for _, q := range around {
			v.overlap(q, p, touched)
		}
		if len(around) == 0 || around[len(around)-1].Prefix != p.Prefix || !p.single {
			around = append(around, p)
		}
	}
}

// overlap checks two prefixes of which q holds p.
func (v *validator) overlap(q, p portPrefix, touched map[Ref]bool) {
	switch {
	case q.port == p.port && !q.single,
		q.single && p.single && q.Prefix == p.Prefix,
		p.IsSingleIP() && !q.single && !p.single: // an address of its own, without neighbours
		return
	case !touched[p.port.Ref()]:
		p, q = q, p
	}
	v.fail(p.port, p.field, p.text, fmt.Sprintf("overlaps %s of %v", q.text, q.port.Ref()), "give each port a prefix of its own; ports with singleHost may share one")
}
