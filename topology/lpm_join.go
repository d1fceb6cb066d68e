package topology

import (
	"net/netip"
	"slices"
	"sort"
)

// up is the prefix that is one bit shorter. Valid iff there is one.
func (p lpmPrefix) up() lpmPrefix {
	p.size--
	p.hi, p.lo = maskKey(p.hi, p.lo, p.size)
	return p
}

// halves are the prefixes that are one bit longer. Valid iff there are any.
func (p lpmPrefix) halves() [2]lpmPrefix {
	a, b := p, p
	a.size++
	b.size++
	if p.size < 64 {
		b.hi |= 1 << (63 - p.size)
	} else {
		b.lo |= 1 << (127 - p.size)
	}
	return [2]lpmPrefix{a, b}
}

// addrBits is the length of an address.
func (e *aggregateEdit) addrBits() uint8 {
	if e.v6 {
		return 128
	}
	return 32
}

// value is the entry of a prefix, be it of routes or joined, if it can be joined with that of the other half of what is above.
func (e *aggregateEdit) value(p lpmPrefix) *lpmEntry {
	if entry, _ := e.has(p); entry != nil {
		return entry.valued()
	}
	entry, _ := e.join(p)
	return entry
}

// valued is the entry if it can be joined.
func (en *lpmEntry) valued() *lpmEntry {
	if en == nil || en.sourced || slices.ContainsFunc(en.groups[0].all, func(r Route) bool { return !r.forwards() }) {
		return nil
	}
	return en
}

// joinOf returns the entry of a prefix whose halves have these; nil: they lead other ways.
func (e *aggregateEdit) joinOf(p lpmPrefix, a, b *lpmEntry) *lpmEntry {
	if a == nil || b == nil || !sameWays(a, b) {
		return nil
	}
	routes := slices.Clone(a.groups[0].all)
	for i := range routes {
		routes[i].Dst = netip.PrefixFrom(addrOfKey(p.hi, p.lo, e.v6), int(p.size))
	}
	if len(routes) == 1 {
		return newSole(routes[0])
	}
	return newEntry([]routeGroup{{all: routes}})
}

// rejoin finds what is joined at a prefix whose routes changed, and above it, up to the next one that has routes. It returns where that changed.
func (e *aggregateEdit) rejoin(p lpmPrefix, entry, up *lpmEntry) (changed []lpmPrefix) {
	if e.joinAt(p, entry != nil) {
		changed = append(changed, p)
	}
	limit := -1
	if up != nil {
		limit = up.dst().Bits()
	}
	for int(p.size)-1 > limit {
		if p = p.up(); !e.joinAt(p, false) {
			return changed
		}
		changed = append(changed, p)
	}
	return changed
}

// joinAt finds what is joined at a prefix, nothing if it has routes, and reports whether that changed.
func (e *aggregateEdit) joinAt(p lpmPrefix, has bool) bool {
	was, _ := e.join(p)
	var is *lpmEntry
	if !has && p.size < e.addrBits() {
		halves := p.halves()
		if a := e.value(halves[0]); a != nil {
			is = e.joinOf(p, a, e.value(halves[1]))
		}
	}
	if is == nil && was == nil || is != nil && was != nil && sameWays(is, was) {
		return false
	}
	e.joined.put(p, e.v6, is)
	return true
}

// joinAll finds all that is joined.
func (e *aggregateEdit) joinAll() {
	type at struct {
		prefix lpmPrefix
		entry  *lpmEntry
	}
	var all []at // by destination, shorter ones first
	e.full.root(e.v6).eachEntry(func(en *lpmEntry) bool {
		all = append(all, at{en.prefix(), en})
		return true
	})
	// from finds what is joined at a prefix and below it, where some are that have routes, and returns the prefix's value.
	var from func(p lpmPrefix, some []at) *lpmEntry
	from = func(p lpmPrefix, some []at) *lpmEntry {
		if len(some) == 0 {
			return nil
		}
		var own *lpmEntry
		if some[0].prefix.size == p.size {
			if own = some[0].entry; len(some) == 1 {
				return own.valued()
			}
			some = some[1:]
		}
		first, last := some[0].prefix, some[len(some)-1].prefix
		if common := min(commonBits(first.hi, first.lo, last.hi, last.lo), first.size); common > p.size { // half of it is empty
			down := lpmPrefix{size: common}
			down.hi, down.lo = maskKey(first.hi, first.lo, common)
			from(down, some)
			return own.valued()
		}
		halves := p.halves()
		second := sort.Search(len(some), func(i int) bool {
			return commonBits(some[i].prefix.hi, some[i].prefix.lo, halves[1].hi, halves[1].lo) > p.size
		})
		a, b := from(halves[0], some[:second]), from(halves[1], some[second:])
		if own != nil {
			return own.valued()
		}
		is := e.joinOf(p, a, b)
		if is != nil {
			e.joined.put(p, e.v6, is)
		}
		return is
	}
	from(lpmPrefix{}, all)
}
