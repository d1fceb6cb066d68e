package bfd

import "testing"

// BenchmarkReceive is what a packet costs until it waits for its session.
func BenchmarkReceive(b *testing.B) {
	for _, name := range []string{"IPv4", "IPv6"} {
		b.Run(name+"/hit", func(b *testing.B) {
			p, s, _ := opened(b, endsOf[name])
			known := first
			known.State, known.Yours = Up, s.Status().Mine
			ip := datagramTo(endsOf[name], known, nil)
			b.ReportAllocs()
			for b.Loop() {
				p.Receive(ip)
				<-s.in
			}
		})
	}
}

// BenchmarkSend is what a packet costs until the port sends it.
func BenchmarkSend(b *testing.B) {
	for _, name := range []string{"IPv4", "IPv6"} {
		b.Run(name, func(b *testing.B) {
			_, s, _ := opened(b, endsOf[name])
			b.ReportAllocs()
			for b.Loop() {
				s.send(s.m.packet(false))
			}
		})
	}
}
