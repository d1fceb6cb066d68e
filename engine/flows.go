package engine

import (
	"math"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// flowTable has the flows that were installed at an edge, by pattern, by entry and by what they relied on.
type flowTable struct {
	byPattern map[pattern]*installedFlow
	byEntry   map[p4rt.Key]*installedFlow
	byDep     map[depBucket]map[*installedFlow]struct{}
	gen       int32
}

type pattern struct {
	key    flow.Key
	mask   flow.Mask
	source packet.MAC // the known source is a reference of its own, even where the mask does not have it
}

// depBucket groups dependencies for the index: within a bucket Dep.Affects decides.
type depBucket struct {
	kind topology.DepKind
	a    uint32
}

type installedFlow struct {
	pattern pattern
	placed  *offload.Placed
	deps    []topology.Dep
}

func newFlowTable() *flowTable {
	return &flowTable{map[pattern]*installedFlow{}, map[p4rt.Key]*installedFlow{}, map[depBucket]map[*installedFlow]struct{}{}, 0}
}

// generation numbers decisions: of overlapping wild entries the newer wins.
func (t *flowTable) generation() int32 {
	if t.gen == math.MaxInt32 {
		t.gen = 0
	}
	t.gen++
	return t.gen
}

func (t *flowTable) has(key flow.Key, mask flow.Mask, source packet.MAC) bool {
	return t.byPattern[pattern{key, mask, source}] != nil
}

func (t *flowTable) add(placed *offload.Placed, source packet.MAC, deps []topology.Dep) *installedFlow {
	f := &installedFlow{pattern{placed.Key.And(placed.Mask), placed.Mask, source}, placed, append([]topology.Dep(nil), deps...)}
	t.byPattern[f.pattern] = f
	t.byEntry[placed.Entry.Key()] = f
	for _, d := range f.deps {
		b := depBucket{d.Kind, d.A}
		if t.byDep[b] == nil {
			t.byDep[b] = make(map[*installedFlow]struct{})
		}
		t.byDep[b][f] = struct{}{}
	}
	return f
}

// remove forgets a flow; false if it was not there.
func (t *flowTable) remove(f *installedFlow) bool {
	if t.byPattern[f.pattern] != f {
		return false
	}
	delete(t.byPattern, f.pattern)
	delete(t.byEntry, f.placed.Entry.Key())
	for _, d := range f.deps {
		b := depBucket{d.Kind, d.A}
		delete(t.byDep[b], f)
		if len(t.byDep[b]) == 0 {
			delete(t.byDep, b)
		}
	}
	return true
}

// affected returns the flows that relied on something that changed.
func (t *flowTable) affected(changed []topology.Dep) []*installedFlow {
	var out []*installedFlow
	seen := make(map[*installedFlow]struct{})
	for _, c := range changed {
		for f := range t.byDep[depBucket{c.Kind, c.A}] {
			if _, ok := seen[f]; ok {
				continue
			}
			for _, d := range f.deps {
				if c.Affects(d) {
					seen[f] = struct{}{}
					out = append(out, f)
					break
				}
			}
		}
	}
	return out
}
