package bgp

import (
	"fmt"
	"net"
	"net/netip"
)

// kernelListener listens in a kernel's network. The kernel tells neighbours from others only by what they sign; others are accepted.
type kernelListener struct {
	*net.TCPListener
	expected
	network *kernel
	local   netip.AddrPort
}

// Expect implements listener.
func (l *kernelListener) Expect(neighbour netip.Addr, o options) error {
	neighbour = plain(neighbour)
	if err := l.sign(neighbour, o.password); err != nil {
		return fmt.Errorf("port %s: listen at %s for %s: %w", l.network.name, l.local, neighbour, err)
	}
	l.network.guard.require(l.local.Addr(), neighbour, o.minTTL)
	l.set(neighbour, o)
	return nil
}

// Refuse implements listener.
func (l *kernelListener) Refuse(neighbour netip.Addr) {
	neighbour = plain(neighbour)
	l.remove(neighbour)
	l.network.guard.require(l.local.Addr(), neighbour, 0)
	l.sign(neighbour, "") // fails only when the listener is closed
}

func (l *kernelListener) sign(neighbour netip.Addr, password string) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	return signSegments(raw, netip.PrefixFrom(neighbour, neighbour.BitLen()), password)
}

// Accept implements net.Listener.
func (l *kernelListener) Accept() (net.Conn, error) {
	for {
		tcp, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		if l.setUp(tcp) == nil {
			return l.network.own(tcp)
		}
		tcp.Close() // it ended already
	}
}

// setUp applies a neighbour's options to a connection.
func (l *kernelListener) setUp(tcp *net.TCPConn) error {
	o := l.of(neighbourOf(tcp))
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	if err := raw.Control(func(fd uintptr) { failure = setSocketTTL(int(fd), l.local.Addr().Is6(), o) }); err != nil {
		return err
	}
	if failure != nil {
		return failure
	}
	return tcp.SetKeepAlive(false) // BGP has its own
}

// Close implements net.Listener.
func (l *kernelListener) Close() error {
	l.network.forget(l)
	return l.TCPListener.Close()
}

func (l *kernelListener) abort() { l.TCPListener.Close() }
