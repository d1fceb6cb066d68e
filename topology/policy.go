package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/flow"
)

// TableSpec is a table of routes beside a router's own, for the packets that policies send there.
type TableSpec struct {
	Name   string      `json:"name"`
	Routes []RouteSpec `json:"routes,omitempty"`
}

// PolicySpec is one policy of a router. Policies are tried in order of priority, the smaller first, and then as they are listed, ahead of the router's own
// routes. The first that a packet meets, and that has a way for it, decides. The router's own addresses are none of their business.
type PolicySpec struct {
	Name     string        `json:"name,omitempty"` // in traces; "#3" for the third if there is none
	Priority uint32        `json:"priority,omitempty"`
	Match    MatchSpec     `json:"match,omitzero"` // inPorts, marks, protocols, src, dst, ports, icmp, fragments, dscp
	Not      MatchSpec     `json:"not,omitzero"`
	Action   string        `json:"action"`             // main: by the router's own routes; table: by those of a table; reroute: to one of nextHops; drop; reject
	Table    string        `json:"table,omitempty"`    // action table
	NextHops []NextHopSpec `json:"nextHops,omitempty"` // action reroute: flows are spread over those whose links are up, as over equal routes
}

// NextHopSpec is where a policy reroutes to.
type NextHopSpec struct {
	Via    netip.Addr `json:"via"` // for packets of its family
	Port   string     `json:"port"`
	Weight uint8      `json:"weight,omitempty"`
}

// Policies are the policies of a router, ready to be searched. Read-only.
type Policies struct {
	Classifier *filter.Classifier
	Rules      []Policy // in the order in which they are tried
}

// Policy is what becomes of a packet that meets a policy.
type Policy struct {
	Name, Action string
	Routes       *LPM // that decide; nil: the router's own

	routes []Route        // the same
	in     []flow.VPortID // ports that it names, in order
}

// ports returns the ports that a router's routes and policies name.
func (s *RouterSpec) ports() []string {
	var ports []string
	add := func(routes []RouteSpec) {
		for i := range routes {
			if p := routes[i].Port; p != "" {
				ports = append(ports, p)
			}
		}
	}
	add(s.Routes)
	for i := range s.Tables {
		add(s.Tables[i].Routes)
	}
	for i := range s.Policies {
		p := &s.Policies[i]
		ports = append(append(ports, p.Match.InPorts...), p.Not.InPorts...)
		for _, n := range p.NextHops {
			ports = append(ports, n.Port)
		}
	}
	return ports
}

// rebuildPolicies derives the policies of a router: nil if it has none.
func (e *edit) rebuildPolicies(r *Router) *Policies {
	if len(r.spec.Policies) == 0 {
		return nil
	}
	o := &Object{Metadata: Metadata{Tenant: r.ref.Tenant}, Status: Status{Uses: map[string]uint32{}}}
	for _, name := range r.spec.ports() {
		if id, ok := e.ownPort(r.ref, r.ID, name); ok {
			o.Status.Uses[o.VPortRef(name).String()] = uint32(id)
		}
	}
	m := matcher{object: o, sets: &e.s.sets}
	order := make([]int, len(r.spec.Policies))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(r.spec.Policies[a].Priority, r.spec.Policies[b].Priority)
	})
	p := new(Policies)
	rules := make([]filter.Rule, len(order))
	for i, n := range order {
		s := &r.spec.Policies[n]
		m.conditions(&rules[i], &s.Match, false)
		m.conditions(&rules[i], &s.Not, true)
		rule := Policy{Name: cmp.Or(s.Name, fmt.Sprintf("#%d", n+1)), Action: s.Action, routes: e.policyRoutes(r, s)}
		for _, name := range slices.Concat(s.Match.InPorts, s.Not.InPorts) {
			rule.in = append(rule.in, flow.VPortID(o.Status.Uses[o.VPortRef(name).String()]))
		}
		if s.Action != policyMain {
			rule.Routes = new(LPM).With(rule.routes, nil)
		}
		p.Rules = append(p.Rules, rule)
	}
	p.Classifier = filter.Compile(rules)
	return p
}

// Actions of policies.
const (
	policyMain    = "main"
	policyTable   = "table"
	policyReroute = "reroute"
	policyDrop    = "drop"
	policyReject  = "reject"
)

// policyRoutes returns the routes that decide about the packets of a policy: drop, reject and reroute are default routes.
func (e *edit) policyRoutes(r *Router, s *PolicySpec) []Route {
	var specs []RouteSpec
	for _, all := range []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)} {
		switch s.Action {
		case policyDrop:
			specs = append(specs, RouteSpec{Dst: all, Kind: "blackhole"})
		case policyReject:
			specs = append(specs, RouteSpec{Dst: all, Kind: "reject"})
		case policyReroute:
			for _, n := range s.NextHops {
				if n.Via.Is4() == all.Addr().Is4() {
					specs = append(specs, RouteSpec{Dst: all, Via: n.Via, Port: n.Port, Weight: n.Weight})
				}
			}
		}
	}
	if s.Action == policyTable {
		for i := range r.spec.Tables {
			if r.spec.Tables[i].Name == s.Table {
				specs = r.spec.Tables[i].Routes
			}
		}
	}
	var routes []Route
	for i := range specs {
		if route, ok := e.staticRoute(r, &specs[i]); ok {
			routes = append(routes, route)
		}
	}
	slices.SortFunc(routes, compareStatic)
	return slices.Compact(routes)
}

// policiesChanged reports whether the policies are other ones than before: as they are written, or by the ports that there are.
func (r *Router) policiesChanged(before *Router) bool {
	if before == nil || before.Policies == nil || r.Policies == nil {
		return before != nil && before.Policies != r.Policies
	}
	same := func(x, y Policy) bool { return slices.Equal(x.routes, y.routes) && slices.Equal(x.in, y.in) }
	return !reflect.DeepEqual(before.spec.Policies, r.spec.Policies) || !slices.EqualFunc(before.Policies.Rules, r.Policies.Rules, same)
}
