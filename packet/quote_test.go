package packet

import (
	"bytes"
	"net/netip"
	"testing"
)

// TestRewriteQuote: an error about a translated packet quotes it as its sender sent it, to the last byte: its own checksum too (RFC 5508 section 4.2).
func TestRewriteQuote(t *testing.T) {
	a := netip.MustParseAddr
	mac1, mac2 := MAC{2, 0, 0, 0, 0, 1}, MAC{2, 0, 0, 0, 0, 2}
	datagram := func(src, dst string, port uint16) []byte {
		return AppendUDP(nil, &UDP{SrcMAC: mac1, DstMAC: mac2, Src: a(src), Dst: a(dst), SrcPort: port, DstPort: 53, Payload: []byte("what is asked")})
	}
	ping := func(src, dst string, id uint16) []byte {
		b := AppendEchoRequest(nil, a(src), a(dst), id, 7)
		copy(b[0:], mac2[:])
		copy(b[6:], mac1[:])
		return b
	}
	for name, build := range map[string]func(src, dst string, port uint16) []byte{"UDP": datagram, "echo": ping} {
		for _, x := range []struct{ inside, outside, server string }{{"10.1.0.1", "198.51.100.1", "198.51.100.9"}, {"fd01::1", "2001:db8::1", "2001:db8::9"}} {
			sent, seen := build(x.inside, x.server, 1000), build(x.outside, x.server, 4000)
			var f Frame
			if err := Parse(seen, &f); err != nil {
				t.Fatal(err)
			}
			b, err := AppendICMPError(nil, &f, &ICMPError{Kind: HostUnreachable, Src: a(x.server), SrcMAC: mac2, DstMAC: mac1})
			if err != nil {
				t.Fatal(err)
			}
			if err := Parse(b, &f); err != nil {
				t.Fatal(err)
			}
			q, _ := Quote(&f)
			src, dst := uint16(1000), uint16(53)
			if name == "echo" {
				src, dst = q.SrcPort, 1000
			}
			if err := RewriteQuote(b, &f, a(x.inside), a(x.server), src, dst); err != nil {
				t.Fatal(err)
			}
			if got, want := b[f.L4+ICMPLen:], sent[EthernetLen:]; !bytes.Equal(got, want) {
				t.Errorf("%s of %s is quoted as\n%x, was sent as\n%x", name, x.inside, got, want)
			}
			if !f.Intact() {
				t.Errorf("%s of %s: the error's own checksum", name, x.inside)
			}
			b[len(b)-1]++
			if f.Intact() {
				t.Errorf("%s of %s: an error that was damaged is intact", name, x.inside)
			}
		}
	}
}
