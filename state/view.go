package state

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/topology"
)

// View is the database at one revision, or what of it this store is for: immutable. Revision 0 is before the first reading.
type View struct {
	Revision int64 // everything up to here is in it, of what is loaded
	Whole    int64 // and up to here, all that is to be loaded is
	Conf     int64 // last change of the configuration that is in it whole: what an edge acknowledges once it has applied the view
	Topology *topology.Snapshot
	Bindings *Bindings     // of the vports in Topology
	Edges    EdgeMap[Edge] // live ones
	// Known has where edges are, or were when they were last alive: their targets forward while their agents are away.
	Known EdgeMap[EdgeInfo]
	// Agents are those of edges for which several agents may act, by edge.
	Agents map[string]Agents
}

// Told is a word to one run of an edge about a connection.
type Told struct {
	Run int64
	Key conntrack.Key
}

// Change is what a subscriber is told: the newest view, and what differs from the one it was told before.
type Change struct {
	View  *View
	Deps  []topology.Dep // changed; in no order
	All   bool           // anything may have changed: the first call, or the subscriber was too far behind
	Edges bool           // Edges, Known or Agents differs
	// Moved are the edges that are otherwise in Edges or Known, but for what they have acknowledged; not told with All.
	Moved map[string]struct{}
	Told  []Told // connections that another edge changed and wants one of these to look at; see Store.Heard
}

// View returns the newest view; never nil.
func (s *Store) View() *View { return s.view.Load() }

// BadValues counts what was read from the database and not understood.
func (s *Store) BadValues() uint64 { return s.reader.bad.Load() }

// WaitRevision returns when the view has everything up to revision, what this store's edges host included.
func (s *Store) WaitRevision(ctx context.Context, revision int64) error {
	if err := s.watcher.Wait(ctx, revision); err != nil {
		return err
	}
	return s.waitView(ctx, func(v *View) bool { return v.Whole >= revision }, func(*View) string {
		return fmt.Sprintf("not all of revision %d is loaded", revision)
	})
}

const maxPendingDeps = 1 << 17 // of a subscriber that is behind; beyond, it is told All

// subscriber gathers what its reader hasn't been told.
type subscriber struct {
	deps  map[topology.Dep]struct{}
	told  []Told
	all   bool
	edges bool
	moved map[string]struct{}
	wake  chan struct{}
}

// Watch calls fn with every change, from this goroutine, until ctx ends. The first call tells the whole. While fn runs,
// changes are joined: it never gets an older view after a newer one, and nothing that changed is left out of Deps.
func (s *Store) Watch(ctx context.Context, fn func(Change)) error {
	sub := &subscriber{deps: map[topology.Dep]struct{}{}, moved: map[string]struct{}{}, all: true, edges: true, wake: make(chan struct{}, 1)}
	sub.wake <- struct{}{}
	s.mu.Lock()
	s.subscribers[sub] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.subscribers, sub)
		s.mu.Unlock()
	}()
	if err := s.WaitRevision(ctx, 1); err != nil {
		return nil //nolint:nilerr // ctx ended
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sub.wake:
		}
		s.mu.Lock()
		c := Change{View: s.view.Load(), All: sub.all, Edges: sub.edges, Moved: maps.Clone(sub.moved), Deps: slices.Collect(maps.Keys(sub.deps)), Told: sub.told}
		clear(sub.deps)
		clear(sub.moved)
		sub.told = nil
		sub.all, sub.edges = false, false
		s.mu.Unlock()
		fn(c)
	}
}

// publish makes v the view and tells the subscribers.
func (s *Store) publish(v *View, deps []topology.Dep, told []Told, edges bool, movedEdges map[string]struct{}, swept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := v.Conf != s.view.Load().Conf || swept // nothing that counts, but tables that are quicker
	s.view.Store(v)
	close(s.published)
	s.published = make(chan struct{})
	if len(deps) == 0 && len(told) == 0 && !edges && !moved {
		return // only the revision moved
	}
	for sub := range s.subscribers {
		sub.edges = sub.edges || edges
		maps.Copy(sub.moved, movedEdges)
		sub.told = append(sub.told, told...)
		if len(sub.deps)+len(deps) > maxPendingDeps {
			sub.all = true
			clear(sub.deps)
		}
		if !sub.all {
			for _, d := range deps {
				sub.deps[d] = struct{}{}
			}
		}
		select {
		case sub.wake <- struct{}{}:
		default:
		}
	}
}

// WaitApplied returns when every live edge has acknowledged revision (`weft apply --wait`). If ctx ends first, the error names
// the edges that have not.
func (s *Store) WaitApplied(ctx context.Context, revision int64) error {
	if err := s.WaitRevision(ctx, revision); err != nil {
		return err
	}
	return s.waitView(ctx, func(v *View) bool {
		for _, e := range v.Edges.All() {
			if e.Applied < revision {
				return false
			}
		}
		return true
	}, func(v *View) string {
		var behind []string
		for id, e := range v.Edges.All() {
			if e.Applied < revision {
				behind = append(behind, id)
			}
		}
		slices.Sort(behind)
		return fmt.Sprintf("revision %d is not applied by %s", revision, strings.Join(behind, ", "))
	})
}

// WaitEdges returns when all of these edges are alive. If ctx ends first, the error names those that are not.
func (s *Store) WaitEdges(ctx context.Context, ids ...string) error {
	missing := func(v *View) (missing []string) {
		for _, id := range ids {
			if !v.Edges.Has(id) {
				missing = append(missing, id)
			}
		}
		return missing
	}
	return s.waitView(ctx, func(v *View) bool { return len(missing(v)) == 0 }, func(v *View) string { return "not alive: " + strings.Join(missing(v), ", ") })
}

// Wait returns when the topology of a view is as is says.
func (s *Store) Wait(ctx context.Context, is func(*topology.Snapshot) bool) error {
	return s.waitView(ctx, func(v *View) bool { return is(v.Topology) }, func(v *View) string { return fmt.Sprintf("revision %d is not as awaited", v.Revision) })
}

// waitView returns when a view is as awaited. If ctx ends first, lacks says of the last one what it is not.
func (s *Store) waitView(ctx context.Context, is func(*View) bool, lacks func(*View) string) error {
	for {
		s.mu.Lock()
		published := s.published
		s.mu.Unlock()
		v := s.View()
		if is(v) {
			return nil
		}
		select {
		case <-published:
		case <-ctx.Done():
			return fmt.Errorf("state: %s: %w", lacks(v), ctx.Err())
		}
	}
}
