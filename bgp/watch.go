package bgp

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"github.com/weft-sdn/weft/bfd"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// watch has BFD watch the way to a session's neighbour, or nothing. The speaker's Run alone changes it.
type watch struct {
	port    *bfd.Port // through which the session goes
	ends    bfd.Ends
	changed func(bfd.Change)

	session *bfd.Session // nil: nothing watches
	stop    context.CancelFunc
	running sync.WaitGroup
}

// watchedEnds are the ends of the BFD session that watches the way of a session. With ttlSecurity, packets that came more hops than the neighbour is away are not taken; else of several hops any
// are: not all makers send with a TTL of 255 then, and RFC 5883 does not ask for it.
func (p *port) watchedEnds(s *topology.BGPSession) bfd.Ends {
	e := bfd.Ends{Local: s.Local(p.port), Neighbour: s.PeerAddress, Multihop: s.BFDMultihop(p.port)}
	if s.TTLSecurity && s.Multihop > 0 {
		e.LeastTTL = 255 - (s.Multihop - 1)
	}
	return e
}

// set has the way watched as c says until ctx ends or set says otherwise.
func (w *watch) set(ctx context.Context, c topology.BFD) error {
	if !c.On() {
		w.leave()
		return nil
	}
	config := bfd.Config{MinTx: c.MinTx, MinRx: c.MinRx, Multiplier: c.Multiplier}
	if w.session != nil {
		w.session.Configure(config)
		return nil
	}
	s, err := w.port.Open(w.ends, config, w.changed)
	if err != nil {
		return err
	}
	w.session = s
	ctx, w.stop = context.WithCancel(ctx)
	w.running.Go(func() { _ = s.Run(ctx) })
	return nil
}

// leave has nothing watched any more, and the neighbour told that this is no failure.
func (w *watch) leave() {
	if w.session != nil {
		w.session.Leave()
		w.running.Wait()
		w.end()
	}
}

// end has nothing watched any more, without waiting for the neighbour.
func (w *watch) end() {
	if w.session == nil {
		return
	}
	w.stop()
	w.running.Wait()
	w.port.Close(w.session)
	w.session = nil
}

// wayChanged: BFD has the way to the neighbour up, or not any more (RFC 5882 section 4.2). If it failed, the session ends at once, and its routes go: also those of a neighbour that restarts gracefully, as
// silence is no sign of a restart. Those that stay already because it restarts go if its BFD does not restart with it (section 4.3). BFD that a side switched off is no failure.
func (s *session) wayChanged(ctx context.Context, c bfd.Change) {
	s.mu.Lock()
	l, peer := &s.life, s.spec.PeerAddress
	established, restarts := l.state == Established, l.state != Established && l.keeps()
	why := "BFD: " + c.Diagnostic.String()
	switch {
	case c.Failed && established:
		s.dropped, s.cut = true, why
	case c.Failed && s.relay.Break(): // it may be established already, and GoBGP has not said so yet
		s.cut = why
	}
	s.wayUp = c.Up
	s.barLocked()
	s.mu.Unlock()
	switch {
	case c.Up:
		s.log.Info("BFD is up", "neighbour", peer)
		s.note(state.EventNormal, "BFDUp", fmt.Sprintf("up with %s", peer))
		return
	case !c.Failed:
		s.log.Info("BFD was switched off", "neighbour", peer)
		s.note(state.EventNormal, "BFDOff", fmt.Sprintf("switched off here or at %s: nothing watches the way", peer))
		return
	}
	s.log.Warn("BFD is down: the way to the neighbour is lost", "neighbour", peer, "why", c.Diagnostic)
	s.note(state.EventWarning, "BFDDown", fmt.Sprintf("the way to %s is lost: %s", peer, c.Diagnostic))
	switch {
	case established:
		s.stale.Stop()
		s.rib.Clear()
		s.reset(ctx)
	case restarts && c.Independent:
		s.dropStale()
	}
}

// resetTime bounds how long GoBGP may take to take an order.
const resetTime = 5 * time.Second

// reset has GoBGP end the session, with a word to the neighbour if that still hears it; if it does not take the order, its connection ends.
func (s *session) reset(ctx context.Context) {
	s.watch.running.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, resetTime)
		defer cancel()
		if err := s.server.ResetPeer(ctx, &api.ResetPeerRequest{Address: s.relay.Addr().Addr().String(), Communication: "BFD is down"}); err != nil {
			s.log.Warn("GoBGP did not end the session whose way is lost; its connection is ended", "err", err)
			s.relay.Break()
		}
	})
}

// rewatch has the way watched as the session's object says now.
func (s *session) rewatch(now topology.BFD) {
	if err := s.watch.set(s.ctx, now); err != nil {
		s.log.Warn("the way to the neighbour is not watched", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barLocked()
}

// barLocked has the neighbour spoken to, or not: strict sessions wait for BFD. A session that is up and becomes strict stays.
func (s *session) barLocked() {
	s.relay.Bar(s.spec.BFD.Strict && !s.wayUp)
}

// BFD is how the way of a session is watched. JSON for operators; times are in milliseconds.
type BFD struct {
	State       string    `json:"state"`       // AdminDown, Down, Init, Up
	RemoteState string    `json:"remoteState"` // as the neighbour says; Down while nothing is heard
	Since       time.Time `json:"since,omitzero"`
	Multihop    bool      `json:"multihop"`
	Strict      bool      `json:"strict"`
	Local       uint32    `json:"discriminator"`
	Remote      uint32    `json:"remoteDiscriminator"`  // 0: nothing is heard
	MinTx       int64     `json:"minTx"`                // as asked for
	MinRx       int64     `json:"minRx"`                // as asked for
	Multiplier  uint8     `json:"multiplier"`           // of this end: the neighbour goes by it
	Tx          float64   `json:"tx"`                   // from one packet to the next, as agreed on; 0: none are sent
	Rx          float64   `json:"rx"`                   // the same of those that come
	Detection   float64   `json:"detection"`            // without a packet, the way is lost; 0: nothing is heard
	Polls       bool      `json:"polls,omitempty"`      // the neighbour is being told of other parameters
	Diagnostic  string    `json:"diagnostic,omitempty"` // why it is not up
	Losses      uint64    `json:"losses"`               // how often it was up, and then not
	LastLost    time.Time `json:"lastLost,omitzero"`
	LastWhy     string    `json:"lastWhy,omitempty"`
	Sent        uint64    `json:"sent"` // packets
	Received    uint64    `json:"received"`
	Dropped     uint64    `json:"dropped"` // of what came, for want of room
	Refused     uint64    `json:"refused"` // packets for BFD that came by the port and were of no session, wrong, or from too far
}

// Up reports whether the way is there.
func (b *BFD) Up() bool { return b.State == bfd.Up.String() }

// bfdOf is what follows from a session's object, and its port; nil: nothing is to be watched.
func bfdOf(port *topology.VPort, s *topology.BGPSession) *BFD {
	if !s.BFD.On() {
		return nil
	}
	return &BFD{
		State: bfd.Down.String(), RemoteState: bfd.Down.String(), Multihop: s.BFDMultihop(port), Strict: s.BFD.Strict,
		MinTx: s.BFD.MinTx.Milliseconds(), MinRx: s.BFD.MinRx.Milliseconds(), Multiplier: s.BFD.Multiplier,
	}
}

// status adds how the way is watched.
func (w *watch) status(b *BFD) {
	if w.session == nil || b == nil {
		return
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	s := w.session.Status()
	b.State, b.RemoteState, b.Since, b.Local, b.Remote = s.State.String(), s.Remote.String(), s.Since, s.Mine, s.Yours
	b.Tx, b.Rx, b.Detection, b.Polls = ms(s.Tx), ms(s.Rx), ms(s.Detection), s.Polls
	b.Losses, b.LastLost, b.Sent, b.Received, b.Dropped, b.Refused = s.Flaps, s.LostAt, s.Sent, s.Received, s.Dropped, w.port.Refused()
	if s.State != bfd.Up && s.Diagnostic != bfd.NoDiagnostic {
		b.Diagnostic = s.Diagnostic.String()
	}
	if s.Flaps > 0 {
		b.LastWhy = s.LostWhy.String()
	}
}

// watched begins to watch the way of a session that begins.
func (p *port) watched(s *session) error {
	s.watch = watch{port: p.bfd, ends: p.watchedEnds(s.spec), changed: func(c bfd.Change) { s.wayChanged(s.ctx, c) }}
	if err := s.watch.set(s.ctx, s.spec.BFD); err != nil {
		return fmt.Errorf("bgp: session %s: %w", s.spec.Name, err)
	}
	return nil
}
