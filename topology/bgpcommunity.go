package topology

import (
	"fmt"
	"strconv"
	"strings"
)

// Community is what operators mark routes with: two numbers of 16 bits (RFC 1997), or three of 32 bits (RFC 8092). Comparable; the zero value is none.
type Community struct {
	Large bool
	Of    uint32 // the AS that gives it its meaning; RFC 1997: 16 bits
	Value [2]uint32
}

// wellKnown are the communities of RFC 1997, RFC 3765 and RFC 7999 that have names.
var wellKnown = map[BGPCommunity]uint32{"no-export": 0xffffff01, "no-advertise": 0xffffff02, "no-peer": 0xffffff04, "blackhole": 0xffff029a}

// StandardCommunity returns the community of RFC 1997 that a number stands for.
func StandardCommunity(n uint32) Community {
	return Community{Of: n >> 16, Value: [2]uint32{n & 0xffff}}
}

// Standard returns the number of a community of RFC 1997.
func (c Community) Standard() uint32 { return c.Of<<16 | c.Value[0] }

// String returns the community as people write it.
func (c Community) String() string {
	if c.Large {
		return fmt.Sprintf("%d:%d:%d", c.Of, c.Value[0], c.Value[1])
	}
	for name, n := range wellKnown {
		if n == c.Standard() {
			return string(name)
		}
	}
	return fmt.Sprintf("%d:%d", c.Of, c.Value[0])
}

// Parse reads a community; "" is none.
func (s BGPCommunity) Parse() (Community, error) {
	if s == "" {
		return Community{}, nil
	}
	if n, known := wellKnown[s]; known {
		return StandardCommunity(n), nil
	}
	parts := strings.Split(string(s), ":")
	bits := 16
	if len(parts) == 3 {
		bits = 32
	} else if len(parts) != 2 {
		return Community{}, fmt.Errorf("%q is no community", string(s))
	}
	c := Community{Large: len(parts) == 3}
	for i, to := range []*uint32{&c.Of, &c.Value[0], &c.Value[1]}[:len(parts)] {
		n, err := strconv.ParseUint(parts[i], 10, bits)
		if err != nil || parts[i] != strconv.FormatUint(n, 10) {
			return Community{}, fmt.Errorf("%q is no community", string(s))
		}
		*to = uint32(n)
	}
	if c == (Community{}) {
		return c, fmt.Errorf("%q is reserved", string(s))
	}
	return c, nil
}
