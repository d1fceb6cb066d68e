package softswitch

import (
	"bytes"
	"math/bits"

	"google.golang.org/grpc/codes"
)

// Byte strings are P4Runtime's integers: big endian, any number of leading zeros on the
// way in, the shortest form on the way out (P4Runtime spec, "Bytestrings").

// trim drops leading zero bytes; zero becomes the empty slice.
func trim(b []byte) []byte {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// canonical is the shortest form of b, which is at least one byte long.
func canonical(b []byte) []byte {
	if t := trim(b); len(t) > 0 {
		return t
	}
	return zeroByte
}

// zeroByte is the canonical zero; nobody writes to it.
var zeroByte = []byte{0}

// bitLen is the number of bits that the value of b needs; zero needs none.
func bitLen(b []byte) int {
	b = trim(b)
	if len(b) == 0 {
		return 0
	}
	return (len(b)-1)*8 + bits.Len8(b[0])
}

// compare orders two byte strings by value.
func compare(a, b []byte) int {
	a, b = trim(a), trim(b)
	if len(a) != len(b) {
		if len(a) < len(b) {
			return -1
		}
		return 1
	}
	return bytes.Compare(a, b)
}

// trailingZeros counts the low zero bits of b's value, at most width.
func trailingZeros(b []byte, width int) int {
	n := 0
	for i := len(b) - 1; i >= 0 && n < width; i-- {
		if b[i] != 0 {
			return min(n+bits.TrailingZeros8(b[i]), width)
		}
		n += 8
	}
	return width
}

// covers tells whether every bit of value is set in mask.
func covers(mask, value []byte) bool {
	value = trim(value)
	if len(value) > len(mask) {
		return false
	}
	low := mask[len(mask)-len(value):]
	for i, v := range value {
		if v&^low[i] != 0 {
			return false
		}
	}
	return true
}

// allOnes tells whether b is the largest bit<width> value.
func allOnes(b []byte, width int) bool {
	if bitLen(b) != width {
		return false
	}
	b = trim(b)
	if len(b) == 0 || b[0] != byte(1<<((width-1)%8+1)-1) {
		return false
	}
	for _, v := range b[1:] {
		if v != 0xff {
			return false
		}
	}
	return true
}

// ones is the largest bit<width> value.
func ones(width int) []byte {
	b := make([]byte, (width+7)/8)
	for i := range b {
		b[i] = 0xff
	}
	b[0] >>= len(b)*8 - width
	return b
}

// uint64Of is the value of b, and whether it fits 64 bits.
func uint64Of(b []byte) (uint64, bool) {
	b = trim(b)
	if len(b) > 8 {
		return 0, false
	}
	var v uint64
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v, true
}

// portOf is the port number that b names.
func portOf(b []byte) (uint16, error) {
	if len(b) == 0 {
		return 0, invalidf("port is empty")
	}
	v, ok := uint64Of(b)
	if !ok || v > 0xffff {
		return 0, invalidf("port %x is beyond 16 bits", b)
	}
	return uint16(v), nil
}

// checkWidth refuses a value that isn't a bit<width>. The specification names both
// OUT_OF_RANGE ("Bytestrings") and INVALID_ARGUMENT ("Match Format", "Action
// Specification"); the latter sections are about the values checked here, and bmv2
// answers INVALID_ARGUMENT too.
func checkWidth(b []byte, width int) error {
	switch {
	case len(b) == 0:
		return faultf(codes.InvalidArgument, "value is empty")
	case bitLen(b) > width:
		return faultf(codes.InvalidArgument, "value %x does not fit %d bits", b, width)
	}
	return nil
}
