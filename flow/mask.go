package flow

import (
	"encoding/binary"
	"math/bits"

	"github.com/weft-sdn/weft/packet"
)

// Mask tells for every bit of a key whether it was read (1). A result is valid for all packets that agree in those bits (E4).
type Mask Key

// KeyBits is the number of bits of a key that carry information: the upper 8 of the vport id and 6 of the fragment class do not.
const KeyBits = 24 + 48 + 48 + 16 + 128 + 128 + 8 + 2 + 16 + 16

// ExactMask returns the mask of all bits that a key of the EtherType can have: IPv4 addresses have 32, other frames no IP fields.
func ExactMask(etherType uint16) Mask {
	all := packet.Broadcast()
	m := Mask{Ingress: MaxID, SrcMAC: all, DstMAC: all, EtherType: 0xffff}
	switch etherType {
	case packet.EtherTypeIPv4:
		m.Src = AddrMask(32, etherType)
	case packet.EtherTypeIPv6:
		m.Src = AddrMask(128, etherType)
	default:
		return m
	}
	m.Dst = m.Src
	m.Proto, m.Frag, m.SrcPort, m.DstPort = 0xff, 3, 0xffff, 0xffff
	return m
}

// AddrMask returns the mask of the first n bits of an address of the family that etherType names.
func AddrMask(n int, etherType uint16) Addr {
	size := 128
	if etherType == packet.EtherTypeIPv4 {
		size = 32
	}
	n = min(max(n, 0), size)
	var hi, lo uint64
	if size == 32 {
		return addrFromHalves(0, uint64(uint32(^uint64(0)<<(32-n))))
	}
	hi = ^(^uint64(0) >> min(n, 64))
	lo = ^(^uint64(0) >> max(n-64, 0))
	return addrFromHalves(hi, lo)
}

// Or returns the mask of the bits in m or o.
func (m Mask) Or(o Mask) Mask {
	a, b := m.words(), o.words()
	for i := range a {
		a[i] |= b[i]
	}
	return m
}

// Covers reports whether m has every bit that o has.
func (m Mask) Covers(o Mask) bool {
	a, b := m.words(), o.words()
	var missing uint32
	for i := range a {
		missing |= b[i] &^ a[i]
	}
	return missing == 0
}

// Matches reports whether k agrees with pattern in the bits of m. The pattern may have bits outside m.
func (m Mask) Matches(pattern, k Key) bool { return m.agree(&pattern, &k) }

// agree is Matches without copies.
func (m *Mask) agree(p, k *Key) bool {
	a, b, c := m.words(), p.words(), k.words()
	var differ uint32
	for i := range a {
		differ |= (b[i] ^ c[i]) & a[i]
	}
	return differ == 0
}

// Bits returns the number of bits that were read.
func (m Mask) Bits() int {
	sh, sl := m.Src.Halves()
	dh, dl := m.Dst.Halves()
	return bits.OnesCount64(sh) + bits.OnesCount64(sl) + bits.OnesCount64(dh) + bits.OnesCount64(dl) +
		bits.OnesCount64(m.SrcMAC.Uint64()) + bits.OnesCount64(m.DstMAC.Uint64()) +
		bits.OnesCount32(uint32(m.Ingress)) + bits.OnesCount16(m.EtherType) +
		bits.OnesCount8(m.Proto) + bits.OnesCount8(m.Frag) + bits.OnesCount16(m.SrcPort) + bits.OnesCount16(m.DstPort)
}

// Wild returns the number of bits that were not read, of KeyBits.
func (m Mask) Wild() int { return KeyBits - m.Bits() }

// IsZero reports whether no bit was read.
func (m Mask) IsZero() bool { return m == Mask{} }

// PrefixLen returns n if the address mask is that of an n-bit prefix in the family that etherType names.
func (a Addr) PrefixLen(etherType uint16) (n int, ok bool) {
	hi, lo := a.Halves()
	if etherType == packet.EtherTypeIPv4 {
		n = bits.OnesCount32(binary.BigEndian.Uint32(a[12:]))
	} else {
		n = bits.OnesCount64(hi) + bits.OnesCount64(lo)
	}
	return n, a == AddrMask(n, etherType)
}
