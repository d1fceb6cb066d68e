package p4rt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

// writer runs a Writer on the lab's session until the test ends.
func (l *lab) writer(cfg p4rt.WriterConfig) *p4rt.Writer {
	l.t.Helper()
	w := p4rt.NewWriter(l.session, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	l.t.Cleanup(func() {
		cancel()
		<-ended
		if n := w.Queued(); n != 0 {
			l.t.Errorf("%d updates left in the writer", n)
		}
	})
	return w
}

func TestWriterStages(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	w := l.writer(p4rt.WriterConfig{})
	l.srv.ForgetLog()
	ins := func(e p4rt.Entity) []p4rt.Update { return []p4rt.Update{{Op: p4rt.Insert, Entity: e}} }
	res, err := w.Write(l.ctx, ins(l.rewrite(1)), nil, ins(l.flow(1, 1)), ins(&p4rt.MulticastGroup{ID: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]p4rt.Outcome{p4rt.Applied, p4rt.Applied, p4rt.Applied}, outcomes(res)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]string{"INSERT rewrite", "INSERT flow", "INSERT group"}, order(l.srv.View())); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]int{1, 1, 1}, sizes(l.srv.View())); d != "" {
		t.Errorf("batches: -want +got:\n%s", d)
	}
}

// What refers to an entry that was refused is not sent; a delete of nothing is no failure.
func TestWriterStageFails(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	w := l.writer(p4rt.WriterConfig{})
	us := func(op p4rt.Op, e p4rt.Entity) []p4rt.Update { return []p4rt.Update{{Op: op, Entity: e}} }
	bad := l.rewrite(1)
	bad.Set(0, p4rt.U64(1<<16))
	for _, tc := range []struct {
		name  string
		first []p4rt.Update
		want  []p4rt.Outcome
	}{
		{"invalid here", us(p4rt.Insert, bad), []p4rt.Outcome{p4rt.Invalid, p4rt.NotSent}},
		{"refused there", us(p4rt.Modify, l.rewrite(1)), []p4rt.Outcome{p4rt.NotFound, p4rt.NotSent}},
		{"delete of nothing", us(p4rt.Delete, l.rewrite(1)), []p4rt.Outcome{p4rt.NotFound, p4rt.Applied}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := w.Write(l.ctx, tc.first, us(p4rt.Insert, l.flow(1, 1)))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, outcomes(res)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// What undoes a submission begins when that has ended, also where the key in common is in its last stage.
func TestWriterUndo(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	w := l.writer(p4rt.WriterConfig{InFlight: 4})
	l.srv.ForgetLog()
	one := func(op p4rt.Op, e p4rt.Entity) []p4rt.Update { return []p4rt.Update{{Op: op, Entity: e}} }
	var wg sync.WaitGroup
	for i := range 50 {
		stages := [][]p4rt.Update{one(p4rt.Insert, l.rewrite(1)), one(p4rt.Insert, l.flow(1, 1)), one(p4rt.Insert, l.flow(2, 1))}
		if i%2 == 1 {
			stages = [][]p4rt.Update{one(p4rt.Delete, l.flow(2, 1)), one(p4rt.Delete, l.flow(1, 1)), one(p4rt.Delete, l.rewrite(1))}
		}
		wg.Add(1)
		if err := w.Submit(l.ctx, func(r []p4rt.Result, err error) {
			defer wg.Done()
			for _, r := range r {
				if err != nil || r.Outcome != p4rt.Applied {
					t.Errorf("submission %d: %v, %v", i, r, err)
				}
			}
		}, stages...); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

// Many goroutines on few keys: every key sees its updates in the order of its one submitter.
func TestWriterKeyOrder(t *testing.T) {
	l := newLab(t, func(c *p4rt.Config) { c.Profile.MaxBatch = 16 })
	l.ready()
	w := l.writer(p4rt.WriterConfig{InFlight: 4})
	const goroutines, rounds = 8, 100
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for i := range rounds {
				var us []p4rt.Update
				op := p4rt.Modify
				if i == 0 {
					op = p4rt.Insert
				}
				for k := range 3 {
					us = append(us, p4rt.Update{Op: op, Entity: l.flow(g*10+k, uint64(i))})
				}
				rng.Shuffle(len(us), func(a, b int) { us[a], us[b] = us[b], us[a] })
				if err := w.Submit(l.ctx, func(r []p4rt.Result, err error) {
					if err == nil {
						err = p4rt.Failures(us, r)
					}
					if err != nil {
						t.Errorf("goroutine %d, round %d: %v", g, i, err)
					}
				}, us); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l.await("all updates", func(v p4rttest.View) bool { return v.Updates == goroutines*rounds*3 })
	last := map[string]uint64{}
	for _, wr := range l.srv.View().Writes {
		seen := map[string]bool{}
		for _, u := range wr.GetUpdates() {
			e := u.GetEntity().GetTableEntry()
			k := fmt.Sprint(e.GetMatch())
			if seen[k] {
				t.Fatal("a key twice in one batch")
			}
			seen[k] = true
			v, err := p4rt.ParseValue(e.GetAction().GetAction().GetParams()[0].GetValue())
			if err != nil {
				t.Fatal(err)
			}
			if prev, ok := last[k]; ok && v.Lo != prev+1 {
				t.Fatalf("update %d follows %d", v.Lo, prev)
			}
			last[k] = v.Lo
		}
	}
}

// While one Write is under way the next fills up.
func TestWriterCoalesces(t *testing.T) {
	l := newLab(t, func(c *p4rt.Config) { c.Profile.MaxBatch = 64 })
	l.ready()
	w := l.writer(p4rt.WriterConfig{InFlight: 1})
	l.srv.ForgetLog()
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	l.srv.SetQuirks(p4rttest.Quirks{BeforeUpdate: func(int) error {
		once.Do(func() { close(held) })
		<-hold
		return nil
	}})
	var wg sync.WaitGroup
	submit := func(i int) {
		wg.Add(1)
		if err := w.Submit(l.ctx, func([]p4rt.Result, error) { wg.Done() }, l.flows(p4rt.Insert, i, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	submit(0)
	<-held
	for i := 1; i <= 100; i++ {
		submit(i)
	}
	close(hold)
	wg.Wait()
	if d := cmp.Diff([]int{1, 64, 36}, sizes(l.srv.View())); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestWriterQueueBounded(t *testing.T) {
	l := newLab(t, nil)
	w := p4rt.NewWriter(l.session, p4rt.WriterConfig{Queue: 10}) // not running
	var got []error
	done := func(_ []p4rt.Result, err error) { got = append(got, err) }
	if err := w.TrySubmit(done, l.flows(p4rt.Insert, 0, 8)); err != nil {
		t.Fatal(err)
	}
	if err := w.TrySubmit(done, l.flows(p4rt.Insert, 0, 3)); !errors.Is(err, p4rt.ErrQueueFull) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(l.ctx)
	cancel()
	if err := w.Submit(ctx, done, l.flows(p4rt.Insert, 0, 3)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := w.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	if len(got) != 1 || !errors.Is(got[0], p4rt.ErrClosed) {
		t.Errorf("done got %v", got)
	}
	if err := w.TrySubmit(done, nil); !errors.Is(err, p4rt.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// Every submission gets exactly one answer while the target comes and goes, and what was said to
// be applied to a target that keeps its entries is there.
func TestWriterAnswersAll(t *testing.T) {
	l := newLab(t, func(c *p4rt.Config) { c.Profile.MaxBatch = 8 })
	l.ready()
	w := l.writer(p4rt.WriterConfig{InFlight: 3})
	l.srv.SetQuirks(p4rttest.Quirks{BeforeUpdate: func(n int) error {
		if n%50 == 49 {
			return status.Error(codes.Unavailable, "gone")
		}
		return nil
	}})
	const n = 600
	var mu sync.Mutex
	answers := make([]int, n)
	applied := map[int]bool{}
	var wg sync.WaitGroup
	for i := range n {
		if i%200 == 100 {
			l.srv.CutStreams()
		}
		if i == 350 {
			l.srv.Restart(true)
		}
		wg.Add(1)
		if err := w.Submit(l.ctx, func(r []p4rt.Result, err error) {
			mu.Lock()
			defer mu.Unlock()
			defer wg.Done()
			answers[i]++
			if len(r) == 1 && r[0].OK() {
				applied[i] = true
			} else if err == nil {
				t.Errorf("update %d: %v without an error", i, r)
			}
		}, l.flows(p4rt.Insert, i, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if slices.ContainsFunc(answers, func(a int) bool { return a != 1 }) {
		t.Errorf("answers: %v", answers)
	}
	there := map[uint64]bool{}
	for _, e := range l.srv.Entries() {
		v, err := p4rt.ParseValue(matchOf(e, 2))
		if err != nil {
			t.Fatal(err)
		}
		there[v.Lo-0x0a000000] = true
	}
	for i := range applied {
		if !there[uint64(i)] {
			t.Errorf("update %d was said to be applied", i)
		}
	}
}

func matchOf(e *p4.TableEntry, id uint32) []byte {
	for _, m := range e.GetMatch() {
		if m.GetFieldId() == id {
			return m.GetExact().GetValue()
		}
	}
	return nil
}
