package soak

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/proxy"
)

// controller is an agent of an edge, with ways of its own to target and database. It comes and goes; one goroutine at a time does that.
type controller struct {
	edge *edge
	name string                // "": the only one
	way  *proxy.Proxy          // to the target
	etcd [members]*proxy.Proxy // to the database

	run    *running                     // nil: it does not run
	engine atomic.Pointer[engine.Agent] // the same
	acts   atomic.Bool
}

func (e *edge) newController(name string, etcd []*member) (*controller, error) {
	c := &controller{edge: e, name: name}
	var err error
	if c.way, err = proxy.New("unix", e.socket()); err != nil {
		return nil, err
	}
	for i, m := range etcd {
		if c.etcd[i], err = proxy.New("tcp", m.address); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *controller) String() string { return c.edge.name + c.name }

// close ends its ways.
func (c *controller) close() {
	c.way.Close()
	for _, p := range c.etcd {
		p.Close()
	}
}

// start starts the agent. One of two that loses the edge to the other starts again, as their service has them do.
func (c *controller) start() {
	c.run = run(func(stopped context.Context) error {
		for {
			err := c.serve(stopped)
			c.engine.Store(nil)
			c.acts.Store(false)
			if stopped.Err() != nil || c.name == "" || !errors.Is(err, state.ErrEdgeTaken) {
				return err
			}
		}
	})
}

// serve is one run of the agent.
func (c *controller) serve(stopped context.Context) error {
	e := c.edge
	store, err := c.open(stopped)
	if err != nil {
		return err
	}
	agent, err := engine.NewAgent(engine.Config{
		Store: store, Self: engine.Edge{ID: e.name, VTEPs: []netip.Addr{vtepOf(e.n)}},
		Links: []engine.Uplink{{
			Port: offload.FirstUnderlay, MAC: packet.MAC{2, 0xed, 0, 0, 0, byte(e.n + 1)}, MTU: uint16(e.uplink.MTU),
			Addrs: []netip.Addr{e.uplink.Edge4.Addr(), e.uplink.Edge6.Addr()}, Gateway: []netip.Addr{e.uplink.Gateway4, e.uplink.Gateway6},
		}},
		Dial: p4rt.Dialer("passthrough:///"+c.way.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials())), DeviceID: uint64(e.n + 1), Profile: p4rt.Softswitch(),
		Logger: e.logger.With("agent", c.name), Version: "soak", IdleTimeout: idleTimeout, AgeTime: 5 * time.Second, Timeouts: connTimes, BlockTime: blockTime, VPortShare: 50, Election: c.election(), Agent: c.name, OnRole: c.acts.Store,
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	c.acts.Store(c.name == "")
	c.engine.Store(agent)
	follows, end := context.WithCancel(context.WithoutCancel(stopped))
	defer end()
	g, ctx := errgroup.WithContext(stopped)
	g.Go(func() error { return store.Run(follows) })
	g.Go(func() error { defer end(); return agent.Run(ctx) }) // takes leave before its connection ends, as a process does
	return errors.Join(g.Wait(), store.Close())
}

// open connects to the database, which may be away.
func (c *controller) open(stopped context.Context) (*state.Store, error) {
	var endpoints []string
	for _, p := range c.etcd {
		endpoints = append(endpoints, "http://"+p.Addr())
	}
	for {
		store, err := state.Open(stopped, state.Config{Client: state.ClientConfig{Endpoints: endpoints}, Edges: []string{c.edge.name}, Linger: time.Second, Now: c.edge.now, Log: c.edge.logger})
		if err == nil || stopped.Err() != nil {
			return store, err
		}
	}
}

// election chooses the ids to bid with: the only agent outbids who was there before it.
func (c *controller) election() func(p4rt.ElectionID) p4rt.ElectionID {
	if c.name != "" {
		return nil
	}
	return func(seen p4rt.ElectionID) p4rt.ElectionID { return p4rt.ElectionID{Low: seen.Low + 1} }
}

// stop ends the agent as SIGTERM does, or takes it away from everybody at once, as SIGKILL does: its connections end, and it says nothing more. An error says that it had
// ended before, or did not end.
func (c *controller) stop(kill bool) error {
	select {
	case <-c.run.ended:
		return fmt.Errorf("agent of %v: ended by itself: %w", c, c.run.err)
	default:
	}
	if kill {
		c.way.SetCut(true)
		defer c.way.SetCut(false)
		for _, p := range c.etcd {
			p.SetCut(true)
			defer p.SetCut(false)
		}
	}
	if err := c.run.stop(); err != nil && !kill {
		return fmt.Errorf("agent of %v: %w", c, err)
	}
	return nil
}

// stopAgents ends all agents of an edge, as stop.
func (e *edge) stopAgents(kill bool) (err error) {
	for _, c := range e.controllers {
		err = errors.Join(err, c.stop(kill))
	}
	return err
}

func (e *edge) startAgents() {
	for _, c := range e.controllers {
		c.start()
	}
}

// acting is the agent that acts for the edge; nil: none does now.
func (e *edge) acting() *engine.Agent {
	for _, c := range e.controllers {
		if c.acts.Load() {
			return c.engine.Load()
		}
	}
	return nil
}

// settled waits until an agent has the network in the target, and a path to the others.
func (e *edge) settled(ctx context.Context) error {
	for {
		err := errors.New("no agent acts")
		if agent := e.acting(); agent != nil {
			some, cancel := context.WithTimeout(ctx, 5*time.Second) // it may be another meanwhile
			err = settled(some, agent)
			cancel()
			if err == nil && agent == e.acting() {
				return nil
			}
		}
		for _, c := range e.controllers {
			select {
			case <-c.run.ended:
				return fmt.Errorf("agent of %v: ended by itself: %w", c, c.run.err)
			default:
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("edge %s: %w", e.name, err)
		}
		pause(ctx, lookAgain)
	}
}

func settled(ctx context.Context, agent *engine.Agent) error {
	select {
	case <-agent.Ready():
	case <-ctx.Done():
		return fmt.Errorf("not ready: %w", context.Cause(ctx))
	}
	if err := agent.WaitApplied(ctx); err != nil {
		return fmt.Errorf("not applied: %w", err)
	}
	if err := agent.WaitReachable(ctx); err != nil {
		return fmt.Errorf("not reachable: %w", err)
	}
	return nil
}
