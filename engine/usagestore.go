package engine

import (
	"context"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/sim"
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

// audit accounts what all entries have counted at the begin of a term, or before they are repaired, as the reconcile reads them: what was missed, of those that go, too; those that a target has
// not any more count from nothing. Of what a predecessor left in the target, it accounts what it has more than that one had stored.
type audit struct {
	readback
	left  map[flow.VPortID]liveness // what counters have
	rules map[sim.RuleMet]amount    // the same, of packets that met rules
}

// beginAudit is called before entries are read.
func (a *Agent) beginAudit(ctx context.Context) (*audit, error) {
	c := a.core
	u := &c.usage
	x := &audit{left: map[flow.VPortID]liveness{}, rules: map[sim.RuleMet]amount{}}
	return x, a.mail.call(ctx, func() {
		x.readback = readback{c: c, placer: c.placer, began: c.now(), keep: true, each: x.account}
		u.audited = x.began
		for _, f := range c.flows.byEntry {
			f.read = false
			f.recount = f.recount || u.numbers != nil // a read that was not finished has begun to count what a predecessor left, of which all is accounted at the end
		}
		clear(u.deleted)
	})
}

// account takes note of an entry that was read.
func (x *audit) account(n *counted, f *installedFlow, _ time.Duration) {
	c, has := x.c, amountOf(n.Counter)
	u := &c.usage
	if f != nil && f.counted != has { // one that was to go, and is wanted again: it stays
		w := wayOf(f)
		u.lives(&w, f.counted, false)
		u.lives(&w, has, true)
		f.counted = has
	}
	if u.numbers == nil {
		return
	}
	if f != nil {
		w := wayOf(f)
		for _, v := range w.crossed {
			l := x.left[v]
			l.Crossed.Add(has)
			x.left[v] = l
		}
		for _, r := range w.rules {
			sum := x.rules[r]
			sum.Add(has)
			x.rules[r] = sum
		}
	}
	local, dest := u.numbers.Ends(n.e)
	if v := c.locals.ingress(local); v != 0 {
		l := x.left[v]
		l.In.Add(has)
		x.left[v] = l
	}
	if dest != 0 && !c.snap.IsGroup(dest) {
		l := x.left[dest.VPort()]
		l.Out.Add(has)
		x.left[dest.VPort()] = l
	}
}

// end is called when all entries were read, and nothing is written yet.
func (x *audit) end(ctx context.Context) error {
	if err := x.flush(ctx); err != nil {
		return err
	}
	c := x.c
	u := &c.usage
	return c.a.mail.call(ctx, func() {
		for _, f := range c.flows.byEntry {
			if !f.read {
				w := wayOf(f)
				u.lives(&w, f.counted, false)
				f.counted, f.recount = amount{}, false
			}
		}
		clear(u.leaving) // the target does not have them, or they were read
		if u.before != nil {
			for v, l := range x.left {
				u.grown(v, l)
			}
		}
		if u.numbers != nil {
			c.ruleStore.inherit(x.rules)
		}
		u.numbers, u.before = nil, nil
	})
}

// inspection has a reconcile tell the audit what it reads.
func (x *audit) inspection(ctx context.Context) p4rt.Inspection {
	return p4rt.Inspection{
		Tables: x.c.a.tables.FlowTables(),
		Entry:  func(e *p4rt.Entry, n p4rt.Counter) error { return x.take(ctx, e, n) },
		Done:   func() error { return x.end(ctx) },
	}
}

// inspector reconciles a target, and tells of what it finds.
type inspector interface {
	Inspect(context.Context, p4rt.Inspection, ...p4rt.Stage) (p4rt.Report, error)
	Write(context.Context, []p4rt.Update) ([]p4rt.Result, error)
}

// bring brings a target to what it is to hold.
func (a *Agent) bring(ctx context.Context, target inspector, stages []p4rt.Stage, rates []p4rt.Update) (report p4rt.Report, err error) {
	x, err := a.beginAudit(ctx)
	if err == nil {
		report, err = target.Inspect(ctx, x.inspection(ctx), stages...)
	}
	if err == nil {
		_, err = target.Write(ctx, rates)
	}
	return report, err
}

// grown accounts what counters have more than a predecessor had accounted of them.
func (u *usage) grown(v flow.VPortID, l liveness) {
	before := u.before[v]
	l.In.Sub(before.In)
	l.Out.Sub(before.Out)
	l.Crossed.Sub(before.Crossed)
	u.grows(v, state.UsageTotals(l))
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
	c.whenAll(ctx, len(all), answers, func() { u.saving = false })
}

// whenAll waits for n answers beside the core, and then has it do first, and what the answers say is to be done. When ctx ends before, nothing is.
func (c *core) whenAll(ctx context.Context, n int, answers <-chan func(), first func()) {
	c.effects.wg.Go(func() {
		done := []func(){first}
		for range n {
			select {
			case f := <-answers:
				done = append(done, f)
			case <-ctx.Done():
				return
			}
		}
		c.a.mail.post(func() {
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

// Usage returns what is accounted at the edge since its database began, as it is stored: what is not stored yet may be lost with the agent, and what is told never decreases. Of a vport of which
// it is not known yet what is stored there is none.
func (a *Agent) Usage(ctx context.Context) (list []state.Usage, err error) {
	c := a.core
	err = a.mail.call(ctx, func() {
		for v, x := range c.usage.accounts {
			if x.rev != 0 {
				u := c.usageOf(v, x)
				u.UsageTotals = x.kept
				list = append(list, u)
			}
		}
	})
	return list, err
}

// TenantUsage returns what this process has accounted of hosts at the edge, by tenant: it only grows.
func (a *Agent) TenantUsage(ctx context.Context) (all map[string]state.UsageTotals, err error) {
	u := &a.core.usage
	err = a.mail.call(ctx, func() {
		all = make(map[string]state.UsageTotals, len(u.tenants))
		for tenant, sum := range u.tenants {
			all[tenant] = *sum
		}
	})
	return all, err
}

func amountOf(n p4rt.Counter) amount {
	return amount{Packets: uint64(n.Packets), Bytes: uint64(n.Bytes)}
}
