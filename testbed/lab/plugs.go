package lab

import (
	"context"
	"fmt"
	"sync"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wire"
)

// plugs keeps each host plugged in where the database says that its vport is bound, whoever bound it.
type plugs struct {
	lab      *Lab
	machines []scenario.Machine // as in the plan

	mu       sync.Mutex
	at       []*wire.Member // as in the plan; nil: not plugged in
	edges    []string       // the same; empty: not plugged in
	revision int64          // up to here
	progress chan struct{}  // closed and replaced when revision grows
}

func newPlugs(l *Lab) *plugs {
	n := len(l.plan.hosts)
	return &plugs{lab: l, at: make([]*wire.Member, n), edges: make([]string, n), progress: make(chan struct{})}
}

// powerOn makes the machines, plugged in nowhere.
func (p *plugs) powerOn() error {
	inMemory := p.lab.inMemory()
	for _, h := range p.lab.plan.hosts {
		on := p.lab.cfg.PowerOn
		if inMemory[h.name] {
			on = scenario.InMemory
		}
		m, err := on(h.cfg, nil)
		if err != nil {
			return err
		}
		p.machines = append(p.machines, m)
		p.lab.Machines.Add(m)
	}
	return nil
}

func (p *plugs) powerOff() {
	for _, m := range p.machines {
		m.Close()
	}
}

// follow plugs hosts in and over until ctx ends.
func (p *plugs) follow(ctx context.Context) error {
	return p.lab.store.Watch(ctx, func(c state.Change) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i := range p.lab.plan.hosts {
			p.plugLocked(i, c.View)
		}
		p.revision = c.View.Revision
		close(p.progress)
		p.progress = make(chan struct{})
	})
}

func (p *plugs) plugLocked(i int, v *state.View) {
	h := p.lab.plan.hosts[i]
	next, edge := p.place(h, v)
	if next == p.at[i] {
		return
	}
	p.at[i], p.edges[i] = next, edge
	if next == nil {
		p.machines[i].Connect(nil)
		return
	}
	p.machines[i].Connect(next)
}

// place finds where a host is to be plugged in; nil: nowhere.
func (p *plugs) place(h *hostPlan, v *state.View) (*wire.Member, string) {
	id, _ := v.Topology.ID(h.vport)
	b, bound := v.Bindings.Get(flow.VPortID(id))
	if !bound {
		return nil, ""
	}
	e, err := p.lab.edge(b.Edge)
	if err != nil {
		p.lab.cfg.Logger.Warn("host is unplugged: its vport is bound to an edge that the lab does not have", "host", h.name, "edge", b.Edge)
		return nil, ""
	}
	n, ok := e.plan.port(b.Interface)
	if !ok {
		p.lab.cfg.Logger.Warn("host is unplugged: its vport is bound to an interface that the edge does not have", "host", h.name, "edge", b.Edge, "interface", b.Interface)
		return nil, ""
	}
	if e.access[n] == nil { // the agent's
		return nil, ""
	}
	return e.access[n].trunk.Member(b.VLAN), b.Edge
}

// wait waits until hosts are where a revision has them.
func (p *plugs) wait(ctx context.Context, revision int64) error {
	for {
		p.mu.Lock()
		at, progress := p.revision, p.progress
		p.mu.Unlock()
		if at >= revision {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("hosts are plugged in as of revision %d, not %d: %w", at, revision, context.Cause(ctx))
		}
	}
}

// edgeOf is where a host is plugged in; empty: nowhere.
func (p *plugs) edgeOf(host string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, h := range p.lab.plan.hosts {
		if h.name == host {
			return p.edges[i]
		}
	}
	return ""
}
