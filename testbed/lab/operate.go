package lab

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

var _ scenario.Lab = (*Lab)(nil)

// Ping implements scenario.Hosts.
func (l *Lab) Ping(ctx context.Context, p scenario.Ping) (scenario.Measured, error) {
	m, err := l.Machines.Ping(ctx, p)
	if err == nil && !p.Outcome.Fail && len(p.Outcome.Errors) == 0 && p.To.Host != "" {
		if from, to := l.plugs.edgeOf(p.From), l.plugs.edgeOf(p.To.Host); from != "" && to != "" && from != to {
			l.wentAcross()
		}
	}
	return m, err
}

func (l *Lab) wentAcross() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.across.IsZero() {
		l.across = time.Now()
	}
}

// Bind implements scenario.Network: its one act is the new binding in the database. The host follows it.
func (l *Lab) Bind(ctx context.Context, b scenario.Bind) error {
	ref := vportRef(b.What)
	if h := l.plan.host(b.What); h != nil {
		ref = h.vport
	}
	e, err := l.edge(b.Edge)
	if err != nil {
		return err
	}
	iface := cmp.Or(b.Interface, defaultInterface(b.What))
	if _, ok := e.plan.port(iface); !ok {
		return fmt.Errorf("%w: edge %s has no interface %s", scenario.ErrLab, b.Edge, iface)
	}
	view := l.store.View()
	id, _ := view.Topology.ID(ref)                // none: it is a trunk, or not there
	now, _ := view.Bindings.Get(flow.VPortID(id)) // a vport moves with its VLAN
	revision, err := l.store.Bind(ctx, ref, b.Edge, iface, now.VLAN)
	if err != nil {
		return err
	}
	return l.waitApplied(ctx, revision)
}

// Apply implements scenario.Network.
func (l *Lab) Apply(ctx context.Context, a scenario.Apply) error {
	objects, err := topology.Decode(a.File, a.Data)
	if err != nil {
		return err
	}
	revision, err := l.store.Apply(ctx, objects)
	if err != nil {
		return err
	}
	return l.waitApplied(ctx, revision)
}

// waitApplied waits until every live edge has a revision, and hosts are where it has them.
func (l *Lab) waitApplied(ctx context.Context, revision int64) error {
	if err := l.plugs.wait(ctx, revision); err != nil {
		return err
	}
	return l.store.WaitApplied(ctx, revision)
}

// Link implements scenario.Network. Parsing has checked the number of the uplink.
func (l *Lab) Link(_ context.Context, s scenario.Link) error {
	e, err := l.edge(s.Edge)
	if err != nil {
		return err
	}
	if s.Interface != "" {
		n, ok := e.plan.port(s.Interface)
		if !ok {
			return fmt.Errorf("%w: edge %s has no interface %s", scenario.ErrLab, s.Edge, s.Interface)
		}
		c := e.access[n].cable
		c.SetUp(s.Up)
		c.SetLoss(s.Loss)
		return nil
	}
	uplinks := e.uplinks
	if s.Uplink > 0 {
		uplinks = uplinks[s.Uplink-1 : s.Uplink]
	}
	for _, u := range uplinks {
		u.SetUp(s.Up)
		u.SetLoss(s.Loss)
	}
	return nil
}

// Flows implements scenario.Network.
func (l *Lab) Flows(ctx context.Context, edge string) ([]scenario.Flow, error) {
	e, err := l.edge(edge)
	if err != nil {
		return nil, err
	}
	flows, err := e.agent.flows(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: flows of edge %s: %w", scenario.ErrLab, edge, err)
	}
	return flows, nil
}

// Drops returns what an edge dropped since its agent started, and why.
func (l *Lab) Drops(ctx context.Context, edge string) ([]Drop, error) {
	e, err := l.edge(edge)
	if err != nil {
		return nil, err
	}
	drops, err := e.agent.drops(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: drops of edge %s: %w", scenario.ErrLab, edge, err)
	}
	return drops, nil
}

// VPortID implements scenario.Network.
func (l *Lab) VPortID(vport string) (uint32, error) {
	ref := vportRef(vport)
	id, ok := l.store.View().Topology.ID(ref)
	if !ok {
		return 0, fmt.Errorf("%w: there is no %v", scenario.ErrLab, ref)
	}
	return id, nil
}

// Trace implements scenario.Network.
func (l *Lab) Trace(_ context.Context, flags []string) ([]string, error) {
	if l.cfg.Trace == nil {
		return nil, fmt.Errorf("%w: it was made without a printer of traces", scenario.ErrLab)
	}
	return l.cfg.Trace(l.store.View().Topology, flags)
}
