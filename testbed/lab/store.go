package lab

import (
	"context"
	"fmt"
	"os"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// openStore starts the lab's etcd in a directory of its own.
func (l *Lab) openStore() error {
	dir, err := os.MkdirTemp("", "weft-lab-")
	if err != nil {
		return err
	}
	l.dir = dir
	l.store, err = state.Open(context.Background(), state.Config{Embedded: &state.EmbeddedConfig{Dir: dir, FastTimers: true, UnsafeNoFsync: true}})
	return err
}

// connect opens a store for one edge, over a socket as another process would.
func (l *Lab) connect() (*state.Store, error) {
	return state.Open(context.Background(), state.Config{Client: state.ClientConfig{Endpoints: l.store.Endpoints()}})
}

// Apply stores objects. Bindings name edges of the lab and access ports ("1", "2", …).
func (l *Lab) Apply(ctx context.Context, file string, manifest []byte) error {
	objects, err := topology.Decode(file, manifest)
	if err != nil {
		return err
	}
	_, err = l.store.Apply(ctx, objects)
	return err
}

// Settle waits until every edge has what was applied and a way to every other.
func (l *Lab) Settle(ctx context.Context) error {
	_, revision, err := l.store.List(ctx, topology.KindFabric, "")
	if err != nil {
		return err
	}
	ids := make([]string, len(l.Edges))
	for i, e := range l.Edges {
		ids[i] = e.ID
	}
	for _, e := range l.Edges {
		if err := e.store.WaitRevision(ctx, revision); err != nil {
			return err
		}
		if err := e.store.WaitEdges(ctx, ids...); err != nil {
			return fmt.Errorf("edge %s: %w", e.ID, err)
		}
		if err := e.Agent.WaitApplied(ctx); err != nil {
			return err
		}
		if err := e.Agent.WaitReachable(ctx); err != nil {
			return err
		}
	}
	return nil
}
