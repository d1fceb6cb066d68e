package engine

import (
	"encoding/binary"
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// Sets of vports by multicast of the underlay (E10). Edges that name a range of multicast addresses, and the same encapsulation, are sent what is for a set in one frame, to
// the address of the range that has the set's id as its last bits: it is subscribed to (membership.go) and terminated where members live, and at no other edge. So no two
// sets share an address. A set whose id is beyond the range, and an edge whose range has another address for it or none, is sent copies of its own. It is the address that
// counts, not the range: one that is made wider edge by edge has the same addresses, and who listens to one must not be sent a copy too.

// setAddr returns the address of a set within a range.
func setAddr(within netip.Prefix, set flow.Dest) (netip.Addr, bool) {
	if !within.IsValid() {
		return netip.Addr{}, false
	}
	host := within.Addr().BitLen() - within.Bits()
	if host < 32 && uint32(set)>>host != 0 {
		return netip.Addr{}, false
	}
	b := within.Addr().AsSlice()
	low := b[len(b)-4:]
	binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)|uint32(set))
	a, ok := netip.AddrFromSlice(b)
	return a, ok
}

// setsBy returns the range of another edge's addresses for sets, if this one sends them as that takes them: none otherwise.
func (e *Edge) setsBy(other *Edge) netip.Prefix {
	if e.Tunnel != other.Tunnel {
		return netip.Prefix{}
	}
	return other.Multicast
}

// isSetAddr reports whether a range has an address for a set.
func isSetAddr(a netip.Addr, within netip.Prefix, set flow.Dest) bool {
	own, ok := setAddr(within, set)
	return ok && own == a
}

// set returns the way of frames for a set by multicast, over one of the uplinks whose router answers. The same uplink is where the edge listens.
func (v *view) set(d flow.Dest) (route, bool) {
	group, ok := setAddr(v.self.Multicast, d)
	if !ok {
		return route{}, false
	}
	var ways []route
	for _, src := range v.self.VTEPs {
		for i := range v.links {
			if _, answers := v.router(&v.links[i], group.Is4()); answers && src.Is4() == group.Is4() {
				ways = append(ways, route{src, group, &v.links[i], packet.MulticastMAC(group)})
			}
		}
	}
	if len(ways) == 0 {
		return route{}, false
	}
	return ways[int(d)%len(ways)], true
}
