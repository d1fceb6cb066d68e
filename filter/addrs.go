package filter

import (
	"math/bits"
	"slices"

	"github.com/weft-sdn/weft/flow"
)

// Addrs is a set of addresses made ready to be searched: a Classifier of one rule with one condition, for who asks that and nothing else. Immutable.
type Addrs struct{ v4, v6 []Range } // sorted, apart

// NewAddrs returns the set of all addresses in some ranges.
func NewAddrs(ranges ...Range) *Addrs {
	s := NewAddrRangeSet(ranges...)
	return &Addrs{s.ranges, s.v6}
}

// AddrsOf returns a set of addresses that conditions have.
func AddrsOf(s *Set) *Addrs { return &Addrs{s.ranges, s.v6} }

// Has reports whether an address of a family is in the set, and how many of its leading bits tell.
func (s *Addrs) Has(a *flow.Addr, v6 bool) (in bool, needed uint8) {
	ranges, width := s.v4, 32
	if v6 {
		ranges, width = s.v6, 128
	}
	hi, lo := a.Halves()
	v := Value{hi, lo}
	i := 0 // ranges that begin at v or before
	if len(ranges) < 8 {
		for i < len(ranges) && !v.Less(ranges[i].Lo) {
			i++
		}
	} else {
		i, _ = slices.BinarySearchFunc(ranges, v, func(r Range, v Value) int {
			if v.Less(r.Lo) {
				return 1
			}
			return -1
		})
	}
	n := 0
	apart := func(b Value) {
		h := bits.LeadingZeros64(v.Hi ^ b.Hi)
		if h == 64 {
			h += bits.LeadingZeros64(v.Lo ^ b.Lo)
		}
		n = max(n, h-(128-width)+1)
	}
	if i > 0 {
		before := &ranges[i-1]
		if in = !before.Hi.Less(v); in {
			if before.Lo != (Value{}) {
				apart(before.Lo.prev())
			}
			if end, ok := before.Hi.next(width); ok {
				apart(end)
			}
			return true, uint8(n)
		}
		apart(before.Hi)
	}
	if i < len(ranges) {
		apart(ranges[i].Lo)
	}
	return false, uint8(n)
}
