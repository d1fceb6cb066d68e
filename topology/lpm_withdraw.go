package topology

import "maps"

// withdraw returns the table in which no learned route leads by these hops any more, whose routes leave it. That takes as long as there are routes given: those that are not are out of force at once all
// the same, at the cost of a slower lookup, and are to be given later. done: none of them is left in the table, and routes may lead by the hops again.
func (l *LPM) withdraw(hops []Hop, routes []Route, done bool) *LPM {
	gone := map[Hop]struct{}{}
	maps.Copy(gone, l.gone)
	for _, h := range hops {
		gone[h] = struct{}{}
	}
	next := l.withdrawn(gone).With(nil, routes)
	if !done {
		return next
	}
	left := maps.Clone(gone)
	for _, h := range hops {
		delete(left, h)
	}
	return next.withdrawn(left)
}

// isGone reports whether a route was withdrawn with its hop.
func (r *Route) isGone(gone map[Hop]struct{}) bool {
	if gone == nil || r.Origin != OriginLearned {
		return false
	}
	_, is := gone[r.Hop()]
	return is
}

// standing returns those of equally good routes that were not withdrawn with their hop.
func standing(routes []Route, gone map[Hop]struct{}) []Route {
	left := 0
	for i := range routes {
		if !routes[i].isGone(gone) {
			left++
		}
	}
	switch left {
	case len(routes):
		return routes
	case 0:
		return nil
	}
	some := make([]Route, 0, left)
	for i := range routes {
		if !routes[i].isGone(gone) {
			some = append(some, routes[i])
		}
	}
	return some
}

// standing returns the routes of a group that are in force where hops were withdrawn.
func (g *routeGroup) standing(gone map[Hop]struct{}) []Route {
	if gone == nil {
		return g.active
	}
	for rest := g.all; len(rest) > 0; {
		n := equallyGood(rest)
		if some := standing(rest[:n:n], gone); len(some) > 0 {
			return some
		}
		rest = rest[n:]
	}
	return nil
}

// findStanding does what a lookup does where hops were withdrawn.
func (n *lpmNode) findStanding(hi, lo, shi, slo uint64, gone map[Hop]struct{}) (best []Route, read uint8) {
	var p lpmPath
	n.path(hi, lo, &p)
	read = p.sourced(shi, slo, func(g *routeGroup) bool {
		best = g.standing(gone)
		return len(best) == 0
	})
	return best, read
}
