package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// kernel is a network in the kernel: a network namespace with a TUN device.
type kernel struct {
	name      string // of the port
	guard     *guard
	namespace namespace
	tun       *os.File
	index     int // of the device
	pumping   sync.WaitGroup
	ctx       context.Context // until Close
	cancel    context.CancelFunc

	mu   sync.Mutex
	open map[closer]struct{} // connections and listeners, to be closed with the network; nil when it is
}

// closer is what a network closes at once: a connection is reset.
type closer interface{ abort() }

var _ network = (*kernel)(nil)

// newKernel makes the network of a port with addresses and an MTU in bytes. It takes CAP_SYS_ADMIN, CAP_NET_ADMIN and /dev/net/tun. What it emits goes to
// send, one packet at a time, each valid during the call only. Send is called until Close has returned.
func newKernel(name string, addrs []netip.Addr, mtu int, send func(packet []byte)) (network, error) {
	fail := func(err error) (network, error) { return nil, fmt.Errorf("port %s: %w", name, err) }
	g, err := newGuard(addrs, mtu)
	if err != nil {
		return fail(err)
	}
	ns, err := newNamespace()
	if err == nil {
		k := &kernel{name: name, guard: g, namespace: ns, open: map[closer]struct{}{}}
		err = ns.do(func() (err error) {
			k.tun, k.index, err = openTUN(g.addrs, mtu)
			return err
		})
		if err == nil {
			k.ctx, k.cancel = context.WithCancel(context.Background())
			k.pumping.Go(func() { k.pump(send) })
			return k, nil
		}
		ns.close()
	}
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w: a kernel's stack for a port takes CAP_SYS_ADMIN and CAP_NET_ADMIN", err)
	}
	return fail(err)
}

// pump hands on what the kernel sends, until the device may not be waited for any more; then what it has left.
func (k *kernel) pump(send func(packet []byte)) {
	packet := make([]byte, 65536)
	for {
		n, err := k.tun.Read(packet)
		if err != nil {
			break
		}
		if k.guard.emits(packet[:n]) {
			send(packet[:n])
		}
	}
	raw, err := k.tun.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		for {
			n, err := unix.Read(int(fd), packet)
			if err != nil {
				return
			}
			if k.guard.emits(packet[:n]) {
				send(packet[:n])
			}
		}
	})
}

// Receive implements network.
func (k *kernel) Receive(packet []byte) {
	if k.guard.admits(packet) {
		k.tun.Write(packet) // does not wait; it fails when the network is closed
	}
}

// Dial implements network.
func (k *kernel) Dial(ctx context.Context, local netip.Addr, remote netip.AddrPort, o options) (net.Conn, error) {
	local, remote = plain(local), netip.AddrPortFrom(plain(remote.Addr()), remote.Port())
	conn, err := k.dial(ctx, local, remote, o)
	if err != nil {
		return nil, fmt.Errorf("port %s: connect %s to %s: %w", k.name, local, remote, err)
	}
	return conn, nil
}

func (k *kernel) dial(ctx context.Context, local netip.Addr, remote netip.AddrPort, o options) (net.Conn, error) {
	s, err := k.socket(netip.AddrPortFrom(local, 0), o)
	if err != nil {
		return nil, err
	}
	if o.password != "" {
		if err := s.sign(remote.Addr(), o.password); err != nil {
			s.file.Close()
			return nil, err
		}
	}
	k.guard.require(local, remote.Addr(), o.minTTL)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(k.ctx, cancel)()
	conn, err := s.connect(ctx, remote)
	if err != nil {
		return nil, err
	}
	return k.own(conn)
}

// socket makes a socket in the namespace, bound to an address of the port.
func (k *kernel) socket(local netip.AddrPort, o options) (*socket, error) {
	if !k.guard.has(local.Addr()) {
		return nil, fmt.Errorf("%s is none of the port's addresses", local.Addr())
	}
	var s *socket
	k.mu.Lock() // the namespace's handle is open
	defer k.mu.Unlock()
	if k.open == nil {
		return nil, net.ErrClosed
	}
	err := k.namespace.do(func() (err error) {
		s, err = newSocket(local.Addr(), k.index)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.bind(local, o); err != nil {
		s.file.Close()
		return nil, err
	}
	return s, nil
}

// Listen implements network.
func (k *kernel) Listen(local netip.AddrPort) (listener, error) {
	local = netip.AddrPortFrom(plain(local.Addr()), local.Port())
	fail := func(err error) (listener, error) {
		return nil, fmt.Errorf("port %s: listen at %s: %w", k.name, local, err)
	}
	s, err := k.socket(local, options{})
	if err != nil {
		return fail(err)
	}
	tcp, err := s.listen()
	if err != nil {
		return fail(err)
	}
	l := &kernelListener{TCPListener: tcp, network: k, local: local}
	if !k.keep(l) {
		tcp.Close()
		return fail(net.ErrClosed)
	}
	return l, nil
}

// own makes a connection one that is closed with the network.
func (k *kernel) own(tcp *net.TCPConn) (net.Conn, error) {
	conn := &kernelConn{TCPConn: tcp, network: k}
	if !k.keep(conn) {
		tcp.Close()
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (k *kernel) keep(c closer) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open == nil {
		return false
	}
	k.open[c] = struct{}{}
	return true
}

func (k *kernel) forget(c closer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, c)
}

// Close implements network: connections are reset, and the namespace goes.
func (k *kernel) Close() error {
	k.mu.Lock()
	open := k.open
	k.open = nil
	if open != nil {
		k.cancel()
		k.namespace.close()
	}
	k.mu.Unlock()
	if open == nil {
		return nil
	}
	for c := range open {
		c.abort()
	}
	err := k.tun.SetReadDeadline(time.Unix(1, 0)) // the resets are in the device
	k.pumping.Wait()
	return errors.Join(err, k.tun.Close())
}

// kernelConn is a connection of a kernel's network.
type kernelConn struct {
	*net.TCPConn
	network *kernel
}

// orphaned is how long the kernel goes on by itself with a connection that was closed, in milliseconds: it holds the namespace so long.
const orphaned = 5_000

// Close implements net.Conn. What was written still goes to the neighbour.
func (c *kernelConn) Close() error {
	c.network.forget(c)
	if raw, err := c.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, orphaned) })
	}
	return c.TCPConn.Close()
}

func (c *kernelConn) abort() {
	c.SetLinger(0)
	c.TCPConn.Close()
}
