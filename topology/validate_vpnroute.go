package topology

import (
	"fmt"
	"net/netip"
	"slices"
)

// vpnRoutes checks that what the router's routes lead into a VPN is behind one of its peers: the rest of it would be dropped in the tunnel, where nobody looks.
func (v *validator) vpnRoutes(o *Object, s *VPNSpec) {
	if s.Ethernet != nil {
		return
	}
	private := o.VPortRef(s.VPort)
	p := v.set.Get(private)
	if p == nil {
		return // reported
	}
	router := v.deviceOf(p)
	if router == nil {
		return
	}
	spec, ok := router.Spec.(*RouterSpec)
	if !ok {
		return // reported
	}
	behind := s.behind()
	check := func(routes []RouteSpec, field string) {
		for i := range routes {
			r := &routes[i]
			if r.Port == "" || router.VPortRef(r.Port) != private {
				continue
			}
			at := fmt.Sprintf("%v: %s[%d]", router.Ref(), field, i)
			if !allBehind(r.Dst, behind) {
				v.failRef(o, "spec.peers", "", fmt.Sprintf("have not all of %v behind them, which a route leads into port %s (%s)", r.Dst, s.VPort, at), "add it to allowedIPs of a peer, or lead it elsewhere")
			}
			if r.Via.IsValid() && !allBehind(netip.PrefixFrom(r.Via, r.Via.BitLen()), behind) {
				v.failRef(o, "spec.peers", "", fmt.Sprintf("have not %v behind them, by which a route goes (%s)", r.Via, at), "add it to allowedIPs of a peer, or leave via out")
			}
		}
	}
	check(spec.Routes, "spec.routes")
	for i := range spec.Tables {
		check(spec.Tables[i].Routes, fmt.Sprintf("spec.tables[%d].routes", i))
	}
}

// behind is what is behind all peers.
func (s *VPNSpec) behind() []netip.Prefix {
	var all []netip.Prefix
	for i := range s.Peers {
		all = append(all, s.Peers[i].AllowedIPs...)
	}
	return all
}

// allBehind reports whether all addresses of a prefix are in others.
func allBehind(p netip.Prefix, by []netip.Prefix) bool {
	if !p.IsValid() || slices.ContainsFunc(by, func(b netip.Prefix) bool { return b.Bits() <= p.Bits() && b.Contains(p.Addr()) }) {
		return true
	}
	within := slices.DeleteFunc(slices.Clone(by), func(b netip.Prefix) bool { return !p.Overlaps(b) })
	if len(within) < 2 {
		return false // it takes two to have what one has not
	}
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	raw := p.Addr().As16()
	bit := p.Bits() + 128 - p.Addr().BitLen()
	raw[bit/8] |= 0x80 >> (bit % 8)
	high := netip.AddrFrom16(raw)
	if p.Addr().Is4() {
		high = high.Unmap()
	}
	return allBehind(low, within) && allBehind(netip.PrefixFrom(high, p.Bits()+1), within)
}

// remotes adds the VPNs into which a router's routes lead.
func (e *setEdit) remotes(router *Object, all map[Ref]struct{}) {
	s, ok := router.Spec.(*RouterSpec)
	if !ok {
		return
	}
	for _, p := range s.ports() {
		users, _ := e.before.users.get(router.VPortRef(p))
		for u := range users {
			if u.Kind == KindVPN {
				all[u] = struct{}{}
			}
		}
	}
}
