package sim

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// balanced is translated where the virtual address is a pool's of three members a family.
var balanced = strings.NewReplacer(
	`nat: {addresses: [10.1.0.12, "2001:db8:1::12"], ports: "8080"}`, "nat: {pool: web}",
).Replace(translated) + `
---
apiVersion: weft/v1
kind: Pool
metadata: {name: web, tenant: acme}
spec:
  members:
  - {address: 10.1.0.11, port: 8080}
  - {address: 10.1.0.12, port: 8080}
  - {address: 10.1.0.13, port: 8080}
  - {address: "2001:db8:1::11", port: 8080}
  - {address: "2001:db8:1::12", port: 8080}
  - {address: "2001:db8:1::13", port: 8080}
`

// scales are what an edge knows of its pools.
type scales struct {
	turns  map[bool]uint32
	loads  map[topology.MemberKey]uint32
	last   map[topology.PoolClient]topology.MemberKey
	silent bool // about last
}

func (s *scales) Turn(_ topology.DeviceID, v6 bool) uint32              { return s.turns[v6] }
func (s *scales) Load(_ topology.DeviceID, m topology.MemberKey) uint32 { return s.loads[m] }
func (s *scales) Last(c topology.PoolClient) (topology.MemberKey, bool, bool) {
	m, ok := s.last[c]
	return m, ok, !s.silent
}

func balanceLab(t testing.TB, edit func(string) string) (*lab, *scales) {
	t.Helper()
	yaml := balanced
	if edit != nil {
		yaml = edit(yaml)
	}
	l := newLab(t, yaml)
	withUplink(l)
	for _, a := range []string{"10.1.0.13", "2001:db8:1::13"} {
		l.change(topology.Changes{BridgeNeighbours: []topology.BridgeNeighbour{{Bridge: l.bridge("web"), Addr: ip(a), MAC: mac("0a:03")}}, Neighbours: []topology.Neighbour{
			{Port: l.port("edge-web"), Addr: ip(a), MAC: mac("0a:03"), State: topology.NeighbourOK}}})
	}
	s := &scales{turns: map[bool]uint32{}, loads: map[topology.MemberKey]uint32{}, last: map[topology.PoolClient]topology.MemberKey{}}
	l.sim.Conns, l.sim.Balance = table{}, s
	return l, s
}

func (l *lab) pool() *topology.Pool {
	l.t.Helper()
	return l.snap.Pool(topology.DeviceID(l.id(topology.KindPool, "acme", "web")))
}

// served counts the clients' connections by member: of each family as many, from an address and port of its own each.
func (l *lab) served(n int, v6 bool, began func(conntrack.Step)) (by map[topology.MemberKey]int, of map[five]topology.MemberKey) {
	l.t.Helper()
	by, of = map[topology.MemberKey]int{}, map[five]topology.MemberKey{}
	l.res.Trace = nil
	for i := range n {
		f := five{fmt.Sprintf("203.0.113.%d", i%200+1), "192.0.2.80", uint16(20000 + i), 80}
		if v6 {
			f.src, f.dst = fmt.Sprintf("2001:db8:113::%x", i%200+1), "2001:db8:64::80"
		}
		fr := parse(l.t, f.udp(mac("99:01"), mac("cc:02")))
		l.sim.Simulate(l.snap, fr, l.port("uplink"), 0, &l.res)
		r := &l.res.Track
		if !r.Commit || len(r.New.Steps()) != 1 {
			l.t.Fatalf("%+v: %+v, %+v", f, r, l.res.Outcomes)
		}
		step := r.New.Steps()[0]
		m := l.pool().Member(step.Addr, step.Port, v6)
		if m == nil || step.Pool != uint32(l.pool().ID) || !step.Dst || step.Port != 8080 {
			l.t.Fatalf("step %+v", step)
		}
		by[m.MemberKey]++
		of[f] = m.MemberKey
		if began != nil {
			began(step)
		}
	}
	return by, of
}

func (l *lab) health(down bool, member string, port uint16) {
	l.t.Helper()
	l.change(topology.Changes{Health: []topology.MemberHealth{{Pool: l.pool().ID, Member: topology.MemberAt(ip(member), port), Down: down}}})
}

// monitored has the members probed.
func monitored(yaml string) string {
	return yaml + "  monitor: {type: tcp, source: edge-web}\n"
}

func near(got, want, percent int) bool {
	return got*100 >= want*(100-percent) && got*100 <= want*(100+percent)
}

// TestBalance: connections are shared by weight; a member that goes loses its own and no other, and one that drains gets no new ones.
func TestBalance(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		a, b, c := "10.1.0.11", "10.1.0.12", "10.1.0.13"
		if v6 {
			a, b, c = "2001:db8:1::11", "2001:db8:1::12", "2001:db8:1::13"
		}
		at := func(s string) topology.MemberKey { return topology.MemberAt(ip(s), 8080) }
		quote := func(s string) string {
			if v6 {
				return `"` + s + `"`
			}
			return s
		}
		l, _ := balanceLab(t, func(s string) string {
			return monitored(strings.Replace(s, "{address: "+quote(c)+", port: 8080}", "{address: "+quote(c)+", port: 8080, weight: 2}", 1))
		})
		by, before := l.served(4000, v6, nil)
		if !near(by[at(a)], 1000, 10) || !near(by[at(b)], 1000, 10) || !near(by[at(c)], 2000, 10) {
			t.Errorf("by member %v", by)
		}
		l.health(true, b, 8080)
		by, after := l.served(4000, v6, nil)
		for f, m := range before {
			if m != at(b) && after[f] != m || after[f] == at(b) {
				t.Fatalf("%v went to %v, and to %v without %s", f, m, after[f], b)
			}
		}
		if !near(by[at(a)], 1333, 10) {
			t.Errorf("without %s by member %v", b, by)
		}
		l.health(false, b, 8080)
		if _, again := l.served(4000, v6, nil); fmt.Sprint(again) != fmt.Sprint(before) {
			t.Error("with it again, it is not as before")
		}
		l, _ = balanceLab(t, func(s string) string {
			return strings.Replace(s, "{address: "+quote(c)+", port: 8080}", "{address: "+quote(c)+", port: 8080, drain: true}", 1)
		})
		if by, _ = l.served(1000, v6, nil); by[at(c)] != 0 || len(by) != 2 {
			t.Errorf("while %s drains: %v", c, by)
		}
	}
}

// TestBalanceBySource: a client's connections go to one member.
func TestBalanceBySource(t *testing.T) {
	l, _ := balanceLab(t, func(s string) string { return s + "  method: source\n" })
	by, of := l.served(2000, false, nil)
	clients := map[string]topology.MemberKey{}
	for f, m := range of {
		if was, ok := clients[f.src]; ok && was != m {
			t.Fatalf("client %s has %v and %v", f.src, was, m)
		}
		clients[f.src] = m
	}
	if len(by) != 3 || len(clients) != 200 {
		t.Errorf("by member %v", by)
	}
}

// TestBalanceInTurn: with what an edge counts, members get exactly their share, and the one with the fewest the next.
func TestBalanceInTurn(t *testing.T) {
	weighted := strings.NewReplacer("10.1.0.11, port: 8080", "10.1.0.11, port: 8080, weight: 3", "10.1.0.12, port: 8080", "10.1.0.12, port: 8080, weight: 2")
	l, s := balanceLab(t, func(s string) string { return weighted.Replace(s) + "  method: roundRobin\n" })
	var turns []string
	by, _ := l.served(12, false, func(step conntrack.Step) {
		s.turns[false]++
		turns = append(turns, fmt.Sprint(step.Addr[15]-10))
	})
	for m, want := range map[string]int{"10.1.0.11": 6, "10.1.0.12": 4, "10.1.0.13": 2} {
		if got := by[topology.MemberAt(ip(m), 8080)]; got != want {
			t.Errorf("%s had %d of 12 turns, want %d: %v", m, got, want, turns)
		}
	}
	if s := strings.Join(turns, ""); strings.Contains(s, "222") || strings.Contains(s, "1111") {
		t.Errorf("turns are not spread: %v", turns)
	}
	l, s = balanceLab(t, func(s string) string { return weighted.Replace(s) + "  method: leastConnections\n" })
	s.loads[topology.MemberAt(ip("10.1.0.13"), 8080)] = 100
	by, _ = l.served(50, false, func(step conntrack.Step) {
		s.loads[topology.MemberAt(netip.AddrFrom4([4]byte(step.Addr[12:])), 8080)]++
	})
	if by[topology.MemberAt(ip("10.1.0.11"), 8080)] != 30 || by[topology.MemberAt(ip("10.1.0.12"), 8080)] != 20 {
		t.Errorf("to those with fewer connections for their weight: %v", by)
	}
}

func TestStride(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 4, 6, 10, 100, 255, 256, 65280} {
		seen := map[uint64]bool{}
		for i := range n {
			seen[i*stride(n)%n] = true
		}
		if uint64(len(seen)) != n {
			t.Errorf("of %d turns %d are met", n, len(seen))
		}
	}
}

// TestSticky: a client that is remembered has its member again, while that takes new connections; who is not known is asked for first.
func TestSticky(t *testing.T) {
	l, s := balanceLab(t, func(s string) string { return monitored(s) + "  sticky: {timeout: 60}\n" })
	f := five{"203.0.113.9", "192.0.2.80", 4000, 80}
	s.silent = true
	l.run("uplink", f.udp(mac("99:01"), mac("cc:02")))
	client := topology.PoolClient{Pool: l.pool().ID, Addr: flow.AddrOf(ip("203.0.113.9"))}
	if r := l.res.Track; !r.Ask || r.Client != client || r.Commit || l.res.Installable || l.res.Outcomes[0].Verdict != Incomplete {
		t.Fatalf("%+v\n%v", r, l.res.Trace)
	}
	s.silent = false
	for _, m := range []string{"10.1.0.11", "10.1.0.12", "10.1.0.13"} {
		s.last[client] = topology.MemberAt(ip(m), 8080)
		frame := f.udp(mac("99:01"), mac("cc:02"))
		l.run("uplink", frame)
		if _, got := l.out(frame); got.dst != m || l.res.Track.Client != client || l.res.Track.Ask {
			t.Errorf("goes to %v, want %s: %+v", got, m, l.res.Track)
		}
		l.health(true, m, 8080)
		l.run("uplink", frame)
		if _, got := l.out(frame); got.dst == m || !l.res.Track.Commit {
			t.Errorf("goes to %v, which is down", got)
		}
		l.health(false, m, 8080)
	}
}

// TestNobodyServes: without a member that is up a connection is refused, by a reset or an ICMP error from the virtual address's router, and nothing is stored.
func TestNobodyServes(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		l, _ := balanceLab(t, monitored)
		for i := range l.pool().Members {
			l.health(true, l.pool().Members[i].IP().String(), 8080)
		}
		src, dst := "203.0.113.9", "192.0.2.80"
		if v6 {
			src, dst = "2001:db8:113::9", "2001:db8:64::80"
		}
		for _, tcp := range []bool{false, true} {
			frame := five{src, dst, 4000, 80}.udp(mac("99:01"), mac("cc:02"))
			if tcp {
				frame = packet.AppendTCP(nil, &packet.TCP{SrcMAC: mac("99:01"), DstMAC: mac("cc:02"), Src: ip(src), Dst: ip(dst), SrcPort: 4000, DstPort: 80, Flags: packet.TCPSyn})
			}
			l.run("uplink", frame)
			o := l.res.Outcomes[0]
			if o.Verdict != Drop || o.Drop != DropNoMember || !o.Reject || l.res.Track.Commit || len(l.res.Originated) != 1 {
				t.Fatalf("%+v, %d packets\n%v", o, len(l.res.Originated), l.res.Trace)
			}
			answer := parse(t, l.res.Originated[0].Frame)
			if reset := answer.Proto == packet.ProtoTCP && answer.TCPFlags&packet.TCPRst != 0; reset != tcp || !tcp && !packet.IsICMPError(answer) || answer.DstAddr() != ip(src) {
				t.Errorf("answer %x", answer.Data)
			}
		}
		l.health(false, l.pool().Members[0].IP().String(), 8080)
	}
}

// TestEmptyFamily: a rule does nothing for a family of which its pool has no member.
func TestEmptyFamily(t *testing.T) {
	l, _ := balanceLab(t, func(s string) string {
		for i := 1; i <= 3; i++ {
			s = strings.Replace(s, fmt.Sprintf("  - {address: \"2001:db8:1::1%d\", port: 8080}\n", i), "", 1)
		}
		return s
	})
	l.run("uplink", five{"2001:db8:113::9", "2001:db8:64::80", 4000, 80}.udp(mac("99:01"), mac("cc:02")))
	if r := l.res.Track; r.New.Translates() || len(l.res.Originated) != 0 && l.res.Outcomes[0].Drop == DropNoMember {
		t.Errorf("%+v\n%v", r, l.res.Trace)
	}
}

// TestChosen: the first packet of a connection that was just stored goes where that says, whatever the counts are by now.
func TestChosen(t *testing.T) {
	l, s := balanceLab(t, func(s string) string { return s + "  method: roundRobin\n" })
	frame := five{"203.0.113.9", "192.0.2.80", 4000, 80}.udp(mac("99:01"), mac("cc:02"))
	l.run("uplink", frame)
	stored := l.res.Track.New
	_, first := l.out(frame)
	s.turns[false]++
	l.run("uplink", frame)
	if _, got := l.out(frame); got == first {
		t.Fatal("the next turn is the same")
	}
	l.sim.Chosen = &stored
	l.run("uplink", frame)
	if _, got := l.out(frame); got != first || l.res.Track.New.Steps()[0] != stored.Steps()[0] {
		t.Errorf("goes to %+v, and was stored to go to %+v", got, first)
	}
}

// TestOrphan: a connection stays with a member that drains, and its next packet begins another when the member is down.
func TestOrphan(t *testing.T) {
	l, _ := balanceLab(t, monitored)
	conns := table{}
	l.sim.Conns = conns
	frame := five{"203.0.113.9", "192.0.2.80", 4000, 80}.udp(mac("99:01"), mac("cc:02"))
	l.run("uplink", frame)
	_, first := l.out(frame)
	c := l.commit(conns)
	l.run("uplink", frame)
	if _, got := l.out(frame); got != first || !l.res.Installable {
		t.Fatalf("goes to %+v, then to %+v", first, got)
	}
	for _, d := range l.res.Deps {
		if d == topology.DeviceDep(l.pool().ID) {
			t.Error("every connection depends on the pool")
		}
	}
	l.health(true, first.dst, 8080)
	l.run("uplink", frame)
	if _, got := l.out(frame); got.dst == first.dst || !l.res.Track.Commit || !l.res.Track.Replace || l.res.Track.Key != c.Forward {
		t.Errorf("goes to %+v, %+v", got, l.res.Track)
	}
}

// TestHairpin: a member that asks for the virtual address gets another's answers, or its own, through the router.
func TestPoolHairpin(t *testing.T) {
	l, _ := balanceLab(t, nil)
	conns := table{}
	l.sim.Conns = conns
	frame := five{"10.1.0.11", "192.0.2.80", 4000, 80}.udp(mac("0a:01"), mac("ee:01"))
	l.run("a1", frame)
	_, got := l.out(frame)
	if got.src != "10.1.0.1" || !strings.HasPrefix(got.dst, "10.1.0.1") || got.dport != 8080 {
		t.Errorf("leaves as %+v\n%v", got, l.res.Trace)
	}
	if c := l.commit(conns); len(c.Steps()) != 2 {
		t.Errorf("stored %+v", c)
	}
}

// BenchmarkMember is the choice alone.
func BenchmarkMember(b *testing.B) {
	for _, n := range []int{3, 32} {
		b.Run(fmt.Sprintf("hash/%dmembers", n), func(b *testing.B) {
			l, _ := balanceLab(b, func(s string) string {
				for i := range n - 3 {
					s += fmt.Sprintf("  - {address: 10.1.0.%d, port: 8080}\n", 100+i)
				}
				return s
			})
			l.sim.begin(l.snap, &packet.Frame{}, 0, &l.res)
			p, t := l.pool(), conntrack.Tuple{Src: flow.AddrOf(ip("203.0.113.9")), Dst: flow.AddrOf(ip("192.0.2.80")), SrcPort: 4000, DstPort: 80, Proto: packet.ProtoTCP}
			b.ReportAllocs()
			for b.Loop() {
				t.SrcPort++
				if l.sim.member(p, &t) == nil {
					b.Fatal("none")
				}
			}
		})
	}
}

// BenchmarkBalance is the first packet of a connection to a pool of 32 members.
func BenchmarkBalance(b *testing.B) {
	l, _ := balanceLab(b, func(s string) string {
		for i := range 29 {
			s += fmt.Sprintf("  - {address: 10.1.0.%d, port: 8080}\n", 100+i)
		}
		return s
	})
	for i := range 29 {
		l.change(topology.Changes{Neighbours: []topology.Neighbour{{Port: l.port("edge-web"), Addr: ip(fmt.Sprintf("10.1.0.%d", 100+i)), MAC: mac("0a:03"), State: topology.NeighbourOK}}})
	}
	fr := parse(b, five{"203.0.113.9", "192.0.2.80", 4000, 80}.udp(mac("99:01"), mac("cc:02")))
	b.ReportAllocs()
	for b.Loop() {
		l.sim.Simulate(l.snap, fr, l.port("uplink"), 0, &l.res)
	}
	if !l.res.Track.Commit {
		b.Fatal("not chosen")
	}
}
