package packet

import "testing"

func BenchmarkParse(b *testing.B) {
	for name, in := range map[string][]byte{"v4/udp": udp4(b, 64), "v6/tcp": tcp6(b), "v6/tagged": tagged(tcp6(b), 1)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var f Frame
			for b.Loop() {
				if Parse(in, &f) != nil {
					b.Fatal("error")
				}
			}
		})
	}
}

// operations are those on packet paths; none may allocate.
func operations(t testing.TB) map[string]func() {
	buf := make([]byte, 0, 2048)
	var f Frame
	arp, ns := mustParse(t, AppendARPRequest(nil, macA, a4, b4)), mustParse(t, AppendNS(nil, macA, a6, b6))
	ping4, ping6 := mustParse(t, echo4(t, 56)), mustParse(t, echo6(t, 56))
	big4, big6 := mustParse(t, udp4(t, 1400)), mustParse(t, udp6(t, 1400))
	in := tagged(tcp6(t), 1)
	return map[string]func(){
		"Parse/v6/tagged": func() { _ = Parse(in, &f) },
		"Addr/v6":         func() { _, _ = big6.SrcAddr(), big6.DstAddr() },
		"Checksum/1400":   func() { _ = Checksum(big4.Data[34:]) },
		"ARPReply": func() {
			q, _ := arp.ARP()
			_ = AppendARPReply(buf, &q, macB)
		},
		"NA": func() {
			q, _ := ns.ND()
			_ = AppendNA(buf, &q, macA, macB, true)
		},
		"EchoReply/v4": func() { _, _ = AppendEchoReply(buf, ping4) },
		"EchoReply/v6": func() { _, _ = AppendEchoReply(buf, ping6) },
		"ICMPError/v4": func() { _, _ = AppendICMPError(buf, big4, &ICMPError{Kind: TTLExceeded, Src: r4}) },
		"ICMPError/v6": func() { _, _ = AppendICMPError(buf, big6, &ICMPError{Kind: TooBig, MTU: 1300, Src: r6}) },
		"UDP/v6":       func() { _ = AppendUDP(buf, &UDP{Src: a6, Dst: b6, Payload: in}) },
		"Fragment/v4": func() {
			g, _ := NewFragmenter(big4, 576)
			for _, ok := g.Next(buf); ok; _, ok = g.Next(buf) {
			}
		},
	}
}

func TestNoAllocations(t *testing.T) {
	for name, f := range operations(t) {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for name, f := range operations(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
