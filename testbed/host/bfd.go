package host

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/weft-sdn/weft/bfd"
)

// watch has the way to who began a session watched by BFD over one hop, until the host closes: the session ends when it is lost.
func (b *BGP) watch(session net.Conn, every time.Duration) {
	addr, ok := session.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return
	}
	neighbour := netip.AddrPortFrom(addr.AddrPort().Addr().Unmap(), bfd.SingleHop)
	in, err := b.host.ListenUDP(bfd.SingleHop)
	if err != nil {
		return // another session of the host has it
	}
	out, err := b.host.dialBFD(neighbour)
	if err != nil {
		in.Close()
		return
	}
	s := bfd.NewSession(bfd.Config{MinTx: every, MinRx: every, Multiplier: 3}, 1+rand.Uint32N(1<<32-1), func(p bfd.Packet) { _, _ = out.Write(p.Marshal()) }, func(c bfd.Change) {
		if c.Failed {
			b.host.services.Go(func() {
				_ = b.server.ResetPeer(b.host.ctx, &api.ResetPeerRequest{Address: "127.0.0.1", Communication: "BFD is down"}) // fails at the end of the host only
			})
		}
	})
	b.host.services.Go(func() { _ = s.Run(b.host.ctx) })
	b.host.services.Go(func() {
		defer out.Close()
		b.host.hearBFD(in, neighbour.Addr(), s)
	})
}

// hearBFD gives a session what comes from its neighbour until the host closes.
func (h *Host) hearBFD(in net.PacketConn, neighbour netip.Addr, s *bfd.Session) {
	defer context.AfterFunc(h.ctx, func() { in.SetReadDeadline(time.Unix(1, 0)) })()
	defer in.Close()
	buf := make([]byte, 256)
	for h.ctx.Err() == nil {
		n, from, err := in.ReadFrom(buf)
		if err != nil {
			continue // an ICMP error about an earlier packet
		}
		addr, ok := from.(*net.UDPAddr)
		if p, err := bfd.Parse(buf[:n]); ok && err == nil && addr.AddrPort().Addr().Unmap() == neighbour && (p.Yours == 0 || p.Yours == s.Status().Mine) {
			s.Receive(p)
		}
	}
}

// dialBFD opens a socket as RFC 5881 has packets sent: from a port of the upper range, with a TTL of 255.
func (h *Host) dialBFD(to netip.AddrPort) (net.Conn, error) {
	var queue waiter.Queue
	endpoint, err := h.stack.NewEndpoint(udp.ProtocolNumber, protocol(to.Addr()), &queue)
	if err != nil {
		return nil, stackError(err)
	}
	option := tcpip.IPv4TTLOption
	if to.Addr().Is6() {
		option = tcpip.IPv6HopLimitOption
	}
	if err = endpoint.SetSockOptInt(option, 255); err == nil {
		err = endpoint.Bind(tcpip.FullAddress{Port: 49152 + rand.N[uint16](1<<14)})
	}
	if err == nil {
		err = endpoint.Connect(fullAddress(to))
	}
	if err != nil {
		endpoint.Close()
		return nil, fmt.Errorf("host %s: BFD to %s: %w", h.cfg.Name, to, stackError(err))
	}
	return gonet.NewUDPConn(&queue, endpoint), nil
}

// Unplug pulls the host's cable out, which nobody is told.
func (b *BGP) Unplug() {
	if link := b.host.nic.Link(); link != nil {
		b.pulled = link
		b.host.Connect(nil)
	}
}

// Plug plugs it in again where it was.
func (b *BGP) Plug() {
	if b.pulled != nil {
		b.host.Connect(b.pulled)
		b.pulled = nil
	}
}
