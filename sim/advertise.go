package sim

import (
	"cmp"
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// prefixLifetime is how long hosts may use what they made of a prefix, in seconds: a week.
const prefixLifetime = 7 * 24 * 3600

// advertise answers a router solicitation (R7): to the host that asked, or to all if it has no address yet (RFC 4861 section 6.2.6).
func (s *Simulator) advertise(p *topology.VPort, h *hop, q *packet.ND) {
	ra := advertisement(p)
	if q.Src != netip.IPv6Unspecified() {
		ra.Dst, ra.DstMAC = q.Src, h.src
	}
	s.originateRA(p, &ra)
	s.consume(h, "router solicitation answered by the router")
}

// Advertise simulates what a router port tells all hosts without being asked (RFC 4861 section 6.2.4). res has Originated, and effects of them, only.
func (s *Simulator) Advertise(snap *topology.Snapshot, port flow.VPortID, res *Result) {
	s.begin(snap, &s.ofrm, 0, res)
	defer s.end()
	if p := snap.VPort(port); p != nil && p.Advertise.Mode != "" {
		ra := advertisement(p)
		s.originateRA(p, &ra)
		s.simulateOriginated()
	}
}

func (s *Simulator) originateRA(p *topology.VPort, ra *packet.RA) {
	n := len(s.res.arena)
	s.originate(s.built(packet.AppendRA(s.res.arena, ra), n), p.ID, OriginARP)
}

// advertisement is what a port tells all hosts.
func advertisement(p *topology.VPort) packet.RA {
	a := &p.Advertise
	return packet.RA{
		SrcMAC: p.MAC, Src: p.LinkLocal, Lifetime: cmp.Or(a.Lifetime, topology.RouterLifetime), MTU: uint32(p.MTU), Prefixes: a.Of(p.Addrs), Valid: prefixLifetime,
		Managed: a.Mode == "dhcp", Other: a.Mode != "slaac", DNS: a.DNS,
	}
}
