package engine

import (
	"context"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Bounds of stored flow rules.
const (
	blockSize   = 128 // rules
	blocksAWave = 512 // that are written at once
	staleShare  = 4   // a block is written anew when a fourth of its rules are gone: rules that are not right any more do no harm, they are decided again before use
)

// rules are the flows of this edge as the database has them (K7), so that an agent that restarts, or an edge to which a vport comes, need not wait for their packets. They are
// written behind, in blocks by ingress vport. Flows of connections are not among them: what they rely on is found with the connection.
type rules struct {
	c     *core
	of    map[flow.VPortID]*vportRules
	dirty []*ruleBlock
	busy  bool // some are being written
}

// vportRules are the rules of packets that come in by a vport.
type vportRules struct {
	blocks []*ruleBlock
	room   []*ruleBlock // those that are not full
}

type ruleBlock struct {
	vport flow.VPortID
	n     uint32
	flows []*installedFlow
	gone  int  // flows that went since it was written
	dirty bool // in rules.dirty
	dead  bool // its vport is another edge's now
}

func newRules(c *core) rules { return rules{c: c, of: map[flow.VPortID]*vportRules{}} }

// add notes a flow that was installed.
func (r *rules) add(f *installedFlow) {
	if f.connDep != (topology.Dep{}) {
		return
	}
	v := r.of[f.ingress()]
	if v == nil {
		v = &vportRules{}
		r.of[f.ingress()] = v
	}
	if len(v.room) == 0 {
		v.grow(f.ingress())
	}
	b := v.room[len(v.room)-1]
	f.block, f.inBlock = b, int32(len(b.flows))
	if b.flows = append(b.flows, f); len(b.flows) == blockSize {
		v.room = v.room[:len(v.room)-1]
	}
	r.mark(b)
}

func (v *vportRules) grow(id flow.VPortID) *ruleBlock {
	b := &ruleBlock{vport: id, n: uint32(len(v.blocks))}
	v.blocks, v.room = append(v.blocks, b), append(v.room, b)
	return b
}

// change notes that a flow was decided otherwise.
func (r *rules) change(f *installedFlow) {
	if f.block != nil {
		r.mark(f.block)
	}
}

// remove notes that a flow is gone.
func (r *rules) remove(f *installedFlow) {
	b := f.block
	if b == nil {
		return
	}
	last := len(b.flows) - 1
	moved := b.flows[last]
	b.flows[f.inBlock], moved.inBlock = moved, f.inBlock
	b.flows[last], f.block = nil, nil
	if len(b.flows) == blockSize {
		v := r.of[b.vport]
		v.room = append(v.room, b)
	}
	b.flows = b.flows[:last]
	if b.gone++; b.gone*staleShare >= blockSize || last == 0 {
		r.mark(b)
	}
}

func (r *rules) mark(b *ruleBlock) {
	if !b.dirty {
		b.dirty = true
		r.dirty = append(r.dirty, b)
	}
}

// leave is told that a vport is not here any more: what is stored of it is now for who has it, and goes with the vport.
func (r *rules) leave(id flow.VPortID) {
	v := r.of[id]
	if v == nil {
		return
	}
	delete(r.of, id)
	for _, b := range v.blocks {
		b.dead = true
		for _, f := range b.flows {
			f.block = nil
		}
	}
}

// flush writes what changed: each second.
func (r *rules) flush() {
	if r.busy || len(r.dirty) == 0 {
		return
	}
	n := min(blocksAWave, len(r.dirty))
	var wave []*ruleBlock
	var blocks []state.FlowBlock
	var all []offload.Stored
	for _, b := range r.dirty[:n] {
		b.dirty = false
		if b.dead {
			continue
		}
		one := state.FlowBlock{VPort: b.vport, Block: b.n}
		if len(b.flows) > 0 {
			all = all[:0]
			for _, f := range b.flows {
				all = append(all, offload.Stored{Megaflow: r.c.placer.Megaflow(f.placed), Lane: f.placed.Lane})
			}
			one.Value = offload.AppendStored(nil, all)
		}
		b.gone = 0
		wave, blocks = append(wave, b), append(blocks, one)
	}
	if r.dirty = r.dirty[n:]; len(r.dirty) == 0 {
		r.dirty = nil
	}
	if len(blocks) == 0 {
		return
	}
	r.busy = true
	ctx, c := r.c.ctx, r.c
	c.effects.wg.Go(func() {
		err := c.a.cfg.Store.SaveFlows(ctx, blocks)
		c.a.mail.post(func() {
			r.busy = false
			if err == nil {
				c.a.counts.ruleBlocks.Add(uint64(len(blocks)))
				return
			}
			for _, b := range wave { // at the next second
				r.mark(b)
			}
		})
	})
}

// arrive has the rules of a vport that came here installed, those that hold.
func (r *rules) arrive(id flow.VPortID) {
	ctx, c := r.c.ctx, r.c
	c.effects.wg.Go(func() {
		stored, blocks := c.a.loadRules(ctx, id)
		_ = c.a.useRules(ctx, id, stored, blocks) // else the agent ends
	})
}

// loadRules reads the rules of a vport, and tells the blocks that there are. What can't be read is not used: packets are decided then.
func (a *Agent) loadRules(ctx context.Context, id flow.VPortID) (all []offload.Stored, blocks []uint32) {
	stored, err := a.cfg.Store.Flows(ctx, id)
	if err != nil && ctx.Err() == nil {
		a.cfg.Logger.Warn("flow rules are not read", "vport_id", id, "err", err)
	}
	for _, b := range stored {
		blocks = append(blocks, b.Block)
		some, err := offload.ParseStored(b.Value)
		if err != nil {
			a.cfg.Logger.Info("flow rules of another version are not used", "vport_id", id, "block", b.Block)
			continue
		}
		for _, m := range some {
			if m.Key.Ingress == id {
				all = append(all, m)
			}
		}
	}
	return all, blocks
}

// useRules decides stored rules again, in turns with packets, and installs those that hold. Blocks that are not needed any more go.
func (a *Agent) useRules(ctx context.Context, id flow.VPortID, stored []offload.Stored, blocks []uint32) error {
	c := a.core
	for some := range slices.Chunk(stored, recheckAtOnce) {
		if err := a.mail.call(ctx, func() {
			for i := range some {
				c.useRule(&some[i])
			}
		}); err != nil {
			return err
		}
	}
	return a.mail.call(ctx, func() {
		if _, here := c.locals.vports.Lookup(id); here {
			c.rules.cover(id, blocks)
		}
	})
}

// cover has blocks removed that are not used any more.
func (r *rules) cover(id flow.VPortID, blocks []uint32) {
	used := uint32(0)
	if v := r.of[id]; v != nil {
		used = uint32(len(v.blocks))
	}
	for _, n := range blocks {
		if n >= used {
			r.mark(&ruleBlock{vport: id, n: n})
		}
	}
}

// useRule installs a stored rule if a packet like the one that it was decided for is still decided.
func (c *core) useRule(stored *offload.Stored) {
	local, here := c.locals.vports.Lookup(stored.Key.Ingress)
	if !here {
		return
	}
	prio := stored.Prio
	if prio > c.flows.most { // of another target
		prio = c.generation()
	}
	m, ok := c.redecide(stored.Key, prio, nil)
	if !ok || c.flows.find(m.Key, m.Mask) != nil {
		return
	}
	if f, err := c.enterIn(m, &c.stale.res, local, stored.Lane); err == nil {
		f.recount = !c.begun // else its entry is new
		c.a.counts.adopted.Add(1)
	}
}
