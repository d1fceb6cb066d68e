package topology

import (
	"maps"
	"net/netip"
	"slices"
)

// An aggregated table answers lookups like the one of all its routes, with fewer entries. So less is to be looked through, and what decides a packet is told by fewer bits of its address.
//
// Where the two halves of a prefix lead the same ways, and the prefix itself has no routes, it gets theirs (lpm_join.go). Then, of these and those that have routes, a prefix is left out if what is
// above it leads the same ways: iff all its routes have gateways, and the groups of equal routes that a packet would try there, one after the other as links are down, are the first ones that it would
// try at the next shorter prefix. That may be left out itself: then the same holds from there upwards. Source prefixes, and routes without gateway, whose own prefix has a meaning (its broadcast
// address), stay. Nothing is covered that was not. All depends on a prefix, its halves and the next shorter one, so a route that comes or goes concerns few.

// aggregateEdit makes the next aggregated table, of one family at a time.
type aggregateEdit struct {
	own, joined lpmEdit
	full        *LPM
	v6          bool
}

// end returns the table.
func (e *aggregateEdit) end() *LPM {
	next := e.own.end()
	next.full, next.joined = e.full, e.joined.end()
	return next
}

// has returns the entry of a prefix that has routes, and that of the next shorter one that has; join the same of what is joined.
func (e *aggregateEdit) has(p lpmPrefix) (entry, up *lpmEntry) { return e.full.root(e.v6).exact(p) }
func (e *aggregateEdit) join(p lpmPrefix) (entry, up *lpmEntry) {
	return e.joined.lpm.root(e.v6).exact(p)
}

// Aggregated returns the table that answers like this one and leaves out what it can.
func (l *LPM) Aggregated() *LPM {
	if l.full != nil {
		return l
	}
	e := &aggregateEdit{own: lpmEdit{LPM{gone: l.gone}}, full: l}
	for _, e.v6 = range []bool{false, true} {
		e.joinAll()
		var above []*lpmEntry // of prefixes that the present one is within, the shortest first
		eachOfBoth(l.root(e.v6), e.joined.lpm.root(e.v6), func(en *lpmEntry) {
			for len(above) > 0 && !above[len(above)-1].covers(en) {
				above = above[:len(above)-1]
			}
			var up *lpmEntry
			if len(above) > 0 {
				up = above[len(above)-1]
			}
			e.keep(en.prefix(), en, up)
			above = append(above, en)
		})
	}
	return e.end()
}

// eachOfBoth calls yield with the entries of two tries that have no prefix in common, by destination, shorter ones first.
func eachOfBoth(a, b *lpmNode, yield func(*lpmEntry)) {
	var lists [2][]*lpmEntry
	for i, n := range []*lpmNode{a, b} {
		n.eachEntry(func(en *lpmEntry) bool {
			lists[i] = append(lists[i], en)
			return true
		})
	}
	for len(lists[0])+len(lists[1]) > 0 {
		i := 0
		if len(lists[0]) == 0 || len(lists[1]) > 0 && lists[1][0].dst().Compare(lists[0][0].dst()) < 0 {
			i = 1
		}
		yield(lists[i][0])
		lists[i] = lists[i][1:]
	}
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
	e := &aggregateEdit{own: lpmEdit{*l}, joined: lpmEdit{*l.joined}, full: l.full.With(add, del)}
	for _, list := range [][]Route{del, add} {
		for i := range list {
			if i == 0 || list[i].Dst != list[i-1].Dst {
				var p lpmPrefix
				p, e.v6 = prefixOf(list[i].Dst)
				e.settle(l.full, p)
			}
		}
	}
	return e.end()
}

// settle finds what is left around a prefix whose routes changed. before has all routes before the change.
func (e *aggregateEdit) settle(before *LPM, p lpmPrefix) {
	entry, up := e.has(p)
	was, _ := before.root(e.v6).exact(p)
	if entry == was {
		return
	}
	if was == nil {
		was, _ = e.join(p)
	}
	changed := e.rejoin(p, entry, up)
	e.decide(p)
	for _, x := range changed {
		e.decide(x)
		if x.size < e.addrBits() {
			for _, half := range x.halves() {
				e.decide(half)
			}
		}
	}
	if entry == nil {
		entry, _ = e.join(p)
	}
	if was == nil || entry == nil || !sameWays(was, entry) {
		e.below(p)
	}
}

// below decides about the prefixes right below one.
func (e *aggregateEdit) below(p lpmPrefix) {
	var last lpmPrefix
	e.full.root(e.v6).eachNext(p, func(en *lpmEntry) {
		x := en.prefix()
		var path lpmPath
		e.joined.lpm.root(e.v6).path(x.hi, x.lo, &path)
		for _, en := range path.entries[:path.n] {
			if bits := uint8(en.dst().Bits()); bits > p.size && bits < x.size {
				x = en.prefix()
				break
			}
		}
		if x != last {
			e.decide(x)
		}
		last = x
	})
}

// decide finds whether a prefix is left out.
func (e *aggregateEdit) decide(p lpmPrefix) {
	entry, up := e.has(p)
	joined, above := e.join(p)
	if entry == nil {
		entry = joined
	}
	if up == nil || above != nil && above.dst().Bits() > up.dst().Bits() {
		up = above
	}
	e.keep(p, entry, up)
}

// keep has the table have an entry (nil: there is none), unless the one right above leads the same ways.
func (e *aggregateEdit) keep(p lpmPrefix, entry, up *lpmEntry) {
	if entry != nil && entry.within(up, e.own.lpm.gone) {
		entry = nil
	}
	e.own.put(p, e.v6, entry)
}

// put replaces the entry of a prefix (nil: there is none), and counts prefixes.
func (e *lpmEdit) put(p lpmPrefix, v6 bool, entry *lpmEntry) {
	root := e.lpm.root(v6)
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
	if len(mine) == 1 { // most
		r := &mine[0]
		first, _ := nextGroup(its, gone)
		switch {
		case !r.forwards():
			return false
		case r.isGone(gone): // a packet gets to what is above
			return true
		}
		return len(first) == 1 && (sameWay(r, &first[0]) || r.Origin == OriginLearned && r.Hop() == first[0].Hop() && r.Weight == first[0].Weight)
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

// nextGroup returns the first routes of a list that are equally good, and what follows, but for what went with its hop.
func nextGroup(list []Route, gone map[Hop]struct{}) (group, rest []Route) {
	for rest = list; len(rest) > 0 && len(group) == 0; {
		n := equallyGood(rest)
		group, rest = standing(rest[:n:n], gone), rest[n:]
	}
	return group, rest
}

// leadBy reports whether the groups of equal routes of one list are the first ones of another, but for what went with its hop; and whether they are all of them.
func leadBy(mine, its []Route, gone map[Hop]struct{}) (first, all bool) {
	for {
		var a, b []Route
		a, mine = nextGroup(mine, gone)
		b, its = nextGroup(its, gone)
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
