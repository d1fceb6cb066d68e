package engine

import (
	"github.com/weft-sdn/weft/p4rt"
)

// outlet hands submissions to the writer. Those that delete a flow's entry, or modify it, wait until its counters are read, all that have gathered with one read (O4), or until the target has
// not answered for a while: what it counted is then not known. Others wait only for those with which they have a key in common, as at the writer.
type outlet struct {
	c       *core
	send    func(update)
	tables  map[*p4rt.Table]bool // flow tables
	queue   []update
	keys    map[p4rt.Key]int // of what waits, and of what is being read for
	turn    bool             // a turn is posted
	reading bool
}

func newOutlet(c *core) outlet {
	o := outlet{c: c, send: c.toWriter, tables: map[*p4rt.Table]bool{}, keys: map[p4rt.Key]int{}}
	for _, t := range c.a.tables.FlowTables() {
		o.tables[t] = true
	}
	return o
}

// put takes a submission.
func (o *outlet) put(u update) {
	for _, stage := range u.stages {
		for _, x := range stage {
			if e, ok := x.Entity.(*p4rt.Entry); ok && x.Op != p4rt.Insert && o.tables[e.Table] {
				u.settles = append(u.settles, settled{o.c.placer.Hash(e), x.Op == p4rt.Delete})
			}
		}
	}
	if len(u.settles) == 0 && !o.behind(&u) {
		o.send(u)
		return
	}
	o.note(&u, 1)
	o.queue = append(o.queue, u)
	if !o.turn && !o.reading {
		o.turn = true
		o.c.a.mail.post(o.next) // more may come in this turn
	}
}

// behind reports whether something that waits has a key in common with a submission.
func (o *outlet) behind(u *update) bool {
	if len(o.keys) == 0 {
		return false
	}
	for _, stage := range u.stages {
		for _, x := range stage {
			if o.keys[x.Entity.Key()] > 0 {
				return true
			}
		}
	}
	return false
}

// note counts the keys of a submission that waits, or does not any more.
func (o *outlet) note(u *update, n int) {
	for _, stage := range u.stages {
		for _, x := range stage {
			k := x.Entity.Key()
			if o.keys[k] += n; o.keys[k] == 0 {
				delete(o.keys, k)
			}
		}
	}
}

// settled is a flow entry that a submission deletes or modifies.
type settled struct {
	entry uint64
	gone  bool
}

// next reads what the submissions of the queue want read, and then lets these go.
func (o *outlet) next() {
	o.turn = false
	if o.reading || len(o.queue) == 0 {
		return
	}
	c, queue := o.c, o.queue
	o.queue = nil
	var entries []*p4rt.Entry
	for _, u := range queue {
		for _, x := range u.settles {
			if s := c.usage.leaving[x.entry]; s != nil {
				entries = append(entries, s.entry)
			}
		}
	}
	if len(entries) == 0 {
		o.release(queue)
		return
	}
	o.reading = true
	ctx, placer, began := c.ctx, c.placer, c.now()
	c.effects.wg.Go(func() {
		read := make([]counted, 0, len(entries))
		note := func(e *p4rt.Entry, n p4rt.Counter) error {
			if n.Counted {
				read = append(read, counted{entry: placer.Hash(e), Counter: n})
			}
			return nil
		}
		err := c.cache.readSome(ctx, entries, note)
		c.a.mail.post(func() {
			if err != nil && ctx.Err() == nil {
				c.a.cfg.Logger.Debug("what flow entries counted at the end is not known", "err", err)
			}
			for _, x := range read {
				if c.usage.leaving[x.entry] != nil {
					c.count(x.entry, amountOf(x.Counter), began)
				}
			}
			o.reading = false
			o.release(queue)
			o.next()
		})
	})
}

// release hands submissions to the writer.
func (o *outlet) release(queue []update) {
	for i := range queue {
		u := &queue[i]
		o.note(u, -1)
		for _, x := range u.settles {
			o.c.forgo(x.entry) // what was read is settled
			if x.gone {
				o.c.usage.deleted[x.entry] = underWay
			}
		}
		o.send(*u)
	}
}
