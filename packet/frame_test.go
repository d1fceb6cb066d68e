package packet

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket/layers"
)

// fragment6 puts a fragment header in front of the payload of an untagged IPv6 frame.
func fragment6(b []byte, offset uint16, more byte) []byte {
	r := append([]byte{}, b[:54]...)
	r[20] = ProtoFragment
	n := len(b) - 54 + 8
	r[18], r[19] = byte(n>>8), byte(n)
	r = append(r, b[20], 0, byte(offset>>5), byte(offset<<3)|more, 1, 2, 3, 4)
	return append(r, b[54:]...)
}

func TestParse(t *testing.T) {
	options := ip4(layers.IPProtocolUDP)
	options.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	sctp := func(b []byte, at int, typ byte) []byte { return with(b, at, typ) }
	tests := []struct {
		name string
		in   []byte
		want Frame
	}{
		{"udp4", udp4(t, 5), Frame{L3: 14, L4: 34, EtherType: 0x800, Proto: 17, SrcPort: 30001, DstPort: 30002}},
		{"udp6", udp6(t, 5), Frame{L3: 14, L4: 54, EtherType: 0x86dd, Proto: 17, SrcPort: 30001, DstPort: 30002}},
		{"tcp6", tcp6(t), Frame{L3: 14, L4: 54, EtherType: 0x86dd, Proto: 6, SrcPort: 30001, DstPort: 80, TCPFlags: TCPSyn | TCPAck}},
		{"tagged", tagged(udp6(t, 5), 0xabc), Frame{L3: 18, L4: 58, EtherType: 0x86dd, VLAN: 0xabc, Tagged: true, Proto: 17, SrcPort: 30001, DstPort: 30002}},
		{"second tag is opaque", tagged(tagged(udp4(t, 5), 2), 1), Frame{EtherType: 0x8100, VLAN: 1, Tagged: true}},
		{"802.1ad is opaque", with(tagged(udp4(t, 5), 1), 12, 0x88, 0xa8), Frame{EtherType: 0x88a8}},
		{"options", serialize(t, ethernet(layers.EthernetTypeIPv4), options, &layers.UDP{SrcPort: 1, DstPort: 2}),
			Frame{L3: 14, L4: 38, EtherType: 0x800, Proto: 17, SrcPort: 1, DstPort: 2}},
		{"first fragment", with(udp4(t, 8), 20, 0x20, 0), Frame{L3: 14, L4: 34, EtherType: 0x800, Proto: 17, Frag: FragFirst, SrcPort: 30001, DstPort: 30002}},
		{"later fragment", with(udp4(t, 8), 20, 0x20, 1), Frame{L3: 14, EtherType: 0x800, Proto: 17, Frag: FragLater}},
		{"last fragment, nothing in it", with(udp4(t, 8), 20, 0, 1)[:34], Frame{L3: 14, EtherType: 0x800, Proto: 17, Frag: FragLater}},
		{"don't fragment", with(udp4(t, 8), 20, 0x40, 0), Frame{L3: 14, L4: 34, EtherType: 0x800, Proto: 17, SrcPort: 30001, DstPort: 30002}},
		{"first fragment 6", fragment6(udp6(t, 8), 0, 1), Frame{L3: 14, L4: 62, EtherType: 0x86dd, Proto: 17, Frag: FragFirst, SrcPort: 30001, DstPort: 30002}},
		{"later fragment 6", fragment6(udp6(t, 8), 1, 0), Frame{L3: 14, EtherType: 0x86dd, Proto: 17, Frag: FragLater}},
		{"atomic fragment 6", fragment6(udp6(t, 8), 0, 0), Frame{L3: 14, L4: 62, EtherType: 0x86dd, Proto: 17, SrcPort: 30001, DstPort: 30002}},
		{"sctp", sctp(udp4(t, 0), 23, ProtoSCTP)[:38], Frame{L3: 14, L4: 34, EtherType: 0x800, Proto: 132, SrcPort: 30001, DstPort: 30002}},
		{"echo", echo4(t, 3), Frame{L3: 14, L4: 34, EtherType: 0x800, Proto: 1, SrcPort: 0x0800, DstPort: 0xbeef}},
		{"echo 6", echo6(t, 3), Frame{L3: 14, L4: 54, EtherType: 0x86dd, Proto: 58, SrcPort: 0x8000, DstPort: 0xbeef}},
		{"echo reply 6", with(echo6(t, 3), 54, 129), Frame{L3: 14, L4: 54, EtherType: 0x86dd, Proto: 58, SrcPort: 0x8100, DstPort: 0xbeef}},
		{"other ICMP has no id", with(echo4(t, 3), 34, 3, 4), Frame{L3: 14, L4: 34, EtherType: 0x800, Proto: 1, SrcPort: 0x0304}},
		{"ICMPv6 in IPv4", with(echo4(t, 3), 23, ProtoICMPv6), Frame{L3: 14, L4: 34, EtherType: 0x800, Proto: 58, SrcPort: 0x0800, DstPort: 0xbeef}},
		{"hop-by-hop is not looked through", with(udp6(t, 9), 20, 0), Frame{L3: 14, EtherType: 0x86dd}},
		{"fragment header behind IPv4 is a protocol", with(udp4(t, 9), 23, 44), Frame{L3: 14, EtherType: 0x800, Proto: 44}},
		{"arp", AppendARPRequest(nil, macA, a4, b4), Frame{EtherType: 0x806}},
		{"LLC", with(make([]byte, 14), 12, 0, 20), Frame{EtherType: 20}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, *mustParse(t, tt.in), cmpopts.IgnoreFields(Frame{}, "Data")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		need int // bytes that the headers need; each shorter prefix is truncated
	}{
		{"udp4", udp4(t, 5), 42}, {"udp6", udp6(t, 5), 62}, {"tagged udp4", tagged(udp4(t, 5), 1), 46},
		{"tcp6", tcp6(t), 74}, {"sctp", with(udp4(t, 0), 23, ProtoSCTP), 38}, {"echo", echo4(t, 9), 42}, {"echo 6", echo6(t, 9), 62},
		{"options", with(udp4(t, 60), 14, 0x4f), 82}, {"fragment 6", fragment6(udp6(t, 0), 0, 1), 70}, {"later fragment 6", fragment6(udp6(t, 0), 1, 0), 62},
		{"arp", AppendARPRequest(nil, macA, a4, b4), 14},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f Frame
			for n := range tt.in {
				err := Parse(tt.in[:n:n], &f)
				if n < tt.need && !errors.Is(err, ErrTruncated) || n >= tt.need && err != nil {
					t.Errorf("first %d bytes: %v, want %d needed", n, err, tt.need)
				}
			}
		})
	}
	for name, in := range map[string][]byte{
		"version 5": with(udp4(t, 0), 14, 0x55), "ihl 4": with(udp4(t, 0), 14, 0x44), "IPv6 as IPv4": with(udp6(t, 0), 12, 0x08, 0x00), "IPv4 as IPv6": with(udp4(t, 20), 12, 0x86, 0xdd),
	} {
		if err := Parse(in, new(Frame)); !errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v, want %v", name, err, ErrVersion)
		}
	}
}

func TestAccessors(t *testing.T) {
	for _, in := range [][]byte{udp4(t, 100), tagged(udp4(t, 100), 9), udp6(t, 100), tagged(udp6(t, 100), 9)} {
		in = append(in, 0, 0, 0) // padding
		f := mustParse(t, in)
		got := fmt.Sprint(f.Src(), f.Dst(), f.SrcAddr(), f.DstAddr(), f.TTL(), f.TOS(), f.Is4(), f.Is6(), f.DontFragment(), f.ChecksumOK(), f.IPLen()-f.IPHeaderLen(), len(f.IPPacket())-f.IPLen(), f.L2Len()-f.L3)
		want := fmt.Sprint(macA, macB, a4, b4, 61, 0xb9, true, false, false, true, 108, 0, 0)
		if f.Is6() {
			want = fmt.Sprint(macA, macB, a6, b6, 61, 0xb9, false, true, true, true, 108, 0, 0)
		}
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f := mustParse(t, AppendARPRequest(nil, macA, a4, b4))
	if f.SrcAddr().IsValid() || f.DstAddr().IsValid() || f.TTL() != 0 || f.TOS() != 0 || f.IPLen() != 0 || f.IPHeaderLen() != 0 || f.IPPacket() != nil || f.DontFragment() || !f.IsARP() {
		t.Error("ARP frame has IP fields")
	}
	if f := mustParse(t, with(udp4(t, 0), 16, 0, 19)); f.IPPacket() != nil {
		t.Error("IP packet shorter than its header")
	}
	if f := mustParse(t, with(udp4(t, 0), 24, 0, 0)); f.ChecksumOK() {
		t.Error("wrong header checksum accepted")
	}
	if !mustParse(t, with(udp4(t, 8), 20, 0x40, 0)).DontFragment() {
		t.Error("DF not seen")
	}
}

func TestUntag(t *testing.T) {
	for _, plain := range [][]byte{udp4(t, 5), tcp6(t), fragment6(udp6(t, 8), 1, 0), AppendARPRequest(nil, macA, a4, b4), tagged(udp4(t, 5), 2)} {
		f := mustParse(t, tagged(plain, 77))
		f.Untag()
		if !bytes.Equal(f.Data, plain) {
			t.Errorf("got  %x\nwant %x", f.Data, plain)
		}
		var again Frame
		if err := ParseUntagged(plain, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&again, f); diff != "" { // what was behind a second tag is opaque
			t.Error(diff)
		}
		f.Untag()
		if !bytes.Equal(f.Data, plain) {
			t.Error("an untagged frame changed")
		}
	}
}

// TestParseOracle compares with gopacket on well-formed frames.
func TestParseOracle(t *testing.T) {
	for _, b := range [][]byte{udp4(t, 9), udp6(t, 9), tcp6(t), echo4(t, 9), echo6(t, 9)} {
		f, p := mustParse(t, b), decode(t, b)
		n := p.NetworkLayer()
		if f.L3+f.IPHeaderLen() != f.L4 || !bytes.Equal(f.Data[f.L4:f.L3+f.IPLen()], n.LayerPayload()) {
			t.Errorf("L4 at %d of\n%v", f.L4, p)
		}
		if l := p.TransportLayer(); l != nil {
			src, dst := l.TransportFlow().Endpoints()
			if got, want := fmt.Sprint(f.SrcPort, " ", f.DstPort), src.String()+" "+dst.String(); got != want {
				t.Errorf("ports %s, want %s", got, want)
			}
		}
		if src, dst := n.NetworkFlow().Endpoints(); src.String() != f.SrcAddr().String() || dst.String() != f.DstAddr().String() {
			t.Errorf("%v to %v, want %v", f.SrcAddr(), f.DstAddr(), n.NetworkFlow())
		}
	}
}

func TestMAC(t *testing.T) {
	for s, want := range map[string]MAC{
		"02:00:00:00:00:0a": macA, "02-00-00-00-00-0A": macA, "ff:ff:ff:ff:ff:ff": Broadcast(), "00:00:00:00:00:00": {},
	} {
		if got, err := ParseMAC(s); err != nil || got != want {
			t.Errorf("ParseMAC(%q) = %v, %v", s, got, err)
		}
		if got := MACFromUint64(want.Uint64()); got != want {
			t.Errorf("%v by Uint64 is %v", want, got)
		}
	}
	for _, s := range []string{"", "02:00:00:00:00", "02:00:00:00:00:0g", "02:00:00:00-00:0a", "0200.0000.000a...", "02:00:00:00:00:0a:0b", "02x00x00x00x00x0a", "02:00:00:00:00:0:"} {
		if _, err := ParseMAC(s); !errors.Is(err, errMAC) {
			t.Errorf("ParseMAC(%q): %v", s, err)
		}
	}
	text, _ := macB.MarshalText()
	var m MAC
	if err := m.UnmarshalText(text); err != nil || m != macB || string(text) != macB.String() {
		t.Errorf("by text %s: %v, %v", text, m, err)
	}
	if err := m.UnmarshalText([]byte("x")); err == nil || m != macB {
		t.Errorf("bad text: %v, %v", m, err)
	}
	if !Broadcast().IsMulticast() || !Broadcast().IsBroadcast() || macA.IsMulticast() || (MAC{}).IsUnicast() || !(MAC{}).IsZero() || !macA.IsUnicast() || (MAC{1}).IsUnicast() {
		t.Error("classes of MACs")
	}
}
