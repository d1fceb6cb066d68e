package bgp

import (
	"net"
	"net/netip"
	"sync"
)

// expected are the neighbours that a listener knows, with the options of their connections.
type expected struct {
	mu      sync.Mutex
	options map[netip.Addr]options
}

func (e *expected) set(neighbour netip.Addr, o options) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.options == nil {
		e.options = map[netip.Addr]options{}
	}
	e.options[neighbour] = o
}

func (e *expected) remove(neighbour netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.options, neighbour)
}

// of returns the options of a neighbour; those of one that is not known are zero.
func (e *expected) of(neighbour netip.Addr) options {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.options[neighbour]
}

// neighbourOf returns whom a connection is with.
func neighbourOf(conn net.Conn) netip.Addr {
	addr, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return plain(addr.AddrPort().Addr())
}
