package engine

import (
	"errors"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/sim"
)

// decision reduces the outcomes to what one entry can do: forward to one destination, drop, or punt for answers.
func decision(outcomes []sim.Outcome) (m offload.Megaflow, ok bool) {
	m.Act = offload.Drop
	for i := range outcomes {
		o := &outcomes[i]
		switch {
		case o.Verdict == sim.Forward && o.Fragment == 0 && m.Act == offload.Drop:
			m.Act, m.Dest, m.Rewrite, m.Links = offload.Forward, o.Dest, o.Rewrite, o.Links
		case o.Verdict == sim.Drop && o.Reject && len(outcomes) == 1:
			m.Act = offload.Punt
		case o.Verdict == sim.Drop && !o.Reject:
		default:
			return m, false // several copies that differ, or something that only software does
		}
	}
	return m, true
}

// newPlacer returns one for the agent's edge, on which nothing is placed.
func (a *Agent) newPlacer() *offload.Placer {
	p := offload.NewPlacer(a.tables, a.cfg.VPortShare)
	p.Limit(a.cfg.MaxFlows)
	return p
}

// maxBacklog bounds what waits for a reconcile: flows are not installed beyond it.
const maxBacklog = 4096

// install puts a decision into the target's tables.
func (c *core) install(res *sim.Result, key flow.Key, local uint16) {
	m, ok := decision(res.Outcomes)
	if !ok || len(c.target.backlog) >= maxBacklog || !c.placeable && c.numbered {
		c.a.counts.notInstalled.Add(1)
		return
	}
	if c.flows.find(key, res.Mask) != nil {
		return // the entry is on its way: this packet was faster
	}
	m.Key, m.Mask, m.Guards, m.Idle, m.Prio = key, res.Mask, res.Guards, c.a.cfg.IdleTimeout, c.generation()
	c.tracked(&m, &res.Track)
	c.linkRates.meter(&m)
	err := c.scarceRoom(&m, res.Mask, local)
	if err == nil {
		err = c.enter(m, res, local)
	}
	if err != nil {
		c.a.counts.notInstalled.Add(1)
		if errors.Is(err, offload.ErrShare) {
			c.a.counts.overShare.Add(1)
			c.overShare(key.Ingress)
			if c.warnings.allow(key.Ingress, c.now()) {
				c.noteVPort(key.Ingress, "OverShare", "the vport has its share of the flow tables: its further flows get an entry at their second packet, in the place of its own")
				c.a.cfg.Logger.Warn("vport has its share of the flow tables: its further flows get an entry at their second packet, in the place of its own", "vport", c.nameOf(key.Ingress), "err", err)
			}
		}
		c.a.cfg.Logger.Debug("flow stays on the slow path", "flow", key.And(res.Mask).String(), "err", err)
	}
	c.paceRounds()
	c.relieve()
}

// errUnpunted: the flow's entry would handle packets that are the agent's.
var errUnpunted = errors.New("the target has no room for what is to come up of the vport's packets")

// enter places a megaflow, the decision of which is res, and sends its updates.
func (c *core) enter(m offload.Megaflow, res *sim.Result, local uint16) error {
	_, err := c.enterIn(m, res, local, 0)
	return err
}

// enterIn is enter for a flow that had a lane before, and returns the flow.
func (c *core) enterIn(m offload.Megaflow, res *sim.Result, local uint16, before offload.Lane) (*installedFlow, error) {
	if c.layout.unpunted(m.Key.Ingress) {
		return nil, errUnpunted
	}
	placed, stages, err := c.placer.PlaceIn(m, local, before)
	if err != nil {
		return nil, err
	}
	if placed.Wild() {
		c.flows.gen = max(c.flows.gen, placed.Prio)
	}
	f := c.flows.add(placed, res.Deps, c.now(), passageOf(res))
	f.drop = res.Outcomes[0].Drop
	c.conns.flowAdded(f, &res.Track)
	c.aging.back(f, 1, c.now())
	c.a.counts.flows.Add(1)
	c.rules.add(f)
	c.cache.added(f, c.placer.Scarce())
	c.writeFlow(stages, func() { c.remove(f) })
	c.a.counts.installed.Add(1) // now that it counts as unanswered
	return f, nil
}

// writeFlow writes the entries of a new flow.
func (c *core) writeFlow(stages [][]p4rt.Update, refused func()) {
	if c.lives.now == nil {
		c.write(stages, nil, refused)
		return
	}
	c.target.life = c.lives.installing()
	c.write(stages, nil, refused)
	if d := c.target.life; d.life != nil { // nothing was submitted
		d.done("left to the next reconcile")
		c.target.life = due{}
	}
}

// forgetFlow removes the flow that a decision was installed as, if there is one.
func (c *core) forgetFlow(key flow.Key, read flow.Mask) {
	if f := c.flows.find(key, read); f != nil {
		c.remove(f)
	}
}

// remove takes a flow away that is not right any more.
func (c *core) remove(f *installedFlow) {
	if c.takeOut(f) {
		c.a.counts.removed.Add(1)
	}
}

// takeOut takes a flow away; what it referred to goes with the last reference. False: it was gone.
func (c *core) takeOut(f *installedFlow) bool {
	if f.gone {
		return false
	}
	c.aging.back(f, -1, c.now())
	c.readLast(f, false)
	c.flows.remove(f)
	c.rules.remove(f)
	c.a.counts.flows.Add(^uint64(0))
	c.conns.flowGone(f)
	stages, confirm := c.placer.Remove(f.placed)
	c.write(stages, confirm, nil)
	return true
}

// idle is the session's idle notice callback.
func (a *Agent) idle(entries []*p4rt.Entry) {
	a.mail.post(func() { a.core.expire(entries) })
}

// missedIdle finds the flows that went idle while nobody heard the target's notices: before this term, or since the target dropped them.
func (c *core) missedIdle() {
	ctx, a := c.ctx, c.a
	c.effects.wg.Go(func() {
		var idle []*p4rt.Entry
		err := a.session.ReadEntries(ctx, p4rt.ReadOptions{Tables: a.tables.FlowTables(), LastHit: true}, func(e *p4rt.Entry, n p4rt.Counter) error {
			if e.IdleTimeout > 0 && n.HitKnown && n.SinceHit >= e.IdleTimeout {
				idle = append(idle, e)
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			a.cfg.Logger.Warn("idle flows are not found", "err", err) // the next term tries again
		}
		a.idle(idle)
	})
}

// nameOf returns a vport's name for the log.
func (c *core) nameOf(id flow.VPortID) string {
	if p := c.snap.VPort(id); p != nil {
		return p.Tenant + "/" + p.Name
	}
	return id.String()
}
