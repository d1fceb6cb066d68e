package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket/layers"
)

func TestICMPError(t *testing.T) {
	tests := []struct {
		kind         ErrorKind
		type4, code4 uint8
		type6, code6 uint8
		word4, word6 uint32
	}{
		{NoRoute, 3, 0, 1, 0, 0, 0}, {HostUnreachable, 3, 1, 1, 3, 0, 0}, {PortUnreachable, 3, 3, 1, 4, 0, 0}, {Prohibited, 3, 13, 1, 1, 0, 0},
		{TooBig, 3, 4, 2, 0, 1400, 1400}, {TTLExceeded, 11, 0, 3, 0, 0, 0},
	}
	for _, tt := range tests {
		for _, n := range []int{0, 3, 500, 520, 521, 1184, 1185, 9000} {
			for _, in := range [][]byte{udp4(t, n), udp6(t, n), tagged(udp4(t, n), 8), tagged(udp6(t, n), 8)} {
				orig := mustParse(t, append(in, 0, 0, 0, 0))
				e := ICMPError{Kind: tt.kind, MTU: 1400, Src: r4}
				typ, code, word, limit, head := tt.type4, tt.code4, tt.word4, 576, 28
				if orig.Is6() {
					e.Src = r6
					typ, code, word, limit, head = tt.type6, tt.code6, tt.word6, 1280, 48
				}
				b, err := AppendICMPError(nil, orig, &e)
				if err != nil {
					t.Fatal(err)
				}
				p, f := decode(t, b), mustParse(t, b)
				gotType, gotCode := f.ICMPType()
				if gotType != typ || gotCode != code || binary.BigEndian.Uint32(b[f.L4+4:]) != word {
					t.Fatalf("%v: %d/%d %d, want %d/%d %d", tt.kind, gotType, gotCode, binary.BigEndian.Uint32(b[f.L4+4:]), typ, code, word)
				}
				if want := min(limit, head+orig.IPLen()); f.IPLen() != want || len(b) != 14+want {
					t.Fatalf("%v: %d bytes, want %d\n%v", tt.kind, f.IPLen(), want, p)
				}
				if !bytes.HasPrefix(orig.IPPacket(), b[f.L4+8:]) {
					t.Fatalf("%v: quotes other than the original", tt.kind)
				}
				if f.Src() != macB || f.Dst() != macA || f.SrcAddr() != e.Src || f.DstAddr() != orig.SrcAddr() || f.TTL() != 64 || MayAnswer(f) {
					t.Fatalf("%v:\n%v", tt.kind, p)
				}
			}
		}
	}
	mac := MustParseMAC("02:00:00:00:00:99")
	f := mustParse(t, udp4(t, 1))
	b, err := AppendICMPError(nil, f, &ICMPError{Kind: NoRoute, Src: r4, SrcMAC: mac, DstMAC: macB})
	if err != nil || MAC(b[6:]) != mac || MAC(b) != macB {
		t.Errorf("given MACs: %v, %x", err, b)
	}
	if _, err := AppendICMPError(nil, f, &ICMPError{Kind: NoRoute, Src: r6}); !errors.Is(err, ErrNotIP) {
		t.Errorf("other family: %v", err)
	}
	if _, err := AppendICMPError(nil, mustParse(t, udp6(t, 1)), &ICMPError{Kind: NoRoute}); !errors.Is(err, ErrNotIP) {
		t.Errorf("no source: %v", err)
	}
	if b, err := AppendICMPError(b[:1], mustParse(t, with(udp4(t, 1), 0, 1)), &ICMPError{Kind: NoRoute, Src: r4}); !errors.Is(err, ErrNoAnswer) || len(b) != 1 {
		t.Errorf("to a group: %v", err)
	}
}

// behind puts an extension header of 8 bytes in front of the payload of an untagged IPv6 frame.
func behind(ext byte, b []byte) []byte {
	r := append(append([]byte{}, b[:54]...), b[20], 0, 0, 0, 0, 0, 0, 0)
	r[20] = ext
	n := len(b) - 54 + 8
	r[18], r[19] = byte(n>>8), byte(n)
	return append(r, b[54:]...)
}

func TestMayAnswer(t *testing.T) {
	addr := func(s string) []byte { return netip.MustParseAddr(s).AsSlice() }
	ping6 := echo6(t, 8)
	error6 := with(ping6, 54, 1)
	deep := udp6(t, 8)
	for range maxExtensions {
		deep = behind(ProtoDestOpts, deep)
	}
	tests := []struct {
		name        string
		b           []byte
		may, tooBig bool
	}{
		{"udp4", udp4(t, 8), true, true}, {"udp6", udp6(t, 8), true, true}, {"tcp6", tcp6(t), true, true}, {"echo", echo4(t, 8), true, true}, {"echo 6", ping6, true, true},
		{"arp", AppendARPRequest(nil, macA, a4, b4), false, false},
		{"broadcast frame", with(udp4(t, 8), 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), false, false},
		{"multicast frame", with(udp4(t, 8), 0, 1), false, false},
		{"multicast frame 6", with(udp6(t, 8), 0, 0x33, 0x33), false, true},
		{"to a group", summed(with(udp4(t, 8), 30, addr("224.0.0.5")...)), false, false},
		{"to a group 6", with(udp6(t, 8), 38, addr("ff0e::5")...), false, true},
		{"limited broadcast", summed(with(udp4(t, 8), 30, 255, 255, 255, 255)), false, false},
		{"from 0.0.0.0", summed(with(udp4(t, 8), 26, 0, 0, 0, 0)), false, false},
		{"from loopback", summed(with(udp4(t, 8), 26, 127)), false, false},
		{"from a group", summed(with(udp4(t, 8), 26, 239)), false, false},
		{"from class E", summed(with(udp4(t, 8), 26, 255)), false, false},
		{"from ::", with(udp6(t, 8), 22, addr("::")...), false, false},
		{"from ::1", with(udp6(t, 8), 22, addr("::1")...), false, false},
		{"from a group 6", with(udp6(t, 8), 22, addr("ff02::1")...), false, false},
		{"from IPv4-mapped", with(udp6(t, 8), 22, addr("::ffff:10.0.0.1")...), false, false},
		{"first fragment", summed(with(udp4(t, 8), 20, 0x20, 0)), true, true}, {"wrong checksum", with(udp4(t, 8), 24, 0, 0), false, false},
		{"cut short", udp4(t, 8)[:48], false, false}, {"cut short 6", udp6(t, 8)[:68], false, false},
		{"later fragment", summed(with(udp4(t, 8), 20, 0, 1)), false, false},
		{"first fragment 6", fragment6(udp6(t, 8), 0, 1), true, true},
		{"later fragment 6", fragment6(udp6(t, 8), 1, 0), false, true},
		{"later fragment of ICMPv6", fragment6(ping6, 1, 0), false, false},
		{"unreachable", with(echo4(t, 8), 34, 3), false, false}, {"quench", with(echo4(t, 8), 34, 4), false, false}, {"redirect", with(echo4(t, 8), 34, 5), false, false},
		{"exceeded", with(echo4(t, 8), 34, 11), false, false}, {"parameter", with(echo4(t, 8), 34, 12), false, false}, {"unknown ICMP", with(echo4(t, 8), 34, 99), false, false},
		{"timestamp", with(echo4(t, 8), 34, 13), true, true}, {"echo reply", with(echo4(t, 8), 34, 0), true, true},
		{"error 6", error6, false, false}, {"unknown error 6", with(ping6, 54, 127), false, false}, {"redirect 6", with(ping6, 54, 137), false, false}, {"MLD", with(ping6, 54, 143), true, true},
		{"error behind hop-by-hop", behind(ProtoHopByHop, error6), false, false}, {"echo behind hop-by-hop", behind(ProtoHopByHop, ping6), true, true},
		{"error behind routing and options", behind(ProtoRouting, behind(ProtoDestOpts, error6)), false, false},
		{"error in a first fragment", fragment6(error6, 0, 1), false, false}, {"error behind a fragment header and options", fragment6(behind(ProtoDestOpts, error6), 0, 1), false, false},
		{"udp behind AH", with(behind(ProtoAH, udp6(t, 8)), 55, 0), true, true},
		{"extension header cut", with(behind(ProtoHopByHop, udp6(t, 0)), 55, 9), false, false},
		{"nothing behind hop-by-hop", behind(ProtoHopByHop, with(udp6(t, 0)[:54], 18, 0, 0)), true, true},
		{"ICMPv6 of no bytes", behind(ProtoHopByHop, with(echo6(t, 0)[:54], 18, 0, 0)), false, false},
		{"endless extension headers", deep, false, false},
		{"stated length too short", summed(with(udp4(t, 8), 16, 0, 10)), false, false},
	}
	for _, tt := range tests {
		f := mustParse(t, tt.b)
		if got := MayAnswer(f); got != tt.may {
			t.Errorf("%s: MayAnswer %v", tt.name, got)
		}
		if got := MayAnswerTooBig(f); got != tt.tooBig {
			t.Errorf("%s: MayAnswerTooBig %v", tt.name, got)
		}
	}
}

func TestFragmenter(t *testing.T) {
	options := ip4(layers.IPProtocolUDP)
	options.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}, {OptionType: 7, OptionLength: 7, OptionData: []byte{4, 1, 2, 3, 4}}}
	ins := map[string][]byte{
		"plain": udp4(t, 3000), "tagged": tagged(udp4(t, 3000), 4), "fits": udp4(t, 10), "exact": udp4(t, 576-28), "one more": udp4(t, 576-27),
		"options": serialize(t, ethernet(layers.EthernetTypeIPv4), options, &layers.UDP{}, payload(3000)),
	}
	middle := ip4(layers.IPProtocolUDP)
	middle.Flags, middle.FragOffset = layers.IPv4MoreFragments, 100
	ins["a fragment"] = serialize(t, ethernet(layers.EthernetTypeIPv4), middle, payload(1600))
	for name, in := range ins {
		for _, mtu := range []int{68, 576, 1499, 1500} {
			f := mustParse(t, append(in, 0, 0, 0))
			g, err := NewFragmenter(f, mtu)
			if err != nil {
				t.Fatal(name, err)
			}
			var whole []byte
			start := 8 * int(binary.BigEndian.Uint16(f.Data[f.L3+6:])&0x1fff)
			count := 0
			for b, ok := g.Next(nil); ok; b, ok = g.Next(b[:0]) {
				count++
				l := layer[*layers.IPv4](t, decode(t, b))
				if int(l.Length) > mtu || len(b) != 14+int(l.Length) || int(l.FragOffset)*8 != start+len(whole) || l.TTL != 61 || l.Id != 0x1234 || MAC(b) != macB || MAC(b[6:]) != macA {
					t.Fatalf("%s, MTU %d: %+v", name, mtu, l)
				}
				whole = append(whole, l.Payload...)
				last := len(whole) == f.IPLen()-f.IPHeaderLen()
				if more := l.Flags&layers.IPv4MoreFragments != 0; more != (!last || name == "a fragment") {
					t.Fatalf("%s, MTU %d: more %v after %d bytes", name, mtu, more, len(whole))
				}
				if name == "options" && count > 1 && (len(l.Options) != 1 || l.Options[0].OptionType != 148) {
					t.Fatalf("options of a later fragment: %v", l.Options)
				}
			}
			if want := f.Data[f.L3+f.IPHeaderLen() : f.L3+f.IPLen()]; !bytes.Equal(whole, want) {
				t.Fatalf("%s, MTU %d: %d bytes of payload, want %d", name, mtu, len(whole), len(want))
			}
			if count == 1 != (f.IPLen() <= mtu) {
				t.Errorf("%s, MTU %d: %d fragments of %d bytes", name, mtu, count, f.IPLen())
			}
		}
	}
	big := udp4(t, 3000)
	for name, tt := range map[string]struct {
		b    []byte
		mtu  int
		want error
	}{
		"IPv6": {udp6(t, 3000), 1500, ErrNotIP}, "DF": {fix4(with(big, 20, 0x40)), 1500, ErrNoFragment}, "cut": {big[:3000], 1500, ErrTruncated}, "checksum": {with(big, 24, 0), 1500, ErrChecksum},
		"MTU": {big, 27, ErrFragmentSize}, "behind the end": {fix4(with(big, 20, 0x1f, 0xff)), 1500, ErrInvalid},
	} {
		if _, err := NewFragmenter(mustParse(t, tt.b), tt.mtu); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// fix4 computes the header checksum of an untagged IPv4 frame without options anew.
func fix4(b []byte) []byte {
	b[24], b[25] = 0, 0
	binary.BigEndian.PutUint16(b[24:], Checksum(b[14:34]))
	return b
}
