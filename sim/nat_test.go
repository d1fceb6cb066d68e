package sim

import (
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// translated is twoTiers where the tenant's router has a virtual address for a2, and hides what goes to the provider.
var translated = strings.NewReplacer(
	"metadata: {name: edge, tenant: acme}\nspec:\n", "metadata: {name: edge, tenant: acme}\nspec:\n  filters: {ingress: nat-in, egress: nat-out}\n",
	"{dst: 10.1.0.0/24, via: 100.64.0.2, port: core-acme}", "{dst: 192.0.2.80/30, via: 100.64.0.2, port: core-acme}",
	`{dst: "2001:db8:1::/64", via`, `{dst: "2001:db8:64::80/122", via`,
).Replace(twoTiers) + `
---
apiVersion: weft/v1
kind: Chain
metadata: {name: nat-in, tenant: acme}
spec:
  rules:
  - {name: web, match: {protocols: [tcp, udp], dst: [192.0.2.80, "2001:db8:64::80"], dstPorts: [80]}, action: dnat, nat: {addresses: [10.1.0.12, "2001:db8:1::12"], ports: "8080"}}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: nat-out, tenant: acme}
spec:
  rules:
  - {name: hide, match: {outPorts: [edge-up]}, action: snat, nat: {addresses: [192.0.2.81, "2001:db8:64::81"]}}
  - {name: hairpin, match: {outPorts: [edge-web], src: [10.1.0.0/24, "2001:db8:1::/64"]}, action: masquerade}
`

// table is connections as an edge would know them.
type table map[uint64]*conntrack.Conn

func (t table) Find(k *conntrack.Key, hash uint64) (*conntrack.Conn, bool, bool) {
	c := t[hash]
	return c, c != nil && !c.Forward.Is(k), true
}

func (t table) add(c conntrack.Conn) {
	ret := c.Return()
	t[c.Forward.Hash()], t[ret.Hash()] = &c, &c
}

type unknown struct{}

func (unknown) Find(*conntrack.Key, uint64) (*conntrack.Conn, bool, bool) { return nil, false, false }

func natLab(t *testing.T) (*lab, table) {
	l := newLab(t, translated)
	withUplink(l)
	conns := table{}
	l.sim.Conns = conns
	return l, conns
}

// commit takes a result's connection as stored.
func (l *lab) commit(conns table) conntrack.Conn {
	l.t.Helper()
	r := &l.res.Track
	if !r.Commit || l.res.Installable {
		l.t.Fatalf("nothing to store: %+v\n%v", r, l.res.Trace)
	}
	conns.add(r.New)
	return r.New
}

type five struct {
	src, dst     string
	sport, dport uint16
}

func (f five) udp(from, to packet.MAC) []byte {
	return packet.AppendUDP(nil, &packet.UDP{SrcMAC: from, DstMAC: to, Src: ip(f.src), Dst: ip(f.dst), SrcPort: f.sport, DstPort: f.dport, Payload: []byte("data")})
}

// out returns where the packet of the only outcome goes, and what it looks like there.
func (l *lab) out(frame []byte) (flow.Dest, five) {
	l.t.Helper()
	if len(l.res.Outcomes) != 1 || l.res.Outcomes[0].Verdict != Forward {
		l.t.Fatalf("outcomes %+v\n%v", l.res.Outcomes, l.res.Trace)
	}
	o := l.res.Outcomes[0]
	b := slices.Clone(frame)
	f := parse(l.t, b)
	o.Rewrite.Apply(b, f)
	f = parse(l.t, b)
	if !f.ChecksumOK() {
		l.t.Errorf("IP checksum of %x", b)
	}
	return o.Dest, five{f.SrcAddr().String(), f.DstAddr().String(), f.SrcPort, f.DstPort}
}

// TestSNAT: a VM's packet leaves with the router's address, the answer comes back, and both flows are of that connection alone.
func TestSNAT(t *testing.T) {
	for _, tt := range []struct {
		name            string
		in, out, answer five
	}{
		{"IPv4", five{"10.1.0.11", "203.0.113.9", 4000, 53}, five{"192.0.2.81", "203.0.113.9", 4000, 53}, five{"203.0.113.9", "192.0.2.81", 53, 4000}},
		{"IPv6", five{"2001:db8:1::11", "2001:db8:113::9", 4000, 53}, five{"2001:db8:64::81", "2001:db8:113::9", 4000, 53}, five{"2001:db8:113::9", "2001:db8:64::81", 53, 4000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, conns := natLab(t)
			frame := tt.in.udp(mac("0a:01"), mac("ee:01"))
			l.run("a1", frame)
			if d, got := l.out(frame); d != l.port("uplink").Dest() || got != tt.out {
				t.Fatalf("leaves at %v as %+v, want %+v\n%v", d, got, tt.out, l.res.Trace)
			}
			c := l.commit(conns)
			if c.State.String() != "single" || c.RetZone != l.id(topology.KindRouter, "isp", "core") || c.Forward.Zone != uint32(l.snap.Zone(l.bridge("web"))) {
				t.Errorf("stores %+v", c)
			}
			l.run("a1", frame)
			if _, got := l.out(frame); got != tt.out || !l.res.Installable || l.res.Track.Commit || l.res.Track.Changed {
				t.Fatalf("second packet: %+v, %+v\n%v", got, l.res.Track, l.res.Trace)
			}
			exact := flow.ExactMask(parse(t, frame).EtherType)
			exact.SrcMAC = packet.MAC{}
			if l.res.Mask != exact {
				t.Errorf("reads %+v", l.res.Mask)
			}
			back := tt.answer.udp(mac("99:01"), mac("cc:02"))
			l.run("uplink", back)
			want := five{tt.in.dst, tt.in.src, tt.in.dport, tt.in.sport}
			if d, got := l.out(back); d != l.port("a1").Dest() || got != want {
				t.Fatalf("the answer arrives at %v as %+v, want %+v\n%v", d, got, want, l.res.Trace)
			}
			if r := l.res.Track; !l.res.Installable || !r.Reply || !r.Changed || r.State.String() != "both" || r.Commit {
				t.Errorf("answer: %+v, installable %v %s", r, l.res.Installable, l.res.NotInstallable)
			}
		})
	}
}

// TestSNATTaken: the next attempt takes another port, the same one wherever it is made.
func TestSNATTaken(t *testing.T) {
	l, _ := natLab(t)
	frame := five{"10.1.0.11", "203.0.113.9", 4000, 53}.udp(mac("0a:01"), mac("ee:01"))
	seen := map[uint16]bool{}
	for attempt := range uint32(8) {
		l.sim.Attempt = attempt
		l.run("a1", frame)
		_, got := l.out(frame)
		l.run("a1", frame)
		if _, again := l.out(frame); again != got {
			t.Errorf("attempt %d: %+v, and then %+v", attempt, got, again)
		}
		if seen[got.sport] || got.sport < firstPort || got.src != "192.0.2.81" {
			t.Errorf("attempt %d: %+v", attempt, got)
		}
		seen[got.sport] = true
	}
}

// TestDNAT: a virtual address from outside, and from inside through the same router (hairpin).
func TestDNAT(t *testing.T) {
	l, conns := natLab(t)
	for _, tt := range []struct {
		name, from        string
		src, gw           packet.MAC
		in, out           five
		answer, answerOut five
	}{
		{"from outside", "uplink", mac("99:01"), mac("cc:02"), five{"203.0.113.9", "192.0.2.80", 4000, 80}, five{"203.0.113.9", "10.1.0.12", 4000, 8080},
			five{"10.1.0.12", "203.0.113.9", 8080, 4000}, five{"192.0.2.80", "203.0.113.9", 80, 4000}},
		{"from inside", "a1", mac("0a:01"), mac("ee:01"), five{"10.1.0.11", "192.0.2.80", 4000, 80}, five{"10.1.0.1", "10.1.0.12", 4000, 8080},
			five{"10.1.0.12", "10.1.0.1", 8080, 4000}, five{"192.0.2.80", "10.1.0.11", 80, 4000}},
		{"from inside, IPv6", "a1", mac("0a:01"), mac("ee:01"), five{"2001:db8:1::11", "2001:db8:64::80", 4000, 80}, five{"2001:db8:1::1", "2001:db8:1::12", 4000, 8080},
			five{"2001:db8:1::12", "2001:db8:1::1", 8080, 4000}, five{"2001:db8:64::80", "2001:db8:1::11", 80, 4000}},
	} {
		frame := tt.in.udp(tt.src, tt.gw)
		l.run(tt.from, frame)
		if d, got := l.out(frame); d != l.port("a2").Dest() || got != tt.out {
			t.Fatalf("%s: arrives at %v as %+v, want %+v\n%v", tt.name, d, got, tt.out, l.res.Trace)
		}
		l.commit(conns)
		back := tt.answer.udp(mac("0a:02"), mac("ee:01"))
		l.run("a2", back)
		if d, got := l.out(back); d != l.port(tt.from).Dest() || got != tt.answerOut {
			t.Fatalf("%s: the answer arrives at %v as %+v, want %+v\n%v", tt.name, d, got, tt.answerOut, l.res.Trace)
		}
	}
}

// TestRulesGone: a connection keeps its translation when the rules change.
func TestRulesGone(t *testing.T) {
	l, conns := natLab(t)
	frame := five{"10.1.0.11", "203.0.113.9", 4000, 53}.udp(mac("0a:01"), mac("ee:01"))
	l.run("a1", frame)
	l.commit(conns)
	id := l.id(topology.KindChain, "acme", "nat-out")
	deps := l.change(topology.Changes{Put: []*topology.Object{{
		APIVersion: topology.APIVersion, Kind: topology.KindChain, Metadata: topology.Metadata{Name: "nat-out", Tenant: "acme"}, Status: topology.Status{ID: id},
		Spec: &topology.ChainSpec{Rules: []topology.RuleSpec{{Match: topology.MatchSpec{States: []topology.ConnState{topology.ConnEstablished}}, Action: "accept"}}, Default: "drop"},
	}}})
	if !slices.Contains(deps, topology.DeviceDep(topology.DeviceID(id))) {
		t.Fatalf("changed: %v", deps)
	}
	l.run("a1", frame)
	if _, got := l.out(frame); got.src != "192.0.2.81" {
		t.Errorf("goes on as %+v\n%v", got, l.res.Trace)
	}
	other := five{"10.1.0.11", "203.0.113.9", 4001, 53}.udp(mac("0a:01"), mac("ee:01"))
	if r := l.run("a1", other); len(r.Outcomes) != 1 || r.Outcomes[0].Drop != DropFiltered || r.Track.Commit || r.Installable {
		t.Errorf("a new one: %+v %+v %s", r.Outcomes, r.Track, r.NotInstallable)
	}
}

// TestErrorThroughNAT: an ICMP error about a translated packet reaches who sent it, with the quote as that knows it (RFC 5508 section 4.2).
func TestErrorThroughNAT(t *testing.T) {
	for _, tt := range []struct {
		in          five
		router, src string
	}{
		{five{"10.1.0.11", "203.0.113.9", 4000, 53}, "198.51.100.77", "192.0.2.81"},
		{five{"2001:db8:1::11", "2001:db8:113::9", 4000, 53}, "2001:db8:51::77", "2001:db8:64::81"},
	} {
		l, conns := natLab(t)
		frame := tt.in.udp(mac("0a:01"), mac("ee:01"))
		l.run("a1", frame)
		sent := slices.Clone(frame)
		l.res.Outcomes[0].Rewrite.Apply(sent, parse(t, sent))
		l.commit(conns)
		big := packet.AppendUDP(nil, &packet.UDP{SrcMAC: mac("0a:01"), DstMAC: mac("ee:01"), Src: ip(tt.in.src), Dst: ip(tt.in.dst), SrcPort: tt.in.sport, DstPort: tt.in.dport,
			DontFragment: true, Payload: make([]byte, 1390)})
		for _, mtu := range []uint16{1300, 1290} { // of the tenant's router, and of the provider's, behind the translation
			if mtu == 1290 {
				l = newLab(t, strings.NewReplacer("mtu: 1300", "mtu: 1500", "mtu: 1400", "mtu: 1290").Replace(translated))
				withUplink(l)
				l.sim.Conns = conns
			}
			r := l.run("a1", big)
			if len(r.Originated) != 1 || r.Originated[0].Dest != l.port("a1").Dest() || parse(t, r.Originated[0].Frame).DstAddr() != ip(tt.in.src) {
				t.Fatalf("MTU %d: originated %+v\n%v", mtu, r.Originated, r.Trace)
			}
			q, ok := packet.Quote(parse(t, r.Originated[0].Frame))
			if !ok || q.Src != ip(tt.in.src) || q.Dst != ip(tt.in.dst) {
				t.Errorf("MTU %d: quotes %+v", mtu, q)
			}
		}
		for _, from := range []string{tt.router, tt.in.dst} { // a router on the way, and the other end
			e, err := packet.AppendICMPError(nil, parse(t, sent), &packet.ICMPError{Kind: packet.PortUnreachable, Src: ip(from), SrcMAC: mac("99:01"), DstMAC: mac("cc:02")})
			if err != nil {
				t.Fatal(err)
			}
			r := l.run("uplink", e)
			if d, got := l.out(e); d != l.port("a1").Dest() || got.dst != tt.in.src || got.src != from || r.Installable {
				t.Fatalf("arrives at %v as %+v\n%v", d, got, r.Trace)
			}
			if !r.Track.Quoted {
				t.Fatalf("the quote stays: %+v", r.Track)
			}
			q := r.Track.Quote
			et := parse(t, e).EtherType
			if err := packet.RewriteQuote(e, parse(t, e), q.Src.Netip(et), q.Dst.Netip(et), q.SrcPort, q.DstPort); err != nil {
				t.Fatal(err)
			}
			in, ok := packet.Quote(parse(t, e))
			if !ok || in.Src != ip(tt.in.src) || in.Dst != ip(tt.in.dst) || in.SrcPort != tt.in.sport || in.DstPort != tt.in.dport {
				t.Errorf("quotes %+v", in)
			}
		}
	}
}

// TestStates: who may begin, who may answer; nothing is stored of what is dropped, nor where nobody asks.
func TestStates(t *testing.T) {
	stateful := strings.Replace(twoTiers, `{name: a2, tenant: acme}, spec: {device: bridge/web,`, `{name: a2, tenant: acme}, spec: {device: bridge/web, filters: {egress: guard},`, 1) + `
---
apiVersion: weft/v1
kind: Chain
metadata: {name: guard, tenant: acme}
spec:
  rules:
  - {name: known, match: {states: [established, related]}, action: accept}
  - {name: dns, match: {states: [new], protocols: [udp], dstPorts: [53]}, action: accept}
  default: drop
`
	l := newLab(t, stateful)
	withUplink(l)
	conns := table{}
	l.sim.Conns = conns
	a1, a2 := mac("0a:01"), mac("0a:02")
	ask := five{"10.1.0.11", "10.1.0.12", 4000, 53}.udp(a1, a2)
	other := five{"10.1.0.11", "10.1.0.12", 4000, 80}.udp(a1, a2)
	if r := l.run("a1", other); r.Outcomes[0].Verdict != Drop || r.Track.Commit {
		t.Errorf("a port that is closed: %+v %+v", r.Outcomes, r.Track)
	}
	l.run("a1", ask)
	l.commit(conns)
	if r := l.run("a1", ask); r.Outcomes[0].Verdict != Forward || !r.Installable || r.Track.Commit {
		t.Errorf("the next packet: %+v %+v", r.Outcomes, r.Track)
	}
	if r := l.run("a2", five{"10.1.0.12", "10.1.0.11", 53, 4000}.udp(a2, a1)); r.Outcomes[0].Verdict != Forward || !r.Track.Reply || r.Track.State.String() != "both" {
		t.Errorf("the answer: %+v %+v", r.Outcomes, r.Track)
	}
	// What a2 begins passes no chain, but its answers do.
	out := five{"10.1.0.12", "10.1.0.11", 5000, 9}.udp(a2, a1)
	l.run("a2", out)
	l.commit(conns)
	if r := l.run("a1", five{"10.1.0.11", "10.1.0.12", 9, 5000}.udp(a1, a2)); r.Outcomes[0].Verdict != Forward {
		t.Errorf("the answer to a2: %+v\n%v", r.Outcomes, r.Trace)
	}
	// Between others nobody asks.
	if r := l.run("a1", five{"10.1.0.11", "203.0.113.9", 1, 2}.udp(a1, mac("ee:01"))); r.Track.Used || r.Track.Commit {
		t.Errorf("elsewhere: %+v", r.Track)
	}
	l.sim.Conns = unknown{}
	if r := l.run("a1", ask); !r.Track.Wait || r.Outcomes[0].Verdict != Incomplete || r.Installable || len(r.Outcomes) != 1 {
		t.Errorf("not known: %+v %+v", r.Outcomes, r.Track)
	}
	if r := l.run("a2", out); !r.Track.Wait || r.Outcomes[0].Verdict != Incomplete || len(r.Outcomes) != 1 {
		t.Errorf("not known, on the way out: %+v %+v", r.Outcomes, r.Track)
	}
}

// TestTrackAllocatesNothing: neither a new connection nor a known one.
func TestTrackAllocatesNothing(t *testing.T) {
	l, conns := natLab(t)
	frame := five{"10.1.0.11", "203.0.113.9", 4000, 53}.udp(mac("0a:01"), mac("ee:01"))
	l.run("a1", frame)
	f, res, a1 := parse(t, frame), &Result{}, l.port("a1")
	for _, what := range []string{"new", "known"} {
		l.sim.Simulate(l.snap, f, a1, 0, res)
		if n := testing.AllocsPerRun(100, func() { l.sim.Simulate(l.snap, f, a1, 0, res) }); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
		conns.add(res.Track.New)
	}
}

// TestMegaflowLeavesErrors: a packet that no translation concerns does not decide for the ICMP errors that are to be translated.
func TestMegaflowLeavesErrors(t *testing.T) {
	l := newLab(t, strings.NewReplacer(
		"filters: {ingress: nat-in, egress: nat-out}", "filters: {ingress: nat-in}",
		`match: {protocols: [tcp, udp], dst: [192.0.2.80, "2001:db8:64::80"], dstPorts: [80]}`, `match: {dst: [192.0.2.80, "2001:db8:64::80"]}`,
		`, ports: "8080"`, "",
	).Replace(translated))
	withUplink(l)
	conns := table{}
	l.sim.Conns = conns
	in := five{"203.0.113.9", "192.0.2.80", 4000, 80}.udp(mac("99:01"), mac("cc:02"))
	l.run("uplink", in)
	arrived := slices.Clone(in)
	l.res.Outcomes[0].Rewrite.Apply(arrived, parse(t, arrived))
	l.commit(conns)
	e, err := packet.AppendICMPError(nil, parse(t, arrived), &packet.ICMPError{Kind: packet.HostUnreachable, Src: ip("10.1.0.20"), SrcMAC: mac("0a:01"), DstMAC: mac("ee:01")})
	if err != nil {
		t.Fatal(err)
	}
	if l.run("a1", e); !l.res.Track.Quoted {
		t.Fatalf("the error is not translated: %+v\n%v", l.res.Track, l.res.Trace)
	}
	other := five{"10.1.0.20", "203.0.113.9", 1, 2}.udp(mac("0a:01"), mac("ee:01"))
	r := l.run("a1", other)
	if !r.Installable {
		t.Fatal(r.NotInstallable)
	}
	if r.Mask.Matches(flow.KeyOf(parse(t, other), l.port("a1")), flow.KeyOf(parse(t, e), l.port("a1"))) {
		t.Error("the error is of the megaflow")
	}
	if r.Mask.SrcPort|r.Mask.DstPort != 0 {
		t.Errorf("what is not ICMP has its ports read: %+v", r.Mask)
	}
}
