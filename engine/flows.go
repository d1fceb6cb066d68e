package engine

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// flowTable has the flows that were installed at an edge, by pattern, by entry and by what they relied on.
type flowTable struct {
	byPattern map[pattern]*installedFlow
	byEntry   map[p4rt.Key]map[*installedFlow]struct{}     // flows that differ in their source MAC alone share an entry
	byDep     map[topology.Dep]map[*installedFlow]struct{} // but routes, whose dependencies overlap
	byRoute   map[depBucket]map[*installedFlow]struct{}    // routes, by router: within a bucket Dep.Affects decides
	gen       int32
}

// pattern is what the packets of a flow have in common: the bits that its entry matches, which are more than were read where only a lane that
// matches more had room.
type pattern struct {
	key    flow.Key
	mask   flow.Mask
	source packet.MAC // the known source is a reference of its own, even where the mask does not have it
}

func patternOf(key flow.Key, mask flow.Mask) pattern {
	return pattern{key.And(mask), mask, key.SrcMAC}
}

// depBucket is a router and an IP version.
type depBucket struct {
	router uint32
	v6     bool
}

type installedFlow struct {
	pattern pattern
	placed  *offload.Placed
	deps    []topology.Dep
	devices []topology.DeviceID // that deps are about
	since   time.Duration
	drop    sim.DropReason // valid iff it drops
	stale   bool           // to be decided again

	conn      *conn // that the flow is of, nil: none
	direction int
}

func newFlowTable() *flowTable {
	return &flowTable{
		byPattern: map[pattern]*installedFlow{}, byEntry: map[p4rt.Key]map[*installedFlow]struct{}{},
		byDep: map[topology.Dep]map[*installedFlow]struct{}{}, byRoute: map[depBucket]map[*installedFlow]struct{}{},
	}
}

// generation numbers decisions: of overlapping wild entries the newer wins.
func (t *flowTable) generation() int32 {
	if t.gen == math.MaxInt32 {
		t.gen = 0
	}
	t.gen++
	return t.gen
}

// find returns the flow that a decision was installed as, whatever the lane; nil if there is none.
func (t *flowTable) find(key flow.Key, read flow.Mask) *installedFlow {
	for lane := offload.LaneClass; lane <= offload.LaneWildL2; lane++ {
		if f := t.byPattern[patternOf(key, lane.Matched(read, key.EtherType))]; f != nil && f.placed.Lane == lane {
			return f
		}
	}
	return nil
}

// add notes a flow. deps is copied.
func (t *flowTable) add(placed *offload.Placed, deps []topology.Dep, now time.Duration) *installedFlow {
	p := patternOf(placed.Key, placed.Lane.Matched(placed.Mask, placed.Key.EtherType))
	f := &installedFlow{pattern: p, placed: placed, since: now}
	t.byPattern[f.pattern] = f
	index(t.byEntry, placed.Entry.Key(), f)
	t.rely(f, deps)
	return f
}

// unrely finds a flow by what it relies on no more.
func (t *flowTable) unrely(f *installedFlow) {
	for _, d := range f.deps {
		if d.Kind() == topology.DepRoute {
			unindex(t.byRoute, depBucket{d.A(), d.V6()}, f)
		} else {
			unindex(t.byDep, d, f)
		}
	}
}

// rely notes what a flow relies on, instead of what it did. deps is copied.
func (t *flowTable) rely(f *installedFlow, deps []topology.Dep) {
	t.unrely(f)
	f.deps = append([]topology.Dep(nil), deps...) // others may read the old ones
	for _, d := range f.deps {
		if d.Kind() == topology.DepRoute {
			index(t.byRoute, depBucket{d.A(), d.V6()}, f)
		} else {
			index(t.byDep, d, f)
		}
	}
}

// has reports whether a flow is installed.
func (t *flowTable) has(f *installedFlow) bool { return t.byPattern[f.pattern] == f }

func index[K comparable](m map[K]map[*installedFlow]struct{}, k K, f *installedFlow) {
	if m[k] == nil {
		m[k] = make(map[*installedFlow]struct{}, 1)
	}
	m[k][f] = struct{}{}
}

func unindex[K comparable](m map[K]map[*installedFlow]struct{}, k K, f *installedFlow) {
	delete(m[k], f)
	if len(m[k]) == 0 {
		delete(m, k)
	}
}

// remove forgets a flow; false if it was not there.
func (t *flowTable) remove(f *installedFlow) bool {
	if !t.has(f) {
		return false
	}
	delete(t.byPattern, f.pattern)
	unindex(t.byEntry, f.placed.Entry.Key(), f)
	t.unrely(f)
	return true
}

// affected returns the flows that relied on something that changed.
func (t *flowTable) affected(changed []topology.Dep) []*installedFlow {
	seen := make(map[*installedFlow]struct{})
	for _, c := range changed {
		if c.Kind() != topology.DepRoute {
			for f := range t.byDep[c] {
				seen[f] = struct{}{}
			}
			continue
		}
		for f := range t.byRoute[depBucket{c.A(), c.V6()}] {
			if slices.ContainsFunc(f.deps, c.Affects) {
				seen[f] = struct{}{}
			}
		}
	}
	return slices.Collect(maps.Keys(seen))
}

// from returns the flows whose packets come in by a vport: each relied on it.
func (t *flowTable) from(v flow.VPortID) []*installedFlow {
	var out []*installedFlow
	for f := range t.byDep[topology.VPortDep(v)] {
		if f.pattern.key.Ingress == v {
			out = append(out, f)
		}
	}
	return out
}
