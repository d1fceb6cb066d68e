package topology

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"net/netip"
	"slices"
	"unique"
	"unsafe"

	"github.com/weft-sdn/weft/flow"
)

// LPM is a routing table: longest prefix match on the destination, source prefix as second key (R1). It is immutable; the zero value is empty.
//
// It is a path-compressed trie per family that branches by six bits at a time, changed by path copying. Why not a library's table: one walk must give the
// route and also the number of address bits that decided (docs/decisions/0006-lpm.md).
type LPM struct {
	root4, root6 lpmNode
	routes       int              // of one that leaves some out: prefixes that are left
	gone         map[Hop]struct{} // see withdraw; nil: none
	full         *LPM             // of a table that leaves some out (lpm_aggregate.go), all of them; nil: these are all
	joined       *LPM             // of such a table: prefixes that have no routes and whose halves lead the same ways
}

// lpmEntry holds the routes to one destination prefix, longest source prefix first.
type lpmEntry struct {
	sole    [1]Route // the only route, iff it is for all sources: a lookup does not read the entry
	active  []Route  // of the first group
	sourced bool     // has a group with a source prefix
	groups  []routeGroup
}

// soleRoute returns sole, which is first in the entry, without touching it: that would be the slowest step of a lookup in a big table.
func (en *lpmEntry) soleRoute() []Route { return unsafe.Slice((*Route)(unsafe.Pointer(en)), 1) }

// routeGroup holds the routes of one destination and source prefix. Those of the best origin, and of these those of the least metric, are in force.
type routeGroup struct {
	srcHi, srcLo uint64
	srcBits      uint8
	all          []Route // by origin and metric
	active       []Route // prefix of all
}

// Match is the result of a lookup.
type Match struct {
	Routes  []Route // equally good ones; none if no route matches. Read-only
	Hop     Hop     // of the first one: in big tables, found sooner than the route itself
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

// addrOfKey is the inverse of lpmKey.
func addrOfKey(hi, lo uint64, v6 bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	if v6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[:4]))
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
	root := &l.root4
	if v6 {
		root = &l.root6
	}
	hi, lo := lpmKey(dst, v6)
	best, decided := root.find(hi, lo)
	m := Match{DstBits: decided}
	switch {
	case best == nil:
	case l.gone != nil:
		shi, slo := lpmKey(src, v6)
		m.Routes, m.SrcBits = root.findStanding(hi, lo, shi, slo, l.gone)
	case best.hop != unique.Handle[Hop]{}:
		m.Routes, m.Hop = best.entry.soleRoute(), best.hop.Value()
		return m
	case !best.entry.sourced:
		m.Routes = best.entry.active
	default:
		shi, slo := lpmKey(src, v6)
		m.Routes, m.SrcBits = root.findSourced(hi, lo, shi, slo)
	}
	if len(m.Routes) > 0 {
		m.Hop = m.Routes[0].Hop()
	}
	return m
}

// find returns the longest prefix of (hi, lo), nil if there is none, and how many bits decided: with fewer, an address could match a prefix
// that this one does not.
func (n *lpmNode) find(hi, lo uint64) (best *lpmLeaf, decided uint8) {
	for {
		depth := n.depth()
		if c := commonBits(hi, lo, n.hi, n.lo); c < depth {
			return best, c + 1
		}
		x := stride(hi, lo, depth)
		above := ancestors[x]
		leaf := n.leaves>>x&1 != 0
		if leaf {
			best = n.leaf(x)
		} else if p := n.prefixes & above; p != 0 {
			best = n.prefix(highest(p))
		}
		switch {
		case n.kids>>x&1 != 0:
			n = n.kid(x)
		case leaf:
			return best, depth + strideBits
		case n.tree == 0:
			return nil, 0 // the empty table
		default:
			return best, depth + n.fork(x, above)
		}
	}
}

// lpmPath is the entries whose prefixes an address has, the shortest first.
type lpmPath struct {
	entries [129]*lpmEntry
	n       int
}

func (p *lpmPath) add(en *lpmEntry) {
	p.entries[p.n] = en
	p.n++
}

// path finds the entries on the path to (hi, lo).
func (n *lpmNode) path(hi, lo uint64, p *lpmPath) {
	for {
		depth := n.depth()
		if commonBits(hi, lo, n.hi, n.lo) < depth {
			return
		}
		x := stride(hi, lo, depth)
		for set := n.prefixes & ancestors[x]; set != 0; set &= set - 1 {
			p.add(n.prefix(lowest(set)).entry)
		}
		if n.leaves>>x&1 != 0 {
			p.add(n.leaf(x).entry)
		}
		if n.kids>>x&1 == 0 {
			return
		}
		n = n.kid(x)
	}
}

// findSourced chooses by source among the entries on the path to (hi, lo), the deepest first.
func (n *lpmNode) findSourced(hi, lo, shi, slo uint64) (best []Route, read uint8) {
	var p lpmPath
	n.path(hi, lo, &p)
	read = p.sourced(shi, slo, func(g *routeGroup) bool {
		best = g.active
		return false
	})
	return best, read
}

// sourced calls yield with the groups that the source belongs to, the best first, until it returns false. It returns how many leading
// bits of the source decided.
func (p *lpmPath) sourced(shi, slo uint64, yield func(g *routeGroup) bool) (read uint8) {
	for k := p.n - 1; k >= 0; k-- {
		for i := range p.entries[k].groups {
			g := &p.entries[k].groups[i]
			if c := commonBits(shi, slo, g.srcHi, g.srcLo); c < g.srcBits {
				read = max(read, c+1)
				continue
			}
			if read = max(read, g.srcBits); !yield(g) {
				return read
			}
		}
	}
	return read
}

// Each calls yield with the routes of each destination and source prefix that a packet matches and of each origin and metric, the best first, until it returns false.
// It returns how many leading bits of the source decided; those of the destination are Lookup's.
func (l *LPM) Each(dst, src *flow.Addr, v6 bool, yield func(routes []Route) bool) (srcBits uint8) {
	root := &l.root4
	if v6 {
		root = &l.root6
	}
	hi, lo := lpmKey(dst, v6)
	shi, slo := lpmKey(src, v6)
	var p lpmPath
	root.path(hi, lo, &p)
	return p.sourced(shi, slo, func(g *routeGroup) bool {
		for rest := g.all; len(rest) > 0; {
			n := equallyGood(rest)
			if some := standing(rest[:n:n], l.gone); len(some) > 0 && !yield(some) {
				return false
			}
			rest = rest[n:]
		}
		return true
	})
}

// Reaches reports whether there is a route to exactly a prefix, of packets of all sources.
func (l *LPM) Reaches(p netip.Prefix) (is bool) {
	dst, none := flow.AddrOf(p.Addr()), flow.Addr{}
	l.Each(&dst, &none, p.Addr().Is6(), func(routes []Route) bool {
		is = routes[0].Dst == p
		return !is && routes[0].Dst.Bits() > p.Bits()
	})
	return is
}

// Has reports whether the table has a route, in force or not.
func (l *LPM) Has(r Route) bool {
	if r.isGone(l.gone) {
		return false
	}
	hi, lo, _, v6 := prefixKey(r.Dst)
	var p lpmPath
	l.Whole().root(v6).path(hi, lo, &p)
	for _, en := range p.entries[:p.n] {
		if en.active[0].Dst == r.Dst {
			return slices.ContainsFunc(en.groups, func(g routeGroup) bool { return slices.Contains(g.all, r) })
		}
	}
	return false
}

// Len returns the number of routes, those included that were withdrawn with their hop and are still to be swept.
func (l *LPM) Len() int { return l.Whole().routes }

// All returns all routes in force, by destination.
func (l *LPM) All() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		each := func(g *routeGroup) bool {
			for _, r := range g.standing(l.gone) {
				if !yield(r) {
					return false
				}
			}
			return true
		}
		whole := l.Whole()
		_ = whole.root4.each(each) && whole.root6.each(each)
	}
}
