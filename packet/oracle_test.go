package packet

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Stations of the tests.
var (
	macA = MustParseMAC("02:00:00:00:00:0a")
	macB = MustParseMAC("02:00:00:00:00:0b")
	a4   = netip.MustParseAddr("10.0.0.1")
	b4   = netip.MustParseAddr("10.0.1.2")
	r4   = netip.MustParseAddr("10.0.0.254")
	a6   = netip.MustParseAddr("2001:db8::1")
	b6   = netip.MustParseAddr("2001:db8:0:1::2")
	r6   = netip.MustParseAddr("2001:db8::ff")
	ll6  = netip.MustParseAddr("fe80::1")
)

// serialize builds a frame by gopacket, the independent oracle, with its lengths and checksums, but without padding.
func serialize(t testing.TB, eth *layers.Ethernet, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var network gopacket.NetworkLayer
	for _, l := range ls {
		if n, ok := l.(gopacket.NetworkLayer); ok {
			network = n
		}
		if c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok && network != nil {
			if err := c.SetNetworkLayerForChecksum(network); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return append(appendEthernet(nil, MAC(eth.DstMAC), MAC(eth.SrcMAC), uint16(eth.EthernetType)), b.Bytes()...)
}

// decode decodes a whole frame by gopacket and fails the test on undecodable layers and wrong checksums.
func decode(t testing.TB, b []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket: %v\n%x", e.Error(), b)
	}
	for _, l := range p.Layers() {
		c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		})
		if !ok || p.NetworkLayer() == nil {
			continue
		}
		if err := c.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
			t.Fatal(err)
		}
	}
	if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
		t.Fatalf("gopacket: checksums: %v, %+v\n%v", err, bad, p)
	}
	return p
}

// layer returns the packet's layer of type T.
func layer[T gopacket.Layer](t testing.TB, p gopacket.Packet) T {
	t.Helper()
	for _, l := range p.Layers() {
		if v, ok := l.(T); ok {
			return v
		}
	}
	var zero T
	t.Fatalf("no layer %T in\n%v", zero, p)
	return zero
}

func mustParse(t testing.TB, b []byte) *Frame {
	t.Helper()
	f := new(Frame)
	if err := Parse(b, f); err != nil {
		t.Fatalf("Parse: %v\n%x", err, b)
	}
	return f
}

func ethernet(typ layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: macA[:], DstMAC: macB[:], EthernetType: typ}
}

func ip4(proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 61, TOS: 0xb9, Id: 0x1234, Protocol: proto, SrcIP: a4.AsSlice(), DstIP: b4.AsSlice()}
}

func ip6(proto layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 61, TrafficClass: 0xb9, FlowLabel: 0x12345, NextHeader: proto, SrcIP: a6.AsSlice(), DstIP: b6.AsSlice()}
}

// echo4 and echo6 are pings from A to B.
func echo4(t testing.TB, n int) []byte {
	return serialize(t, ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 0xbeef, Seq: 7}, gopacket.Payload(pattern(n)))
}

func echo6(t testing.TB, n int) []byte {
	return serialize(t, ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolICMPv6),
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}, &layers.ICMPv6Echo{Identifier: 0xbeef, SeqNumber: 7}, gopacket.Payload(pattern(n)))
}

func udp4(t testing.TB, n int) []byte {
	return serialize(t, ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP), &layers.UDP{SrcPort: 30001, DstPort: 30002}, gopacket.Payload(pattern(n)))
}

func udp6(t testing.TB, n int) []byte {
	return serialize(t, ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP), &layers.UDP{SrcPort: 30001, DstPort: 30002}, gopacket.Payload(pattern(n)))
}

func tcp6(t testing.TB) []byte {
	return serialize(t, ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolTCP), &layers.TCP{SrcPort: 30001, DstPort: 80, SYN: true, ACK: true, Window: 9})
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + 1)
	}
	return b
}

// tagged inserts a VLAN tag.
func tagged(b []byte, vid uint16) []byte {
	r := append([]byte{}, b[:12]...)
	r = append(r, 0x81, 0x00, 0xe0|byte(vid>>8), byte(vid))
	return append(r, b[12:]...)
}

// with returns a copy of b with bytes set from at on.
func with(b []byte, at int, v ...byte) []byte {
	r := append([]byte{}, b...)
	copy(r[at:], v)
	return r
}

// summed makes an untagged frame's IPv4 header checksum right.
func summed(b []byte) []byte {
	h := b[EthernetLen : EthernetLen+4*int(b[EthernetLen]&0xf)]
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], Checksum(h))
	return b
}

func payload(n int) gopacket.Payload { return gopacket.Payload(pattern(n)) }
