package packet

import (
	"bytes"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// TestAppendTCP: a segment is byte for byte what gopacket builds.
func TestAppendTCP(t *testing.T) {
	for _, mss := range []uint16{0, 1220} {
		for _, n := range []int{0, 1, 700} {
			for _, v6 := range []bool{false, true} {
				tcp := layers.TCP{SrcPort: 61000, DstPort: 8080, Seq: 0x01020304, Ack: 0x05060708, SYN: true, ACK: true, Window: 1024}
				if mss != 0 {
					tcp.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{byte(mss >> 8), byte(mss)}}}
				}
				want := []byte(nil)
				segment := TCP{SrcPort: 61000, DstPort: 8080, Seq: tcp.Seq, Ack: tcp.Ack, Flags: TCPSyn | TCPAck, Window: 1024, MSS: mss, Payload: pattern(n)}
				if v6 {
					ip := ip6(layers.IPProtocolTCP)
					ip.HopLimit, ip.TrafficClass, ip.FlowLabel = DefaultTTL, 0, 0
					want = serialize(t, ethernet(layers.EthernetTypeIPv6), ip, &tcp, payload(n))
					segment.Src, segment.Dst = a6, b6
				} else {
					ip := ip4(layers.IPProtocolTCP)
					ip.TTL, ip.TOS, ip.Id, ip.Flags, ip.Options = DefaultTTL, 0, 0, layers.IPv4DontFragment, nil
					want = serialize(t, ethernet(layers.EthernetTypeIPv4), ip, &tcp, payload(n))
					segment.Src, segment.Dst = a4, b4
				}
				segment.SrcMAC, segment.DstMAC = MAC(want[6:12]), MAC(want[:6])
				if got := AppendTCP([]byte{1}, &segment); !bytes.Equal(got[1:], want) {
					t.Errorf("mss %d, %d bytes, IPv6 %v:\n got %x\nwant %x", mss, n, v6, got[1:], want)
				}
				if len(want) == 0 || gopacket.NewPacket(want, layers.LayerTypeEthernet, gopacket.Default).ErrorLayer() != nil {
					t.Error("not a packet")
				}
			}
		}
	}
}
