package topology

import (
	"slices"
)

// lpmEdit builds the next LPM: nodes that it made are changed in place, others copied.
type lpmEdit struct {
	lpm   LPM
	dirty *[1 << 10]uint64 // slots of the index that edits touched, one bit each
	near  [2]uint8         // lengths of the last two prefixes passed on the way down: what an edit touches is below the first
}

// With returns the table without the routes in del and with those in add.
// Cost: O(prefix length) per route, shared with routes nearby.
func (l *LPM) With(add, del []Route) *LPM {
	e := &lpmEdit{lpm: *l}
	for _, r := range del {
		e.change(r, (*lpmEntry).without)
	}
	for _, r := range add {
		e.change(r, (*lpmEntry).with)
	}
	e.reindex()
	return &e.lpm
}

func (e *lpmEdit) change(r Route, f func(*lpmEntry, Route) (*lpmEntry, int)) {
	hi, lo, n, v6 := prefixKey(r.Dst)
	root := &e.lpm.root4
	if v6 {
		root = &e.lpm.root6
	}
	e.near = [2]uint8{}
	*root = e.at(*root, hi, lo, n, func(old *lpmEntry) *lpmEntry {
		entry, d := f(old, r)
		e.lpm.routes += d
		return entry
	})
	if !v6 {
		e.markDirty(hi, e.near[0])
	}
}

// own returns a node that this edit may change.
func (e *lpmEdit) own(n *lpmNode) *lpmNode {
	if n.owner == e {
		return n
	}
	c := *n
	c.owner = e
	return &c
}

// at replaces the entry of a prefix below n by f of it (nil: there is none) and returns the new n.
func (e *lpmEdit) at(n *lpmNode, hi, lo uint64, size uint8, f func(*lpmEntry) *lpmEntry) *lpmNode {
	if n == nil {
		if entry := f(nil); entry != nil {
			return &lpmNode{hi: hi, lo: lo, bits: size, entry: entry, owner: e}
		}
		return nil
	}
	c := min(commonBits(hi, lo, n.hi, n.lo), size, n.bits)
	switch {
	case c < n.bits: // leaves n's prefix, or is above it
		entry := f(nil)
		if entry == nil {
			return n
		}
		leaf := &lpmNode{hi: hi, lo: lo, bits: size, entry: entry, owner: e}
		if c == size {
			leaf.child[keyBit(n.hi, n.lo, c)] = n
			return leaf
		}
		fork := &lpmNode{bits: c, owner: e}
		fork.hi, fork.lo = maskKey(hi, lo, c)
		fork.child[keyBit(hi, lo, c)] = leaf
		fork.child[keyBit(n.hi, n.lo, c)] = n
		return fork
	case size == n.bits:
		entry := f(n.entry)
		if entry == n.entry {
			return n
		}
		n = e.own(n)
		n.entry = entry
		return n.collapse()
	}
	e.near[0], e.near[1] = e.near[1], n.bits
	b := keyBit(hi, lo, n.bits)
	child := e.at(n.child[b], hi, lo, size, f)
	if child == n.child[b] {
		return n
	}
	n = e.own(n)
	n.child[b] = child
	return n.collapse()
}

// collapse removes a node that is no longer valid in itself.
func (n *lpmNode) collapse() *lpmNode {
	switch {
	case n.entry != nil || n.child[0] != nil && n.child[1] != nil:
		return n
	case n.child[0] != nil:
		return n.child[0]
	}
	return n.child[1]
}

// with returns the entry with r; the number of routes added is 0 if it was there.
func (en *lpmEntry) with(r Route) (*lpmEntry, int) {
	g := newRouteGroup(r)
	if en == nil {
		return newEntry([]routeGroup{g}), 1
	}
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
		n := 1
		for n < len(g.all) && g.all[n].Origin == g.all[0].Origin {
			n++
		}
		g.active = g.all[:n:n]
	}
	return &lpmEntry{active: groups[0].active, groups: groups, sourced: groups[0].srcBits > 0, any: groups[len(groups)-1].srcBits == 0}
}
