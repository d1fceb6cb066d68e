package vpn

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/weft-sdn/weft/state"
)

// site is one VPN at an edge that may have it.
//
//	          HoldVPN                 another has it, or it may not be had here
//	waiting ───────────▶ holding ◀─▶ waiting ──────────▶ over
//
// While it holds, the tunnel is up; the tunnel is down before the lock is given back, and before the lease can lapse.
type site struct {
	k    *Keeper
	t    *trunk
	name string
	log  *slog.Logger
	wake chan struct{}

	counts *counts

	mu      sync.Mutex
	rec     state.VPNRecord
	wanted  bool
	ended   bool
	problem string
	tunnel  carrier // while it holds

	behindFrom time.Time // run's: since when the lock is free and this host's clock too slow to take it; zero: it is not
}

func newSite(k *Keeper, t *trunk, r state.VPNRecord, c *counts) *site {
	return &site{counts: c, k: k, t: t, name: r.Site.Name, log: k.cfg.Log.With("vpn", r.Site.Name), wake: make(chan struct{}, 1), rec: r, wanted: true}
}

// update tells what the database has; wanted: the edge may have it.
func (s *site) update(r state.VPNRecord, wanted bool) {
	s.mu.Lock()
	s.rec, s.wanted = r, wanted
	s.mu.Unlock()
	s.poke()
}

func (s *site) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *site) now() (state.VPNRecord, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rec, s.wanted
}

func (s *site) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *site) say(problem string) {
	s.mu.Lock()
	was := s.problem
	s.problem = problem
	s.mu.Unlock()
	if problem != "" && problem != was {
		s.log.Warn("the VPN is not carried", "err", problem)
		s.note(state.EventWarning, "NotHeld", "the edge can't hold it: "+problem)
	}
}

const (
	tryAgain     = 500 * time.Millisecond // after what went wrong, and twice as long each time after that
	maxTryAgain  = 30 * time.Second
	settled      = 10 * time.Second       // what was held so long did not go wrong
	maxClockWait = 2 * time.Second        // for a clock that is behind: others may have a better one
	lookIn       = 250 * time.Millisecond // how often a holder looks how its peers are
	shakeTime    = 10 * time.Millisecond  // after the message of a handshake: what is not stored of a peer that came, the next holder does not know, and must be called by it
)

// pause is until when a site does not try. Nothing ends it before but that the VPN is another: who fails in taking it changes the lock, and would be woken by that.
type pause struct {
	until time.Time // zero: there is none
	of    state.VPNRecord
	fails int
}

func (p *pause) over(r state.VPNRecord, now time.Time) bool {
	return p.until.IsZero() || !p.of.Same(r) || !now.Before(p.until)
}

func (p *pause) begin(r state.VPNRecord, wait time.Duration) {
	p.until, p.of = time.Now().Add(wait), r
}

// fail begins the pause after what went wrong.
func (p *pause) fail(r state.VPNRecord) {
	if !p.of.Same(r) {
		p.fails = 0
	}
	p.begin(r, min(tryAgain<<min(p.fails, 10), maxTryAgain))
	p.fails++
}

// run competes for the VPN, and carries it when it has it, until ctx ends or the VPN is not wanted any more.
func (s *site) run(ctx context.Context) {
	defer func() {
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		s.k.poke()
	}()
	retry := time.NewTimer(0)
	defer retry.Stop()
	var p pause
	for {
		r, wanted := s.now()
		if !wanted || ctx.Err() != nil {
			return
		}
		if began := time.Now(); p.over(r, began) {
			wait, err := s.step(ctx, r)
			if time.Since(began) > settled {
				p = pause{}
			}
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, state.ErrConflict): // somebody was faster, here or there
				p.begin(r, rand.N(tryAgain))
			case err != nil:
				s.say(err.Error())
				p.fail(r)
			case wait > 0:
				p.begin(r, wait)
			default:
				p = pause{}
			}
		}
		var again <-chan time.Time
		if !p.until.IsZero() {
			retry.Reset(time.Until(p.until))
			again = retry.C
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-again:
		}
	}
}

// step does the next that there is to do. It returns how long to wait for the next step; 0: for a change.
func (s *site) step(ctx context.Context, r state.VPNRecord) (wait time.Duration, err error) {
	if r.Lock != nil {
		s.behindFrom = time.Time{}
		s.say("")
		return 0, nil
	}
	if needsKey(&r) {
		key, err := s.k.makeKey(r.Site)
		if err != nil {
			return 0, err
		}
		return 0, s.k.cfg.Store.StoreVPNKey(ctx, s.name, key)
	}
	if err := s.k.ready(&r); err != nil {
		return 0, err // who can't carry it does not compete
	}
	if wait := s.clockWait(r.Last, time.Now()); wait > 0 {
		return wait, nil
	}
	hold, err := s.k.cfg.Store.HoldVPN(ctx, r, s.k.cfg.Edge, s.k.cfg.Interface)
	if err != nil {
		return 0, err
	}
	s.behindFrom = time.Time{}
	err = s.hold(ctx, hold, r)
	hold.Release(ctx)
	return 0, err
}

// clockWait is how long it makes sense to wait until this host's clock has passed the stamp of the last handshake: peers refuse one that is not later.
func (s *site) clockWait(last *state.VPNLast, now time.Time) time.Duration {
	if last == nil {
		return 0
	}
	behind := last.Stamp.Sub(now.Round(0)) // of wall clocks: what was read has no other
	if behind <= 0 {
		return 0
	}
	if s.behindFrom.IsZero() {
		s.behindFrom = now
		s.log.Warn("this host's clock is behind that of the edge that held the VPN before: peers refuse its handshakes until then", "behind", behind)
		s.note(state.EventWarning, "ClockBehind", "the edge's clock is "+behind.Round(time.Millisecond).String()+" behind that of the last holder's handshake: peers do not hear it before")
	}
	return min(behind, maxClockWait-now.Sub(s.behindFrom))
}

// hold carries the VPN while the hold is in force. The tunnel is down when it returns, and the hold is kept until it is: a daemon says goodbye by it.
func (s *site) hold(ctx context.Context, hold *state.VPNHold, r state.VPNRecord) error {
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var keeping sync.WaitGroup
	defer keeping.Wait()
	defer stop()
	keeping.Go(func() { cancel(hold.Run(keep)) })
	s.counts.takes.Add(1)
	s.log.Info("the VPN is held here", "edge", s.k.cfg.Edge)
	s.note(state.EventNormal, "Held", "the edge has the VPN")
	had := false
	for ctx.Err() == nil {
		next, err := s.carry(ctx, hold, r, &had)
		if err != nil {
			cancel(err)
			break
		}
		if next.Site == nil {
			cancel(nil)
			break
		}
		r = next
	}
	err := context.Cause(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		s.log.Warn("the VPN is not held here any more", "err", err)
		s.note(state.EventWarning, "Lost", "the edge took the link down: "+err.Error())
		return err
	}
	s.log.Info("the VPN is given back")
	s.note(state.EventNormal, "GivenBack", "the edge gave the VPN back")
	return nil
}

// carry has a tunnel as a record says, until ctx ends or there is another one to have: next; without a site there is none. had: the database was seen to have the lock.
func (s *site) carry(ctx context.Context, hold *state.VPNHold, r state.VPNRecord, had *bool) (next state.VPNRecord, err error) {
	w, err := s.open(ctx, &r, hold)
	if err != nil {
		return next, err
	}
	s.set(w)
	defer func() {
		s.set(nil)
		w.close()
	}()
	s.say("")
	w.lookUp(w.status(), time.Now())
	calls := time.NewTimer(0)
	defer calls.Stop()
	look := time.NewTicker(lookIn)
	defer look.Stop()
	soon := false
	var left state.VPNLast
	alive := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return next, nil
		case <-w.ended():
			return next, errors.New("WireGuard has ended by itself")
		case f := <-w.located():
			if w.moved(f) {
				calls.Reset(0)
			}
		case <-calls.C:
			if again := w.call(time.Now()); !again.IsZero() {
				calls.Reset(time.Until(again))
			}
		case <-w.greeted():
			if !soon { // however many come
				look.Reset(shakeTime)
				soon = true
			}
		case <-look.C:
			look.Reset(lookIn)
			soon = false
			peers := w.status()
			s.notePeers(peers, alive, time.Now())
			w.lookUp(peers, time.Now())
			left = s.leave(ctx, hold, peers, left)
		case <-s.wake:
			is, wanted := s.now()
			*had = *had || hold.Is(is)
			switch {
			case *had && is.Lock == nil && is.Site != nil:
				return next, errors.New("the database does not have its lock any more")
			case !wanted || is.Site == nil || !r.SamePorts(is):
				return next, nil
			case is.Lock != nil && !hold.Is(is):
				return next, errors.New("another edge has it")
			case !r.Same(is):
				return is, nil
			}
		}
	}
}

func (s *site) set(w carrier) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tunnel = w
}

// leave stores what the next holder is to know, if that is new.
func (s *site) leave(ctx context.Context, hold *state.VPNHold, peers []Peer, left state.VPNLast) state.VPNLast {
	last := state.VPNLast{Endpoints: map[string]netip.AddrPort{}}
	for _, p := range peers {
		if p.Handshake.After(last.Stamp) {
			last.Stamp = p.Handshake
		}
		if p.Endpoint.IsValid() {
			last.Endpoints[p.Name] = p.Endpoint
		}
	}
	same := last.Stamp.Equal(left.Stamp) && len(last.Endpoints) == len(left.Endpoints)
	for name, at := range last.Endpoints {
		same = same && left.Endpoints[name] == at
	}
	if same {
		return left
	}
	if err := hold.Leave(ctx, last); err != nil {
		s.log.Debug("what the next holder is to know is not stored", "err", err)
		return left
	}
	return last
}

// status completes a status with what the site knows.
func (s *site) status(to *Status) {
	s.mu.Lock()
	w, problem := s.tunnel, s.problem
	s.mu.Unlock()
	if problem != "" {
		to.State, to.Problem = Down, problem
		return
	}
	if w == nil {
		return
	}
	to.State, to.Peers = Calling, w.status()
	for i := range to.Peers {
		if to.Peers[i].Alive(time.Now()) {
			to.State = Up
		}
	}
}
