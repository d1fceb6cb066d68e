package topology

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// RouteKind tells what a route does with a packet (R1).
type RouteKind uint8

// Route kinds. The last three are not configured: a router has them of itself.
const (
	RoutePort          RouteKind = iota // through a port, with or without gateway
	RouteReject                         // ICMP administratively prohibited
	RouteBlackhole                      // dropped in silence
	RouteLocal                          // the router's own address
	RouteUnforwardable                  // an address that no router forwards to: multicast, loopback, link-local
	RouteNoHost                         // nobody has the address: the rest of a prefix that single-host ports share (R5)
)

// String returns the kind's name in a manifest.
func (k RouteKind) String() string {
	switch k {
	case RoutePort:
		return "port"
	case RouteReject:
		return "reject"
	case RouteBlackhole:
		return "blackhole"
	case RouteLocal:
		return "local"
	case RouteUnforwardable:
		return "unforwardable"
	case RouteNoHost:
		return "no host"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// RouteOrigin tells where a route comes from. Of routes to one destination and source prefix, those of the least origin, and of these those of the least metric, are in force.
type RouteOrigin uint8

// Origins, the best first.
const (
	OriginLocal RouteOrigin = iota
	OriginStatic
	OriginConnected
	OriginLearned
	OriginBuiltin
)

// Route is one route of a router. Prefixes are masked; Src is invalid for all sources; Via is invalid without gateway. Comparable.
type Route struct {
	Dst, Src netip.Prefix
	Via      netip.Addr
	Port     flow.VPortID // of kinds port and local; 0 of a gateway that single-host ports share
	Kind     RouteKind
	Origin   RouteOrigin
	Weight   uint8  // share among equal routes, at least 1
	Metric   uint64 // of learned routes: how far, or how little wanted, the destination is by this one; 0 of others
}

// Hop is where a route leads: all that a packet on its way needs of it.
type Hop struct {
	Via  netip.Addr
	Port flow.VPortID
	Kind RouteKind
}

// Hop returns where the route leads.
func (r *Route) Hop() Hop { return Hop{r.Via, r.Port, r.Kind} }

// String returns the route in the words of a manifest.
func (r Route) String() string {
	s := r.Dst.String()
	if r.Src.IsValid() {
		s += " from " + r.Src.String()
	}
	if r.Kind != RoutePort {
		return s + " " + r.Kind.String()
	}
	if r.Via.IsValid() {
		s += " via " + r.Via.String()
	}
	return fmt.Sprintf("%s port %d", s, r.Port)
}

// compareRoutes orders the routes of one destination and source: by origin and metric, then in any fixed way, so that a table does not depend on history.
func compareRoutes(a, b Route) int {
	return cmp.Or(
		cmp.Compare(a.Origin, b.Origin),
		cmp.Compare(a.Metric, b.Metric),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Port, b.Port),
		a.Via.Compare(b.Via),
		cmp.Compare(a.Weight, b.Weight),
	)
}

// builtinRoutes returns the destinations that no router forwards to (RFC 1812 sections 5.3.4 and 5.3.7, RFC 4291 section 2.5.6).
func builtinRoutes() []Route {
	var r []Route
	for _, s := range []string{"127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/127", "fe80::/10", "ff00::/8"} {
		r = append(r, Route{Dst: netip.MustParsePrefix(s), Kind: RouteUnforwardable, Origin: OriginBuiltin, Weight: 1})
	}
	return r
}

// LinkLocal returns the IPv6 link-local address of a port with that MAC (RFC 4291 appendix A).
func LinkLocal(m packet.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// portRoutes returns the routes that a router has of itself for one of its ports: its own addresses and the networks on its link.
func portRoutes(p *VPort) []Route {
	own := func(a netip.Addr) Route {
		return Route{Dst: netip.PrefixFrom(a, a.BitLen()), Port: p.ID, Kind: RouteLocal, Origin: OriginLocal, Weight: 1}
	}
	r := []Route{own(p.LinkLocal)}
	if p.SingleHost() {
		return append(r, p.singleHostRoutes()...)
	}
	for _, a := range p.Addrs {
		r = append(r, own(a.Addr()))
		if !a.IsSingleIP() {
			r = append(r, Route{Dst: a.Masked(), Port: p.ID, Kind: RoutePort, Origin: OriginConnected, Weight: 1})
		}
	}
	return r
}
