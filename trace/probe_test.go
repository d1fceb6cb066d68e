package trace

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

func given(p client.Packet, v6 bool) *addressed {
	a := &addressed{probe: newProbe(p), from: netip.MustParseAddr("10.0.0.11"), to: netip.MustParseAddr("10.0.0.12"),
		fromMAC: packet.MustParseMAC("02:00:00:00:00:01"), toMAC: packet.MustParseMAC("02:00:00:00:00:02")}
	if v6 {
		a.from, a.to = netip.MustParseAddr("fd00:10::11"), netip.MustParseAddr("fd00:10::12")
	}
	return a
}

// TestFrame: every kind of probe is what the flags say, and other parsers find its checksums right.
func TestFrame(t *testing.T) {
	type want struct {
		Proto          uint8
		SrcPort, DPort uint16
		TTL            uint8
		Len            int
	}
	base := client.Packet{TTL: 7}
	unreachable := uint8(3)
	for _, tc := range []struct {
		name   string
		edit   func(*client.Packet)
		v4, v6 want
	}{
		{"icmp", func(p *client.Packet) { p.Proto = "icmp" }, want{1, 8 << 8, 1, 7, 28}, want{58, 128 << 8, 1, 7, 48}},
		{"icmp-type", func(p *client.Packet) { p.Proto, p.ICMPType = "icmp", &unreachable }, want{1, 3 << 8, 0, 7, 28}, want{58, 3 << 8, 0, 7, 48}},
		{"tcp", func(p *client.Packet) { p.Proto = "tcp" }, want{6, 40000, 80, 7, 40}, want{6, 40000, 80, 7, 60}},
		{"udp", func(p *client.Packet) { p.Proto, p.Len = "udp", 1001 }, want{17, 40000, 80, 7, 1001}, want{17, 40000, 80, 7, 1001}},
		{"sctp", func(p *client.Packet) { p.Proto = "sctp" }, want{132, 40000, 80, 7, 32}, want{132, 40000, 80, 7, 52}},
		{"number", func(p *client.Packet) { p.Proto, p.Len = "47", 100 }, want{47, 0, 0, 7, 100}, want{47, 0, 0, 7, 100}},
	} {
		for _, v6 := range []bool{false, true} {
			p, expected := base, tc.v4
			if v6 {
				expected = tc.v6
			}
			tc.edit(&p)
			data, err := given(p, v6).frame()
			if err != nil {
				t.Errorf("%s v6=%t: %v", tc.name, v6, err)
				continue
			}
			var f packet.Frame
			if err := packet.Parse(data, &f); err != nil {
				t.Errorf("%s v6=%t: %v", tc.name, v6, err)
				continue
			}
			k := flow.KeyOf(&f, 1)
			if d := cmp.Diff(expected, want{k.Proto, k.SrcPort, k.DstPort, f.TTL(), f.IPLen()}); d != "" {
				t.Errorf("%s v6=%t (-want +got):\n%s", tc.name, v6, d)
			}
			other := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
			if other.ErrorLayer() != nil && tc.name != "number" {
				t.Errorf("%s v6=%t: %v", tc.name, v6, other.ErrorLayer().Error())
			}
			for _, l := range other.Layers() {
				if l, ok := l.(interface {
					SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
				}); ok {
					if err := l.SetNetworkLayerForChecksum(other.NetworkLayer()); err != nil {
						t.Error(err)
					}
				}
			}
			if err, wrong := other.VerifyChecksums(); tc.name != "sctp" && (err != nil || len(wrong) > 0) {
				t.Errorf("%s v6=%t: checksums: %v, %v", tc.name, v6, err, wrong)
			}
		}
	}
}

func TestFrameErrors(t *testing.T) {
	for _, tc := range []struct {
		p    client.Packet
		v6   bool
		want string
	}{
		{client.Packet{Proto: "ip"}, false, `proto: "ip" is no protocol; use icmp`},
		{client.Packet{Proto: "256"}, true, `proto: "256" is no protocol`},
		{client.Packet{Proto: "tcp", Len: 39}, false, `len: "39" is too short for the packet's headers; use 40 or more`},
		{client.Packet{Proto: "tcp", Len: 59}, true, "use 60 or more"},
	} {
		if _, err := given(tc.p, tc.v6).frame(); err == nil || !strings.HasPrefix(err.Error(), tc.want) && !strings.HasSuffix(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", tc.p, err, tc.want)
		}
	}
}
