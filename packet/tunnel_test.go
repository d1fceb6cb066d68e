package packet

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

func TestParseTunnel(t *testing.T) {
	inner := udp6(t, 30)
	vxlan := []byte{8, 0, 0, 0, 0x01, 0x23, 0x45, 1}
	geneve := append([]byte{1, 0, 0x65, 0x58, 0x01, 0x23, 0x45, 1}, 9, 9, 9, 9)
	gre := []byte{0x20, 0, 0x65, 0x58, 1, 0x01, 0x23, 0x45}
	build := func(v6 bool, port layers.UDPPort, head []byte) []byte {
		eth, ls := ethernet(layers.EthernetTypeIPv4), []gopacket.SerializableLayer{}
		proto := layers.IPProtocolUDP
		if port == 0 {
			proto = layers.IPProtocolGRE
		}
		if v6 {
			eth, ls = ethernet(layers.EthernetTypeIPv6), append(ls, ip6(proto))
		} else {
			ls = append(ls, ip4(proto))
		}
		if port != 0 {
			ls = append(ls, &layers.UDP{SrcPort: 50000, DstPort: port})
		}
		return serialize(t, eth, append(ls, gopacket.Payload(head), gopacket.Payload(inner))...)
	}
	for _, tt := range []struct {
		kind TunnelKind
		port layers.UDPPort
		head []byte
	}{{TunnelVXLAN, PortVXLAN, vxlan}, {TunnelGeneve, PortGeneve, geneve}, {TunnelGRE, 0, gre}} {
		for _, v6 := range []bool{false, true} {
			b := build(v6, tt.port, tt.head)
			want := Tunnel{Kind: tt.kind, Key: 0x012345, Flags: TunnelMoved, TOS: 0xb9, Src: a4, Dst: b4, Inner: inner}
			if v6 {
				want.Src, want.Dst = a6, b6
			}
			got, err := ParseTunnel(b)
			if diff := cmp.Diff(want, got, addrEqual); err != nil || diff != "" {
				t.Error(tt.kind, err, diff)
			}
			for n := range len(b) - len(inner) {
				if _, err := ParseTunnel(b[:n:n]); !errors.Is(err, ErrTruncated) {
					t.Errorf("%v: first %d bytes: %v", tt.kind, n, err)
				}
			}
		}
	}
	for name, b := range map[string][]byte{
		"udp": udp4(t, 30), "udp 6": udp6(t, 30), "tcp": tcp6(t), "arp": AppendARPRequest(nil, macA, a4, b4), "tagged": tagged(build(false, PortVXLAN, vxlan), 1),
		"fragment": with(build(false, PortVXLAN, vxlan), 20, 0x20), "options": with(build(false, PortVXLAN, vxlan), 14, 0x46),
	} {
		if got, err := ParseTunnel(b); err != nil || got.Kind != TunnelNone || got.Inner != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestDecapECN goes through RFC 6040 figure 4, normal mode, less its panics.
func TestDecapECN(t *testing.T) {
	const drop = 255
	want := [4][4]uint8{ // [inner][outer], not-ECT, ECT(1), ECT(0), CE
		{0, 0, 0, drop},
		{1, 1, 1, 3},
		{2, 1, 2, 3},
		{3, 3, 3, 3},
	}
	for in, row := range want {
		for out, now := range row {
			ip4, ip6 := ip4(layers.IPProtocolUDP), ip6(layers.IPProtocolUDP)
			ip4.TOS, ip6.TrafficClass = 0xb8|uint8(in), 0xb8|uint8(in)
			for _, b := range [][]byte{
				serialize(t, ethernet(layers.EthernetTypeIPv4), ip4, &layers.UDP{}), serialize(t, ethernet(layers.EthernetTypeIPv6), ip6, &layers.UDP{}),
			} {
				f, before := mustParse(t, b), bytes.Clone(b)
				ok := DecapECN(f, 0x50|uint8(out))
				switch {
				case now == drop:
					if ok || !bytes.Equal(b, before) {
						t.Errorf("inner %d, outer %d: not dropped", in, out)
					}
				case !ok || f.TOS() != 0xb8|now:
					t.Errorf("inner %d, outer %d: %#x, %v, want %#x", in, out, f.TOS(), ok, 0xb8|now)
				default:
					decode(t, b)
				}
			}
		}
	}
	if !DecapECN(mustParse(t, AppendARPRequest(nil, macA, a4, b4)), 3) {
		t.Error("ARP dropped")
	}
}
