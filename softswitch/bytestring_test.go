package softswitch

import (
	"bytes"
	"math/big"
	"testing"

	"google.golang.org/grpc/codes"
)

// TestBytestrings has the examples of the P4Runtime spec, "Bytestrings", for bit<W>.
func TestBytestrings(t *testing.T) {
	for _, tc := range []struct {
		width     int
		in        string
		ok        bool
		canonical string
	}{
		{8, "\x63", true, "\x63"},
		{16, "\x00\x63", true, "\x63"},
		{16, "\x63", true, "\x63"},
		{16, "\x30\x64", true, "\x30\x64"},
		{16, "\x00\x30\x64", true, "\x30\x64"},
		{12, "\x00\x63", true, "\x63"},
		{12, "\x00\x00\x63", true, "\x63"},
		{16, "\x00\x00", true, "\x00"},
		{8, "\x01\x63", false, ""},
		{8, "", false, ""},
		{16, "\x01\x00\x63", false, ""},
		{12, "\x10\x63", false, ""},
		{12, "\x01\x00\x63", false, ""},
		{12, "\x00\x40\x63", false, ""},
	} {
		err := checkWidth([]byte(tc.in), tc.width)
		if (err == nil) != tc.ok {
			t.Errorf("bit<%d> %x: %v, want ok %v", tc.width, tc.in, err, tc.ok)
		}
		if err != nil && faultOf(err).code != codes.InvalidArgument {
			t.Errorf("bit<%d> %x: %v, want InvalidArgument", tc.width, tc.in, faultOf(err).code)
		}
		if got := string(canonical([]byte(tc.in))); tc.ok && got != tc.canonical {
			t.Errorf("canonical %x = %x, want %x", tc.in, got, tc.canonical)
		}
	}
}

// FuzzBytestrings compares the arithmetic on byte strings with big integers.
func FuzzBytestrings(f *testing.F) {
	f.Add([]byte{1, 2}, []byte{0, 3}, 12)
	f.Add([]byte{}, []byte{0xff, 0xff}, 16)
	f.Add([]byte{0x7f, 0xff}, []byte{0x01, 0, 0}, 15)
	f.Fuzz(func(t *testing.T, a, b []byte, width int) {
		if width < 1 || width > 256 || len(a) == 0 || len(b) == 0 || len(a) > 64 || len(b) > 64 {
			return
		}
		x, y := new(big.Int).SetBytes(a), new(big.Int).SetBytes(b)
		max := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(width)), big.NewInt(1))
		if got := compare(a, b); got != x.Cmp(y) {
			t.Errorf("compare(%x, %x) = %d", a, b, got)
		}
		if got := checkWidth(a, width) == nil; got != (x.Cmp(max) <= 0) {
			t.Errorf("checkWidth(%x, %d) = %v", a, width, got)
		}
		if got := allOnes(a, width); got != (x.Cmp(max) == 0) {
			t.Errorf("allOnes(%x, %d) = %v", a, width, got)
		}
		if !bytes.Equal(ones(width), max.Bytes()) {
			t.Errorf("ones(%d) = %x", width, ones(width))
		}
		if got := covers(a, b); got != (new(big.Int).AndNot(y, x).Sign() == 0) {
			t.Errorf("covers(%x, %x) = %v", a, b, got)
		}
		zeros := width
		if x.Sign() != 0 {
			zeros = min(width, int(x.TrailingZeroBits()))
		}
		if got := trailingZeros(a, width); got != zeros {
			t.Errorf("trailingZeros(%x, %d) = %d, want %d", a, width, got, zeros)
		}
		if v, ok := uint64Of(a); ok != x.IsUint64() || ok && v != x.Uint64() {
			t.Errorf("uint64Of(%x) = %d, %v", a, v, ok)
		}
	})
}
