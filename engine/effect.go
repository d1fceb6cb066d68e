package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

// Bounds of what is under way to the database.
const (
	maxEffects   = 4096
	refusedFor   = 5 * time.Second        // how long a refusal is not asked again
	effectRetry  = 200 * time.Millisecond // while the database does not answer
	probeTime    = time.Second            // how long the old MAC of a neighbour has to answer (R4)
	maxRemembers = 1 << 16
)

// effects carries out what simulations want changed in the database, each once however many packets want it.
type effects struct {
	c       *core
	wg      sync.WaitGroup
	busy    map[sim.Effect]struct{}
	refused map[sim.Effect]time.Duration // until
	probes  map[neighbour]probe
}

// probe is a question to the old MAC of a neighbour that another claims to be.
type probe struct {
	claim sim.Effect
	until time.Duration
}

func newEffects(c *core) *effects {
	return &effects{c: c, busy: map[sim.Effect]struct{}{}, refused: map[sim.Effect]time.Duration{}, probes: map[neighbour]probe{}}
}

// wait returns when nothing is under way any more; the context of the agent has ended.
func (e *effects) wait() { e.wg.Wait() }

// carryOut begins with a result's effects. What is learnt changes what the result relied on, and then its flow is decided anew; lost: it could not
// be begun, so that the next packet must try again. wait: the packet is to wait for that neighbour.
func (c *core) carryOut(list []sim.Effect) (lost bool, wait question) {
	for _, e := range list {
		switch e.Kind {
		case sim.LogRule: // log.go
		case sim.AskNeighbour:
			q := question{neighbour{e.Port, e.Addr}, e.Asked}
			if e.Hold {
				wait = q
			} else if len(c.holds.wanted) < maxHeld { // an originated packet's next hop: that packet does not wait
				c.want(awaited{neighbour: q.neighbour})
				c.pose(q)
			}
		case sim.ConfirmNeighbour:
			delete(c.effects.probes, neighbour{e.Port, e.Addr})
		case sim.LearnNeighbour:
			if !e.Solicited && !e.Unasked {
				c.effects.probe(e)
				continue
			}
			c.effects.begin(e)
		default:
			lost = !c.effects.begin(e) || lost
		}
	}
	return lost, wait
}

// begin starts what is not under way and was not refused. False: there is no room.
func (e *effects) begin(f sim.Effect) bool {
	if _, ok := e.busy[f]; ok {
		return true
	}
	if until, ok := e.refused[f]; ok && e.c.now() < until {
		return true
	}
	if len(e.busy) >= maxEffects {
		e.c.a.counts.effectFails.Add(1)
		return false
	}
	e.busy[f] = struct{}{}
	e.run(f, func(ctx context.Context) (state.Learnt, error) { return e.store(ctx, f, false) })
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
			e.c.a.counts.effectFails.Add(1)
			t := time.NewTimer(effectRetry)
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
		}
	})
}

func (e *effects) store(ctx context.Context, f sim.Effect, replace bool) (learnt state.Learnt, err error) {
	s := e.c.a.cfg.Store
	switch f.Kind {
	case sim.Learn:
		learnt, _, _, err = s.LearnMAC(ctx, f.Device, f.MAC, f.Port)
	case sim.LearnBridgeNeighbour:
		learnt, _, err = s.LearnBridgeNeighbour(ctx, f.Device, f.Addr, f.MAC)
	case sim.LearnNeighbour:
		learnt, _, err = s.LearnNeighbour(ctx, f.Port, f.Addr, f.MAC, replace)
	}
	return learnt, err
}

// done takes the database's word. What was stored comes back as a view.
func (e *effects) done(f sim.Effect, learnt state.Learnt) {
	delete(e.busy, f)
	switch learnt {
	case state.LearntNew, state.LearntMove:
		e.c.a.counts.learnt.Add(1)
	case state.LearntNothing:
	default:
		if len(e.refused) < maxRemembers {
			e.refused[f] = e.c.now() + refusedFor
		}
	}
}

// probe asks whether the neighbour that is known still answers, before another takes its place.
func (e *effects) probe(claim sim.Effect) {
	n := neighbour{claim.Port, claim.Addr}
	if _, ok := e.probes[n]; ok || len(e.probes) >= maxEffects {
		return
	}
	e.probes[n] = probe{claim, e.c.now() + probeTime}
	e.c.request(n)
}

// sweep ends probes that nobody answered, and forgets old refusals.
func (e *effects) sweep(now time.Duration) {
	for n, p := range e.probes {
		if now < p.until {
			continue
		}
		delete(e.probes, n)
		if _, ok := e.busy[p.claim]; !ok {
			e.busy[p.claim] = struct{}{}
			e.run(p.claim, func(ctx context.Context) (state.Learnt, error) { return e.store(ctx, p.claim, true) })
		}
	}
	for f, until := range e.refused {
		if now >= until {
			delete(e.refused, f)
		}
	}
}
