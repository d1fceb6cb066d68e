package fabric

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/packet"
)

// udpFrame is a UDP packet from link 1's edge to an address.
func udpFrame(src, dst string, ttl uint8) []byte {
	return packet.AppendUDP(nil, &packet.UDP{
		SrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}, DstMAC: portMAC(1), Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst),
		SrcPort: 1, DstPort: 2, TTL: ttl, Payload: make([]byte, 1000),
	})
}

func twoLinks(t testing.TB) (f *Fabric, in, out *Port) {
	f, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	in, err = f.Plug(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	out, err = f.Plug(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, edge := range []netip.Prefix{out.Edge4, out.Edge6} {
		out.learn(edge.Addr(), packet.MAC{2, 0, 0, 0, 0, 2})
	}
	return f, in, out
}

func TestWhatIsNotForwarded(t *testing.T) {
	damaged := udpFrame("10.0.1.2", "10.0.2.2", 9)
	damaged[14+8]++ // TTL, without the checksum
	foreign := udpFrame("10.0.1.2", "10.0.2.2", 9)
	foreign[5] = 99
	for name, test := range map[string]struct {
		frame []byte
		want  Counters
	}{
		"v4":               {udpFrame("10.0.1.2", "10.0.2.2", 9), Counters{Forwarded: 1}},
		"v6":               {udpFrame("fd00:1::2", "fd00:2::2", 9), Counters{Forwarded: 1}},
		"v4 TTL":           {udpFrame("10.0.1.2", "10.0.2.2", 1), Counters{TTLExceeded: 1, Errors: 1}},
		"v6 TTL":           {udpFrame("fd00:1::2", "fd00:2::2", 1), Counters{TTLExceeded: 1, Errors: 1}},
		"v4 no route":      {udpFrame("10.0.1.2", "10.9.2.2", 9), Counters{NoRoute: 1, Errors: 1}},
		"v6 no route":      {udpFrame("fd00:1::2", "fd09::", 9), Counters{NoRoute: 1, Errors: 1}},
		"v4 own":           {udpFrame("10.0.1.2", "10.0.2.1", 1), Counters{Local: 1, Errors: 1}},
		"v6 link-local":    {udpFrame("fe80::2", "fd00:2::2", 9), Counters{Foreign: 1}},
		"v4 loopback":      {udpFrame("127.0.0.1", "10.0.2.2", 9), Counters{Foreign: 1}},
		"checksum":         {damaged, Counters{Malformed: 1}},
		"other MAC":        {foreign, Counters{Foreign: 1}},
		"cut short":        {udpFrame("fd00:1::2", "fd00:2::2", 9)[:500], Counters{Malformed: 1}},
		"cut in a header":  {udpFrame("fd00:1::2", "fd00:2::2", 9)[:50], Counters{Malformed: 1}},
		"longer than link": {append(udpFrame("10.0.1.2", "10.0.2.2", 9), make([]byte, 1000)...), Counters{Malformed: 1}},
		"other EtherType":  {append(append([]byte{}, udpFrame("10.0.1.2", "10.0.2.2", 9)[:12]...), 0x88, 0xcc, 1), Counters{Foreign: 1}},
	} {
		f, in, _ := twoLinks(t)
		in.receive(test.frame)
		if diff := cmp.Diff(test.want, f.Counters()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestForwardingDoesNotAllocate(t *testing.T) {
	for _, frame := range [][]byte{udpFrame("10.0.1.2", "10.0.2.2", 64), udpFrame("fd00:1::2", "fd00:2::2", 64)} {
		_, in, out := twoLinks(t)
		port, frames, sizes := out.Edge().Port(), [][]byte{make([]byte, 9300)}, make([]int, 1)
		work := make([]byte, len(frame))
		n := testing.AllocsPerRun(100, func() {
			copy(work, frame)
			in.receive(work)
			if n, err := port.Recv(frames, sizes); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		})
		if n != 0 {
			t.Errorf("%v allocations per packet, want 0", n)
		}
		var f packet.Frame
		if err := packet.Parse(frames[0][:sizes[0]], &f); err != nil || f.TTL() != 63 || !f.ChecksumOK() || f.Src() != portMAC(2) {
			t.Errorf("forwarded as TTL %d from %s, %v", f.TTL(), f.Src(), err)
		}
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(udpFrame("10.0.1.2", "10.0.2.2", 9))
	f.Add(udpFrame("fd00:1::2", "fd00:2::2", 1))
	f.Add(packet.AppendARPRequest(nil, packet.MAC{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.0.1.1")))
	f.Add(packet.AppendNS(nil, packet.MAC{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("fd00:1::2"), netip.MustParseAddr("fd00:1::1")))
	f.Fuzz(func(t *testing.T, frame []byte) {
		fab, in, out := twoLinks(t)
		in.receive(frame)
		c := fab.Counters()
		asked := in.Gateway().Counters().Sent + out.Gateway().Counters().Sent
		switch fates := c.Forwarded + c.Local + c.Malformed + c.Foreign + c.TTLExceeded + c.TooBig + c.NoRoute + c.HostUnreachable; {
		case fates > 1 || c.Errors > 1:
			t.Errorf("%x: more than one fate: %+v", frame, c)
		case fates == 0 && asked != 1:
			t.Errorf("%x: neither counted nor held for a neighbour", frame)
		}
	})
}

func BenchmarkForward(b *testing.B) {
	for name, frame := range map[string][]byte{"v4": udpFrame("10.0.1.2", "10.0.2.2", 64), "v6": udpFrame("fd00:1::2", "fd00:2::2", 64)} {
		b.Run(name, func(b *testing.B) {
			_, in, out := twoLinks(b)
			port, frames, sizes := out.Edge().Port(), [][]byte{make([]byte, 9300)}, make([]int, 1)
			work := make([]byte, len(frame))
			b.ReportAllocs()
			for b.Loop() {
				copy(work, frame)
				in.receive(work)
				port.Recv(frames, sizes)
			}
		})
	}
}
