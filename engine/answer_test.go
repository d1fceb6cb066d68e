package engine

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/testbed/wait"
	"github.com/weft-sdn/weft/topology"
)

// twoPorts is a router with a port through which a session goes, and one through which none does. FILTERS is of the first.
const twoPorts = `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: red}, spec: {routes: [{dst: 198.51.100.0/24, kind: blackhole}, {dst: "2001:db8:5::/48", kind: blackhole}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: red}, spec: {device: router/core, mac: "02:00:00:00:01:01", addresses: [192.0.2.1/24, "2001:db8::1/64"]FILTERS}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: plain, tenant: red}, spec: {device: router/core, mac: "02:00:00:00:01:02", addresses: [192.0.3.1/24, "2001:db8:1::1/64"]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: noping, tenant: red}, spec: {default: accept, rules: [{match: {protocols: [icmp, icmpv6]}, action: drop}]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: track, tenant: red}, spec: {default: drop, rules: [{match: {states: [new, established]}, action: accept}]}}
`

// asker is who asks a router's port.
type asker struct {
	mac       packet.MAC
	own, own6 netip.Addr
}

var (
	upMAC, plainMAC = packet.MAC{2, 0, 0, 0, 1, 1}, packet.MAC{2, 0, 0, 0, 1, 2}
	upAsker         = asker{packet.MAC{2, 0, 0, 0, 0, 9}, netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")}
	plainAsker      = asker{packet.MAC{2, 0, 0, 0, 0, 8}, netip.MustParseAddr("192.0.3.9"), netip.MustParseAddr("2001:db8:1::9")}
)

func (x *asker) of(to netip.Addr) netip.Addr {
	if to.Is4() {
		return x.own
	}
	return x.own6
}

// looksFor asks who has an address, and returns the answer that a router port gives.
func (x *asker) looksFor(t *testing.T, target string, router packet.MAC) (question, answer []byte) {
	t.Helper()
	to := netip.MustParseAddr(target)
	var f packet.Frame
	if to.Is4() {
		question = packet.AppendARPRequest(nil, x.mac, x.own, to)
	} else {
		question = packet.AppendNS(nil, x.mac, x.own6, to)
	}
	if err := packet.Parse(question, &f); err != nil {
		t.Fatal(err)
	}
	if to.Is4() {
		q, err := f.ARP()
		if err != nil {
			t.Fatal(err)
		}
		return question, packet.AppendARPReply(nil, &q, router)
	}
	q, err := f.ND()
	if err != nil {
		t.Fatal(err)
	}
	return question, packet.AppendNA(nil, &q, x.mac, router, true)
}

// toItself has a neighbour solicitation sent to the address that it asks for, as by who makes sure that a neighbour is still there (RFC 4861 section 7.3.3).
func toItself(solicitation []byte, mac packet.MAC) []byte {
	solicitation = bytes.Clone(solicitation)
	ip := solicitation[packet.EthernetLen:]
	msg := ip[packet.IPv6Len:]
	copy(solicitation, mac[:])
	copy(ip[24:40], msg[8:24])
	msg[2], msg[3] = 0, 0
	sum := packet.PseudoSum(netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40])), packet.ProtoICMPv6, len(msg))
	binary.BigEndian.PutUint16(msg[2:], sum.Add(msg).Fold())
	return solicitation
}

// pings pings an address by way of a router port, and returns the answer that the router gives.
func (x *asker) pings(t *testing.T, target string, router packet.MAC) (question, answer []byte) {
	t.Helper()
	to := netip.MustParseAddr(target)
	question = packet.AppendEchoRequest(nil, x.of(to), to, 7, 1)
	copy(question, router[:])
	copy(question[6:], x.mac[:])
	var f packet.Frame
	if err := packet.Parse(question, &f); err != nil {
		t.Fatal(err)
	}
	answer, err := packet.AppendEchoReply(nil, &f)
	if err != nil {
		t.Fatal(err)
	}
	copy(answer, x.mac[:])
	copy(answer[6:], router[:])
	return question, answer
}

// questioned is an edge with the two ports, whose agent's goroutine is held up.
type questioned struct {
	*testing.T
	c       *core
	target  *p4rttest.Server
	release func() // has that goroutine go on
}

func newQuestioned(t *testing.T, filters string) *questioned {
	t.Helper()
	q := &questioned{T: t, target: p4rttest.NewServer()}
	c := detachedFrom(t, idleStore(t), q.target.Dial)
	q.c = c
	clear(c.view.places)
	var err error
	if c.snap, err = topology.Load("network.yaml", []byte(strings.Replace(twoPorts, "FILTERS", filters, 1))); err != nil {
		t.Fatal(err)
	}
	up, plain := vportOf(t, c, "up"), vportOf(t, c, "plain")
	var asked topology.Changes
	for _, a := range []netip.Addr{upAsker.own, upAsker.own6} {
		asked.Neighbours = append(asked.Neighbours, topology.Neighbour{Port: up, Addr: a, State: topology.NeighbourAsked})
	}
	c.snap, _ = c.snap.With(asked)
	c.a.snap.Store(c.snap)
	c.view.places[up], c.view.places[plain] = place{edge: "e1", at: offload.Attachment{Port: 1}}, place{edge: "e1", at: offload.Attachment{Port: 2}}
	c.view.speaks[up] = nil
	c.rebuild(c.layout.all(c.view))
	c.a.cfg.Speaker = heard{}
	c.speaking.told.Store(&map[flow.VPortID]*topology.VPort{up: c.snap.VPort(up)})
	ctx := connected(t, c, q.target)
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		c.a.work(ctx)
	}()
	held, release := make(chan struct{}), make(chan struct{})
	c.a.mail.post(func() {
		close(held)
		<-release
	})
	<-held
	q.release = func() { close(release) }
	return q
}

// brings has the target hand up a frame of a port.
func (q *questioned) brings(port string, reason flow.Reason, frame []byte) {
	q.Helper()
	local, ok := q.c.locals.vports.Lookup(vportOf(q.T, q.c, port))
	if !ok {
		q.Fatalf("%s has no number", port)
	}
	q.target.PacketIn(frame, []byte{1}, []byte{byte(local)}, []byte{byte(reason)}, []byte{0}, []byte{0}, []byte{0})
}

// answers waits until the neighbours got as many frames, and returns them, in order.
func (q *questioned) answers(n int) (frames [][]byte) {
	q.Helper()
	if !q.target.Wait(q.c.ctx, func(v p4rttest.View) bool {
		frames = nil
		for _, p := range v.PacketsOut {
			if to := packet.MAC(p.Payload[:6]); to == upAsker.mac || to == plainAsker.mac {
				frames = append(frames, p.Payload)
			}
		}
		return len(frames) >= n
	}) {
		q.Fatalf("%d answers, want %d: %+v", len(frames), n, q.c.a.Stats())
	}
	return frames
}

// settled waits until the agent has decided as many packet-ins, and heard the copies of what was answered.
func (q *questioned) settled(packetIns uint64) {
	q.Helper()
	q.brings("up", flow.ReasonMissFlow, make([]byte, 10)) // one too short to be a packet, behind all others of its port
	wait.Until(q.T, "packet-ins are decided", func() bool { return q.c.a.Stats().PacketIns == packetIns+1 })
}

func wantFrames(t *testing.T, got, want [][]byte) {
	t.Helper()
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d answers:\n%x\nwant %d:\n%x", len(got), got, len(want), want)
	}
}

// wantSame is wantFrames in any order.
func wantSame(t *testing.T, got, want [][]byte) {
	t.Helper()
	wantFrames(t, slices.SortedFunc(slices.Values(got), bytes.Compare), slices.SortedFunc(slices.Values(want), bytes.Compare))
}

// TestAnswersAhead (G1): while the agent's goroutine is held up, who asks a port with sessions for its own addresses is answered, and pings of them are, once each, and what is to be learnt from that is heard later; what is for
// others, or of another port, waits.
func TestAnswersAhead(t *testing.T) {
	q := newQuestioned(t, "")
	others := uint64(0)
	var late [][]byte
	for _, x := range []struct {
		to, beyond, plain string
	}{{"192.0.2.1", "198.51.100.1", "192.0.3.1"}, {"2001:db8::1", "2001:db8:5::1", "2001:db8:1::1"}} {
		beyond, _ := upAsker.looksFor(t, x.beyond, upMAC)
		q.brings("up", flow.ReasonService, beyond)
		beyond, _ = upAsker.pings(t, x.beyond, upMAC)
		q.brings("up", flow.ReasonMissFlow, beyond)
		ask, told := plainAsker.looksFor(t, x.plain, plainMAC)
		q.brings("plain", flow.ReasonARP, ask)
		ping, pong := plainAsker.pings(t, x.plain, plainMAC)
		q.brings("plain", flow.ReasonMissFlow, ping)
		late = append(late, told, pong)
		others += 4
	}
	var want [][]byte
	up := q.c.snap.VPort(vportOf(t, q.c, "up"))
	for _, to := range []string{"192.0.2.1", "2001:db8::1", up.LinkLocal.String()} {
		ask, told := upAsker.looksFor(t, to, upMAC)
		q.brings("up", flow.ReasonService, ask)
		want = append(want, told)
		if netip.MustParseAddr(to).Is6() {
			q.brings("up", flow.ReasonService, toItself(ask, upMAC))
			want = append(want, told)
		}
		for _, reason := range []flow.Reason{flow.ReasonMissSource, flow.ReasonMissScope, flow.ReasonMissFlow} {
			ping, pong := upAsker.pings(t, to, upMAC)
			q.brings("up", reason, ping)
			want = append(want, pong)
		}
	}
	wantFrames(t, q.answers(len(want)), want)
	if s := q.c.a.Stats(); s.Answered != uint64(len(want)) || s.PacketIns != 0 {
		t.Errorf("%d answered, %d taken; want %d, 0", s.Answered, s.PacketIns, len(want))
	}
	q.release()
	q.answers(len(want) + len(late))
	q.settled(others)
	wantSame(t, q.answers(len(want)+len(late)), slices.Concat(want, late))
	if s := q.c.a.Stats(); s.Upcalls != others || s.Consumed != uint64(len(late)) || s.Answered != uint64(len(want)) || s.QueueDrops != 0 || s.Departed != 0 {
		t.Errorf("%+v, want %d upcalls of which %d are answered", s, others, len(late))
	}
	if err := q.c.a.mail.call(q.c.ctx, func() {
		for _, a := range []netip.Addr{upAsker.own, upAsker.own6} {
			learn := sim.Effect{Kind: sim.LearnNeighbour, Device: up.Device, Port: up.ID, Addr: a, MAC: upAsker.mac, Solicited: true}
			_, busy := q.c.effects.busy[learn]
			_, refused := q.c.effects.refused[learn] // the database has no such port
			if !busy && !refused {
				t.Errorf("nobody heard where %v is: %v", a, q.c.effects.busy)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// TestAnswersKeepChains: a ping that a chain drops is dropped, one whose connection a chain asks for waits for the agent; neighbours are answered.
func TestAnswersKeepChains(t *testing.T) {
	for _, chain := range []string{"noping", "track"} {
		t.Run(chain, func(t *testing.T) {
			q := newQuestioned(t, ", filters: {ingress: "+chain+"}")
			var want [][]byte
			var late [][]byte
			pings := uint64(0)
			for _, to := range []string{"192.0.2.1", "2001:db8::1"} {
				ping, pong := upAsker.pings(t, to, upMAC)
				q.brings("up", flow.ReasonMissFlow, ping)
				if pings++; chain == "track" {
					late = append(late, pong)
				}
				ask, told := upAsker.looksFor(t, to, upMAC)
				q.brings("up", flow.ReasonService, ask)
				want = append(want, told)
			}
			wantFrames(t, q.answers(len(want)), want)
			q.release()
			q.settled(pings)
			wantSame(t, q.answers(len(want)+len(late)), slices.Concat(want, late))
			s := q.c.a.Stats()
			if s.Answered != uint64(len(want)) || s.Upcalls != pings {
				t.Errorf("%d answered, %d upcalls; want %d, %d", s.Answered, s.Upcalls, len(want), pings)
			}
			if chain == "noping" && s.Drops != pings {
				t.Errorf("%d drops, want the %d pings", s.Drops, pings)
			}
		})
	}
}
