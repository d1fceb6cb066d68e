package engine

import (
	"errors"
	"fmt"
	"maps"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
)

// fixedRoom counts the entries of the fixed tables, so that no more is asked of the target than its p4info says that they hold: an entry that it refuses is one of which nobody knows whose
// packets go astray.
type fixedRoom struct {
	held    map[*p4rt.Table]int64    // claimed
	leaving map[*p4rt.Table]int64    // deleted, and the target has not said so: inserts come before deletes
	dropped map[p4rt.Key]*p4rt.Table // by the rebuild that goes on: claimed no more
	short   map[subject]struct{}     // subjects that had no room, or no number
	freed   bool                     // there may be room for them
}

func newFixedRoom() fixedRoom {
	return fixedRoom{held: map[*p4rt.Table]int64{}, leaving: map[*p4rt.Table]int64{}, dropped: map[p4rt.Key]*p4rt.Table{}, short: map[subject]struct{}{}}
}

// wanted notes that an entity is claimed, which nobody did.
func (r *fixedRoom) wanted(k p4rt.Key, e p4rt.Entity) {
	x, ok := e.(*p4rt.Entry)
	if !ok || x.Table.Size == 0 {
		return
	}
	if r.held[x.Table]++; r.dropped[k] != nil {
		delete(r.dropped, k)
		r.leaving[x.Table]--
	}
}

// unwanted notes that nobody claims an entity any more.
func (r *fixedRoom) unwanted(k p4rt.Key, e p4rt.Entity) {
	if x, ok := e.(*p4rt.Entry); ok && x.Table.Size > 0 {
		r.held[x.Table]--
		r.leaving[x.Table]++
		r.dropped[k] = x.Table
	}
}

// left ends a rebuild. It returns what is to be called when the target has acknowledged what that deletes; nil: nothing.
func (r *fixedRoom) left() (confirm func()) {
	if len(r.dropped) == 0 {
		return nil
	}
	gone := map[*p4rt.Table]int64{}
	for _, t := range r.dropped {
		gone[t]++
	}
	clear(r.dropped)
	return func() {
		for t, n := range gone {
			r.leaving[t] -= n
		}
	}
}

// fits says which table has no room for some entries; nil: all have. What another subject, or an earlier part of the same one, has there already takes none.
func (l *layout) fits(entries ...*p4rt.Entry) error {
	need := map[*p4rt.Table]int64{}
	for _, e := range entries {
		if e.Table.Size > 0 {
			need[e.Table]++
		}
	}
	maps.DeleteFunc(need, func(t *p4rt.Table, n int64) bool { return l.room.held[t]+l.room.leaving[t]+n <= t.Size })
	if len(need) == 0 {
		return nil
	}
	fresh := map[*p4rt.Table]int64{}
	for _, e := range entries {
		if _, tight := need[e.Table]; tight && !l.has(e.Key()) {
			if fresh[e.Table]++; l.room.held[e.Table]+l.room.leaving[e.Table]+fresh[e.Table] > e.Table.Size {
				return fmt.Errorf("%w: %s holds %d entries", errTableFull, e.Table.Name, e.Table.Size)
			}
		}
	}
	return nil
}

// has reports whether the target has something with a key, or is about to.
func (l *layout) has(k p4rt.Key) bool { return len(l.claims[k]) > 0 || l.room.dropped[k] != nil }

// entries are those of a part.
func (p *part) entries() (all []*p4rt.Entry) {
	for _, stage := range p.stages {
		for _, e := range stage {
			if x, ok := e.(*p4rt.Entry); ok {
				all = append(all, x)
			}
		}
	}
	return all
}

// punts adds what of a vport's packets is to come up whatever the flow tables hold. If there is no room for that no flow of the vport gets an entry, so that all of its packets come up;
// without room for traces they are not followed.
func (l *layout) punts(p *part, v *view, id flow.VPortID, local uint16) {
	var es []*p4rt.Entry
	if _, serves := v.dhcp[id]; serves {
		es = append(es, l.t.DHCPPunted(local)...)
	}
	if watched, speaks := v.speaks[id]; speaks {
		es = append(es, l.t.BGPPunted(local)...)
		es = append(es, l.t.AskedPunted(local)...)
		for _, k := range watched {
			es = append(es, l.t.BFDPunted(local, k))
		}
	}
	if err := l.fits(es...); err != nil {
		p.lack, p.unpunted = "all packets of the vport are decided by the agent, and its BGP sessions do without it: "+err.Error(), true
		return
	}
	var traced []*p4rt.Entry
	for _, m := range v.traced[id] {
		traced = append(traced, l.t.TracePunted(local, m))
	}
	if err := l.fits(append(es[:len(es):len(es)], traced...)...); err != nil {
		p.lack, traced = "the vport is not traced: "+err.Error(), nil
	}
	p.add(stageUnderlay, es...)
	p.add(stageUnderlay, traced...)
}

// unpunted reports whether a vport's flows are to have no entries, since some of its packets would be handled by them that are the agent's.
func (l *layout) unpunted(id flow.VPortID) bool {
	p := l.parts[vportSubject(id)]
	return p != nil && p.unpunted
}

// takeShort returns the subjects for which there may be room by now, and forgets that there may.
func (l *layout) takeShort() map[subject]struct{} {
	if !l.room.freed || len(l.room.short) == 0 {
		return nil
	}
	l.room.freed = false
	return maps.Clone(l.room.short)
}

var errTableFull = errors.New("the target's table is full")
