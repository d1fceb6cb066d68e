package bfd

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Change is that a session came up, or is not up any more.
type Change struct {
	Up         bool
	Failed     bool       // the way is lost: the neighbour did not switch BFD off, nor did this end
	Diagnostic Diagnostic // why it is not up
	// Independent: BFD at the neighbour goes on while its control plane restarts, so what failed is forwarding (RFC 5882 section 4.3).
	Independent bool
}

// Session is one end of a session. Its Run is the one goroutine that it has.
type Session struct {
	send    func(Packet)
	changed func(Change)
	in      chan Packet // of inbox
	config  chan Config // cap 1: the last that was asked for
	leaving chan struct{}
	leave   sync.Once

	mu sync.Mutex // guards m against Status, and the life below
	m  machine
	life

	sent, received, dropped atomic.Uint64
}

// life is what a session went through.
type life struct {
	since   time.Time // the state is what it is
	flaps   uint64    // how often it was up, and then not
	lostAt  time.Time // the last time
	lostWhy Diagnostic
}

// inbox is how many packets wait for a session's goroutine; more are dropped.
const inbox = 16

// NewSession returns a session that does nothing until Run; Port.Open makes them for ports. send takes packets, and changed is told, by Run's goroutine; neither waits. The discriminator is one that no other session of the system
// has, and is not 0.
func NewSession(c Config, discriminator uint32, send func(Packet), changed func(Change)) *Session {
	return &Session{
		send: send, changed: changed, in: make(chan Packet, inbox), config: make(chan Config, 1), leaving: make(chan struct{}),
		m: newMachine(c, discriminator), life: life{since: time.Now()},
	}
}

// Receive takes a packet of the session. It never waits.
func (s *Session) Receive(p Packet) {
	select {
	case s.in <- p:
	default:
		s.dropped.Add(1)
	}
}

// Configure has the session go on with other parameters. One goroutine calls it.
func (s *Session) Configure(c Config) {
	select {
	case <-s.config:
	default:
	}
	s.config <- c
}

// Leave has the session end on purpose, and the neighbour know; Run returns when it does, or a while later.
func (s *Session) Leave() { s.leave.Do(func() { close(s.leaving) }) }

// farewell is how long at most Run tells a neighbour that the session ends on purpose, if that does not say that it knows; the neighbour's detection time will do (RFC 5880 section 6.8.16).
const farewell = 2 * time.Second

// run is what Run remembers.
type run struct {
	*Session
	tx, detect *time.Timer
	interval   time.Duration // that tx is set by
	last       time.Time     // when a periodic packet was sent
}

// Run carries the session out until ctx ends or, after Leave, the neighbour knows.
func (s *Session) Run(ctx context.Context) error {
	r := run{Session: s, tx: time.NewTimer(0), detect: time.NewTimer(0)}
	defer r.tx.Stop()
	defer r.detect.Stop()
	r.detect.Stop()
	r.interval = r.m.interval()
	leaving, over := s.leaving, make(<-chan time.Time)
	for {
		select {
		case <-ctx.Done():
			r.take(r.m.leave(), now)
			return nil
		case <-leaving:
			r.take(r.m.leave(), now)
			leaving, over = nil, time.After(min(farewell, time.Duration(r.m.config.Multiplier)*r.interval))
		case <-over:
			return nil
		case p := <-s.in:
			r.hear(p)
		case c := <-s.config:
			r.take(r.m.configure(c), nothing)
		case <-r.tx.C:
			r.say(false)
		case <-r.detect.C:
			r.silence()
		}
		if leaving == nil && r.m.remote.State <= Down { // it knows, or knew nothing
			return nil
		}
	}
}

// hear takes a packet.
func (r *run) hear(p Packet) {
	r.received.Add(1)
	r.take(r.m.receive(p))
	if d := r.m.detection(); d > 0 {
		r.detect.Reset(d)
	}
}

// silence: the detection time is over. What came meanwhile and waits counts: it may be this process that was late.
func (r *run) silence() {
	select {
	case p := <-r.in:
		r.hear(p)
	default:
		r.take(r.m.expire())
	}
}

// take makes a machine the session's, sends what is to be sent, and tells what became of the session.
func (r *run) take(next machine, a answer) {
	was, of := r.m.state, r.m.remote
	r.mu.Lock()
	r.m = next
	up := next.state == Up
	if next.state != was {
		r.since = time.Now()
		if was == Up {
			r.flaps++
			r.lostAt, r.lostWhy = r.since, next.diagnostic
		}
	}
	r.mu.Unlock()
	if a != nothing {
		r.say(a == final)
	}
	r.pace()
	if up != (was == Up) {
		r.changed(Change{
			Up: up, Diagnostic: next.diagnostic, Independent: of.Independent,
			Failed: !up && next.state != AdminDown && (next.diagnostic == Expired || next.remote.State != AdminDown),
		})
	}
}

// say sends a packet: a periodic one, one between periodic ones because the state is another, or one with the F bit.
func (r *run) say(f bool) {
	r.sent.Add(1)
	r.send(r.m.packet(f))
	if !f {
		r.last = time.Now()
		r.interval = r.m.interval()
		r.arm()
	}
}

// pace has the next periodic packet sent sooner or later where the time between them is another.
func (r *run) pace() {
	if i := r.m.interval(); i != r.interval {
		r.interval = i
		r.arm()
	}
}

// arm sets the time of the next periodic packet: up to a quarter sooner than the interval, so that systems do not fall into step, and of multiplier 1, a tenth sooner at least (RFC 5880 section 6.8.7).
func (r *run) arm() {
	if r.interval == 0 {
		r.tx.Stop()
		return
	}
	least, most := r.interval*3/4, r.interval
	if r.m.config.Multiplier == 1 {
		most = r.interval * 9 / 10
	}
	r.tx.Reset(max(0, time.Until(r.last.Add(least+rand.N(most-least+1)))))
}

// Status is how a session is.
type Status struct {
	State, Remote State // Remote is the neighbour's, as it says; Down while nothing is heard
	Since         time.Time
	Diagnostic    Diagnostic // why it is not up, or was not the last time
	Mine, Yours   uint32     // discriminators; Yours 0: nothing is heard
	Tx, Rx        time.Duration
	Detection     time.Duration // 0: nothing is heard
	Polls         bool          // the neighbour does not know yet what was changed
	Flaps         uint64
	LostAt        time.Time // the last time
	LostWhy       Diagnostic
	Sent          uint64
	Received      uint64
	Dropped       uint64 // of what came: for want of room
}

// Status tells how the session is: Tx and Rx are the times between packets as agreed on, before jitter.
func (s *Session) Status() Status {
	s.mu.Lock()
	m, l := s.m, s.life
	s.mu.Unlock()
	return Status{
		State: m.state, Remote: m.remote.State, Since: l.since, Diagnostic: m.diagnostic, Mine: m.mine, Yours: m.yours,
		Tx: m.interval(), Rx: max(m.rx, m.remote.MinTx), Detection: m.detection(), Polls: m.poll != notPolling,
		Flaps: l.flaps, LostAt: l.lostAt, LostWhy: l.lostWhy, Sent: s.sent.Load(), Received: s.received.Load(), Dropped: s.dropped.Load(),
	}
}
