package engine

import (
	"slices"
	"time"

	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// recheckAtOnce is how many flows are decided again before packets have their turn.
const recheckAtOnce = 1024

// stale are flows of which something changed that they relied on, the first to be decided again first (E6). Each is simulated with the header of the packet
// that it was decided for: if nothing else becomes of it, its entry is not touched; else the entry is modified where it is, or one that fits takes its place.
type stale struct {
	queue   []*installedFlow
	changes []staleChange // in order, those of which a flow is still in the queue
	queued  uint64        // flows so far
	done    uint64
	turn    bool // the next turn is posted

	res   sim.Result
	frame packet.Frame
	buf   []byte
}

// staleChange is a change that left flows to decide again.
type staleChange struct {
	last  uint64 // of the flows queued so far
	since time.Duration
	conf  int64 // configuration that is in force once they are decided; 0: none
}

// doubt has a flow decided again.
func (c *core) doubt(f *installedFlow) {
	if f.stale {
		return
	}
	f.stale = true
	c.stale.queue = append(c.stale.queue, f)
	c.stale.queued++
}

// doubtAll has the flows decided again that relied on something that changed. Of an edited chain, only those of which packets may meet a rule that was edited.
func (c *core) doubtAll(changed []topology.Dep, before *topology.Snapshot) {
	var rest []topology.Dep
	edits := map[topology.Dep][]filter.Rule{}
	for _, d := range changed {
		if rules, ok := c.edited(d, before); ok {
			edits[d] = rules
		} else {
			rest = append(rest, d)
		}
	}
	all := c.flows.grounds.affected(rest)
	for g := range all {
		c.depend(g)
		for f := range g.all() {
			c.doubt(f)
		}
	}
	for d, rules := range edits {
		for g := range c.flows.grounds.affected([]topology.Dep{d}) {
			if _, done := all[g]; done {
				continue
			}
			c.depend(g)
			flows := g.all()
			if !c.translates(g, before) {
				flows = g.meeting(rules)
			}
			for f := range flows {
				c.doubt(f)
			}
		}
	}
}

// edited returns the rules of a chain that an edit concerns; false: what changed is no chain, or concerns all packets.
func (c *core) edited(d topology.Dep, before *topology.Snapshot) (rules []filter.Rule, ok bool) {
	if d.Kind() != topology.DepDevice {
		return nil, false
	}
	was, is := before.Chain(topology.DeviceID(d.A())), c.snap.Chain(topology.DeviceID(d.A()))
	if was == nil || is == nil {
		return nil, false
	}
	return is.Edited(was)
}

// translates reports whether a chain on a ground translates, or did: then a later one does not see what is in a flow's key.
func (c *core) translates(g *ground, before *topology.Snapshot) bool {
	return slices.ContainsFunc(g.deps, func(d topology.Dep) bool {
		if d.Kind() != topology.DepDevice {
			return false
		}
		id := topology.DeviceID(d.A())
		was, is := before.Chain(id), c.snap.Chain(id)
		return was != nil && was.Translates() || is != nil && is.Translates()
	})
}

// recheck decides flows again, some now and the rest in turns with packets. A configuration is marked when all that relied on what it changed are done.
func (c *core) recheck(conf int64) {
	s := &c.stale
	if s.done < s.queued {
		s.changes = append(s.changes, staleChange{s.queued, c.now(), conf})
	} else if conf != 0 {
		c.mark(conf)
	}
	if !s.turn {
		c.recheckSome()
	}
}

// recheckSome is a turn.
func (c *core) recheckSome() {
	s := &c.stale
	n := min(recheckAtOnce, len(s.queue))
	for _, f := range s.queue[:n] {
		f.stale = false
		if !f.gone {
			c.revalidate(f)
		}
	}
	s.done += uint64(n)
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	for len(s.changes) > 0 && s.changes[0].last <= s.done {
		if conf := s.changes[0].conf; conf != 0 {
			c.mark(conf)
		}
		s.changes = s.changes[1:]
	}
	if s.turn = len(s.queue) > 0; s.turn {
		c.a.mail.post(func() {
			c.recheckSome()
			c.settle()
		})
	}
	c.a.counts.staleSince.Store(int64(c.staleSince()))
}

// staleSince returns when the change was of which the oldest flow is not decided again; -1: there is none.
func (c *core) staleSince() time.Duration {
	if len(c.stale.changes) == 0 {
		return -1
	}
	return c.stale.changes[0].since
}

// revalidate decides a flow again.
func (c *core) revalidate(f *installedFlow) {
	s := &c.stale
	m, ok := c.redecide(f.placed.Key, f.placed.Prio, f.conn)
	switch {
	case !ok:
		c.remove(f)
	case m == c.placer.Megaflow(f.placed):
		c.a.counts.kept.Add(1)
		f.drop = s.res.Outcomes[0].Drop
		c.rely(f, &s.res)
	case c.fits(&m, f.placed):
		c.change(f, m)
	default:
		c.reinstall(f, m)
	}
}

// fits reports whether a decision can have the entry of an earlier one: the same packets meet it, and no better lane has become possible by what was read.
func (c *core) fits(m *offload.Megaflow, placed *offload.Placed) bool {
	return m.Guards.KnownSource == placed.Guards.KnownSource && placed.Lane.Matched(m.Mask, m.Key.EtherType) == placed.Matched() &&
		(m.Mask == placed.Mask() || m.Preferred() == placed.Lane)
}

// redecide simulates the header of a flow's packet, which is of a connection or, nil, of none. False: it can't be told what becomes of others like it without a packet, or not
// in an entry.
func (c *core) redecide(key flow.Key, prio int32, of *conn) (m offload.Megaflow, ok bool) {
	s := &c.stale
	s.buf = key.AppendFrame(s.buf[:0])
	if packet.ParseUntagged(s.buf, &s.frame) != nil || flow.KeyOf(&s.frame, key.Ingress) != key {
		return m, false
	}
	res := &s.res
	c.sim.Exemplar = true
	defer func() { c.sim.Exemplar = false }()
	c.sim.Simulate(c.snap, &s.frame, key.Ingress, c.now(), res)
	if lost, is := c.lost(res); is {
		c.sim.SimulateLost(c.snap, &s.frame, key.Ingress, c.now(), sim.Lost{Dest: lost}, res)
	}
	t := &res.Track
	if !res.Installable || t.Changed || t.Commit || c.conns.of(t) != of || slices.ContainsFunc(res.Effects, func(e sim.Effect) bool { return e.Kind != sim.LogRule && e.Kind != sim.AwaitMAC }) {
		return m, false
	}
	if m, ok = decision(res.Outcomes); !ok {
		return m, false
	}
	m.Key, m.Mask, m.Guards, m.Idle, m.Prio = key, res.Mask, res.Guards, c.a.cfg.IdleTimeout, prio
	c.tracked(&m, t)
	c.linkRates.meter(&m)
	return m, true
}

// change modifies a flow's entry where it is. Where that can't be done the flow goes, and its next packet is decided.
func (c *core) change(f *installedFlow, m offload.Megaflow) {
	c.readLast(f, true)
	stages, confirm, err := c.placer.Replace(f.placed, m)
	if err != nil {
		c.remove(f)
		return
	}
	f.drop = c.stale.res.Outcomes[0].Drop
	c.flows.moved(f)
	c.rules.change(f)
	c.rely(f, &c.stale.res)
	if stages != nil {
		c.write(stages, confirm, func() { c.remove(f) })
	}
	c.a.counts.changed.Add(1)
	c.a.counts.installed.Add(1) // now that it counts as unanswered
}

// reinstall puts a flow of another pattern in the place of one: before that goes. A class entry can't be beside what has a scope for the same MAC: there its next
// packet decides, when all of these are gone.
func (c *core) reinstall(f *installedFlow, m offload.Megaflow) {
	local, here := c.locals.vports.Lookup(m.Key.Ingress)
	if here && f.placed.Lane != offload.LaneClass && m.Preferred() != offload.LaneClass && c.flows.find(m.Key, m.Mask) == nil {
		m.Prio = c.generation()
		_ = c.enter(m, &c.stale.res, local) // else its next packet is decided
	}
	c.remove(f)
}

// rely notes what a flow relies on now.
func (c *core) rely(f *installedFlow, res *sim.Result) {
	p := passageOf(res)
	if f.reliesOn(res.Deps, p) {
		return
	}
	if !f.relies.passage().equal(p) {
		c.readLast(f, true)
	}
	c.aging.back(f, -1, c.now())
	c.flows.rely(f, res.Deps, p)
	c.aging.back(f, 1, c.now())
}
