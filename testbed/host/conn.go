package host

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// ListenTCP listens on all addresses of both families. It is closed with the host.
func (h *Host) ListenTCP(port uint16) (net.Listener, error) {
	listener, err := gonet.ListenTCP(h.stack, tcpip.FullAddress{Port: port}, ipv6.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("host %s: listen on TCP port %d: %w", h.cfg.Name, port, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		listener.Close()
		return nil, ErrClosed
	}
	owned := &ownedListener{TCPListener: listener, host: h}
	h.open[owned] = struct{}{}
	return owned, nil
}

type ownedListener struct {
	*gonet.TCPListener
	host *Host
}

func (l *ownedListener) Close() error {
	l.host.forget(l)
	l.TCPListener.Shutdown()
	return l.TCPListener.Close()
}

// DialTCP connects. If an ICMP error says why it could not, the error wraps *ICMPError. The
// connection is reset when the host closes.
func (h *Host) DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	watch := h.witness.Watch(ProtoTCP, to.Addr(), 0)
	defer watch.Close()
	dialing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(h.ctx, func() { cancel(ErrClosed) })
	defer stop()
	conn, err := gonet.DialContextTCP(dialing, h.stack, fullAddress(to), protocol(to.Addr()))
	if err == nil {
		return conn, nil
	}
	for {
		select {
		case icmpErr := <-watch.got:
			if icmpErr.Dst != to {
				continue
			}
			return nil, fmt.Errorf("host %s: dial %s: %w: %w", h.cfg.Name, to, err, icmpErr)
		default:
			return nil, fmt.Errorf("host %s: dial %s: %w", h.cfg.Name, to, err)
		}
	}
}

// ListenUDP opens a socket on all addresses of both families; IPv4 senders appear as mapped
// addresses. The caller closes it.
func (h *Host) ListenUDP(port uint16) (net.PacketConn, error) {
	conn, err := gonet.DialUDP(h.stack, &tcpip.FullAddress{Port: port}, nil, ipv6.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("host %s: listen on UDP port %d: %w", h.cfg.Name, port, err)
	}
	return conn, nil
}

// DialUDP opens a socket connected to an address. IPv4 datagrams over the MTU are
// fragmented. The caller closes it.
func (h *Host) DialUDP(to netip.AddrPort) (net.Conn, error) {
	conn, _, err := h.dialUDP(to)
	return conn, err
}

// dialUDP also returns the local port.
func (h *Host) dialUDP(to netip.AddrPort) (net.Conn, uint16, error) {
	var queue waiter.Queue
	fail := func(err tcpip.Error) (net.Conn, uint16, error) {
		return nil, 0, fmt.Errorf("host %s: UDP to %s: %w", h.cfg.Name, to, stackError(err))
	}
	endpoint, err := h.stack.NewEndpoint(udp.ProtocolNumber, protocol(to.Addr()), &queue)
	if err != nil {
		return fail(err)
	}
	if to.Addr().Is4() {
		if err := endpoint.SetSockOptInt(tcpip.MTUDiscoverOption, int(tcpip.PMTUDiscoveryDont)); err != nil {
			endpoint.Close()
			return fail(err)
		}
	}
	port, err := h.bindNext(endpoint)
	if err == nil {
		err = endpoint.Connect(fullAddress(to))
	}
	if err != nil {
		endpoint.Close()
		return fail(err)
	}
	return gonet.NewUDPConn(&queue, endpoint), port, nil
}

// ephemeral is the first of the ports that sockets of UDP clients are bound to; the last is 65535.
const ephemeral = 16000

// bindNext binds a socket to the port that the host has not used for the longest time: a random one, as the stack would choose, may well be that of a
// connection which the network still keeps (RFC 6056 §2.3), and a test would meet its state now and then.
func (h *Host) bindNext(endpoint tcpip.Endpoint) (uint16, tcpip.Error) {
	var err tcpip.Error
	for range 65536 - ephemeral {
		port := uint16(ephemeral + (h.udpPorts.Add(1)-1)%(65536-ephemeral))
		if err = endpoint.Bind(tcpip.FullAddress{Port: port}); err == nil {
			return port, nil
		}
		if _, taken := err.(*tcpip.ErrPortInUse); !taken {
			break
		}
	}
	return 0, err
}
