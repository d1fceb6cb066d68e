package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/softswitch/impair"
	"github.com/weft-sdn/weft/testbed/proxy"
)

// fault is something that goes wrong, and is right again when do returns. Its parameters are chosen before it begins, so that a seed gives the schedule.
type fault struct {
	kind string
	what string // with parameters
	do   func(*rig, context.Context) error
}

// lane is a kind of faults of which one happens at a time.
type lane func(*rand.Rand) fault

// lanes happen beside each other.
var lanes = []lane{edgeFault, edgeFault, etcdFault, wireFault}

// some is a duration of up to most.
func some(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(1 + r.Int64N(int64(most)))
}

// pause waits, unless the round is over: then what is wrong is put right at once.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// edgeFault befalls an edge: its agent, its target, or what is between them.
func edgeFault(r *rand.Rand) fault {
	n, agent, d := r.IntN(edges), r.IntN(2), some(r, 1500*time.Millisecond)
	of := func(kind string, do func(context.Context, *edge, *controller) error) fault {
		return fault{kind, fmt.Sprintf("%s of %s, agent %d, for %v", kind, edgeName(n), agent, d.Round(time.Millisecond)), func(r *rig, ctx context.Context) error {
			e := r.edges[n]
			e.busy.Lock() // one fault of an edge at a time
			defer e.busy.Unlock()
			return do(ctx, e, e.controllers[agent%len(e.controllers)])
		}}
	}
	switch r.IntN(10) {
	case 0, 1, 2:
		return of("agent killed", func(ctx context.Context, _ *edge, c *controller) error { return c.again(ctx, true, d) })
	case 3:
		return of("agent stopped", func(ctx context.Context, _ *edge, c *controller) error { return c.again(ctx, false, d) })
	case 4, 5:
		return of("target restarted", func(ctx context.Context, e *edge, _ *controller) error {
			if err := e.stopTarget(); err != nil {
				return err
			}
			pause(ctx, d/2)
			return e.startTarget()
		})
	case 6, 7:
		return of("stream cut", func(ctx context.Context, _ *edge, c *controller) error {
			c.way.SetCut(true)
			pause(ctx, d/2)
			c.way.SetCut(false)
			pause(ctx, d/2)
			return nil
		})
	case 8:
		return of("stream silent", func(ctx context.Context, _ *edge, c *controller) error {
			c.way.SetSilent(true)
			pause(ctx, d)
			c.way.SetSilent(false)
			return nil
		})
	}
	return of("agents and target restarted", func(ctx context.Context, e *edge, _ *controller) error {
		if err := e.stopAgents(true); err != nil {
			return err
		}
		if err := e.stopTarget(); err != nil {
			return err
		}
		pause(ctx, d)
		e.startAgents()
		return e.startTarget()
	})
}

// again restarts the agent.
func (c *controller) again(ctx context.Context, kill bool, away time.Duration) error {
	if err := c.stop(kill); err != nil {
		return err
	}
	pause(ctx, away)
	c.start()
	return nil
}

// etcdFault befalls the database, or an edge's ways to it.
func etcdFault(r *rand.Rand) fault {
	m, n, agent, d := r.IntN(members), r.IntN(edges), r.IntN(2), some(r, 3*time.Second)
	of := func(kind string, do func(*rig, context.Context)) fault {
		return fault{kind, fmt.Sprintf("%s: member %d, edge %d, %v", kind, m, n+1, d.Round(time.Millisecond)), func(r *rig, ctx context.Context) error {
			do(r, ctx)
			return nil
		}}
	}
	ways := func(r *rig) []*proxy.Proxy {
		all := r.edges[n].controllers
		return all[agent%len(all)].etcd[:]
	}
	switch r.IntN(9) {
	case 0, 1:
		return fault{"member killed", fmt.Sprintf("member %d killed for %v", m, d), func(r *rig, ctx context.Context) error {
			r.etcd[m].kill()
			pause(ctx, d)
			if err := r.etcd[m].start(); err != nil {
				return err
			}
			up, cancel := context.WithTimeout(r.Context(), bound)
			defer cancel()
			return r.etcd[m].answers(up)
		}}
	case 2:
		return of("member paused", func(r *rig, ctx context.Context) { r.stopped(ctx, d, m) })
	case 3:
		return of("two members paused", func(r *rig, ctx context.Context) { r.stopped(ctx, d, m, (m+1)%members) })
	case 4, 5:
		return of("slow disks", func(r *rig, ctx context.Context) { // all members, in short stops: each sync may take so long
			for until := time.Now().Add(d); time.Now().Before(until) && ctx.Err() == nil; {
				r.stopped(ctx, 60*time.Millisecond, 0, 1, 2)
				pause(ctx, 40*time.Millisecond)
			}
		})
	case 6:
		return of("etcd cut off", func(r *rig, ctx context.Context) {
			for _, p := range ways(r) {
				p.SetCut(true)
			}
			pause(ctx, d)
			for _, p := range ways(r) {
				p.SetCut(false)
			}
		})
	case 7:
		return of("etcd late", func(r *rig, ctx context.Context) {
			for _, p := range ways(r) {
				p.SetDelay(d / 10)
			}
			pause(ctx, d)
			for _, p := range ways(r) {
				p.SetDelay(0)
			}
		})
	}
	return of("history compacted", func(r *rig, ctx context.Context) {
		ask, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if resp, err := r.store.Client().Get(ask, "x"); err == nil {
			_, _ = r.store.Client().Compact(ask, resp.Header.Revision, clientv3.WithCompactPhysical())
		}
		pause(ctx, d)
	})
}

// stopped has members hang for a while.
func (r *rig) stopped(ctx context.Context, d time.Duration, of ...int) {
	for _, m := range of {
		r.etcd[m].pause()
	}
	pause(ctx, d)
	for _, m := range of {
		r.etcd[m].goOn()
	}
}

// wireFault befalls frames, or a clock.
func wireFault(r *rand.Rand) fault {
	n, d, at, seed := r.IntN(edges), some(r, 3*time.Second), uint16(r.IntN(outside+1)+1), r.Uint64()
	if r.IntN(2) == 0 {
		at = offload.FirstUnderlay
	}
	bad := func(kind string, c impair.Config) fault {
		c.Seed = seed
		return fault{kind, fmt.Sprintf("%s: port %d of %s for %v", kind, at, edgeName(n), d.Round(time.Millisecond)), func(r *rig, ctx context.Context) error {
			e := r.edges[n]
			if err := e.impair(at, c); err != nil {
				return err
			}
			pause(ctx, d)
			return e.impair(at, impair.Config{})
		}}
	}
	switch r.IntN(7) {
	case 0, 1:
		return fault{"frames twice", fmt.Sprintf("frames twice: port %d of %s for %v", at, edgeName(n), d), func(r *rig, ctx context.Context) error {
			j := r.edges[n].jacks[at]
			j.twice.Store(300_000)
			pause(ctx, d)
			j.twice.Store(0)
			return nil
		}}
	case 2, 3:
		return bad("frames reordered", impair.Config{Delay: 2 * time.Millisecond, Jitter: 2 * time.Millisecond, Reorder: 0.3})
	case 4:
		return bad("frames lost", impair.Config{Loss: 0.3})
	case 5:
		jump := time.Duration(r.Int64N(int64(2*time.Hour))) - time.Hour
		return fault{"clock jump", fmt.Sprintf("clock of %s jumps by %v", edgeName(n), jump), func(r *rig, ctx context.Context) error {
			r.edges[n].offset.Add(int64(jump))
			pause(ctx, d/4)
			return nil
		}}
	}
	return fault{"underlay down", fmt.Sprintf("underlay of %s down for %v", edgeName(n), d/2), func(r *rig, ctx context.Context) error {
		r.edges[n].uplink.SetUp(false)
		pause(ctx, d/2)
		r.edges[n].uplink.SetUp(true)
		return nil
	}}
}

// churn changes the network until ctx ends.
func (r *rig) churn(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		r.mu.Lock()
		what := r.model.change(random)
		r.mu.Unlock()
		r.tell("change: " + what)
		r.deeds.did("changes")
		r.reconfigure()
		pause(ctx, some(random, 400*time.Millisecond))
	}
}

// reconfigure has the database, and the stations, follow the model.
func (r *rig) reconfigure() {
	r.witness.renatted()
	ctx, cancel := context.WithTimeout(r.Context(), bound)
	defer cancel()
	if err := r.configure(ctx); err != nil {
		r.fail("%v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plugLocked()
	r.witness.renatted()
}
