package engine

import (
	"hash/maphash"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// flowTable has the flows that were installed at an edge, by pattern, by entry and by what they relied on (E6). An edge may have a million, so each is held once, and found by
// hashes.
type flowTable struct {
	byPattern map[uint64]*installedFlow       // by hash of the pattern
	clash     map[pattern]*installedFlow      // those whose hash another has
	byEntry   map[uint64]*installedFlow       // by offload.Placer.Hash: the first of those that share it; they differ in their source MAC alone
	byConn    map[topology.Dep]*installedFlow // the first of those that relied on a connection
	grounds   grounds
	seed      maphash.Seed
	gen       int32 // the greatest number of a wild entry
	most      int32 // that there may be: the greatest priority of the target
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

type installedFlow struct {
	placed    *offload.Placed
	relies    *ground
	at        int32          // in relies.flows[port]
	port      uint32         // portOf(placed), as it was when it was put there
	direction uint8          // of conn
	drop      sim.DropReason // valid iff it drops
	stale     bool           // to be decided again
	gone      bool           // removed
	read      bool           // the target has told of its hits
	recount   bool           // the target's counter of its entry has what was counted before the flow: what it says next is where to count from
	since     time.Duration
	conn      *conn        // that the flow is of, nil: none
	connDep   topology.Dep // the connection that it relies on, be it known here or not; zero: none
	ofEntry   links        // others that share the entry
	block     *ruleBlock   // where it is stored; nil: nowhere
	inBlock   int32
	hit       moment // when it was matched last, as far as it is known
	ofConn    links  // others that rely on the connection
	counted   amount // what the target had counted when it was read last, and is accounted; of flows that share an entry, the first one's
}

// links are the neighbours in a list of flows.
type links struct{ prev, next *installedFlow }

func newFlowTable() *flowTable {
	return &flowTable{
		byPattern: map[uint64]*installedFlow{}, clash: map[pattern]*installedFlow{}, byEntry: map[uint64]*installedFlow{}, byConn: map[topology.Dep]*installedFlow{},
		grounds: newGrounds(), seed: maphash.MakeSeed(), most: math.MaxInt32,
	}
}

// pattern is that of a flow.
func (f *installedFlow) pattern() pattern { return patternOf(f.placed.Key, f.placed.Matched()) }

// ingress is the vport by which a flow's packets come in.
func (f *installedFlow) ingress() flow.VPortID { return f.placed.Key.Ingress }

// generation is the number of the next decision: of overlapping wild entries the newer wins. It is used up by a wild entry alone. When the target has no greater priority, numbers begin
// again: the wild entries go, and their next packets are decided anew.
func (c *core) generation() int32 {
	t := c.flows
	if t.gen >= t.most {
		t.gen = 0
		var wild []*installedFlow
		for f := range t.all() {
			if f.placed.Wild() {
				wild = append(wild, f)
			}
		}
		for _, f := range wild {
			c.remove(f)
		}
	}
	return t.gen + 1
}

// len is how many flows there are.
func (t *flowTable) len() int { return len(t.byPattern) + len(t.clash) }

// all yields the flows.
func (t *flowTable) all() iter.Seq[*installedFlow] {
	return func(yield func(*installedFlow) bool) {
		for _, f := range t.byPattern {
			if !yield(f) {
				return
			}
		}
		for _, f := range t.clash {
			if !yield(f) {
				return
			}
		}
	}
}

// find returns the flow that a decision was installed as, whatever the lane; nil if there is none.
func (t *flowTable) find(key flow.Key, read flow.Mask) *installedFlow {
	for lane := offload.LaneClass; lane <= offload.LaneWildL2; lane++ {
		if !lane.MayHold(key.EtherType, read) {
			continue
		}
		p := patternOf(key, lane.Matched(read, key.EtherType))
		f := t.byPattern[maphash.Comparable(t.seed, p)]
		if f != nil && !(f.placed.Lane == lane && f.placed.Key == key && f.placed.Mask() == read) && f.pattern() != p {
			f = t.clash[p]
		}
		if f != nil && f.placed.Lane == lane {
			return f
		}
	}
	return nil
}

// hash is that of a pattern.
func (t *flowTable) hash(p pattern) uint64 { return maphash.Comparable(t.seed, p) }

// add notes a flow. deps and what it passes are copied.
func (t *flowTable) add(placed *offload.Placed, deps []topology.Dep, now time.Duration, p passage) *installedFlow {
	f := &installedFlow{placed: placed, since: now, hit: momentOf(now)}
	own := f.pattern()
	if h := maphash.Comparable(t.seed, own); t.byPattern[h] == nil {
		t.byPattern[h] = f
	} else {
		t.clash[own] = f
	}
	link(t.byEntry, placed.Hash, f, (*installedFlow).entryLinks)
	if second := f.ofEntry.next; second != nil {
		f.counted, f.hit, f.read, f.recount = second.counted, second.hit, second.read, second.recount
	}
	t.rely(f, deps, p)
	return f
}

// remove forgets a flow.
func (t *flowTable) remove(f *installedFlow) {
	f.gone = true
	p := f.pattern()
	if h := maphash.Comparable(t.seed, p); t.byPattern[h] != f {
		delete(t.clash, p)
	} else {
		delete(t.byPattern, h)
		for other, x := range t.clash { // one that has the same hash takes the place
			if maphash.Comparable(t.seed, other) == h {
				delete(t.clash, other)
				t.byPattern[h] = x
				break
			}
		}
	}
	if second := f.ofEntry.next; second != nil && f.ofEntry.prev == nil {
		second.counted, second.hit, second.read, second.recount = f.counted, f.hit, f.read, f.recount
	}
	unlink(t.byEntry, f.placed.Hash, f, (*installedFlow).entryLinks)
	t.unrely(f)
}

// rely notes what a flow relies on and passes, instead of what it did. Both are copied.
func (t *flowTable) rely(f *installedFlow, deps []topology.Dep, p passage) {
	t.unrely(f)
	i := slices.IndexFunc(deps, func(d topology.Dep) bool { return d.Kind() == topology.DepConn })
	if i >= 0 { // which no other flow has: it would make the ground one of its own
		f.connDep = deps[i]
		link(t.byConn, f.connDep, f, (*installedFlow).connLinks)
	}
	t.grounds.add(f, deps, i, p)
}

// moved notes that a flow was decided otherwise: packets of other ports may meet its entry.
func (t *flowTable) moved(f *installedFlow) {
	g := f.relies
	g.remove(f)
	g.add(f)
}

// reliesOn reports whether a flow relies on some dependencies and no others, and passes that and no more.
func (f *installedFlow) reliesOn(deps []topology.Dep, p passage) bool {
	if !f.relies.passage().equal(p) {
		return false
	}
	rest := f.relies.deps
	for _, d := range deps {
		switch {
		case d == f.connDep:
		case len(rest) == 0 || rest[0] != d:
			return false
		default:
			rest = rest[1:]
		}
	}
	return len(rest) == 0
}

// unrely finds a flow by what it relies on no more.
func (t *flowTable) unrely(f *installedFlow) {
	if f.connDep != (topology.Dep{}) {
		unlink(t.byConn, f.connDep, f, (*installedFlow).connLinks)
		f.connDep = topology.Dep{}
	}
	t.grounds.remove(f)
}

// ofConnection returns the flows that rely on a connection.
func (t *flowTable) ofConnection(d topology.Dep) (out []*installedFlow) {
	for f := t.byConn[d]; f != nil; f = f.ofConn.next {
		out = append(out, f)
	}
	return out
}

// sharing returns the flows of an entry.
func (t *flowTable) sharing(entry uint64) (out []*installedFlow) {
	for f := t.byEntry[entry]; f != nil; f = f.ofEntry.next {
		out = append(out, f)
	}
	return out
}

func (f *installedFlow) entryLinks() *links { return &f.ofEntry }
func (f *installedFlow) connLinks() *links  { return &f.ofConn }

// link puts a flow at the head of a list.
func link[K comparable](heads map[K]*installedFlow, h K, f *installedFlow, of func(*installedFlow) *links) {
	head := heads[h]
	of(f).next = head
	if head != nil {
		of(head).prev = f
	}
	heads[h] = f
}

// unlink takes a flow out of a list.
func unlink[K comparable](heads map[K]*installedFlow, h K, f *installedFlow, of func(*installedFlow) *links) {
	l := of(f)
	switch {
	case l.prev != nil:
		of(l.prev).next = l.next
	case l.next != nil:
		heads[h] = l.next
	default:
		delete(heads, h)
	}
	if l.next != nil {
		of(l.next).prev = l.prev
	}
	*l = links{}
}

// from returns the flows whose packets come in by a vport.
func (t *flowTable) from(v flow.VPortID) []*installedFlow {
	all, _ := t.someFrom(v, math.MaxInt)
	return all
}

// someFrom returns flows whose packets come in by a vport: each relied on it. Of flows that did it looks at so many at the most; all: there are no others.
func (t *flowTable) someFrom(v flow.VPortID, most int) (out []*installedFlow, all bool) {
	for g := range t.grounds.byDep[topology.VPortDep(v)] {
		for f := range g.all() {
			if most--; most < 0 {
				return out, false
			}
			if f.ingress() == v {
				out = append(out, f)
			}
		}
	}
	return out, true
}
