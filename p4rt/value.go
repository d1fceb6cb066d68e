package p4rt

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
)

// MaxWidth is the widest field that a [Value] holds, in bits: an IPv6 address.
const MaxWidth = 128

// Value is an unsigned integer of up to 128 bits: a match value, a mask or an action parameter.
// It is comparable and needs no heap. It has no width of its own; the schema's field has.
type Value struct{ Hi, Lo uint64 }

// U64 returns v as a Value.
func U64(v uint64) Value { return Value{Lo: v} }

// Bool returns 1 for true and 0 for false.
func Bool(b bool) Value {
	if b {
		return Value{Lo: 1}
	}
	return Value{}
}

// Addr returns an IP address as a Value: 32 bits for IPv4, 128 for IPv6.
func Addr(a netip.Addr) Value {
	if a.Is4() {
		b := a.As4()
		return Value{Lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return Value{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// MAC returns an Ethernet address as a 48-bit Value.
func MAC(m [6]byte) Value {
	return Value{Lo: uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(m[2])<<24 | uint64(m[3])<<16 | uint64(m[4])<<8 | uint64(m[5])}
}

// Ones returns a Value whose lowest n bits are set: the mask of a whole n-bit field.
func Ones(n int) Value {
	switch {
	case n <= 0:
		return Value{}
	case n < 64:
		return Value{Lo: 1<<n - 1}
	case n < 128:
		return Value{Hi: 1<<(n-64) - 1, Lo: ^uint64(0)}
	}
	return Value{Hi: ^uint64(0), Lo: ^uint64(0)}
}

// PrefixMask returns the mask of an n-bit prefix in a field of width bits.
func PrefixMask(n, width int) Value { return Ones(width).AndNot(Ones(width - n)) }

// ParseValue reads big-endian bytes in canonical or padded form (Spec 8.3).
// An empty string and one of more than 128 significant bits are refused.
func ParseValue(b []byte) (Value, error) {
	if len(b) == 0 {
		return Value{}, errEmptyValue
	}
	for len(b) > 16 {
		if b[0] != 0 {
			return Value{}, fmt.Errorf("%w: %d bytes", errWideValue, len(b))
		}
		b = b[1:]
	}
	var v Value
	for _, c := range b {
		v.Hi = v.Hi<<8 | v.Lo>>56
		v.Lo = v.Lo<<8 | uint64(c)
	}
	return v, nil
}

// AppendCanonical appends v in the shortest big-endian form, at least one byte (Spec 8.3).
func (v Value) AppendCanonical(b []byte) []byte {
	n := v.byteLen()
	if n > 8 {
		for i := n - 9; i >= 0; i-- {
			b = append(b, byte(v.Hi>>(8*i)))
		}
		return binary.BigEndian.AppendUint64(b, v.Lo)
	}
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v.Lo>>(8*i)))
	}
	return b
}

// appendFixed appends the lowest n bytes of v, big-endian.
func (v Value) appendFixed(b []byte, n int) []byte {
	for i := n - 1; i >= 8; i-- {
		b = append(b, byte(v.Hi>>(8*(i-8))))
	}
	for i := min(n, 8) - 1; i >= 0; i-- {
		b = append(b, byte(v.Lo>>(8*i)))
	}
	return b
}

// byteLen is the length of the canonical form.
func (v Value) byteLen() int { return max(1, (v.BitLen()+7)/8) }

// BitLen is the number of significant bits; 0 for zero.
func (v Value) BitLen() int {
	if v.Hi != 0 {
		return 64 + bits.Len64(v.Hi)
	}
	return bits.Len64(v.Lo)
}

// IsZero reports whether v is 0.
func (v Value) IsZero() bool { return v == Value{} }

// And returns v & m.
func (v Value) And(m Value) Value { return Value{v.Hi & m.Hi, v.Lo & m.Lo} }

// AndNot returns v &^ m.
func (v Value) AndNot(m Value) Value { return Value{v.Hi &^ m.Hi, v.Lo &^ m.Lo} }

// Or returns v | m.
func (v Value) Or(m Value) Value { return Value{v.Hi | m.Hi, v.Lo | m.Lo} }

// Compare orders values as unsigned integers.
func (v Value) Compare(w Value) int {
	switch {
	case v.Hi < w.Hi || v.Hi == w.Hi && v.Lo < w.Lo:
		return -1
	case v == w:
		return 0
	}
	return 1
}

// PrefixLen returns n if v, as a mask in a field of width bits, is that of an n-bit prefix; else -1.
func (v Value) PrefixLen(width int) int {
	rest := Ones(width).AndNot(v)
	n := width - rest.BitLen()
	if v != PrefixMask(n, width) {
		return -1
	}
	return n
}

// Addr4 returns the lowest 32 bits as an IPv4 address.
func (v Value) Addr4() netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(v.Lo))
	return netip.AddrFrom4(b)
}

// Addr6 returns v as an IPv6 address.
func (v Value) Addr6() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.Hi)
	binary.BigEndian.PutUint64(b[8:], v.Lo)
	return netip.AddrFrom16(b)
}

// MAC returns the lowest 48 bits as an Ethernet address.
func (v Value) MAC() [6]byte {
	return [6]byte{byte(v.Lo >> 40), byte(v.Lo >> 32), byte(v.Lo >> 24), byte(v.Lo >> 16), byte(v.Lo >> 8), byte(v.Lo)}
}

// String is v in hexadecimal.
func (v Value) String() string {
	if v.Hi != 0 {
		return fmt.Sprintf("0x%x%016x", v.Hi, v.Lo)
	}
	return fmt.Sprintf("0x%x", v.Lo)
}
