package flow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/weft-sdn/weft/packet"
)

// tuple is what a translation sets, and what the packets of these tests are built from.
type tuple struct {
	src, dst     netip.Addr
	sport, dport uint16
}

func (u tuple) rewrite() Rewrite {
	return Rewrite{Translate: true, Src: AddrOf(u.src), Dst: AddrOf(u.dst), SrcPort: u.sport, DstPort: u.dport}
}

// built is a frame with lengths and checksums by gopacket, whose L4 header is of the kind named: what a translation must produce.
func built(t testing.TB, kind string, u tuple, payload []byte) []byte {
	t.Helper()
	v4 := u.src.Is4()
	icmp4, icmp6 := layers.ICMPv4TypeCode(binary.BigEndian.Uint16([]byte{packet.ICMPEchoRequest, 0})), layers.CreateICMPv6TypeCode(packet.ICMPv6EchoRequest, 0)
	if kind == "reply" {
		icmp4, icmp6 = 0, layers.CreateICMPv6TypeCode(packet.ICMPv6EchoReply, 0)
	}
	id := u.dport
	if kind == "query" { // neither error nor echo: ICMP timestamp, and a type of ICMPv6 for experiments
		icmp4, icmp6, id = layers.ICMPv4TypeCode(13<<8), layers.CreateICMPv6TypeCode(200, 0), 0x7777
	}
	word := binary.BigEndian.AppendUint16(nil, id)
	var proto layers.IPProtocol
	var l4 []gopacket.SerializableLayer
	switch kind {
	case "tcp":
		proto, l4 = 6, []gopacket.SerializableLayer{&layers.TCP{SrcPort: layers.TCPPort(u.sport), DstPort: layers.TCPPort(u.dport), Seq: 77, ACK: true, Window: 9}}
	case "udp":
		proto, l4 = 17, []gopacket.SerializableLayer{&layers.UDP{SrcPort: layers.UDPPort(u.sport), DstPort: layers.UDPPort(u.dport)}}
	case "sctp": // no port is translated
		proto, l4 = 132, []gopacket.SerializableLayer{gopacket.Payload{1, 2, 3, 4, 5, 6, 7, 8, 0xaa, 0xbb, 0xcc, 0xdd}}
	case "esp":
		proto, l4 = 50, []gopacket.SerializableLayer{gopacket.Payload{1, 2, 3, 4, 5, 6, 7, 8}}
	default:
		if v4 {
			proto, l4 = 1, []gopacket.SerializableLayer{&layers.ICMPv4{TypeCode: icmp4, Id: id, Seq: 3}}
		} else {
			proto, l4 = 58, []gopacket.SerializableLayer{&layers.ICMPv6{TypeCode: icmp6}, gopacket.Payload(append(word, 0, 3))}
		}
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr(macA[:]), DstMAC: net.HardwareAddr(macB[:]), EthernetType: layers.EthernetTypeIPv6}
	var network gopacket.NetworkLayer = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: u.src.AsSlice(), DstIP: u.dst.AsSlice()}
	if v4 {
		eth.EthernetType = layers.EthernetTypeIPv4
		network = &layers.IPv4{Version: 4, TTL: 64, Id: 5, Protocol: proto, SrcIP: u.src.AsSlice(), DstIP: u.dst.AsSlice()}
	}
	if c, ok := l4[0].(interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}); ok {
		if err := c.SetNetworkLayerForChecksum(network); err != nil {
			t.Fatal(err)
		}
	}
	all := append([]gopacket.SerializableLayer{eth, network.(gopacket.SerializableLayer)}, append(l4, gopacket.Payload(payload))...)
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var kinds = []string{"tcp", "udp", "echo", "reply", "query", "sctp", "esp"}

// translations are a packet's own addresses and ports and what they become, of both families.
func translations() map[string][2]tuple {
	x4, y4 := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("255.254.253.252")
	x6, y6 := netip.MustParseAddr("2001:db8:ffff::7"), netip.MustParseAddr("fdff:ffff:fffe::1")
	own4, own6 := tuple{a4, b4, 1000, 2000}, tuple{a6, b6, 1000, 2000}
	return map[string][2]tuple{
		"source v4": {own4, {x4, b4, 40000, 2000}}, "source v6": {own6, {x6, b6, 40000, 2000}},
		"destination v4": {own4, {a4, x4, 1000, 80}}, "destination v6": {own6, {a6, x6, 1000, 80}},
		"both v4": {own4, {x4, y4, 65535, 0}}, "both v6": {own6, {x6, y6, 65535, 0}},
		"nothing v4": {own4, own4}, "nothing v6": {own6, own6},
	}
}

// TestTranslate compares with a packet that gopacket builds with the translated fields from the start.
func TestTranslate(t *testing.T) {
	for name, x := range translations() {
		for _, kind := range kinds {
			for n := range 3 { // of payload, odd lengths too
				in, want := built(t, kind, x[0], make([]byte, n)), built(t, kind, x[1], make([]byte, n))
				r := x[1].rewrite()
				got := bytes.Clone(in)
				r.Apply(got, frame(t, in))
				if !bytes.Equal(got, want) {
					t.Errorf("%s, %s:\ngot  %x\nwant %x", kind, name, got, want)
				}
				got = tagged(in)
				r.Apply(got, frame(t, tagged(in)))
				if !bytes.Equal(got, tagged(want)) {
					t.Errorf("tagged %s, %s:\ngot  %x\nwant %x", kind, name, got, tagged(want))
				}
				if damaged := damage(t, in); damaged != nil {
					r.Apply(damaged, frame(t, damaged))
					if bytes.Equal(damaged, want) {
						t.Errorf("%s, %s: a wrong checksum became right", kind, name)
					}
				}
			}
		}
	}
}

// damage changes a bit of the L4 header's checksum; nil: it has none that a translation touches.
func damage(t *testing.T, in []byte) []byte {
	b := bytes.Clone(in)
	f := frame(t, b)
	switch {
	case f.Proto == packet.ProtoTCP:
		b[f.L4+16] ^= 1
	case f.Proto == packet.ProtoUDP:
		b[f.L4+6] ^= 1
	case f.IsICMP():
		b[f.L4+2] ^= 1
	default:
		return nil
	}
	return b
}

// TestTranslateFragments: the first fragment has the checksum of the whole and is translated alike; in a later one only the addresses change.
func TestTranslateFragments(t *testing.T) {
	for name, x := range translations() {
		r := x[1].rewrite()
		for _, kind := range kinds {
			in, want := built(t, kind, x[0], make([]byte, 40)), built(t, kind, x[1], make([]byte, 40))
			for i, later := range []bool{false, true} {
				got, part := fragmentOf(t, in, later), fragmentOf(t, want, later)
				f := frame(t, bytes.Clone(got))
				if f.Frag != packet.Frag(i+1) {
					t.Fatalf("%s: fragment class %d", kind, f.Frag)
				}
				r.Apply(got, f)
				if !bytes.Equal(got, part) {
					t.Errorf("%s, %s, fragment %d:\ngot  %x\nwant %x", kind, name, i, got, part)
				}
			}
		}
	}
}

// fragmentOf makes a frame's first 32 bytes of IP payload a first fragment, or the rest a later one.
func fragmentOf(t *testing.T, b []byte, later bool) []byte {
	t.Helper()
	f := frame(t, b)
	head, rest := b[:f.L3+f.IPHeaderLen()], b[f.L3+f.IPHeaderLen():]
	offset, payload := uint16(0), rest[:32]
	if later {
		offset, payload = 4, rest[32:]
	}
	out := bytes.Clone(head)
	h := out[f.L3:]
	if f.Is4() {
		binary.BigEndian.PutUint16(h[2:], uint16(packet.IPv4Len+len(payload)))
		binary.BigEndian.PutUint16(h[6:], 0x2000|offset)
		h[10], h[11] = 0, 0
		binary.BigEndian.PutUint16(h[10:], packet.Checksum(h))
	} else {
		binary.BigEndian.PutUint16(h[4:], uint16(packet.FragmentLen+len(payload)))
		h[6] = packet.ProtoFragment
		out = append(out, f.Proto, 0)
		out = append(binary.BigEndian.AppendUint16(out, offset<<3|1), 1, 2, 3, 4)
	}
	return append(out, payload...)
}

// TestTranslateUDPChecksum: none stays none, and what becomes 0 is sent as 0xffff (RFC 768).
func TestTranslateUDPChecksum(t *testing.T) {
	for name, x := range translations() {
		r := x[1].rewrite()
		in, want := built(t, "udp", x[0], nil), built(t, "udp", x[1], nil)
		f := frame(t, in)
		for _, b := range [][]byte{in, want} {
			b[f.L4+6], b[f.L4+7] = 0, 0
		}
		r.Apply(in, f)
		if !bytes.Equal(in, want) {
			t.Errorf("%s, without checksum:\ngot  %x\nwant %x", name, in, want)
		}
		// The payload that makes the translated packet's checksum 0: what it was before.
		payload := []byte{0, 0}
		sum := frame(t, built(t, "udp", x[1], payload)).Data[f.L4+6:]
		in, want = built(t, "udp", x[0], sum[:2]), built(t, "udp", x[1], sum[:2])
		if want[f.L4+6] != 0xff || want[f.L4+7] != 0xff {
			t.Fatalf("%s: checksum %x", name, want[f.L4+6:f.L4+8])
		}
		r.Apply(in, f)
		if !bytes.Equal(in, want) {
			t.Errorf("%s, checksum 0:\ngot  %x\nwant %x", name, in, want)
		}
	}
}

// TestTranslateOther: what has no addresses is left alone, and an ICMP message of the other IP version is a protocol like any other.
func TestTranslateOther(t *testing.T) {
	r := tuple{b4, a4, 1, 2}.rewrite()
	in := arp()
	r.Apply(in, frame(t, in))
	if !bytes.Equal(in, arp()) {
		t.Errorf("ARP became %x", in)
	}
	in = built(t, "echo", tuple{a4, b4, 0, 9}, nil)
	in[23] = packet.ProtoICMPv6
	f := frame(t, in)
	want := bytes.Clone(in[f.L4:])
	r.Apply(in, f)
	if !bytes.Equal(in[f.L4:], want) || f.SrcAddr() != b4 {
		t.Errorf("ICMPv6 in IPv4 became %x", in)
	}
}

func TestTranslateText(t *testing.T) {
	for _, tt := range []struct {
		r    Rewrite
		want string
	}{
		{tuple{a4, b4, 1, 2}.rewrite(), "src=10.0.0.1 dst=10.0.1.2 sport=1 dport=2"},
		{tuple{a6, b6, 1, 2}.rewrite(), "src=2001:db8::1 dst=2001:db8:0:1::2 sport=1 dport=2"},
		{Rewrite{Translate: true, TTLDec: 3}, "ttl_dec=3 src=0.0.0.0 dst=0.0.0.0 sport=0 dport=0"},
		{Rewrite{SetMACs: true, SrcMAC: macA, DstMAC: macB}, fmt.Sprintf("src_mac=%v dst_mac=%v ttl_dec=0", macA, macB)},
	} {
		if got := tt.r.String(); got != tt.want || tt.r.IsZero() {
			t.Errorf("%q, zero %v; want %q", got, tt.r.IsZero(), tt.want)
		}
	}
}
