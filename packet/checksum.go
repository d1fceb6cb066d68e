package packet

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Sum is an RFC 1071 sum in the making: big-endian 16-bit words added with end-around carry. The zero value is the empty sum.
// All pieces added but the last must have even length.
type Sum uint64

// Add adds bytes.
func (s Sum) Add(b []byte) Sum {
	acc, carry := uint64(s), uint64(0)
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	var tail uint64 // the rest, as if zeros followed
	if len(b) >= 4 {
		tail = uint64(binary.BigEndian.Uint32(b)) << 32
		b = b[4:]
		switch len(b) {
		case 3:
			tail |= uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8
		case 2:
			tail |= uint64(b[0])<<24 | uint64(b[1])<<16
		case 1:
			tail |= uint64(b[0]) << 24
		}
	} else {
		for i, x := range b {
			tail |= uint64(x) << (56 - 8*i)
		}
	}
	acc, carry = bits.Add64(acc, tail, carry)
	acc, carry = bits.Add64(acc, 0, carry)
	return Sum(acc + carry)
}

// AddUint adds a number below 2^32.
func (s Sum) AddUint(v uint32) Sum {
	acc, carry := bits.Add64(uint64(s), uint64(v), 0)
	return Sum(acc + carry)
}

// Fold returns the checksum: the complement of the folded sum.
func (s Sum) Fold() uint16 {
	v := uint64(s)
	v = v>>32 + v&0xffffffff
	v = v>>32 + v&0xffffffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	return ^uint16(v)
}

// Checksum returns the RFC 1071 checksum of b. Over a header with a right checksum it is 0.
func Checksum(b []byte) uint16 { return Sum(0).Add(b).Fold() }

// PseudoSum returns the sum of the pseudo header of a TCP, UDP or ICMPv6 message of n bytes (RFC 793 section 3.1, RFC 8200 section 8.1).
// src and dst are of one family.
func PseudoSum(src, dst netip.Addr, proto uint8, n int) Sum {
	var s Sum
	if src.Is4() {
		a, b := src.As4(), dst.As4()
		s = s.Add(a[:]).Add(b[:])
	} else {
		a, b := src.As16(), dst.As16()
		s = s.Add(a[:]).Add(b[:])
	}
	return s.AddUint(uint32(proto)).AddUint(uint32(n))
}

// UpdateChecksum returns checksum after a 16-bit word that it covers went from m to n: RFC 1624 equation 3, ipv4_checksum_update in p4src.
// A wrong checksum stays wrong.
func UpdateChecksum(checksum, m, n uint16) uint16 {
	sum := uint32(^checksum) + uint32(^m) + uint32(n)
	sum = sum&0xffff + sum>>16
	sum = sum&0xffff + sum>>16
	return ^uint16(sum)
}

// ChecksumOK reports whether the IPv4 header checksum is right; true for IPv6, which has none.
func (f *Frame) ChecksumOK() bool {
	return !f.Is4() || Checksum(f.Data[f.L3:f.L3+f.IPHeaderLen()]) == 0
}

// HeaderOK reports whether a router may believe the IPv4 header: its checksum is right, and the packet as long as the header at least (RFC 1812
// section 5.2.2). True for IPv6. Version and header length were checked by Parse.
func (f *Frame) HeaderOK() bool {
	return !f.Is4() || f.IPLen() >= f.IPHeaderLen() && f.ChecksumOK()
}

// Intact reports whether the checksum of a TCP segment, UDP datagram or ICMP message is right. True where it can't tell: of other protocols, of fragments, and
// of an IPv4 datagram without checksum (RFC 768). False for a packet that is cut short.
func (f *Frame) Intact() bool {
	if f.L4 == 0 || f.Frag != FragNone || f.Proto == ProtoSCTP {
		return true
	}
	p := f.complete()
	if p == nil || len(p) < f.L4-f.L3+UDPLen {
		return false
	}
	msg := p[f.L4-f.L3:]
	if f.Proto == ProtoUDP {
		n := int(binary.BigEndian.Uint16(msg[4:]))
		if n < UDPLen || n > len(msg) {
			return false
		}
		if msg = msg[:n]; f.Is4() && msg[6] == 0 && msg[7] == 0 {
			return true
		}
	}
	var s Sum
	if f.Proto != ProtoICMP {
		s = PseudoSum(f.SrcAddr(), f.DstAddr(), f.Proto, len(msg))
	}
	return s.Add(msg).Fold() == 0
}
