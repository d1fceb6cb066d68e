package state

import (
	"context"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	apartFor = 16                    // groups that are written apart from the begin when a condition of one failed: others may, too
	company  = 20 * time.Millisecond // that a group waits for the transaction under way, while it is not full
)

// dispatcher is Run's goroutine: it alone puts groups together.
type dispatcher struct {
	w       *Writer
	pending []*write            // in order
	skipped map[string]struct{} // keys that those of them write that have to wait
	writing map[string]struct{} // keys that are being written
	fill    *flight             // being filled
	free    []*flight
	flying  int
	back    chan *flight // cap InFlight
	left    time.Time    // when the last one did
	apart   int          // groups that are written apart from the begin
}

// flight is a group, being filled or under way.
type flight struct {
	w            *Writer
	group        []*write
	keys         map[string]struct{} // that it writes: a transaction may write a key once only
	checked      map[check]struct{}
	bytes, parts int
	apart        bool // its operations are written apart from the begin
	conflict     bool // a condition failed
}

func newDispatcher(w *Writer) *dispatcher {
	d := &dispatcher{w: w, skipped: map[string]struct{}{}, writing: map[string]struct{}{}, back: make(chan *flight, w.cfg.InFlight)}
	for range w.cfg.InFlight + 1 {
		d.free = append(d.free, &flight{w: w, keys: map[string]struct{}{}, checked: map[check]struct{}{}})
	}
	d.take()
	return d
}

// take begins the next group.
func (d *dispatcher) take() {
	n := len(d.free) - 1
	d.fill, d.free = d.free[n], d.free[:n]
}

// run returns when what was under way at the end of ctx is finished.
func (d *dispatcher) run(ctx context.Context) {
	late := time.NewTimer(company)
	defer late.Stop()
	for ctx.Err() == nil {
		d.accept()
		for d.depart(ctx, d.pack()) {
		}
		var waited <-chan time.Time
		if d.flying > 0 && d.flying < d.w.cfg.InFlight && len(d.fill.group) > 0 {
			late.Reset(company - time.Since(d.left))
			waited = late.C
		}
		select {
		case <-ctx.Done():
		case <-d.w.wake:
		case f := <-d.back:
			d.land(f)
		case <-waited:
		}
	}
	for d.flying > 0 {
		d.land(<-d.back)
	}
}

// accept takes the inbox.
func (d *dispatcher) accept() {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.pending = append(d.pending, d.w.inbox...)
	clear(d.w.inbox)
	d.w.inbox = d.w.inbox[:0]
}

// pack fills the group with what is waiting and need not wait, oldest first. It reports whether the group is full.
func (d *dispatcher) pack() (full bool) {
	clear(d.skipped)
	wait, now := d.pending[:0], time.Now()
	for i, x := range d.pending {
		if d.late(x, now) {
			continue
		}
		if d.waits(&x.op) {
			x.op.eachKey(func(key string) { d.skipped[key] = struct{}{} })
			wait = append(wait, x)
			continue
		}
		if !d.fill.add(x) {
			wait = append(wait, d.pending[i:]...)
			full = true
			break
		}
	}
	clear(d.pending[len(wait):])
	d.pending = wait
	return full || len(d.fill.group) == d.w.cfg.MaxOps
}

// waits reports whether an operation writes a key that the group writes, or that is being written, or that one before it waits for.
func (d *dispatcher) waits(op *Op) (yes bool) {
	op.eachKey(func(key string) {
		_, filled := d.fill.keys[key]
		_, written := d.writing[key]
		_, before := d.skipped[key]
		yes = yes || filled || written || before
	})
	return yes
}

// add takes an operation into the group, if there is room.
func (f *flight) add(x *write) bool {
	cfg := &f.w.cfg
	bytes, parts := f.bytes+x.op.size(), f.parts+x.op.parts(f.checked)
	if len(f.group) == cfg.MaxOps || (bytes > cfg.MaxBytes || parts > cfg.MaxParts) && len(f.group) > 0 {
		return false
	}
	f.bytes, f.parts, f.group = bytes, parts, append(f.group, x)
	x.op.eachKey(func(key string) { f.keys[key] = struct{}{} })
	x.op.eachCheck(func(c check) { f.checked[c] = struct{}{} })
	return true
}

// late answers an operation if its time is over.
func (d *dispatcher) late(x *write, now time.Time) bool {
	if x.until.IsZero() || !now.After(x.until) {
		return false
	}
	d.w.stats.failed.Add(1)
	d.gone(1)
	x.done(OpResult{}, context.DeadlineExceeded)
	return true
}

// depart has the group written, if it is time. False: it is not.
func (d *dispatcher) depart(ctx context.Context, full bool) bool {
	f := d.fill
	if len(f.group) == 0 || d.flying == d.w.cfg.InFlight || d.flying > 0 && !full && time.Since(d.left) < company {
		return false
	}
	now := time.Now()
	if f.group = slices.DeleteFunc(f.group, func(x *write) bool { return d.late(x, now) }); len(f.group) == 0 {
		f.empty()
		return true // what waited for their keys is next
	}
	for key := range f.keys {
		d.writing[key] = struct{}{}
	}
	d.gone(len(f.group))
	d.flying++
	d.left = now
	f.apart, f.conflict = d.apart > 0, false
	d.apart = max(0, d.apart-1)
	d.take()
	go func() {
		f.commit(ctx, f.group)
		d.back <- f
	}()
	return true
}

// gone makes room in the queue.
func (d *dispatcher) gone(n int) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.w.queued -= n
}

// land takes back what was written.
func (d *dispatcher) land(f *flight) {
	d.flying--
	for key := range f.keys {
		delete(d.writing, key)
	}
	if f.conflict {
		d.apart = apartFor
	}
	f.empty()
	d.free = append(d.free, f)
}

// empty makes room for another group.
func (f *flight) empty() {
	clear(f.group)
	clear(f.keys)
	clear(f.checked)
	f.group, f.bytes, f.parts = f.group[:0], 0, 0
}

// eachKey calls fn with the keys that the operation writes.
func (op *Op) eachKey(fn func(key string)) {
	fn(op.Key)
	for i := range op.Also {
		if !op.Also[i].Check {
			fn(op.Also[i].Key)
		}
	}
}

// commit writes the group in one transaction and answers each operation: first as if no condition failed, as is most often so, and where one did with the operations apart. A refused
// group is halved until the culprits are alone.
func (f *flight) commit(ctx context.Context, group []*write) {
	if len(group) > 1 && !f.apart {
		resp, err := f.w.txn(ctx, together(group))
		switch {
		case err != nil:
			f.refused(ctx, group, err)
			return
		case resp.Succeeded:
			for _, g := range group {
				f.w.stats.ops.Add(1)
				g.done(OpResult{Applied: true, Revision: resp.Header.Revision}, nil)
			}
			return
		}
		f.conflict = true
	}
	f.commitApart(ctx, group)
}

// commitApart writes the group in one transaction in which each operation is decided by itself.
func (f *flight) commitApart(ctx context.Context, group []*write) {
	request := group[0].op.txn()
	if len(group) > 1 {
		request = apart(group)
	}
	resp, err := f.w.txn(ctx, request)
	if err != nil {
		f.refused(ctx, group, err)
		return
	}
	for i, g := range group {
		answer := resp
		if len(group) > 1 {
			if i >= len(resp.Responses) {
				f.w.stats.failed.Add(1)
				g.done(OpResult{}, errShortResponse)
				continue
			}
			answer = resp.Responses[i].GetResponseTxn()
		}
		res, err := g.op.result(answer, resp.Header.Revision)
		f.w.stats.ops.Add(1)
		if err == nil && !res.Applied {
			f.w.stats.conflicts.Add(1)
		}
		g.done(res, err)
	}
}

// txn makes a transaction.
func (w *Writer) txn(ctx context.Context, request *pb.TxnRequest) (*pb.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Timeout)
	defer cancel()
	w.stats.txns.Add(1)
	resp, err := w.kv.Txn(ctx, request, callOptions...)
	return resp, clientv3.ContextError(ctx, err)
}

// refused goes on with a group whose transaction failed.
func (f *flight) refused(ctx context.Context, group []*write, err error) {
	if len(group) > 1 && divisible(err) {
		half := len(group) / 2
		f.commit(ctx, group[:half])
		f.commit(ctx, group[half:])
		return
	}
	if err = advised(err); !refused(err) {
		err = fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	for _, g := range group {
		f.w.stats.failed.Add(1)
		g.done(OpResult{}, fmt.Errorf("state: write %s: %w", g.op.Key, err))
	}
}
