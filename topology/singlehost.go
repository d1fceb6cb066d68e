package topology

import (
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
)

// A single-host port (R5) is written with the host's address and the prefix that it shares with the hosts of other such ports. The port's own address is
// then the prefix's first one, the hosts' gateway, which all those ports have.

// gatewayOf returns the gateway of the hosts in an address's prefix, the same for all of them.
func gatewayOf(host netip.Prefix) netip.Addr { return host.Masked().Addr().Next() }

// ownAddresses returns the addresses of the port itself.
func (s *VPortSpec) ownAddresses() []netip.Prefix {
	if !s.SingleHost {
		return s.Addresses
	}
	var own []netip.Prefix
	for _, a := range s.Addresses {
		if g := netip.PrefixFrom(gatewayOf(a), a.Bits()); !slices.Contains(own, g) {
			own = append(own, g)
		}
	}
	return own
}

// hosts returns the addresses of a single-host port's host.
func (s *VPortSpec) hosts() []netip.Addr {
	if !s.SingleHost {
		return nil
	}
	hosts := make([]netip.Addr, len(s.Addresses))
	for i, a := range s.Addresses {
		hosts[i] = a.Addr()
	}
	return hosts
}

// SingleHost reports whether the port has one host, whose addresses are Hosts.
func (p *VPort) SingleHost() bool { return len(p.Hosts) > 0 }

// singleHostRoutes is what the router has for the port, but for its link-local address. The gateway and the rest of the prefix are not the port's alone.
func (p *VPort) singleHostRoutes() []Route {
	var r []Route
	for _, a := range p.Addrs {
		r = append(r,
			Route{Dst: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), Kind: RouteLocal, Origin: OriginLocal, Weight: 1},
			Route{Dst: a.Masked(), Kind: RouteNoHost, Origin: OriginConnected, Weight: 1})
	}
	for _, a := range p.Hosts {
		r = append(r, Route{Dst: netip.PrefixFrom(a, a.BitLen()), Port: p.ID, Kind: RoutePort, Origin: OriginConnected, Weight: 1})
	}
	return r
}

// StandIn returns the single-host port whose host has address a, if it is another one than p and shares the prefix with p: at p, the router answers for it,
// and forwards to it as if both were on one link (R5). 0: there is none. It changes with the route to a.
func (s *Snapshot) StandIn(p *VPort, a netip.Addr) flow.VPortID {
	r := s.Router(p.Device)
	if r == nil || !p.SingleHost() || !slices.ContainsFunc(p.Addrs, func(x netip.Prefix) bool { return x.Contains(a) }) {
		return 0
	}
	if q := r.hosts[a]; q != p.ID {
		return q
	}
	return 0
}
