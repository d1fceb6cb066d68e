package engine

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

// pair are the cores of two edges, each of which owns a direction of a connection.
type pair struct {
	t     *testing.T
	store *state.Store
	key   conntrack.Key // of the forward direction
	cores [2]*core
	told  [2]chan state.Told
}

func newPair(t *testing.T) *pair {
	store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	p := &pair{t: t, store: store, told: [2]chan state.Told{make(chan state.Told, 64), make(chan state.Told, 64)}}
	a := func(s string) flow.Addr { return flow.AddrOf(netip.MustParseAddr(s)) }
	p.key = conntrack.Key{Zone: 1, Tuple: conntrack.Tuple{Src: a("10.9.0.1"), Dst: a("192.0.2.1"), SrcPort: 4000, DstPort: 80, Proto: packet.ProtoTCP}}
	for i := range p.cores {
		p.cores[i] = detached(t, store)
	}
	for i, c := range p.cores {
		c.conns.live[p.cores[1-i].conns.run] = true
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan struct{})
	begun := sync.OnceFunc(func() { close(ready) })
	go func() {
		defer close(done)
		_ = store.Watch(ctx, func(c state.Change) {
			begun()
			for _, w := range c.Told {
				for i := range p.told {
					if w.Run == p.cores[i].conns.run {
						p.told[i] <- w
					}
				}
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-ready
	return p
}

// settled waits until nothing is under way to the database, or from it.
func (p *pair) settled() {
	p.t.Helper()
	for again := true; again; {
		again = false
		for _, c := range p.cores {
			c.effects.wait()
			c.a.mail.mu.Lock()
			again = again || len(c.a.mail.posts) > 0
			c.a.mail.mu.Unlock()
			c.a.mail.deliver()
		}
	}
}

// begin has the first edge store a connection, in the place of what is there if replace is set.
func (p *pair) begin(replace bool) {
	p.t.Helper()
	r := sim.Track{Used: true, Key: p.key, Commit: true, Replace: replace}
	r.Progress = r.Next(&conntrack.Packet{Proto: packet.ProtoTCP, Flags: packet.TCPSyn}, false)
	r.New = conntrack.Conn{Forward: p.key, RetZone: 2, Progress: r.Progress}
	p.cores[0].conns.create(&r, 0)
	p.settled()
	if x := p.cores[0].conns.known.get(p.key); x == nil || x.stored.String() != "syn-sent" {
		p.t.Fatalf("after the first packet: %+v", x)
	}
}

// sees has the edge of a direction see a segment.
func (p *pair) sees(dir int, k conntrack.Packet) {
	p.t.Helper()
	k.Proto = packet.ProtoTCP
	t, key := p.cores[dir].conns, p.key
	x := t.known.get(key)
	if x == nil {
		found, there, err := p.store.FindConn(p.t.Context(), key)
		if err != nil || !there {
			p.t.Fatal(there, err)
		}
		x = &conn{stored: found}
	}
	if dir == reply {
		key = x.stored.Return()
	}
	if t.known.get(key) == nil {
		t.answers[key] = x
	}
	r := sim.Track{Used: true, Key: key, Reply: dir == reply, Progress: x.stored.Next(&k, dir == reply), Ack: k.Ack}
	r.Changed = r.Progress != x.stored.Progress
	t.own(&r)
}

// hears has an edge hear what it was told, which must be something.
func (p *pair) hears(dir int) {
	p.t.Helper()
	select {
	case w := <-p.told[dir]:
		p.cores[dir].conns.told([]state.Told{w})
		p.settled()
	case <-time.After(10 * time.Second):
		p.t.Fatalf("edge %d is told nothing", dir)
	}
}

// is checks the state that the database has, or an edge.
func (p *pair) is(want string, edges ...int) {
	p.t.Helper()
	found, there, err := p.store.FindConn(p.t.Context(), p.key)
	if err != nil || !there || found.String() != want {
		p.t.Errorf("the database has %v, %v, %v; want %s", found.State, there, err, want)
	}
	for _, e := range edges {
		if x := p.cores[e].conns.known.get(p.key); x == nil || x.stored.String() != want {
			p.t.Errorf("edge %d has %+v, want %s", e, x, want)
		}
	}
}

func segment(flags uint8, seq, ack uint32) conntrack.Packet {
	return conntrack.Packet{Flags: flags, Segment: packet.Segment{Seq: seq, Ack: ack, Len: 1}}
}

// TestBothEnd (C6): each edge sees the FIN of its side, before it hears of the other's. What the two FINs acknowledge counts all the same, and the last
// acknowledgement is known where it passes.
func TestBothEnd(t *testing.T) {
	const fin, ack = packet.TCPFin, packet.TCPAck
	for name, way := range map[string]struct {
		acks   uint32 // what the other side's FIN acknowledges: the first one ends at 11
		behind uint32 // what its next segment does
		want   [2]string
	}{"one after the other": {11, 11, [2]string{"closing", "closed"}}, "at once": {10, 11, [2]string{"closing", "closing"}}} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.begin(false)
			p.sees(reply, segment(ack, 20, 10))
			p.settled()
			p.is("established", reply)
			p.sees(forward, segment(fin|ack, 10, 20))
			p.sees(reply, segment(fin|ack, 20, way.acks))
			p.settled()
			p.hears(forward)
			p.hears(reply)
			p.is(way.want[0], forward, reply)
			p.sees(forward, segment(ack, 11, 20))
			p.settled()
			p.is(way.want[0], forward)
			p.sees(forward, segment(ack, 11, 21))
			p.settled()
			p.is(way.want[1], forward)
			p.sees(reply, segment(ack, 21, way.behind))
			p.settled()
			p.is("closed")
		})
	}
}

// TestForgedReset: a reset that a side did not send ends nothing: it goes on, and the other edge hears of it.
func TestForgedReset(t *testing.T) {
	p := newPair(t)
	p.begin(false)
	p.sees(reply, segment(packet.TCPAck, 20, 10))
	p.settled()
	p.sees(forward, segment(packet.TCPRst, 999, 0))
	p.settled()
	p.hears(reply)
	p.is("reset", forward, reply)
	p.sees(reply, segment(packet.TCPAck, 21, 10))
	p.settled()
	p.is("reset", forward, reply)
	p.sees(forward, segment(packet.TCPAck, 10, 21))
	p.settled()
	p.hears(reply)
	p.is("established", forward, reply)
}

// TestReplaced: a connection that begins where one is over is another one: the edge that has the other direction of the old one hears of it, and takes nothing
// that it knew of the old one for something about the new one.
func TestReplaced(t *testing.T) {
	for _, hears := range []bool{true, false} {
		p := newPair(t)
		p.begin(false)
		p.sees(reply, segment(packet.TCPRst, 20, 10))
		p.settled()
		p.hears(forward)
		p.is("reset", forward, reply)
		p.begin(true)
		p.is("syn-sent", forward)
		if hears {
			p.hears(reply)
		} else { // it lets go of the old one meanwhile
			x := p.cores[reply].conns.known.get(p.key)
			x.own[reply] = false
			p.cores[reply].conns.store(x)
			p.settled()
		}
		if x := p.cores[reply].conns.known.get(p.key); x != nil {
			t.Errorf("the other edge has %+v", x)
		}
		p.is("syn-sent", forward)
	}
}

// TestTakenOver: packets of a direction that come in at another edge from now on are that one's: the edge that had it hears, and lets go without a word to the
// database, so that it does not end the connection when its own flow is idle.
func TestTakenOver(t *testing.T) {
	p := newPair(t)
	p.begin(false)
	other := p.cores[1].conns
	found, there, err := p.store.FindConn(t.Context(), p.key)
	if err != nil || !there {
		t.Fatal(there, err)
	}
	other.answers[p.key] = &conn{stored: found}
	other.own(&sim.Track{Used: true, Key: p.key, Progress: found.Progress})
	p.settled()
	p.hears(forward)
	if x := p.cores[0].conns.known.get(p.key); x != nil {
		t.Errorf("the edge that had it still has %+v", x)
	}
	now, there, err := p.store.FindConn(t.Context(), p.key)
	if err != nil || !there || now.ForwardOwner != other.run || now.Conn.Progress != found.Progress {
		t.Errorf("the database has %+v, %v, %v", now, there, err)
	}
	if x := other.known.get(p.key); x == nil || !x.own[forward] {
		t.Errorf("the other edge has %+v", x)
	}
}

// TestDoubts: a connection of which the database did not say whether it was stored, and that nobody uses, is taken out; one that is used stays.
func TestDoubts(t *testing.T) {
	for _, used := range []bool{false, true} {
		p := newPair(t)
		c := p.cores[forward].conns
		x := conntrack.Conn{Forward: p.key, RetZone: 2, ForwardOwner: c.run, Progress: conntrack.Progress{}.Next(&conntrack.Packet{Proto: packet.ProtoTCP, Flags: packet.TCPAck}, false)}
		if _, created, err := p.store.CreateConn(t.Context(), x, nil, nil, nil); err != nil || !created {
			t.Fatal(created, err)
		}
		c.doubts[p.key] = c.c.now()
		if used {
			p.sees(forward, segment(packet.TCPAck, 10, 20))
			p.settled()
		}
		c.sweep(c.c.now() + doubtTime/2)
		if p.settled(); len(c.doubts) != 1 {
			t.Error("a doubt is settled while the write may still be under way")
		}
		c.sweep(c.c.now() + doubtTime)
		p.settled()
		if _, there, err := p.store.FindConn(t.Context(), p.key); err != nil || there != used || len(c.doubts) > 0 {
			t.Errorf("used %v: in the database %v, %v; doubts %v", used, there, err, c.doubts)
		}
	}
}

// TestMade: a port, a router's too, may begin others when its connections have ended.
func TestMade(t *testing.T) {
	for _, port := range []string{"vm1", "gw-lan"} {
		t.Run(port, func(t *testing.T) { testMade(t, port) })
	}
}

func testMade(t *testing.T, port string) {
	p := newPair(t)
	c, vm := p.cores[0].conns, vportOf(t, p.cores[0], port)
	r := sim.Track{Used: true, Key: p.key, Commit: true}
	r.Progress = r.Next(&conntrack.Packet{Proto: packet.ProtoTCP, Flags: packet.TCPSyn}, false)
	r.New = conntrack.Conn{Forward: p.key, RetZone: 2, Progress: r.Progress}
	c.create(&r, vm)
	p.settled()
	if c.made[vm] != 1 {
		t.Errorf("%d are counted, want 1", c.made[vm])
	}
	x := c.known.get(p.key)
	x.own[forward] = false
	c.store(x)
	p.settled()
	if c.known.n != 0 || len(c.made) != 0 {
		t.Errorf("%d known, counted are %v", c.known.n, c.made)
	}
}

// TestLateAnswer: a word of the other edge that is heard before the answer to an earlier write of this one is not undone by that.
func TestLateAnswer(t *testing.T) {
	p := newPair(t)
	a, b := p.cores[0].conns, p.cores[1].conns
	const fin, ack = packet.TCPFin, packet.TCPAck
	p.begin(false)
	p.sees(reply, segment(ack, 20, 10))
	p.settled()
	p.sees(forward, segment(fin|ack, 10, 20))
	p.cores[0].effects.wait()
	p.cores[0].a.mail.deliver() // its first write failed, as the other edge had changed it
	p.cores[0].effects.wait()   // the second one is done, and the answer waits
	find := func() state.StoredConn {
		found, there, err := p.store.FindConn(t.Context(), p.key)
		if err != nil || !there {
			t.Fatal(there, err)
		}
		return found
	}
	b.heard(p.key, find(), true)
	p.sees(reply, segment(fin|ack, 20, 11))
	p.cores[1].effects.wait()
	p.cores[1].a.mail.deliver()
	a.heard(p.key, find(), true)
	p.settled()
	p.is("closing", forward, reply)
}

// TestLateGone: that there was no connection, before this edge stored one, ends nothing.
func TestLateGone(t *testing.T) {
	p := newPair(t)
	gone, there, err := p.store.FindConn(t.Context(), p.key)
	if err != nil || there || gone.Revision == 0 {
		t.Fatal(gone, there, err)
	}
	p.begin(false)
	p.cores[0].conns.heard(p.key, gone, false)
	p.settled()
	p.is("syn-sent", forward)
}

// TestReplacedFromBehind: a SYN of the other side begins a connection anew, though this edge has not heard of what another one changed.
func TestReplacedFromBehind(t *testing.T) {
	p := newPair(t)
	b := p.cores[1].conns
	p.begin(false)
	p.sees(reply, segment(packet.TCPRst, 20, 10))
	p.settled()
	p.hears(forward)
	x := p.cores[0].conns.known.get(p.key)
	x.own[forward] = false
	p.cores[0].conns.store(x)
	p.settled()
	ret := b.known.get(p.key).stored.Return()
	r := sim.Track{Used: true, Key: ret, Commit: true, Replace: true}
	r.Progress = r.Next(&conntrack.Packet{Proto: packet.ProtoTCP, Flags: packet.TCPSyn}, false)
	r.New = conntrack.Conn{Forward: ret, RetZone: 1, Progress: r.Progress}
	b.create(&r, 0)
	p.settled()
	if x, _ := b.known.find(&ret, ret.Hash()); x != nil {
		t.Errorf("what was out of date is still known: %+v", x)
	}
	found, there, err := p.store.FindConn(t.Context(), ret) // as for the packet that waits
	if err != nil || !there {
		t.Fatal(there, err)
	}
	b.answer(ret, found, true)
	b.create(&r, 0)
	p.settled()
	if found, there, err := p.store.FindConn(t.Context(), ret); err != nil || !there || found.Forward != ret {
		t.Errorf("%+v, %v, %v", found, there, err)
	}
}

// TestEndTells: whoever ends a connection tells the owner of the other direction, of which it had not heard.
func TestEndTells(t *testing.T) {
	p := newPair(t)
	p.begin(false)
	p.sees(reply, segment(packet.TCPAck, 20, 10))
	p.settled()
	a := p.cores[0].conns
	a.end(a.known.get(p.key))
	p.settled()
	p.hears(reply)
	if x := p.cores[1].conns.known.get(p.key); x != nil {
		t.Errorf("the other edge still has %+v", x)
	}
}

// TestAway: an edge whose lease had lapsed looks again at what it knows. What is there stays; what others took out since they took it for dead is stored again, as it is here;
// unless another has its place by now: that holds.
func TestAway(t *testing.T) {
	for _, meanwhile := range []string{"nothing", "swept", "replaced"} {
		p := newPair(t)
		a, b := p.cores[0].conns, p.cores[1].conns
		p.begin(false)
		mine := a.known.get(p.key).stored
		both := map[string]state.Edge{}
		for i, id := range []string{"e1", "e2"} {
			var e state.Edge
			e.ID, e.Run = id, p.cores[i].conns.run
			both[id] = e
		}
		edges := map[string]struct{}{"e1": {}, "e2": {}}
		a.meet(state.EdgeMapOf(both), edges)
		if meanwhile != "nothing" {
			live := map[int64]bool{b.run: true}
			seen, _, err := p.store.SweepConns(t.Context(), live, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, n, err := p.store.SweepConns(t.Context(), live, seen); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		other := mine.Conn
		other.Birth, other.ForwardOwner = mine.Birth+1, b.run
		if meanwhile == "replaced" {
			if _, created, err := p.store.CreateConn(t.Context(), other, nil, nil, nil); err != nil || !created {
				t.Fatal(created, err)
			}
		}
		a.meet(state.EdgeMapOf(map[string]state.Edge{"e2": both["e2"]}), edges)
		a.meet(state.EdgeMapOf(both), edges)
		p.settled()
		want, known := mine.Conn, true
		if meanwhile == "replaced" {
			want, known = other, false
		}
		found, there, err := p.store.FindConn(t.Context(), p.key)
		if err != nil || !there || found.Conn != want {
			t.Errorf("%s: the database has %+v, %v, %v, want %+v", meanwhile, found, there, err, want)
		}
		if x := a.known.get(p.key); (x != nil) != known || x != nil && (x.local || x.stored.Revision != found.Revision) {
			t.Errorf("%s: the edge has %+v", meanwhile, x)
		}
	}
}

// TestFailedIsAskedAgain: when a connection could not be stored, or has no translation, what was known of its key before counts no more.
func TestFailedIsAskedAgain(t *testing.T) {
	p := newPair(t)
	c := p.cores[0].conns
	for name, end := range map[string]func(){
		"failed": func() { c.failed(p.key, context.DeadlineExceeded) },
		"taken":  func() { c.attempts[p.key] = maxAttempts; c.taken(p.key) },
	} {
		c.answer(p.key, state.StoredConn{}, false)
		end()
		if _, _, known := c.Find(&p.key, p.key.Hash()); known {
			t.Errorf("%s: it is still taken for one that is not there", name)
		}
	}
}
