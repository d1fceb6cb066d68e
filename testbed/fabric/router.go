package fabric

import (
	"encoding/binary"
	"net/netip"

	"github.com/weft-sdn/weft/packet"
)

// receive takes a frame off the link. The frame is the router's to change until it returns.
//
// 1. parse; drop what is damaged or not for the router
// 2. ARP and ND: learn and answer
// 3. own addresses: answer ping, refuse the rest
// 4. multicast: reports of members; to each link that has some
// 5. route: TTL, next hop, MTU; send, or hold while the neighbour is asked for
func (p *Port) receive(frame []byte) {
	c := &p.fabric.counters
	var f packet.Frame
	if packet.Parse(frame, &f) != nil || len(frame)-f.L2Len() > max(p.MTU, 46) {
		c.malformed.Add(1)
		return
	}
	if f.Tagged || f.Dst() != p.GatewayMAC && !f.Dst().IsMulticast() {
		c.foreign.Add(1)
		return
	}
	switch {
	case f.IsARP():
		p.arp(&f)
	case !f.Is4() && !f.Is6():
		c.foreign.Add(1)
	case !f.ChecksumOK() || len(f.IPPacket()) != f.IPLen():
		c.malformed.Add(1)
	case f.IsND():
		p.nd(&f)
	case isReport(&f):
		p.report(frame)
	case f.Dst().IsMulticast() || f.DstAddr().IsMulticast():
		p.spread(&f)
	default:
		p.route(&f)
	}
}

func (p *Port) arp(f *packet.Frame) {
	a, err := f.ARP()
	if err != nil {
		p.fabric.counters.malformed.Add(1)
		return
	}
	p.fabric.counters.local.Add(1)
	p.learn(a.SenderIP, a.SenderMAC)
	if a.Op == packet.ARPRequest && a.TargetIP == p.Gateway4 {
		p.send(packet.AppendARPReply(nil, &a, p.GatewayMAC))
	}
}

func (p *Port) nd(f *packet.Frame) {
	n, err := f.ND()
	if err != nil {
		p.fabric.counters.malformed.Add(1)
		return
	}
	p.fabric.counters.local.Add(1)
	switch n.Type {
	case packet.ICMPv6NeighSol:
		p.learn(n.Src, n.LinkAddr)
		if n.Target == p.Gateway6 {
			p.send(packet.AppendNA(nil, &n, f.Src(), p.GatewayMAC, true))
		}
	case packet.ICMPv6NeighAdv:
		p.learn(n.Target, n.LinkAddr)
	}
}

// learn notes a neighbour and sends what waited for it.
func (p *Port) learn(addr netip.Addr, mac packet.MAC) {
	if mac.IsZero() || !p.onLink(addr) {
		return
	}
	for _, frame := range p.neighbours.learn(addr, mac) {
		copy(frame, mac[:])
		p.send(frame)
		p.fabric.counters.forwarded.Add(1)
	}
}

func (p *Port) route(f *packet.Frame) {
	c := &p.fabric.counters
	dst := f.DstAddr()
	if !forwardable(f.SrcAddr()) || !forwardable(dst) {
		c.foreign.Add(1)
		return
	}
	to, ok := p.fabric.routes.Load().Lookup(dst)
	if ok {
		to = to.now()
	}
	switch {
	case ok && to.local:
		p.deliver(f)
		return
	case f.TTL() <= 1:
		c.ttlExceeded.Add(1)
		p.complain(f, packet.ICMPError{Kind: packet.TTLExceeded})
		return
	case !ok:
		c.noRoute.Add(1)
		p.complain(f, packet.ICMPError{Kind: packet.NoRoute})
		return
	case f.IPLen() > to.port.MTU && f.DontFragment():
		c.tooBig.Add(1)
		p.complain(f, packet.ICMPError{Kind: packet.TooBig, MTU: uint32(to.port.MTU)})
		return
	}
	hop := to.via
	if !hop.IsValid() {
		hop = dst
	}
	mac, known := to.port.neighbours.known(hop)
	if !known {
		ask, failed := to.port.neighbours.ask(hop, p.fabric.cfg.Now())
		if ask {
			to.port.solicit(hop)
		}
		if failed {
			c.hostUnreachable.Add(1)
			p.complain(f, packet.ICMPError{Kind: packet.HostUnreachable})
			return
		}
	}
	rewrite(f, to.port.GatewayMAC)
	if f.IPLen() > to.port.MTU {
		to.port.fragment(f, hop, mac)
		return
	}
	to.port.emit(f.Data[:f.L3+f.IPLen()], hop, mac)
}

// forwardable tells whether packets from or to addr may leave their link (RFC 1812 section
// 5.3.7, RFC 4291 section 2.5.6).
func forwardable(addr netip.Addr) bool {
	return !addr.IsUnspecified() && !addr.IsLoopback() && !addr.IsMulticast() && !addr.IsLinkLocalUnicast() &&
		addr != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// rewrite decrements the TTL and sets the source MAC, in place.
func rewrite(f *packet.Frame, mac packet.MAC) {
	copy(f.Data[6:], mac[:])
	ip := f.Data[f.L3:]
	if f.Is6() {
		ip[7]--
		return
	}
	before := binary.BigEndian.Uint16(ip[8:])
	ip[8]--
	sum := binary.BigEndian.Uint16(ip[10:])
	binary.BigEndian.PutUint16(ip[10:], packet.UpdateChecksum(sum, before, binary.BigEndian.Uint16(ip[8:])))
}

// emit sends a frame to mac, or holds it while the neighbour is not known.
func (p *Port) emit(frame []byte, hop netip.Addr, mac packet.MAC) {
	if mac.IsZero() {
		var known bool
		if mac, known = p.neighbours.hold(hop, frame, &p.fabric.counters.overflow); !known {
			return
		}
	}
	copy(frame, mac[:])
	p.send(frame)
	p.fabric.counters.forwarded.Add(1)
}

func (p *Port) fragment(f *packet.Frame, hop netip.Addr, mac packet.MAC) {
	whole := *f // the fragmenter keeps it; f stays on the stack
	fragments, err := packet.NewFragmenter(&whole, p.MTU)
	if err != nil {
		p.fabric.counters.malformed.Add(1)
		return
	}
	p.fabric.counters.fragment.Add(1)
	for {
		frame, ok := fragments.Next(nil)
		if !ok {
			return
		}
		p.emit(frame, hop, mac)
	}
}

// deliver answers a packet to one of the router's own addresses, by the link it came from.
func (p *Port) deliver(f *packet.Frame) {
	p.fabric.counters.local.Add(1)
	if f.IsEchoRequest() {
		if reply, err := packet.AppendEchoReply(nil, f); err == nil {
			p.send(reply)
		}
		return
	}
	if f.Proto == packet.ProtoUDP || f.Proto == packet.ProtoTCP {
		p.complainFrom(f, packet.ICMPError{Kind: packet.PortUnreachable, Src: f.DstAddr()})
	}
}

// complain sends an ICMP error from the router's address on this link.
func (p *Port) complain(f *packet.Frame, e packet.ICMPError) {
	e.Src = p.Gateway4
	if f.Is6() {
		e.Src = p.Gateway6
	}
	p.complainFrom(f, e)
}

func (p *Port) complainFrom(f *packet.Frame, e packet.ICMPError) {
	e.SrcMAC = p.GatewayMAC
	orig := *f // keeps f on the stack
	frame, err := packet.AppendICMPError(nil, &orig, &e)
	if err != nil {
		return // RFC 1812 and 4443 forbid this one
	}
	p.fabric.counters.errors.Add(1)
	p.send(frame)
}

// solicit asks the link for a neighbour.
func (p *Port) solicit(hop netip.Addr) {
	if hop.Is4() {
		p.send(packet.AppendARPRequest(nil, p.GatewayMAC, p.Gateway4, hop))
		return
	}
	p.send(packet.AppendNS(nil, p.GatewayMAC, p.Gateway6, hop))
}
