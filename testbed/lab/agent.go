package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	weftagent "github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// agent programs the target of an edge, in this process or in one of its own.
type agent interface {
	// run runs it until ctx ends.
	run(ctx context.Context) error
	stats(ctx context.Context) (engine.Stats, error)
	flows(ctx context.Context) ([]scenario.Flow, error)
	drops(ctx context.Context) ([]Drop, error)
}

// Drop is how many packets an edge dropped for one reason.
type Drop struct {
	VPort   string // TENANT/NAME of whose packets they were; else where they came from, in brackets
	Reason  string
	Packets uint64
}

// makeAgent makes the agent that the lab's configuration asks for.
func (e *edge) makeAgent(l *Lab, endpoints []string) (err error) {
	if e.cfg.Processes || e.cfg.Reachable {
		e.agent, err = newServedAgent(e, l.dir, endpoints)
		return err
	}
	e.agent = &localAgent{edge: e, view: l.store.View, endpoints: endpoints}
	return nil
}

// awayAfter is how long the database may leave questions unanswered.
const awayAfter = 10 * time.Second

// localAgent is an agent in this process, with connections of its own to etcd and to its target.
type localAgent struct {
	edge      *edge
	view      func() *state.View // for names of what flows lead to
	endpoints []string
	running   atomic.Pointer[engine.Agent]
	store     atomic.Pointer[state.Store]
}

func (a *localAgent) run(ctx context.Context) (err error) {
	e := a.edge
	store, err := openStore(ctx, a.endpoints, e.logger, e.cfg.Linger, e.plan.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	speaking, err := weftagent.NewSpeaking(engine.Config{
		Store: store, Self: engine.Edge{ID: e.plan.name, VTEPs: e.plan.vteps, Tunnel: e.plan.tunnel, Multicast: e.plan.multicast}, Links: e.links(),
		Interfaces: e.plan.interfaces, Dial: e.target.dial, DeviceID: uint64(e.plan.n), Profile: e.target.profile(), Pipeline: e.program.Pipeline, Logger: e.logger, Version: "lab",
		AwayAfter: cmp.Or(e.cfg.AwayAfter, awayAfter), IdleTimeout: e.cfg.IdleTimeout, AgeTime: e.cfg.AgeTime, VPortShare: e.cfg.VPortShare, MaxFlows: e.cfg.MaxFlows, Timeouts: e.cfg.Timeouts,
	}, bgp.Config{Edge: e.plan.name, Store: store, Stack: e.cfg.BGPStack, Secret: e.cfg.BGPSecret, Log: e.logger})
	if err != nil {
		return err
	}
	a.running.Store(speaking.Agent)
	a.store.Store(store)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return store.Run(ctx) })
	g.Go(func() error { return speaking.Run(ctx) })
	return g.Wait()
}

func (a *localAgent) get() (*engine.Agent, error) {
	if agent := a.running.Load(); agent != nil {
		return agent, nil
	}
	return nil, fmt.Errorf("%w: the agent of edge %s does not run yet", scenario.ErrLab, a.edge.plan.name)
}

func (a *localAgent) stats(context.Context) (engine.Stats, error) {
	agent, err := a.get()
	if err != nil {
		return engine.Stats{}, err
	}
	return agent.Stats(), nil
}

func (a *localAgent) drops(ctx context.Context) ([]Drop, error) {
	agent, err := a.get()
	if err != nil {
		return nil, err
	}
	drops, err := agent.Drops(ctx)
	all := make([]Drop, len(drops))
	for i, d := range drops {
		all[i] = Drop{"(" + d.From + ")", d.Reason, d.Packets}
		if p := a.view().Topology.VPort(d.VPort); p != nil {
			all[i].VPort = p.Tenant + "/" + p.Name
		}
	}
	return all, err
}

func (a *localAgent) flows(ctx context.Context) ([]scenario.Flow, error) {
	agent, err := a.get()
	if err != nil {
		return nil, err
	}
	flows, err := agent.Flows(ctx)
	if err != nil {
		return nil, err
	}
	snap := a.view().Topology
	all := make([]scenario.Flow, len(flows))
	for i, f := range flows {
		all[i] = scenario.Flow{Match: flow.MatchOf(f.Key, f.Mask).String(), Action: action(snap, &f), Packets: f.Packets, Bytes: f.Bytes}
	}
	return all, nil
}

// action says what a flow does: "forward to acme/web src_mac=… dst_mac=… ttl_dec=2".
func action(snap *topology.Snapshot, f *engine.Flow) string {
	switch f.Act {
	case offload.Drop:
		return "drop"
	case offload.Punt:
		return "punt: each sender is answered"
	}
	text := "forward to "
	if b := snap.Bridge(topology.DeviceID(f.Dest)); b != nil {
		text += "all of bridge " + b.Tenant + "/" + b.Name
	} else if v := snap.VPort(f.Dest.VPort()); v != nil {
		text += v.Tenant + "/" + v.Name
	} else {
		text += fmt.Sprint(f.Dest)
	}
	if !f.Rewrite.IsZero() {
		text += " " + f.Rewrite.String()
	}
	return text
}
