package bgp

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// bgpPort is where neighbours begin sessions (RFC 4271 §8.2.1).
const bgpPort = 179

// acceptor hands the connections that neighbours begin at one address of a port to their sessions.
type acceptor struct {
	listener  listener
	log       *slog.Logger
	strangers atomic.Uint64
	closing   chan struct{}
	running   sync.WaitGroup

	mu     sync.Mutex
	offers map[netip.Addr]func(net.Conn) // by neighbour
}

// newAcceptor listens at the BGP port of a local address, until Close.
func newAcceptor(n network, local netip.Addr, log *slog.Logger) (*acceptor, error) {
	l, err := n.Listen(netip.AddrPortFrom(local, bgpPort))
	if err != nil {
		return nil, err
	}
	a := &acceptor{listener: l, log: log, closing: make(chan struct{}), offers: map[netip.Addr]func(net.Conn){}}
	a.running.Go(a.run)
	return a, nil
}

// Expect has a neighbour's connections taken with options and handed to offer, which owns them and does not wait.
func (a *acceptor) Expect(neighbour netip.Addr, o options, offer func(net.Conn)) error {
	a.mu.Lock()
	a.offers[plain(neighbour)] = offer
	a.mu.Unlock()
	if err := a.listener.Expect(neighbour, o); err != nil {
		a.Refuse(neighbour)
		return err
	}
	return nil
}

// Refuse has a neighbour's connections closed from now on.
func (a *acceptor) Refuse(neighbour netip.Addr) {
	a.listener.Refuse(neighbour)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.offers, plain(neighbour))
}

// Strangers counts the connections that were closed because nobody expected them.
func (a *acceptor) Strangers() uint64 { return a.strangers.Load() }

// Close listens no more; connections that were handed on stay.
func (a *acceptor) Close() error {
	close(a.closing)
	err := a.listener.Close()
	a.running.Wait()
	return err
}

func (a *acceptor) run() {
	const pause = time.Second // after a failure, as for want of file descriptors
	for {
		conn, err := a.listener.Accept()
		if err == nil {
			a.hand(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		a.log.Warn("a neighbour's connection was not taken", "local", a.listener.Addr().String(), "err", err)
		select {
		case <-a.closing:
			return
		case <-time.After(pause):
		}
	}
}

func (a *acceptor) hand(conn net.Conn) {
	neighbour := neighbourOf(conn)
	a.mu.Lock()
	offer := a.offers[neighbour]
	a.mu.Unlock()
	if offer != nil {
		offer(conn)
		return
	}
	a.strangers.Add(1)
	a.log.Debug("connection of nobody's neighbour closed", "local", a.listener.Addr().String(), "from", neighbour)
	conn.Close()
}
