package packet

import "net/netip"

// MulticastMAC returns the MAC of an IP multicast group: RFC 1112 section 6.4, RFC 2464 section 7.
func MulticastMAC(group netip.Addr) MAC {
	if group.Is4() {
		a := group.As4()
		return MAC{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
	}
	a := group.As16()
	return MAC{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// SolicitedNode returns the group to which neighbour solicitations for an IPv6 address go (RFC 4291 section 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// AllNodes returns ff02::1.
func AllNodes() netip.Addr { return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 1}) }

// IsMartian reports whether the packet's source is one that no router forwards from: of this network (0.0.0.0/8), loopback, multicast, class E with the limited
// broadcast, link-local; of IPv6 the unspecified address, loopback, multicast, link-local (RFC 1812 section 5.3.7, RFC 3927 section 2.6.2, RFC 4291 section 2.5.6).
func (f *Frame) IsMartian() bool {
	switch {
	case f.Is4():
		b := f.Data[f.L3+12:]
		return b[0] == 0 || b[0] == 127 || b[0] >= 224 || b[0] == 169 && b[1] == 254
	case f.Is6():
		b := f.Data[f.L3+8 : f.L3+24]
		return b[0] == 0xff || b[0] == 0xfe && b[1]&0xc0 == 0x80 || [15]byte(b) == [15]byte{} && b[15] <= 1
	}
	return false
}

// isHost reports whether a can be the address of one station beyond this link's own loopback: not unspecified, "this network", loopback, multicast,
// class E or limited broadcast (RFC 1812 section 5.3.7; RFC 4291 section 2.5), nor IPv4-mapped.
func isHost(a netip.Addr) bool {
	if a.Is4() {
		b := a.As4()
		return b[0] != 0 && b[0] != 127 && b[0] < 224
	}
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.Is4In6()
}
