package state

import (
	"iter"
	"net/netip"
	"slices"
	"sort"
)

const (
	ribSplit = 512 // routes of a block, from which on there are several
	ribFill  = 256 // that these have then
	ribSmall = 64  // routes of a block that changed, below which it joins the one before, if that stays within ribFill
)

// ribTable is the routes of a session as they are packed. A block has the routes from its bound to that of the next one of the family; the first one's bound is the whole family. The
// zero value is empty.
type ribTable struct {
	blocks []ribBlock // in order of bounds
	dirty  map[netip.Prefix]struct{}
	stored map[netip.Prefix]struct{} // bounds of the blocks that are in the database, or may be
}

type ribBlock struct {
	bound netip.Prefix
	value []byte // encoded: a table of a million routes is kept in some megabytes
	n     int    // routes, at least 1
}

// routes decodes a block that this process encoded.
func (b *ribBlock) routes(into []RIBRoute) []RIBRoute {
	routes, err := decodeRIB(into[:0], b.value)
	if err != nil {
		panic("state: block of routes, encoded by this process: " + err.Error())
	}
	return routes
}

func (t *ribTable) clean() bool { return len(t.dirty) == 0 }

func (t *ribTable) size() (routes, blocks, bytes int) {
	for i := range t.blocks {
		routes += t.blocks[i].n
		bytes += len(t.blocks[i].value)
	}
	return routes, len(t.blocks), bytes
}

func (t *ribTable) touch(bound netip.Prefix) {
	if t.dirty == nil {
		t.dirty = map[netip.Prefix]struct{}{}
	}
	t.dirty[bound] = struct{}{}
}

// load takes note of what is stored. First: it becomes the table, stale; else it does not count. All of it is to be written again, or to be removed.
func (t *ribTable) load(found map[netip.Prefix][]byte, first bool) {
	t.stored = map[netip.Prefix]struct{}{}
	var old []RIBRoute
	for bound, value := range found {
		t.stored[bound] = struct{}{}
		t.touch(bound)
		if routes, err := decodeRIB(nil, value); first && err == nil {
			old = append(old, routes...)
		}
	}
	for i := range old {
		old[i].Stale = true
	}
	slices.SortStableFunc(old, compareRIB)
	t.change(sweepNone, slices.CompactFunc(old, func(a, b RIBRoute) bool { return a.Dst == b.Dst && a.Via == b.Via })) // twice, if a split was not finished
	for i := range t.blocks {
		t.touch(t.blocks[i].bound)
	}
}

// sortedRoutes collects routes, no two to one destination by the same gateway.
func sortedRoutes(seq iter.Seq[RIBRoute]) []RIBRoute {
	routes := slices.Collect(seq)
	slices.SortFunc(routes, compareRIB)
	return routes
}

// change sweeps the table, then has updates, which are sorted, replace routes and take them away.
func (t *ribTable) change(sweep ribSweep, updates []RIBRoute) {
	if sweep == sweepNone && len(updates) == 0 {
		return
	}
	if sweep == sweepAll && len(updates) == 0 { // what was in the blocks does not matter
		for i := range t.blocks {
			t.touch(t.blocks[i].bound)
		}
		t.blocks = nil
		return
	}
	old := t.bounded(updates)
	t.blocks = make([]ribBlock, 0, len(old))
	settled := t.clean() // all that was changed before is stored
	apart := false       // the next block does not join the one before
	for i := range old {
		n := len(updates)
		if i+1 < len(old) {
			n = sort.Search(len(updates), func(k int) bool { return comparePrefixes(updates[k].Dst, old[i+1].bound) >= 0 })
		}
		mine := updates[:n]
		updates = updates[n:]
		var had, has []RIBRoute
		changed := sweep != sweepNone || len(mine) > 0
		if changed {
			if old[i].n > 0 {
				had = old[i].routes(nil)
			}
			has = mergeRIB(swept(sweep, had), mine)
			changed = !slices.Equal(has, had)
		}
		if !changed {
			if old[i].n > 0 {
				t.blocks, apart = append(t.blocks, old[i]), false
			}
			continue
		}
		apart = t.pack(old[i].bound, has, apart || !settled)
	}
}

// bounded returns the blocks, with an empty one at the begin of a family that has updates before its first block.
func (t *ribTable) bounded(updates []RIBRoute) []ribBlock {
	old := t.blocks
	for _, zero := range []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)} {
		at := sort.Search(len(old), func(i int) bool { return comparePrefixes(old[i].bound, zero) >= 0 })
		k := sort.Search(len(updates), func(i int) bool { return comparePrefixes(updates[i].Dst, zero) >= 0 })
		if at < len(old) && old[at].bound == zero || k == len(updates) || updates[k].Dst.Addr().BitLen() != zero.Addr().BitLen() {
			continue
		}
		old = slices.Insert(slices.Clone(old), at, ribBlock{bound: zero})
	}
	return old
}

// swept returns what a sweep leaves of routes, which stay as they are.
func swept(sweep ribSweep, routes []RIBRoute) []RIBRoute {
	switch sweep {
	case sweepMark:
		routes = slices.Clone(routes)
		for i := range routes {
			routes[i].Stale = true
		}
	case sweepDropStale:
		routes = slices.DeleteFunc(slices.Clone(routes), func(r RIBRoute) bool { return r.Stale })
	case sweepAll:
		return nil
	}
	return routes
}

// mergeRIB has updates replace routes to their destinations and take them away; both are sorted.
func mergeRIB(routes, updates []RIBRoute) []RIBRoute {
	out := make([]RIBRoute, 0, len(routes)+len(updates))
	for len(routes) > 0 || len(updates) > 0 {
		c := -1
		switch {
		case len(routes) == 0:
			c = 1
		case len(updates) > 0:
			c = comparePrefixes(routes[0].Dst, updates[0].Dst)
		}
		if c < 0 {
			out, routes = append(out, routes[0]), routes[1:]
			continue
		}
		dst := updates[0].Dst
		for len(routes) > 0 && routes[0].Dst == dst {
			routes = routes[1:]
		}
		for ; len(updates) > 0 && updates[0].Dst == dst; updates = updates[1:] {
			if updates[0].Via.IsValid() {
				out = append(out, updates[0])
			}
		}
	}
	return out
}

// pack makes one block of routes, or several, or has the block before take them. It reports whether the next one is to stay apart, as this one is if apart is set: routes go from a
// stored block to new ones, or to the one before that was neither split nor is followed by blocks that are to be removed. Then readers find them, see plan.
func (t *ribTable) pack(bound netip.Prefix, routes []RIBRoute, apart bool) bool {
	t.touch(bound)
	if len(routes) == 0 {
		return true
	}
	if last := len(t.blocks) - 1; len(routes) < ribSmall && last >= 0 && !apart {
		before := &t.blocks[last]
		if before.bound.Addr().BitLen() == bound.Addr().BitLen() && before.n+len(routes) <= ribFill {
			*before = newRIBBlock(before.bound, append(before.routes(nil), routes...))
			t.touch(before.bound)
			return true
		}
	}
	parts := 1
	if len(routes) > ribSplit {
		parts = (len(routes) + ribFill - 1) / ribFill
	}
	for i := range parts {
		part := routes[cut(routes, i, parts):cut(routes, i+1, parts)]
		if len(part) == 0 {
			continue
		}
		if i > 0 {
			bound = part[0].Dst
		}
		t.blocks = append(t.blocks, newRIBBlock(bound, part))
		t.touch(bound)
	}
	return parts > 1
}

// cut is where the part of number i begins, of parts of about the same length: routes to one destination are in one.
func cut(routes []RIBRoute, i, parts int) int {
	at := i * len(routes) / parts
	for at > 0 && at < len(routes) && routes[at-1].Dst == routes[at].Dst {
		at++
	}
	return at
}

func newRIBBlock(bound netip.Prefix, routes []RIBRoute) ribBlock {
	return ribBlock{bound, slices.Clip(appendRIB(nil, routes)), len(routes)}
}
