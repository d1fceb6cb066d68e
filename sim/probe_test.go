package sim

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

func syn(src, dst string) []byte {
	return packet.AppendTCP(nil, &packet.TCP{Src: ip(src), Dst: ip(dst), SrcPort: 61500, DstPort: 8080, Flags: packet.TCPSyn})
}

// TestProbe: a monitor's packet leaves by the routes of its router, to a member on the link or behind another router, with their MACs; where the next hop is not
// known it is asked for, and a probe that can't leave is told to nobody.
func TestProbe(t *testing.T) {
	l, _ := balanceLab(t, monitored)
	source := l.port("edge-web")
	for _, x := range []struct{ src, dst, out, mac string }{
		{"10.1.0.1", "10.1.0.11", "a1", "0a:01"}, {"2001:db8:1::1", "2001:db8:1::12", "a2", "0a:02"}, {"10.1.0.1", "203.0.113.9", "uplink", "ff:01"}, {"2001:db8:1::1", "2001:db8:113::9", "uplink", "ff:01"},
	} {
		l.sim.Probe(l.snap, source, syn(x.src, x.dst), &l.res)
		if len(l.res.Originated) != 1 || len(l.res.Effects) != 0 {
			t.Fatalf("%s: %d packets, effects %+v", x.dst, len(l.res.Originated), l.res.Effects)
		}
		o := l.res.Originated[0]
		f := parse(t, o.Frame)
		if o.Dest != l.port(x.out).Dest() || o.Kind != OriginProbe || f.Dst() != mac(x.mac) || f.DstAddr() != ip(x.dst) || f.SrcAddr() != ip(x.src) || !f.ChecksumOK() {
			t.Errorf("%s leaves at %v: %x", x.dst, o.Dest, o.Frame)
		}
	}
	l.sim.Probe(l.snap, source, syn("10.1.0.1", "10.1.0.77"), &l.res)
	if len(l.res.Effects) != 1 || l.res.Effects[0].Kind != AskNeighbour || l.res.Effects[0].Hold || len(l.res.Originated) == 0 || !parse(t, l.res.Originated[0].Frame).IsARP() {
		t.Errorf("an unknown neighbour: %+v, %+v", l.res.Effects, l.res.Originated)
	}
	for _, dst := range []string{"192.0.2.1", "10.1.0.1", "224.0.0.1"} { // a reject route, the router itself, a group
		l.sim.Probe(l.snap, source, syn("10.1.0.1", dst), &l.res)
		if len(l.res.Originated)+len(l.res.Effects) != 0 {
			t.Errorf("%s: %+v, %+v", dst, l.res.Effects, l.res.Originated)
		}
	}
}

// TestProbeAnswer: what a member sends to the address that it is probed from goes to the monitor, and is no flow; other packets there are as ever.
func TestProbeAnswer(t *testing.T) {
	l, _ := balanceLab(t, monitored)
	pool := l.pool().ID
	answer := func(src, dst string) []byte {
		return packet.AppendTCP(nil, &packet.TCP{SrcMAC: mac("0a:01"), DstMAC: mac("ee:01"), Src: ip(src), Dst: ip(dst), SrcPort: 8080, DstPort: 61500, Flags: packet.TCPSyn | packet.TCPAck})
	}
	hands := func() bool {
		return slices.Contains(l.res.Effects, Effect{Kind: ProbeAnswer, Device: pool})
	}
	for _, x := range [][2]string{{"10.1.0.11", "10.1.0.1"}, {"2001:db8:1::11", "2001:db8:1::1"}} {
		l.run("a1", answer(x[0], x[1]))
		if o := l.res.Outcomes[0]; o.Verdict != Consumed || !hands() || l.res.Installable {
			t.Errorf("%v: %+v, effects %+v\n%v", x, o, l.res.Effects, l.res.Trace)
		}
		if !slices.Contains(l.res.Deps, topology.VPortDep(l.port("edge-web"))) {
			t.Error("no dependency on the port that probes")
		}
		from := netip.MustParseAddr(x[0])
		echo := parse(t, packet.AppendEchoRequest(nil, netip.MustParseAddr(x[1]), from, 7, 8))
		b, err := packet.AppendEchoReply(nil, echo)
		if err != nil {
			t.Fatal(err)
		}
		m, r := mac("0a:01"), mac("ee:01")
		copy(b, r[:])
		copy(b[6:], m[:])
		l.run("a1", b)
		if o := l.res.Outcomes[0]; o.Verdict != Consumed || !hands() {
			t.Errorf("echo reply of %v: %+v\n%v", from, o, l.res.Trace)
		}
		ping := packet.AppendEchoRequest(nil, from, netip.MustParseAddr(x[1]), 7, 8)
		copy(ping, r[:])
		copy(ping[6:], m[:])
		l.run("a1", ping)
		if hands() || len(l.res.Originated) != 1 || l.res.Originated[0].Kind != OriginEcho {
			t.Errorf("a ping of a member is not answered: %+v", l.res.Originated)
		}
	}
	l.run("a1", answer("10.1.0.99", "10.1.0.1"))
	if o := l.res.Outcomes[0]; o.Drop != DropLocal || hands() || l.res.Installable {
		t.Errorf("of a stranger: %+v, effects %+v", o, l.res.Effects)
	}
	l.run("a1", answer("10.1.0.11", "100.64.0.2"))
	if o := l.res.Outcomes[0]; o.Drop != DropLocal || hands() || !l.res.Installable {
		t.Errorf("to another port's address: %+v, effects %+v", o, l.res.Effects)
	}
}
