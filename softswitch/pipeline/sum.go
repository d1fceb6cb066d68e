package pipeline

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"sync"
)

// algorithm finds a hash algorithm by its bmv2 name; nil if unknown. The
// custom CRCs have the parameters that simple_switch starts with.
func algorithm(name string) func([]byte) uint64 {
	switch name {
	case "crc32", "crc32_custom":
		t := sliceCRC()
		return func(b []byte) uint64 {
			if len(b) > 64 { // the library has instructions for long ones
				return uint64(crc32.ChecksumIEEE(b))
			}
			return uint64(t.sum(b))
		}
	case "crc16", "crc16_custom": // CRC-16/ARC
		t := crcTable(0x8005)
		return func(b []byte) uint64 {
			var r uint16
			for _, x := range b {
				r = t[byte(r>>8)^bits.Reverse8(x)] ^ r<<8
			}
			return uint64(bits.Reverse16(r))
		}
	case "crcCCITT": // CRC-16/CCITT-FALSE
		t := crcTable(0x1021)
		return func(b []byte) uint64 {
			r := uint16(0xffff)
			for _, x := range b {
				r = t[byte(r>>8)^x] ^ r<<8
			}
			return uint64(r)
		}
	case "csum16", "cksum16":
		return csum16
	case "xor16":
		return xor16
	case "xor32":
		return xor32
	case "identity":
		return identity
	}
	return nil
}

// crcSlices are the tables of a CRC-32 that takes eight bytes at once.
type crcSlices [8][256]uint32

var sliceCRC = sync.OnceValue(func() *crcSlices {
	t := &crcSlices{[256]uint32(*crc32.IEEETable)}
	for i := range 256 {
		for k := 1; k < 8; k++ {
			r := t[k-1][i]
			t[k][i] = t[0][byte(r)] ^ r>>8
		}
	}
	return t
})

func (t *crcSlices) sum(b []byte) uint32 {
	r := ^uint32(0)
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b) ^ uint64(r)
		r = t[7][byte(w)] ^ t[6][byte(w>>8)] ^ t[5][byte(w>>16)] ^ t[4][byte(w>>24)] ^
			t[3][byte(w>>32)] ^ t[2][byte(w>>40)] ^ t[1][byte(w>>48)] ^ t[0][byte(w>>56)]
	}
	if len(b) >= 4 {
		w := binary.LittleEndian.Uint32(b) ^ r
		r = t[3][byte(w)] ^ t[2][byte(w>>8)] ^ t[1][byte(w>>16)] ^ t[0][byte(w>>24)]
		b = b[4:]
	}
	for _, x := range b {
		r = t[0][byte(r)^x] ^ r>>8
	}
	return ^r
}

func crcTable(poly uint16) *[256]uint16 {
	var t [256]uint16
	for i := range t {
		r := uint16(i) << 8
		for range 8 {
			if r&0x8000 != 0 {
				r = r<<1 ^ poly
			} else {
				r <<= 1
			}
		}
		t[i] = r
	}
	return &t
}

// csum16 is the Internet checksum (RFC 1071).
func csum16(b []byte) uint64 {
	var s, carry uint64
	for len(b) >= 8 {
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	var tail [8]byte
	copy(tail[:], b)
	s, carry = bits.Add64(s, binary.BigEndian.Uint64(tail[:]), carry)
	s, carry = bits.Add64(s, 0, carry)
	s += carry
	s = s>>32 + s&0xffffffff
	s = s>>16&0xffff + s&0xffff + s>>32
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return ^s & 0xffff
}

func xor16(b []byte) uint64 {
	var r uint16
	for ; len(b) >= 2; b = b[2:] {
		r ^= binary.BigEndian.Uint16(b)
	}
	if len(b) > 0 {
		r ^= uint16(b[0]) << 8
	}
	return uint64(r)
}

func xor32(b []byte) uint64 {
	var r uint32
	for ; len(b) >= 4; b = b[4:] {
		r ^= binary.BigEndian.Uint32(b)
	}
	var tail [4]byte
	copy(tail[:], b)
	return uint64(r ^ binary.BigEndian.Uint32(tail[:]))
}

// identity is the first eight bytes as a number.
func identity(b []byte) uint64 {
	var r uint64
	for _, x := range b[:min(8, len(b))] {
		r = r<<8 | uint64(x)
	}
	return r
}
