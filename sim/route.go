package sim

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// dropWaits: there is no drop; the walk is over, since a policy can not tell yet.
const dropWaits = DropNone

// way is a route that a copy takes. What is needed of the route is in the hop, most of the time.
type way struct {
	route     *topology.Route
	hop       topology.Hop
	out, peer *topology.VPort // of a route to a port: that port, and the other end of its link; nil: there is none, or it is not loaded
}

// route finds the way of a copy that router r got by port p: by the first policy that the copy meets and that has a way for it, else by the router's own
// routes (R1). No route: why not. A route to a port is one whose link is up.
func (s *Simulator) route(r *topology.Router, p *topology.VPort, h *hop, v6 bool, w *way) DropReason {
	k := s.header(h)
	m := s.lookup(r, r.Routes, k, v6)
	if r.Policies != nil && m.Hop.Kind != topology.RouteLocal && m.Hop.Kind != topology.RouteUnforwardable {
		for next := 0; ; next++ {
			if next = s.find(r.Policies.Classifier, next, p, nil, h); next == over {
				return dropWaits
			}
			if next < 0 {
				break
			}
			rule := &r.Policies.Rules[next]
			if s.res.Trace != nil {
				s.res.Trace.add(s, h, "policy "+rule.Name+": "+rule.Action)
			}
			if rule.Routes == nil {
				break
			}
			own := s.lookup(r, rule.Routes, k, v6)
			if s.choose(rule.Routes, &own, k, v6, w); w.route != nil {
				return DropNone
			}
		}
	}
	return s.choose(r.Routes, &m, k, v6, w)
}

// lookup finds the routes in one of a router's tables.
func (s *Simulator) lookup(r *topology.Router, t *topology.LPM, k *flow.Key, v6 bool) topology.Match {
	m := t.Lookup(&k.Dst, &k.Src, v6)
	s.readDst(m.DstBits)
	s.readSrc(m.SrcBits)
	s.dep(topology.RouteDep(r.ID, &k.Dst, v6, m.DstBits))
	return m
}

// choose takes one of the routes that were found in a table. Where the links of all of them are down, the next best that the packet matches.
func (s *Simulator) choose(t *topology.LPM, m *topology.Match, k *flow.Key, v6 bool, w *way) DropReason {
	switch {
	case len(m.Routes) == 0:
		return DropNoRoute
	case m.Hop.Kind != topology.RoutePort || len(m.Routes) == 1 && s.carries(m.Hop.Port, w):
		w.route, w.hop = &m.Routes[0], m.Hop
		return DropNone
	}
	if !s.spread(m.Routes, k, w) {
		s.readSrc(t.Each(&k.Dst, &k.Src, v6, func(routes []topology.Route) bool { return !s.spread(routes, k, w) }))
	}
	if w.route == nil {
		return DropPortDown
	}
	w.hop = w.route.Hop()
	return DropNone
}
