package vpn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Ports that a transport chooses from where it calls.
const firstOwnPort, ownPorts = 49152, 16384

// public is the transport by a public port: the VPN is the one host there, and speaks UDP by itself.
type public struct {
	trunk       *trunk
	vlan        uint16
	own, router packet.MAC
	addrs       []netip.Addr
	valid       func() bool // the VPN is surely held
	counts      *counts

	mu   sync.Mutex
	link *link // nil: it is closed
	port uint16
}

func newPublic(t *trunk, vlan uint16, site *topology.VPN, valid func() bool, c *counts) *public {
	p := site.Public
	return &public{trunk: t, vlan: vlan, own: stationMAC(p.ID), router: p.MAC, addrs: p.Hosts, valid: valid, counts: c}
}

// Open implements conn.Bind.
func (p *public) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	if port == 0 {
		port = firstOwnPort + uint16(rand.N(ownPorts))
	}
	l := p.trunk.link(p.vlan, p.counts)
	p.link, p.port = l, port
	var f packet.Frame
	var last *endpoint
	receive := func(bufs [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
		n, err := l.fill(len(bufs), func(frame []byte, n int) bool {
			payload, src, dst := p.take(l, frame, &f, port)
			if payload == nil {
				return false
			}
			if last == nil || last.dst != src || last.source() != dst { // of most it is the same
				last = &endpoint{dst: src, src: dst}
			}
			sizes[n], from[n] = copy(bufs[n], payload), last
			return true
		})
		if err != nil {
			return 0, net.ErrClosed
		}
		return n, nil
	}
	return []conn.ReceiveFunc{receive}, port, nil
}

// take returns what a frame brings for the tunnel; nil: nothing.
func (p *public) take(l *link, frame []byte, f *packet.Frame, port uint16) (payload []byte, src netip.AddrPort, dst netip.Addr) {
	if packet.Parse(frame, f) != nil {
		p.counts.notForUs.Add(1)
		return nil, src, dst
	}
	if f.IsARP() || f.IsND() {
		p.answer(l, f)
		return nil, src, dst
	}
	ip := f.IPPacket()
	if ip == nil || f.Tagged || f.Dst() != p.own || !slices.Contains(p.addrs, f.DstAddr()) {
		p.counts.notForUs.Add(1)
		return nil, src, dst
	}
	if f.IsEchoRequest() {
		if !p.valid() {
			p.counts.notHeld.Add(1)
		} else if reply, err := packet.AppendEchoReply(nil, f); err == nil {
			l.sendOne(func(b []byte) []byte { return append(b, reply...) })
		}
		return nil, src, dst
	}
	at := f.L4 - f.L3
	if f.Proto != packet.ProtoUDP || f.Frag != packet.FragNone || f.L4 == 0 || f.DstPort != port || len(ip) < at+packet.UDPLen {
		p.counts.notForUs.Add(1)
		return nil, src, dst
	}
	return ip[at+packet.UDPLen:], netip.AddrPortFrom(f.SrcAddr(), f.SrcPort), f.DstAddr()
}

// answer answers ARP and ND for the VPN's own addresses.
func (p *public) answer(l *link, f *packet.Frame) {
	if !p.valid() {
		p.counts.notHeld.Add(1)
		return
	}
	if f.IsARP() {
		if q, err := f.ARP(); err == nil && q.Op == packet.ARPRequest && slices.Contains(p.addrs, q.TargetIP) && !q.Gratuitous() {
			l.sendOne(func(b []byte) []byte { return packet.AppendARPReply(b, &q, p.own) })
		}
		return
	}
	if q, err := f.ND(); err == nil && q.Type == packet.ICMPv6NeighSol && slices.Contains(p.addrs, q.Target) && !q.Src.IsUnspecified() {
		from := f.Src()
		l.sendOne(func(b []byte) []byte { return packet.AppendNA(b, &q, from, p.own, false) })
	}
}

// Close implements conn.Bind.
func (p *public) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link != nil {
		p.link.close()
		p.link = nil
	}
	return nil
}

// SetMark implements conn.Bind: there are no marks here.
func (p *public) SetMark(uint32) error { return nil }

// BatchSize implements conn.Bind.
func (p *public) BatchSize() int { return batchSize }

var errNoAddress = errors.New("vpn: the public port has no address of the peer's IP version")

// Send implements conn.Bind.
func (p *public) Send(bufs [][]byte, to conn.Endpoint) error {
	e, ok := to.(*endpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	p.mu.Lock()
	l, port := p.link, p.port
	p.mu.Unlock()
	if l == nil {
		return net.ErrClosed
	}
	src := e.source()
	if at := slices.IndexFunc(p.addrs, func(a netip.Addr) bool { return a.Is4() == e.dst.Addr().Is4() }); !slices.Contains(p.addrs, src) && at >= 0 {
		src = p.addrs[at]
	}
	if !src.IsValid() || src.Is4() != e.dst.Addr().Is4() {
		p.counts.noTransport.Add(uint64(len(bufs)))
		return errNoAddress
	}
	b := l.begin()
	u := packet.UDP{SrcMAC: p.own, DstMAC: p.router, Src: src, Dst: e.dst.Addr(), SrcPort: port, DstPort: e.dst.Port()}
	for _, buf := range bufs {
		u.Payload = buf
		b.add(packet.AppendUDP(b.next(), &u))
	}
	l.send(b)
	return nil
}

// ParseEndpoint implements conn.Bind.
func (p *public) ParseEndpoint(s string) (conn.Endpoint, error) {
	at, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, fmt.Errorf("vpn: %w", err)
	}
	return &endpoint{dst: netip.AddrPortFrom(at.Addr().Unmap(), at.Port())}, nil
}

// endpoint is where a peer is, and the own address that it speaks to.
type endpoint struct {
	dst netip.AddrPort
	mu  sync.Mutex
	src netip.Addr
}

func (e *endpoint) source() netip.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.src
}

// ClearSrc implements conn.Endpoint.
func (e *endpoint) ClearSrc() {
	e.mu.Lock()
	e.src = netip.Addr{}
	e.mu.Unlock()
}

// SrcToString implements conn.Endpoint.
func (e *endpoint) SrcToString() string { return e.source().String() }

// DstToString implements conn.Endpoint.
func (e *endpoint) DstToString() string { return e.dst.String() }

// DstToBytes implements conn.Endpoint.
func (e *endpoint) DstToBytes() []byte {
	b, _ := e.dst.MarshalBinary() // it has no error
	return b
}

// DstIP implements conn.Endpoint.
func (e *endpoint) DstIP() netip.Addr { return e.dst.Addr() }

// SrcIP implements conn.Endpoint.
func (e *endpoint) SrcIP() netip.Addr { return e.source() }
