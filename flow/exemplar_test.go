package flow

import (
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// FuzzExemplar: for whatever parses, a frame made from its key parses again, has that key, and the right checksum of IPv4's header. An IPv6 packet with a fragment
// header within a fragment is none that a frame can be made for.
func FuzzExemplar(f *testing.F) {
	for _, b := range [][]byte{udp(a4, b4), udp(a6, b6), tagged(udp(a4, b4)), tagged(udp(a6, b6)), arp()} {
		f.Add(b, uint8(packet.ProtoTCP), uint16(0))
		f.Add(b, uint8(packet.ProtoSCTP), uint16(0x2000))
		f.Add(b, uint8(packet.ProtoICMP), uint16(1))
		f.Add(b, uint8(packet.ProtoICMPv6), uint16(0))
		f.Add(b, uint8(packet.ProtoGRE), uint16(0x2001))
	}
	f.Fuzz(func(t *testing.T, b []byte, proto uint8, fragment uint16) {
		var fr packet.Frame
		if packet.ParseUntagged(b, &fr) == nil && fr.Is4() { // most kinds of packets from few seeds
			b[fr.L3+6], b[fr.L3+7], b[fr.L3+9] = uint8(fragment>>8), uint8(fragment), proto
		}
		if fr.Is6() && fr.Proto != packet.ProtoFragment {
			b[fr.L3+6] = proto
		}
		if packet.ParseUntagged(b, &fr) != nil {
			return
		}
		k := KeyOf(&fr, 7)
		made := k.AppendFrame(nil)
		var again packet.Frame
		if err := packet.ParseUntagged(made, &again); err != nil {
			if k.Proto == packet.ProtoFragment {
				return
			}
			t.Fatalf("%v: % x: %v", k, made, err)
		}
		if got := KeyOf(&again, 7); got != k && (k.Proto != packet.ProtoFragment || !k.Is6()) {
			t.Fatalf("key %v of % x, want %v", got, made, k)
		}
		if again.Is4() && packet.Checksum(made[again.L3:again.L3+packet.IPv4Len]) != 0 {
			t.Fatalf("checksum of % x", made)
		}
	})
}
