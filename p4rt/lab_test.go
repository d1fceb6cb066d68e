package p4rt_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

// lab is a target with one session on it.
type lab struct {
	t       testing.TB
	srv     *p4rttest.Server
	schema  *p4rt.Schema
	session *p4rt.Session
	ctx     context.Context

	mu     sync.Mutex
	cond   *sync.Cond
	states []p4rt.State
	errs   []error
	terms  []p4rt.Term
}

func miniSchema(t testing.TB) *p4rt.Schema {
	t.Helper()
	b, err := os.ReadFile("testdata/mini.p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &p4config.P4Info{}
	if err := prototext.Unmarshal(b, info); err != nil {
		t.Fatal(err)
	}
	s, err := p4rt.NewSchema(info)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newLab starts a target and a session that runs until the test ends.
func newLab(t testing.TB, edit func(*p4rt.Config)) *lab {
	t.Helper()
	srv := p4rttest.NewServer()
	t.Cleanup(srv.Close)
	return newLabOn(t, srv, edit)
}

func newLabOn(t testing.TB, srv *p4rttest.Server, edit func(*p4rt.Config)) *lab {
	t.Helper()
	l := &lab{t: t, srv: srv, schema: miniSchema(t)}
	l.cond = sync.NewCond(&l.mu)
	cfg := p4rt.Config{
		Dial: srv.Dial, DeviceID: 1, Schema: l.schema, DeviceConfig: []byte("program"),
		BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond,
		OnState: l.onState,
	}
	if edit != nil {
		edit(&cfg)
	}
	hook := cfg.OnPrimary
	cfg.OnPrimary = func(ctx context.Context, term *p4rt.Term) error {
		l.mu.Lock()
		l.terms = append(l.terms, *term)
		l.mu.Unlock()
		if hook != nil {
			return hook(ctx, term)
		}
		return nil
	}
	var err error
	if l.session, err = p4rt.NewSession(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.session.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	var done context.CancelFunc
	l.ctx, done = context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(done)
	return l
}

func (l *lab) onState(s p4rt.State, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states = append(l.states, s)
	l.errs = append(l.errs, err)
	l.cond.Broadcast()
}

// awaitState waits until the session was n times in the state, counted from the start.
func (l *lab) awaitState(s p4rt.State, n int) {
	l.t.Helper()
	stop := context.AfterFunc(l.ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cond.Broadcast()
	})
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		seen := 0
		for _, x := range l.states {
			if x == s {
				seen++
			}
		}
		if seen >= n {
			return
		}
		if l.ctx.Err() != nil {
			l.t.Fatalf("never %s %d times: %v %v", s, n, l.states, l.errs)
		}
		l.cond.Wait()
	}
}

func (l *lab) ready() {
	l.t.Helper()
	select {
	case <-l.session.Ready():
	case <-l.ctx.Done():
		l.t.Fatalf("never ready: %v %v", l.states, l.errs)
	}
}

func (l *lab) table(name string) *p4rt.Table {
	l.t.Helper()
	t, err := l.schema.Table(name)
	if err != nil {
		l.t.Fatal(err)
	}
	return t
}

// flow is the n-th entry of flow_v4.
func (l *lab) flow(n int, dest uint64) *p4rt.Entry {
	l.t.Helper()
	t := l.table("flow_v4")
	a, err := t.Action("forward")
	if err != nil {
		l.t.Fatal(err)
	}
	e := t.NewEntry()
	e.Set(0, p4rt.U64(1))
	e.Set(1, p4rt.U64(0x0a000000+uint64(n)))
	e.Set(2, p4rt.U64(0x0a800000))
	e.Set(3, p4rt.U64(6))
	e.Do(a, p4rt.U64(dest), p4rt.U64(0))
	return e
}

// rewrite is an entry of the table of 4.
func (l *lab) rewrite(id uint64) *p4rt.Entry {
	l.t.Helper()
	t := l.table("rewrite")
	a, err := t.Action("set_macs")
	if err != nil {
		l.t.Fatal(err)
	}
	e := t.NewEntry()
	e.Set(0, p4rt.U64(id))
	e.Do(a, p4rt.U64(1), p4rt.U64(2))
	return e
}

func (l *lab) flows(op p4rt.Op, from, to int) []p4rt.Update {
	var us []p4rt.Update
	for i := from; i < to; i++ {
		us = append(us, p4rt.Update{Op: op, Entity: l.flow(i, 7)})
	}
	return us
}

// write expects every update to be applied.
func (l *lab) write(us []p4rt.Update) {
	l.t.Helper()
	res, err := l.session.Write(l.ctx, us)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := p4rt.Failures(us, res); err != nil {
		l.t.Fatal(err)
	}
}

func outcomes(rs []p4rt.Result) []p4rt.Outcome {
	var os []p4rt.Outcome
	for _, r := range rs {
		os = append(os, r.Outcome)
	}
	return os
}

func (l *lab) await(what string, ok func(p4rttest.View) bool) {
	l.t.Helper()
	if !l.srv.Wait(l.ctx, ok) {
		l.t.Fatalf("never: %s", what)
	}
}

// sizes are the numbers of updates of the Writes seen.
func sizes(v p4rttest.View) []int {
	var ns []int
	for _, w := range v.Writes {
		ns = append(ns, len(w.GetUpdates()))
	}
	return slices.Clip(ns)
}
