package rpki

import (
	"cmp"
	"fmt"
	"net/netip"
)

// VRP says that an AS may originate a prefix, and what is within it to a length: a validated ROA payload (RFC 6811 section 2). Comparable.
type VRP struct {
	Prefix netip.Prefix
	MaxLen uint8
	AS     uint32 // 0: nobody may (RFC 6483 section 4)
}

// String returns it as people write it.
func (v VRP) String() string {
	if int(v.MaxLen) == v.Prefix.Bits() {
		return fmt.Sprintf("%s AS %d", v.Prefix, v.AS)
	}
	return fmt.Sprintf("%s to /%d AS %d", v.Prefix, v.MaxLen, v.AS)
}

func (v VRP) compare(o VRP) int {
	return cmp.Or(v.Prefix.Compare(o.Prefix), cmp.Compare(v.MaxLen, o.MaxLen), cmp.Compare(v.AS, o.AS))
}

// State is what VRPs say of a route (RFC 6811 section 2).
type State string

// States.
const (
	NotFound State = "notFound" // no VRP covers the prefix
	Valid    State = "valid"    // one that does has its origin, and allows its length
	Invalid  State = "invalid"  // some cover it, and none of them is for it
)

// NoOrigin is the origin of a route of which it can't be told, whose path ends in a set: no VRP is for it.
const NoOrigin = 0
