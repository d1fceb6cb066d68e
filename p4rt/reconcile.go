package p4rt

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// Stage is what a reconcile owns at one step of the dependency order. Entries of its tables that
// are not wanted are removed; tables in no stage are left alone, as are const tables and default
// entries.
type Stage struct {
	Tables []*Table
	Groups bool // owns the multicast groups
	Clones bool // owns the clone sessions
	// Members and ActionGroups own what action profiles hold: groups refer to members, and entries
	// to both, so each wants a stage of its own.
	Members, ActionGroups []*ActionProfile
	// Meters, ValueSets and Digests: cells that are not wanted go back to the default, sets that
	// are not wanted are emptied, digests that are not wanted are disabled.
	Meters    []*MeterArray
	ValueSets []*ValueSet
	Digests   bool

	Want iter.Seq[Entity] // everything that the stage should hold; walked once a round
}

// owns reports whether an entity belongs to the stage.
func (st *Stage) owns(e Entity) bool {
	switch x := e.(type) {
	case *Entry:
		return !x.Default && slices.Contains(st.Tables, x.Table)
	case *MulticastGroup:
		return st.Groups
	case *CloneSession:
		return st.Clones
	case *ActionMember:
		return slices.Contains(st.Members, x.Profile)
	case *ActionGroup:
		return slices.Contains(st.ActionGroups, x.Profile)
	case *MeterCell:
		return slices.Contains(st.Meters, x.Array)
	case *ValueSetMembers:
		return slices.Contains(st.ValueSets, x.Set)
	case *DigestConfig:
		return st.Digests
	}
	return false
}

// queries ask for all that the stage owns.
func (st *Stage) queries(in *Inspection) []Query {
	var out []Query
	for _, t := range st.Tables {
		if !t.Const {
			q := AllEntries(t)
			if slices.Contains(in.Tables, t) {
				(&ReadOptions{Counters: true, LastHit: true}).ask(q.ask.GetTableEntry(), t)
			}
			out = append(out, q)
		}
	}
	if st.Groups {
		out = append(out, AllGroups())
	}
	if st.Clones {
		out = append(out, AllClones())
	}
	for _, p := range st.Members {
		out = append(out, AllMembers(p))
	}
	for _, p := range st.ActionGroups {
		out = append(out, AllActionGroups(p))
	}
	for _, m := range st.Meters {
		out = append(out, MeterCells(m, AllCells))
	}
	for _, v := range st.ValueSets {
		out = append(out, MembersOf(v))
	}
	if st.Digests {
		out = append(out, DigestConfigs())
	}
	return out
}

// permanent tells whether an entity is always there, so that it is modified only.
func permanent(e Entity) bool {
	switch e.(type) {
	case *MeterCell, *ValueSetMembers:
		return true
	}
	return false
}

// reset is the update that takes away what is installed and not wanted; false if there is nothing
// to take away.
func reset(e Entity) (Update, bool) {
	switch x := e.(type) {
	case *MeterCell:
		return Update{Modify, &MeterCell{Array: x.Array, Index: x.Index}}, x.Config != nil
	case *ValueSetMembers:
		return Update{Modify, &ValueSetMembers{Set: x.Set}}, len(x.Members) > 0
	}
	return Update{Delete, e}, true
}

// Plan is the difference between wanted and installed: per stage, in dependency order.
type Plan struct{ Stages []StagePlan }

// StagePlan is the difference within one stage.
type StagePlan struct {
	Set    []Update // inserts and modifies
	Delete []Update
	Kept   int // already right, untouched
}

// Size is the number of updates in the plan.
func (p *Plan) Size() int {
	n := 0
	for i := range p.Stages {
		n += len(p.Stages[i].Set) + len(p.Stages[i].Delete)
	}
	return n
}

// planner compares what is wanted with what is read back, entity by entity.
type planner struct {
	stages []Stage
	want   []wanted
	index  map[Key]int // into want
	plan   Plan
}

type wanted struct {
	entity Entity
	stage  int
	found  bool
}

// newPlanner refuses what belongs to no stage, and keys wanted twice.
func newPlanner(stages []Stage) (*planner, error) {
	p := &planner{stages: stages, index: map[Key]int{}, plan: Plan{Stages: make([]StagePlan, len(stages))}}
	for i := range stages {
		if stages[i].Want == nil {
			continue
		}
		for e := range stages[i].Want {
			op := Insert
			if permanent(e) {
				op = Modify
			}
			if err := e.validate(op); err != nil {
				return nil, fmt.Errorf("reconcile: %s: %w", e, err)
			}
			if !stages[i].owns(e) {
				return nil, fmt.Errorf("reconcile: stage %d does not own %s", i, e)
			}
			k := e.Key()
			if have, dup := p.index[k]; dup {
				return nil, fmt.Errorf("reconcile: %w: wanted twice: %s; %s", ErrAmbiguous, p.want[have].entity, e)
			}
			p.index[k] = len(p.want)
			p.want = append(p.want, wanted{entity: e, stage: i})
		}
	}
	return p, nil
}

// installed takes an entity that the target holds.
func (p *planner) installed(e Entity) {
	if at, ok := p.index[e.Key()]; ok {
		w := &p.want[at]
		w.found = true
		st := &p.plan.Stages[w.stage]
		if w.entity.same(e) {
			st.Kept++
		} else {
			st.Set = append(st.Set, Update{Modify, w.entity})
		}
		return
	}
	if x, ok := e.(*Entry); ok && x.Const {
		return
	}
	for i := range p.stages {
		if p.stages[i].owns(e) {
			st := &p.plan.Stages[i]
			if u, needed := reset(e); needed {
				st.Delete = append(st.Delete, u)
			}
			return
		}
	}
}

// finish adds what the target lacks.
func (p *planner) finish() *Plan {
	for _, w := range p.want {
		if w.found {
			continue
		}
		st := &p.plan.Stages[w.stage]
		op := Insert
		if permanent(w.entity) {
			op = Modify
		}
		st.Set = append(st.Set, Update{op, w.entity})
	}
	return &p.plan
}

// Diff computes the plan that turns installed into what the stages want. It depends on the two
// sets alone, not on their order.
func Diff(stages []Stage, installed iter.Seq[Entity]) (*Plan, error) {
	p, err := newPlanner(stages)
	if err != nil {
		return nil, err
	}
	for e := range installed {
		p.installed(e)
	}
	return p.finish(), nil
}

// Report is what a reconcile did.
type Report struct {
	Kept, Inserted, Modified, Deleted int
	Failed                            []*UpdateError // still wrong at the end
	Rounds                            int
}

// Inspection is told what a target holds before a reconcile changes it, by what that reads anyway.
type Inspection struct {
	Tables []*Table                    // of the stages: they are read with their direct counters and the times since the last hit, where they have these
	Entry  func(*Entry, Counter) error // is told of each of their entries, in no order, default entries left out
	Done   func() error                // is called when that were all, and nothing is written yet; nil: nobody
}

// Reconcile reads the target back and applies the difference to what the stages want: first what
// is missing or differs, stage by stage, so that references resolve; then deletes, last stage
// first. Within a stage, kinds that refer to each other take the order of [InOrder]. What is right is not touched. Updates that found no room, or whose fate is unknown, are
// tried once more after the deletes. See [Term.Reconcile].
func (s *Session) Reconcile(ctx context.Context, stages ...Stage) (Report, error) {
	t, err := s.readyTerm()
	if err != nil {
		return Report{}, err
	}
	return t.Reconcile(ctx, stages...)
}

// Inspect is [Session.Reconcile] that tells first what it finds: an error of the inspection ends it, and nothing is changed.
func (s *Session) Inspect(ctx context.Context, in Inspection, stages ...Stage) (Report, error) {
	t, err := s.readyTerm()
	if err != nil {
		return Report{}, err
	}
	return t.Inspect(ctx, in, stages...)
}

// maxRounds bounds a reconcile: one to do it, one for what had no room before the deletes.
const maxRounds = 2

// Reconcile is [Session.Reconcile] within the term, before others may write. Nobody else should
// write to the stages' tables meanwhile: what is not wanted is removed. The error is that of a
// call; refused updates are in the report.
func (t *Term) Reconcile(ctx context.Context, stages ...Stage) (Report, error) {
	return t.Inspect(ctx, Inspection{}, stages...)
}

// Inspect is [Session.Inspect] within the term, as [Term.Reconcile] is.
func (t *Term) Inspect(ctx context.Context, in Inspection, stages ...Stage) (Report, error) {
	var rep Report
	for rep.Rounds < maxRounds {
		plan, err := t.plan(ctx, &in, stages)
		if err != nil {
			return rep, err
		}
		rep.Failed, in = nil, Inspection{}
		for i := range plan.Stages {
			if rep.Rounds == 0 {
				rep.Kept += plan.Stages[i].Kept
			}
		}
		rep.Rounds++
		if err := t.apply(ctx, plan, &rep); err != nil {
			return rep, err
		}
		if !slices.ContainsFunc(rep.Failed, func(e *UpdateError) bool { return retryable(e.Result.Outcome) }) {
			break
		}
	}
	return rep, nil
}

func retryable(o Outcome) bool {
	return o == Full || o == Unknown || o == NotSent || o == Duplicate || o == NotFound
}

// plan reads back what the stages own.
func (t *Term) plan(ctx context.Context, in *Inspection, stages []Stage) (*Plan, error) {
	p, err := newPlanner(stages)
	if err != nil {
		return nil, err
	}
	var ask []Query
	for i := range stages {
		ask = append(ask, stages[i].queries(in)...)
	}
	err = t.l.query(ctx, ask, func(e Entity, n Counter) error {
		p.installed(e)
		if x, is := e.(*Entry); is && slices.Contains(in.Tables, x.Table) {
			return in.Entry(x, n)
		}
		return nil
	})
	if err == nil && in.Done != nil {
		err = in.Done()
	}
	if err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	return p.finish(), nil
}

func (t *Term) apply(ctx context.Context, plan *Plan, rep *Report) error {
	for i := range plan.Stages {
		if err := t.applyInOrder(ctx, plan.Stages[i].Set, rep); err != nil {
			return err
		}
	}
	for i := range slices.Backward(plan.Stages) {
		if err := t.applyInOrder(ctx, plan.Stages[i].Delete, rep); err != nil {
			return err
		}
	}
	return nil
}

// applyInOrder splits a stage of different kinds by what refers to what.
func (t *Term) applyInOrder(ctx context.Context, updates []Update, rep *Report) error {
	if len(updates) == 0 || !slices.ContainsFunc(updates, func(u Update) bool { return rank(u) != rank(updates[0]) }) {
		return t.applyAll(ctx, updates, rep)
	}
	for _, part := range InOrder(updates) {
		if err := t.applyAll(ctx, part, rep); err != nil {
			return err
		}
	}
	return nil
}

func (t *Term) applyAll(ctx context.Context, updates []Update, rep *Report) error {
	if len(updates) == 0 {
		return nil
	}
	results, err := t.Write(ctx, updates)
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	for i, r := range results {
		if !r.OK() {
			rep.Failed = append(rep.Failed, &UpdateError{Index: i, Update: updates[i], Result: r})
			continue
		}
		switch updates[i].Op {
		case Insert:
			rep.Inserted++
		case Modify:
			rep.Modified++
		case Delete:
			rep.Deleted++
		}
	}
	return nil
}
