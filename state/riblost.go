package state

import (
	"net/netip"

	"github.com/weft-sdn/weft/topology"
)

const (
	ribLossMin = 64 // blocks of a session from which on its loss is told by its hops
	ribSwept   = 16 // blocks whose routes leave a table at a time: some milliseconds
)

// ribLoss is a session that is gone with many routes: these are out of force with their hops (topology.Withdrawal), in no time, and then leave the table little by little.
type ribLoss struct {
	source RIBSource
	hops   []topology.Hop
	parts  []ribPart // whose routes are still in the table
}

// learnRIBs takes what was read of sessions' blocks, and returns what becomes of routers' routes.
func (r *reader) learnRIBs(changes []ribChange) (withdrawn []topology.Withdrawal, routes []topology.LearnedRoute) {
	withdrawn = r.sweepFor(changes)
	if len(withdrawn) == 0 {
		withdrawn = r.sweepSome()
	}
	lost := r.ribs.lost(changes)
	if len(lost) == 0 {
		return withdrawn, r.ribs.take(changes)
	}
	rest := make([]ribChange, 0, len(changes))
	for _, c := range changes {
		if _, is := lost[c.source]; !is {
			rest = append(rest, c)
		}
	}
	for source := range lost {
		delete(r.ribs[source.Router], source)
	}
	routes = r.ribs.take(rest)
	for source, parts := range lost {
		dead, shared := r.ribs.deadHops(source, parts)
		if len(shared) > 0 {
			routes = append(routes, r.ribs.goneBy(source, parts, shared)...)
		}
		if len(dead) > 0 {
			withdrawn = append(withdrawn, topology.Withdrawal{Router: source.Router, Hops: dead})
			r.losses = append(r.losses, ribLoss{source, dead, parts})
		}
	}
	return withdrawn, routes
}

// lost returns the sessions all of whose blocks go, and they are many, with the blocks.
func (t ribTables) lost(changes []ribChange) map[RIBSource][]ribPart {
	removed := map[RIBSource]int{}
	for _, c := range changes {
		if c.part.value == nil {
			removed[c.source]++
		}
	}
	var lost map[RIBSource][]ribPart
	for source, n := range removed {
		if parts := t[source.Router][source]; n >= ribLossMin && n >= len(parts) {
			if lost == nil {
				lost = map[RIBSource][]ribPart{}
			}
			lost[source] = parts
		}
	}
	for _, c := range changes {
		if c.part.value != nil {
			delete(lost, c.source)
		}
	}
	return lost
}

// deadHops returns the hops of a session's blocks that no other session brings routes by, and those that one does.
func (t ribTables) deadHops(source RIBSource, parts []ribPart) (dead []topology.Hop, shared map[topology.Hop]struct{}) {
	others := map[topology.Hop]struct{}{}
	for s, parts := range t[source.Router] {
		if s.Port == source.Port {
			hopsOf(s, parts, others)
		}
	}
	mine := map[topology.Hop]struct{}{}
	hopsOf(source, parts, mine)
	shared = map[topology.Hop]struct{}{}
	for h := range mine {
		if _, is := others[h]; is {
			shared[h] = struct{}{}
		} else {
			dead = append(dead, h)
		}
	}
	return dead, shared
}

// hopsOf adds where routes of blocks lead.
func hopsOf(source RIBSource, parts []ribPart, to map[topology.Hop]struct{}) {
	for i := range parts {
		eachGateway(parts[i].value, func(via netip.Addr) {
			to[topology.Hop{Via: via, Port: source.Port, Kind: topology.RoutePort}] = struct{}{}
		})
	}
}

// goneBy returns the routes of a session that is lost by some of its hops, but for those that another session has.
func (t ribTables) goneBy(source RIBSource, parts []ribPart, hops map[topology.Hop]struct{}) (routes []topology.LearnedRoute) {
	cache := map[RIBSource]*ribFound{}
	var block []RIBRoute
	for i := range parts {
		block, _ = decodeRIB(block[:0], parts[i].value)
		for k := range block {
			l := source.learned(&block[k], true)
			if _, is := hops[l.Route.Hop()]; is && !t.has(&source, &block[k], cache) {
				routes = append(routes, l)
			}
		}
	}
	return routes
}

// sweepFor finishes the losses that are of a hop by which there are routes again.
func (r *reader) sweepFor(changes []ribChange) (withdrawn []topology.Withdrawal) {
	if len(r.losses) == 0 {
		return nil
	}
	again := map[topology.DeviceID]map[topology.Hop]struct{}{}
	for _, c := range changes {
		if c.part.value != nil {
			hops := again[c.source.Router]
			if hops == nil {
				hops = map[topology.Hop]struct{}{}
				again[c.source.Router] = hops
			}
			hopsOf(c.source, []ribPart{c.part}, hops)
		}
	}
	left := r.losses[:0]
	for _, l := range r.losses {
		back := false
		for _, h := range l.hops {
			_, is := again[l.source.Router][h]
			back = back || is
		}
		if back {
			withdrawn = append(withdrawn, l.sweep(len(l.parts)))
		} else {
			left = append(left, l)
		}
	}
	clear(r.losses[len(left):])
	r.losses = left
	return withdrawn
}

// sweepSome has some more routes of a loss leave their table.
func (r *reader) sweepSome() []topology.Withdrawal {
	if len(r.losses) == 0 {
		return nil
	}
	w := r.losses[0].sweep(ribSwept)
	if w.Done {
		r.losses = append(r.losses[:0], r.losses[1:]...)
	}
	return []topology.Withdrawal{w}
}

// sweep returns that the routes of some blocks leave the table.
func (l *ribLoss) sweep(blocks int) topology.Withdrawal {
	w := topology.Withdrawal{Router: l.source.Router, Hops: l.hops}
	dead := make(map[topology.Hop]struct{}, len(l.hops))
	for _, h := range l.hops {
		dead[h] = struct{}{}
	}
	var block []RIBRoute
	for ; blocks > 0 && len(l.parts) > 0; blocks-- {
		block, _ = decodeRIB(block[:0], l.parts[0].value)
		for i := range block {
			route := l.source.learned(&block[i], true).Route
			if _, is := dead[route.Hop()]; is {
				w.Swept = append(w.Swept, route)
			}
		}
		l.parts = l.parts[1:]
	}
	w.Done = len(l.parts) == 0
	return w
}

// forgetRIBs takes note that devices are not followed any more.
func (r *reader) forgetRIBs(devices []topology.DeviceID) {
	r.ribs.forget(devices)
	for _, id := range devices {
		left := r.losses[:0]
		for _, l := range r.losses {
			if l.source.Router != id {
				left = append(left, l)
			}
		}
		clear(r.losses[len(left):])
		r.losses = left
	}
}
