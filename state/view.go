package state

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// View is the database at one revision: immutable. Revision 0 is before the first reading.
type View struct {
	Revision int64 // everything up to here is in it
	Conf     int64 // last revision that changed /conf or /bind: what an edge acknowledges once it has applied the view
	Topology *topology.Snapshot
	Bindings *Bindings
	Edges    map[string]Edge // live ones
}

// Change is what a subscriber is told: the newest view, and what differs from the one it was told before.
type Change struct {
	View  *View
	Deps  []topology.Dep // changed; in no order
	All   bool           // anything may have changed: the first call, or the subscriber was too far behind
	Edges bool           // Edges differs
}

// View returns the newest view; never nil.
func (s *Store) View() *View { return s.view.Load() }

// BadValues counts what was read from the database and not understood.
func (s *Store) BadValues() uint64 { return s.reader.bad.Load() }

// WaitRevision returns when the view has everything up to revision.
func (s *Store) WaitRevision(ctx context.Context, revision int64) error {
	return s.watcher.Wait(ctx, revision)
}

const maxPendingDeps = 1 << 17 // of a subscriber that is behind; beyond, it is told All

// subscriber gathers what its reader hasn't been told.
type subscriber struct {
	deps  map[topology.Dep]struct{}
	all   bool
	edges bool
	wake  chan struct{}
}

// Watch calls fn with every change, from this goroutine, until ctx ends. The first call tells the whole. While fn runs,
// changes are joined: it never gets an older view after a newer one, and nothing that changed is left out of Deps.
func (s *Store) Watch(ctx context.Context, fn func(Change)) error {
	sub := &subscriber{deps: map[topology.Dep]struct{}{}, all: true, edges: true, wake: make(chan struct{}, 1)}
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
		c := Change{View: s.view.Load(), All: sub.all, Edges: sub.edges, Deps: slices.Collect(maps.Keys(sub.deps))}
		clear(sub.deps)
		sub.all, sub.edges = false, false
		s.mu.Unlock()
		fn(c)
	}
}

// publish makes v the view and tells the subscribers.
func (s *Store) publish(v *View, deps []topology.Dep, edges bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := v.Conf != s.view.Load().Conf
	s.view.Store(v)
	close(s.published)
	s.published = make(chan struct{})
	if len(deps) == 0 && !edges && !moved {
		return // only the revision moved
	}
	for sub := range s.subscribers {
		sub.edges = sub.edges || edges
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
	return s.waitView(ctx, func(v *View) string {
		var behind []string
		for id, e := range v.Edges {
			if e.Applied < revision {
				behind = append(behind, id)
			}
		}
		if len(behind) == 0 {
			return ""
		}
		slices.Sort(behind)
		return fmt.Sprintf("revision %d is not applied by %s", revision, strings.Join(behind, ", "))
	})
}

// WaitEdges returns when all of these edges are alive. If ctx ends first, the error names those that are not.
func (s *Store) WaitEdges(ctx context.Context, ids ...string) error {
	return s.waitView(ctx, func(v *View) string {
		var missing []string
		for _, id := range ids {
			if _, ok := v.Edges[id]; !ok {
				missing = append(missing, id)
			}
		}
		if len(missing) == 0 {
			return ""
		}
		return "not alive: " + strings.Join(missing, ", ")
	})
}

// Wait returns when the topology of a view is as is says.
func (s *Store) Wait(ctx context.Context, is func(*topology.Snapshot) bool) error {
	return s.waitView(ctx, func(v *View) string {
		if is(v.Topology) {
			return ""
		}
		return fmt.Sprintf("revision %d is not as awaited", v.Revision)
	})
}

// waitView returns when lacks, asked of each view, names nothing.
func (s *Store) waitView(ctx context.Context, lacks func(*View) string) error {
	for {
		s.mu.Lock()
		published := s.published
		s.mu.Unlock()
		what := lacks(s.View())
		if what == "" {
			return nil
		}
		select {
		case <-published:
		case <-ctx.Done():
			return fmt.Errorf("state: %s: %w", what, ctx.Err())
		}
	}
}

// reader turns batches into views. It belongs to the watcher's goroutine.
type reader struct {
	known map[string]int64 // modification revision of every key read
	bad   atomic.Uint64    // values that couldn't be decoded
}

// batch is a Batch by meaning: the last word on each key.
type batch struct {
	topo   topology.Changes
	binds  map[flow.VPortID]*Binding
	edges  map[string]*EdgeInfo
	acks   map[string]int64
	conf   int64 // revision of the generation, if it changed
	fdb    []fdbChange
	before *topology.Snapshot
}

// deliver is called by the watcher with all that happened up to a revision.
func (s *Store) deliver(b Batch) error {
	old := s.view.Load()
	events := s.reader.settle(b)
	m := batch{binds: map[flow.VPortID]*Binding{}, edges: map[string]*EdgeInfo{}, acks: map[string]int64{}, before: old.Topology}
	for _, e := range events {
		if err := m.add(e); err != nil {
			s.reader.bad.Add(1)
			s.log.Warn("value in the database is not understood", "key", e.Key, "err", err)
		}
	}
	v := &View{Revision: b.Revision, Topology: old.Topology, Bindings: old.Bindings.with(m.binds), Edges: old.Edges}
	var deps []topology.Dep
	if m.hasTopology() {
		v.Topology, deps = old.Topology.With(m.topo)
	}
	for id := range m.binds {
		deps = append(deps, topology.BindingDep(id))
	}
	v.Conf = max(old.Conf, m.conf)
	edges := len(m.edges)+len(m.acks) > 0
	if edges {
		v.Edges = m.newEdges(old.Edges)
	}
	s.learnt.observe(m.fdb)
	s.publish(v, deps, edges)
	return nil
}

// settle returns the last event of each key; of a full listing, the difference to what was known.
func (r *reader) settle(b Batch) []Event {
	last := make(map[string]int, len(b.Events))
	for i, e := range b.Events {
		last[e.Key] = i
	}
	out := make([]Event, 0, len(last))
	for i, e := range b.Events {
		if last[e.Key] != i || r.known[e.Key] == e.ModRevision {
			continue
		}
		if e.Deleted {
			delete(r.known, e.Key)
		} else {
			r.known[e.Key] = e.ModRevision
		}
		out = append(out, e)
	}
	if b.Reset {
		for key := range r.known {
			if _, there := last[key]; !there {
				delete(r.known, key)
				out = append(out, Event{Key: key, Deleted: true})
			}
		}
	}
	return out
}

func (m *batch) hasTopology() bool {
	c := &m.topo
	return len(c.Delete)+len(c.Put)+len(c.FDB)+len(c.BridgeNeighbours)+len(c.Neighbours)+len(c.Routes) > 0
}

// add sorts one event by its prefix.
func (m *batch) add(e Event) error {
	switch {
	case strings.HasPrefix(e.Key, confPrefix):
		return m.addObject(e)
	case strings.HasPrefix(e.Key, fdbPrefix):
		bridge, mac, err := parseFDBKey(e.Key)
		v := fdbValue{}
		if err == nil && !e.Deleted {
			v, err = decodeFDB(e.Value)
		}
		if err == nil {
			m.topo.FDB = append(m.topo.FDB, topology.FDBEntry{Bridge: topology.DeviceID(bridge), MAC: mac, Port: v.vport})
			m.fdb = append(m.fdb, fdbChange{fdbID{bridge, mac}, v})
		}
		return err
	case strings.HasPrefix(e.Key, neighPrefix):
		port, n, err := decodeNeighEvent(e, neighPrefix)
		if err == nil {
			state := topology.NeighbourAbsent
			switch {
			case n.v.known:
				state = topology.NeighbourOK
			case n.v.attempts > 0:
				state = topology.NeighbourAsked
			}
			m.topo.Neighbours = append(m.topo.Neighbours, topology.Neighbour{Port: flow.VPortID(port), Addr: n.addr, MAC: n.v.mac, State: state})
		}
		return err
	case strings.HasPrefix(e.Key, arpPrefix):
		bridge, n, err := decodeNeighEvent(e, arpPrefix)
		if err == nil {
			m.topo.BridgeNeighbours = append(m.topo.BridgeNeighbours, topology.BridgeNeighbour{Bridge: topology.DeviceID(bridge), Addr: n.addr, MAC: n.v.mac})
		}
		return err
	case strings.HasPrefix(e.Key, bindPrefix):
		return m.addBinding(e)
	case strings.HasPrefix(e.Key, metaPrefix):
		if e.Key == generationKey {
			m.conf = e.ModRevision
		}
		return nil
	}
	return m.addEdge(e)
}

func (m *batch) addObject(e Event) error {
	ref, err := parseConfKey(e.Key)
	if err != nil {
		return err
	}
	if e.Deleted {
		m.topo.Delete = append(m.topo.Delete, ref)
		return nil
	}
	o, err := decodeObject(e.Key, e.Value)
	if err != nil {
		return err
	}
	if id, there := m.before.ID(ref); there && id != o.Status.ID {
		m.topo.Delete = append(m.topo.Delete, ref) // deleted and made anew since the last view
	}
	m.topo.Put = append(m.topo.Put, o)
	return nil
}

func (m *batch) addBinding(e Event) error {
	id, err := parseBindKey(e.Key)
	if err != nil {
		return err
	}
	if e.Deleted {
		m.binds[flow.VPortID(id)] = nil
		return nil
	}
	b, err := decodeBinding(e.Key, e.Value)
	if err == nil {
		m.binds[b.VPort] = &b
	}
	return err
}

func (m *batch) addEdge(e Event) error {
	if id, ok := strings.CutPrefix(e.Key, ackPrefix); ok {
		if e.Deleted {
			m.acks[id] = 0
			return nil
		}
		n, err := strconv.ParseInt(string(e.Value), 10, 64)
		if err == nil {
			m.acks[id] = n
		}
		return err
	}
	id := strings.TrimPrefix(e.Key, edgePrefix)
	if e.Deleted {
		m.edges[id] = nil
		return nil
	}
	info, err := decodeEdge(e.Key, e.Value)
	if err == nil {
		m.edges[id] = &info
	}
	return err
}

func (m *batch) newEdges(old map[string]Edge) map[string]Edge {
	edges := maps.Clone(old)
	for id, info := range m.edges {
		if info == nil {
			delete(edges, id)
		} else {
			edges[id] = Edge{EdgeInfo: *info, Applied: edges[id].Applied}
		}
	}
	for id, applied := range m.acks {
		if e, ok := edges[id]; ok {
			e.Applied = applied
			edges[id] = e
		}
	}
	return edges
}
