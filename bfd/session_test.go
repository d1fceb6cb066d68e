package bfd

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pair are two ends of a session and the way between them, in a synctest bubble.
type pair struct {
	t    *testing.T
	stop [2]context.CancelFunc

	mu      sync.Mutex // of what the ends' goroutines do
	ends    [2]*Session
	mine    [2]uint32 // discriminators
	lost    [2]bool   // what this end sends
	sent    [2][]sentPacket
	changes [2][]Change
}

// cut has what each end sends lost, or not.
func (p *pair) cut(first, second bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = [2]bool{first, second}
}

// sentBy is how many packets an end has sent.
func (p *pair) sentBy(i int) int { return len(p.said(i)) }

// said are the packets that an end has sent.
func (p *pair) said(i int) []sentPacket {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent[i])
}

// told are the changes that an end told.
func (p *pair) told(i int) []Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.changes[i])
}

type sentPacket struct {
	Packet
	at time.Time
}

const delay = time.Millisecond // of the way

func newPair(t *testing.T, a, b Config) *pair {
	p := &pair{t: t}
	for i, c := range []Config{a, b} {
		p.begin(i, c, uint32(100+i))
	}
	t.Cleanup(func() { p.stop[0](); p.stop[1](); synctest.Wait() })
	return p
}

// begin begins an end, anew if it ran before.
func (p *pair) begin(i int, c Config, discriminator uint32) {
	if p.stop[i] != nil {
		p.stop[i]()
	}
	ctx, stop := context.WithCancel(context.Background())
	one := NewSession(c, discriminator, func(out Packet) { p.carry(i, out) }, func(c Change) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changes[i] = append(p.changes[i], c)
	})
	p.mu.Lock()
	p.ends[i], p.mine[i], p.stop[i] = one, discriminator, stop
	p.mu.Unlock()
	go func() { _ = one.Run(ctx) }()
}

// carry has a packet, as it stands in a datagram, come to the other end.
func (p *pair) carry(from int, out Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[from] = append(p.sent[from], sentPacket{out, time.Now()})
	if p.lost[from] {
		return
	}
	in, err := Parse(out.Marshal())
	if err != nil {
		p.t.Errorf("sent a packet that is passed over: %v: %+v", err, out)
	}
	to := p.ends[1-from]
	if in.Yours != 0 && in.Yours != p.mine[1-from] { // as a port does
		return
	}
	time.AfterFunc(delay, func() { to.Receive(in) })
}

// states waits and returns how both ends are.
func (p *pair) states(d time.Duration) (a, b State) {
	time.Sleep(d)
	synctest.Wait()
	return p.ends[0].Status().State, p.ends[1].Status().State
}

func (p *pair) up(d time.Duration) {
	p.t.Helper()
	if a, b := p.states(d); a != Up || b != Up {
		p.t.Fatalf("after %v the ends are %v and %v, not up", d, a, b)
	}
}

func fast(tx, rx time.Duration, n uint8) Config { return Config{MinTx: tx, MinRx: rx, Multiplier: n} }

const ms = time.Millisecond

// TestComesUp: both ends come up, agree on the slower of what both ask for, and the time of packets is that less up to a quarter.
func TestComesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, fast(50*ms, 50*ms, 3), fast(300*ms, 200*ms, 5))
		p.up(4 * time.Second)
		a, b := p.ends[0].Status(), p.ends[1].Status()
		if a.Tx != 200*ms || a.Rx != 300*ms || a.Detection != 1500*ms || b.Tx != 300*ms || b.Rx != 200*ms || b.Detection != 600*ms {
			t.Errorf("agreed on %+v and %+v", a, b)
		}
		if a.Yours != b.Mine || b.Yours != a.Mine || a.Polls || b.Polls || a.Diagnostic != NoDiagnostic {
			t.Errorf("ends are %+v and %+v", a, b)
		}
		for i, want := range []time.Duration{200 * ms, 300 * ms} {
			from := p.sentBy(i)
			p.up(60 * time.Second)
			steady := p.said(i)[from:]
			for j := range steady[1:] {
				if d := steady[j+1].at.Sub(steady[j].at); d < want*3/4 || d > want {
					t.Fatalf("end %d: %v between packets, want %v to %v", i, d, want*3/4, want)
				}
			}
			if n := len(steady); n < int(60*time.Second/want) || n > int(60*time.Second/(want*3/4))+1 {
				t.Errorf("end %d sent %d packets in a minute", i, n)
			}
		}
		if len(p.told(0)) != 1 || !p.told(0)[0].Up || p.ends[0].Status().Flaps != 0 {
			t.Errorf("changes %+v", p.told(0))
		}
	})
}

// TestMultiplierOne: who may miss no packet is sent them at least a tenth sooner.
func TestMultiplierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, fast(100*ms, 100*ms, 1), fast(100*ms, 100*ms, 3))
		p.up(5 * time.Second)
		from := p.sentBy(0)
		p.up(30 * time.Second)
		steady := p.said(0)[from:]
		for i := range steady[1:] {
			if d := steady[i+1].at.Sub(steady[i].at); d < 75*ms || d > 90*ms {
				t.Fatalf("%v between packets", d)
			}
		}
	})
}

// TestLost: one way is lost, then both: each end knows after its detection time, says why, and comes up again when the way is back.
func TestLost(t *testing.T) {
	for _, cut := range [][2]bool{{true, false}, {false, true}, {true, true}} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, fast(50*ms, 50*ms, 3), fast(50*ms, 50*ms, 3))
			p.up(5 * time.Second)
			p.cut(cut[0], cut[1])
			a, b := p.states(150*ms + 2*delay)
			if a != Down && b != Down {
				t.Fatalf("%v: the ends are %v and %v after the detection time", cut, a, b)
			}
			p.states(2 * time.Second)
			for i, s := range []Status{p.ends[0].Status(), p.ends[1].Status()} {
				want := NeighbourDown
				if cut[1-i] {
					want = Expired
				}
				last := p.told(i)[len(p.told(i))-1]
				if s.State == Up || s.LostWhy != want || s.Flaps != 1 || last.Up || !last.Failed || last.Diagnostic != want {
					t.Errorf("%v: end %d: %+v, %+v", cut, i, s, last)
				}
			}
			p.cut(false, false)
			p.up(5 * time.Second)
		})
	}
}

// TestFew: of packets fewer in a row than the multiplier may be lost, whatever the jitter.
func TestFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, fast(50*ms, 50*ms, 3), fast(50*ms, 50*ms, 3))
		p.up(5 * time.Second)
		for range 200 {
			before := p.sentBy(0)
			p.cut(true, false)
			for p.sentBy(0) < before+2 {
				time.Sleep(ms)
			}
			p.cut(false, false)
			for p.sentBy(0) < before+4 {
				time.Sleep(ms)
			}
		}
		if p.up(0); p.ends[1].Status().Flaps != 0 {
			t.Error("two packets of three were lost, and the session was too")
		}
	})
}

// TestSwitchedOff: an end that is switched off says so, and the other does not take it for a failure.
func TestSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, fast(50*ms, 50*ms, 3), fast(50*ms, 50*ms, 3))
		p.up(5 * time.Second)
		p.ends[0].Leave()
		a, b := p.states(300 * ms)
		last := p.told(1)[len(p.told(1))-1]
		if a != AdminDown || b != Down || last.Up || last.Failed || last.Diagnostic != NeighbourDown {
			t.Errorf("ends are %v and %v: %+v", a, b, last)
		}
		if own := p.told(0)[len(p.told(0))-1]; own.Up || own.Failed {
			t.Errorf("who left: %+v", own)
		}
		sent := p.sentBy(0)
		if p.states(time.Minute); p.sentBy(0) != sent {
			t.Errorf("%d packets from who left", p.sentBy(0)-sent)
		}
		if left := p.said(0)[sent-1]; left.State != AdminDown || left.Diagnostic != AdministrativeEnd {
			t.Errorf("the last word: %+v", left)
		}
	})
}

// TestSwitchedOffUnheard: who is switched off says so for a while if the other does not answer, and then no more.
func TestSwitchedOffUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, fast(50*ms, 50*ms, 3), fast(50*ms, 50*ms, 3))
		p.up(5 * time.Second)
		p.cut(true, true)
		from := p.sentBy(0)
		p.ends[0].Leave()
		p.states(time.Minute)
		said := p.said(0)[from:]
		if len(said) < 3 || said[len(said)-1].at.Sub(said[0].at) > farewell {
			t.Errorf("%d packets", len(said))
		}
		for _, s := range said {
			if s.State != AdminDown {
				t.Errorf("said %+v", s)
			}
		}
	})
}

// TestChanged: other parameters hold once the other end knows, and the session stays up; slower ones not before, faster ones of packets that come neither.
func TestChanged(t *testing.T) {
	for _, to := range []Config{fast(500*ms, 50*ms, 3), fast(50*ms, 500*ms, 4), fast(1000*ms, 1000*ms, 2), fast(60*ms, 70*ms, 10), fast(50*ms, 50*ms, 9)} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, fast(50*ms, 50*ms, 3), fast(50*ms, 50*ms, 3))
			p.up(5 * time.Second)
			for _, c := range []Config{to, fast(50*ms, 50*ms, 3), to} {
				p.ends[0].Configure(c)
				p.up(10 * time.Second)
				a, b := p.ends[0].Status(), p.ends[1].Status()
				if a.Tx != c.MinTx || b.Tx != c.MinRx || b.Detection != time.Duration(c.Multiplier)*c.MinTx || a.Polls || a.Rx != c.MinRx {
					t.Errorf("%+v: ends are %+v and %+v", c, a, b)
				}
			}
			// While the other end does not hear of it.
			before := p.ends[0].Status()
			p.cut(true, false)
			p.ends[0].Configure(fast(2*time.Second, 50*ms, 3))
			time.Sleep(20 * ms)
			synctest.Wait()
			if now := p.ends[0].Status(); now.State == Up && (now.Tx != before.Tx || !now.Polls) {
				t.Errorf("changed before the other end knows: %+v", now)
			}
		})
	}
}

// TestRestarted: an end that begins anew is another: the one that was up notices, and both come up.
func TestRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, fast(300*ms, 300*ms, 3), fast(300*ms, 300*ms, 3))
		p.up(5 * time.Second)
		p.cut(true, false) // the last word
		p.stop[0]()
		synctest.Wait()
		p.cut(false, false)
		p.begin(0, fast(300*ms, 300*ms, 3), 500)
		p.up(6 * time.Second)
		if s := p.ends[1].Status(); s.Yours != 500 || s.Flaps != 1 {
			t.Errorf("the other end: %+v", s)
		}
	})
}

// TestRandomWay: on a way that loses and gains at random, both ends agree in the end, whatever they went through, and nobody sends more often than was agreed on.
func TestRandomWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		p := newPair(t, fast(50*ms, 50*ms, 3), fast(60*ms, 70*ms, 2))
		for range 300 {
			p.cut(r.IntN(3) == 0, r.IntN(3) == 0)
			if r.IntN(5) == 0 {
				p.ends[r.IntN(2)].Configure(fast(time.Duration(50+r.IntN(500))*ms, time.Duration(50+r.IntN(500))*ms, uint8(1+r.IntN(4))))
			}
			p.states(time.Duration(r.IntN(1500)) * ms)
		}
		p.cut(false, false)
		p.up(time.Minute)
		a, b := p.ends[0].Status(), p.ends[1].Status()
		if a.Tx != b.Rx || b.Tx != a.Rx || a.Polls || b.Polls || a.Flaps == 0 {
			t.Errorf("ends are %+v and %+v", a, b)
		}
	})
}

// TestDemand: who asks for it is sent no periodic packets while both ends are up, and has polls answered.
func TestDemand(t *testing.T) {
	m := newMachine(fast(50*ms, 50*ms, 3), 7)
	in := Packet{State: Down, Mine: 9, Multiplier: 3, MinTx: time.Second, MinRx: 50 * ms}
	m, _ = m.receive(in)
	in.State, in.Yours = Init, 7
	m, _ = m.receive(in)
	in.State, in.Final, in.Demand = Up, true, true
	m, _ = m.receive(in)
	if m.state != Up || m.interval() != 0 {
		t.Errorf("up: %v, %v between packets", m.state, m.interval())
	}
	in.Poll, in.Final = true, false
	if _, a := m.receive(in); a != final {
		t.Error("a poll is not answered")
	}
	in.Demand, in.MinRx = false, 0
	if m, _ = m.receive(in); m.interval() != 0 {
		t.Error("who wants no packets is sent some")
	}
}

// TestTable is the table of RFC 5880 section 6.8.6.
func TestTable(t *testing.T) {
	for _, x := range []struct {
		local State
		next  [4]State // by what the neighbour's is: AdminDown, Down, Init, Up
	}{
		{AdminDown, [4]State{AdminDown, AdminDown, AdminDown, AdminDown}},
		{Down, [4]State{Down, Init, Up, Down}},
		{Init, [4]State{Down, Init, Up, Up}},
		{Up, [4]State{Down, Down, Up, Up}},
	} {
		for remote, want := range x.next {
			m := newMachine(fast(50*ms, 50*ms, 3), 7)
			m.state = x.local
			if got, _ := m.receive(Packet{State: State(remote), Mine: 9, Yours: 7, Multiplier: 3}); got.state != want {
				t.Errorf("%v hears %v: %v, want %v", x.local, State(remote), got.state, want)
			}
		}
		want := Down
		if x.local == AdminDown {
			want = AdminDown
		}
		m := newMachine(fast(50*ms, 50*ms, 3), 7)
		m.state, m.heard = x.local, true
		if got, _ := m.expire(); got.state != want {
			t.Errorf("%v hears nothing: %v, want %v", x.local, got.state, want)
		}
	}
	if !slices.Contains([]State{Down}, newMachine(Config{}, 1).state) {
		t.Error("a session does not begin down")
	}
}
