package p4rt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
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

// startTerm prepares the target in the background and reports once it is ready or failed;
// from then on it probes the link. The returned function ends the term and waits.
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
		if err == nil {
			t.probe()
		}
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

// probe finds out about a dead peer, and about a target that lost its pipeline.
func (t *Term) probe() {
	tick := time.NewTicker(t.s.cfg.ProbeInterval)
	defer tick.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-tick.C:
		}
		ok, err := t.l.hasPipeline(t.ctx)
		if err == nil && !ok {
			err = errors.New("the target has lost its pipeline")
		}
		if err != nil && t.ctx.Err() == nil {
			t.l.fail(fmt.Errorf("probe: %w", err))
			return
		}
	}
}
