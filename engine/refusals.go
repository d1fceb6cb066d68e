package engine

import (
	"maps"
	"time"

	"github.com/weft-sdn/weft/p4rt"
)

// refusals are what the target did not take of the fixed tables, though it should have room: a lack of the subject that wants it. It is tried again by itself, less and less often, and all
// else goes on meanwhile: configuration is acknowledged, and numbers come back.
type refusals struct {
	of    map[p4rt.Key]refusedPart
	round uint64        // reconciles that told of all of them
	busy  int           // attempts under way
	pause time.Duration // before the next
	after time.Duration // not before
}

type refusedPart struct {
	by  subject
	why string
}

// refusedAtOnce is how many are tried again at once.
const refusedAtOnce = 64

// refused takes note of what a reconcile could not do. False: something may be in the target that is not to be there, or is otherwise than it is to be, so that nothing can be built on it yet.
func (c *core) refused(failed []*p4rt.UpdateError) bool {
	r := &c.refusals
	for _, e := range failed {
		if e.Update.Op != p4rt.Insert {
			return false
		}
	}
	*r = refusals{of: map[p4rt.Key]refusedPart{}, round: r.round + 1, pause: r.pause, after: c.now() + c.refusals.pause}
	for _, e := range failed {
		k := e.Update.Entity.Key()
		if claims := c.layout.claims[k]; len(claims) > 0 {
			r.of[k] = refusedPart{claims[0].by, e.Error()}
			continue
		}
		entry, _ := e.Update.Entity.(*p4rt.Entry)
		if entry == nil {
			continue // no longer wanted
		}
		flows := c.flows.sharing(c.placer.Hash(entry))
		for _, f := range flows {
			c.remove(f)
		}
		if len(flows) == 0 { // beside flow entries: their packets come up without it
			c.target.broken = true
		}
	}
	if len(r.of) == 0 {
		r.pause = 0
	}
	c.tellLacks()
	return true
}

// retryRefused tries some of what the target refused once more.
func (c *core) retryRefused() {
	r, t := &c.refusals, &c.target
	if len(r.of) == 0 || r.busy > 0 || t.term != serving || c.now() < r.after {
		return
	}
	r.pause = min(max(2*r.pause, time.Second), maxRepairPause)
	r.after = c.now() + r.pause
	for k := range r.of {
		claims := c.layout.claims[k]
		if len(claims) == 0 {
			continue
		}
		if r.busy++; r.busy > refusedAtOnce {
			r.busy = refusedAtOnce
			return
		}
		c.tryRefused(k, claims[0].entity)
	}
}

// tryRefused has the target take an entity that it refused.
func (c *core) tryRefused(k p4rt.Key, e p4rt.Entity) {
	r, t := &c.refusals, &c.target
	round, again := r.round, false
	t.seq++
	t.open[t.seq] = struct{}{}
	c.submit(update{stages: [][]p4rt.Update{{{Op: p4rt.Insert, Entity: e}}}, seq: t.seq, again: true, refused: func() { again = true }})
	t.freed = append(t.freed, freed{t.seq, func() {
		if r.round != round {
			return // a reconcile has told since then
		}
		if r.busy--; !again {
			delete(r.of, k)
			c.tellLacks()
		}
	}})
}

// tellLacks takes note of what the edge can not do.
func (c *core) tellLacks() {
	all := maps.Clone(c.layout.lacks)
	for k, x := range c.refusals.of {
		if len(c.layout.claims[k]) == 0 {
			delete(c.refusals.of, k)
			continue
		}
		why := "the target refuses a part of it: " + x.why
		if has, lacks := c.layout.lacks[x.by]; lacks {
			why = has
		}
		if before, several := all[x.by]; !several || why < before {
			all[x.by] = why
		}
	}
	if maps.Equal(c.lacks, all) {
		return
	}
	before := c.lacks
	c.lacks, c.told = all, false
	c.noteLacks(before)
	for _, l := range c.lackList() {
		c.a.cfg.Logger.Error("the edge can not do it", "object", l.Object, "err", l.Why)
	}
}
