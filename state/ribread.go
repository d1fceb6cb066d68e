package state

import (
	"net/netip"
	"sort"

	"github.com/weft-sdn/weft/topology"
)

// ribTables is the learned routes that were read, packed as they are stored: by router and session. It belongs to the watcher's goroutine.
type ribTables map[topology.DeviceID]map[RIBSource][]ribPart

// ribPart is a block as read.
type ribPart struct {
	bound netip.Prefix
	value []byte // decodes
}

// ribChange is a block that was read; value nil: it is gone.
type ribChange struct {
	source RIBSource
	part   ribPart
}

// addRIB takes a block of routes.
func (m *batch) addRIB(k deviceKey, e Event) error {
	c := ribChange{k.source, ribPart{bound: k.bound}}
	if !e.Deleted {
		if _, err := decodeRIB(nil, e.Value); err != nil {
			return err
		}
		c.part.value = e.Value
	}
	m.ribs = append(m.ribs, c)
	return nil
}

// forget takes note that devices are not followed any more.
func (t ribTables) forget(devices []topology.DeviceID) {
	for _, id := range devices {
		delete(t, id)
	}
}

// take has blocks replace what was read before, and returns what that changes. A route is in force while any block of any session has it: it may be in two blocks of one session for
// a while (RIB.write), and in those of two sessions through one port.
func (t ribTables) take(changes []ribChange) (routes []topology.LearnedRoute) {
	type lost struct {
		source RIBSource
		route  RIBRoute
	}
	var gone []lost
	var before, after []RIBRoute
	for _, c := range changes {
		before, _ = decodeRIB(before[:0], t.replace(c))
		if after = after[:0]; c.part.value != nil {
			after, _ = decodeRIB(after, c.part.value)
		}
		diffRIB(before, after, func(r RIBRoute, is bool) {
			if is {
				routes = append(routes, c.source.learned(&r, false))
			} else {
				gone = append(gone, lost{c.source, r})
			}
		})
	}
	cache := map[RIBSource]*ribFound{}
	for i := range gone {
		l := &gone[i]
		if !t.has(&l.source, &l.route, cache) {
			routes = append(routes, l.source.learned(&l.route, true))
		}
	}
	return routes
}

// learned returns a session's route as one of its router.
func (s *RIBSource) learned(r *RIBRoute, gone bool) topology.LearnedRoute {
	return topology.LearnedRoute{Router: s.Router, Delete: gone, Route: topology.Route{
		Dst: r.Dst, Via: r.Via, Port: s.Port, Origin: topology.OriginLearned, Weight: 1, Metric: r.Metric,
	}}
}

// replace puts a block, or takes it away, and returns what it held.
func (t ribTables) replace(c ribChange) (old []byte) {
	sessions := t[c.source.Router]
	if sessions == nil {
		sessions = map[RIBSource][]ribPart{}
		t[c.source.Router] = sessions
	}
	parts := sessions[c.source]
	i := sort.Search(len(parts), func(i int) bool { return comparePrefixes(parts[i].bound, c.part.bound) >= 0 })
	found := i < len(parts) && parts[i].bound == c.part.bound
	if found {
		old = parts[i].value
	}
	switch {
	case found && c.part.value != nil:
		parts[i] = c.part
	case found:
		parts = append(parts[:i], parts[i+1:]...)
	case c.part.value != nil:
		parts = append(parts, ribPart{})
		copy(parts[i+1:], parts[i:])
		parts[i] = c.part
	}
	if sessions[c.source] = parts; len(parts) == 0 {
		delete(sessions, c.source)
	}
	return old
}

// ribFound is the block in which a route of a session was looked for last, decoded: routes are looked for in order.
type ribFound struct {
	bound  netip.Prefix
	routes []RIBRoute
}

// has reports whether a session through the port of source has a route.
func (t ribTables) has(source *RIBSource, r *RIBRoute, cache map[RIBSource]*ribFound) bool {
	for s, parts := range t[source.Router] {
		if s.Port != source.Port {
			continue
		}
		i := sort.Search(len(parts), func(i int) bool { return comparePrefixes(parts[i].bound, r.Dst) > 0 }) - 1
		if i < 0 || parts[i].bound.Addr().BitLen() != r.Dst.Addr().BitLen() {
			continue
		}
		f := cache[s]
		if f == nil || f.bound != parts[i].bound {
			f = &ribFound{bound: parts[i].bound}
			f.routes, _ = decodeRIB(nil, parts[i].value)
			cache[s] = f
		}
		k := sort.Search(len(f.routes), func(k int) bool { return compareRIB(f.routes[k], *r) >= 0 })
		if k < len(f.routes) && f.routes[k].same(r) {
			return true
		}
	}
	return false
}

// same reports whether two routes lead the same way: a router does not tell stale ones from others.
func (r *RIBRoute) same(o *RIBRoute) bool {
	return r.Dst == o.Dst && r.Via == o.Via && r.Metric == o.Metric
}

// diffRIB tells the routes that are only in one of two sorted lists.
func diffRIB(before, after []RIBRoute, differs func(r RIBRoute, is bool)) {
	for len(before) > 0 || len(after) > 0 {
		c := -1
		switch {
		case len(before) == 0:
			c = 1
		case len(after) > 0:
			c = compareRIB(before[0], after[0])
		}
		if c == 0 && before[0].same(&after[0]) {
			before, after = before[1:], after[1:]
			continue
		}
		if c <= 0 {
			differs(before[0], false)
			before = before[1:]
		}
		if c >= 0 {
			differs(after[0], true)
			after = after[1:]
		}
	}
}
