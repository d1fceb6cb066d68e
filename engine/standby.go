package engine

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
)

// How long a standby waits before it takes over from an agent that is alive.
const (
	vacantTime  = 3 * time.Second  // and that the target has not for its primary: it may be connecting anew
	returnTime  = 5 * time.Second  // and that the database has lost, as it has all that it did not answer for long: it may be coming back, as this one just did
	unreachTime = 10 * time.Second // and that says that it can not program the target, which may take it for its primary all the same
	standbyTick = 500 * time.Millisecond
)

// probes of a target that several agents may program: another one may reach it.
const (
	sharedProbeInterval = 2 * time.Second
	sharedProbeTimeout  = 5 * time.Second
	sharedBackoff       = vacantTime / 2 // between connections: who acts is back before a standby takes over
)

// shared is an agent's part in an edge that several agents may act for (Config.Agent):
//
//	standing by ──claimed──▶ acting ──another's term, or bid──▶ Run ends with state.ErrEdgeTaken
//
// Who acts is whose term it is in the database (state.Candidate); a later term has a higher number, which is in the election id, so that the target refuses what an earlier one still
// writes. A standby is warm: its store follows what the edge needs, its session is a backup's. What is of an edge that acts (numbers, flows, connections) it takes from
// target and database when it begins to.
type shared struct {
	candidate *state.Candidate
	term      atomic.Int64  // 0: standing by
	warm      atomic.Bool   // the view is whole
	kick      chan struct{} // cap 1: something may have changed
	deposed   chan struct{} // closed when the target has another agent's bid
	depose    func()

	mu sync.Mutex
	at targetSeen
}

// targetSeen is what a session that has not bid saw of the target.
type targetSeen struct {
	state   p4rt.State
	why     p4rt.NotPrimaryError // valid iff Backup
	since   time.Time            // of this state
	vacated bool                 // there was a primary on this connection, and it has gone
}

func newShared() *shared {
	s := &shared{kick: make(chan struct{}, 1), deposed: make(chan struct{})}
	s.depose = sync.OnceFunc(func() { close(s.deposed) })
	return s
}

func (s *shared) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// saw takes the session's state.
func (s *shared) saw(st p4rt.State, cause error) {
	var why *p4rt.NotPrimaryError
	errors.As(cause, &why)
	s.mu.Lock()
	before := s.at
	s.at = targetSeen{state: st, since: before.since}
	if st == p4rt.Backup && why != nil {
		s.at.why = *why
		s.at.vacated = why.Vacant && before.state == p4rt.Backup && (before.vacated || !before.why.Vacant)
	}
	if before.state != st || before.why.Vacant != s.at.why.Vacant {
		s.at.since = time.Now()
	}
	s.mu.Unlock()
	if st == p4rt.Backup && why != nil && why.Bid != (p4rt.ElectionID{}) && why.Bid.Less(why.Highest) && s.term.Load() != 0 {
		s.depose() // an earlier term's bid is lower, always
	}
	s.wake()
}

func (s *shared) seen() targetSeen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// StandsBy reports whether the agent is a standby that could take over: it has read all that it needs, and reaches the target.
func (a *Agent) StandsBy() bool {
	return a.shared != nil && a.shared.term.Load() == 0 && a.shared.warm.Load() && a.shared.seen().state == p4rt.Backup
}

// election is the id to compete with: a backup's before the term.
func (a *Agent) election(seen p4rt.ElectionID) p4rt.ElectionID {
	base := p4rt.ElectionID{Low: 1}
	if a.cfg.Election != nil {
		base = a.cfg.Election(seen)
	}
	if a.shared == nil {
		return base
	}
	term := a.shared.term.Load()
	if term == 0 {
		return p4rt.ElectionID{}
	}
	return plus(base, term)
}

// plus is an election id so much higher.
func plus(id p4rt.ElectionID, n int64) p4rt.ElectionID {
	low, carry := bits.Add64(id.Low, uint64(n), 0)
	return p4rt.ElectionID{High: id.High + carry, Low: low}
}

// standBy returns when this agent's term has begun. It is one of the edge's agents from when its view is whole.
func (a *Agent) standBy(ctx context.Context, g *errgroup.Group) (state.Fence, error) {
	s, store := a.shared, a.cfg.Store
	watch, stop := context.WithCancel(ctx)
	watching := make(chan struct{})
	whole := make(chan struct{})
	began := sync.OnceFunc(func() { close(whole) })
	go func() {
		defer close(watching)
		_ = store.Watch(watch, func(c state.Change) {
			began()
			if c.Edges {
				s.wake()
			}
		})
	}()
	defer func() { stop(); <-watching }()
	select {
	case <-whole:
	case <-ctx.Done():
		return state.Fence{}, ctx.Err()
	}
	s.warm.Store(true)
	g.Go(func() error { return s.candidate.Run(ctx) })
	tick := time.NewTicker(standbyTick)
	defer tick.Stop()
	told, warned := false, false
	var back comeback
	var troubled time.Time // since when the agent that acts can not program the target, as it says; zero: it can
	for {
		if own, is := s.candidate.Own(); is { // its outcome was not known at first
			return own, nil
		}
		agents := store.View().Agents[a.cfg.Self.ID]
		if store.View().Edges.Of(a.cfg.Self.ID).Target == "" {
			troubled = time.Time{}
		} else if troubled.IsZero() {
			troubled = time.Now()
		}
		_, listed := agents.Alive[a.cfg.Agent]
		why, seen := a.mayAct(&agents, troubled)
		if back.see(listed, time.Now()); why == whyGone && !seen.why.Vacant && back.recent(time.Now()) {
			why = ""
		}
		if why != "" && a.outbid(seen) {
			if why = ""; !warned {
				a.cfg.Logger.Error("the edge can not be taken over: its target has seen a higher election id than any of ours; set target.electionID above it", "seen", seen.why.Highest)
			}
			warned = true
		}
		if why != "" && listed {
			fence, err := s.candidate.Claim(ctx, &agents)
			if err == nil {
				a.cfg.Logger.Info("takes over the edge", "why", why, "term", fence.Term, "from", agents.Active)
				return fence, nil
			}
			a.cfg.Logger.Info("does not take over the edge", "why", why, "err", err)
		} else if !told && agents.IsLed() {
			told = true
			a.cfg.Logger.Info("stands by", "active", agents.Active)
			a.compare()
		}
		select {
		case <-s.kick:
		case <-tick.C:
		case <-ctx.Done():
			return state.Fence{}, ctx.Err()
		}
	}
}

// comeback follows whether the database has lost a standby, and has it again: then it may have lost the agent that acts for the same reason.
type comeback struct {
	was   bool      // listed, ever
	lost  bool      // since
	since time.Time // when it was listed again; zero: it never was lost
}

func (b *comeback) see(listed bool, now time.Time) {
	switch {
	case listed && b.lost:
		b.lost, b.since = false, now
	case listed:
		b.was = true
	case b.was:
		b.lost = true
	}
}

func (b *comeback) recent(now time.Time) bool {
	return !b.since.IsZero() && now.Sub(b.since) < returnTime
}

// whyGone is the reason of mayAct that a database that was away gives, too.
const whyGone = "the agent that did is gone"

// compare warns if the agent would tell others another thing of the edge than the one that acts.
func (a *Agent) compare() {
	own, other := a.info(), a.cfg.Store.View().Known.Of(a.cfg.Self.ID)
	if other.ID != "" && sentOtherwise(&own, &other) {
		a.cfg.Logger.Warn("the agents of the edge have different configurations: other edges will send otherwise when this one takes over",
			"vteps", own.VTEPs, "tunnels", own.Encaps, "multicast", own.Multicast, "mtu", own.MTU,
			"active_vteps", other.VTEPs, "active_tunnels", other.Encaps, "active_multicast", other.Multicast, "active_mtu", other.MTU)
	}
}

// sentOtherwise reports whether others send to an edge in another way if it tells the one instead of the other.
func sentOtherwise(a, b *state.EdgeInfo) bool {
	return !slices.Equal(a.VTEPs, b.VTEPs) || !slices.Equal(a.Encaps, b.Encaps) || a.Multicast != b.Multicast || a.MTU != b.MTU
}

// mayAct says why this agent is to act for the edge; "": it is not.
func (a *Agent) mayAct(agents *state.Agents, troubled time.Time) (why string, seen targetSeen) {
	seen = a.shared.seen()
	switch {
	case seen.state == p4rt.Primary || seen.state == p4rt.Ready: // a target that promotes the next one by itself
		return "the target has made it primary", seen
	case seen.state != p4rt.Backup:
		return "", seen // somebody may reach it
	case agents.Term == 0:
		return "no agent does", seen
	case !agents.IsLed():
		return whyGone, seen
	case seen.vacated:
		return "the target has lost the agent that did", seen
	case seen.why.Vacant && time.Since(seen.since) >= vacantTime:
		return fmt.Sprintf("the agent that is to has not been the target's primary for %v", vacantTime), seen
	case !troubled.IsZero() && time.Since(troubled) >= unreachTime:
		return "the agent that is to does not reach the target", seen
	}
	return "", seen
}

// outbid reports whether the target has seen a bid that is none of an agent of the edge.
func (a *Agent) outbid(seen targetSeen) bool {
	base := p4rt.ElectionID{Low: 1}
	if a.cfg.Election != nil {
		base = a.cfg.Election(seen.why.Highest)
	}
	return seen.state == p4rt.Backup && plus(base, a.cfg.Store.View().Revision).Less(seen.why.Highest)
}

// reign returns when this agent's term is over.
func (a *Agent) reign(ctx context.Context, own state.Fence) error {
	watch, stop := context.WithCancel(ctx)
	defer stop()
	over := make(chan string, 1)
	go func() {
		defer close(over)
		_ = a.cfg.Store.Watch(watch, func(c state.Change) {
			if agents := c.View.Agents[own.Edge]; agents.Term != own.Term && c.View.Revision >= own.Term {
				over <- agents.Active
				stop()
			}
		})
	}()
	by, way := "", "the database"
	select {
	case <-a.shared.deposed:
		way = "the target"
	case by = <-over:
	}
	stop()
	for range over { //nolint:revive // until the watch has ended
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.cfg.Logger.Warn("does not act for the edge any more: another agent does", "says", way, "agent", by)
	return fmt.Errorf("edge %s: %w: another agent acts for it now, says %s", own.Edge, state.ErrEdgeTaken, way)
}
