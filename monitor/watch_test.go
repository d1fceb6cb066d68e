package monitor

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

const network = `
{apiVersion: weft/v1, kind: Router, metadata: {name: gw}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan}, spec: {device: router/gw, addresses: [10.1.0.254/24, "fd01::fe/64"]}}
---
apiVersion: weft/v1
kind: Pool
metadata: {name: web}
spec:
  members: [{address: 10.1.0.1, port: 8080}, {address: "fd01::1", port: 8080}]
  monitor: {type: %s, interval: 4, timeout: 2, rise: 2, fall: 3, source: gw-lan}
`

// bench is a watch on a network of which the test is all.
type bench struct {
	t      *testing.T
	w      *Watch
	pool   *topology.Pool
	source *topology.VPort
	now    time.Duration
	sent   [][]byte
	found  []string
}

func (b *bench) Send(frame []byte) { b.sent = append(b.sent, slices.Clone(frame)) }
func (b *bench) Found(m topology.MemberKey, down bool, why string) {
	b.found = append(b.found, fmt.Sprint(m, " ", down, " ", why))
	b.pool.Member(m.Addr, m.Port, m.V6).Down = down
}

func newBench(t *testing.T, kind string) *bench {
	s, err := topology.Load("net.yaml", fmt.Appendf(nil, network, kind))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t}
	for p := range s.Pools() {
		b.pool = p
	}
	for p := range s.VPorts() {
		b.source = p
	}
	b.w = New(b, 1, 2)
	return b
}

// tick passes a second and returns the probes of it, by member.
func (b *bench) tick() (probes [2]*packet.Frame) {
	b.t.Helper()
	b.sent = nil
	b.w.Tick(b.now, b.pool, b.source)
	b.now += time.Second - time.Millisecond // tickers are not exact
	for _, frame := range b.sent {
		f := new(packet.Frame)
		if err := packet.Parse(frame, f); err != nil || !f.ChecksumOK() {
			b.t.Fatalf("%x: %v", frame, err)
		}
		i := 0
		if f.Is6() {
			i = 1
		}
		if probes[i] != nil || f.DstAddr() != b.pool.Members[i].IP() || !b.source.HasAddr(f.SrcAddr()) {
			b.t.Fatalf("probe %x", frame)
		}
		probes[i] = f
	}
	return probes
}

// answer is what a healthy server says to a probe.
func answer(t *testing.T, f *packet.Frame, flags uint8) *packet.Frame {
	t.Helper()
	var b []byte
	if f.Proto == packet.ProtoTCP {
		if f.TCPFlags != packet.TCPSyn || f.DstPort != 8080 || f.SrcPort < firstPort {
			t.Fatalf("probe %x", f.Data)
		}
		b = packet.AppendTCP(nil, &packet.TCP{
			SrcMAC: packet.MAC{2}, DstMAC: packet.MAC{4}, Src: f.DstAddr(), Dst: f.SrcAddr(), SrcPort: f.DstPort, DstPort: f.SrcPort,
			Seq: 77, Ack: binary.BigEndian.Uint32(f.Data[f.L4+4:]) + 1, Flags: flags,
		})
	} else {
		b, _ = packet.AppendEchoReply(nil, f)
	}
	a := new(packet.Frame)
	if err := packet.Parse(b, a); err != nil {
		t.Fatal(err)
	}
	return a
}

const synAck = packet.TCPSyn | packet.TCPAck

// TestWatch: members are probed each interval, again while they do not answer, and are down and up after so many probes in a row.
func TestWatch(t *testing.T) {
	for _, kind := range []string{"icmp", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			b := newBench(t, kind)
			counts := [2]int{}
			for range 40 {
				probes := b.tick()
				for i, f := range probes {
					if f == nil {
						continue
					}
					counts[i]++
					dead := i == 1 && b.now < 20*time.Second
					if !dead {
						b.sent = nil
						b.w.Answer(b.pool, answer(t, f, synAck))
						if kind == "tcp" && (len(b.sent) != 1 || b.sent[0][len(b.sent[0])-packet.TCPLen+13] != packet.TCPRst) {
							t.Fatalf("a connection that stands is answered by %x", b.sent)
						}
					}
				}
			}
			want := []string{"10.1.0.1:8080 false ", "[fd01::1]:8080 true no answer within 2s", "[fd01::1]:8080 false "}
			if !slices.Equal(b.found, want) {
				t.Errorf("found %q, want %q", b.found, want)
			}
			if counts[0] != 10 || counts[1] != 15 {
				t.Errorf("probes of each member in 40 s: %v, want 10, and 5 more of the one that did not answer for 20 s", counts)
			}
		})
	}
}

// TestRefused: a reset counts at once, and says so.
func TestRefused(t *testing.T) {
	b := newBench(t, "tcp")
	for range 12 {
		for _, f := range b.tick() {
			if f != nil {
				b.w.Answer(b.pool, answer(t, f, packet.TCPRst|packet.TCPAck))
			}
		}
	}
	if want := []string{"10.1.0.1:8080 true port 8080 refuses connections", "[fd01::1]:8080 true port 8080 refuses connections"}; !slices.Equal(b.found, want) {
		t.Errorf("found %q", b.found)
	}
}

// TestHTTP: a server is up if it answers with a status of success, and why it is not is told.
func TestHTTP(t *testing.T) {
	for _, x := range []struct {
		say  string
		fin  bool
		want string
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "false "},
		{"HTTP/1.0 302 Found\r\n\r\n", true, "false "},
		{"HTTP/1.1 503 Service Unavailable\r\n\r\n", false, "true answers status 503"},
		{"220 smtp.example ESMTP\r\n", false, "true answers something else than HTTP"},
		{"", true, "true answers something else than HTTP"},
		{"", false, "true no answer within 2s"},
	} {
		b := newBench(t, "http")
		for range 16 {
			for i, f := range b.tick() {
				switch {
				case f == nil || f.TCPFlags != packet.TCPSyn: // an answer is missing: asked again
				default:
					b.sent = nil
					b.w.Answer(b.pool, answer(t, f, synAck))
					ask := new(packet.Frame)
					if len(b.sent) != 1 || packet.Parse(b.sent[0], ask) != nil {
						t.Fatalf("%d segments", len(b.sent))
					}
					text := string(ask.Data[ask.L4+packet.TCPLen:])
					want := "GET / HTTP/1.1\r\nHost: " + b.pool.Members[i].String() + "\r\n"
					if !strings.HasPrefix(text, want) || !strings.HasSuffix(text, "\r\n\r\n") || ask.TCPFlags != packet.TCPAck|packet.TCPPsh {
						t.Fatalf("asks %q", text)
					}
					flags := uint8(packet.TCPAck)
					if x.fin {
						flags |= packet.TCPFin
					}
					reply := packet.AppendTCP(nil, &packet.TCP{
						SrcMAC: packet.MAC{2}, DstMAC: packet.MAC{4}, Src: ask.DstAddr(), Dst: ask.SrcAddr(), SrcPort: ask.DstPort, DstPort: ask.SrcPort, Flags: flags,
						Seq: 78, Ack: binary.BigEndian.Uint32(ask.Data[ask.L4+4:]) + uint32(len(text)), Payload: []byte(x.say),
					})
					r := new(packet.Frame)
					if packet.Parse(reply, r) != nil {
						t.Fatal("reply")
					}
					b.sent = nil
					b.w.Answer(b.pool, r)
					if x.say == "" && !x.fin {
						break
					}
					if len(b.sent) != 1 || b.sent[0][len(b.sent[0])-packet.TCPLen+13] != packet.TCPRst {
						t.Fatalf("the connection is not ended: %x", b.sent)
					}
				}
			}
		}
		if want := []string{"10.1.0.1:8080 " + x.want, "[fd01::1]:8080 " + x.want}; !slices.Equal(b.found, want) {
			t.Errorf("%q: found %q, want %q", x.say, b.found, want)
		}
	}
}

// TestForged: what does not answer a probe that was sent counts for nothing.
func TestForged(t *testing.T) {
	for _, kind := range []string{"icmp", "tcp"} {
		b := newBench(t, kind)
		probes := b.tick()
		for _, f := range probes {
			good := answer(t, f, synAck)
			addresses := good.L3 + 12
			if good.Is6() {
				addresses = good.L3 + 8
			}
			for at := addresses; at < len(good.Data); at++ {
				if kind == "tcp" && at >= addresses+(good.L4-addresses)/2 && (at < good.L4 || at >= good.L4+4 && (at < good.L4+8 || at >= good.L4+12)) {
					continue // its destination, which the router looks at, its own sequence number, and what else is its own choice
				}
				bad := slices.Clone(good.Data)
				bad[at] ^= 1
				x := new(packet.Frame)
				if packet.Parse(bad, x) == nil {
					b.w.Answer(b.pool, x)
				}
			}
		}
		if len(b.found) > 0 {
			t.Errorf("%s: forged answers are believed: %q", kind, b.found)
		}
		for _, f := range probes {
			b.w.Answer(b.pool, answer(t, f, synAck))
			b.w.Answer(b.pool, answer(t, f, synAck))
		}
		if len(b.found) != 2 {
			t.Errorf("%s: found %q", kind, b.found)
		}
	}
}

// TestTakeover: who begins with a member that is known to be down needs as many answers as ever; and a member that is gone is not probed.
func TestTakeover(t *testing.T) {
	b := newBench(t, "icmp")
	b.pool.Members[0].Down = true
	for range 4 {
		if f := b.tick()[0]; f != nil {
			b.w.Answer(b.pool, answer(t, f, 0))
		}
	}
	if len(b.found) != 0 {
		t.Fatalf("after one answer %q", b.found)
	}
	if f := b.tick()[0]; f == nil {
		t.Fatal("no probe")
	} else {
		b.w.Answer(b.pool, answer(t, f, 0))
	}
	if !slices.Equal(b.found, []string{"10.1.0.1:8080 false "}) {
		t.Errorf("found %q", b.found)
	}
	b.pool.Members = b.pool.Members[:1]
	for range 8 {
		if b.tick()[1] != nil {
			t.Error("a member that is gone is probed")
		}
	}
	if len(b.w.members) != 1 {
		t.Errorf("members %v", b.w.members)
	}
}

// TestForgotten: what the pool does not say any more, though it is so, is told again; a monitor that is another begins anew.
func TestForgotten(t *testing.T) {
	b := newBench(t, "icmp")
	for range 16 {
		b.tick()
	}
	dead := []string{"10.1.0.1:8080 true no answer within 2s", "[fd01::1]:8080 true no answer within 2s"}
	if !slices.Equal(b.found, dead) {
		t.Fatalf("found %q", b.found)
	}
	b.found = nil
	b.pool.Members[0].Down = false
	for range 8 {
		b.tick()
	}
	if !slices.Equal(b.found, dead[:1]) {
		t.Errorf("found %q", b.found)
	}
	b.found = nil
	other := *b.pool.Monitor
	other.Fall = 1
	b.pool.Monitor = &other
	b.pool.Members[0].Down, b.pool.Members[1].Down = false, false
	for range 4 {
		b.tick()
	}
	if !slices.Equal(b.found, dead) {
		t.Errorf("another monitor found %q", b.found)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(packet.AppendTCP(nil, &packet.TCP{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.1.0.254"), SrcPort: 8080, DstPort: firstPort, Flags: synAck}))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench(t, "tcp")
		b.tick()
		x := new(packet.Frame)
		if packet.Parse(data, x) == nil {
			b.w.Answer(b.pool, x)
		}
	})
}
