package packet

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// segment builds a TCP segment by gopacket.
func segment(t testing.TB, src, dst netip.Addr, tcp layers.TCP, payload int) []byte {
	t.Helper()
	tcp.SrcPort, tcp.DstPort, tcp.Window = 40000, 80, 1000
	eth := &layers.Ethernet{SrcMAC: macA[:], DstMAC: macB[:], EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.SerializableLayer = &layers.IPv4{Version: 4, TTL: 60, Protocol: layers.IPProtocolTCP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	if src.Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 60, NextHeader: layers.IPProtocolTCP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	if err := tcp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, &tcp, gopacket.Payload(make([]byte, payload))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTCPReset: what RFC 9293 section 3.10.7.1 says of a segment for a connection that is not there.
func TestTCPReset(t *testing.T) {
	for _, pair := range [][2]netip.Addr{{a4, b4}, {a6, b6}} {
		for _, tt := range []struct {
			name     string
			in       layers.TCP
			payload  int
			seq, ack uint32
			acks     bool
		}{
			{"SYN", layers.TCP{SYN: true, Seq: 1000}, 0, 0, 1001, true},
			{"SYN with data", layers.TCP{SYN: true, Seq: 1000, Options: []layers.TCPOption{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 1}}}, 7, 0, 1008, true},
			{"FIN without ACK", layers.TCP{FIN: true, Seq: 0xffffffff}, 0, 0, 0, true},
			{"data", layers.TCP{ACK: true, PSH: true, Seq: 5, Ack: 77}, 100, 77, 0, false},
		} {
			orig := mustParse(t, segment(t, pair[0], pair[1], tt.in, tt.payload))
			b, err := AppendTCPReset(nil, orig)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			r := layer[*layers.TCP](t, decode(t, b))
			if !r.RST || r.SYN || r.FIN || r.ACK != tt.acks || r.Seq != tt.seq || r.Ack != tt.ack || r.SrcPort != 80 || r.DstPort != 40000 {
				t.Errorf("%s: %+v", tt.name, r)
			}
			f := mustParse(t, b)
			if f.Src() != macB || f.Dst() != macA || f.SrcAddr() != pair[1] || f.DstAddr() != pair[0] || !f.ChecksumOK() {
				t.Errorf("%s: %v", tt.name, decode(t, b))
			}
		}
		rst := mustParse(t, segment(t, pair[0], pair[1], layers.TCP{RST: true}, 0))
		if _, err := AppendTCPReset(nil, rst); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("a reset is answered: %v", err)
		}
		whole := segment(t, pair[0], pair[1], layers.TCP{SYN: true}, 0)
		whole[mustParse(t, whole).L4+12] = 0xf0 // data offset beyond the end
		if _, err := AppendTCPReset(nil, mustParse(t, whole)); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("a broken header is answered: %v", err)
		}
	}
	if _, err := AppendTCPReset(nil, mustParse(t, udp4(t, 9))); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("UDP is answered: %v", err)
	}
}
