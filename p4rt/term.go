package p4rt

import (
	"context"
	"fmt"
	"sync"
)

// Term is one span of being primary on one connection. Writes through it fail once it is over.
type Term struct {
	ID ElectionID
	// Pushed: the pipeline was pushed at the start of the term, so the target holds no entries
	// but the program's own.
	Pushed bool

	s   *Session
	l   *link
	ctx context.Context
}

type termResult struct {
	term *Term
	err  error
}

// startTerm prepares the target in the background and reports once it is ready or failed.
// The returned function ends the term and waits.
func (l *link) startTerm(done chan<- termResult) func() {
	s := l.s
	s.stats.terms.Add(1)
	ctx, cancel := context.WithCancel(l.ctx)
	t := &Term{ID: l.electionID(), s: s, l: l, ctx: ctx}
	var wg sync.WaitGroup
	wg.Go(func() {
		err := t.prepare()
		if ctx.Err() != nil {
			return
		}
		done <- termResult{t, err}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// prepare puts the pipeline in place if it is another's, and lets the owner reconcile.
func (t *Term) prepare() error {
	ok, err := t.l.hasPipeline(t.ctx)
	if err != nil {
		return err
	}
	if !ok {
		if err := t.l.pushPipeline(t.ctx); err != nil {
			return err
		}
		t.Pushed = true
	}
	if t.s.cfg.OnPrimary != nil {
		if err := t.s.cfg.OnPrimary(t.ctx, t); err != nil {
			return fmt.Errorf("on primary: %w", err)
		}
	}
	return nil
}
