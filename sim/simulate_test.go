package sim

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

var cmpAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// withUplink makes the neighbours behind the uplink known.
func withUplink(l *lab) {
	for _, a := range []string{"198.51.100.1", "2001:db8:51::1"} {
		l.change(topology.Changes{Neighbours: []topology.Neighbour{{Port: l.port("uplink"), Addr: ip(a), MAC: mac("ff:01"), State: topology.NeighbourOK}}})
	}
}

func TestOutcomes(t *testing.T) {
	a1, a2, gw := mac("0a:01"), mac("0a:02"), mac("ee:01")
	routed := func(dec uint8, src, dst string) flow.Rewrite {
		return flow.Rewrite{SetMACs: true, SrcMAC: mac(src), DstMAC: mac(dst), TTLDec: dec}
	}
	type want struct {
		out        string // vport; "group web"; empty: not forwarded
		rewrite    flow.Rewrite
		drop       DropReason
		reject     bool
		notInst    string
		mask       string
		maxLen     uint16
		originated string // destination vport or group of the only one
		error      uint16 // ICMP type and code of it
	}
	for _, tt := range []struct {
		name string
		from string
		p    udp
		want want
	}{
		{"bridged v4", "a1", udp{from: a1, to: a2, src: "10.1.0.11", dst: "10.1.0.12"}, want{out: "a2", mask: "vport dst_mac"}},
		{"bridged v6", "a1", udp{from: a1, to: a2, src: "2001:db8:1::11", dst: "2001:db8:1::12"}, want{out: "a2", mask: "vport dst_mac"}},
		{"same port", "a1", udp{from: a1, to: a1, src: "10.1.0.11", dst: "10.1.0.12"}, want{drop: DropSamePort, mask: "vport dst_mac"}},
		{"unknown mac floods", "a1", udp{from: a1, to: mac("99:99"), src: "10.1.0.11", dst: "10.1.0.99"}, want{out: "group web", mask: "vport dst_mac"}},
		{"broadcast floods", "a1", udp{from: a1, to: packet.Broadcast(), src: "10.1.0.11", dst: "255.255.255.255"}, want{out: "group web", mask: "vport dst_mac&03:00:00:00:00:00"}},
		{"multicast source", "a1", udp{from: packet.Broadcast(), to: a2, src: "10.1.0.11", dst: "10.1.0.12"}, want{drop: DropInvalidSource, mask: "vport src_mac"}},
		{"two routers v4", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "203.0.113.9"}, want{out: "uplink", rewrite: routed(2, "cc:02", "ff:01"), mask: "vport dst_mac ether_type dst/24", maxLen: 1300}},
		{"two routers v6", "a1", udp{from: a1, to: gw, src: "2001:db8:1::11", dst: "2001:db8:113::9"}, want{out: "uplink", rewrite: routed(2, "cc:02", "ff:01"), mask: "vport dst_mac ether_type dst/48", maxLen: 1300}},
		{"back through one router", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "10.1.0.12"}, want{out: "a2", rewrite: routed(1, "ee:01", "0a:02"), mask: "vport dst_mac ether_type dst/32", maxLen: 1430}},
		{"in at the uplink", "uplink", udp{from: mac("ff:01"), to: mac("cc:02"), src: "203.0.113.9", dst: "10.1.0.12"}, want{out: "a2", rewrite: routed(2, "ee:01", "0a:02"), mask: "vport dst_mac ether_type dst/32", maxLen: 1300}},
		{"not the router's mac", "uplink", udp{from: mac("ff:01"), to: mac("cc:99"), src: "203.0.113.9", dst: "10.1.0.12"}, want{drop: DropNotOurMAC, mask: "vport dst_mac"}},
		{"a reserved group", "a1", udp{from: a1, to: packet.MAC{1, 0x80, 0xc2, 0, 0, 0x0e}, src: "10.1.0.11", dst: "224.0.0.5"}, want{drop: DropReserved, mask: "vport dst_mac&ff:ff:ff:ff:ff:f0"}},
		{"the first that is not reserved", "a1", udp{from: a1, to: packet.MAC{1, 0x80, 0xc2, 0, 0, 0x10}, src: "10.1.0.11", dst: "224.0.0.5"}, want{out: "group web", mask: "vport dst_mac&01:00:00:00:00:10"}},
		{"multicast at a router", "uplink", udp{from: mac("ff:01"), to: packet.MAC{1, 0, 0x5e, 0, 0, 5}, src: "203.0.113.9", dst: "224.0.0.5"}, want{drop: DropMulticast, mask: "vport dst_mac&01:00:00:00:00:00"}},
		{"no route v4", "uplink", udp{from: mac("ff:01"), to: mac("cc:02"), src: "198.51.100.1", dst: "8.8.8.8"}, want{drop: DropNoRoute, reject: true, mask: "vport dst_mac ether_type dst/7", originated: "uplink", error: 3 << 8}},
		{"no route v6", "uplink", udp{from: mac("ff:01"), to: mac("cc:02"), src: "2001:db8:51::1", dst: "2a00::1"}, want{drop: DropNoRoute, reject: true, mask: "vport dst_mac ether_type dst/5", originated: "uplink", error: 1 << 8}},
		{"no route, told two routers away", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "8.8.8.8"}, want{drop: DropNoRoute, reject: true, mask: "vport dst_mac ether_type dst/7", originated: "a1", error: 3 << 8}},
		{"reject route", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "192.0.2.5"}, want{drop: DropRejectRoute, reject: true, mask: "vport dst_mac ether_type dst/25", originated: "a1", error: 3<<8 | 13}},
		{"blackhole", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "192.0.2.200"}, want{drop: DropBlackhole, mask: "vport dst_mac ether_type dst/25"}},
		{"ttl at the first router", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "203.0.113.9", ttl: 1}, want{drop: DropTTL, notInst: "TTL expired", originated: "a1", error: 11 << 8}},
		{"ttl at the second router", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "203.0.113.9", ttl: 2}, want{drop: DropTTL, notInst: "TTL expired", originated: "a1", error: 11 << 8}},
		{"hop limit", "a1", udp{from: a1, to: gw, src: "2001:db8:1::11", dst: "2001:db8:113::9", ttl: 1}, want{drop: DropTTL, notInst: "TTL expired", originated: "a1", error: 3 << 8}},
		{"too big with DF", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "203.0.113.9", df: true, size: 1280}, want{drop: DropTooBig, notInst: "longer than the MTU", maxLen: 1300, originated: "a1", error: 3<<8 | 4}},
		{"too big v6", "a1", udp{from: a1, to: gw, src: "2001:db8:1::11", dst: "2001:db8:113::9", size: 1280}, want{drop: DropTooBig, notInst: "longer than the MTU", maxLen: 1300, originated: "a1", error: 2 << 8}},
		{"local, other protocol", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "10.1.0.1"}, want{drop: DropLocal, mask: "vport dst_mac ether_type dst/32 proto"}},
		{"loopback", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "127.0.0.1"}, want{drop: DropUnforwardable, mask: "vport dst_mac ether_type dst/8"}},
		{"directed broadcast", "uplink", udp{from: mac("ff:01"), to: mac("cc:02"), src: "203.0.113.9", dst: "198.51.100.255"}, want{drop: DropUnforwardable, mask: "vport dst_mac ether_type dst/32", maxLen: 1400}},
		{"no neighbour on a point-to-point link", "uplink", udp{from: mac("ff:01"), to: mac("cc:02"), src: "203.0.113.9", dst: "100.64.0.0"}, want{drop: DropNoNeighbour, reject: true, mask: "vport dst_mac ether_type dst/32", maxLen: 1300, originated: "uplink", error: 3<<8 | 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, twoTiers)
			withUplink(l)
			if tt.p.ttl == 0 {
				tt.p.ttl = 64
			}
			r := l.run(tt.from, tt.p.frame())
			t.Log("\n" + r.Trace.String())
			if len(r.Outcomes) != 1 {
				t.Fatalf("outcomes %+v", r.Outcomes)
			}
			o := r.Outcomes[0]
			want := Outcome{Verdict: Drop, Drop: tt.want.drop, Reject: tt.want.reject}
			if tt.want.out != "" {
				want = Outcome{Verdict: Forward, Rewrite: tt.want.rewrite}
				if g, ok := strings.CutPrefix(tt.want.out, "group "); ok {
					want.Dest = flow.Dest(l.bridge(g))
				} else {
					want.Dest = l.port(tt.want.out).Dest()
				}
			}
			if o != want {
				t.Errorf("outcome %+v, want %+v", o, want)
			}
			if r.NotInstallable != tt.want.notInst || r.Installable != (tt.want.notInst == "") {
				t.Errorf("installable %v %q", r.Installable, r.NotInstallable)
			}
			et := parse(t, tt.p.frame()).EtherType
			if got := maskText(r.Mask, et); r.Installable && got != tt.want.mask {
				t.Errorf("mask %q, want %q", got, tt.want.mask)
			}
			if tt.want.maxLen != 0 && r.Guards.MaxLen != tt.want.maxLen {
				t.Errorf("guard length %d, want %d", r.Guards.MaxLen, tt.want.maxLen)
			}
			if want := tt.want.rewrite.TTLDec; o.Verdict == Forward && r.Guards.MinTTL != want {
				t.Errorf("guard ttl %d, want %d", r.Guards.MinTTL, want)
			}
			if (tt.want.originated != "") != (len(r.Originated) == 1) {
				t.Fatalf("originated %d", len(r.Originated))
			}
			if tt.want.originated != "" {
				og := r.Originated[0]
				f := parse(t, og.Frame)
				if og.Dest != l.port(tt.want.originated).Dest() || f.SrcPort != tt.want.error || og.Kind != OriginError {
					t.Errorf("originated to %v, icmp %#x, kind %d", og.Dest, f.SrcPort, og.Kind)
				}
				if f.DstAddr() != ip(tt.p.src) || f.Dst() != tt.p.from || f.Src() != tt.p.to || !f.ChecksumOK() {
					t.Errorf("error goes to %v at %v from %v", f.DstAddr(), f.Dst(), f.Src())
				}
			}
		})
	}
}

func TestFragmentation(t *testing.T) {
	l := newLab(t, twoTiers)
	withUplink(l)
	r := l.run("a1", udp{from: mac("0a:01"), to: mac("ee:01"), src: "10.1.0.11", dst: "203.0.113.9", size: 1280, ttl: 9}.frame())
	if len(r.Outcomes) != 1 || r.Outcomes[0].Verdict != Forward || r.Outcomes[0].Fragment != 1300 || r.Installable {
		t.Errorf("outcomes %+v, installable %v", r.Outcomes, r.Installable)
	}
}

// TestLearning: a new source is an effect (B2, K9); a seeded or known one is none; a second bridge learns it, too. The source MAC is not read for that.
func TestLearning(t *testing.T) {
	l := newLab(t, twoTiers)
	frame := udp{from: mac("0b:07"), to: mac("0a:01"), src: "10.1.0.77", dst: "10.1.0.11"}.frame()
	r := l.run("a3", frame)
	want := []Effect{
		{Kind: Learn, Device: l.bridge("web"), MAC: mac("0b:07"), Port: l.port("a3")},
		{Kind: LearnBridgeNeighbour, Device: l.bridge("web"), Port: l.port("a3"), Addr: ip("10.1.0.77"), MAC: mac("0b:07")},
	}
	if d := cmp.Diff(want, r.Effects, cmpAddr); d != "" {
		t.Error(d)
	}
	deps := l.change(topology.Changes{
		FDB:              []topology.FDBEntry{{Bridge: l.bridge("web"), MAC: mac("0b:07"), Port: l.port("a3")}},
		BridgeNeighbours: []topology.BridgeNeighbour{{Bridge: l.bridge("web"), Addr: ip("10.1.0.77"), MAC: mac("0b:07")}},
	})
	hit := false
	for _, d := range deps {
		for _, e := range r.Deps {
			hit = hit || d.Affects(e)
		}
	}
	if !hit {
		t.Error("learning the source affects no dependency of its first flow")
	}
	if r = l.run("a3", frame); len(r.Effects) != 0 {
		t.Errorf("effects once learnt: %+v", r.Effects)
	}
	if r = l.run("a2", frame); len(r.Effects) != 1 || r.Effects[0].Kind != Learn || r.Effects[0].Port != l.port("a2") {
		t.Errorf("effects of a move: %+v", r.Effects)
	}
	if r = l.run("a2", udp{from: mac("0a:01"), to: mac("0b:07"), src: "10.1.0.11", dst: "10.1.0.77"}.frame()); len(r.Effects) != 0 {
		t.Errorf("a seeded MAC was learnt: %+v", r.Effects)
	}
	for _, elsewhere := range [][]byte{
		udp{from: mac("0a:01"), to: mac("0b:07"), src: "10.1.0.78", dst: "10.1.0.77"}.frame(), packet.AppendNS(nil, mac("0a:01"), ip("fe80::78"), ip("fe80::77")),
		packet.AppendARPRequest(nil, mac("0a:01"), ip("10.1.0.78"), ip("10.1.0.77")),
	} {
		r = l.run("a2", elsewhere)
		if slices.ContainsFunc(r.Effects, func(e Effect) bool { return e.Device == l.bridge("web") }) {
			t.Errorf("learnt of a MAC that is at another port by configuration: %+v", r.Effects)
		}
	}
	r = l.run("b1", frame)
	want = []Effect{
		{Kind: Learn, Device: l.bridge("back"), MAC: mac("0b:07"), Port: l.port("b1")},
		{Kind: LearnBridgeNeighbour, Device: l.bridge("back"), Port: l.port("b1"), Addr: ip("10.1.0.77"), MAC: mac("0b:07")},
		{Kind: Learn, Device: l.bridge("web"), MAC: mac("0b:07"), Port: l.port("web-back")},
	}
	if d := cmp.Diff(want, r.Effects, cmpAddr); d != "" || !r.Mask.SrcMAC.IsZero() {
		t.Errorf("at the linked bridge: source read %v\n%s", r.Mask.SrcMAC, d)
	}
}

// TestSuppression: ARP and ND for a known address are answered where they come in (B5), and not flooded; others are flooded.
func TestSuppression(t *testing.T) {
	a1 := mac("0a:01")
	for _, tt := range []struct {
		name  string
		frame []byte
		mac   packet.MAC // in the answer; unset: flooded
	}{
		{"router v4", packet.AppendARPRequest(nil, a1, ip("10.1.0.11"), ip("10.1.0.1")), mac("ee:01")},
		{"host v4", packet.AppendARPRequest(nil, a1, ip("10.1.0.11"), ip("10.1.0.12")), mac("0a:02")},
		{"unknown v4", packet.AppendARPRequest(nil, a1, ip("10.1.0.11"), ip("10.1.0.99")), packet.MAC{}},
		{"announcement", packet.AppendARPRequest(nil, a1, ip("10.1.0.11"), ip("10.1.0.11")), packet.MAC{}},
		{"router v6", packet.AppendNS(nil, a1, ip("2001:db8:1::11"), ip("2001:db8:1::1")), mac("ee:01")},
		{"router link-local", packet.AppendNS(nil, a1, ip("2001:db8:1::11"), topology.LinkLocal(mac("ee:01"))), mac("ee:01")},
		{"host v6", packet.AppendNS(nil, a1, ip("2001:db8:1::11"), ip("2001:db8:1::12")), mac("0a:02")},
		{"unknown v6", packet.AppendNS(nil, a1, ip("2001:db8:1::11"), ip("2001:db8:1::99")), packet.MAC{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, twoTiers)
			r := l.run("a1", tt.frame)
			if r.Installable || len(r.Outcomes) != 1 {
				t.Fatalf("installable %v, outcomes %+v", r.Installable, r.Outcomes)
			}
			if tt.mac.IsZero() {
				if r.Outcomes[0].Verdict != Forward || r.Outcomes[0].Dest != flow.Dest(l.bridge("web")) || len(r.Originated) != 0 {
					t.Errorf("outcomes %+v, %d originated", r.Outcomes, len(r.Originated))
				}
				return
			}
			if r.Outcomes[0].Verdict != Consumed || len(r.Originated) != 1 || r.Originated[0].Dest != l.port("a1").Dest() {
				t.Fatalf("outcomes %+v, originated %+v", r.Outcomes, r.Originated)
			}
			f := parse(t, r.Originated[0].Frame)
			if a, err := f.ARP(); f.IsARP() && (err != nil || a.Op != packet.ARPReply || a.SenderMAC != tt.mac || f.Dst() != a1) {
				t.Errorf("answer %+v, %v", a, err)
			}
			if n, err := f.ND(); f.IsND() && (err != nil || n.LinkAddr != tt.mac || !n.Solicited || n.Router == (tt.name == "host v6")) {
				t.Errorf("answer %+v, %v", n, err)
			}
		})
	}
}

// TestPing: a router answers for its addresses, near and far (R2).
func TestPing(t *testing.T) {
	l := newLab(t, twoTiers)
	for _, tt := range []struct{ src, dst string }{{"10.1.0.11", "10.1.0.1"}, {"10.1.0.11", "100.64.0.1"}, {"2001:db8:1::11", "2001:db8:1::1"}, {"2001:db8:1::11", "2001:db8:64::1"}} {
		r := l.run("a1", echo(mac("0a:01"), mac("ee:01"), ip(tt.src), ip(tt.dst)))
		if len(r.Outcomes) != 1 || r.Outcomes[0].Verdict != Consumed || r.Installable || len(r.Originated) != 1 {
			t.Fatalf("%v: %+v\n%v", tt, r.Outcomes, r.Trace)
		}
		f := parse(t, r.Originated[0].Frame)
		typ, _ := f.ICMPType()
		if r.Originated[0].Dest != l.port("a1").Dest() || f.SrcAddr() != ip(tt.dst) || f.DstAddr() != ip(tt.src) || f.Dst() != mac("0a:01") || f.Src() != mac("ee:01") || typ != 0 && typ != 129 {
			t.Errorf("%v: reply %v → %v, type %d", tt, f.SrcAddr(), f.DstAddr(), typ)
		}
	}
}

// echo builds an echo request out of a UDP frame.
func echo(from, to packet.MAC, src, dst netip.Addr) []byte {
	b := packet.AppendUDP(nil, &packet.UDP{SrcMAC: from, DstMAC: to, Src: src, Dst: dst, Payload: make([]byte, 8)})
	l4 := len(b) - 16
	proto, typ := byte(packet.ProtoICMP), byte(packet.ICMPEchoRequest)
	sum := packet.Sum(0)
	if src.Is4() {
		b[23] = proto
		b[24], b[25] = 0, 0
		c := packet.Checksum(b[14:34])
		b[24], b[25] = byte(c>>8), byte(c)
	} else {
		proto, typ = packet.ProtoICMPv6, packet.ICMPv6EchoRequest
		b[20] = proto
		sum = packet.PseudoSum(src, dst, proto, 16)
	}
	copy(b[l4:], []byte{typ, 0, 0, 0, 0, 7, 0, 1})
	c := sum.Add(b[l4:]).Fold()
	b[l4+2], b[l4+3] = byte(c>>8), byte(c)
	return b
}

// TestAskOnBridge: a neighbour behind an interior link is asked by a flood.
func TestAskOnBridge(t *testing.T) {
	l := newLab(t, twoTiers)
	for _, dst := range []string{"10.1.0.99", "2001:db8:1::99"} {
		src := map[bool]string{true: "10.1.0.11", false: "2001:db8:1::11"}[ip(dst).Is4()]
		r := l.run("a1", udp{from: mac("0a:01"), to: mac("ee:01"), src: src, dst: dst, ttl: 64}.frame())
		if r.Outcomes[0].Verdict != Incomplete || len(r.Originated) != 1 || r.Originated[0].Dest != flow.Dest(l.bridge("web")) {
			t.Errorf("%s: %+v, originated %+v\n%v", dst, r.Outcomes, r.Originated, r.Trace)
		}
	}
}

// TestFloodLinkedBridges: members of linked bridges are told apart only if the destination is known there.
func TestFloodLinkedBridges(t *testing.T) {
	l := newLab(t, twoTiers)
	if d := cmp.Diff([]flow.VPortID{l.port("a1"), l.port("a2"), l.port("a3"), l.port("b1")}, l.snap.GroupMembers(flow.Dest(l.bridge("back")))); d != "" {
		t.Error(d)
	}
	frame := udp{from: mac("0a:01"), to: mac("0b:01"), src: "10.1.0.11", dst: "10.1.0.55"}.frame()
	l.change(topology.Changes{FDB: []topology.FDBEntry{{Bridge: l.bridge("back"), MAC: mac("0b:01"), Port: l.port("b1")}}})
	r := l.run("a1", frame)
	got := map[flow.Dest]bool{}
	for _, o := range r.Outcomes {
		got[o.Dest] = true
	}
	if !got[l.port("b1").Dest()] || !got[l.port("a2").Dest()] || !got[l.port("a3").Dest()] || len(got) != 3 || r.Installable {
		t.Errorf("outcomes %+v, installable %v", r.Outcomes, r.Installable)
	}
	l.change(topology.Changes{FDB: []topology.FDBEntry{{Bridge: l.bridge("web"), MAC: mac("0b:01"), Port: l.port("web-back")}}})
	if r = l.run("a1", frame); len(r.Outcomes) != 1 || r.Outcomes[0].Dest != l.port("b1").Dest() || !r.Installable {
		t.Errorf("known: %+v", r.Outcomes)
	}
}

func TestTraceNamesEveryDevice(t *testing.T) {
	l := newLab(t, twoTiers)
	withUplink(l)
	got := l.run("a1", udp{from: mac("0a:01"), to: mac("ee:01"), src: "10.1.0.11", dst: "203.0.113.9", ttl: 64}.frame()).Trace.String()
	for _, want := range []string{"bridge acme/web, in by acme/a1", "router acme/edge, in by acme/edge-web", "router isp/core, in by isp/core-acme", "0.0.0.0/0 via 100.64.0.1", "outcome forward to isp/uplink", "ttl_dec=2", "dst/24"} {
		if !strings.Contains(got, want) {
			t.Errorf("trace lacks %q:\n%s", want, got)
		}
	}
}
