package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weft-sdn/weft/p4rt"
)

// TestOutletPasses: while the target is asked what an entry counted that is to go, only what has a key in common with that waits; and if it does not answer, the entry goes all the same.
func TestOutletPasses(t *testing.T) {
	c := newCached(t, 2000, 100, 64)
	c.cache.patience = time.Millisecond
	c.send(1, 7)
	c.send(1, 8)
	first, second := c.flows[cachedFlow{1, 7}].f, c.flows[cachedFlow{1, 8}].f
	asked := make(chan struct{}, 1)
	c.cache.read = func(ctx context.Context, _ []*p4rt.Entry, _ func(*p4rt.Entry, p4rt.Counter) error) error {
		asked <- struct{}{}
		<-ctx.Done() // a target that does not answer
		return ctx.Err()
	}
	for len(c.w.sent) > 0 {
		c.w.answer(t, false)
	}
	gone := c.placer.Entry(first.placed)
	c.core.remove(first)
	c.outlet.next()
	<-asked
	if !c.outlet.reading || len(c.w.sent) != 0 {
		t.Fatalf("reading %v, %d sent, want what is deleted to be read first", c.outlet.reading, len(c.w.sent))
	}
	other := c.placer.Entry(second.placed)
	c.write([][]p4rt.Update{{{Op: p4rt.Insert, Entity: other}}}, nil, nil)
	if len(c.w.sent) != 1 {
		t.Errorf("%d sent, want what has nothing to do with the read", len(c.w.sent))
	}
	c.write([][]p4rt.Update{{{Op: p4rt.Insert, Entity: gone}}}, nil, nil) // the flow comes again
	if len(c.w.sent) != 1 {
		t.Error("an entry is inserted ahead of its deletion")
	}
	for c.outlet.reading {
		<-c.a.mail.wake
		c.a.mail.deliver()
	}
	c.outlet.next()
	if len(c.w.sent) != 3 || c.w.sent[1].stages[1][0].Op != p4rt.Delete || c.w.sent[2].stages[0][0].Op != p4rt.Insert || len(c.outlet.keys) != 0 {
		t.Errorf("sent %v, %d keys are left", c.w.sent, len(c.outlet.keys))
	}
}

// TestReadSome: what a target refuses to read since it does not have some of it is read without that, and with no more questions than it takes.
func TestReadSome(t *testing.T) {
	absent := map[int32]bool{3: true, 200: true, 201: true}
	var entries []*p4rt.Entry
	for i := range int32(2 * roundChunk) {
		entries = append(entries, &p4rt.Entry{Priority: i})
	}
	asked, read := 0, map[int32]bool{}
	away := false
	h := cache{patience: readPatience}
	h.read = func(_ context.Context, some []*p4rt.Entry, yield func(*p4rt.Entry, p4rt.Counter) error) error {
		asked++
		if away {
			return p4rt.ErrNotConnected
		}
		for _, e := range some {
			if absent[e.Priority] {
				return errors.New("not found")
			}
		}
		for _, e := range some {
			_ = yield(e, p4rt.Counter{})
		}
		return nil
	}
	note := func(e *p4rt.Entry, _ p4rt.Counter) error { read[e.Priority] = true; return nil }
	if err := h.readSome(t.Context(), entries, note); err != nil || len(read) != len(entries)-len(absent) {
		t.Errorf("%d read, %v, want %d", len(read), err, len(entries)-len(absent))
	}
	if asked > 2+2*len(absent)*10 {
		t.Errorf("%d questions", asked)
	}
	for i := range int32(len(entries)) {
		absent[i] = true // it has none: that is not worth more
	}
	asked = 0
	if err := h.readSome(t.Context(), entries, note); err == nil || asked > readRefusals+1 {
		t.Errorf("%d questions, %v, of a target that refuses everything", asked, err)
	}
	asked, away = 0, true
	if err := h.readSome(t.Context(), entries, note); err == nil || asked != 1 {
		t.Errorf("%d questions, %v, of one that is away", asked, err)
	}
}
