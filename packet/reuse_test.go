package packet_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// TestBuildersIgnoreOldBytes: what a builder appends does not depend on what was in the buffer's spare room.
func TestBuildersIgnoreOldBytes(t *testing.T) {
	a, b := packet.MAC{2, 1}, packet.MAC{2, 2}
	a4, b4 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	a6, b6 := netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	udp := func(src, dst netip.Addr) *packet.UDP {
		return &packet.UDP{SrcMAC: a, DstMAC: b, Src: src, Dst: dst, SrcPort: 1, DstPort: 2, TTL: 9, Payload: []byte("odd")}
	}
	for name, build := range map[string]func([]byte) []byte{
		"ARP request": func(buf []byte) []byte { return packet.AppendARPRequest(buf, a, a4, b4) },
		"NS":          func(buf []byte) []byte { return packet.AppendNS(buf, a, a6, b6) },
		"NA":          func(buf []byte) []byte { return packet.AppendUnsolicitedNA(buf, a, a6, true) },
		"UDP 4":       func(buf []byte) []byte { return packet.AppendUDP(buf, udp(a4, b4)) },
		"UDP 6":       func(buf []byte) []byte { return packet.AppendUDP(buf, udp(a6, b6)) },
		"error 4":     func(buf []byte) []byte { return icmpError(t, buf, packet.AppendUDP(nil, udp(a4, b4)), b4) },
		"error 6":     func(buf []byte) []byte { return icmpError(t, buf, packet.AppendUDP(nil, udp(a6, b6)), b6) },
		"echo reply 4": func(buf []byte) []byte {
			return echoReply(t, buf, packet.ICMPEchoRequest, packet.AppendUDP(nil, udp(a4, b4)))
		},
	} {
		dirty := bytes.Repeat([]byte{0xa5}, 2000)
		if got, want := build(dirty[:0]), build(nil); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", name, got, want)
		}
	}
}

func icmpError(t *testing.T, buf, orig []byte, from netip.Addr) []byte {
	t.Helper()
	var f packet.Frame
	if err := packet.Parse(orig, &f); err != nil {
		t.Fatal(err)
	}
	out, err := packet.AppendICMPError(buf, &f, &packet.ICMPError{Kind: packet.NoRoute, Src: from})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// echoReply answers an echo request made of a UDP frame's headers.
func echoReply(t *testing.T, buf []byte, typ byte, frame []byte) []byte {
	t.Helper()
	frame[23] = packet.ProtoICMP
	frame[24], frame[25] = 0, 0
	c := packet.Checksum(frame[14:34])
	frame[24], frame[25] = byte(c>>8), byte(c)
	icmp := frame[34:]
	copy(icmp, []byte{typ, 0, 0, 0, 0, 7, 0, 1})
	c = packet.Checksum(icmp)
	icmp[2], icmp[3] = byte(c>>8), byte(c)
	var f packet.Frame
	if err := packet.Parse(frame, &f); err != nil {
		t.Fatal(err)
	}
	out, err := packet.AppendEchoReply(buf, &f)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
