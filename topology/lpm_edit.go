package topology

import (
	"math/bits"
	"slices"
	"unsafe"
)

// lpmEdit builds the next LPM: arrays that it made are changed in place, others copied.
type lpmEdit struct{ lpm LPM }

// With returns the table without the routes in del and with those in add.
// Cost: O(prefix length) per route, shared with routes nearby.
func (l *LPM) With(add, del []Route) *LPM {
	e := &lpmEdit{*l}
	e.lpm.version++
	for _, r := range del {
		e.change(r, (*lpmEntry).without)
	}
	for _, r := range add {
		e.change(r, (*lpmEntry).with)
	}
	return &e.lpm
}

func (e *lpmEdit) change(r Route, f func(*lpmEntry, Route) (*lpmEntry, int)) {
	hi, lo, n, v6 := prefixKey(r.Dst)
	root := &e.lpm.root4
	if v6 {
		root = &e.lpm.root6
	}
	*root = e.with(*root, hi, lo, n, func(old *lpmEntry) *lpmEntry {
		entry, d := f(old, r)
		e.lpm.routes += d
		return entry
	})
}

// with replaces the entry of a prefix in n by f of it (nil: there is none) and returns the new n.
func (e *lpmEdit) with(n lpmNode, hi, lo uint64, size uint8, f func(*lpmEntry) *lpmEntry) lpmNode {
	leaf := lpmNode{hi: hi, lo: lo, meta: uint64(size)}
	c := min(commonBits(hi, lo, n.hi, n.lo), size)
	switch {
	case n.child == nil && n.entry == nil:
		leaf.set(f(nil))
	case n.child == nil && c == size && size == n.bits():
		leaf.set(f(n.entry))
	case n.child == nil || c < n.bits(): // beside n, above it, or, if n is a leaf, below it
		if leaf.set(f(nil)); leaf.entry == nil {
			return n
		}
		depth := min(c, n.bits()) / strideBits * strideBits
		fork := lpmNode{meta: uint64(depth)}
		fork.hi, fork.lo = maskKey(hi, lo, depth)
		return e.insert(e.insert(fork, n), leaf)
	default:
		return e.below(n, leaf, f)
	}
	if leaf.entry == nil {
		return lpmNode{}
	}
	return leaf
}

// set gives a leaf its entry.
func (n *lpmNode) set(entry *lpmEntry) {
	if n.entry = entry; entry != nil && entry.isSole() {
		n.setHop(entry.sole[0].Hop())
	}
}

// below does the same for a fork that the prefix of leaf is behind.
func (e *lpmEdit) below(n, leaf lpmNode, f func(*lpmEntry) *lpmEntry) lpmNode {
	i, found := n.place(&leaf)
	if !found {
		if leaf.set(f(nil)); leaf.entry == nil {
			return n
		}
		return e.insert(n, leaf)
	}
	old := *n.at(i)
	next := e.with(old, leaf.hi, leaf.lo, leaf.bits(), f)
	switch {
	case next == old:
		return n
	case next.child == nil && next.entry == nil:
		return e.remove(n, i, &leaf)
	}
	if !e.owns(&n) {
		n = e.own(n, append(room(n.len()), n.children()...))
	}
	*n.at(i) = next
	return n
}

// roomFor is how much larger arrays are than they have to be, in nodes, less one: an edit that adds many routes makes few arrays.
const roomFor = 4 - 1

// room makes an empty array for n nodes. All arrays of a table are made so.
func room(n int) []lpmNode { return make([]lpmNode, 0, (n+roomFor)&^roomFor) }

// owns reports whether this edit made a fork's array.
func (e *lpmEdit) owns(n *lpmNode) bool { return n.meta>>8 == e.lpm.version && n.child != nil }

// place returns where in the array of a fork what has x's prefix is, or belongs.
func (n *lpmNode) place(x *lpmNode) (i int, found bool) {
	if depth := n.bits(); x.child == nil && x.bits() < depth+strideBits {
		k := number(x.hi, x.lo, x.bits(), depth)
		return rank(n.prefixes, k), n.prefixes>>k&1 != 0
	}
	k := stride(x.hi, x.lo, n.bits())
	return bits.OnesCount64(n.prefixes) + rank(n.kids, k), n.kids>>k&1 != 0
}

// own gives a fork an array that this edit made.
func (e *lpmEdit) own(n lpmNode, children []lpmNode) lpmNode {
	n.child = unsafe.SliceData(children)
	n.meta = n.meta&0xff | e.lpm.version<<8
	return n
}

// insert puts x, which is behind fork n, where nothing is.
func (e *lpmEdit) insert(n, x lpmNode) lpmNode {
	i, _ := n.place(&x)
	if size := n.len(); e.owns(&n) && size&roomFor != 0 {
		children := unsafe.Slice(n.child, size+1)
		copy(children[i+1:], children[i:])
		children[i] = x
		n.flip(&x)
		return n
	}
	children := room(n.len() + 1)
	if n.child == nil {
		children = append(children, x)
	} else {
		children = append(append(append(children, n.children()[:i]...), x), n.children()[i:]...)
	}
	n.flip(&x)
	return e.own(n, children)
}

// remove takes node i, which has x's place, out of fork n.
func (e *lpmEdit) remove(n lpmNode, i int, x *lpmNode) lpmNode {
	if n.len() == 2 {
		return *n.at(1 - i) // no longer a fork
	}
	if e.owns(&n) {
		children := n.children()
		copy(children[i:], children[i+1:])
		children[len(children)-1] = lpmNode{}
		n.flip(x)
		return n
	}
	children := append(append(room(n.len()-1), n.children()[:i]...), n.children()[i+1:]...)
	n.flip(x)
	return e.own(n, children)
}

// flip notes that the place of x is taken, or no longer.
func (n *lpmNode) flip(x *lpmNode) {
	var above uint // of which the place is behind, in the tree
	if depth := n.bits(); x.child == nil && x.bits() < depth+strideBits {
		above = number(x.hi, x.lo, x.bits(), depth)
		n.prefixes ^= 1 << above
		if n.prefixes>>above&1 == 0 {
			above = 0
		}
	} else {
		k := stride(x.hi, x.lo, depth)
		n.kids ^= 1 << k
		if n.kids>>k&1 != 0 {
			above = 32 + k/2
		}
	}
	if above != 0 {
		for ; above > 0; above /= 2 {
			n.tree |= 1 << above
		}
		return
	}
	n.tree = n.prefixes
	for k := n.kids; k != 0; k &= k - 1 {
		n.tree |= 1 << (32 + lowest(k)/2)
	}
	for i := uint(63); i > 1; i-- {
		n.tree |= n.tree >> i & 1 << (i / 2)
	}
}

// with returns the entry with r; the number of routes added is 0 if it was there.
func (en *lpmEntry) with(r Route) (*lpmEntry, int) {
	if en == nil {
		return newSole(r), 1
	}
	g := newRouteGroup(r)
	i, found := en.find(&g)
	if !found {
		return newEntry(slices.Insert(slices.Clone(en.groups), i, g)), 1
	}
	old := en.groups[i].all
	if slices.Contains(old, r) {
		return en, 0
	}
	at, _ := slices.BinarySearchFunc(old, r, compareRoutes)
	groups := slices.Clone(en.groups)
	groups[i].all = slices.Insert(slices.Clone(old), at, r)
	return newEntry(groups), 1
}

// without returns the entry without r, nil if it was the last one.
func (en *lpmEntry) without(r Route) (*lpmEntry, int) {
	if en == nil {
		return nil, 0
	}
	g := newRouteGroup(r)
	i, found := en.find(&g)
	if !found {
		return en, 0
	}
	at := slices.Index(en.groups[i].all, r)
	if at < 0 {
		return en, 0
	}
	groups := slices.Clone(en.groups)
	if len(groups[i].all) == 1 {
		groups = slices.Delete(groups, i, i+1)
	} else {
		groups[i].all = slices.Delete(slices.Clone(groups[i].all), at, at+1)
	}
	if len(groups) == 0 {
		return nil, -1
	}
	return newEntry(groups), -1
}

// find returns where g's source prefix is in the entry, or belongs: longer ones first, then by address.
func (en *lpmEntry) find(g *routeGroup) (int, bool) {
	return slices.BinarySearchFunc(en.groups, g, func(a routeGroup, b *routeGroup) int {
		switch {
		case a.srcBits != b.srcBits:
			return int(b.srcBits) - int(a.srcBits)
		case a.srcHi != b.srcHi:
			return cmpUint(a.srcHi, b.srcHi)
		}
		return cmpUint(a.srcLo, b.srcLo)
	})
}

func cmpUint(a, b uint64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// newSole returns the entry of one route, as most are: in one piece of memory.
func newSole(r Route) *lpmEntry {
	s := new(struct {
		entry lpmEntry
		group [1]routeGroup
	})
	e, g := &s.entry, &s.group[0]
	e.sole[0] = r
	*g = routeGroup{all: e.sole[:], active: e.sole[:]}
	if r.Src.IsValid() {
		g.srcHi, g.srcLo, g.srcBits, _ = prefixKey(r.Src)
	}
	e.active, e.groups, e.sourced = g.active, s.group[:], g.srcBits > 0
	return e
}

// isSole reports whether sole is valid.
func (en *lpmEntry) isSole() bool { return !en.sourced && len(en.groups[0].all) == 1 }

func newRouteGroup(r Route) routeGroup {
	g := routeGroup{all: []Route{r}}
	if r.Src.IsValid() {
		g.srcHi, g.srcLo, g.srcBits, _ = prefixKey(r.Src)
	}
	return g
}

func newEntry(groups []routeGroup) *lpmEntry {
	for i := range groups {
		g := &groups[i]
		n := equallyGood(g.all)
		g.active = g.all[:n:n]
	}
	en := &lpmEntry{active: groups[0].active, groups: groups, sourced: groups[0].srcBits > 0}
	if en.isSole() {
		en.sole[0] = en.active[0]
	}
	return en
}

// equallyGood returns how many routes, the first ones, have the origin and the metric of the first.
func equallyGood(routes []Route) int {
	n := 1
	for n < len(routes) && routes[n].Origin == routes[0].Origin && routes[n].Metric == routes[0].Metric {
		n++
	}
	return n
}
