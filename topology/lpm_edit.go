package topology

import (
	"math/bits"
	"net/netip"
	"slices"
	"unique"
	"unsafe"
)

// lpmEdit builds the next LPM: arrays that it made are changed in place, others copied.
type lpmEdit struct{ lpm LPM }

// lpmPrefix is a prefix as the trie has it: (hi, lo)/size.
type lpmPrefix struct {
	hi, lo uint64
	size   uint8
}

func prefixOf(prefix netip.Prefix) (p lpmPrefix, v6 bool) {
	p.hi, p.lo, p.size, v6 = prefixKey(prefix)
	return p, v6
}

// With returns the table without the routes in del and with those in add.
// Cost: O(prefix length) per route, shared with routes nearby.
func (l *LPM) With(add, del []Route) *LPM {
	if l.full != nil {
		return l.withAggregated(add, del)
	}
	e := &lpmEdit{*l}
	for _, r := range del {
		e.change(r, (*lpmEntry).without)
	}
	for _, r := range add {
		e.change(r, (*lpmEntry).with)
	}
	return e.end()
}

// end returns the table, which nobody changes from now on.
func (e *lpmEdit) end() *LPM {
	e.lpm.root4.release()
	e.lpm.root6.release()
	return &e.lpm
}

func (e *lpmEdit) change(r Route, f func(*lpmEntry, Route) (*lpmEntry, int)) {
	p, v6 := prefixOf(r.Dst)
	root := e.lpm.root(v6)
	*root = root.with(p, func(old *lpmEntry) *lpmEntry {
		entry, d := f(old, r)
		e.lpm.routes += d
		return entry
	})
}

// with returns n with the entry of a prefix replaced by f of it (nil: there is none).
func (n lpmNode) with(p lpmPrefix, f func(*lpmEntry) *lpmEntry) lpmNode {
	at, depth := home(p.size), n.depth()
	switch c := commonBits(p.hi, p.lo, n.hi, n.lo); {
	case n.tree == 0 || at < depth || c < depth: // n is the empty table, or the prefix belongs above it or beside it
		added := newFork(p.hi, p.lo, at).edit(p, f)
		switch {
		case added.tree == 0:
			return n
		case n.tree == 0:
			return added
		case at <= c && at < depth:
			return added.setKid(n)
		}
		return newFork(p.hi, p.lo, min(c, depth)/strideBits*strideBits).setKid(n).setKid(added)
	case at == depth:
		return n.edit(p, f)
	}
	x := stride(p.hi, p.lo, depth)
	if n.kids>>x&1 == 0 {
		if added := newFork(p.hi, p.lo, at).edit(p, f); added.tree != 0 {
			return n.setKid(added)
		}
		return n
	}
	old := *n.kid(x)
	switch next := old.with(p, f); {
	case next == old:
		return n
	case next.tree == 0:
		return n.withoutKid(x)
	default:
		return n.setKid(next)
	}
}

// edit does the same for a prefix that is at home in n.
func (n lpmNode) edit(p lpmPrefix, f func(*lpmEntry) *lpmEntry) lpmNode {
	depth := n.depth()
	x := stride(p.hi, p.lo, depth)
	set, bit, i := &n.leaves, x, bits.OnesCount64(n.prefixes)+rank(n.leaves, x)
	if p.size < depth+strideBits {
		bit = p.number(depth)
		set, i = &n.prefixes, rank(n.prefixes, bit)
	}
	var old *lpmEntry
	there := *set>>bit&1 != 0
	if there {
		old = at(n.entries, i).entry
	}
	entry := f(old)
	if entry == old {
		return n
	}
	n.own()
	entries := unsafe.Slice(n.entries, n.leafCount())
	switch {
	case entry == nil:
		n.entries = unsafe.SliceData(slices.Delete(entries, i, i+1))
		*set &^= 1 << bit
	case there:
		entries[i] = newLeaf(entry)
	default:
		n.entries = insert(entries, i, newLeaf(entry))
		*set |= 1 << bit
	}
	n.grow()
	return n.short()
}

func newLeaf(entry *lpmEntry) lpmLeaf {
	l := lpmLeaf{entry: entry}
	if entry.isSole() {
		l.hop = unique.Make(entry.sole[0].Hop())
	}
	return l
}

// setKid puts a fork where it belongs behind n.
func (n lpmNode) setKid(kid lpmNode) lpmNode {
	x := stride(kid.hi, kid.lo, n.depth())
	n.own()
	if n.kids>>x&1 != 0 {
		*n.kid(x) = kid
		return n
	}
	n.forks = insert(unsafe.Slice(n.forks, bits.OnesCount64(n.kids)), rank(n.kids, x), kid)
	n.kids |= 1 << x
	n.grow()
	return n
}

// withoutKid takes the fork behind the six bits x out.
func (n lpmNode) withoutKid(x uint) lpmNode {
	n.own()
	i := rank(n.kids, x)
	n.forks = unsafe.SliceData(slices.Delete(unsafe.Slice(n.forks, bits.OnesCount64(n.kids)), i, i+1))
	n.kids &^= 1 << x
	n.grow()
	return n.short()
}

// short returns what n is once something was taken out of it.
func (n lpmNode) short() lpmNode {
	switch {
	case n.prefixes|n.leaves != 0 || bits.OnesCount64(n.kids) > 1:
		return n
	case n.kids != 0:
		return *n.forks
	}
	return lpmNode{}
}

// grow makes n.tree what it is to be.
func (n *lpmNode) grow() {
	n.tree = n.prefixes
	for k := n.kids | n.leaves; k != 0; k &= k - 1 {
		n.tree |= 1 << (32 + lowest(k)/2)
	}
	for level := uint64(32); level > 1; level /= 2 { // numbers from level to 2·level-1, in pairs
		for set := n.tree & (1<<(2*level-1)<<1 - 1<<level); set != 0; set &= set - 1 {
			n.tree |= 1 << (lowest(set) / 2)
		}
	}
}

func (n *lpmNode) leafCount() int { return bits.OnesCount64(n.prefixes) + bits.OnesCount64(n.leaves) }

// own gives a fork arrays that this edit may change.
func (n *lpmNode) own() {
	if n.lo&loOwned != 0 {
		return
	}
	n.lo |= loOwned
	n.forks = copied(n.forks, bits.OnesCount64(n.kids))
	n.entries = copied(n.entries, n.leafCount())
}

// release ends an edit: what it made is nobody's from now on.
func (n *lpmNode) release() {
	if n.lo&loOwned == 0 {
		return
	}
	n.lo &^= loOwned
	kids := unsafe.Slice(n.forks, bits.OnesCount64(n.kids))
	for i := range kids {
		kids[i].release()
	}
}

// roomFor is how much larger arrays are than they have to be, in elements, less one: an edit that adds many routes makes few arrays.
const roomFor = 4 - 1

// room makes an empty array for n elements. All arrays of a table are made so.
func room[T any](n int) []T { return make([]T, 0, (n+roomFor)&^roomFor) }

func copied[T any](first *T, n int) *T {
	if n == 0 {
		return nil
	}
	return unsafe.SliceData(append(room[T](n), unsafe.Slice(first, n)...))
}

// insert puts x at i of an array that is the edit's own, in place if there is room.
func insert[T any](all []T, i int, x T) *T {
	n := len(all)
	if n&roomFor != 0 {
		all = unsafe.Slice(unsafe.SliceData(all), n+1)
		copy(all[i+1:], all[i:])
		all[i] = x
		return unsafe.SliceData(all)
	}
	return unsafe.SliceData(append(append(append(room[T](n+1), all[:i]...), x), all[i:]...))
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
