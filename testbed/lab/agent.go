package lab

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// agent programs the target of an edge, in this process or in one of its own.
type agent interface {
	// run runs it until ctx ends.
	run(ctx context.Context) error
	stats(ctx context.Context) (engine.Stats, error)
	flows(ctx context.Context) ([]engine.Flow, error)
}

// makeAgent makes the agent that the lab's configuration asks for.
func (e *edge) makeAgent(endpoints []string) (err error) {
	if e.cfg.Processes {
		return errors.New("no process yet")
	}
	e.agent = &localAgent{edge: e, endpoints: endpoints}
	return nil
}

// localAgent is an agent in this process, with connections of its own to etcd and to its target.
type localAgent struct {
	edge      *edge
	endpoints []string
	running   atomic.Pointer[engine.Agent]
}

func (a *localAgent) run(ctx context.Context) (err error) {
	e := a.edge
	store, err := openStore(ctx, a.endpoints, e.logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	agent, err := engine.NewAgent(engine.Config{
		Store: store, Self: engine.Edge{ID: e.plan.name, VTEPs: e.plan.vteps, Tunnel: e.plan.tunnel}, Links: []engine.Uplink{e.link()},
		Interfaces: e.plan.interfaces, Dial: e.target.dial, DeviceID: uint64(e.plan.n), Profile: e.target.profile(), Logger: e.logger, Version: "lab",
	})
	if err != nil {
		return err
	}
	a.running.Store(agent)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return store.Run(ctx) })
	g.Go(func() error { return agent.Run(ctx) })
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

func (a *localAgent) flows(ctx context.Context) ([]engine.Flow, error) {
	agent, err := a.get()
	if err != nil {
		return nil, err
	}
	return agent.Flows(ctx)
}
