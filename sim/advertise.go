package sim

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// What a router advertises unless it is told otherwise (RFC 4861 section 6.2.1), in seconds.
const (
	routerLifetime = 1800
	prefixLifetime = 7 * 24 * 3600
)

// advertise answers a router solicitation (R7): to the host that asked, or to all if it has no address yet (RFC 4861 section 6.2.6).
func (s *Simulator) advertise(p *topology.VPort, h *hop, q *packet.ND) {
	a := &p.Advertise
	ra := packet.RA{
		SrcMAC: p.MAC, Src: p.LinkLocal, Lifetime: cmp.Or(a.Lifetime, routerLifetime), MTU: uint32(p.MTU), Prefixes: a.Prefixes, Valid: prefixLifetime,
		Managed: a.Mode == "dhcp", Other: a.Mode != "slaac", DNS: a.DNS,
	}
	if len(ra.Prefixes) == 0 {
		for _, x := range p.Addrs {
			if m := x.Masked(); x.Addr().Is6() && !slices.Contains(ra.Prefixes, m) {
				ra.Prefixes = append(ra.Prefixes, m)
			}
		}
	}
	if q.Src != netip.IPv6Unspecified() {
		ra.Dst, ra.DstMAC = q.Src, h.src
	}
	n := len(s.res.arena)
	s.originate(s.built(packet.AppendRA(s.res.arena, &ra), n), p.ID, OriginARP)
	s.consume(h, "router solicitation answered by the router")
}
