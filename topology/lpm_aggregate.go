package topology

import (
	"maps"
	"net/netip"
	"slices"
)

// An aggregated table answers lookups like the one of all its routes, with fewer entries: a prefix is left out if what is above it leads the same ways. So less is to be looked through, and what
// decides a packet is told by fewer bits of its address.
//
// A prefix is left out iff all its routes have gateways, and the groups of equal routes that a packet would try there, one after the other as links are down, are the first ones that it would try at
// the next shorter prefix of the table. It may be left out itself: then the same holds from there upwards. Source prefixes, and routes without gateway, whose own prefix has a meaning (its broadcast
// address), stay. That depends on two neighbouring prefixes alone, so a route that comes or goes concerns its own prefix and those right below.

// Aggregated returns the table that answers like this one and leaves out what it can.
func (l *LPM) Aggregated() *LPM {
	if l.full != nil {
		return l
	}
	e := &lpmEdit{LPM{gone: l.gone, full: l}}
	for _, v6 := range []bool{false, true} {
		root, full := e.roots(v6)
		var above []*lpmEntry // of prefixes that the present one is within, the shortest first
		full.eachEntry(func(en *lpmEntry) bool {
			for len(above) > 0 && !above[len(above)-1].covers(en) {
				above = above[:len(above)-1]
			}
			var up *lpmEntry
			if len(above) > 0 {
				up = above[len(above)-1]
			}
			e.keep(root, en.prefix(), en, up)
			above = append(above, en)
			return true
		})
	}
	return e.end()
}

// Whole returns the table of all routes of one that leaves some out.
func (l *LPM) Whole() *LPM {
	if l.full != nil {
		return l.full
	}
	return l
}

// root is the trie of a family.
func (l *LPM) root(v6 bool) *lpmNode {
	if v6 {
		return &l.root6
	}
	return &l.root4
}

// roots are the tries of a family: of the table that is made, and of all its routes.
func (e *lpmEdit) roots(v6 bool) (own, full *lpmNode) { return e.lpm.root(v6), e.lpm.full.root(v6) }

// dst is the destination of all routes of an entry.
func (en *lpmEntry) dst() netip.Prefix { return en.groups[0].all[0].Dst }

func (en *lpmEntry) prefix() lpmPrefix {
	p, _ := prefixOf(en.dst())
	return p
}

// covers reports whether another entry's prefix is within this one's. Both are of one family.
func (en *lpmEntry) covers(o *lpmEntry) bool {
	return o.dst().Bits() >= en.dst().Bits() && en.dst().Contains(o.dst().Addr())
}

// aggregateAnew is the part of a table from which making it anew takes less than its changes.
const aggregateAnew = 8

// withAggregated is With of a table that leaves some out.
func (l *LPM) withAggregated(add, del []Route) *LPM {
	if n := len(add) + len(del); n > manyRoutes && n*aggregateAnew > l.full.routes {
		return l.full.With(add, del).Aggregated()
	}
	e := &lpmEdit{*l}
	e.lpm.full = l.full.With(add, del)
	for _, list := range [][]Route{del, add} {
		for i := range list {
			if i == 0 || list[i].Dst != list[i-1].Dst {
				e.settle(l.full, &list[i])
			}
		}
	}
	return e.end()
}

// settle finds whether a prefix is left out, of which routes changed, and those right below it. before has all routes before the change.
func (e *lpmEdit) settle(before *LPM, r *Route) {
	p, v6 := prefixOf(r.Dst)
	own, full := e.roots(v6)
	entry, up := full.exact(p)
	e.keep(own, p, entry, up)
	was, above := before.root(v6).exact(p)
	if entry == was || sameWays(orElse(was, above), orElse(entry, up)) {
		return // to those below it is as it was
	}
	up = orElse(entry, up)
	full.eachNext(p, func(en *lpmEntry) { e.keep(own, en.prefix(), en, up) })
}

func orElse(a, b *lpmEntry) *lpmEntry {
	if a != nil {
		return a
	}
	return b
}

// keep has the table have an entry (nil: there is none), unless the one right above leads the same ways.
func (e *lpmEdit) keep(root *lpmNode, p lpmPrefix, entry, up *lpmEntry) {
	if entry != nil && entry.within(up, e.lpm.gone) {
		entry = nil
	}
	*root = root.with(p, func(old *lpmEntry) *lpmEntry {
		switch {
		case old == nil && entry != nil:
			e.lpm.routes++
		case old != nil && entry == nil:
			e.lpm.routes--
		}
		return entry
	})
}

// exact returns the entry of a prefix, and that of the next shorter one; nil: there is none.
func (n *lpmNode) exact(of lpmPrefix) (entry, up *lpmEntry) {
	var p lpmPath
	n.path(of.hi, of.lo, &p)
	for _, en := range p.entries[:p.n] {
		switch bits := en.dst().Bits(); {
		case bits < int(of.size):
			up = en
		case bits == int(of.size):
			return en, up
		}
	}
	return nil, up
}

// eachNext calls yield with the entries of prefixes within p that are in no other within it.
func (n *lpmNode) eachNext(p lpmPrefix, yield func(*lpmEntry)) {
	for {
		depth := n.depth()
		switch common := commonBits(p.hi, p.lo, n.hi, n.lo); {
		case common < min(p.size, depth):
			return
		case depth > p.size:
			n.top(1, yield)
			return
		case p.size < depth+strideBits:
			k := p.number(depth)
			n.top(2*k, yield)
			n.top(2*k+1, yield)
			return
		}
		x := stride(p.hi, p.lo, depth)
		if n.kids>>x&1 == 0 {
			return
		}
		n = n.kid(x)
	}
}

// top calls yield with the first entries from one of the nodes of a fork's binary tree downwards.
func (n *lpmNode) top(i uint, yield func(*lpmEntry)) {
	x := i - 64
	switch {
	case i >= 64 && n.leaves>>x&1 != 0:
		yield(n.leaf(x).entry)
	case i >= 64 && n.kids>>x&1 != 0:
		n.kid(x).top(1, yield)
	case i >= 64 || n.tree>>i&1 == 0:
	case n.prefixes>>i&1 != 0:
		yield(n.prefix(i).entry)
	default:
		n.top(2*i, yield)
		n.top(2*i+1, yield)
	}
}

// within reports whether an entry leads, whatever links are down, where the next shorter prefix does.
func (en *lpmEntry) within(up *lpmEntry, gone map[Hop]struct{}) bool {
	if up == nil || en.sourced || up.sourced {
		return false
	}
	mine, its := en.groups[0].all, up.groups[0].all
	if gone == nil && len(mine) == 1 { // most
		return mine[0].forwards() && equallyGood(its) == 1 && sameWay(&mine[0], &its[0])
	}
	for i := range mine {
		if !mine[i].forwards() {
			return false
		}
	}
	left, _ := leadBy(mine, its, gone)
	return left
}

// forwards reports whether a route leads to a gateway: its own prefix then has no meaning.
func (r *Route) forwards() bool { return r.Kind == RoutePort && r.Via.IsValid() }

// sameWay reports whether two routes lead the same way, and go together with their hop.
func sameWay(a, b *Route) bool {
	return a.Hop() == b.Hop() && a.Weight == b.Weight && (a.Origin == OriginLearned) == (b.Origin == OriginLearned)
}

// leadBy reports whether the groups of equal routes of one list are the first ones of another, but for what went with its hop; and whether they are all of them.
func leadBy(mine, its []Route, gone map[Hop]struct{}) (first, all bool) {
	next := func(list []Route) (group, rest []Route) {
		for rest = list; len(rest) > 0 && len(group) == 0; {
			n := equallyGood(rest)
			group, rest = standing(rest[:n:n], gone), rest[n:]
		}
		return group, rest
	}
	for {
		var a, b []Route
		a, mine = next(mine)
		b, its = next(its)
		switch {
		case len(a) == 0:
			return true, len(b) == 0
		case !slices.EqualFunc(a, b, func(x, y Route) bool { return sameWay(&x, &y) }):
			return false, false
		}
	}
}

// sameWays reports whether two entries are the same to the prefixes below them, now and when hops that went are back.
func sameWays(a, b *lpmEntry) bool {
	switch {
	case a == nil || b == nil:
		return a == b
	case a.sourced || b.sourced:
		return a.sourced == b.sourced
	}
	_, same := leadBy(a.groups[0].all, b.groups[0].all, nil)
	return same
}

// withdrawn is the table with other hops withdrawn.
func (l *LPM) withdrawn(gone map[Hop]struct{}) *LPM {
	next := *l
	if next.gone = gone; len(gone) == 0 {
		next.gone = nil
	}
	if l.full != nil {
		next.full = l.full.withdrawn(maps.Clone(gone))
	}
	return &next
}
