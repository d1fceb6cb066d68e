package p4rt_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	p4 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

func entities(es ...p4rt.Entity) iter.Seq[p4rt.Entity] { return slices.Values(es) }

// goal wants the given entities in stages rewrite, then groups and flows.
func (l *lab) goal(rewrites, flows []p4rt.Entity) []p4rt.Stage {
	return []p4rt.Stage{
		{Tables: []*p4rt.Table{l.table("rewrite")}, Groups: true, Clones: true, Want: entities(rewrites...)},
		{Tables: []*p4rt.Table{l.table("flow_v4")}, Want: entities(flows...)},
	}
}

func TestReconcile(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	group := &p4rt.MulticastGroup{ID: 1, Replicas: []p4rt.Replica{{Port: 1}, {Port: 2}}}
	l.write([]p4rt.Update{
		{Op: p4rt.Insert, Entity: l.rewrite(1)},
		{Op: p4rt.Insert, Entity: l.rewrite(2)}, // goes
		{Op: p4rt.Insert, Entity: group},
		{Op: p4rt.Insert, Entity: &p4rt.MulticastGroup{ID: 2}},                                      // goes
		{Op: p4rt.Insert, Entity: &p4rt.CloneSession{ID: 2, Replicas: []p4rt.Replica{{Port: 255}}}}, // changes
		{Op: p4rt.Insert, Entity: l.flow(1, 7)},
		{Op: p4rt.Insert, Entity: l.flow(2, 7)}, // changes
		{Op: p4rt.Insert, Entity: l.flow(3, 7)}, // goes
	})
	l.srv.ForgetLog()
	same := &p4rt.MulticastGroup{ID: 1, Replicas: []p4rt.Replica{{Port: 2}, {Port: 1}}}
	clone := &p4rt.CloneSession{ID: 2, Replicas: []p4rt.Replica{{Port: 254}}}
	stages := l.goal([]p4rt.Entity{l.rewrite(1), l.rewrite(3), same, clone}, []p4rt.Entity{l.flow(1, 7), l.flow(2, 8), l.flow(4, 7)})
	rep, err := l.session.Reconcile(l.ctx, stages...)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p4rt.Report{Kept: 3, Inserted: 2, Modified: 2, Deleted: 3, Rounds: 1}, rep); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	want := []string{"INSERT rewrite", "MODIFY clone", "INSERT flow", "MODIFY flow", "DELETE flow", "DELETE group", "DELETE rewrite"}
	if d := cmp.Diff(steps(want), steps(order(l.srv.View()))); d != "" {
		t.Errorf("order of updates: -want +got:\n%s", d)
	}
	l.srv.ForgetLog()
	if rep, err = l.session.Reconcile(l.ctx, stages...); err != nil || rep.Kept != 7 || len(l.srv.View().Writes) != 0 {
		t.Errorf("a second reconcile: %+v, %v, writes %v", rep, err, sizes(l.srv.View()))
	}
}

// TestInspect: a reconcile tells what it finds, with counters, before it changes anything; and changes nothing if nobody could take that.
func TestInspect(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	const n = 300
	l.write(l.flows(p4rt.Insert, 0, n))
	l.write([]p4rt.Update{{Op: p4rt.Insert, Entity: l.rewrite(1)}})
	l.srv.Count(5, 500, time.Minute)
	l.srv.ForgetLog()
	stages, flows := l.goal(nil, []p4rt.Entity{l.flow(1, 7)}), []*p4rt.Table{l.table("flow_v4")}
	lost := errors.New("lost")
	for _, in := range []p4rt.Inspection{
		{Tables: flows, Entry: func(*p4rt.Entry, p4rt.Counter) error { return lost }},
		{Tables: flows, Entry: func(*p4rt.Entry, p4rt.Counter) error { return nil }, Done: func() error { return lost }},
	} {
		if _, err := l.session.Inspect(l.ctx, in, stages...); !errors.Is(err, lost) || len(l.srv.View().Writes) > 0 {
			t.Errorf("%v, writes %v", err, sizes(l.srv.View()))
		}
	}
	seen, done := map[p4rt.Key]bool{}, 0
	rep, err := l.session.Inspect(l.ctx, p4rt.Inspection{
		Tables: flows,
		Entry: func(e *p4rt.Entry, c p4rt.Counter) error {
			if seen[e.Key()] = true; e.Table != flows[0] || c.Packets != 5 || c.Bytes != 500 || c.SinceHit != time.Minute {
				t.Errorf("%s has %+v", e, c)
			}
			return nil
		},
		Done: func() error {
			if done++; len(seen) != n || len(l.srv.View().Writes) > 0 {
				t.Errorf("%d entries were told of, and written %v", len(seen), sizes(l.srv.View()))
			}
			return nil
		},
	}, stages...)
	if err != nil || done != 1 || rep.Deleted != n || rep.Kept != 1 {
		t.Errorf("%+v, %v; %d ends", rep, err, done)
	}
}

// order names the updates that the target saw.
func order(v p4rttest.View) []string {
	names := map[uint32]string{0x02000001: "flow", 0x02000004: "rewrite"}
	var out []string
	for _, w := range v.Writes {
		for _, u := range w.GetUpdates() {
			what := names[u.GetEntity().GetTableEntry().GetTableId()]
			switch pre := u.GetEntity().GetPacketReplicationEngineEntry(); {
			case pre.GetMulticastGroupEntry() != nil:
				what = "group"
			case pre.GetCloneSessionEntry() != nil:
				what = "clone"
			}
			out = append(out, fmt.Sprintf("%s %s", u.GetType(), what))
		}
	}
	return out
}

// steps forgets the order inside stages, which is the target's to choose: sets of the first,
// sets of the second, deletes of the second, deletes of the first.
func steps(s []string) map[int][]string {
	m := map[int][]string{}
	step := 0
	stageOf := func(x string) int {
		del := x[0] == 'D'
		flow := x[len(x)-4:] == "flow"
		switch {
		case !del && !flow:
			return 0
		case !del:
			return 1
		case flow:
			return 2
		}
		return 3
	}
	for _, x := range s {
		if n := stageOf(x); n < step {
			m[-1] = append(m[-1], x) // out of order
		} else {
			step = n
		}
		m[step] = append(m[step], x)
	}
	for _, v := range m {
		slices.Sort(v)
	}
	return m
}

// Where a full table needs room first, the second round finds it.
func TestReconcileFullTable(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	var old, want []p4rt.Entity
	var us []p4rt.Update
	for i := range uint64(4) {
		old = append(old, l.rewrite(i))
		want = append(want, l.rewrite(i+10))
		us = append(us, p4rt.Update{Op: p4rt.Insert, Entity: old[i]})
	}
	l.write(us)
	rep, err := l.session.Reconcile(l.ctx, l.goal(want, nil)...)
	if err != nil || rep.Rounds != 2 || rep.Inserted != 4 || rep.Deleted != 4 || len(rep.Failed) != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	// Five don't fit: one stays out, and the report says which.
	rep, err = l.session.Reconcile(l.ctx, l.goal(append(want, l.rewrite(20)), nil)...)
	if err != nil || len(rep.Failed) != 1 || rep.Failed[0].Result.Outcome != p4rt.Full || rep.Kept != 4 {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestReconcileRefuses(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	for _, tc := range []struct {
		name   string
		stages []p4rt.Stage
		err    error
	}{
		{"wanted twice", l.goal([]p4rt.Entity{l.rewrite(1), l.rewrite(1)}, nil), p4rt.ErrAmbiguous},
		{"invalid", l.goal([]p4rt.Entity{l.table("rewrite").NewEntry()}, nil), p4rt.ErrMissing},
		{"wrong stage", l.goal([]p4rt.Entity{l.flow(1, 1)}, nil), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l.srv.ForgetLog()
			_, err := l.session.Reconcile(l.ctx, tc.stages...)
			if err == nil || tc.err != nil && !errors.Is(err, tc.err) {
				t.Errorf("got %v, want %v", err, tc.err)
			}
			if n := len(l.srv.View().Writes); n != 0 {
				t.Errorf("%d writes", n)
			}
		})
	}
}

// After a restart of the target that kept its entries, and after a cut, a reconcile in OnPrimary
// deletes nothing that is right; after one that forgot, it brings all back.
func TestReconcileAfterRestart(t *testing.T) {
	var l *lab
	want := make(chan []p4rt.Stage, 1)
	reports := make(chan p4rt.Report, 10)
	l = newLab(t, func(c *p4rt.Config) {
		c.OnPrimary = func(ctx context.Context, term *p4rt.Term) error {
			stages := <-want
			want <- stages
			rep, err := term.Reconcile(ctx, stages...)
			reports <- rep
			return err
		}
	})
	var flows []p4rt.Entity
	for i := range 1000 {
		flows = append(flows, l.flow(i, 7))
	}
	want <- l.goal(nil, flows)
	l.ready()
	<-reports
	for i, step := range []struct {
		name string
		do   func()
		want p4rt.Report
	}{
		{"cut", l.srv.CutStreams, p4rt.Report{Kept: 1000, Rounds: 1}},
		{"restart that keeps", func() { l.srv.Restart(true) }, p4rt.Report{Kept: 1000, Rounds: 1}},
		{"restart that forgets", func() { l.srv.Restart(false) }, p4rt.Report{Inserted: 1000, Rounds: 1}},
	} {
		l.srv.ForgetLog()
		step.do()
		l.awaitState(p4rt.Ready, i+2)
		if d := cmp.Diff(step.want, <-reports); d != "" {
			t.Errorf("%s: -want +got:\n%s", step.name, d)
		}
		for _, w := range l.srv.View().Writes {
			for _, u := range w.GetUpdates() {
				if u.GetType() != p4.Update_INSERT {
					t.Fatalf("%s: %s", step.name, u.GetType())
				}
			}
		}
	}
}

// The plan depends on the two sets alone, and applied to the one it gives the other.
func TestDiffAnyOrder(t *testing.T) {
	l := &lab{t: t, schema: miniSchema(t)}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		have, want := map[p4rt.Key]p4rt.Entity{}, map[p4rt.Key]p4rt.Entity{}
		for _, m := range []map[p4rt.Key]p4rt.Entity{have, want} {
			for range rng.IntN(12) {
				e := l.flow(rng.IntN(10), uint64(rng.IntN(2)))
				m[e.Key()] = e
			}
		}
		stage := p4rt.Stage{Tables: []*p4rt.Table{l.table("flow_v4")}, Want: func(yield func(p4rt.Entity) bool) {
			for _, e := range want { // in random order
				if !yield(e) {
					return
				}
			}
		}}
		plan, err := p4rt.Diff([]p4rt.Stage{stage}, func(yield func(p4rt.Entity) bool) {
			for _, e := range have {
				if !yield(e) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		kept := plan.Stages[0].Kept
		touched := 0
		for _, u := range slices.Concat(plan.Stages[0].Set, plan.Stages[0].Delete) {
			k := u.Entity.Key()
			_, exists := have[k]
			if exists == (u.Op == p4rt.Insert) {
				t.Fatalf("%s of %s, which exists: %v", u.Op, u.Entity, exists)
			}
			if exists {
				touched++
			}
			if u.Op == p4rt.Delete {
				delete(have, k)
			} else {
				have[k] = u.Entity
			}
		}
		if len(have) != len(want) || kept+plan.Size() < len(want) {
			t.Fatalf("%d entities, want %d; plan %+v", len(have), len(want), plan)
		}
		for k, e := range want {
			got, ok := have[k].(*p4rt.Entry)
			if !ok || !got.SameEffect(e.(*p4rt.Entry)) {
				t.Fatalf("got %s, want %s", got, e)
			}
		}
	}
}
