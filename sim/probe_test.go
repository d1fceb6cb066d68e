package sim

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
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

// TestSpeak: a packet of a routing protocol leaves by its own port to a neighbour on the link, though a route leads elsewhere; to one that is further away as the routes say.
func TestSpeak(t *testing.T) {
	l := newLab(t, `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {routes: [
  {dst: 192.0.2.9/32, via: 192.0.3.9, port: up2}, {dst: "2001:db8:a::9/128", via: "2001:db8:b::9", port: up2},
  {dst: 203.0.113.0/24, via: 192.0.3.9, port: up2}, {dst: "2001:db8:113::/48", via: "2001:db8:b::9", port: up2}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up1, tenant: isp}, spec: {device: router/core, mac: "02:00:00:00:cc:01", addresses: [192.0.2.1/24, "2001:db8:a::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up2, tenant: isp}, spec: {device: router/core, mac: "02:00:00:00:cc:02", addresses: [192.0.3.1/24, "2001:db8:b::1/64"]}}
`)
	up1, up2 := l.port("up1"), l.port("up2")
	for _, x := range []struct {
		port flow.VPortID
		addr string
		mac  string
	}{{up1, "192.0.2.9", "ff:01"}, {up1, "2001:db8:a::9", "ff:01"}, {up2, "192.0.3.9", "ff:02"}, {up2, "2001:db8:b::9", "ff:02"}} {
		l.change(topology.Changes{Neighbours: []topology.Neighbour{{Port: x.port, Addr: ip(x.addr), MAC: mac(x.mac), State: topology.NeighbourOK}}})
	}
	for _, x := range []struct {
		src, dst string
		out      flow.VPortID
		mac      string
	}{
		{"192.0.2.1", "192.0.2.9", up1, "ff:01"}, {"2001:db8:a::1", "2001:db8:a::9", up1, "ff:01"},
		{"192.0.2.1", "203.0.113.9", up2, "ff:02"}, {"2001:db8:a::1", "2001:db8:113::9", up2, "ff:02"},
	} {
		l.sim.Speak(l.snap, up1, syn(x.src, x.dst), &l.res)
		if len(l.res.Originated) != 1 || len(l.res.Effects) != 0 {
			t.Fatalf("%s: %d packets, effects %+v", x.dst, len(l.res.Originated), l.res.Effects)
		}
		if o := l.res.Originated[0]; o.Dest != x.out.Dest() || o.Kind != OriginSpeaker || parse(t, o.Frame).Dst() != mac(x.mac) {
			t.Errorf("%s leaves at %v: %x", x.dst, o.Dest, o.Frame)
		}
		l.sim.Probe(l.snap, up1, syn(x.src, x.dst), &l.res)
		if len(l.res.Originated) != 1 || l.res.Originated[0].Dest != up2.Dest() {
			t.Errorf("%s: a probe does not go by the routes: %+v", x.dst, l.res.Originated)
		}
	}
	l.sim.Speak(l.snap, up1, syn("192.0.2.1", "192.0.2.77"), &l.res)
	if len(l.res.Effects) != 1 || l.res.Effects[0].Kind != AskNeighbour || l.res.Effects[0].Port != up1 || len(l.res.Originated) != 1 || !parse(t, l.res.Originated[0].Frame).IsARP() {
		t.Errorf("an unknown neighbour: %+v, %+v", l.res.Effects, l.res.Originated)
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
