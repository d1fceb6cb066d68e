package state

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ribUnderWay is how many blocks are given to the writer at a time: others have a place in its queues.
const ribUnderWay = 256

// write stores what is dirty. A table without routes is one deletion: readers see all of them gone at once.
func (r *RIB) write(ctx context.Context, lease clientv3.LeaseID) error {
	if len(r.table.blocks) == 0 && len(r.table.stored) > 0 {
		return r.removeAll(ctx)
	}
	for _, step := range r.table.plan() {
		for chunk := range slices.Chunk(step, ribUnderWay) {
			if err := r.writeAll(ctx, lease, chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeAll deletes all blocks.
func (r *RIB) removeAll(ctx context.Context) error {
	if err := r.store.RemoveRIB(ctx, r.source); err != nil {
		return err
	}
	r.mu.Lock()
	r.stats.Deletes += len(r.table.stored)
	r.mu.Unlock()
	r.table = ribTable{}
	return nil
}

// RemoveRIB removes all that a session learnt, whose RIB does not run. A fence of ctx is that of the write.
func (s *Store) RemoveRIB(ctx context.Context, source RIBSource) error {
	_, err := s.writer.Do(ctx, Op{Key: source.prefix(), Delete: true, Below: true, Expect: anyRevision})
	if err != nil && !errors.Is(err, ErrClosed) {
		err = fmt.Errorf("state: remove routes of session %s: %w", source.Session, err)
	}
	return err
}

// plan returns the writes of what is dirty, in steps. Routes go from one stored block to another when blocks are split and joined, and readers may see any moment in between. So that a
// route which is there all the time is never seen to be gone, new blocks are written first, then those that were stored, then blocks are removed: a route is in two blocks rather than
// in none.
func (t *ribTable) plan() (steps [3][]ribWrite) {
	if t.clean() {
		return steps
	}
	at := make(map[netip.Prefix]int, len(t.dirty))
	for i := range t.blocks {
		if _, dirty := t.dirty[t.blocks[i].bound]; dirty {
			at[t.blocks[i].bound] = i
		}
	}
	for bound := range t.dirty {
		i, is := at[bound]
		_, was := t.stored[bound]
		switch {
		case is && !was:
			steps[0] = append(steps[0], ribWrite{bound, t.blocks[i].value})
		case is:
			steps[1] = append(steps[1], ribWrite{bound, t.blocks[i].value})
		case was:
			steps[2] = append(steps[2], ribWrite{bound: bound})
		default:
			delete(t.dirty, bound)
		}
	}
	for _, step := range steps {
		slices.SortFunc(step, func(a, b ribWrite) int { return comparePrefixes(a.bound, b.bound) })
	}
	return steps
}

// sent takes note that a write is under way: its block may be stored, whatever comes back.
func (t *ribTable) sent(w *ribWrite) {
	if w.value != nil {
		if t.stored == nil {
			t.stored = map[netip.Prefix]struct{}{}
		}
		t.stored[w.bound] = struct{}{}
	}
}

// done takes note that a write is.
func (t *ribTable) done(w *ribWrite) {
	delete(t.dirty, w.bound)
	if w.value == nil {
		delete(t.stored, w.bound)
	}
}

// ribWrite is a block to be written, or removed, if value is nil.
type ribWrite struct {
	bound netip.Prefix
	value []byte
}

// writeAll writes blocks in any order, and takes note of those that are done.
func (r *RIB) writeAll(ctx context.Context, lease clientv3.LeaseID, blocks []ribWrite) error {
	type answer struct {
		block ribWrite
		err   error
	}
	answers := make(chan answer, len(blocks))
	begun := 0
	var first error
	for _, b := range blocks {
		op := Op{Key: r.source.prefix() + boundName(b.bound), Delete: b.value == nil, Expect: anyRevision, fence: fenceOf(ctx)}
		if !op.Delete {
			op.Value, op.Guard, op.Lease = b.value, portKey(r.source.Router, r.source.Port), lease
		}
		r.table.sent(&b)
		err := r.store.writer.Submit(op, func(res OpResult, err error) {
			if err == nil && res.GuardGone {
				err = fmt.Errorf("vport %d of router %d: %w", r.source.Port, r.source.Router, ErrNotFound)
			}
			answers <- answer{b, err}
		})
		if err != nil {
			first = err
			break
		}
		begun++
	}
	puts, deletes := 0, 0
	for range begun { // the writer answers each, and each within its timeout
		a := <-answers
		if a.err != nil {
			if first == nil {
				first = a.err
			}
			continue
		}
		if r.table.done(&a.block); a.block.value == nil {
			deletes++
		} else {
			puts++
		}
	}
	r.mu.Lock()
	r.stats.Puts += puts
	r.stats.Deletes += deletes
	r.mu.Unlock()
	if first != nil && !errors.Is(first, ErrClosed) {
		return fmt.Errorf("state: store routes of session %s: %w", r.source.Session, first)
	}
	return first
}
