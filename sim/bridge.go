package sim

import (
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// bridge: a copy enters a bridge by port p (B1–B5).
//  1. chains of what comes in: what they refuse is not learnt from
//  2. learn the source
//  3. answer ARP and ND from the cache; what is between a station and its bridge ends here
//  4. known unicast to its port, through the chains of what goes out; the rest is flooded
func (s *Simulator) bridge(b *topology.Bridge, p *topology.VPort, h *hop) {
	if s.filterIn(b.Filters, p, h) == refused {
		s.unlearnt(b, p, h)
		return
	}
	s.learn(b, p, h)
	if s.suppress(b, p, h) {
		return
	}
	if s.readReserved(h) {
		s.drop(h, DropReserved, false)
		return
	}
	if s.readMulticast(h) {
		s.floodFrom(b, p, h, false)
		return
	}
	m := s.readDstMAC(h)
	if out := s.station(b, m); out != nil {
		if s.res.Trace != nil {
			s.res.Trace.add(s, h, m.String()+" is behind "+s.portName(out.ID))
		}
		if out.ID == p.ID {
			s.drop(h, DropSamePort, false)
			return
		}
		if s.filterOut(b.Filters, p, out, h) == pass {
			s.send(h, out)
		}
		return
	}
	s.dep(topology.DeviceDep(b.ID))
	if b.DropUnknown {
		s.unknown(b, p, m, h)
		return
	}
	s.floodFrom(b, p, h, true)
}

// station returns the port behind which a bridge has a MAC; nil: it does not know.
func (s *Simulator) station(b *topology.Bridge, m packet.MAC) *topology.VPort {
	s.dep(topology.FDBDep(b.ID, m))
	if id, ok := b.FDB(m); ok {
		s.dep(topology.VPortDep(id))
	}
	return s.snap.Station(b, m)
}

// unknown: a frame to a station that is not known, at a bridge that drops such (B1). An answer to the very frame from which the station is being learnt goes to
// where that came from.
func (s *Simulator) unknown(b *topology.Bridge, p *topology.VPort, m packet.MAC, h *hop) {
	if s.origin == nil {
		s.effect(Effect{Kind: AwaitMAC, Device: b.ID, MAC: m})
		s.drop(h, DropUnknownMAC, false)
		return
	}
	i := slices.IndexFunc(s.res.Effects, func(e Effect) bool { return e.Kind == Learn && e.Device == b.ID && e.MAC == m })
	if i < 0 {
		s.drop(h, DropUnknownMAC, false)
		return
	}
	out := s.vport(s.res.Effects[i].Port)
	if s.filterOut(b.Filters, p, out, h) == pass {
		s.send(h, out)
	}
}

// unlearnt: a frame was refused before its source was learnt. The guard KnownSource would let other frames of that source pass without being learnt
// from, so only the refusal of a source that is known is installed.
func (s *Simulator) unlearnt(b *topology.Bridge, p *topology.VPort, h *hop) {
	if h.rewritten || s.origin != nil || p.ID != s.ingress {
		return
	}
	s.dep(topology.FDBDep(b.ID, h.src))
	if at, ok := b.FDB(h.src); !ok || at != p.ID {
		s.notInstallable("refused before its source was learnt")
	}
}

// learn notes where the source is, if that is new (B2). It is no read of the source MAC, which decides nothing of this packet: the guard KnownSource stands for it, and has the first packet of
// a source come up. From there on further bridges learn it, too, from what comes up of its packets: ARP, ND, and what no entry has.
// A frame that a router sent has the MAC of a port, which is seeded.
func (s *Simulator) learn(b *topology.Bridge, p *topology.VPort, h *hop) {
	if h.rewritten || s.origin != nil {
		return
	}
	s.dep(topology.FDBDep(b.ID, h.src))
	at, known := b.FDB(h.src)
	if (!known || at != p.ID) && !b.SeededMAC(h.src) {
		s.effect(Effect{Kind: Learn, Device: b.ID, MAC: h.src, Port: p.ID})
	}
	// K9. Not a part of the mask: it changes no outcome. Addresses beyond the linked subnets are somebody else's, behind a router.
	if s.f.L3 != 0 && !s.f.IsND() {
		s.learnNeighbour(b, p, s.f.SrcAddr(), h.src)
	}
}

// learnNeighbour notes the MAC of an address in the bridge's ARP cache, if that is new. Who comes in with a MAC that the configuration has elsewhere tells nothing.
func (s *Simulator) learnNeighbour(b *topology.Bridge, p *topology.VPort, a netip.Addr, m packet.MAC) {
	if old, ok := b.Neighbour(a); ok && old == m {
		return
	}
	if a.IsUnspecified() || a.Is4In6() || a.IsMulticast() || a.IsLoopback() || !m.IsUnicast() || s.origin != nil || b.SeededNeighbour(a) {
		return
	}
	if at, _ := b.FDB(m); at != p.ID && b.SeededMAC(m) {
		return
	}
	inside := len(b.Subnets) == 0 || a.IsLinkLocalUnicast() && a.Is6()
	if !inside {
		inside = slices.ContainsFunc(b.Subnets, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if inside {
		s.effect(Effect{Kind: LearnBridgeNeighbour, Device: b.ID, Port: p.ID, Addr: a, MAC: m})
	}
}

// hearNeighbour is learnNeighbour from ARP and neighbour discovery: an answer or announcement, which nobody may have asked for, changes what is there and
// creates nothing (R4).
func (s *Simulator) hearNeighbour(b *topology.Bridge, p *topology.VPort, a netip.Addr, m packet.MAC, asks bool) {
	s.dep(topology.BridgeNeighbourDep(b.ID, a))
	if _, known := b.Neighbour(a); known || asks {
		s.learnNeighbour(b, p, a, m)
	}
}

// suppress answers a request for an address that the bridge knows, out of the port that it came in by (B5). It reports whether that ended the walk.
func (s *Simulator) suppress(b *topology.Bridge, p *topology.VPort, h *hop) bool {
	switch {
	case s.f.IsARP():
		return s.suppressARP(b, p, h)
	case s.f.IsND():
		return s.suppressND(b, p, h)
	}
	return false
}

func (s *Simulator) suppressARP(b *topology.Bridge, p *topology.VPort, h *hop) bool {
	s.notInstallable("ARP")
	a, err := s.f.ARP()
	if err != nil {
		return false
	}
	s.hearNeighbour(b, p, a.SenderIP, a.SenderMAC, a.Op == packet.ARPRequest && !a.Gratuitous())
	if a.Op != packet.ARPRequest || a.Gratuitous() {
		return false
	}
	s.dep(topology.BridgeNeighbourDep(b.ID, a.TargetIP))
	m, ok := b.Neighbour(a.TargetIP)
	if !ok || m == a.SenderMAC {
		return false
	}
	n := len(s.res.arena)
	s.originate(s.built(packet.AppendARPReply(s.res.arena, &a, m), n), p.ID, OriginARP)
	s.consume(h, "ARP request answered by the bridge")
	return true
}

func (s *Simulator) suppressND(b *topology.Bridge, p *topology.VPort, h *hop) bool {
	s.notInstallable("neighbour discovery")
	q, err := s.f.ND()
	if err != nil {
		return false
	}
	switch {
	case q.Type == packet.ICMPv6NeighAdv && !q.LinkAddr.IsZero():
		s.hearNeighbour(b, p, q.Target, q.LinkAddr, false)
	case q.Type != packet.ICMPv6NeighAdv && !q.LinkAddr.IsZero():
		s.hearNeighbour(b, p, q.Src, q.LinkAddr, true)
	}
	if q.Type != packet.ICMPv6NeighSol {
		return false
	}
	s.dep(topology.BridgeNeighbourDep(b.ID, q.Target))
	m, ok := b.Neighbour(q.Target)
	if !ok || m == h.src {
		return false
	}
	router := false
	if port, known := b.FDB(m); known {
		v := s.snap.VPort(port)
		router = v != nil && !v.Exterior
	}
	n := len(s.res.arena)
	s.originate(s.built(packet.AppendNA(s.res.arena, &q, h.src, m, router), n), p.ID, OriginARP)
	s.consume(h, "neighbour solicitation answered by the bridge")
	return true
}
