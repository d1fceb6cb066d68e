package flow

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/weft-sdn/weft/packet"
	"pgregory.net/rapid"
)

// wire returns a key's bytes, independent of its methods.
func wire(k Key) []byte {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.BigEndian, k); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// unwire is the inverse of wire.
func unwire(b []byte) (k Key) {
	if err := binary.Read(bytes.NewReader(b), binary.BigEndian, &k); err != nil {
		panic(err)
	}
	return k
}

const keySize = 56

// anyKey draws keys whose bytes are often 0 or 0xff, so that matches happen.
func anyKey() *rapid.Generator[Key] {
	b := rapid.OneOf(rapid.SampledFrom([]byte{0, 0xff}), rapid.Byte())
	return rapid.Map(rapid.SliceOfN(b, keySize, keySize), unwire)
}

func TestKeyIsPacked(t *testing.T) {
	if n := unsafe.Sizeof(Key{}); n != keySize || len(wire(Key{})) != keySize {
		t.Errorf("key of %d bytes", n)
	}
}

// TestMaskBits compares the algebra of masks with the same on bytes, bit by bit.
func TestMaskBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, k, m, o := anyKey().Draw(t, "p"), anyKey().Draw(t, "k"), Mask(anyKey().Draw(t, "m")), Mask(anyKey().Draw(t, "o"))
		if rapid.Bool().Draw(t, "same") { // differ in one byte at most
			b := wire(p)
			b[rapid.IntRange(0, keySize-1).Draw(t, "at")] ^= rapid.SampledFrom([]byte{0, 1, 0x80}).Draw(t, "flip")
			k = unwire(b)
		}
		pb, kb, mb, ob := wire(p), wire(k), wire(Key(m)), wire(Key(o))
		matches, covers, overlaps, n := true, true, true, 0
		and, or := make([]byte, keySize), make([]byte, keySize)
		for i := range keySize {
			and[i], or[i] = kb[i]&mb[i], mb[i]|ob[i]
			matches = matches && (pb[i]^kb[i])&mb[i] == 0
			covers = covers && ob[i]&^mb[i] == 0
			overlaps = overlaps && (pb[i]^kb[i])&mb[i]&ob[i] == 0
			n += bits.OnesCount8(mb[i])
		}
		if k.And(m) != unwire(and) || m.Or(o) != Mask(unwire(or)) || m.Matches(p, k) != matches || m.Covers(o) != covers || m.Bits() != n {
			t.Fatalf("p %x\nk %x\nm %x\no %x: and %x, or %x, matches %v, covers %v, bits %d", pb, kb, mb, ob, wire(k.And(m)), wire(Key(m.Or(o))), m.Matches(p, k), m.Covers(o), m.Bits())
		}
		a, b := MatchOf(p, m), MatchOf(k, o)
		if a.Contains(k) != matches || a.Overlaps(b) != overlaps || b.Overlaps(a) != overlaps || !a.Contains(p) || !a.Within(a) {
			t.Fatalf("matches of %x and %x", pb, kb)
		}
		if both := MatchOf(p, m.Or(o)); !both.Within(a) || a.Within(b) != (covers && overlaps) {
			t.Fatalf("within: %v, %v", both.Within(a), a.Within(b))
		}
	})
}

func TestAddrMask(t *testing.T) {
	for n := range 129 {
		want := Addr(netip.PrefixFrom(netip.AddrFrom16([16]byte(bytes.Repeat([]byte{0xff}, 16))), n).Masked().Addr().As16())
		got := AddrMask(n, packet.EtherTypeIPv6)
		if back, ok := got.PrefixLen(packet.EtherTypeIPv6); got != want || back != n || !ok {
			t.Errorf("/%d: %x, back %d, %v", n, got, back, ok)
		}
		if n > 32 {
			continue
		}
		want = AddrOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), n).Masked().Addr())
		got = AddrMask(n, packet.EtherTypeIPv4)
		if back, ok := got.PrefixLen(packet.EtherTypeIPv4); got != want || back != n || !ok {
			t.Errorf("IPv4 /%d: %x, back %d, %v", n, got, back, ok)
		}
	}
	if AddrMask(-1, packet.EtherTypeIPv6) != (Addr{}) || AddrMask(999, packet.EtherTypeIPv4) != AddrMask(32, packet.EtherTypeIPv4) {
		t.Error("lengths out of range")
	}
	if _, ok := (Addr{15: 1}).PrefixLen(packet.EtherTypeIPv6); ok {
		t.Error("a hole in a prefix")
	}
	if _, ok := (Addr{0: 1}).PrefixLen(packet.EtherTypeIPv4); ok {
		t.Error("bits outside of an IPv4 address")
	}
}

func TestExactMask(t *testing.T) {
	for etherType, want := range map[uint16]int{packet.EtherTypeIPv6: KeyBits, packet.EtherTypeIPv4: KeyBits - 192, packet.EtherTypeARP: 24 + 48 + 48 + 16} {
		m := ExactMask(etherType)
		if m.Bits() != want || m.Wild() != KeyBits-want || m.IsZero() {
			t.Errorf("%#x: %d bits, want %d", etherType, m.Bits(), want)
		}
	}
	for _, in := range [][]byte{udp(a4, b4), udp(a6, b6), arp()} { // it misses no bit that a key can have
		k := KeyOf(frame(t, in), MaxID)
		if k.And(ExactMask(k.EtherType)) != k {
			t.Errorf("%v loses bits", k)
		}
	}
	if !(Mask{}).IsZero() || (Mask{}).Wild() != KeyBits {
		t.Error("empty mask")
	}
}

func TestMatchString(t *testing.T) {
	v6, v4 := KeyOf(frame(t, udp(a6, b6)), 7), KeyOf(frame(t, udp(a4, b4)), 7)
	for want, m := range map[string]Match{
		"*": {},
		"vport=7 src_mac=02:00:00:00:00:0a dst_mac=02:00:00:00:00:0b ether_type=0x86dd src=2001:db8::1 dst=2001:db8:0:1::2 proto=17 frag=0 sport=1000 dport=2000": MatchOf(v6, ExactMask(packet.EtherTypeIPv6)),
		"vport=7 ether_type=0x0800 dst=10.0.1.0/24 dport=0x700/0xff00":                                                                                            MatchOf(v4, Mask{Ingress: MaxID, EtherType: 0xffff, Dst: AddrMask(24, 0x800), DstPort: 0xff00}),
		"dst_mac=02:00:00:00:00:00/ff:00:00:00:00:00 src=00000000000000000000000000000001/00000000000000000000000000000001":                                       MatchOf(v4, Mask{DstMAC: packet.MAC{0xff}, Src: Addr{15: 1}}),
	} {
		if got := m.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got, want := v4.String(), "vport=7 src_mac=02:00:00:00:00:0a dst_mac=02:00:00:00:00:0b ether_type=0x0800 src=10.0.0.1 dst=10.0.1.2 proto=17 frag=0 sport=1000 dport=2000"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestMatchFields: the names are those that a match is written with, in its order.
func TestMatchFields(t *testing.T) {
	var names []string
	for word := range strings.FieldsSeq(MatchOf(KeyOf(frame(t, udp(a6, b6)), 7), ExactMask(packet.EtherTypeIPv6)).String()) {
		name, _, _ := strings.Cut(word, "=")
		names = append(names, name)
	}
	if !slices.Equal(names, MatchFields()) {
		t.Errorf("written %v, named %v", names, MatchFields())
	}
}
