package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
	"github.com/weft-sdn/weft/view"
)

// direct is the network in etcd, for those who may do all: there are no roles.
type direct struct {
	store *state.Store
	lost  func(error)        // is told when etcd does not answer what goes on
	stop  context.CancelFunc // of what follows the database; nil: nothing does
	ended chan error
}

// close ends what follows the database, and the connection.
func (d *direct) close() error {
	var err error
	if d.stop != nil {
		d.stop()
		err = <-d.ended
	}
	if closing := d.store.Close(); err == nil {
		err = closing
	}
	return err
}

// view is the whole database, which is followed from then on.
func (d *direct) view(ctx context.Context) (*state.View, error) {
	if d.stop == nil {
		following, stop := context.WithCancel(ctx)
		d.stop, d.ended = stop, make(chan error, 1)
		go func() { d.ended <- d.store.Run(following) }()
	}
	if err := d.store.WaitRevision(ctx, 1); err != nil {
		return nil, err
	}
	return d.store.View(), nil
}

// Get implements network, and so do those that follow.
func (d *direct) Get(ctx context.Context, r topology.Ref) (*topology.Object, int64, error) {
	return d.store.Get(ctx, r)
}

// List implements network.
func (d *direct) List(ctx context.Context, kinds []topology.Kind, tenant string) ([]*topology.Object, error) {
	kind := topology.Kind("")
	if len(kinds) == 1 {
		kind = kinds[0]
	}
	all, _, err := d.store.List(ctx, kind, tenant)
	return slices.DeleteFunc(all, func(o *topology.Object) bool { return !slices.Contains(kinds, o.Kind) }), err
}

// Change implements network.
func (d *direct) Change(ctx context.Context, c change) (*changed, error) {
	edit := state.Edit{Plan: func(stored *state.Catalogue) ([]*topology.Object, []topology.Ref, error) {
		for r, revision := range c.at {
			if e := stored.Get(r); e == nil || e.Revision != revision {
				return nil, nil, fmt.Errorf("%v: %w", r, state.ErrConflict)
			}
		}
		return c.put, c.del, nil
	}}
	do := d.store.Edit
	if c.dryRun {
		do = d.store.Try
	}
	did, err := do(ctx, edit)
	if err != nil {
		return nil, err
	}
	out := changed{revision: did.Revision}
	for _, s := range did.Steps {
		fields, err := fieldsOf(s.Before, s.After)
		if err != nil {
			return nil, err
		}
		out.steps = append(out.steps, step{s.Ref, s.Action, s.Before, s.After, fields})
	}
	return &out, nil
}

// Applied implements network.
func (d *direct) Applied(ctx context.Context, revision int64, wait time.Duration, tenants map[string]bool) (*applied, error) {
	if _, err := d.view(ctx); err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := d.store.WaitApplied(limit, revision)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	v := d.store.View()
	a := &applied{done: err == nil, edges: v.Edges.Len()}
	if err != nil {
		for id, e := range v.Edges.All() {
			if e.Applied < revision {
				a.behind = append(a.behind, fmt.Sprintf("%s (at %d)", id, e.Applied))
			}
		}
	}
	slices.Sort(a.behind)
	for _, e := range view.Edges(v) {
		if e.State == client.EdgeAway && e.VPorts > 0 {
			a.away = append(a.away, e.ID)
		}
	}
	a.lacks = lacksOf(v, tenants)
	return a, nil
}

// Follow implements network.
func (d *direct) Follow(ctx context.Context, fn func() error) error {
	if _, err := d.view(ctx); err != nil {
		return err
	}
	return d.following(ctx, func(ctx context.Context) error { return d.follow(ctx, fn) })
}

func (d *direct) follow(ctx context.Context, fn func() error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var failed error
	err := d.store.Watch(ctx, func(state.Change) {
		if failed == nil {
			if failed = fn(); failed != nil {
				stop()
			}
		}
	})
	if failed != nil || ctx.Err() != nil {
		return failed
	}
	return err
}

// Health implements network.
func (d *direct) Health(ctx context.Context, pool *topology.Object) (state.PoolHealth, error) {
	return d.store.Health(ctx, topology.DeviceID(pool.Status.ID))
}

// RuleHits implements network.
func (d *direct) RuleHits(ctx context.Context, chain *topology.Object) ([]client.RuleHits, error) {
	v, err := d.view(ctx)
	if err != nil {
		return nil, err
	}
	return view.RuleHits(ctx, d.store, v, view.Of{Name: chain.Tenant() + "/" + chain.Metadata.Name})
}

// Rates implements network.
func (d *direct) Rates(ctx context.Context, vport string) ([]client.Rate, error) {
	v, err := d.view(ctx)
	if err != nil {
		return nil, err
	}
	return view.Rates(v, view.Of{Name: vport}), nil
}

// Edges implements network.
func (d *direct) Edges(ctx context.Context) ([]client.Edge, error) {
	v, err := d.view(ctx)
	if err != nil {
		return nil, err
	}
	return view.Edges(v), nil
}

// Session implements network.
func (d *direct) Session(ctx context.Context, name string) (string, error) {
	v, err := d.view(ctx)
	if err != nil {
		return "", err
	}
	return sessionState(ctx, v, name), nil
}

// Events implements network.
func (d *direct) Events(ctx context.Context, f state.EventFilter) ([]state.LoggedEvent, int64, error) {
	return d.store.Events(ctx, f)
}

// WatchEvents implements network.
func (d *direct) WatchEvents(ctx context.Context, f state.EventFilter, after int64, fn func(state.LoggedEvent) error) error {
	return d.following(ctx, func(ctx context.Context) error { return d.store.WatchEvents(ctx, f, after, fn) })
}

// lacksOf says what of these tenants' edges can not do, in order.
func lacksOf(v *state.View, tenants map[string]bool) []string {
	var out []string
	for id, e := range v.Edges.All() {
		for _, l := range e.Lacks {
			if l.Tenant == "" || tenants[l.Tenant] {
				out = append(out, "edge "+id+": "+l.String())
			}
		}
	}
	slices.Sort(out)
	return out
}
