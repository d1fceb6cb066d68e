package bgp

import (
	"net/netip"
	"testing"
)

// ipPacket builds what a guard looks at: a header, and the first byte behind it.
func ipPacket(src, dst netip.Addr, proto, ttl, first uint8) []byte {
	if src.Is4() {
		p := make([]byte, 24)
		p[0], p[8], p[9], p[20] = 4<<4|5, ttl, proto, first
		copy(p[12:], src.AsSlice())
		copy(p[16:], dst.AsSlice())
		return p
	}
	p := make([]byte, 44)
	p[0], p[6], p[7], p[40] = 6<<4, proto, ttl, first
	copy(p[8:], src.AsSlice())
	copy(p[24:], dst.AsSlice())
	return p
}

func newTestGuard(t testing.TB) *guard {
	t.Helper()
	g, err := newGuard(addrsA, cableMTU)
	if err != nil {
		t.Fatal(err)
	}
	for i := range addrsA {
		g.require(addrsA[i], addrsB[i], 254)
	}
	return g
}

func TestGuard(t *testing.T) {
	g := newTestGuard(t)
	for i, own := range addrsA {
		icmp, unreachable, echo, tooBig := uint8(protoICMPv6), uint8(1), uint8(128), uint8(2)
		stranger := netip.MustParseAddr("2001:db8::9")
		if own.Is4() {
			icmp, unreachable, echo, tooBig = protoICMP, 3, 8, 3
			stranger = netip.MustParseAddr("192.0.2.9")
		}
		for _, tc := range []struct {
			what          string
			packet        []byte
			admits, emits bool
		}{
			{"neighbour's segment from near", ipPacket(addrsB[i], own, protoTCP, 254, 0), true, false},
			{"neighbour's segment from far", ipPacket(addrsB[i], own, protoTCP, 253, 0), false, false},
			{"stranger's segment from far", ipPacket(stranger, own, protoTCP, 1, 0), true, false},
			{"segment to another", ipPacket(addrsB[i], stranger, protoTCP, 255, 0), false, false},
			{"own segment", ipPacket(own, stranger, protoTCP, 1, 0), false, true},
			{"own ICMP", ipPacket(own, stranger, icmp, 255, unreachable), false, false},
			{"unreachable", ipPacket(stranger, own, icmp, 1, unreachable), true, false},
			{"too big", ipPacket(stranger, own, icmp, 1, tooBig), true, false},
			{"echo request", ipPacket(stranger, own, icmp, 255, echo), false, false},
			{"UDP", ipPacket(addrsB[i], own, 17, 255, 0), false, false},
			{"cut off", ipPacket(addrsB[i], own, protoTCP, 255, 0)[:19], false, false},
			{"empty", nil, false, false},
			{"of another version", append([]byte{0x55}, ipPacket(addrsB[i], own, protoTCP, 255, 0)[1:]...), false, false},
		} {
			if got := g.admits(tc.packet); got != tc.admits {
				t.Errorf("%s: %s: admits %t, want %t", own, tc.what, got, tc.admits)
			}
			if got := g.emits(tc.packet); got != tc.emits {
				t.Errorf("%s: %s: emits %t, want %t", own, tc.what, got, tc.emits)
			}
		}
		near := ipPacket(addrsB[i], own, protoTCP, 254, 0)
		if n := testing.AllocsPerRun(100, func() { g.admits(near); g.emits(near) }); n != 0 {
			t.Errorf("%s: %v allocations a packet", own, n)
		}
		g.require(own, addrsB[i], 0)
		if !g.admits(ipPacket(addrsB[i], own, protoTCP, 1, 0)) {
			t.Errorf("%s: segment from far not admitted, with nothing required", own)
		}
	}
	if n := len(*g.least.Load()); n != 0 {
		t.Errorf("%d requirements left", n)
	}
}

// FuzzGuard: what passes inwards is of the port and near, whatever comes.
func FuzzGuard(f *testing.F) {
	for i := range addrsA {
		f.Add(ipPacket(addrsB[i], addrsA[i], protoTCP, 254, 0))
		f.Add(ipPacket(addrsA[i], addrsB[i], protoICMP, 1, 3))
	}
	g := newTestGuard(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		g.emits(p)
		if !g.admits(p) {
			return
		}
		h, ok := parseHeader(p)
		if !ok || !g.has(h.dst) {
			t.Fatalf("%x admitted", p)
		}
		for i := range addrsA {
			if h.proto == protoTCP && h.src == addrsB[i] && h.dst == addrsA[i] && h.ttl < 254 {
				t.Fatalf("%x admitted from far", p)
			}
		}
	})
}
