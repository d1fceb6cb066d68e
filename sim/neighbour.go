package sim

import (
	"net/netip"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// resolve finds the MAC of a next hop on the link of router port out (R4): the peer port itself, the ARP cache of the bridge behind it (B5), or the port's
// own cache. If nobody knows, the neighbour is asked and the packet waits. p is the port by which the router got the packet.
func (s *Simulator) resolve(r *topology.Router, p *topology.VPort, h *hop, out *topology.VPort, next netip.Addr) (packet.MAC, bool) {
	if !out.Exterior {
		peer := s.vport(out.Peer)
		switch {
		case peer == nil:
			s.drop(h, DropUnlinked, false)
			return packet.MAC{}, false
		case peer.Kind == topology.DeviceRouter:
			if peer.HasAddr(next) {
				return peer.MAC, true
			}
			s.reject(r, p, h, DropNoNeighbour, packet.HostUnreachable)
			return packet.MAC{}, false
		case peer.Kind == topology.DeviceBridge:
			s.dep(topology.BridgeNeighbourDep(peer.Device, next))
			if m, ok := s.snap.Bridge(peer.Device).Neighbour(next); ok {
				return m, true
			}
		}
	}
	s.dep(topology.NeighbourDep(out.ID, next))
	m, state := s.snap.Neighbour(out.ID, next)
	if state == topology.NeighbourOK {
		return m, true
	}
	asked := state == topology.NeighbourAsked
	if !asked && !s.ask(out, next) {
		s.reject(r, p, h, DropNoAddress, packet.HostUnreachable)
		return packet.MAC{}, false
	}
	s.effect(Effect{Kind: AskNeighbour, Device: out.Device, Port: out.ID, Addr: next, Asked: asked, Hold: s.origin == nil})
	s.notInstallable("neighbour not known yet")
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "… waits for the MAC of "+next.String()+" on "+s.portName(out.ID))
	}
	if s.origin == nil {
		s.res.Outcomes = append(s.res.Outcomes, Outcome{Verdict: Incomplete})
	}
	return packet.MAC{}, false
}

// ask originates an ARP request or neighbour solicitation from a router port. It fails if the port has no address to ask from.
func (s *Simulator) ask(out *topology.VPort, a netip.Addr) bool {
	src := out.AddrFor(a)
	if !src.IsValid() {
		return false
	}
	n := len(s.res.arena)
	if a.Is4() {
		s.originate(s.built(packet.AppendARPRequest(s.res.arena, out.MAC, src, a), n), out.ID, OriginARP)
	} else {
		s.originate(s.built(packet.AppendNS(s.res.arena, out.MAC, src, a), n), out.ID, OriginARP)
	}
	return true
}

// routerARP: ARP at a router port. Requests for the port's own addresses are answered; replies are learnt if somebody asked.
func (s *Simulator) routerARP(p *topology.VPort, h *hop) {
	s.notInstallable("ARP")
	a, err := s.f.ARP()
	if err != nil {
		s.drop(h, DropMalformed, false)
		return
	}
	known := s.hear(p, a.SenderIP, a.SenderMAC)
	switch {
	case a.Op == packet.ARPRequest && p.HasAddr(a.TargetIP) && !a.Gratuitous():
		n := len(s.res.arena)
		s.originate(s.built(packet.AppendARPReply(s.res.arena, &a, p.MAC), n), p.ID, OriginARP)
		s.consume(h, "ARP request answered by the router")
	case a.Op == packet.ARPRequest:
		s.drop(h, DropNotOurAddress, false)
	case !known:
		s.drop(h, DropUnsolicited, false)
	default:
		s.consume(h, "ARP reply heard")
	}
}

// routerND: neighbour discovery at a router port.
func (s *Simulator) routerND(p *topology.VPort, h *hop) {
	s.notInstallable("neighbour discovery")
	q, err := s.f.ND()
	if err != nil {
		s.drop(h, DropMalformed, false)
		return
	}
	n := len(s.res.arena)
	switch {
	case q.Type == packet.ICMPv6NeighSol && p.HasAddr(q.Target):
		if !q.LinkAddr.IsZero() {
			s.hear(p, q.Src, q.LinkAddr)
		}
		s.originate(s.built(packet.AppendNA(s.res.arena, &q, h.src, p.MAC, true), n), p.ID, OriginARP)
		s.consume(h, "neighbour solicitation answered by the router")
	case q.Type == packet.ICMPv6NeighAdv:
		m := q.LinkAddr
		if m.IsZero() {
			m = h.src
		}
		if s.hear(p, q.Target, m) {
			s.consume(h, "neighbour advertisement heard")
			return
		}
		s.drop(h, DropUnsolicited, false)
	default:
		s.drop(h, DropNotOurAddress, false)
	}
}

// hear takes in what a station says of itself: an answer fills the entry that was asked for; a contradiction is to be probed; the unasked creates nothing
// (R4). It reports whether there was an entry.
func (s *Simulator) hear(p *topology.VPort, a netip.Addr, m packet.MAC) bool {
	s.dep(topology.NeighbourDep(p.ID, a))
	old, state := s.snap.Neighbour(p.ID, a)
	if state == topology.NeighbourAbsent || !m.IsUnicast() {
		return false
	}
	if state == topology.NeighbourAsked || old != m {
		s.effect(Effect{Kind: LearnNeighbour, Device: p.Device, Port: p.ID, Addr: a, MAC: m, Solicited: state == topology.NeighbourAsked})
	}
	return true
}
