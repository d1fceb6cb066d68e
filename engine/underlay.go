package engine

import (
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/packet"
)

// underlay is this edge as a host on its uplinks: it answers ARP, ND and ping for the uplink's addresses and the VTEPs, and finds the gateways' MACs.
// Not safe for concurrent use.
type underlay struct {
	self  Edge
	links []Uplink
	// send emits a frame by an uplink. The frame is valid during the call.
	send func(port uint16, frame []byte)
	// found is told of a gateway's MAC, each time that it is new.
	found func(gateway netip.Addr, mac packet.MAC)
	// query takes a question for members of multicast groups, and reports whether a frame is one.
	query  func(port uint16, f *packet.Frame) bool
	heard  func(port uint16)      // is told of each word of an uplink's gateway
	isDown func(port uint16) bool // of links

	known   map[netip.Addr]packet.MAC
	silence silence
	buf     []byte
}

func newUnderlay(self Edge, links []Uplink, send func(uint16, []byte), found func(netip.Addr, packet.MAC), silent func(uint16, netip.Addr, bool), query func(uint16, *packet.Frame) bool) *underlay {
	return &underlay{
		self: self, links: links, send: send, found: found, query: query, known: make(map[netip.Addr]packet.MAC),
		heard: func(uint16) {}, isDown: func(uint16) bool { return false },
		silence: silence{asked: make(map[netip.Addr]int), told: silent},
	}
}

func (u *underlay) link(port uint16) *Uplink {
	for i := range u.links {
		if u.links[i].Port == port {
			return &u.links[i]
		}
	}
	return nil
}

// own reports whether the edge answers for an address on a link: VTEPs are reachable by every link.
func (u *underlay) own(l *Uplink, a netip.Addr) bool {
	return slices.Contains(l.Addrs, a) || slices.Contains(u.self.VTEPs, a)
}

// solicit asks each gateway whose MAC is not known, or all of them to see whether they are still there. Those of links that are said to be down are asked each time: an answer tells
// that it is not so.
func (u *underlay) solicit(all bool) {
	for i := range u.links {
		l := &u.links[i]
		for _, g := range l.Gateway {
			_, ok := u.known[g]
			down := u.isDown(l.Port)
			if ok && !all && !down {
				continue
			}
			if !ok && !down {
				u.silence.ask(l, g)
			}
			from, ok := speaker(l, g)
			if !ok {
				continue
			}
			if g.Is4() {
				u.buf = packet.AppendARPRequest(u.buf[:0], l.MAC, from, g)
			} else {
				u.buf = packet.AppendNS(u.buf[:0], l.MAC, from, g)
			}
			u.send(l.Port, u.buf)
		}
	}
}

// speaker is the link's own address of the gateway's family.
func speaker(l *Uplink, to netip.Addr) (netip.Addr, bool) {
	for _, a := range l.Addrs {
		if a.Is4() == to.Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// receive handles an underlay frame that is no tunnel packet. It reports whether the frame was for this edge.
func (u *underlay) receive(port uint16, f *packet.Frame) bool {
	l := u.link(port)
	switch {
	case l == nil:
		return false
	case f.IsARP():
		return u.arp(l, f)
	case f.IsND():
		return u.nd(l, f)
	case f.IsEchoRequest() && u.own(l, f.DstAddr()):
		reply, err := packet.AppendEchoReply(u.buf[:0], f)
		if err != nil {
			return false
		}
		u.buf = reply
		u.send(port, reply)
		return true
	}
	return u.query(port, f)
}

func (u *underlay) arp(l *Uplink, f *packet.Frame) bool {
	a, err := f.ARP()
	if err != nil {
		return false
	}
	u.learn(l, a.SenderIP, a.SenderMAC)
	if a.Op != packet.ARPRequest || !u.own(l, a.TargetIP) {
		return a.Op == packet.ARPReply
	}
	u.buf = packet.AppendARPReply(u.buf[:0], &a, l.MAC)
	u.send(l.Port, u.buf)
	return true
}

func (u *underlay) nd(l *Uplink, f *packet.Frame) bool {
	n, err := f.ND()
	if err != nil {
		return false
	}
	switch n.Type {
	case packet.ICMPv6NeighSol:
		u.learn(l, n.Src, n.LinkAddr)
		if !u.own(l, n.Target) {
			return false
		}
		u.buf = packet.AppendNA(u.buf[:0], &n, f.Src(), l.MAC, true)
		u.send(l.Port, u.buf)
		return true
	case packet.ICMPv6NeighAdv:
		mac := n.LinkAddr
		if mac.IsZero() {
			mac = f.Src()
		}
		u.learn(l, n.Target, mac)
		return true
	}
	return false
}

// learn notes the MAC of a gateway of the link; other neighbours do not matter.
func (u *underlay) learn(l *Uplink, a netip.Addr, mac packet.MAC) {
	if !slices.Contains(l.Gateway, a) || !mac.IsUnicast() {
		return
	}
	if u.heard(l.Port); u.known[a] == mac {
		return
	}
	u.known[a] = mac
	u.silence.answer(l, a)
	u.found(a, mac)
}

// complete reports whether every gateway has answered, but for those that never do.
func (u *underlay) complete() bool {
	for i := range u.links {
		for _, g := range u.links[i].Gateway {
			if _, ok := u.known[g]; !ok && u.silence.asked[g] < silentAfter && !u.isDown(u.links[i].Port) {
				return false
			}
		}
	}
	return true
}
