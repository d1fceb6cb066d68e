package p4rt_test

import (
	"bytes"
	"errors"
	"math/big"
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/p4rt"
)

func TestParseValue(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []byte
		want p4rt.Value
		err  error
	}{
		{"zero", []byte{0}, p4rt.Value{}, nil},
		{"padded zero", []byte{0, 0, 0}, p4rt.Value{}, nil},
		{"one byte", []byte{7}, p4rt.U64(7), nil},
		{"padded", []byte{0, 0, 1, 2}, p4rt.U64(0x102), nil},
		{"nine bytes", []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, p4rt.Value{Hi: 1, Lo: 0x0203040506070809}, nil},
		{"padded beyond 16", append(make([]byte, 5), bytes.Repeat([]byte{255}, 16)...), p4rt.Ones(128), nil},
		{"empty", nil, p4rt.Value{}, p4rt.ErrMalformed},
		{"too wide", append([]byte{1}, make([]byte, 16)...), p4rt.Value{}, p4rt.ErrOverflow},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := p4rt.ParseValue(tc.in)
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("got %v, %v; want %v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestValueConversions(t *testing.T) {
	for _, s := range []string{"0.0.0.0", "192.0.2.1", "255.255.255.255"} {
		a := netip.MustParseAddr(s)
		if got := p4rt.Addr(a).Addr4(); got != a {
			t.Errorf("%s came back as %s", a, got)
		}
	}
	for _, s := range []string{"::", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
		a := netip.MustParseAddr(s)
		if got := p4rt.Addr(a).Addr6(); got != a {
			t.Errorf("%s came back as %s", a, got)
		}
	}
	mac := [6]byte{2, 0, 0x5e, 0x10, 0, 1}
	if got := p4rt.MAC(mac).MAC(); got != mac {
		t.Errorf("%x came back as %x", mac, got)
	}
}

func TestPrefixMask(t *testing.T) {
	for _, width := range []int{1, 9, 32, 63, 64, 65, 127, 128} {
		for n := 0; n <= width; n++ {
			m := p4rt.PrefixMask(n, width)
			if got := m.PrefixLen(width); got != n {
				t.Fatalf("width %d: prefix of %d bits reads as %d (%s)", width, n, got, m)
			}
		}
	}
	if got := p4rt.U64(0xff00ff).PrefixLen(24); got != -1 {
		t.Errorf("a mask with a hole reads as a prefix of %d", got)
	}
}

func TestValueNoAlloc(t *testing.T) {
	buf := make([]byte, 0, 16)
	v := p4rt.Ones(128)
	if n := testing.AllocsPerRun(100, func() { buf = v.AppendCanonical(buf[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzValue(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{0, 1})
	f.Add(bytes.Repeat([]byte{255}, 16))
	f.Add(append([]byte{0}, bytes.Repeat([]byte{1}, 17)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := new(big.Int).SetBytes(b)
		v, err := p4rt.ParseValue(b)
		if ok := len(b) > 0 && want.BitLen() <= 128; ok != (err == nil) {
			t.Fatalf("% x: error %v", b, err)
		} else if !ok {
			return
		}
		canon := v.AppendCanonical(nil)
		exp := want.Bytes()
		if len(exp) == 0 {
			exp = []byte{0}
		}
		if !bytes.Equal(canon, exp) {
			t.Fatalf("% x: canonical % x, want % x", b, canon, exp)
		}
		if v.BitLen() != want.BitLen() {
			t.Fatalf("% x: %d bits, want %d", b, v.BitLen(), want.BitLen())
		}
	})
}
