package state

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// RIBRoute is what a routing protocol learnt of one destination from one peer. Comparable.
type RIBRoute struct {
	Dst    netip.Prefix // masked
	Via    netip.Addr   // the gateway, of Dst's family. Invalid, in an update: the destination is not reached this way any more
	Metric uint64       // of several sources' routes to Dst those with the least are in force
	Stale  bool         // from before the session's restart, and not heard again since (RFC 4724)
}

// A block of routes to prefixes of one family, in order of address, length and gateway. Every list has exactly one encoding.
//
//	version 1: u8 version | u8 family (4, 6) | uvarint number of ways | ways | uvarint number of routes | routes
//	way:       u8 flags (1 stale) | address | uvarint metric               distinct, in the order in which routes first have them
//	route:     u8 length of the prefix | u8 shared<<4 | min(way, 15) | uvarint way-15, if that is not negative | rest of the address
//
// Of an address there are the bytes that the prefix reaches into, but the first ones, shared, that are those of the route before; at most 15.
const (
	ribVersion   = 1
	ribFlagStale = 1 << 0
	ribEscape    = 15 // way or number of shared bytes that four bits hold

	ribMaxRoutes = 1 << 20 // of one block, as read
)

// ribWay is what routes of a block have in common.
type ribWay struct {
	via    netip.Addr
	metric uint64
	stale  bool
}

func (r *RIBRoute) way() ribWay { return ribWay{r.Via, r.Metric, r.Stale} }

// comparePrefixes orders prefixes of both families: by address, the shorter ones first.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// compareRIB orders routes: by destination, those to one by gateway.
func compareRIB(a, b RIBRoute) int {
	return cmp.Or(comparePrefixes(a.Dst, b.Dst), a.Via.Compare(b.Via))
}

// appendRIB encodes routes of one family, in order, no two to one destination by the same gateway.
func appendRIB(b []byte, routes []RIBRoute) []byte {
	family := byte(6)
	if len(routes) == 0 || routes[0].Dst.Addr().Is4() {
		family = 4
	}
	index := map[ribWay]int{}
	var ways []ribWay
	for i := range routes {
		w := routes[i].way()
		if _, has := index[w]; !has {
			index[w] = len(ways)
			ways = append(ways, w)
		}
	}
	b = append(b, ribVersion, family)
	b = binary.AppendUvarint(b, uint64(len(ways)))
	for _, w := range ways {
		var flags byte
		if w.stale {
			flags = ribFlagStale
		}
		b = append(append(b, flags), w.via.AsSlice()...)
		b = binary.AppendUvarint(b, w.metric)
	}
	b = binary.AppendUvarint(b, uint64(len(routes)))
	var before []byte
	for i := range routes {
		r := &routes[i]
		addr := r.Dst.Addr().AsSlice()
		reach := (r.Dst.Bits() + 7) / 8
		shared, way := sharedBytes(before, addr[:reach]), index[r.way()]
		b = append(b, byte(r.Dst.Bits()), byte(shared<<4|min(way, ribEscape)))
		if way >= ribEscape {
			b = binary.AppendUvarint(b, uint64(way-ribEscape))
		}
		b = append(b, addr[shared:reach]...)
		before = addr
	}
	return b
}

// sharedBytes returns how many bytes at the begin of addr are before's.
func sharedBytes(before, addr []byte) int {
	n := 0
	for n < min(len(before), len(addr), ribEscape) && before[n] == addr[n] {
		n++
	}
	return n
}

// decodeRIB is the inverse of appendRIB, and accepts what that writes only. The routes are appended to into.
func decodeRIB(into []RIBRoute, b []byte) ([]RIBRoute, error) {
	r := ribReader{b: b}
	if r.byte() != ribVersion {
		return nil, fmt.Errorf("%w: block of routes of version %d", ErrCodec, b[:min(len(b), 1)])
	}
	switch r.byte() {
	case 4:
		r.size = 4
	case 6:
		r.size = 16
	default:
		return nil, fmt.Errorf("%w: block of routes of no known family", ErrCodec)
	}
	ways := r.ways()
	n := r.uvarint(ribMaxRoutes)
	first, seen := len(into), 0
	var addr [16]byte
	for i := 0; i < n && !r.bad; i++ {
		route, way := r.route(&addr, ways, i == 0)
		if r.bad = r.bad || way > seen; r.bad {
			break
		}
		seen = max(seen, way+1)
		if k := len(into); k > first && compareRIB(into[k-1], route) >= 0 {
			r.bad = true
		}
		into = append(into, route)
	}
	if r.bad || len(r.b) > 0 || seen != len(ways) || n == 0 && r.size != 4 {
		return nil, fmt.Errorf("%w: block of %d routes, broken at the %dth", ErrCodec, n, len(into)-first)
	}
	return into, nil
}

// eachGateway calls f with the gateways of a block that decodes.
func eachGateway(b []byte, f func(via netip.Addr)) {
	r := ribReader{b: b[2:], size: 16}
	if b[1] == 4 {
		r.size = 4
	}
	for range r.uvarint(len(r.b)) {
		r.byte()
		via, _ := netip.AddrFromSlice(r.bytes(r.size))
		r.uint64()
		f(via)
	}
}

// ribReader takes an encoded block apart.
type ribReader struct {
	b    []byte
	size int // of an address
	bad  bool
}

func (r *ribReader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *ribReader) bytes(n int) []byte {
	if len(r.b) < n {
		r.bad = true
		return make([]byte, n)
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// uint64 reads a number in its shortest form.
func (r *ribReader) uint64() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *ribReader) uvarint(most int) int {
	v := r.uint64()
	if v > uint64(most) {
		r.bad = true
		return 0
	}
	return int(v)
}

func (r *ribReader) ways() []ribWay {
	n := r.uvarint(len(r.b))
	ways := make([]ribWay, 0, min(n, 64))
	for range n {
		flags := r.byte()
		via, _ := netip.AddrFromSlice(r.bytes(r.size))
		w := ribWay{via: via, metric: r.uint64(), stale: flags&ribFlagStale != 0}
		if r.bad = r.bad || flags&^ribFlagStale != 0 || w.via.Is4In6(); r.bad {
			return nil
		}
		ways = append(ways, w)
	}
	if !distinct(ways) {
		r.bad = true
	}
	return ways
}

func distinct(ways []ribWay) bool {
	seen := make(map[ribWay]struct{}, len(ways))
	for _, w := range ways {
		seen[w] = struct{}{}
	}
	return len(seen) == len(ways)
}

// route reads one; addr is the address of the route before, and becomes this one's.
func (r *ribReader) route(addr *[16]byte, ways []ribWay, first bool) (RIBRoute, int) {
	size, what := int(r.byte()), r.byte()
	shared, way := int(what>>4), int(what&15)
	if way == ribEscape {
		way += r.uvarint(len(ways))
	}
	reach := (size + 7) / 8
	if r.bad || size > 8*r.size || shared > reach || way >= len(ways) || first && shared > 0 {
		r.bad = true
		return RIBRoute{}, 0
	}
	next := [16]byte{}
	copy(next[:], addr[:shared])
	copy(next[shared:], r.bytes(reach-shared))
	var a netip.Addr
	if r.size == 4 {
		a = netip.AddrFrom4([4]byte(next[:4]))
	} else {
		a = netip.AddrFrom16(next)
	}
	switch most := min(reach, ribEscape); {
	case size%8 != 0 && next[reach-1]&(0xff>>(size%8)) != 0, a.Is4In6():
		r.bad = true
	case !first && shared < most && addr[shared] == next[shared]: // more are
		r.bad = true
	}
	*addr = next
	w := &ways[way]
	return RIBRoute{Dst: netip.PrefixFrom(a, size), Via: w.via, Metric: w.metric, Stale: w.stale}, way
}
