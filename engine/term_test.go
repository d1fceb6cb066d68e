package engine

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
)

// fakeWriter keeps submissions of a core until the test answers them.
type fakeWriter struct {
	c    *core
	sent []update
}

// served gives a core a target that has what the core asks for so far.
func served(c *core) *fakeWriter {
	w := &fakeWriter{c: c}
	c.send = func(u update) { w.sent = append(w.sent, u) }
	c.prepare()
	c.reconciled(p4rt.Report{})
	c.serve()
	return w
}

// lose ends the term.
func (w *fakeWriter) lose() {
	w.c.a.turn(p4rt.Disconnected, nil)
	w.c.a.mail.deliver()
}

// answer answers what is under way.
func (w *fakeWriter) answer(t *testing.T, refused bool) {
	t.Helper()
	if len(w.sent) == 0 {
		t.Fatal("nothing was written")
	}
	all := w.sent
	w.sent = nil
	for _, u := range all {
		w.c.answered(u, refused, nil)
	}
}

// TestRefusedIsNotAcknowledged: what the target refused is not acknowledged, and keeps its numbers, until a reconcile has brought the target there; a
// flow that was refused goes, and its numbers come back.
func TestRefusedIsNotAcknowledged(t *testing.T) {
	c := detached(t, idleStore(t))
	var acks []int64
	c.start(t.Context(), func(r int64, _ []state.Lack) { acks = append(acks, r) })
	w := served(c)
	vm1 := vportOf(t, c, "vm1")
	fromVM1(t, c, gwMAC, netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("192.0.2.1"), 1)
	if c.flows.len() != 1 {
		t.Fatal("no flow was installed")
	}
	w.answer(t, true)
	w.answer(t, false) // the flow's removal
	if c.flows.len() != 0 || len(c.target.open) != 0 {
		t.Errorf("%d flows, %d updates are left of a flow that was refused", c.flows.len(), len(c.target.open))
	}

	delete(c.view.places, vm1)
	c.rebuild(map[subject]struct{}{vportSubject(vm1): {}})
	c.marks = append(c.marks, mark{7, c.target.seq})
	w.answer(t, true)
	for range 2 {
		if len(acks) != 0 || !c.target.broken {
			t.Fatalf("acknowledged %v, broken %v: the target refused it", acks, c.target.broken)
		}
		c.prepare()
		c.reconciled(p4rt.Report{Failed: []*p4rt.UpdateError{{Update: p4rt.Update{Op: p4rt.Delete}}}}) // what is not to be there is
		if len(acks) != 0 || !c.target.broken || c.target.after <= c.now() {
			t.Fatalf("acknowledged %v, broken %v: the reconcile left it undone", acks, c.target.broken)
		}
	}
	c.prepare()
	c.reconciled(p4rt.Report{})
	if len(acks) != 1 || acks[0] != 7 {
		t.Errorf("acknowledged %v, want 7", acks)
	}
}

// bind brings a vport here, or takes it away.
func bind(c *core, id flow.VPortID, here bool) {
	delete(c.view.places, id)
	if here {
		c.view.places[id] = place{edge: "e1", at: offload.Attachment{Port: 1}}
	}
	c.rebuild(map[subject]struct{}{vportSubject(id): {}})
}

// TestNumbersWaitForOlderSubmissions: a number whose delete is acknowledged is not given again while a submission that is older than that is under way.
func TestNumbersWaitForOlderSubmissions(t *testing.T) {
	c := detached(t, idleStore(t))
	w := served(c)
	vm1 := vportOf(t, c, "vm1")
	fromVM1(t, c, gwMAC, netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("192.0.2.1"), 1)
	bind(c, vm1, false)
	older, newer := w.sent[0], w.sent[len(w.sent)-1]
	if len(w.sent) < 2 || len(c.target.freed) == 0 {
		t.Fatalf("%d submissions, %d numbers given up", len(w.sent), len(c.target.freed))
	}
	for _, u := range w.sent[1:] {
		c.answered(u, false, nil)
	}
	if n := len(c.target.freed); n == 0 || older.seq >= newer.seq {
		t.Errorf("the number is free, and submission %d is under way", older.seq)
	}
	c.answered(older, false, nil)
	if n := len(c.target.freed); n != 0 {
		t.Errorf("%d numbers are never free", n)
	}
}

// TestUnboundLaneIsPurged: what a vport sent before it was unbound is not taken for what the next vport of its number sends.
func TestUnboundLaneIsPurged(t *testing.T) {
	c := detached(t, idleStore(t))
	w := served(c)
	vm1 := vportOf(t, c, "vm1")
	local, _ := c.locals.vports.Lookup(vm1)
	c.a.queue.push(earlyPacket{port: 1, vport: local, reason: flow.ReasonMissFlow, data: []byte("late")})
	c.a.queue.push(earlyPacket{port: 1, vport: local, reason: flow.ReasonMissFlow, data: []byte("later")})
	c.a.queue.push(earlyPacket{port: 1, vport: local + 1, reason: flow.ReasonMissFlow, data: []byte("another's")})
	bind(c, vm1, false)
	w.answer(t, false)
	batch := c.a.queue.take(nil)
	if len(batch) != 1 || batch[0].vport != local+1 || c.a.Stats().Departed != 2 {
		t.Errorf("%d packets wait, %d departed, want 1 and 2", len(batch), c.a.Stats().Departed)
	}
	bind(c, vm1, true)
	if again, _ := c.locals.vports.Lookup(vm1); again == local {
		t.Errorf("number %d is given again though others are free for longer", local)
	}
}

// TestOwedIsBounded: what changes while the target is away takes no room by the number of changes, and all of it is acknowledged by the next reconcile.
func TestOwedIsBounded(t *testing.T) {
	c := detached(t, idleStore(t))
	var acks []int64
	c.start(t.Context(), func(r int64, _ []state.Lack) { acks = append(acks, r) })
	w := served(c)
	vm1 := vportOf(t, c, "vm1")
	bind(c, vm1, false) // under way as the target goes
	const changes = 1000
	for i := range int64(changes) {
		switch {
		case i == 0:
			w.lose()
		case i%100 == 0: // it comes, and goes before it is reconciled
			c.prepare()
			bind(c, vm1, i%2 != 0)
			w.lose()
		case i == 50:
			for _, u := range w.sent {
				c.answered(u, false, p4rt.ErrNotConnected)
			}
		}
		bind(c, vm1, i%2 == 0)
		c.mark(10 + i)
	}
	if len(c.target.open) != 1 || len(c.target.backlog) != 0 || len(c.marks) > changes/100+2 {
		t.Errorf("%d submissions open, %d wait, %d revisions, after %d changes", len(c.target.open), len(c.target.backlog), len(c.marks), changes)
	}
	c.prepare()
	c.reconciled(p4rt.Report{})
	if len(acks) != 1 || acks[0] != 10+changes-1 || len(c.target.open) != 0 || len(c.target.freed) != 0 || c.target.sent != 0 {
		t.Errorf("acknowledged %v, %d open, %d numbers not free, %d under way", acks, len(c.target.open), len(c.target.freed), c.target.sent)
	}
}

// TestReconcileIsAlone: a reconcile begins when nothing is under way to the target, within the term and at the begin of the next; what waited for it
// is part of it, and is not sent once more.
func TestReconcileIsAlone(t *testing.T) {
	c := detached(t, idleStore(t))
	w := served(c)
	vm1 := vportOf(t, c, "vm1")
	bind(c, vm1, false)
	c.target.broken = true
	begun := 0
	c.drain(func() { begun++; c.prepare() })
	bind(c, vm1, true)
	if begun != 0 || len(w.sent) != 1 || len(c.target.backlog) != 1 {
		t.Fatalf("%d reconciles, %d sent, %d wait; want 0, 1 and 1", begun, len(w.sent), len(c.target.backlog))
	}
	w.answer(t, false)
	if begun != 1 || len(c.target.backlog) != 0 {
		t.Errorf("%d reconciles, %d wait; want 1 and 0", begun, len(c.target.backlog))
	}
	bind(c, vm1, false)
	c.reconciled(p4rt.Report{})
	c.serve()
	if len(w.sent) != 1 || len(c.target.open) != 1 {
		t.Errorf("%d sent, %d open; want what was written during the reconcile", len(w.sent), len(c.target.open))
	}
}
