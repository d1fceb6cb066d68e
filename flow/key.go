package flow

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/weft-sdn/weft/packet"
)

// Addr is an IPv6 address, or an IPv4 address in the last 4 bytes behind zeros; the key's EtherType tells which.
type Addr [16]byte

// AddrOf returns a as an Addr; the zero netip.Addr becomes the zero Addr.
func AddrOf(a netip.Addr) Addr {
	var r Addr
	switch {
	case a.Is4():
		b := a.As4()
		copy(r[12:], b[:])
	case a.IsValid():
		r = a.As16()
	}
	return r
}

// Netip returns the address as one of the family that etherType names; the zero netip.Addr if it names neither.
func (a Addr) Netip(etherType uint16) netip.Addr {
	switch etherType {
	case packet.EtherTypeIPv4:
		return netip.AddrFrom4([4]byte(a[12:]))
	case packet.EtherTypeIPv6:
		return netip.AddrFrom16(a)
	}
	return netip.Addr{}
}

// Halves returns the address as two numbers, the upper half first.
func (a Addr) Halves() (hi, lo uint64) {
	return binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
}

func addrFromHalves(hi, lo uint64) (a Addr) {
	binary.BigEndian.PutUint64(a[:8], hi)
	binary.BigEndian.PutUint64(a[8:], lo)
	return a
}

// And returns the bitwise conjunction.
func (a Addr) And(b Addr) Addr {
	ah, al := a.Halves()
	bh, bl := b.Halves()
	return addrFromHalves(ah&bh, al&bl)
}

// Or returns the bitwise disjunction.
func (a Addr) Or(b Addr) Addr {
	ah, al := a.Halves()
	bh, bl := b.Halves()
	return addrFromHalves(ah|bh, al|bl)
}

// Key holds the fields of a packet that a flow entry can match: 56 bytes, packed, comparable, free of pointers.
// The pipeline's scope stands for Ingress and DstMAC.
type Key struct {
	Ingress          VPortID
	SrcMAC, DstMAC   packet.MAC
	EtherType        uint16 // behind the tag; also tells the family of Src and Dst
	Src, Dst         Addr   // zero if not IP
	Proto            uint8
	Frag             uint8  // packet.Frag
	SrcPort, DstPort uint16 // as in packet.Frame; zero without L4
}

// KeyOf returns the key of a parsed frame that came in at a vport. It is the key that the pipeline computes.
func KeyOf(f *packet.Frame, ingress VPortID) Key {
	k := Key{
		Ingress: ingress, SrcMAC: f.Src(), DstMAC: f.Dst(), EtherType: f.EtherType,
		Proto: f.Proto, Frag: uint8(f.Frag), SrcPort: f.SrcPort, DstPort: f.DstPort,
	}
	switch {
	case f.Is4():
		copy(k.Src[12:], f.Data[f.L3+12:f.L3+16])
		copy(k.Dst[12:], f.Data[f.L3+16:f.L3+20])
	case f.Is6():
		k.Src = Addr(f.Data[f.L3+8:])
		k.Dst = Addr(f.Data[f.L3+24:])
	}
	return k
}

// Is4 reports whether the key is of an IPv4 packet.
func (k *Key) Is4() bool { return k.EtherType == packet.EtherTypeIPv4 }

// Is6 reports whether the key is of an IPv6 packet.
func (k *Key) Is6() bool { return k.EtherType == packet.EtherTypeIPv6 }

// And returns the key with the bits outside m cleared: the pattern of a megaflow.
func (k Key) And(m Mask) Key {
	a, b := k.words(), m.words()
	for i := range a {
		a[i] &= b[i]
	}
	return k
}

// String returns the key in one line, fields separated by spaces.
func (k Key) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "vport=%d src_mac=%v dst_mac=%v ether_type=%#04x", k.Ingress, k.SrcMAC, k.DstMAC, k.EtherType)
	if k.Is4() || k.Is6() {
		fmt.Fprintf(&b, " src=%v dst=%v proto=%d frag=%d sport=%d dport=%d",
			k.Src.Netip(k.EtherType), k.Dst.Netip(k.EtherType), k.Proto, k.Frag, k.SrcPort, k.DstPort)
	}
	return b.String()
}
