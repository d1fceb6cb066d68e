package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// ND is a neighbour discovery message (RFC 4861): solicitation or advertisement of a router or neighbour.
type ND struct {
	Type     uint8      // ICMPv6RouterSol … ICMPv6NeighAdv
	Src, Dst netip.Addr // of the IPv6 header
	Target   netip.Addr // neighbour messages
	LinkAddr MAC        // target link-layer address option of a neighbour advertisement, else the source's; unset if absent

	Router, Solicited, Override bool // neighbour advertisement
}

// Link-layer address options.
const (
	optSourceLink = 1
	optTargetLink = 2
	optPrefix     = 3
	optMTU        = 5
	optRDNSS      = 25 // RFC 8106
)

const ndHopLimit = 255

// IsND reports whether the frame claims to be a neighbour discovery message, redirects included.
func (f *Frame) IsND() bool {
	t, _ := f.ICMPType()
	return f.Is6() && f.IsICMP() && t >= ICMPv6RouterSol && t <= ICMPv6Redirect
}

// ND returns the frame's neighbour discovery message; not a redirect. It is checked as RFC 4861 sections 6.1 and 7.1 and RFC 6980 ask: hop limit 255,
// code 0, checksum, lengths, no fragment header, addresses that fit the type.
func (f *Frame) ND() (ND, error) {
	t, code := f.ICMPType()
	if !f.IsND() || t == ICMPv6Redirect {
		return ND{}, ErrNotND
	}
	p := f.complete()
	switch {
	case p == nil:
		return ND{}, fmt.Errorf("ND type %d: %w", t, ErrTruncated)
	case f.L4 != f.L3+IPv6Len:
		return ND{}, fmt.Errorf("ND type %d with a fragment header: %w", t, ErrInvalid)
	case f.TTL() != ndHopLimit:
		return ND{}, fmt.Errorf("ND type %d with hop limit %d: %w", t, f.TTL(), ErrInvalid)
	case code != 0:
		return ND{}, fmt.Errorf("ND type %d with code %d: %w", t, code, ErrInvalid)
	}
	n := ND{Type: t, Src: f.SrcAddr(), Dst: f.DstAddr()}
	msg := p[IPv6Len:]
	if PseudoSum(n.Src, n.Dst, ProtoICMPv6, len(msg)).Add(msg).Fold() != 0 {
		return ND{}, fmt.Errorf("ND type %d: %w", t, ErrChecksum)
	}
	if err := n.parse(msg); err != nil {
		return ND{}, err
	}
	if err := n.check(); err != nil {
		return ND{}, err
	}
	return n, nil
}

// parse reads the body and the options.
func (n *ND) parse(msg []byte) error {
	size, link := 24, byte(optSourceLink)
	switch n.Type {
	case ICMPv6RouterSol:
		size = 8
	case ICMPv6RouterAdv:
		size = 16
	case ICMPv6NeighAdv:
		link = optTargetLink
	}
	if len(msg) < size {
		return fmt.Errorf("ND type %d of %d bytes: %w", n.Type, len(msg), ErrTruncated)
	}
	if size == 24 {
		n.Target = netip.AddrFrom16([16]byte(msg[8:]))
	}
	if n.Type == ICMPv6NeighAdv {
		n.Router, n.Solicited, n.Override = msg[4]&0x80 != 0, msg[4]&0x40 != 0, msg[4]&0x20 != 0
	}
	for o := msg[size:]; len(o) > 0; {
		if len(o) < 2 || o[1] == 0 || len(o) < 8*int(o[1]) {
			return fmt.Errorf("ND type %d, length of an option: %w", n.Type, ErrInvalid)
		}
		if o[0] == link {
			if n.LinkAddr = MAC(o[2:8]); o[1] != 1 || !n.LinkAddr.IsUnicast() {
				return fmt.Errorf("ND type %d, link-layer address %v: %w", n.Type, n.LinkAddr, ErrInvalid)
			}
		}
		o = o[8*int(o[1]):]
	}
	return nil
}

// check checks how the addresses fit the type.
func (n *ND) check() error {
	bad := ""
	switch {
	case n.Src.IsMulticast():
		bad = "multicast source"
	case n.Target.IsMulticast():
		bad = "multicast target"
	case n.Src.IsUnspecified() && n.Type != ICMPv6NeighAdv && !n.LinkAddr.IsZero():
		bad = "source link-layer address without source address"
	case n.Src.IsUnspecified() && n.Type == ICMPv6NeighSol && n.Dst != SolicitedNode(n.Target):
		bad = "probe not sent to the solicited-node group"
	case n.Dst.IsMulticast() && n.Type == ICMPv6NeighAdv && n.Solicited:
		bad = "solicited, but multicast"
	case n.Type == ICMPv6RouterAdv && !n.Src.IsLinkLocalUnicast():
		bad = "router advertisement from other than a link-local address"
	}
	if bad != "" {
		return fmt.Errorf("ND type %d from %v: %s: %w", n.Type, n.Src, bad, ErrInvalid)
	}
	return nil
}

// appendNeighbour appends a frame with the neighbour message n.
func (n *ND) appendNeighbour(b []byte, dst, src MAC) []byte {
	var body [24]byte
	target := n.Target.As16()
	copy(body[:16], target[:])
	body[16], body[17] = optSourceLink, 1
	var flags uint32
	if n.Type == ICMPv6NeighAdv {
		body[16] = optTargetLink
		for i, on := range [...]bool{n.Router, n.Solicited, n.Override} {
			if on {
				flags |= 1 << (31 - i)
			}
		}
	}
	copy(body[18:], n.LinkAddr[:])
	size := 24
	if n.LinkAddr.IsZero() {
		size = 16
	}
	h := ipHeader{src: n.Src, dst: n.Dst, ttl: ndHopLimit}
	return h.appendICMP(b, dst, src, n.Type, 0, flags, body[:size])
}

// AppendNS appends a frame in which (mac, src) asks the solicited-node group of target for its link-layer address. If src is unspecified, it is a
// probe for duplicates, without option (RFC 4862 section 5.4.2).
func AppendNS(b []byte, mac MAC, src, target netip.Addr) []byte {
	n := ND{Type: ICMPv6NeighSol, Src: src, Dst: SolicitedNode(target), Target: target}
	if !src.IsUnspecified() {
		n.LinkAddr = mac
	}
	return n.appendNeighbour(b, MulticastMAC(n.Dst), mac)
}

// AppendUnicastNS appends a frame in which (mac, src) asks target, believed to be at dst, whether it is still there (RFC 4861 section 7.3.3).
func AppendUnicastNS(b []byte, dst, mac MAC, src, target netip.Addr) []byte {
	n := ND{Type: ICMPv6NeighSol, Src: src, Dst: target, Target: target, LinkAddr: mac}
	return n.appendNeighbour(b, dst, mac)
}

// AppendNA appends the answer to solicitation q, which came from MAC from: q.Target is at mac. A probe for duplicates is answered to all nodes
// (RFC 4861 section 7.2.4). router: q.Target is a router's address.
func AppendNA(b []byte, q *ND, from, mac MAC, router bool) []byte {
	n := ND{Type: ICMPv6NeighAdv, Src: q.Target, Dst: q.Src, Target: q.Target, LinkAddr: mac, Router: router, Solicited: true, Override: true}
	to := q.LinkAddr
	if to.IsZero() {
		to = from
	}
	if q.Src.IsUnspecified() {
		n.Dst, n.Solicited = AllNodes(), false
		to = MulticastMAC(n.Dst)
	}
	return n.appendNeighbour(b, to, mac)
}

// AppendUnsolicitedNA appends a frame that tells all nodes that target is at mac (RFC 4861 section 7.2.6).
func AppendUnsolicitedNA(b []byte, mac MAC, target netip.Addr, router bool) []byte {
	n := ND{Type: ICMPv6NeighAdv, Src: target, Dst: AllNodes(), Target: target, LinkAddr: mac, Router: router, Override: true}
	return n.appendNeighbour(b, MulticastMAC(n.Dst), mac)
}

// RA describes a router advertisement to build (RFC 4861 section 4.2).
type RA struct {
	SrcMAC   MAC
	Src      netip.Addr // link-local
	DstMAC   MAC        // unset: to all nodes
	Dst      netip.Addr // valid iff DstMAC is set
	Lifetime uint16     // as default router, seconds; 0 = not one
	MTU      uint32     // 0: no option
	Prefixes []netip.Prefix
	Valid    uint32 // lifetime of the prefixes, seconds, both valid and preferred
	Managed  bool   // addresses are had by DHCPv6; then no prefix is for autonomous configuration
	Other    bool   // the rest is had by DHCPv6
	DNS      []netip.Addr
}

// Flags of a prefix option: on-link, autonomous configuration. Only a /64 is for autonomous configuration (RFC 4862 section 5.5.3).
const (
	prefixOnLink     = 0x80
	prefixAutonomous = 0x40
)

func (r *RA) flags() (f byte) {
	if r.Managed {
		f |= 0x80
	}
	if r.Other {
		f |= 0x40
	}
	return f
}

// AppendRA appends a frame with the advertisement.
func AppendRA(b []byte, r *RA) []byte {
	h := ipHeader{src: r.Src, dst: r.Dst, ttl: ndHopLimit, proto: ProtoICMPv6}
	dst := r.DstMAC
	if dst.IsZero() {
		h.dst = AllNodes()
		dst = MulticastMAC(h.dst)
	}
	n := 16 + 8 + 32*len(r.Prefixes)
	if r.MTU != 0 {
		n += 8
	}
	if len(r.DNS) > 0 {
		n += 8 + 16*len(r.DNS)
	}
	b = appendEthernet(b, dst, r.SrcMAC, EtherTypeIPv6)
	b = h.append(b, n)
	at := len(b)
	b = append(b, ICMPv6RouterAdv, 0, 0, 0, DefaultTTL, r.flags(), byte(r.Lifetime>>8), byte(r.Lifetime), 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, optSourceLink, 1)
	b = append(b, r.SrcMAC[:]...)
	if r.MTU != 0 {
		b = append(b, optMTU, 1, 0, 0)
		b = binary.BigEndian.AppendUint32(b, r.MTU)
	}
	for _, p := range r.Prefixes {
		flags := byte(prefixOnLink)
		if p.Bits() == 64 && !r.Managed {
			flags |= prefixAutonomous
		}
		b = append(b, optPrefix, 4, byte(p.Bits()), flags)
		b = binary.BigEndian.AppendUint32(b, r.Valid)
		b = binary.BigEndian.AppendUint32(b, r.Valid)
		a := p.Masked().Addr().As16()
		b = append(b, 0, 0, 0, 0)
		b = append(b, a[:]...)
	}
	if len(r.DNS) > 0 {
		b = append(b, optRDNSS, byte(1+2*len(r.DNS)), 0, 0)
		b = binary.BigEndian.AppendUint32(b, 3*600) // of three times the longest interval between unsolicited ones (RFC 8106 section 5.1)
		for _, a := range r.DNS {
			b = append(b, a.AsSlice()...)
		}
	}
	binary.BigEndian.PutUint16(b[at+2:], PseudoSum(h.src, h.dst, ProtoICMPv6, n).Add(b[at:]).Fold())
	return b
}
