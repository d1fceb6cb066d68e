package bgp

import (
	"context"
	"net"
	"net/netip"
)

// network is the TCP/IP stack of one port, with the port's addresses and nothing else: what it sends leaves through the port, what comes to the port's addresses it receives.
type network interface {
	// Dial connects from a local address to a neighbour's. An error names both, or what the stack lacks.
	Dial(ctx context.Context, local netip.Addr, remote netip.AddrPort, o options) (net.Conn, error)
	// Listen takes what neighbours begin at a local address.
	Listen(local netip.AddrPort) (listener, error)
	// Receive takes an IP packet that came for one of the addresses. It neither keeps the packet nor waits; what can not be taken is dropped.
	Receive(packet []byte)
	// Close ends all connections and listeners.
	Close() error
}

// listener takes what neighbours begin.
type listener interface {
	net.Listener
	// Expect has connections of a neighbour taken, with options; others are refused where the stack can tell.
	Expect(neighbour netip.Addr, o options) error
	// Refuse has a neighbour's connections not taken any more.
	Refuse(neighbour netip.Addr)
}

// options are those of a session's TCP connection.
type options struct {
	password string // segments are signed with (RFC 2385); "": they are not
	ttl      uint8  // TTL or hop limit of what is sent; 0: defaultTTL
	minTTL   uint8  // least that is taken of what comes (RFC 5082); 0: any
}
