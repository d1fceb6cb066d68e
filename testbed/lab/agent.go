package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	weftagent "github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/telemetry"
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
	e.agent = &localAgent{edge: e, view: l.store.View, endpoints: endpoints, dir: l.dir}
	return nil
}

// sampleInterval is how often counters of targets are sampled.
const sampleInterval = time.Second

// awayAfter is how long the database may leave questions unanswered.
const awayAfter = 10 * time.Second

// localAgent is an agent in this process, with connections of its own to etcd and to its target. It can be stopped and started again.
type localAgent struct {
	edge      *edge
	view      func() *state.View // for names of what flows lead to
	endpoints []string
	dir       string
	running   atomic.Pointer[weftagent.Speaking]
	store     atomic.Pointer[state.Store]

	mu    sync.Mutex
	stop  context.CancelFunc // ends the run that goes on; nil: none does
	ended chan struct{}      // closed when that has ended
	again chan struct{}      // closed when the next is to begin
}

// run runs the agent, anew each time that it was stopped and is started again.
func (a *localAgent) run(ctx context.Context) error {
	for {
		on, stop := context.WithCancel(ctx)
		ended, again := make(chan struct{}), make(chan struct{})
		a.mu.Lock()
		a.stop, a.ended, a.again = stop, ended, again
		a.mu.Unlock()
		err := a.once(on)
		stopped := on.Err() != nil && ctx.Err() == nil
		stop()
		a.running.Store(nil)
		a.store.Store(nil)
		close(ended)
		if !stopped || err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		select {
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

// once runs the agent until ctx ends.
func (a *localAgent) once(ctx context.Context) (err error) {
	e := a.edge
	store, err := openStore(ctx, a.endpoints, e.logger, e.cfg.Linger, e.plan.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	keeper, err := e.vpnConfig(a.dir, store, e.logger)
	if err != nil {
		return err
	}
	speaking, err := weftagent.NewSpeaking(engine.Config{
		Store: store, Self: engine.Edge{ID: e.plan.name, VTEPs: e.plan.vteps, Tunnel: e.plan.tunnel, Multicast: e.plan.multicast}, Links: e.links(),
		Interfaces: e.plan.interfaces, Dial: e.target.dial, DeviceID: uint64(e.plan.n), Profile: e.target.profile(), Pipeline: e.program.Pipeline, Logger: e.logger, Version: "lab",
		AwayAfter: cmp.Or(e.cfg.AwayAfter, awayAfter), IdleTimeout: e.cfg.IdleTimeout, AgeTime: e.cfg.AgeTime, VPortShare: e.cfg.VPortShare, MaxFlows: e.cfg.MaxFlows, PuntRate: e.cfg.PuntRate, Timeouts: e.cfg.Timeouts,
	}, bgp.Config{Edge: e.plan.name, Store: store, Stack: e.cfg.BGPStack, Secret: e.cfg.BGPSecret, Caches: e.cfg.RPKI, Log: e.logger}, keeper)
	if err != nil {
		return err
	}
	if address, options := e.target.gnmi(); e.plan.telemetry && address != "" {
		speaking.Watch(telemetry.Config{Address: address, Options: options, Last: offload.LastUnderlay, Interval: sampleInterval, Log: e.logger})
	}
	a.running.Store(speaking)
	a.store.Store(store)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return store.Run(ctx) })
	g.Go(func() error { return speaking.Run(ctx) })
	return g.Wait()
}

func (a *localAgent) get() (*weftagent.Speaking, error) {
	if agent := a.running.Load(); agent != nil {
		return agent, nil
	}
	return nil, fmt.Errorf("%w: the agent of edge %s does not run now", scenario.ErrLab, a.edge.plan.name)
}

// halt ends the agent, as SIGTERM does, and returns when it has ended.
func (a *localAgent) halt() {
	a.mu.Lock()
	stop, ended := a.stop, a.ended
	a.mu.Unlock()
	stop()
	<-ended
}

// goOn starts an agent that was halted; it does nothing to one that was not.
func (a *localAgent) goOn() {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.ended:
	default:
		return
	}
	if a.again != nil {
		close(a.again)
		a.again = nil
	}
}

// local returns the agent of an edge if it runs in this process.
func (l *Lab) local(edge string) (*localAgent, error) {
	e, err := l.edge(edge)
	if err != nil {
		return nil, err
	}
	if a, ok := e.agent.(*localAgent); ok {
		return a, nil
	}
	return nil, fmt.Errorf("%w: the agent of edge %s does not run in this process", scenario.ErrLab, edge)
}

// Speaker is what speaks BGP for an edge, if its agent runs in this process. It is another after each StartAgent.
func (l *Lab) Speaker(edge string) (*weftagent.Speaking, error) {
	a, err := l.local(edge)
	if err != nil {
		return nil, err
	}
	speaking, err := a.get()
	if err != nil {
		return nil, err
	}
	return speaking, nil
}

// StopAgent ends an edge's agent of this process, as SIGTERM does, and returns when it has ended. Its target goes on. StartAgent starts another one.
func (l *Lab) StopAgent(edge string) error {
	a, err := l.local(edge)
	if err == nil {
		a.halt()
	}
	return err
}

// StartAgent starts an agent for an edge whose agent was stopped or killed. It does not wait for it.
func (l *Lab) StartAgent(edge string) error {
	e, err := l.edge(edge)
	if err == nil {
		switch a := e.agent.(type) {
		case *localAgent:
			a.goOn()
		case *servedAgent:
			a.goOn()
		}
	}
	return err
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
