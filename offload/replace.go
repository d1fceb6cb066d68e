package offload

import (
	"fmt"
	"slices"

	"github.com/weft-sdn/weft/p4rt"
)

// Replace gives a placed megaflow, whose key, mask and known source stay, what another decision does with its packets: its entry is modified where it is, so that
// its counters go on and no packet misses it. It returns the updates in stages, as Place does, and confirm as Remove does; no stages if the entry need
// not change. An error leaves everything as it was: ErrOccupied if another megaflow shares the entry, ErrNotCovered if the entry's lane can't do it. Then
// it is to be removed, and placed anew.
func (p *Placer) Replace(placed *Placed, m Megaflow) (stages [][]p4rt.Update, confirm func(), err error) {
	candidates, err := lanes(&m)
	switch shared := p.entries[placed.Entry.Key()]; {
	case err != nil:
		return nil, nil, err
	case !slices.Contains(candidates, placed.Lane):
		return nil, nil, fmt.Errorf("%w: lane %s", ErrNotCovered, placed.Lane)
	case shared.refs > 1:
		return nil, nil, fmt.Errorf("%w: %s is shared", ErrOccupied, placed.Entry)
	}
	if err := p.roomToTranslate(&m, placed.vport); err != nil {
		return nil, nil, err
	}
	m.Prio = placed.Prio
	next := &Placed{Megaflow: m, Lane: placed.Lane, vport: placed.vport}
	x := &placing{p: p, placed: next, ids: localIDs{vport: placed.vport}, at: macAt{placed.vport, placed.Key.DstMAC}}
	x.ids.scope, _ = p.scopes.Lookup(x.at)
	if err := x.refer(&m); err != nil {
		x.undo()
		return nil, nil, err
	}
	for _, t := range x.held {
		p.hold(next.vport, t, 1)
	}
	next.Entry = p.t.lower(&m, next.Lane, x.ids)
	after, freed := p.unrefer(placed)
	var entry []p4rt.Update
	if !next.Entry.SameEffect(placed.Entry) {
		entry = []p4rt.Update{{Op: p4rt.Modify, Entity: next.Entry}}
	}
	p.entries[next.Entry.Key()].entry = next.Entry
	*placed = *next
	if len(x.refers)+len(entry)+len(after) == 0 {
		return nil, nil, nil
	}
	return [][]p4rt.Update{x.refers, entry, after}, confirmAll(freed), nil
}

// unrefer drops what a megaflow's entry refers to. It returns the deletes, which come after the entry's, and what is to be called when they are confirmed.
func (p *Placer) unrefer(placed *Placed) (after []p4rt.Update, freed []func()) {
	if placed.rewrote {
		if id, last := p.rewrites.Release(placed.rewrite); last {
			after = deletes(after, p.t.Rewrite(id, placed.rewrite.src, placed.rewrite.dst, placed.rewrite.mtu)...)
			freed = append(freed, func() { p.rewrites.Confirm(id) })
		}
	}
	if placed.translated() {
		k, nats := p.translation(&placed.Megaflow, placed.vport)
		if id, last := nats.Release(k); last {
			table := p.t.natTable(placed.Key.Is4()).Table
			after = deletes(after, p.t.translation(placed.Key.Is4(), id, k))
			p.hold(placed.vport, table, -1)
			freed = append(freed, func() { nats.Confirm(id) })
		}
	}
	return after, freed
}

// confirmAll joins what is to be called; nil if there is nothing.
func confirmAll(freed []func()) func() {
	if len(freed) == 0 {
		return nil
	}
	return func() {
		for _, f := range freed {
			f()
		}
	}
}
