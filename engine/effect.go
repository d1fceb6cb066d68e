package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

// Bounds of what is under way to the database.
const (
	maxEffects   = 4096                   // of which those of one tenant have no more than are left for all others
	maxEffectsOf = 256                    // because of packets of one vport
	refusedFor   = 5 * time.Second        // how long a refusal is not asked again
	effectRetry  = 200 * time.Millisecond // while the database does not answer
	probeTime    = time.Second            // how long the old MAC of a neighbour has to answer (R4)
	maxRemembers = 1 << 16                // refusals
	rememberedOf = 1 << 12                // because of packets of one vport
)

// effects carries out what simulations want changed in the database, each once however many packets want it.
type effects struct {
	c       *core
	wg      sync.WaitGroup
	busy    map[sim.Effect]holder // under way, and whose packet it began with
	refused map[sim.Effect]refusal
	probes  map[neighbour]probe // their claims are under way
	of      map[flow.VPortID]shares
	tenants map[string]int // what is under way of each
}

// shares are what a vport has of the bounds.
type shares struct{ busy, refused int }

type refusal struct {
	until time.Duration
	of    flow.VPortID
}

// probe is a question to the old MAC of a neighbour that another claims to be.
type probe struct {
	claim sim.Effect
	until time.Duration
	since int64 // revision at which it was asked: an answer that another edge got is newer
}

func newEffects(c *core) *effects {
	return &effects{c: c, busy: map[sim.Effect]holder{}, refused: map[sim.Effect]refusal{}, probes: map[neighbour]probe{}, of: map[flow.VPortID]shares{}, tenants: map[string]int{}}
}

// take notes that something is under way. False: it is already, or there is no room.
func (e *effects) take(f sim.Effect, of flow.VPortID) bool {
	if _, ok := e.busy[f]; ok {
		return false
	}
	who := holder{}
	if of != 0 {
		who = e.c.holder(of)
	}
	if len(e.busy) >= maxEffects || of != 0 && (e.of[of].busy >= maxEffectsOf || e.tenants[who.tenant] >= maxEffects-len(e.busy)) {
		e.c.a.counts.effectFails.Add(1)
		return false
	}
	e.busy[f] = who
	e.tenants[who.tenant]++
	e.c.a.counts.learning.Store(uint64(len(e.busy)))
	e.share(of, 1, 0)
	e.c.lives.committing(f)
	return true
}

// end notes that something is under way no more, and returns the vport that it was for.
func (e *effects) end(f sim.Effect) (of flow.VPortID) {
	who, ok := e.busy[f]
	if ok {
		delete(e.busy, f)
		if e.tenants[who.tenant]--; e.tenants[who.tenant] == 0 {
			delete(e.tenants, who.tenant)
		}
		e.c.a.counts.learning.Store(uint64(len(e.busy)))
		e.share(who.port, -1, 0)
		e.c.lives.committed(f)
	}
	return who.port
}

// remember notes a refusal, so that it is not asked again for a while.
func (e *effects) remember(f sim.Effect, of flow.VPortID) {
	if _, ok := e.refused[f]; ok || len(e.refused) >= maxRemembers || of != 0 && e.of[of].refused >= rememberedOf {
		return
	}
	e.refused[f] = refusal{e.c.now() + refusedFor, of}
	e.share(of, 0, 1)
}

func (e *effects) forget(f sim.Effect) {
	if r, ok := e.refused[f]; ok {
		delete(e.refused, f)
		e.share(r.of, 0, -1)
	}
}

func (e *effects) share(of flow.VPortID, busy, refused int) {
	s := e.of[of]
	s.busy += busy
	s.refused += refused
	if e.of[of] = s; s == (shares{}) {
		delete(e.of, of)
	}
}

// pause waits before something that failed is tried again, from a goroutine of its own; false: the agent ends.
func (e *effects) pause(ctx context.Context) bool {
	e.c.a.counts.effectFails.Add(1)
	t := time.NewTimer(effectRetry)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// wait returns when nothing is under way any more; the context of the agent has ended.
func (e *effects) wait() { e.wg.Wait() }

// carryOut begins with a result's effects, which packets of a vport had. What is learnt changes what the result relied on, and then its flow is decided anew; lost: it could not
// be begun, so that the next packet must try again. wait: the packet is to wait for that neighbour.
func (c *core) carryOut(list []sim.Effect, of flow.VPortID) (lost bool, wait question) {
	for _, e := range list {
		switch e.Kind {
		case sim.LogRule: // log.go
		case sim.ProbeAnswer: // monitor.go
		case sim.AwaitMAC: // hold.go
		case sim.AskNeighbour:
			q := question{neighbour{e.Port, e.Addr}, e.Asked}
			if e.Hold {
				wait = q
			} else { // an originated packet's next hop: that packet does not wait
				c.wonder(q, of)
			}
		case sim.ConfirmNeighbour:
			c.effects.confirmed(e, of)
		case sim.LearnNeighbour:
			if !e.Solicited && !e.Unasked {
				c.effects.probe(e, of)
				continue
			}
			c.effects.begin(e, of)
		default:
			lost = !c.effects.begin(e, of) || lost
		}
	}
	return lost, wait
}

// begin starts what is not under way and was not refused. False: there is no room.
func (e *effects) begin(f sim.Effect, of flow.VPortID) bool {
	if _, ok := e.busy[f]; ok {
		return true
	}
	if r, ok := e.refused[f]; ok {
		if e.c.now() < r.until {
			return true
		}
		e.forget(f)
	}
	if !e.take(f, of) {
		return false
	}
	e.run(f, func(ctx context.Context) (state.Learnt, error) { return e.store(ctx, f, 0) })
	return true
}

// run stores in a goroutine of its own, again and again while the database is away.
func (e *effects) run(f sim.Effect, store func(context.Context) (state.Learnt, error)) {
	ctx := e.c.ctx
	e.wg.Go(func() {
		for {
			learnt, err := store(ctx)
			if errors.Is(err, state.ErrNotStation) {
				learnt, err = state.RefusedGone, nil // it would be refused for ever
			}
			if err == nil {
				e.c.a.mail.post(func() { e.done(f, learnt) })
				return
			}
			if !e.pause(ctx) {
				return
			}
		}
	})
}

func (e *effects) store(ctx context.Context, f sim.Effect, replace int64) (learnt state.Learnt, err error) {
	s := e.c.a.cfg.Store
	switch f.Kind {
	case sim.Learn:
		learnt, _, _, err = s.LearnMAC(ctx, f.Device, f.MAC, f.Port)
	case sim.LearnBridgeNeighbour:
		learnt, _, err = s.LearnBridgeNeighbour(ctx, f.Device, f.Port, f.Addr, f.MAC)
	case sim.LearnNeighbour:
		learnt, _, err = s.LearnNeighbour(ctx, f.Port, f.Addr, f.MAC, replace)
	case sim.ConfirmNeighbour:
		_, err = s.ConfirmNeighbour(ctx, f.Port, f.Addr, f.MAC)
	}
	return learnt, err
}

// done takes the database's word. What was stored comes back as a view.
func (e *effects) done(f sim.Effect, learnt state.Learnt) {
	of := e.end(f)
	switch learnt {
	case state.LearntNew, state.LearntMove:
		e.c.a.counts.learnt.Add(1)
	case state.LearntNothing:
	default:
		e.c.noteRefused(f, learnt)
		e.remember(f, of)
	}
}

// probe asks whether the neighbour that is known still answers, before another takes its place.
func (e *effects) probe(claim sim.Effect, of flow.VPortID) {
	n := neighbour{claim.Port, claim.Addr}
	if _, ok := e.probes[n]; ok || !e.take(claim, of) {
		return
	}
	e.probes[n] = probe{claim, e.c.now() + probeTime, e.c.a.cfg.Store.View().Revision}
	e.c.request(n)
}

// confirmed: the neighbour that is known answered. Other edges may have asked, too: the database tells them.
func (e *effects) confirmed(f sim.Effect, of flow.VPortID) {
	n := neighbour{f.Port, f.Addr}
	if p, ok := e.probes[n]; ok {
		delete(e.probes, n)
		e.end(p.claim)
	}
	if e.take(f, of) {
		e.run(f, func(ctx context.Context) (state.Learnt, error) { return e.store(ctx, f, 0) })
	}
}

// sweep ends probes that nobody answered, and forgets old refusals.
func (e *effects) sweep(now time.Duration) {
	for n, p := range e.probes {
		if now >= p.until {
			delete(e.probes, n)
			e.run(p.claim, func(ctx context.Context) (state.Learnt, error) { return e.store(ctx, p.claim, p.since) })
		}
	}
	for f, r := range e.refused {
		if now >= r.until {
			e.forget(f)
		}
	}
}
