package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// slowChecksum is RFC 1071 word by word.
func slowChecksum(b []byte) uint16 {
	var sum uint32
	for i, x := range b {
		if i%2 == 0 {
			sum += uint32(x) << 8
		} else {
			sum += uint32(x)
		}
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func TestChecksum(t *testing.T) {
	if got := Checksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != ^uint16(0xddf2) { // RFC 1071 section 3
		t.Errorf("RFC 1071's example: %#x", got)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
			if n%3 == 0 {
				b[i] |= 0xf0 // carries
			}
		}
		if got, want := Checksum(b), slowChecksum(b); got != want {
			t.Fatalf("%d bytes: %#x, want %#x", n, got, want)
		}
		cut := rng.IntN(n+1) &^ 1
		if got, want := Sum(0).Add(b[:cut]).Add(b[cut:]).AddUint(0xfffe0001).Fold(), slowChecksum(append(append(b[:n:n], make([]byte, n%2)...), 0xff, 0xfe, 0, 1)); got != want {
			t.Fatalf("%d bytes in two pieces: %#x, want %#x", n, got, want)
		}
	}
	all := make([]byte, 65535)
	for i := range all {
		all[i] = 0xff
	}
	if got, want := Checksum(all), slowChecksum(all); got != want {
		t.Errorf("largest: %#x, want %#x", got, want)
	}
}

func TestUpdateChecksum(t *testing.T) {
	if got := UpdateChecksum(0xdd2f, 0x5555, 0x3285); got != 0x0000 { // RFC 1624 section 4
		t.Errorf("RFC 1624's example: %#x", got)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 10000 {
		b := make([]byte, 20)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		b[0] = 0x45 // no header is all zeros, so 0 and 0xffff are told apart
		b[10], b[11] = 0, 0
		c, m := Checksum(b), binary.BigEndian.Uint16(b[8:])
		b[8] -= byte(1 + rng.IntN(15))
		n := binary.BigEndian.Uint16(b[8:])
		if got, want := UpdateChecksum(c, m, n), Checksum(b); got != want {
			t.Fatalf("%#x with %#x to %#x: %#x, want %#x", c, m, n, got, want)
		}
		if wrong := c ^ 0x0100; UpdateChecksum(wrong, m, n) == Checksum(b) {
			t.Fatalf("wrong checksum %#x became right", wrong)
		}
	}
}
