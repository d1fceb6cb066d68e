package bgp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// outletID is the number of the one interface in a userspace stack.
const outletID tcpip.NICID = 1

// errUnsigned is why a session with a password has no connection in userspace.
var errUnsigned = errors.New("its segments are to be signed (TCP MD5), which takes a kernel's stack: run the agent with CAP_NET_ADMIN, CAP_SYS_ADMIN and /dev/net/tun")

// userspace is a network in this process, which needs no privileges.
type userspace struct {
	name   string // of the port
	guard  *guard
	outlet *outlet
	stack  *stack.Stack

	closing chan struct{} // closed by Close
	mu      sync.RWMutex  // held to read while a packet is received
	closed  bool
}

var _ network = (*userspace)(nil)

// newUserspace makes the network of a port with addresses and an MTU in bytes. What it emits goes to send, one packet at a time, each valid during the call only;
// send neither waits nor calls the network. It is called until Close has returned.
func newUserspace(name string, addrs []netip.Addr, mtu int, send func(packet []byte)) (network, error) {
	g, err := newGuard(addrs, mtu)
	if err != nil {
		return nil, fmt.Errorf("port %s: %w", name, err)
	}
	u := &userspace{
		name: name, guard: g, closing: make(chan struct{}),
		outlet: &outlet{mtu: uint32(mtu), guard: g, send: send},
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
		}),
	}
	if err := u.setUp(); err != nil {
		u.Close()
		return nil, fmt.Errorf("port %s: %w", name, err)
	}
	return u, nil
}

// setUp gives the stack its interface, addresses and routes.
func (u *userspace) setUp() error {
	ttl, sack := tcpip.DefaultTTLOption(defaultTTL), tcpip.TCPSACKEnabled(true)
	err := errors.Join(
		stackError(u.stack.SetNetworkProtocolOption(ipv4.ProtocolNumber, &ttl)),
		stackError(u.stack.SetNetworkProtocolOption(ipv6.ProtocolNumber, &ttl)),
		stackError(u.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)),
		stackError(u.stack.CreateNIC(outletID, u.outlet)))
	if err != nil {
		return fmt.Errorf("userspace stack: %w", err)
	}
	for addr := range u.guard.addrs {
		own := tcpip.ProtocolAddress{Protocol: protocolOf(addr), AddressWithPrefix: stackAddr(addr).WithPrefix()}
		if err := u.stack.AddProtocolAddress(outletID, own, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("userspace stack: address %s: %w", addr, stackError(err))
		}
	}
	u.stack.SetRouteTable([]tcpip.Route{
		{Destination: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{})}.Subnet(), NIC: outletID},
		{Destination: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16([16]byte{})}.Subnet(), NIC: outletID},
	})
	return nil
}

// Dial implements network.
func (u *userspace) Dial(ctx context.Context, local netip.Addr, remote netip.AddrPort, o options) (net.Conn, error) {
	local, remote = plain(local), netip.AddrPortFrom(plain(remote.Addr()), remote.Port())
	conn, err := u.dial(ctx, local, remote, o)
	if err != nil {
		return nil, fmt.Errorf("port %s: connect %s to %s: %w", u.name, local, remote, err)
	}
	return conn, nil
}

func (u *userspace) dial(ctx context.Context, local netip.Addr, remote netip.AddrPort, o options) (net.Conn, error) {
	if o.password != "" {
		return nil, errUnsigned
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	endpoint, queue, err := u.endpoint(local, o)
	if err != nil {
		return nil, err
	}
	u.guard.require(local, remote.Addr(), o.minTTL)
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	queue.EventRegister(&entry)
	defer queue.EventUnregister(&entry)
	failure := endpoint.Bind(fullAddress(netip.AddrPortFrom(local, 0)))
	if failure == nil {
		failure = endpoint.Connect(fullAddress(remote))
	}
	if _, started := failure.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ctx.Done():
			endpoint.Abort()
			return nil, ctx.Err()
		case <-u.closing:
			endpoint.Abort()
			return nil, net.ErrClosed
		case <-ready:
			failure = endpoint.LastError()
		}
	}
	if failure != nil {
		endpoint.Close()
		return nil, stackError(failure)
	}
	return gonet.NewTCPConn(queue, endpoint), nil
}

// endpoint makes a socket for one of the port's addresses.
func (u *userspace) endpoint(local netip.Addr, o options) (tcpip.Endpoint, *waiter.Queue, error) {
	if !u.guard.has(local) {
		return nil, nil, fmt.Errorf("%s is none of the port's addresses", local)
	}
	u.mu.RLock()
	defer u.mu.RUnlock()
	if u.closed {
		return nil, nil, net.ErrClosed
	}
	queue := &waiter.Queue{}
	endpoint, err := u.stack.NewEndpoint(tcp.ProtocolNumber, protocolOf(local), queue)
	if err == nil {
		if err = setTTL(endpoint, local, o); err != nil {
			endpoint.Close()
		}
	}
	return endpoint, queue, stackError(err)
}

// Listen implements network.
func (u *userspace) Listen(local netip.AddrPort) (listener, error) {
	local = netip.AddrPortFrom(plain(local.Addr()), local.Port())
	fail := func(err error) (listener, error) {
		return nil, fmt.Errorf("port %s: listen at %s: %w", u.name, local, err)
	}
	endpoint, queue, err := u.endpoint(local.Addr(), options{})
	if err != nil {
		return fail(err)
	}
	endpoint.SocketOptions().SetReuseAddress(true) // connections of an earlier listener may be there still
	failure := endpoint.Bind(fullAddress(local))
	if failure == nil {
		failure = endpoint.Listen(backlog)
	}
	if failure != nil {
		endpoint.Close()
		return fail(stackError(failure))
	}
	return &userspaceListener{network: u, local: local, endpoint: endpoint, queue: queue, closing: make(chan struct{})}, nil
}

// Receive implements network.
func (u *userspace) Receive(packet []byte) {
	if !u.guard.admits(packet) {
		return
	}
	u.mu.RLock()
	defer u.mu.RUnlock()
	if !u.closed {
		u.outlet.deliver(packet)
	}
}

// Close implements network: connections are reset.
func (u *userspace) Close() error {
	u.mu.Lock()
	closed := u.closed
	u.closed = true
	u.mu.Unlock()
	if !closed {
		close(u.closing)
		u.stack.Destroy()
	}
	return nil
}

// setTTL sets the TTL or hop limit of what an endpoint sends.
func setTTL(endpoint tcpip.Endpoint, local netip.Addr, o options) tcpip.Error {
	option := tcpip.IPv4TTLOption
	if local.Is6() {
		option = tcpip.IPv6HopLimitOption
	}
	return endpoint.SetSockOptInt(option, int(cmp.Or(o.ttl, defaultTTL)))
}

// stackError turns an error of the stack, which may be nil, into a Go error.
func stackError(err tcpip.Error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.String())
}

func stackAddr(addr netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(addr.AsSlice()) }

func fullAddress(to netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: outletID, Addr: stackAddr(to.Addr()), Port: to.Port()}
}

func protocolOf(addr netip.Addr) tcpip.NetworkProtocolNumber {
	if addr.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}
