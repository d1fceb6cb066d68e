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
	m.settle()
	candidates, err := lanes(&m)
	before, hash := p.Entry(placed), placed.Hash
	switch {
	case err != nil:
		return nil, nil, err
	case !slices.Contains(candidates, placed.Lane):
		return nil, nil, fmt.Errorf("%w: lane %s", ErrNotCovered, placed.Lane)
	case p.entries[hash].refs > 1:
		return nil, nil, fmt.Errorf("%w: %s is shared", ErrOccupied, before)
	}
	if err := p.roomToTranslate(&m, placed.ids.vport); err != nil {
		return nil, nil, err
	}
	m.Prio = placed.Prio
	x := &placing{p: p, lane: placed.Lane, ids: localIDs{vport: placed.ids.vport, scope: placed.ids.scope}}
	if err := x.refer(&m); err != nil {
		x.undo()
		return nil, nil, err
	}
	for _, t := range x.held {
		p.hold(x.ids.vport, t, 1)
	}
	after, freed := p.unrefer(placed)
	*placed = *newPlaced(&m, placed.Lane, x.ids)
	placed.Hash = hash
	p.entries[hash] = sharedEntry{placed, 1}
	var entry []p4rt.Update
	if e := p.Entry(placed); !e.SameEffect(before) {
		entry = []p4rt.Update{{Op: p4rt.Modify, Entity: e}}
	}
	if len(x.refers)+len(entry)+len(after) == 0 {
		return nil, nil, nil
	}
	return [][]p4rt.Update{x.refers, entry, after}, confirmAll(freed), nil
}

// unrefer drops what a megaflow's entry refers to. It returns the deletes, which come after the entry's, and what is to be called when they are confirmed.
func (p *Placer) unrefer(placed *Placed) (after []p4rt.Update, freed []func()) {
	m := p.Megaflow(placed)
	if k, rewrites := rewriteOf(&m, p.links.Number(m.Links)); rewrites {
		if id, last := p.rewrites.Release(k); last {
			after = deletes(after, p.t.rewrite(id, k)...)
			freed = append(freed, func() { p.rewrites.Confirm(id) })
		}
	}
	if !m.Links.IsZero() {
		if id, last := p.links.Release(m.Links); last {
			freed = append(freed, func() { p.links.Confirm(id) })
		}
	}
	if m.translated() {
		k, nats := p.translation(&m, placed.ids.vport)
		if id, last := nats.Release(k); last {
			table := p.t.natTable(placed.Key.Is4()).Table
			after = deletes(after, p.t.translation(placed.Key.Is4(), id, k))
			p.hold(placed.ids.vport, table, -1)
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
