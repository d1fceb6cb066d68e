package sim

import (
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/randnet"
	"github.com/weft-sdn/weft/topology"
)

// lose simulates as run does, with something lost.
func (l *lab) lose(from string, frame []byte, lost Lost) *Result {
	l.t.Helper()
	l.res.Trace = new(Trace)
	l.sim.SimulateLost(l.snap, parse(l.t, frame), l.port(from), 0, lost, &l.res)
	return &l.res
}

// TestLostDestination (E14): the last router on the way tells the sender, out of the port that the packet came in by; without a router nobody does.
func TestLostDestination(t *testing.T) {
	a1, gw, out := mac("0a:01"), mac("ee:01"), mac("ff:01")
	for _, tt := range []struct {
		name, from string
		p          udp
		lost       string
		router     string // that answers; empty: none
		port       string // where the answer leaves
	}{
		{"bridged v4", "a1", udp{from: a1, to: mac("0a:02"), src: "10.1.0.11", dst: "10.1.0.12"}, "a2", "", ""},
		{"bridged v6", "a1", udp{from: a1, to: mac("0a:02"), src: "2001:db8:1::11", dst: "2001:db8:1::12"}, "a2", "", ""},
		{"one router v4", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "10.1.0.12"}, "a2", "10.1.0.1", "a1"},
		{"one router v6", "a1", udp{from: a1, to: gw, src: "2001:db8:1::11", dst: "2001:db8:1::12"}, "a2", "2001:db8:1::1", "a1"},
		{"second of two routers v4", "a1", udp{from: a1, to: gw, src: "10.1.0.11", dst: "203.0.113.9"}, "uplink", "100.64.0.1", "a1"},
		{"second of two routers v6", "a1", udp{from: a1, to: gw, src: "2001:db8:1::11", dst: "2001:db8:113::9"}, "uplink", "2001:db8:64::1", "a1"},
		{"router before a bridge v4", "uplink", udp{from: out, to: mac("cc:02"), src: "203.0.113.9", dst: "10.1.0.12"}, "a2", "100.64.0.2", "uplink"},
		{"router before a bridge v6", "uplink", udp{from: out, to: mac("cc:02"), src: "2001:db8:113::9", dst: "2001:db8:1::12"}, "a2", "2001:db8:64::2", "uplink"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, twoTiers)
			withUplink(l)
			tt.p.ttl = 9
			frame := tt.p.frame()
			was := *l.run(tt.from, frame)
			mask, guards := was.Mask, was.Guards
			if was.Outcomes[0].Verdict != Forward || was.Outcomes[0].Dest != l.port(tt.lost).Dest() {
				t.Fatalf("outcomes %+v", was.Outcomes)
			}
			r := l.lose(tt.from, frame, Lost{Dest: l.port(tt.lost).Dest()})
			t.Log("\n" + r.Trace.String())
			if want := (Outcome{Verdict: Drop, Drop: DropUnreachable, Reject: tt.router != ""}); len(r.Outcomes) != 1 || r.Outcomes[0] != want {
				t.Errorf("outcomes %+v, want %+v", r.Outcomes, want)
			}
			if !r.Installable || r.Mask != mask || r.Guards != guards {
				t.Errorf("installable %v %q, mask %v, guards %+v", r.Installable, r.NotInstallable, r.Mask, r.Guards)
			}
			if !slices.Contains(r.Deps, topology.BindingDep(l.port(tt.lost))) {
				t.Errorf("does not depend on the binding: %v", r.Deps)
			}
			if !strings.Contains(r.Trace.String(), tt.lost+" can not be reached") {
				t.Errorf("trace does not say why:\n%v", r.Trace)
			}
			if tt.router == "" {
				if len(r.Originated) != 0 {
					t.Errorf("originated %+v", r.Originated)
				}
				return
			}
			checkUnreachable(t, l, r, frame, tt.router, tt.port)
		})
	}
}

// checkUnreachable checks that the one packet originated is the ICMP error host or address unreachable about frame.
func checkUnreachable(t *testing.T, l *lab, r *Result, frame []byte, router, port string) {
	t.Helper()
	if len(r.Originated) != 1 {
		t.Fatalf("originated %+v", r.Originated)
	}
	og, orig := r.Originated[0], parse(t, frame)
	f := parse(t, og.Frame)
	want, quote := uint16(packet.ICMPUnreachable)<<8|1, f.L3+packet.IPv4Len+8
	if orig.Is6() {
		want, quote = packet.ICMPv6Unreachable<<8|3, f.L3+packet.IPv6Len+8
	}
	if f.SrcPort != want || og.Dest != l.port(port).Dest() || og.Kind != OriginError || f.SrcAddr() != ip(router) || f.DstAddr() != orig.SrcAddr() || f.Dst() != orig.Src() || f.Src() != orig.Dst() || !f.ChecksumOK() {
		t.Errorf("icmp %#x from %v at %v to %v at %v, out of %v", f.SrcPort, f.SrcAddr(), f.Src(), f.DstAddr(), f.Dst(), og.Dest)
	}
	if got := string(og.Frame[quote:]); !strings.HasPrefix(string(orig.Data[orig.L3:]), got) || len(got) < 28 {
		t.Errorf("quotes %x of %x", got, orig.Data[orig.L3:])
	}
}

// TestLostElsewhere: what is lost matters to those alone who would go there; a lost member of a flood changes nothing.
func TestLostElsewhere(t *testing.T) {
	l := newLab(t, twoTiers)
	withUplink(l)
	for name, p := range map[string]udp{
		"flooded":   {from: mac("0a:01"), to: packet.Broadcast(), src: "10.1.0.11", dst: "255.255.255.255"},
		"unknown":   {from: mac("0a:01"), to: mac("99:99"), src: "2001:db8:1::11", dst: "2001:db8:1::12"},
		"elsewhere": {from: mac("0a:01"), to: mac("ee:01"), src: "10.1.0.11", dst: "203.0.113.9", ttl: 9},
	} {
		frame := p.frame()
		r := l.run("a1", frame)
		outcomes, deps := slices.Clone(r.Outcomes), slices.Clone(r.Deps)
		r = l.lose("a1", frame, Lost{Dest: l.port("a2").Dest(), Port: l.port("uplink"), Addr: ip("198.51.100.77")})
		if !slices.Equal(outcomes, r.Outcomes) || !slices.Equal(deps, r.Deps) || !r.Installable {
			t.Errorf("%s: outcomes %+v, were %+v", name, r.Outcomes, outcomes)
		}
	}
	// Members told apart, since one bridge of the flood knows the destination.
	l.change(topology.Changes{FDB: []topology.FDBEntry{{Bridge: l.bridge("back"), MAC: mac("0b:01"), Port: l.port("b1")}}})
	frame := udp{from: mac("0a:01"), to: mac("0b:01"), src: "10.1.0.11", dst: "10.1.0.55"}.frame()
	n := len(l.run("a1", frame).Outcomes)
	r := l.lose("a1", frame, Lost{Dest: l.port("b1").Dest()})
	if n != 3 || len(r.Outcomes) != n || slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return o.Verdict != Forward }) {
		t.Errorf("%d outcomes before, then %+v", n, r.Outcomes)
	}
}

// TestLostNeighbour (R4): the router that asked in vain tells the sender; nothing is installed, nobody is asked. Who answered after all is believed.
func TestLostNeighbour(t *testing.T) {
	a1, gw := mac("0a:01"), mac("ee:01")
	for _, tt := range []struct {
		name             string
		src, dst, router string
		port, next       string
		asked            bool
	}{
		{"next hop v4", "10.1.0.11", "203.0.113.9", "100.64.0.1", "uplink", "198.51.100.1", true},
		{"next hop v6", "2001:db8:1::11", "2001:db8:113::9", "2001:db8:64::1", "uplink", "2001:db8:51::1", false},
		{"on the bridge v4", "10.1.0.11", "10.1.0.99", "10.1.0.1", "edge-web", "10.1.0.99", false},
		{"on the bridge v6", "2001:db8:1::11", "2001:db8:1::99", "2001:db8:1::1", "edge-web", "2001:db8:1::99", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, twoTiers)
			lost := Lost{Port: l.port(tt.port), Addr: ip(tt.next)}
			entry := topology.Neighbour{Port: lost.Port, Addr: lost.Addr, MAC: mac("ff:01"), State: topology.NeighbourAsked}
			if tt.asked {
				l.change(topology.Changes{Neighbours: []topology.Neighbour{entry}})
			}
			frame := udp{from: a1, to: gw, src: tt.src, dst: tt.dst, ttl: 9}.frame()
			r := l.lose("a1", frame, lost)
			t.Log("\n" + r.Trace.String())
			if want := (Outcome{Verdict: Drop, Drop: DropUnreachable, Reject: true}); len(r.Outcomes) != 1 || r.Outcomes[0] != want || r.Installable {
				t.Errorf("outcomes %+v, installable %v", r.Outcomes, r.Installable)
			}
			if slices.ContainsFunc(r.Effects, func(e Effect) bool { return e.Kind == AskNeighbour }) || !slices.Contains(r.Deps, topology.NeighbourDep(lost.Port, lost.Addr)) {
				t.Errorf("effects %+v, dependencies %v", r.Effects, r.Deps)
			}
			checkUnreachable(t, l, r, frame, tt.router, "a1")
			entry.State = topology.NeighbourOK
			l.change(topology.Changes{Neighbours: []topology.Neighbour{entry}})
			if r = l.lose("a1", frame, lost); r.Outcomes[0].Verdict != Forward {
				t.Errorf("after an answer: %+v", r.Outcomes)
			}
		})
	}
}

// TestLostSoundness: a decision about what is lost is as wide, and as sound, as the one before.
func TestLostSoundness(t *testing.T) {
	cases := envInt(t, "WEFT_SOUNDNESS_CASES", 20_000) / 4
	seed := uint64(envInt(t, "WEFT_SOUNDNESS_SEED", 1))
	var a, b, c Result
	sim := Simulator{Exemplar: true} // what the frames have beside their keys is not made to fit
	var f, g packet.Frame
	told, silent, mutants := 0, 0, 0
	for n := 0; n < cases; n += 20 {
		w := randnet.New(seed*3_000_017 + uint64(n))
		for range 20 {
			s := w.Shot()
			if err := packet.Parse(s.Frame(nil), &f); err != nil {
				t.Fatal(err)
			}
			s.Key = flow.KeyOf(&f, s.Key.Ingress)
			sim.Simulate(w.Snap, &f, s.Key.Ingress, 0, &a)
			if !a.Installable || a.Outcomes[0].Verdict != Forward || w.Snap.IsGroup(a.Outcomes[0].Dest) || len(w.Snap.GroupMembers(a.Outcomes[0].Dest)) > 0 || a.Track.Used {
				continue // what is dropped of a connection is not installed: another edge may know more of it
			}
			o := a.Outcomes[0]
			sim.SimulateLost(w.Snap, &f, s.Key.Ingress, 0, Lost{Dest: o.Dest}, &b)
			routed := o.Rewrite.SetMACs
			if o := b.Outcomes[0]; o.Verdict == Forward { // the only member of a flood
				if !slices.Equal(a.Outcomes, b.Outcomes) {
					t.Fatalf("seed %d world %d: %+v, lost %+v", seed, n, a.Outcomes, b.Outcomes)
				}
				continue
			}
			if want := (Outcome{Verdict: Drop, Drop: DropUnreachable, Reject: routed}); b.Outcomes[0] != want || b.Mask != a.Mask || b.Guards != a.Guards || !b.Installable {
				explain(t, w, &sim, s)
				t.Fatalf("seed %d world %d: %+v", seed, n, b)
			}
			count(&told, routed)
			count(&silent, !routed)
			for range 3 {
				v := w.Mutate(s, b.Mask, b.Guards)
				if packet.Parse(v.Frame(nil), &g) != nil || g.IsARP() || g.IsND() || isLand(&g) || b.Guards.Check(&g) != flow.ReasonNone || !b.Mask.Matches(s.Key, flow.KeyOf(&g, v.Key.Ingress)) {
					continue
				}
				mutants++
				sim.SimulateLost(w.Snap, &g, v.Key.Ingress, 0, Lost{Dest: o.Dest}, &c)
				if !slices.Equal(b.Outcomes, c.Outcomes) || b.Guards != c.Guards || !c.Installable {
					explain(t, w, &sim, s, v)
					t.Fatalf("seed %d world %d: same megaflow, but other outcome: %+v, %+v", seed, n, b.Outcomes, c.Outcomes)
				}
			}
		}
	}
	t.Logf("%d told, %d silent, %d mutants", told, silent, mutants)
	if told < cases/50 || silent < cases/200 || mutants < cases/50 {
		t.Errorf("too few cases: %d told, %d silent, %d mutants", told, silent, mutants)
	}
}

// TestMappedSourceIsNotLearnt (K9): an IPv4-mapped source is nobody's address, and no bridge learns it.
func TestMappedSourceIsNotLearnt(t *testing.T) {
	l := newLab(t, "{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}\n---\n"+
		"{apiVersion: weft/v1, kind: VPort, metadata: {name: a1, tenant: acme}, spec: {device: bridge/lan}}\n")
	for src, want := range map[string]int{"::ffff:10.0.0.1": 0, "2001:db8::1": 1} {
		frame := udp{from: mac("0a:01"), to: mac("0a:02"), src: "2001:db8::1", dst: "2001:db8::2", ttl: 9}.frame()
		a := ip(src).As16()
		copy(frame[14+8:], a[:])
		n := 0
		for _, e := range l.run("a1", frame).Effects {
			if e.Kind == LearnBridgeNeighbour {
				n++
			}
		}
		if n != want {
			t.Errorf("%s: %d addresses learnt, want %d", src, n, want)
		}
	}
}
