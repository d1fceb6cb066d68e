package p4rt

import (
	"context"
	"fmt"
	"hash/maphash"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// batch is one Write in the making: updates in wire form, no key twice (p4runtime#333).
type batch struct {
	s    *Session
	buf  *[]byte // WriteRequest.updates; nil once sent
	ops  []Op
	keys map[uint64]struct{} // hashes; a collision only splits a batch
	tmp  []byte
}

func (s *Session) newBatch() *batch {
	return &batch{s: s, keys: make(map[uint64]struct{}, 64)}
}

func (b *batch) reset() {
	b.ops = b.ops[:0]
	clear(b.keys)
}

// hash tells keys apart: equal keys have equal hashes.
func (b *batch) hash(e Entity) uint64 {
	if x, ok := e.(*Entry); ok {
		b.tmp = appendUint(b.tmp[:0], 1, uint64(x.Table.ID))
		b.tmp = protowire.AppendVarint(b.tmp, uint64(x.Priority))
		b.tmp = x.appendKey(b.tmp)
		return maphash.Bytes(b.s.seed, b.tmp)
	}
	return maphash.Comparable(b.s.seed, e.Key())
}

// add takes a valid update, unless the batch has no room for it or already has its key.
func (b *batch) add(u Update, hash uint64) bool {
	p := &b.s.cfg.Profile
	if len(b.ops) >= p.MaxBatch {
		return false
	}
	if _, dup := b.keys[hash]; dup {
		return false
	}
	if b.buf == nil {
		b.buf = b.s.pool.Get(0)
	}
	was := len(*b.buf)
	*b.buf = appendUpdate(*b.buf, u)
	if len(b.ops) > 0 && len(*b.buf) > p.MaxBytes {
		*b.buf = (*b.buf)[:was]
		return false
	}
	b.keys[hash] = struct{}{}
	b.ops = append(b.ops, u.Op)
	return true
}

// seal appends the rest of the WriteRequest and hands the bytes over.
func (b *batch) seal(id ElectionID) *frame {
	m := appendUint(*b.buf, 1, b.s.cfg.DeviceID)
	m, at := open(m, 3)
	m = closeAt(appendUint(appendUint(m, 1, id.High), 2, id.Low), at)
	if b.s.cfg.Role != "" {
		m = protowire.AppendString(append(m, 6<<3|tagBytes), b.s.cfg.Role)
	}
	*b.buf = m
	f := &frame{out: mem.NewBuffer(b.buf, b.s.pool)}
	b.buf = nil
	return f
}

// send writes the batch and puts each update's fate into results, which has len(b.ops).
// The error concerns the whole call.
func (b *batch) send(ctx context.Context, t *Term, results []Result) error {
	if t.ctx.Err() != nil {
		return ErrNotPrimary
	}
	s := b.s
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	s.stats.writes.Add(1)
	s.stats.updates.Add(uint64(len(b.ops)))
	var answer frame
	err := t.l.conn.Invoke(ctx, methodWrite, b.seal(t.l.electionID()), &answer, t.l.opts...)
	answer.free()
	if err == nil {
		for i := range results {
			results[i] = Result{Outcome: Applied}
		}
		return nil
	}
	return s.fates(b.ops, results, err)
}

// fates reads the error of a Write (Spec 12.3): UNKNOWN with one p4.Error per update, in order,
// or a refusal of the whole, or no answer at all.
func (s *Session) fates(ops []Op, results []Result, err error) error {
	st := status.Convert(err)
	details := st.Proto().GetDetails()
	if st.Code() == codes.Unknown && len(details) == len(ops) {
		for i, d := range details {
			var e p4.Error
			if uerr := d.UnmarshalTo(&e); uerr != nil {
				results[i] = Result{Outcome: Unknown, Code: codes.Unknown, Message: uerr.Error()}
				continue
			}
			code := codes.Code(e.GetCanonicalCode())
			results[i] = Result{Outcome: s.cfg.Profile.outcome(ops[i], code), Code: code, Message: e.GetMessage()}
		}
		return nil
	}
	outcome := Unknown
	switch st.Code() {
	case codes.PermissionDenied:
		outcome, err = Refused, fmt.Errorf("%w: %w", ErrNotPrimary, err)
	case codes.InvalidArgument, codes.FailedPrecondition, codes.NotFound, codes.Unimplemented, codes.Unauthenticated:
		outcome = Refused
	case codes.Unknown:
		err = fmt.Errorf("%w (%d for %d updates): %w", ErrNoDetails, len(details), len(ops), err)
	}
	for i := range results {
		results[i] = Result{Outcome: outcome, Code: st.Code(), Message: st.Message()}
	}
	return fmt.Errorf("write: %w", err)
}

// check refuses what must not reach the target.
func (s *Session) check(u Update) error {
	if u.Op < Insert || u.Op > Delete || u.Entity == nil {
		return fmt.Errorf("%w: update", ErrMalformed)
	}
	if err := u.Entity.validate(u.Op); err != nil {
		return err
	}
	return s.cfg.Profile.admits(u)
}

// Write applies updates in as few batches as their count, bytes and keys allow, one after
// another, and returns each one's fate, in order. Updates of one key take effect in their order;
// others may be reordered by the target. The error is that of the call: after it, updates of
// unsent batches are NotSent and those in doubt Unknown. Refused updates are no error:
// see [Failures]. It needs the session to be Ready.
func (s *Session) Write(ctx context.Context, updates []Update) ([]Result, error) {
	t, err := s.readyTerm()
	if err != nil {
		return make([]Result, len(updates)), err
	}
	return t.Write(ctx, updates)
}

// Write is [Session.Write] within the term, before the session is Ready.
func (t *Term) Write(ctx context.Context, updates []Update) ([]Result, error) {
	results := make([]Result, len(updates))
	b := t.s.newBatch()
	var index []int // of the batch's updates
	fates := make([]Result, min(len(updates), t.s.cfg.Profile.MaxBatch))
	flush := func() error {
		if len(index) == 0 {
			return nil
		}
		got := fates[:len(index)]
		clear(got)
		err := b.deliver(ctx, t, got, func(i int) Update { return updates[index[i]] })
		for j, i := range index {
			results[i] = got[j]
		}
		index = index[:0]
		b.reset()
		return err
	}
	for i, u := range updates {
		if err := t.s.check(u); err != nil {
			results[i] = Result{Outcome: Invalid, Code: codes.InvalidArgument, Message: err.Error()}
			continue
		}
		h := b.hash(u.Entity)
		if !b.add(u, h) {
			if err := flush(); err != nil {
				return results, err
			}
			b.add(u, h)
		}
		index = append(index, i)
	}
	return results, flush()
}

// deliver sends the batch. From a target that stops at the first failure (Profile.FailFast) it
// sends what was aborted again, in a batch of its own, until each update has its own fate. at
// gives the batch's updates.
func (b *batch) deliver(ctx context.Context, t *Term, results []Result, at func(int) Update) error {
	err := b.send(ctx, t, results)
	if err != nil || !b.s.cfg.Profile.FailFast {
		return err
	}
	index := make([]int, 0, len(results)) // of what is left
	for i := range results {
		index = append(index, i)
	}
	for last := results; ; {
		left := index[:0]
		for j, i := range index {
			if last[j].Code == codes.Aborted {
				left = append(left, i)
			}
		}
		if len(left) == 0 || len(left) == len(last) { // none, or no progress
			return nil
		}
		index = left
		again := b.s.newBatch()
		for _, i := range index {
			u := at(i)
			again.add(u, again.hash(u.Entity)) // it had room and no key twice before
		}
		last = make([]Result, len(index))
		err := again.send(ctx, t, last)
		for j, i := range index {
			results[i] = last[j]
		}
		if err != nil {
			return err
		}
	}
}
