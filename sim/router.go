package sim

import (
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// router: a copy enters a router by port p.
//  1. ARP and ND; the port's MAC; chains of what comes in (R8)
//  2. route.go: policies and longest prefix match (R1); own addresses (R2), errors (R3)
//  3. header, source, TTL, chains of what goes out (R8), MTU, next hop (R3, R4)
//  4. rewrite and out (R6)
func (s *Simulator) router(r *topology.Router, p *topology.VPort, h *hop) {
	switch {
	case s.f.IsARP():
		s.routerARP(p, h)
		return
	case s.f.IsND():
		s.routerND(p, h)
		return
	case s.readMulticast(h):
		s.drop(h, DropMulticast, false)
		return
	case s.readDstMAC(h) != p.MAC:
		s.drop(h, DropNotOurMAC, false)
		return
	}
	v6, ip := s.readFamily()
	if !ip {
		s.drop(h, DropNotIP, false)
		return
	}
	if s.filterIn(r.Filters, p, h) == refused {
		return
	}
	var w way
	why := s.route(r, p, h, v6, &w)
	switch {
	case w.route == nil && why == dropWaits:
		return
	case w.route == nil:
		s.reject(r, p, h, why, packet.NoRoute)
		return
	case s.res.Trace != nil:
		s.res.Trace.add(s, h, "route "+s.routeText(w.route))
	}
	switch w.hop.Kind {
	case topology.RouteLocal:
		s.local(p, h, v6, w.hop.Port)
	case topology.RouteReject:
		s.reject(r, p, h, DropRejectRoute, packet.Prohibited)
	case topology.RouteBlackhole:
		s.drop(h, DropBlackhole, false)
	case topology.RouteUnforwardable:
		s.drop(h, DropUnforwardable, false)
	case topology.RouteNoHost:
		s.reject(r, p, h, DropNoNeighbour, packet.HostUnreachable)
	default:
		s.forward(r, p, h, &w)
	}
}

// forward takes the copy through the router by a route to a port.
func (s *Simulator) forward(r *topology.Router, p *topology.VPort, h *hop, w *way) {
	out := w.out
	beside := s.beside(p, h, w.hop)
	if !beside {
		if why := s.unfit(); why != DropNone {
			s.notInstallable(why.String())
			s.drop(h, why, false)
			return
		}
		if s.f.TTL() <= h.ttlDec+1 {
			s.notInstallable("TTL expired")
			s.complain(r, p, h, w.route, packet.TTLExceeded, 0)
			s.drop(h, DropTTL, false)
			return
		}
		s.outlive(h.ttlDec + 1)
	}
	if s.filterOut(r.Filters, p, out, h) == refused || !s.fits(r, p, h, w.route, out.MTU) {
		return
	}
	next := w.hop.Via
	if !next.IsValid() {
		s.readDst(128)
		next = s.header(h).Dst.Netip(s.key.EtherType)
		if isSubnetBroadcast(w.route.Dst, next) {
			s.drop(h, DropUnforwardable, false)
			return
		}
	}
	m, ok := s.resolve(r, p, h, w, next)
	if !ok {
		return
	}
	h.lastIn, h.lastSrc = p.ID, h.src
	h.src, h.dst, h.rewritten = out.MAC, m, true
	if !beside {
		h.ttlDec++
	}
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "next hop "+next.String()+" at "+m.String()+" through "+s.portName(out.ID))
	}
	s.send(h, out)
}

// unfit returns why no router forwards the packet (RFC 1812 sections 5.2.2 and 5.3.7), DropNone if one may. It is not about what was rewritten, and a part of
// the guard MinTTL: a source or a checksum is never in the mask for it. Nobody is told. Links between routers may have link-local addresses of IPv4: what such a
// router says of itself is passed on, or there would be no path MTU discovery.
func (s *Simulator) unfit() DropReason {
	switch {
	case !s.f.HeaderOK():
		return DropHeader
	case s.f.IsMartian() && (s.origin == nil || s.f.Is6()):
		return DropMartian
	case s.f.IPLen() > s.f.IPRoom():
		return DropFrameLength
	}
	return DropNone
}

// beside reports whether a copy goes from one single-host port to another of the same prefix: between those hosts no router is to be seen (R5).
func (s *Simulator) beside(p *topology.VPort, h *hop, to topology.Hop) bool {
	if !p.SingleHost() || to.Via.IsValid() {
		return false
	}
	s.readDst(128)
	q := s.snap.StandIn(p, s.header(h).Dst.Netip(s.key.EtherType))
	return q != 0 && q == to.Port
}

// fits checks the packet's length against the MTU of the egress port (R3): a guard. What is too long goes its own way and is never installed.
func (s *Simulator) fits(r *topology.Router, p *topology.VPort, h *hop, route *topology.Route, mtu uint16) bool {
	s.limit(mtu)
	switch {
	case h.fragment != 0 && h.fragment <= mtu:
		return true
	case s.f.IPLen() <= int(mtu):
		if s.f.IPRoom() <= int(mtu) {
			return true
		}
		s.notInstallable(DropFrameLength.String())
		s.drop(h, DropFrameLength, false)
		return false
	case s.f.DontFragment():
		s.notInstallable("longer than the MTU")
		s.complain(r, p, h, route, packet.TooBig, uint32(mtu))
		s.drop(h, DropTooBig, false)
		return false
	}
	s.notInstallable("fragmented in software")
	h.fragment = mtu
	return true
}

// complain originates an error about a packet that was to take a route, unless it is for all hosts of a link (RFC 1812 section 4.3.2.7).
func (s *Simulator) complain(r *topology.Router, p *topology.VPort, h *hop, route *topology.Route, kind packet.ErrorKind, mtu uint32) {
	if route.Via.IsValid() || !isSubnetBroadcast(route.Dst, s.header(h).Dst.Netip(s.key.EtherType)) {
		s.icmpError(r, p, h, kind, mtu)
	}
}

// isSubnetBroadcast reports whether a is the directed broadcast address of a connected IPv4 prefix, which is not forwarded (RFC 2644).
func isSubnetBroadcast(p netip.Prefix, a netip.Addr) bool {
	if !a.Is4() || p.Bits() > 30 {
		return false
	}
	b := a.As4()
	x := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	return x|^uint32(0)<<(32-p.Bits()) == ^uint32(0) && p.Bits() > 0
}

// local: the packet is for the router itself, for an address of port own (R2).
func (s *Simulator) local(p *topology.VPort, h *hop, v6 bool, own flow.VPortID) {
	if s.answersProbe(own, h) {
		return
	}
	icmp := uint8(packet.ProtoICMP)
	if v6 {
		icmp = packet.ProtoICMPv6
	}
	if s.readProto() != icmp || h.tuple != 0 {
		s.drop(h, DropLocal, false)
		return
	}
	s.notInstallable("ICMP to a router")
	n := len(s.res.arena)
	b, err := packet.AppendEchoReply(s.res.arena, s.f)
	if err != nil {
		why := s.unfit()
		if why == DropNone {
			why = DropLocal
		}
		s.drop(h, why, false)
		return
	}
	reply := s.built(b, n)
	copy(reply[0:6], h.src[:])
	copy(reply[6:12], p.MAC[:])
	s.originate(reply, p.ID, OriginEcho)
	s.consume(h, "ping answered by the router")
}

// reject drops with an answer to the sender (E3).
func (s *Simulator) reject(r *topology.Router, p *topology.VPort, h *hop, why DropReason, kind packet.ErrorKind) {
	s.icmpError(r, p, h, kind, 0)
	s.drop(h, why, true)
}

// routeText is for traces.
func (s *Simulator) routeText(r *topology.Route) string {
	if r.Kind != topology.RoutePort {
		return r.String()
	}
	t := r.Dst.String()
	if r.Src.IsValid() {
		t += " from " + r.Src.String()
	}
	if r.Via.IsValid() {
		t += " via " + r.Via.String()
	}
	return t + " through " + s.portName(r.Port)
}

func (s *Simulator) portName(id flow.VPortID) string {
	if v := s.snap.VPort(id); v != nil {
		return v.Tenant + "/" + v.Name
	}
	return "vport " + id.String()
}
