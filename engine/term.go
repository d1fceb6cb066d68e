package engine

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/weft-sdn/weft/p4rt"
)

// term is whether updates can go to the target now.
//
//	              ┌────────────── repair ──────────────┐
//	              ▼                                    │
//	away ──▶ draining ──all answered──▶ reconciling ──▶ serving
//	  ▲  OnPrimary │ lost                   │ lost         │ lost
//	  └────────────┴────────────────────────┴──────────────┘
type term uint8

const (
	away        term = iota // not the primary: what is wanted changes, and the next term brings the target there
	draining                // updates wait until none is under way
	reconciling             // updates wait: they differ from what the reconcile was given
	serving
)

// maxRepairPause is the longest pause between two reconciles of a target that goes on refusing.
const maxRepairPause = time.Minute

// update is a submission: updates in stages.
type update struct {
	stages  [][]p4rt.Update
	refused func() // the target refused some, and the rest is not wanted any more either; nil: it is to have them all the same
	seq     uint64
	again   bool      // the target refused it before: nothing else is wrong if it does so once more
	settles []settled // flow entries that it deletes or modifies
	life    due       // of the packet that it is because of, if that is sampled
}

// targetState is what the core knows of the target, and what it owes it.
type targetState struct {
	term    term
	backlog []update            // written while draining or reconciling
	sent    int                 // submissions that the writer has not answered
	drained func()              // what waits for sent to be 0
	owed    uint64              // the oldest submission of which the target may not have all: the next reconcile does it. 0: none
	due     uint64              // the same: done once the reconcile under way is
	broken  bool                // the target may not hold what it is to: reconcile within the term
	round   uint64              // reconciles begun: an answer to an earlier one is late
	pause   time.Duration       // before the next repair; grows while the target goes on refusing
	after   time.Duration       // not before
	seq     uint64              // submissions so far
	open    map[uint64]struct{} // submissions that the target has not acknowledged
	freed   []freed             // in order
	life    due                 // of what is about to be written
}

// freed are local numbers that nobody uses any more. What still refers to them may be under way to the target, in a submission that is older than the
// one that gave them up: they are given again only when all of these are acknowledged.
type freed struct {
	seq     uint64
	confirm func()
}

// owe leaves a submission to the next reconcile, which does all of them at once: the oldest stands for them.
func (t *targetState) owe(seq uint64) {
	switch {
	case seq == 0 || seq == t.owed:
	case t.owed == 0:
		t.owed = seq
	default:
		delete(t.open, max(seq, t.owed))
		t.owed = min(seq, t.owed)
	}
}

// oweAll leaves to the next reconcile what the one under way was to do, and what waited for it.
func (t *targetState) oweAll() {
	t.owe(t.due)
	for _, u := range t.backlog {
		t.owe(u.seq)
		if u.life.life != nil {
			u.life.done("left to the next reconcile")
		}
	}
	t.due, t.backlog = 0, nil
}

// write submits updates to the target. confirm is called when it has acknowledged them and all earlier ones; refused at once when it refuses some.
// Both may be nil.
func (c *core) write(stages [][]p4rt.Update, confirm, refused func()) {
	t := &c.target
	if slices.ContainsFunc(stages, func(s []p4rt.Update) bool { return len(s) > 0 }) && (t.term != away || t.owed == 0) {
		t.seq++
		t.open[t.seq] = struct{}{}
		c.a.counts.unanswered.Store(uint64(len(t.open)))
		switch u := (update{stages: stages, refused: refused, seq: t.seq}); t.term {
		case away:
			t.owe(u.seq) // and what is written from now on: the next reconcile does it all
		case draining, reconciling:
			u.life, t.life = t.life, due{}
			t.backlog = append(t.backlog, u)
		case serving:
			u.life, t.life = t.life, due{}
			c.submit(u)
		}
	}
	if confirm != nil {
		t.freed = append(t.freed, freed{t.seq, confirm})
	}
}

// toWriter hands a submission to the writer; its answer is posted.
func (c *core) toWriter(u update) {
	// A full queue holds the agent up, and its own queue then drops packet-ins, counted: flows and the target must not drift apart.
	err := c.a.writer.Submit(c.ctx, func(results []p4rt.Result, err error) {
		failed := 0
		updates := flatten(u.stages)
		for i, r := range results {
			if !r.OK() && (updates[i].Op != p4rt.Delete || r.Outcome != p4rt.NotFound) { // what is not there need not go
				failed++
			}
		}
		if failed > 0 && err == nil {
			c.a.counts.writeFails.Add(uint64(failed))
			c.a.noteRefusal(failed, p4rt.Failures(updates, results))
			c.a.cfg.Logger.Error("target refused updates", "failed", failed, "err", p4rt.Failures(updates, results))
		}
		c.a.mail.post(func() { c.answered(u, failed > 0, err) })
	}, u.stages...)
	if err != nil {
		c.answered(u, false, err) // the agent ends
	}
}

func (c *core) submit(u update) {
	c.target.sent++
	c.send(u)
}

func flatten(stages [][]p4rt.Update) []p4rt.Update {
	var all []p4rt.Update
	for _, s := range stages {
		all = append(all, s...)
	}
	return all
}

// answered: what the target did not take is not acknowledged before a reconcile has done it.
func (c *core) answered(u update, refused bool, err error) {
	t := &c.target
	t.sent--
	if u.life.life != nil {
		why := ""
		switch {
		case err != nil:
			why = err.Error()
		case refused:
			why = "the target refused it"
		}
		u.life.done(why)
	}
	switch {
	case err != nil, refused && u.refused == nil: // nobody knows what became of it, or the target must have it
		t.broken = true
		t.owe(u.seq)
	case refused:
		t.broken = t.broken || !u.again
		delete(t.open, u.seq)
		u.refused()
		c.settle()
	default:
		delete(t.open, u.seq)
		c.usage.answered(&u)
		c.settle()
	}
	if f := t.drained; t.sent == 0 && f != nil {
		t.drained = nil
		f()
	}
}

// drain holds back what is written, and calls f when the target has nothing under way: a reconcile that reads while others write takes what they do for
// a difference.
func (c *core) drain(f func()) {
	t := &c.target
	t.term = draining
	if t.sent == 0 {
		f()
	} else {
		t.drained = f
	}
}

// repair reconciles within the term what refused or unanswered updates may have left wrong.
func (c *core) repair() {
	t := &c.target
	if t.broken && t.term == serving && c.now() >= t.after {
		c.drain(c.mend)
	}
}

func (c *core) mend() {
	t := &c.target
	ctx := c.ctx
	stages, rates := c.prepare()
	round := t.round
	c.effects.wg.Go(func() {
		report, err := c.a.bring(ctx, c.a.session, stages, rates)
		c.a.mail.post(func() {
			if t.term != reconciling || t.round != round {
				return // the session was lost meanwhile: the next term does it
			}
			if err == nil {
				c.reconciled(report)
			} else {
				c.unrepaired()
			}
			c.serve()
		})
	})
}

// prepare begins a reconcile: it returns what the target is to hold, and the rates to set. What was written until now is part of that.
func (c *core) prepare() (stages []p4rt.Stage, rates []p4rt.Update) {
	t := &c.target
	t.term, t.broken = reconciling, false
	t.round++
	t.oweAll()
	t.due, t.owed = t.owed, 0
	return c.stages()
}

// reconciled ends a reconcile that went through.
func (c *core) reconciled(report p4rt.Report) {
	log := c.a.cfg.Logger
	log.Info("target reconciled", "kept", report.Kept, "inserted", report.Inserted, "modified", report.Modified, "deleted", report.Deleted,
		"failed", len(report.Failed))
	if len(report.Failed) > 0 {
		c.a.counts.writeFails.Add(uint64(len(report.Failed)))
		c.a.noteRefusal(len(report.Failed), report.Failed[0])
		log.Error("target refused updates", "failed", len(report.Failed), "err", report.Failed[0])
	}
	if !c.refused(report.Failed) {
		c.unrepaired()
		return
	}
	t := &c.target
	delete(t.open, t.due)    // with what it refused, which is a lack
	if t.due = 0; t.broken { // what is beside flow entries, or was written while it went on
		c.pauseRepair()
	} else {
		t.pause = 0
	}
	c.unreserve()
	c.settle()
}

// unrepaired: a reconcile did not bring the target to what it is to hold. It is tried again, less and less often.
func (c *core) unrepaired() {
	t := &c.target
	t.broken = true
	t.owe(t.due)
	t.due = 0
	c.pauseRepair()
}

// pauseRepair puts the next repair off.
func (c *core) pauseRepair() {
	t := &c.target
	t.pause = min(max(2*t.pause, time.Second), maxRepairPause)
	t.after = c.now() + t.pause
}

// tellTarget tells the process and the other edges whether the target is programmed (nil), or why not.
func (a *Agent) tellTarget(cause error) {
	why := ""
	if cause != nil {
		why = cause.Error()
	}
	if a.cfg.OnTarget != nil {
		why = a.cfg.OnTarget(cause)
	}
	if r := a.registration.Load(); r != nil {
		r.Target(why)
	}
}

// turn is the session's state callback.
func (a *Agent) turn(s p4rt.State, cause error) {
	if a.shared != nil {
		a.shared.saw(s, cause)
		if a.shared.term.Load() == 0 {
			a.standsBy(s, cause)
			return
		}
	}
	if s == p4rt.Ready || cause != nil {
		a.tellTarget(cause)
	}
	switch s {
	case p4rt.Ready:
		a.mail.post(func() {
			a.core.serve()
			a.core.missedIdle()
		})
	case p4rt.Disconnected, p4rt.Backup:
		a.mail.post(func() {
			t := &a.core.target
			t.term, t.drained = away, nil
			t.oweAll()
			a.core.memberships.speak(false)
			if s == p4rt.Backup {
				a.core.doubtTally()
			}
		})
	}
}

// standsBy tells the process whether a standby reaches the target.
func (a *Agent) standsBy(s p4rt.State, cause error) {
	switch {
	case a.cfg.OnTarget == nil:
	case s == p4rt.Backup:
		a.cfg.OnTarget(nil)
	case cause != nil:
		a.cfg.OnTarget(cause)
	}
}

// serve begins when the session takes updates.
func (c *core) serve() {
	t := &c.target
	t.term = serving
	backlog := t.backlog
	t.backlog = nil
	for _, u := range backlog {
		c.submit(u)
	}
	c.memberships.speak(true)
}

// reconcile runs at the begin of each term: it makes the target hold what is wanted and nothing else, and leaves alone what is right.
func (a *Agent) reconcile(ctx context.Context, term *p4rt.Term) error {
	if a.shared != nil { // its session is there before its turn
		select {
		case <-a.whole:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if term.Pushed {
		a.mail.post(func() {
			a.core.tally.reset()
			a.core.drops.restarted()
		})
	} else {
		a.meetGateways(ctx)
	}
	if err := a.takeOver(ctx, term); err != nil {
		return err
	}
	c := a.core
	var stages []p4rt.Stage
	var rates []p4rt.Update
	ready := make(chan struct{})
	a.mail.post(func() {
		if ctx.Err() != nil {
			return // the term is over
		}
		c.drain(func() { // what was under way when the last term ended fails, and is owed
			stages, rates = c.prepare()
			close(ready)
		})
	})
	select {
	case <-ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	report, err := a.bring(ctx, term, stages, rates)
	if err != nil {
		return err
	}
	return a.mail.call(ctx, func() {
		c.reconciled(report)
		c.speaking.meet(!term.Pushed)
	})
}

// greetLimit is how long a target that may forward already waits for answers of its gateways.
const greetLimit = 3 * time.Second

// meetGateways finds the gateways of a target that holds entries from before: without their MACs no way to another edge is known, and the entries that
// forward there would be taken out and put in again.
func (a *Agent) meetGateways(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, greetLimit)
	defer cancel()
	alone := true
	if a.mail.call(limit, func() { alone = len(a.core.view.edges) == 0 }) != nil || alone {
		return
	}
	met := make(chan struct{})
	select {
	case a.greet <- met:
	case <-limit.Done():
		return
	}
	select {
	case <-met:
	case <-limit.Done():
	}
}

// stages lists all that the target is to hold by the tables' dependency order, and the meters, which are always there.
func (c *core) stages() ([]p4rt.Stage, []p4rt.Update) {
	byTable := make(map[*p4rt.Table][]p4rt.Entity)
	var groups []p4rt.Entity
	var rates []p4rt.Update
	sort := func(e p4rt.Entity) {
		switch x := e.(type) {
		case *p4rt.Entry:
			byTable[x.Table] = append(byTable[x.Table], e)
		case *p4rt.MeterCell:
			rates = append(rates, p4rt.Update{Op: p4rt.Modify, Entity: e})
		default:
			groups = append(groups, e)
		}
	}
	c.layout.entities(sort)
	for e := range c.placer.Beside() {
		sort(e)
	}
	for _, f := range c.flows.byEntry {
		sort(c.placer.Entry(f.placed))
	}
	order := c.a.tables.Stages()
	stages := make([]p4rt.Stage, 0, len(order)+1)
	for i, ts := range order {
		if i == 1 {
			stages = append(stages, p4rt.Stage{Groups: true, Clones: true, Want: each(groups)})
		}
		var all []p4rt.Entity
		for _, t := range ts {
			all = append(all, byTable[t]...)
		}
		stages = append(stages, p4rt.Stage{Tables: ts, Want: each(all)})
	}
	return stages, rates
}

func each(es []p4rt.Entity) iter.Seq[p4rt.Entity] {
	return func(yield func(p4rt.Entity) bool) {
		for _, e := range es {
			if !yield(e) {
				return
			}
		}
	}
}
