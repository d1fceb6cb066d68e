package topology

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"net/netip"

	"github.com/weft-sdn/weft/flow"
)

// LPM is a routing table: longest prefix match on the destination, source prefix as second key (R1). It is immutable; the zero value is empty.
//
// It is a path-compressed binary trie per family, changed by path copying. Why not a library's table: one walk must give the route and also the
// number of address bits that decided, and those bits are where the walk ends.
type LPM struct {
	root4, root6 *lpmNode
	index        *lpmIndex // of root4; nil while the table is small
	routes       int
}

// lpmNode is a prefix at which entries are or the trie forks. Valid iff it has an entry or two children; bits of key behind the prefix are zero.
type lpmNode struct {
	hi, lo uint64 // IPv4 in the upper half of hi
	child  [2]*lpmNode
	entry  *lpmEntry
	owner  *lpmEdit // the edit that may still change this node in place
	bits   uint8
}

// lpmEntry holds the routes to one destination prefix, longest source prefix first.
type lpmEntry struct {
	active  []Route // of the first group
	sourced bool    // has a group with a source prefix
	any     bool    // has a group for all sources: it is the last
	groups  []routeGroup
}

// routeGroup holds the routes of one destination and source prefix. Those of the best origin are in force.
type routeGroup struct {
	srcHi, srcLo uint64
	srcBits      uint8
	all          []Route // by origin
	active       []Route // prefix of all
}

// Match is the result of a lookup.
type Match struct {
	Routes  []Route // equally good ones; none if no route matches. Read-only
	DstBits uint8   // leading bits of the destination that decided: every address that shares them (and the source's) has the same routes
	SrcBits uint8   // the same of the source
}

// lpmKey returns an address as a trie key.
func lpmKey(a *flow.Addr, v6 bool) (hi, lo uint64) {
	if v6 {
		return binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
	}
	return uint64(binary.BigEndian.Uint32(a[12:])) << 32, 0
}

func prefixKey(p netip.Prefix) (hi, lo uint64, n uint8, v6 bool) {
	v6 = p.Addr().Is6()
	a := flow.AddrOf(p.Addr())
	hi, lo = lpmKey(&a, v6)
	return hi, lo, uint8(p.Bits()), v6
}

// commonBits returns the length of the longest common prefix, at most 128.
func commonBits(ahi, alo, bhi, blo uint64) uint8 {
	if d := ahi ^ bhi; d != 0 {
		return uint8(bits.LeadingZeros64(d))
	}
	return uint8(64 + bits.LeadingZeros64(alo^blo))
}

// keyBit returns bit n, counted from the most significant.
func keyBit(hi, lo uint64, n uint8) uint64 {
	if n < 64 {
		return hi >> (63 - n) & 1
	}
	return lo >> (127 - n) & 1
}

// maskKey clears all but the first n bits.
func maskKey(hi, lo uint64, n uint8) (uint64, uint64) {
	if n < 64 {
		return hi &^ (^uint64(0) >> n), 0
	}
	return hi, lo &^ (^uint64(0) >> (n - 64))
}

// Lookup finds the routes of a packet. src decides only where a route names a source prefix: the best route is the one with the longest
// destination prefix among those that match both, then with the longest source prefix.
func (l *LPM) Lookup(dst, src *flow.Addr, v6 bool) Match {
	n, size := l.root4, uint8(32)
	if v6 {
		n, size = l.root6, 128
	}
	hi, lo := lpmKey(dst, v6)
	var m Match
	var best *lpmEntry
	sourced := false // an entry with source prefixes was met at best or below the last one for all sources
	top := n
	if !v6 && l.index != nil {
		slot := l.index.slot(hi)
		n, best, sourced, m.DstBits = slot.node, slot.best, slot.sourced, slot.bits
	}
	for n != nil {
		if c := commonBits(hi, lo, n.hi, n.lo); c < n.bits {
			m.DstBits = c + 1
			break
		}
		if e := n.entry; e != nil {
			if e.any {
				sourced = false
			}
			sourced = sourced || e.sourced
			best = e
		}
		if n.bits == size {
			m.DstBits = size
			break
		}
		b := keyBit(hi, lo, n.bits)
		next := n.child[b]
		if next == nil {
			m.DstBits = n.bits
			if n.child[1-b] != nil {
				m.DstBits++
			}
			break
		}
		n = next
	}
	switch {
	case best == nil:
	case !sourced:
		m.Routes = best.active
	default:
		shi, slo := lpmKey(src, v6)
		m.Routes, m.SrcBits = lookupSourced(top, hi, lo, shi, slo, m.DstBits)
	}
	return m
}

// lookupSourced chooses by source among the entries on the path to (hi, lo), the deepest first.
func lookupSourced(n *lpmNode, hi, lo, shi, slo uint64, depth uint8) ([]Route, uint8) {
	var path [129]*lpmEntry
	k := 0
	for n != nil && n.bits <= depth && commonBits(hi, lo, n.hi, n.lo) >= n.bits {
		if n.entry != nil {
			if n.entry.any {
				k = 0 // nothing above can win
			}
			path[k] = n.entry
			k++
		}
		if n.bits == 128 {
			break
		}
		n = n.child[keyBit(hi, lo, n.bits)]
	}
	var read uint8
	for k--; k >= 0; k-- {
		for i := range path[k].groups {
			g := &path[k].groups[i]
			if c := commonBits(shi, slo, g.srcHi, g.srcLo); c < g.srcBits {
				read = max(read, c+1)
				continue
			}
			return g.active, max(read, g.srcBits)
		}
	}
	return nil, read
}

// Len returns the number of routes.
func (l *LPM) Len() int { return l.routes }

// All returns all routes in force, by destination.
func (l *LPM) All() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		_ = l.root4.each(yield) && l.root6.each(yield)
	}
}

func (n *lpmNode) each(yield func(Route) bool) bool {
	if n == nil {
		return true
	}
	if n.entry != nil {
		for i := range n.entry.groups {
			for _, r := range n.entry.groups[i].active {
				if !yield(r) {
					return false
				}
			}
		}
	}
	return n.child[0].each(yield) && n.child[1].each(yield)
}
