package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/topology"
)

// Edit is a change of stored objects, all or nothing.
type Edit struct {
	// Plan says what is to be put and deleted of what is stored. It is called again if somebody else was quicker. What it refuses is refused.
	Plan func(*Catalogue) (put []*topology.Object, del []topology.Ref, err error)
	// Once names the edit: one with the same name is made once, as long as its name is remembered. Empty: it has none.
	Once string
	// Note says what is stored with the edit; nil: nothing.
	Note func(*Outcome) (Notes, error)
}

// Notes are stored in the transaction of an edit.
type Notes struct {
	Audit *AuditRecord // nil: none
	Once  []byte       // what is to be known of the edit when it is asked for again
}

// Outcome is what an edit did.
type Outcome struct {
	Revision int64    // of the change; of one that changes nothing that of the last one
	Steps    []Step   // what became of the objects that were deleted, then of those that were put
	Updates  []Update // all that differs: parts that follow from objects, too
	Earlier  []byte   // Notes.Once of the edit of that name that was made earlier; nil: there was none
}

const (
	groupSize  = 256     // edits of one transaction
	groupBytes = 2 << 20 // of one transaction, from which no other edit joins it
	editQueue  = 4096    // edits that wait
)

// edits are those that wait for the one transaction that is under way.
//
//	Edit ─▶ waiting (bounded) ─▶ group: each is planned on what the one before it leaves ─▶ one transaction ─▶ each is told its own outcome
//
// etcd syncs to disk once for a group; the outcome is the same as if they came one after the other. The goroutine that carries them out ends when nothing waits.
type edits struct {
	mu      sync.Mutex
	waiting []*waitingEdit
	running bool
	ended   sync.WaitGroup
}

type waitingEdit struct {
	Edit
	ctx  context.Context
	out  *Outcome
	err  error
	done chan struct{}
}

// Edit makes a change. If ctx ends before it is known whether it is made, the error is ErrUnknownOutcome.
func (s *Store) Edit(ctx context.Context, e Edit) (*Outcome, error) {
	w := &waitingEdit{Edit: e, ctx: ctx, done: make(chan struct{})}
	q := &s.edits
	q.mu.Lock()
	if len(q.waiting) >= editQueue {
		q.mu.Unlock()
		return nil, ErrBusy
	}
	q.waiting = append(q.waiting, w)
	if !q.running {
		q.running = true
		q.ended.Go(s.carryOut)
	}
	q.mu.Unlock()
	select {
	case <-w.done:
		return w.out, w.err
	case <-ctx.Done():
	}
	q.mu.Lock()
	at := slices.Index(q.waiting, w)
	if at >= 0 {
		q.waiting = slices.Delete(q.waiting, at, at+1)
	}
	q.mu.Unlock()
	if at >= 0 {
		return nil, fmt.Errorf("state: nothing was written: %w", ctx.Err())
	}
	select {
	case <-w.done:
		return w.out, w.err
	default:
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

// Try says what an edit would do now, without doing it.
func (s *Store) Try(ctx context.Context, e Edit) (*Outcome, error) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	w := &waitingEdit{Edit: e, ctx: ctx}
	if _, err := s.load(ctx, nil); err != nil {
		return nil, err
	}
	g := s.newGroup()
	g.add(w)
	if w.err == nil {
		w.out.Revision = s.desired.generation
	}
	return w.out, w.err
}

// carryOut carries out what waits, group by group.
func (s *Store) carryOut() {
	q := &s.edits
	for {
		q.mu.Lock()
		n := min(len(q.waiting), groupSize)
		group := slices.Clone(q.waiting[:n])
		q.waiting = slices.Delete(q.waiting, 0, n)
		q.running = n > 0
		q.mu.Unlock()
		if n == 0 {
			return
		}
		rest := s.commitGroup(group)
		q.mu.Lock()
		q.waiting = append(rest, q.waiting...)
		q.mu.Unlock()
		for _, w := range group[:n-len(rest)] {
			close(w.done)
		}
	}
}

// commitGroup makes the edits of a group, and returns those at its end that did not find room in the transaction.
func (s *Store) commitGroup(group []*waitingEdit) (rest []*waitingEdit) {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	ctx, cancel := unitedContext(group)
	defer cancel()
	room := len(group)
	for range casAttempts {
		n, err := s.tryGroup(ctx, group[:room])
		switch {
		case errors.Is(err, ErrConflict):
			continue
		case errors.Is(err, ErrTooLarge) && n > 1:
			room = n / 2
			continue
		case err != nil:
			for _, w := range group[:n] {
				if w.err == nil && (w.out == nil || w.out.Earlier == nil) {
					w.out, w.err = nil, err
				}
			}
		}
		return group[n:]
	}
	for _, w := range group {
		w.out, w.err = nil, fmt.Errorf("state: apply: %w", ErrConflict)
	}
	return nil
}

// unitedContext ends when those of all edits have: then nobody waits for the outcome any more.
func unitedContext(group []*waitingEdit) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(group[0].ctx))
	var mu sync.Mutex
	left := len(group)
	stops := make([]func() bool, len(group))
	for i, w := range group {
		stops[i] = context.AfterFunc(w.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// tryGroup plans the edits of a group, one after the other, and writes what comes of it, on condition that nobody else has written. It returns how many of them found room.
func (s *Store) tryGroup(ctx context.Context, group []*waitingEdit) (n int, err error) {
	earlier, err := s.load(ctx, group)
	if err != nil {
		return len(group), err
	}
	g := s.newGroup()
	for _, w := range group {
		w.out, w.err = nil, nil
		if g.once[w.Once] || g.bytes > groupBytes {
			break
		}
		if w.out = earlier[w.Once]; w.out == nil && !g.add(w) {
			break
		}
		n++
	}
	return n, g.commit(ctx, group[:n])
}

// group is what the edits of one transaction make of what is stored.
type group struct {
	s       *Store
	order   *Catalogue // as the edits so far leave it
	ids     idBlock
	w       writes
	forget  txn             // what was learnt of what goes
	left    []leftPort      // what was learnt behind these goes afterwards
	once    map[string]bool // names of edits
	onces   map[string][]byte
	audit   []storedRecord
	updates []Update
	touched map[topology.Ref]bool // that updates are of
	bytes   int
}

func (s *Store) newGroup() *group {
	d := &s.desired
	c := &Catalogue{Set: d.catalogue.Set, Revision: d.generation, order: d.catalogue.order.Clone()}
	return &group{s: s, order: c, ids: d.ids, w: writes{}, once: map[string]bool{}, onces: map[string][]byte{}, touched: map[topology.Ref]bool{}}
}

// add plans one edit, and adds what it writes. If it is refused, it adds nothing. False: it changes an object that another edit of the group changed, and has to wait for the next one: what the two make of it
// would have the same revision, and who read the first could not tell that there is a second.
func (g *group) add(w *waitingEdit) (joins bool) {
	st, out, notes, records, err := g.plan(w)
	if err != nil {
		w.err = err
		return true
	}
	for _, u := range st.updates {
		if g.touched[u.Ref] {
			return false
		}
	}
	w.out = out
	g.take(st)
	g.audit = append(g.audit, records...)
	for _, r := range records {
		g.bytes += len(r.value)
	}
	if w.Once != "" {
		g.once[w.Once], g.onces[w.Once] = true, notes.Once
	}
	return true
}

// plan says what an edit would do on what the group leaves so far, with the records of the audit log. An edit that makes it panic is refused: the process, and the edits that wait, go on.
func (g *group) plan(w *waitingEdit) (st *staged, out *Outcome, notes Notes, records []storedRecord, err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("state: panic in an edit: %v\n%s", why, debug.Stack())
		}
	}()
	put, del, err := w.Plan(g.order)
	if err != nil {
		return nil, nil, notes, nil, err
	}
	if st, err = g.stage(put, del); err != nil {
		return nil, nil, notes, nil, err
	}
	out = &Outcome{Steps: st.steps, Updates: st.updates}
	if w.Note != nil {
		if notes, err = w.Note(out); err == nil {
			records, err = notes.records()
		}
	}
	return st, out, notes, records, err
}

// staged is what one edit would make.
type staged struct {
	after   *topology.Set
	ids     idBlock
	w       writes
	forget  txn
	left    []leftPort
	updates []Update
	steps   []Step
}

// stage validates one edit.
func (g *group) stage(put []*topology.Object, del []topology.Ref) (*staged, error) {
	before := g.order.Set
	st := &staged{ids: g.ids, w: writes{}}
	all, gone := before.Expand(withoutStatus(put), del)
	fresh := make([]*topology.Object, 0, len(all))
	for _, o := range all {
		c := *o
		c.Status = topology.Status{Of: o.Status.Of, Expanded: o.Status.Expanded, Filters: o.Status.Filters}
		if old := before.Get(o.Ref()); old != nil {
			c.Status.ID = old.Status.ID
		}
		if c.Status.ID == 0 && c.Kind.HasID() {
			id, err := st.ids.next()
			if err != nil {
				return nil, fmt.Errorf("state: %v: %w", c.Ref(), err)
			}
			c.Status.ID = id
		}
		fresh = append(fresh, &c)
	}
	var err error
	if st.after, err = before.Apply(fresh, gone); err != nil {
		return nil, err
	}
	for _, o := range fresh {
		o.Source = nil // was for errors
	}
	changed, err := g.diff(st, fresh, gone)
	if err != nil {
		return nil, err
	}
	if st.steps, err = g.steps(st, put, del); err != nil {
		return nil, err
	}
	if len(changed) == 0 {
		return st, nil
	}
	if err := recompile(before, st.after, changed, st.w); err != nil {
		return nil, err
	}
	st.left = st.forget.forgetLearnt(before, st.after, changed)
	return st, nil
}

// diff writes the objects that differ, and returns which.
func (g *group) diff(st *staged, put []*topology.Object, del []topology.Ref) ([]topology.Ref, error) {
	refs := slices.Clone(del)
	for _, o := range put {
		refs = append(refs, o.Ref())
	}
	var changed []topology.Ref
	for _, r := range refs {
		key := confKey(r)
		if _, twice := st.w[key]; twice {
			continue
		}
		o := st.after.Get(r)
		value, err := encodeObject(o)
		if err != nil {
			return nil, err
		}
		was := g.order.Get(r)
		if was == nil && value == nil || was != nil && bytes.Equal(value, was.JSON) {
			continue
		}
		st.w[key] = value
		changed = append(changed, r)
		u := Update{Ref: r, Before: was}
		if value != nil {
			u.After = newEntry(o, 0, value)
		}
		st.updates = append(st.updates, u)
	}
	return changed, nil
}

// steps says what becomes of the objects that were named.
func (g *group) steps(st *staged, put []*topology.Object, del []topology.Ref) ([]Step, error) {
	out, err := steps(g.order.Set, put, del)
	if err != nil {
		return nil, err
	}
	after := make(map[topology.Ref]*Entry, len(st.updates))
	for _, u := range st.updates {
		after[u.Ref] = u.After
	}
	for i := range out {
		s := &out[i]
		s.Was = g.order.Get(s.Ref)
		if is, changed := after[s.Ref]; changed {
			s.Is = is
		} else {
			s.Is = s.Was
		}
	}
	return out, nil
}

// take makes a staged edit a part of the group.
func (g *group) take(st *staged) {
	g.order.Set, g.ids = st.after, st.ids
	for key, value := range st.w {
		g.bytes += len(key) + len(value)
	}
	maps.Copy(g.w, st.w)
	g.forget.ops = append(g.forget.ops, st.forget.ops...)
	g.left = append(g.left, st.left...)
	for _, u := range st.updates {
		g.touched[u.Ref] = true
		if u.After != nil {
			g.order.order.ReplaceOrInsert(u.After)
		} else {
			g.order.order.Delete(pivot(u.Ref))
		}
	}
	g.updates = append(g.updates, st.updates...)
}

// commit writes the group and gives the edits their revision.
func (g *group) commit(ctx context.Context, edits []*waitingEdit) error {
	s := g.s
	rev := s.desired.generation
	if len(g.w)+len(g.onces) > 0 {
		t, err := g.txn(ctx)
		if err != nil {
			return err
		}
		at, err := t.commit(ctx, s.client)
		if err != nil {
			return err
		}
		if len(g.w) > 0 {
			rev = at
			g.adopt(rev)
			if err := s.forgetBehind(ctx, g.left); err != nil {
				s.log.Warn("what was learnt behind deleted vports is left to the edges", "err", err)
			}
		}
	}
	for _, w := range edits {
		if w.out != nil && w.out.Earlier == nil {
			w.out.Revision = rev
		}
	}
	return nil
}

// txn is the group's transaction.
func (g *group) txn(ctx context.Context) (*txn, error) {
	s, t := g.s, new(txn)
	t.unchanged(generationKey, s.desired.generation)
	if len(g.w) > 0 {
		t.put(generationKey, []byte(strconv.FormatInt(s.desired.generation, 10)))
		g.ids.commit(t)
		t.write(g.w)
		t.ops = append(t.ops, g.forget.ops...)
	}
	if len(g.onces) > 0 {
		lease, err := s.noteLeases.of(ctx, s.client, s.cfg.OnceAge, time.Now())
		if err != nil {
			return nil, err
		}
		for name, value := range g.onces {
			t.unchanged(onceKey(name), 0)
			t.ops = append(t.ops, clientv3.OpPut(onceKey(name), string(value), clientv3.WithLease(lease)))
		}
	}
	if len(g.audit) > 0 {
		lease, err := s.noteLeases.of(ctx, s.client, s.cfg.AuditAge, time.Now())
		if err != nil {
			return nil, err
		}
		for i, r := range g.audit {
			t.ops = append(t.ops, clientv3.OpPut(auditKey(s.desired.generation, i, r.tenant), string(r.value), clientv3.WithLease(lease)))
		}
	}
	return t, nil
}

// adopt makes what was written what is known to be stored.
func (g *group) adopt(rev int64) {
	g.order.Revision = rev
	m := Moment{Revision: rev, Updates: g.updates}
	for _, u := range g.updates {
		if u.After != nil {
			u.After.Revision = rev
		}
	}
	g.s.desired = desired{catalogue: g.order, generation: rev, asOf: rev, top: g.ids.last}
	g.s.history.add(g.order, m)
}
