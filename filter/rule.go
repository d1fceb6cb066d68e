package filter

import (
	"net/netip"
	"slices"
)

// Rule is met by a packet that meets all its conditions; the zero value by every packet.
type Rule struct{ Conditions []Condition }

// Condition is met by a packet whose field has a value in one of the sets, or, with Not, in none. A packet without the field has no value: a port is
// missing in what is no TCP, UDP or SCTP packet and in later fragments, an address in what is not IP.
type Condition struct {
	Field Field
	Not   bool
	Sets  []*Set
}

// Range is the values from Lo to Hi, both included. Lo is not greater.
type Range struct {
	Lo, Hi Value
	V6     bool // of addresses: the family
}

// Set is a set of values of one field. Immutable. Sets that many rules share are to be one Set: what it costs then does not grow with the rules.
type Set struct {
	ranges []Range // sorted, neither touching nor overlapping; addresses: those of IPv4
	v6     []Range // addresses of IPv6
}

// NewSet returns the set of all values in some ranges, for a field that is no address.
func NewSet(ranges ...Range) *Set { return &Set{ranges: normalize(ranges)} }

// NewAddrSet returns the set of all addresses in some prefixes.
func NewAddrSet(prefixes ...netip.Prefix) *Set {
	ranges := make([]Range, 0, len(prefixes))
	for _, p := range prefixes {
		ranges = append(ranges, rangeOf(p))
	}
	return NewAddrRangeSet(ranges...)
}

// NewAddrRangeSet returns the set of all addresses in some ranges.
func NewAddrRangeSet(ranges ...Range) *Set {
	var v4, v6 []Range
	for _, r := range ranges {
		if r.V6 {
			v6 = append(v6, r)
		} else {
			v4 = append(v4, r)
		}
	}
	return &Set{normalize(v4), normalize(v6)}
}

// Equal reports whether two sets have the same values.
func (s *Set) Equal(o *Set) bool {
	return s == o || slices.Equal(s.ranges, o.ranges) && slices.Equal(s.v6, o.v6)
}

// of returns the set's ranges in a domain.
func (s *Set) of(domain int) []Range {
	if domain >= int(fields) {
		return s.v6
	}
	return s.ranges
}

// has reports whether a value that is no address is in the set.
func (s *Set) has(v Value) bool {
	return slices.ContainsFunc(s.ranges, func(r Range) bool { return !v.Less(r.Lo) && !r.Hi.Less(v) })
}

func rangeOf(p netip.Prefix) Range {
	lo := AddrValue(p.Masked().Addr())
	host := last(p.Addr().BitLen() - p.Bits())
	if p.Addr().BitLen() == p.Bits() {
		host = Value{}
	}
	return Range{lo, Value{lo.Hi | host.Hi, lo.Lo | host.Lo}, p.Addr().Is6()}
}

// AddrValue returns an address as a value of its family's domain.
func AddrValue(a netip.Addr) Value {
	var v Value
	for _, b := range a.AsSlice() {
		v.Hi = v.Hi<<8 | v.Lo>>56
		v.Lo = v.Lo<<8 | uint64(b)
	}
	return v
}

// normalize sorts ranges and joins those that touch.
func normalize(ranges []Range) []Range {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b Range) int { return compare(a.Lo, b.Lo) })
	out := sorted[:0]
	for _, r := range sorted {
		if n := len(out); n > 0 {
			if after, ok := out[n-1].Hi.next(128); !ok || !after.Less(r.Lo) {
				if out[n-1].Hi.Less(r.Hi) {
					out[n-1].Hi = r.Hi
				}
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

func compare(a, b Value) int {
	switch {
	case a.Less(b):
		return -1
	case b.Less(a):
		return 1
	}
	return 0
}
