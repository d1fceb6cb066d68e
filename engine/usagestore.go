package engine

import (
	"context"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
)

// usageTime is how far what is stored of usage is behind.
const usageTime = 10 * time.Second

// inherit takes over what the database has of an edge's usage, and what a target has of entries.
func (c *core) inherit(stored []state.Usage) {
	u := &c.usage
	u.before = map[flow.VPortID]liveness{}
	for _, s := range stored {
		a := u.of(s.ID)
		a.take(&s)
		u.before[s.ID] = s.Live
	}
}

// audit reads all entries at the begin of a term, or before they are repaired: what was missed is accounted, of those that go, too; those that a target has not any more count from
// nothing. Of what a predecessor left in the target, it accounts what it has more than that one had stored.
func (a *Agent) audit(ctx context.Context) error {
	c := a.core
	u := &c.usage
	placer := c.placer
	var began time.Duration
	if err := a.mail.call(ctx, func() {
		placer, began = c.placer, c.now()
		u.audited = began
		for _, f := range c.flows.byEntry {
			f.read = false
		}
		clear(u.deleted)
	}); err != nil {
		return err
	}
	left := map[flow.VPortID]liveness{}
	err := c.readAll(ctx, placer, began, func(x *counted, f *installedFlow, _ time.Duration) {
		n := amountOf(x.Counter)
		if f != nil && f.counted != n { // one that was to go, and is wanted again: it stays
			w := wayOf(f)
			u.lives(&w, f.counted, false)
			u.lives(&w, n, true)
			f.counted = n
		}
		if u.numbers == nil {
			return
		}
		local, dest := u.numbers.Ends(x.e)
		if v := c.locals.ingress(local); v != 0 {
			l := left[v]
			l.In.Add(n)
			left[v] = l
		}
		if dest != 0 && !c.snap.IsGroup(dest) {
			l := left[dest.VPort()]
			l.Out.Add(n)
			left[dest.VPort()] = l
		}
	})
	if err != nil {
		return err
	}
	return a.mail.call(ctx, func() {
		for _, f := range c.flows.byEntry {
			if !f.read {
				w := wayOf(f)
				u.lives(&w, f.counted, false)
				f.counted, f.recount = amount{}, false
			}
		}
		clear(u.leaving) // the target does not have them, or they were read
		if u.before != nil {
			for v, l := range left {
				u.grown(v, l)
			}
		}
		u.numbers, u.before = nil, nil
	})
}

// grown accounts what counters have more than a predecessor had accounted of them.
func (u *usage) grown(v flow.VPortID, l liveness) {
	before, a := u.before[v], u.of(v)
	l.In.Sub(before.In)
	l.Out.Sub(before.Out)
	a.total.In.Add(l.In)
	a.total.Out.Add(l.Out)
	a.dirty = true
}

// sweepUsage stores what has changed, and forgets accounts of vports that are gone.
func (c *core) sweepUsage(now time.Duration) {
	u := &c.usage
	if u.saving || now-u.saved < usageTime || c.target.term != serving || c.contact.lost {
		return
	}
	u.saved = now
	var all []state.Usage
	for v, a := range u.accounts {
		switch {
		case a.dirty:
			a.dirty = false
			all = append(all, c.usageOf(v, a))
		case c.snap.VPort(v) == nil:
			delete(u.accounts, v) // what is stored of it is read when it comes again
		}
	}
	if len(all) == 0 {
		return
	}
	u.saving = true
	answers := make(chan func(), len(all))
	ctx := c.ctx
	c.a.cfg.Store.SaveUsage(ctx, all, func(i int, stored state.Usage, err error) {
		answers <- func() { u.stored(&all[i], &stored, err) }
	})
	c.effects.wg.Go(func() {
		var done []func()
		for range all {
			select {
			case f := <-answers:
				done = append(done, f)
			case <-ctx.Done():
				return
			}
		}
		c.a.mail.post(func() {
			u.saving = false
			for _, f := range done {
				f()
			}
		})
	})
}

// usageOf is an account as it is stored.
func (c *core) usageOf(v flow.VPortID, a *account) state.Usage {
	c.usage.seq++
	s := state.Usage{Edge: c.a.cfg.Self.ID, ID: v, UsageTotals: a.total, Live: a.live, From: a.since.UTC(), To: time.Now().UTC(), Run: c.usage.process, Seq: c.usage.seq, Revision: a.rev}
	if p := c.snap.VPort(v); p != nil {
		a.tenant, a.name, a.link = p.Tenant, p.Name, ""
		if peer := c.snap.VPort(p.Peer); peer != nil {
			a.link = peer.Tenant + "/" + peer.Name
		}
	}
	s.Tenant, s.Name, s.Link = a.tenant, a.name, a.link
	return s
}

// stored takes note of what became of an account that was to be stored.
func (u *usage) stored(sent, stored *state.Usage, err error) {
	a := u.of(sent.ID)
	switch {
	case err != nil: // it may be stored
		a.unsure, a.sent, a.dirty = true, sent.UsageTotals, true
	case stored.Run == sent.Run && (stored.Seq == sent.Seq || a.unsure):
		a.unsure, a.kept, a.rev = false, stored.UsageTotals, stored.Revision
		a.dirty = a.dirty || stored.Seq != sent.Seq
	default: // another process wrote it, or this one before it forgot the account, or nobody has it any more
		if a.unsure {
			a.unsure, a.kept = false, a.sent // rather lost than twice
		}
		a.take(stored)
	}
}

// take takes over what others have stored of an account: what is not stored of its own comes on top.
func (a *account) take(s *state.Usage) {
	own := a.total
	own.In, own.Out, own.Crossed = own.In.Since(a.kept.In), own.Out.Since(a.kept.Out), own.Crossed.Since(a.kept.Crossed)
	a.total = s.UsageTotals
	a.total.Add(own)
	a.kept, a.rev, a.dirty = s.UsageTotals, s.Revision, true
	if !s.From.IsZero() && s.From.Before(a.since) {
		a.since = s.From
	}
	if s.Name != "" {
		a.tenant, a.name, a.link = s.Tenant, s.Name, s.Link
	}
}

// Usage returns what is accounted at the edge since its database began, as far as the last round has read it.
func (a *Agent) Usage(ctx context.Context) (list []state.Usage, err error) {
	c := a.core
	err = a.mail.call(ctx, func() {
		for v, x := range c.usage.accounts {
			list = append(list, c.usageOf(v, x))
		}
	})
	return list, err
}

func amountOf(n p4rt.Counter) amount {
	return amount{Packets: uint64(n.Packets), Bytes: uint64(n.Bytes)}
}
