package sim

import (
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// resolve finds the MAC of a next hop on the link of the router port that is a copy's way out (R4): the peer port itself, the ARP cache of the bridge behind
// it (B5), or the port's own cache. If nobody knows, the neighbour is asked and the packet waits. p is the port by which the router got the packet.
func (s *Simulator) resolve(r *topology.Router, p *topology.VPort, h *hop, w *way, next netip.Addr) (packet.MAC, bool) {
	out, peer := w.out, w.peer
	if !out.Exterior {
		switch {
		case peer == nil:
			s.load(h, s.snap.Missing(out))
			return packet.MAC{}, false
		case peer.Kind == topology.DeviceRouter:
			if s.answersFor(peer, next) {
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
	if s.lost.Port == out.ID && s.lost.Addr == next {
		s.notInstallable("neighbour does not answer")
		if s.res.Trace != nil {
			s.res.Trace.add(s, h, next.String()+" on "+s.portName(out.ID)+" does not answer")
		}
		s.reject(r, p, h, DropUnreachable, packet.HostUnreachable)
		return packet.MAC{}, false
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
	known := s.hear(p, a.SenderIP, a.SenderMAC, a.Op == packet.ARPReply)
	switch {
	case known && a.Gratuitous():
		s.consume(h, "ARP announcement heard")
	case a.Op == packet.ARPRequest && s.answersFor(p, a.TargetIP) && !a.Gratuitous():
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
	case q.Type == packet.ICMPv6NeighSol && s.answersFor(p, q.Target):
		if !q.LinkAddr.IsZero() {
			s.hear(p, q.Src, q.LinkAddr, false)
		}
		s.originate(s.built(packet.AppendNA(s.res.arena, &q, h.src, p.MAC, true), n), p.ID, OriginARP)
		s.consume(h, "neighbour solicitation answered by the router")
	case q.Type == packet.ICMPv6NeighAdv:
		m := q.LinkAddr
		if m.IsZero() {
			m = h.src
		}
		if s.hear(p, q.Target, m, true) {
			s.consume(h, "neighbour advertisement heard")
			return
		}
		s.drop(h, DropUnsolicited, false)
	case q.Type == packet.ICMPv6RouterSol && p.Advertise.Mode != "":
		s.advertise(p, h, &q)
	default:
		s.drop(h, DropNotOurAddress, false)
	}
}

// hear takes in what a station says of itself: an answer fills the entry that was asked for; a contradiction is to be probed; the unasked creates nothing
// (R4). Whether anybody asked is for the database to say, since the request may be newer than the snapshot. It reports whether there was an entry.
// answer: in an ARP reply or neighbour advertisement.
func (s *Simulator) hear(p *topology.VPort, a netip.Addr, m packet.MAC, answer bool) bool {
	s.dep(topology.NeighbourDep(p.ID, a))
	old, state := s.snap.Neighbour(p.ID, a)
	e := Effect{Kind: LearnNeighbour, Device: p.Device, Port: p.ID, Addr: a, MAC: m}
	switch {
	case !m.IsUnicast():
		return false
	case state == topology.NeighbourAbsent:
		if e.Unasked = answer && p.OnLink(a); e.Unasked {
			s.effect(e)
		}
		return false
	case state == topology.NeighbourAsked:
		e.Solicited = true
	case old == m:
		if !answer {
			return true
		}
		e.Kind = ConfirmNeighbour
	}
	s.effect(e)
	return true
}

// answersFor reports whether a router answers at port p for an address: its own, or, at a single-host port, that of the host at another one (R5).
func (s *Simulator) answersFor(p *topology.VPort, a netip.Addr) bool {
	if p.HasAddr(a) || !p.SingleHost() {
		return p.HasAddr(a)
	}
	x := flow.AddrOf(a)
	s.dep(topology.RouteDep(p.Device, &x, a.Is6(), uint8(a.BitLen())))
	return s.snap.StandIn(p, a) != 0
}
