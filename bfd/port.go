package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/weft-sdn/weft/packet"
)

// UDP ports that packets go to.
const (
	SingleHop = 3784 // RFC 5881 section 4
	Multihop  = 4784 // RFC 5883 section 5
)

// firstSource is the least source port (RFC 5881 section 4).
const firstSource = 49152

// ttl is that of packets that are sent.
const ttl = 255

// Ends are those of a session.
type Ends struct {
	Local, Neighbour netip.Addr
	Multihop         bool
	LeastTTL         uint8 // of what is taken; to a neighbour on the link 255 always (RFC 5881 section 5)
}

func (e Ends) port() uint16 {
	if e.Multihop {
		return Multihop
	}
	return SingleHop
}

// key is what a first packet is told by.
type key struct {
	local, neighbour netip.Addr
	port             uint16
}

// Port has the sessions that go through one port of a router: it tells packets apart, and puts them in datagrams.
type Port struct {
	send func(ip []byte)

	mu    sync.RWMutex // held to read while a packet is received
	first map[key]*end // by what a packet is told that has no discriminator of ours
	mine  map[uint32]*end

	refused atomic.Uint64
}

// end is a session's in a port.
type end struct {
	Ends
	source  uint16 // UDP port that it sends from, as long as it lives
	mine    uint32 // its discriminator
	session *Session
}

// NewPort returns a port without sessions. send takes IP packets: it neither keeps one nor waits.
func NewPort(send func(ip []byte)) *Port {
	return &Port{send: send, first: map[key]*end{}, mine: map[uint32]*end{}}
}

// Why a session is not made.
var (
	errTwice = errors.New("there is a BFD session between these addresses")
	errMany  = errors.New("the port has as many BFD sessions as there are source ports")
)

// Open makes a session, whose Run is the caller's to call; changed is told by it, and does not wait. Close it.
func (p *Port) Open(e Ends, c Config, changed func(Change)) (*Session, error) {
	if !e.Multihop {
		e.LeastTTL = ttl
	}
	e.Local, e.Neighbour = plain(e.Local), plain(e.Neighbour)
	p.mu.Lock()
	defer p.mu.Unlock()
	k := key{e.Local, e.Neighbour, e.port()}
	switch {
	case p.first[k] != nil:
		return nil, fmt.Errorf("bfd: %s to %s: %w", e.Local, e.Neighbour, errTwice)
	case len(p.mine) == 1<<16-firstSource:
		return nil, fmt.Errorf("bfd: %s to %s: %w", e.Local, e.Neighbour, errMany)
	}
	var d uint32
	for d == 0 || p.mine[d] != nil {
		d = rand.Uint32() // not to be guessed
	}
	x := &end{Ends: e, source: p.freeSource(), mine: d}
	x.session = NewSession(c, d, func(out Packet) { p.emit(x, &out) }, changed)
	p.first[k], p.mine[d] = x, x
	return x.session, nil
}

// freeSource is a source port that no other session has; the caller has mu.
func (p *Port) freeSource() uint16 {
	for {
		source := uint16(firstSource + rand.IntN(1<<16-firstSource))
		used := false
		for _, x := range p.mine {
			used = used || x.source == source
		}
		if !used {
			return source
		}
	}
}

// Close has a session's packets not taken any more.
func (p *Port) Close(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, x := range p.first {
		if x.session == s {
			delete(p.first, k)
			delete(p.mine, x.mine)
		}
	}
}

// Refused counts packets for BFD that belong to no session, came from too far, or are no packets of BFD.
func (p *Port) Refused() uint64 { return p.refused.Load() }

// emit sends a packet.
func (p *Port) emit(x *end, out *Packet) {
	frame := packet.AppendUDP(nil, &packet.UDP{Src: x.Local, Dst: x.Neighbour, SrcPort: x.source, DstPort: x.port(), TTL: ttl, TOS: cs6, Payload: out.Marshal()})
	p.send(frame[packet.EthernetLen:])
}

// cs6 is what routing protocols are marked with (RFC 4594 section 3.2).
const cs6 = 48 << 2

// Receive takes an IP packet for an own address of the port if it is a datagram for BFD, and reports whether it is. It never waits, and keeps nothing.
func (p *Port) Receive(ip []byte) bool {
	d, ok := parseDatagram(ip)
	if !ok {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if x, in := p.find(&d); x != nil {
		x.session.Receive(in)
	} else {
		p.refused.Add(1)
	}
	return true
}

// find returns the session of a datagram; nil: it is none's, or not right (RFC 5880 section 6.8.6, RFC 5881 sections 3 to 5).
func (p *Port) find(d *datagram) (*end, Packet) {
	in, err := Parse(d.payload)
	if err != nil || !d.sound {
		return nil, in
	}
	k := key{d.dst, d.src, d.port}
	x := p.first[k]
	if in.Yours != 0 {
		x = p.mine[in.Yours]
	}
	if x == nil || k != (key{x.Local, x.Neighbour, x.port()}) || d.ttl < x.LeastTTL {
		return nil, in
	}
	return x, in
}

// datagram is one for BFD.
type datagram struct {
	src, dst netip.Addr
	port     uint16
	ttl      uint8
	payload  []byte
	sound    bool // lengths and checksum are right
}

// parseDatagram reads an IP packet. False: it is no datagram for BFD. Options of IPv4 are skipped; extension headers of IPv6 are not followed.
func parseDatagram(b []byte) (d datagram, ok bool) {
	var udp []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4 && b[9] == packet.ProtoUDP:
		d.src, d.dst, d.ttl = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[8]
		n, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if n < 20 || n > total || total > len(b) || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return d, false
		}
		udp = b[n:total]
	case len(b) >= 40 && b[0]>>4 == 6 && b[6] == packet.ProtoUDP:
		d.src, d.dst, d.ttl = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[7]
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if total > len(b) {
			return d, false
		}
		udp = b[40:total]
	}
	if len(udp) < packet.UDPLen {
		return d, false
	}
	d.port = binary.BigEndian.Uint16(udp[2:])
	if d.port != SingleHop && d.port != Multihop {
		return d, false
	}
	n := int(binary.BigEndian.Uint16(udp[4:]))
	if n < packet.UDPLen || n > len(udp) {
		return d, true
	}
	udp = udp[:n]
	d.payload = udp[packet.UDPLen:]
	sum := binary.BigEndian.Uint16(udp[6:])
	d.sound = sum == 0 && d.src.Is4() || sum != 0 && packet.PseudoSum(d.src, d.dst, packet.ProtoUDP, n).Add(udp).Fold() == 0
	return d, true
}

// plain is an address as it stands in packets.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
