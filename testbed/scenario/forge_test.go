package scenario

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// TestForged: what is forged is a tunnel packet as an edge would send it, by an independent decoder's reading, with right checksums.
func TestForged(t *testing.T) {
	const key = 0xabcdef
	four, six := [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.0.2.1")}, [2]netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("2001:db8::1")}
	for _, kind := range []TunnelKind{VXLAN, Geneve, GRE} {
		for _, outer := range [][2]netip.Addr{four, six} {
			for _, inner := range []netip.Addr{four[0], six[0]} {
				frame, err := forged(kind, key, [2][6]byte{{2, 1}, {2, 2}}, outer[0], outer[1], inner)
				if err != nil {
					t.Fatal(err)
				}
				p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
				if p.ErrorLayer() != nil {
					t.Errorf("%s: %v\n%v", kind, p.ErrorLayer().Error(), p)
				}
				if got, ok := keyOf(p); !ok || got != key {
					t.Errorf("%s over %s: key %x, %t", kind, outer[1], got, ok)
				}
				if kind != GRE && outer[0].Is6() && p.TransportLayer().(*layers.UDP).Checksum == 0 {
					t.Errorf("%s over IPv6 without a checksum", kind)
				}
				last := p.Layers()[len(p.Layers())-1]
				if want := map[bool]gopacket.LayerType{true: layers.LayerTypeICMPv4, false: layers.LayerTypeICMPv6Echo}[inner.Is4()]; last.LayerType() != want {
					t.Errorf("%s: it ends with %v, want %v", kind, last.LayerType(), want)
				}
			}
		}
	}
	if _, err := forged("ipip", key, [2][6]byte{}, four[0], four[1], four[0]); err == nil {
		t.Error("a kind that is none was forged")
	}
}

// keyOf is the tunnel key in a decoded packet.
func keyOf(p gopacket.Packet) (uint32, bool) {
	for _, layer := range p.Layers() {
		switch l := layer.(type) {
		case *layers.VXLAN:
			return l.VNI, l.ValidIDFlag
		case *layers.Geneve:
			return l.VNI, l.Protocol == layers.EthernetTypeTransparentEthernetBridging
		case *layers.GRE:
			return l.Key, l.KeyPresent && l.Protocol == layers.EthernetTypeTransparentEthernetBridging
		}
	}
	return 0, false
}
