// Package peer is a BGP speaker of another maker, BIRD or FRR, in a network namespace on an Ethernet link of the testbed.
package peer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Maker is who made a speaker.
type Maker string

// The makers there are.
const (
	BIRD Maker = "BIRD" // Debian package bird2
	FRR  Maker = "FRR"  // Debian package frr: zebra, bgpd and bfdd
)

// Config says what a speaker is like. Learned routes go to its kernel, best paths of equal cost side by side; what it announces does not, and what it
// learns it tells nobody.
type Config struct {
	Maker      Maker
	Name       string
	MAC        [6]byte
	Addrs      []netip.Prefix // of the interface; one of an announced prefix is reachable when it stands here too
	MTU        int            // bytes of IP packet; zero means 1500
	RouterID   netip.Addr     // IPv4
	AS         uint32
	Neighbours []Neighbour
	Announce   []netip.Prefix // IPv4 and IPv6, to each neighbour that takes the family
	Ways       []Way          // BIRD: the same, each a path of its own, which a neighbour with AddPath is told all of
}

// Way is a path with a next hop other than the speaker, on the link with the neighbours.
type Way struct {
	Prefix netip.Prefix
	Via    netip.Addr
}

// Neighbour is one session.
type Neighbour struct {
	Addr        netip.Addr
	AS          uint32
	V4, V6      bool   // families of the routes; neither: that of Addr
	Password    string // of TCP-MD5 (RFC 2385); empty: none
	Passive     bool   // only the neighbour connects
	TTLSecurity bool   // RFC 5082, of a neighbour on the link
	Multihop    int    // hops; zero: the neighbour is on the link
	HoldTime    int    // s, at least 3; zero means the maker's own
	MaxPrefix   int    // of one family; the session ends when there are more; zero: any number
	BFD         bool   // RFC 5880: three lost; with Multihop RFC 5883
	BFDTime     int    // ms between packets; zero means 100. BIRD takes that of the first neighbour for all
	BFDGraceful bool   // with BFD and Graceful: a neighbour that is lost by BFD may be one that restarts
	Graceful    bool   // graceful restart (RFC 4724) as the one that restarts
	Reflect     bool   // of the same AS: it is a client of this speaker, a route reflector (RFC 4456)
	AddPath     bool   // RFC 7911, both ways
	Prepend     int    // how often more the own AS stands in front of the paths that it is told: 0 to 9
}

// complete checks the configuration and makes what it leaves out explicit.
func (c *Config) complete() error {
	bad := func(field string, found any, want string) error {
		return fmt.Errorf("peer %q: %s %v: want %s", c.Name, field, found, want)
	}
	switch {
	case c.Name == "" || strings.ContainsFunc(c.Name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }):
		return bad("name", c.Name, "lower case letters, digits and -")
	case c.Maker != BIRD && c.Maker != FRR:
		return bad("maker", c.Maker, "BIRD or FRR")
	case !c.RouterID.Is4():
		return bad("router id", c.RouterID, "an IPv4 address")
	case c.AS == 0:
		return bad("AS", c.AS, "a number from 1")
	case c.Maker != BIRD && len(c.Ways) > 0:
		return bad("ways", c.Ways, "none of a maker other than BIRD")
	}
	for _, w := range c.Ways {
		if !w.Prefix.IsValid() || w.Prefix != w.Prefix.Masked() || w.Via.Is4() != w.Prefix.Addr().Is4() || !w.Via.IsValid() {
			return bad("way", w, "a prefix and a next hop of its IP version")
		}
	}
	c.Neighbours, c.Announce = slices.Clone(c.Neighbours), slices.Clone(c.Announce)
	for i := range c.Neighbours {
		n := &c.Neighbours[i]
		switch {
		case !n.Addr.IsValid() || n.Addr.Zone() != "" || n.Addr.Is4In6():
			return bad("neighbour", n.Addr, "an IPv4 or IPv6 address")
		case !c.local(n.Addr).IsValid():
			return bad("neighbour", n.Addr, "an address of the interface of its IP version")
		case n.AS == 0:
			return bad("AS of neighbour "+n.Addr.String(), n.AS, "a number from 1")
		case strings.ContainsAny(n.Password, "\"\\ \n") || len(n.Password) > 80:
			return bad("password of neighbour "+n.Addr.String(), "(hidden)", "at most 80 characters without space, quote and backslash")
		case n.HoldTime != 0 && (n.HoldTime < 3 || n.HoldTime > 65535):
			return bad("hold time of neighbour "+n.Addr.String(), n.HoldTime, "3 to 65535 s")
		case n.Multihop != 0 && n.TTLSecurity:
			return bad("TTL security of neighbour "+n.Addr.String(), n.TTLSecurity, "none with multihop")
		case n.BFD && n.TTLSecurity && c.Maker == FRR: // it takes that for multihop, and speaks BFD so, which others do not
			return bad("BFD of neighbour "+n.Addr.String(), n.BFD, "none with TTL security, which FRR does as multihop BFD")
		case n.BFDTime != 0 && (n.BFDTime < 50 || n.BFDTime > 10000):
			return bad("time of BFD of neighbour "+n.Addr.String(), n.BFDTime, "50 to 10000 ms")
		case n.Reflect && n.AS != c.AS:
			return bad("client "+n.Addr.String()+" of AS", n.AS, "the own AS")
		case n.Prepend < 0 || n.Prepend > 9:
			return bad("prepending to neighbour "+n.Addr.String(), n.Prepend, "0 to 9")
		case n.Multihop < 0 || n.Multihop > 255:
			return bad("multihop of neighbour "+n.Addr.String(), n.Multihop, "0 to 255")
		}
		n.BFDTime = cmp.Or(n.BFDTime, 100)
		if !n.V4 && !n.V6 {
			n.V4, n.V6 = n.Addr.Is4(), n.Addr.Is6()
		}
	}
	return c.checkPrefixes(c.Announce)
}

func (c *Config) checkPrefixes(prefixes []netip.Prefix) error {
	for _, p := range prefixes {
		if !p.IsValid() || p != p.Masked() {
			return fmt.Errorf("peer %q: prefix %s: want the lowest address of a prefix", c.Name, p)
		}
	}
	return nil
}

// local is the address that a session with a neighbour begins at: that of its prefix, or else the first of its IP version.
func (c *Config) local(neighbour netip.Addr) (local netip.Addr) {
	for _, p := range c.Addrs {
		switch {
		case p.Contains(neighbour):
			return p.Addr()
		case !local.IsValid() && p.Addr().Is4() == neighbour.Is4():
			local = p.Addr()
		}
	}
	return local
}

func (c *Config) neighbour(addr netip.Addr) (*Neighbour, error) {
	for i := range c.Neighbours {
		if c.Neighbours[i].Addr == addr {
			return &c.Neighbours[i], nil
		}
	}
	return nil, fmt.Errorf("peer %q: no neighbour %s is configured", c.Name, addr)
}

// any tells whether a neighbour is so.
func (c *Config) any(is func(Neighbour) bool) bool { return slices.ContainsFunc(c.Neighbours, is) }
