package sim

import (
	"math/bits"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Equal routes share flows by weighted rendezvous (R1): a flow draws a number for each of them, and the least one for its weight wins. A route that goes, or
// whose link is down, loses its own flows, and no other flow moves. All is integer arithmetic, so that every edge decides alike.

// spread chooses the route that a flow keeps among equal ones; false: none can be used. Routes to ports go before the others, if the link of one is up.
// What it reads is recorded: whether the links that the flow would use are up, and, of several ports, all that the hash covers.
func (s *Simulator) spread(routes []topology.Route, k *flow.Key, w *way) bool {
	ports := 0 // they are the first ones
	for ports < len(routes) && routes[ports].Kind == topology.RoutePort {
		ports++
	}
	w.route = nil
	switch {
	case ports == 1 && s.carries(routes[0].Port, w):
		w.route = &routes[0]
	case ports > 1:
		s.readAll() // the fragment class too: later fragments have no ports
		hash := flowHash(k)
		if w.route = rendezvous(routes[:ports], hash, nil); !s.carries(w.route.Port, w) {
			up := func(r *topology.Route) bool { return s.carries(r.Port, w) }
			if w.route = rendezvous(routes[:ports], hash, up); w.route != nil {
				s.carries(w.route.Port, w)
			}
		}
	}
	if w.route == nil && ports < len(routes) {
		w.route = &routes[ports]
	}
	return w.route != nil
}

// rendezvous returns the winner of a flow's draw among routes, all of them or, if up is given, those whose links are up; nil: there is none.
func rendezvous(routes []topology.Route, hash uint64, up func(*topology.Route) bool) *topology.Route {
	var best *topology.Route
	var least uint64
	for i := range routes {
		r := &routes[i]
		draw := minusLog2(memberHash(hash, r))
		if (best == nil || draw*uint64(best.Weight) < least*uint64(r.Weight)) && (up == nil || up(r)) {
			best, least = r, draw
		}
	}
	return best
}

// carries reports whether a port's link is up: it is there, neither end of it is administratively down, nor is its interface known to be. The ends are noted in w.
func (s *Simulator) carries(id flow.VPortID, w *way) bool {
	p := s.vport(id)
	w.out, w.peer = p, nil
	switch {
	case p == nil || p.AdminDown:
		return false
	case p.Exterior:
		return !s.snap.LinkDown(id)
	case p.Peer == 0:
		return false
	}
	q := s.vport(p.Peer)
	if w.peer = q; q == nil { // not loaded: what the port's object says of it
		q = s.snap.Far(p)
	}
	return q != nil && q.Device != 0 && !q.AdminDown
}

// Odd numbers with bits in no order: the first ones of the golden ratio and of some roots.
const (
	mix0 = 0x9e3779b97f4a7c15
	mix1 = 0xbf58476d1ce4e5b9
	mix2 = 0x94d049bb133111eb
	mix3 = 0xd6e8feb86659fd93
)

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^mix0, b^mix1)
	return hi ^ lo
}

// flowHash is the same for both directions of a flow, for all fragments of a datagram, and for an echo request and its reply.
func flowHash(k *flow.Key) uint64 {
	ahi, alo := k.Src.Halves()
	bhi, blo := k.Dst.Halves()
	aport, bport := uint64(k.SrcPort), uint64(k.DstPort)
	switch {
	case k.Frag != uint8(packet.FragNone):
		aport, bport = 0, 0
	case k.Proto == packet.ProtoICMP || k.Proto == packet.ProtoICMPv6:
		aport = bport // type and code differ; the identifier does not
	}
	if bhi < ahi || bhi == ahi && (blo < alo || blo == alo && bport < aport) {
		ahi, alo, aport, bhi, blo, bport = bhi, blo, bport, ahi, alo, aport
	}
	h := mix(ahi, alo)
	h = mix(h^bhi, blo)
	return mix(h, aport<<32|bport<<8|uint64(k.Proto))
}

// memberHash is the flow's number for a route: the route's port and gateway tell it from its equals, wherever it stands among them.
func memberHash(hash uint64, r *topology.Route) uint64 {
	via := flow.AddrOf(r.Via)
	hi, lo := via.Halves()
	h := mix(hi^mix2, lo^uint64(r.Port)<<32^mix3)
	return mix(hash^h, h)
}

// logs has the binary logarithms of 1, 1+1/256, … 2, in units of 2⁻²⁴: bit by bit, by squaring.
var logs = func() (t [257]uint32) {
	for i := range 256 {
		x := uint64(256+i) << 55 // 2⁶³ is 1
		for range 24 {
			hi, lo := bits.Mul64(x, x)
			t[i] <<= 1
			if x = hi; hi>>63 != 0 {
				t[i]++
				continue
			}
			x = hi<<1 | lo>>63
		}
	}
	t[256] = 1 << 24
	return t
}()

// minusLog2 returns -log2(u/2⁶⁴) in units of 2⁻²⁴, greater than 0: of uniform numbers u, an exponential distribution.
func minusLog2(u uint64) uint64 {
	u |= 1
	zeros := bits.LeadingZeros64(u)
	u <<= zeros
	i := u >> 55 & 0xff
	low, high := uint64(logs[i]), uint64(logs[i+1])
	return uint64(zeros+1)<<24 - (low + (high-low)*(u>>39&0xffff)>>16)
}
