package bgp

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/waiter"
)

// backlog is how many connections wait to be accepted.
const backlog = 128

// userspaceListener listens in a userspace stack, which can not tell neighbours from others before they are connected.
type userspaceListener struct {
	expected
	network  *userspace
	local    netip.AddrPort
	endpoint tcpip.Endpoint
	queue    *waiter.Queue

	closing chan struct{} // closed by Close
	once    sync.Once
}

// Expect implements listener.
func (l *userspaceListener) Expect(neighbour netip.Addr, o options) error {
	neighbour = plain(neighbour)
	if o.password != "" {
		return fmt.Errorf("port %s: listen at %s for %s: %w", l.network.name, l.local, neighbour, errUnsigned)
	}
	l.network.guard.require(l.local.Addr(), neighbour, o.minTTL)
	l.set(neighbour, o)
	return nil
}

// Refuse implements listener.
func (l *userspaceListener) Refuse(neighbour netip.Addr) {
	neighbour = plain(neighbour)
	l.remove(neighbour)
	l.network.guard.require(l.local.Addr(), neighbour, 0)
}

// Accept implements net.Listener.
func (l *userspaceListener) Accept() (net.Conn, error) {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	l.queue.EventRegister(&entry)
	defer l.queue.EventUnregister(&entry)
	for {
		endpoint, queue, err := l.endpoint.Accept(nil)
		if err == nil {
			conn := gonet.NewTCPConn(queue, endpoint)
			err = setTTL(endpoint, l.local.Addr(), l.of(neighbourOf(conn)))
			if err == nil {
				return conn, nil
			}
			conn.Close()
		}
		if _, none := err.(*tcpip.ErrWouldBlock); none {
			select {
			case <-ready:
				continue
			case <-l.closing:
			case <-l.network.closing:
			}
			return nil, net.ErrClosed
		}
		select {
		case <-l.closing:
			return nil, net.ErrClosed
		case <-l.network.closing:
			return nil, net.ErrClosed
		default:
			return nil, fmt.Errorf("port %s: accept at %s: %w", l.network.name, l.local, stackError(err))
		}
	}
}

// Close implements net.Listener.
func (l *userspaceListener) Close() error {
	l.once.Do(func() {
		close(l.closing)
		l.endpoint.Close()
	})
	return nil
}

// Addr implements net.Listener.
func (l *userspaceListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }
