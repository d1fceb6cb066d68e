package bgp

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
)

// defaultTTL is what leaves with while no session says otherwise, answers of listeners included: a neighbour that takes only what comes from next door
// (RFC 5082) has to take the answer to its SYN, which goes before the connection is known to be a session's.
const defaultTTL = 255

// Protocol numbers of IP.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoICMPv6 = 58
)

// guard is what a port's stack is kept behind: TCP passes both ways and ICMP errors pass inwards, from and to the port's addresses, and of a neighbour
// that must be near (RFC 5082) only what is. So a stack neither forwards nor says anything of its own (MLD, router solicitations), whatever its settings.
type guard struct {
	addrs map[netip.Addr]struct{}

	mu    sync.Mutex // held to change least
	least atomic.Pointer[map[ends]uint8]
}

// ends are the addresses of a session.
type ends struct{ local, neighbour netip.Addr }

// newGuard checks what a stack is made of: addresses, and the MTU in bytes.
func newGuard(addrs []netip.Addr, mtu int) (*guard, error) {
	if len(addrs) == 0 {
		return nil, fmt.Errorf("it has no address")
	}
	g := &guard{addrs: map[netip.Addr]struct{}{}}
	least := 68 // RFC 791
	for _, addr := range addrs {
		if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() {
			return nil, fmt.Errorf("address %s is not one of a host", addr)
		}
		if addr = plain(addr); addr.Is6() {
			least = 1280 // RFC 8200
		}
		g.addrs[addr] = struct{}{}
	}
	if mtu < least || mtu > 65535 {
		return nil, fmt.Errorf("MTU %d is not within %d and 65535", mtu, least)
	}
	g.least.Store(&map[ends]uint8{})
	return g, nil
}

// plain is an address as it stands in packets.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// has tells whether an address is the port's.
func (g *guard) has(addr netip.Addr) bool {
	_, ok := g.addrs[addr]
	return ok
}

// require has the TCP segments of a neighbour taken only with a TTL or hop limit of least or more; 0: any.
func (g *guard) require(local, neighbour netip.Addr, least uint8) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, now := ends{local, neighbour}, *g.least.Load()
	if now[e] == least {
		return
	}
	next := maps.Clone(now)
	if next[e] = least; least == 0 {
		delete(next, e)
	}
	g.least.Store(&next)
}

// admits tells whether the stack is to have a packet that came.
func (g *guard) admits(p []byte) bool {
	h, ok := parseHeader(p)
	if !ok || !g.has(h.dst) {
		return false
	}
	switch h.proto {
	case protoTCP:
		least := *g.least.Load()
		return len(least) == 0 || h.ttl >= least[ends{h.dst, h.src}]
	case protoICMP: // destination unreachable, time exceeded, parameter problem
		return h.dst.Is4() && len(h.payload) > 0 && (h.payload[0] == 3 || h.payload[0] == 11 || h.payload[0] == 12)
	case protoICMPv6: // those and packet too big
		return h.dst.Is6() && len(h.payload) > 0 && h.payload[0] >= 1 && h.payload[0] <= 4
	}
	return false
}

// emits tells whether a packet of the stack is to leave.
func (g *guard) emits(p []byte) bool {
	h, ok := parseHeader(p)
	return ok && h.proto == protoTCP && g.has(h.src)
}

// ipHeader is what a guard looks at.
type ipHeader struct {
	src, dst   netip.Addr
	proto, ttl uint8
	payload    []byte // of the first fragment; nil in others
}

// parseHeader reads the header of an IP packet. Extension headers of IPv6 are not followed: TCP and ICMP errors come without.
func parseHeader(p []byte) (h ipHeader, ok bool) {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		h.src, h.dst = netip.AddrFrom4([4]byte(p[12:])), netip.AddrFrom4([4]byte(p[16:]))
		h.proto, h.ttl = p[9], p[8]
		n := int(p[0]&15) * 4
		if n < 20 || n > len(p) {
			return h, false
		}
		if binary.BigEndian.Uint16(p[6:])&0x1fff == 0 {
			h.payload = p[n:]
		}
		return h, true
	case len(p) >= 40 && p[0]>>4 == 6:
		h.src, h.dst = netip.AddrFrom16([16]byte(p[8:])), netip.AddrFrom16([16]byte(p[24:]))
		h.proto, h.ttl, h.payload = p[6], p[7], p[40:]
		return h, true
	}
	return h, false
}
