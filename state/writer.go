package state

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

// WriterConfig bounds a Writer; zero fields take the default.
type WriterConfig struct {
	Lanes    int           // transactions under way at once; 4
	Queue    int           // operations waiting per lane; 4096
	MaxOps   int           // operations per transaction; 96
	MaxParts int           // writes, or conditions, per transaction; 120: below the 128 that an etcd of default settings takes
	MaxBytes int           // bytes per transaction; 1 MiB, below etcd's 1.5
	Timeout  time.Duration // of one transaction; 3 s: a member that hangs, or a leader that dies, leaves it without an answer
}

// Writer groups small writes from many goroutines into few transactions.
//
// A key always takes the same lane, and a lane has one transaction under way: writes of one key are in the order of their
// submission. Writes of different keys are not ordered. Each operation of a group succeeds or fails by itself.
type Writer struct {
	kv    transactor
	cfg   WriterConfig
	seed  maphash.Seed
	lanes []chan *write

	mu     sync.RWMutex // guards closed against sends: after Run no write enters a lane
	closed bool

	stats writerStats
}

type writerStats struct{ ops, txns, refused, conflicts, failed atomic.Uint64 }

// WriterStats counts since the writer was made.
type WriterStats struct {
	Ops       uint64 // operations answered by etcd
	Txns      uint64 // transactions that carried them
	Refused   uint64 // operations not accepted: queue full
	Conflicts uint64 // conditions that didn't hold
	Failed    uint64 // operations that ended in an error
}

// write is one operation under way; done is called exactly once.
type write struct {
	op    Op
	until time.Time // not to be sent after that; zero: at any time
	done  func(OpResult, error)
}

// transactor makes transactions; etcdserverpb.KVClient is one.
type transactor interface {
	Txn(context.Context, *pb.TxnRequest, ...grpc.CallOption) (*pb.TxnResponse, error)
}

// NewWriter returns a writer on kv; it works while Run does.
func NewWriter(kv transactor, cfg WriterConfig) *Writer {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&cfg.Lanes, 4)
	def(&cfg.Queue, 4096)
	def(&cfg.MaxOps, 96)
	def(&cfg.MaxParts, 120)
	def(&cfg.MaxBytes, 1<<20)
	if cfg.Timeout <= 0 {
		cfg.Timeout = 3 * time.Second
	}
	w := &Writer{kv: kv, cfg: cfg, seed: maphash.MakeSeed(), lanes: make([]chan *write, cfg.Lanes)}
	for i := range w.lanes {
		w.lanes[i] = make(chan *write, cfg.Queue)
	}
	return w
}

// Submit queues op; done is called from the writer's goroutine and must not block. It never waits: a full queue is ErrBusy.
func (w *Writer) Submit(op Op, done func(OpResult, error)) error {
	return w.submit(op, time.Time{}, done)
}

// submit is Submit of what is not sent after a time; zero: it always is.
func (w *Writer) submit(op Op, until time.Time, done func(OpResult, error)) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return ErrClosed
	}
	lane := w.lanes[maphash.String(w.seed, op.Key)%uint64(len(w.lanes))]
	select {
	case lane <- &write{op, until, done}:
		return nil
	default:
		w.stats.refused.Add(1)
		return ErrBusy
	}
}

// Do writes op and waits for the result. If ctx ends first, the outcome is unknown. A fence of ctx is op's (WithFence).
func (w *Writer) Do(ctx context.Context, op Op) (OpResult, error) {
	type answer struct {
		res OpResult
		err error
	}
	c := make(chan answer, 1)
	op.fence = fenceOf(ctx)
	if err := w.Submit(op, func(res OpResult, err error) { c <- answer{res, err} }); err != nil {
		return OpResult{}, err
	}
	select {
	case a := <-c:
		return a.res, a.err
	case <-ctx.Done():
		return OpResult{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

// Stats returns the counters.
func (w *Writer) Stats() WriterStats {
	s := &w.stats
	return WriterStats{Ops: s.ops.Load(), Txns: s.txns.Load(), Refused: s.refused.Load(), Conflicts: s.conflicts.Load(), Failed: s.failed.Load()}
}

// Run commits until ctx ends. What is queued then fails with ErrClosed; what is under way is finished.
func (w *Writer) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, lane := range w.lanes {
		g.Go(func() error { w.runLane(ctx, lane); return nil })
	}
	err := g.Wait()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	for _, lane := range w.lanes {
		for len(lane) > 0 {
			(<-lane).done(OpResult{}, ErrClosed)
		}
	}
	return err
}

func (w *Writer) runLane(ctx context.Context, lane <-chan *write) {
	l := laneState{w: w, keys: make(map[string]struct{}, w.cfg.MaxOps), checked: map[check]struct{}{}}
	for {
		if l.carry == nil {
			select {
			case <-ctx.Done():
				return
			case l.carry = <-lane:
			}
		}
		if ctx.Err() != nil {
			l.carry.done(OpResult{}, ErrClosed)
			return
		}
		if l.collect(lane); len(l.group) == 0 {
			continue // all of it came too late
		}
		l.commit(ctx, l.group)
		clear(l.group)
		l.apart = max(0, l.apart-1)
	}
}

// laneState is the group being put together.
type laneState struct {
	w       *Writer
	group   []*write
	keys    map[string]struct{} // of the group: a transaction may write a key once only
	checked map[check]struct{}  // by the group
	carry   *write              // first of the next group
	apart   int                 // groups that are written apart from the begin, since a condition of one before them failed
}

// apartFor is how many groups are written apart from the begin when a condition failed: others may, too.
const apartFor = 16

// collect fills the group with what is waiting now: nothing waits for company.
func (l *laneState) collect(lane <-chan *write) {
	l.group = l.group[:0]
	clear(l.keys)
	clear(l.checked)
	bytes, parts, now := 0, 0, time.Now()
	for next := l.carry; next != nil; next = poll(lane) {
		if !next.until.IsZero() && now.After(next.until) {
			l.w.stats.failed.Add(1)
			next.done(OpResult{}, context.DeadlineExceeded)
			continue
		}
		bytes += next.op.size()
		parts += next.op.parts(l.checked)
		if l.has(&next.op) || len(l.group) == l.w.cfg.MaxOps || (bytes > l.w.cfg.MaxBytes || parts > l.w.cfg.MaxParts) && len(l.group) > 0 {
			l.carry = next
			return
		}
		l.note(&next.op)
		l.group = append(l.group, next)
	}
	l.carry = nil
}

// poll returns what is waiting, nil if nothing is.
func poll(lane <-chan *write) *write {
	select {
	case w := <-lane:
		return w
	default:
		return nil
	}
}

// has reports whether an operation writes a key that the group writes.
func (l *laneState) has(op *Op) bool {
	_, yes := l.keys[op.Key]
	for i := range op.Also {
		_, also := l.keys[op.Also[i].Key]
		yes = yes || also && !op.Also[i].Check
	}
	return yes
}

// note takes down what an operation writes.
func (l *laneState) note(op *Op) {
	l.keys[op.Key] = struct{}{}
	for i := range op.Also {
		if !op.Also[i].Check {
			l.keys[op.Also[i].Key] = struct{}{}
		}
	}
}

// commit writes the group in one transaction and answers each operation: first as if no condition failed, as is most often so, and where one did with the operations apart. A refused
// group is halved until the culprits are alone.
func (l *laneState) commit(ctx context.Context, group []*write) {
	if len(group) > 1 && l.apart == 0 {
		resp, err := l.w.txn(ctx, together(group))
		switch {
		case err != nil:
			l.refused(ctx, group, err)
			return
		case resp.Succeeded:
			for _, g := range group {
				l.w.stats.ops.Add(1)
				g.done(OpResult{Applied: true, Revision: resp.Header.Revision}, nil)
			}
			return
		}
		l.apart = apartFor
	}
	l.commitApart(ctx, group)
}

// commitApart writes the group in one transaction in which each operation is decided by itself.
func (l *laneState) commitApart(ctx context.Context, group []*write) {
	request := group[0].op.txn()
	if len(group) > 1 {
		request = apart(group)
	}
	resp, err := l.w.txn(ctx, request)
	if err != nil {
		l.refused(ctx, group, err)
		return
	}
	for i, g := range group {
		answer := resp
		if len(group) > 1 {
			if i >= len(resp.Responses) {
				l.w.stats.failed.Add(1)
				g.done(OpResult{}, errShortResponse)
				continue
			}
			answer = resp.Responses[i].GetResponseTxn()
		}
		res, err := g.op.result(answer, resp.Header.Revision)
		l.w.stats.ops.Add(1)
		if err == nil && !res.Applied {
			l.w.stats.conflicts.Add(1)
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
func (l *laneState) refused(ctx context.Context, group []*write, err error) {
	if len(group) > 1 && divisible(err) {
		half := len(group) / 2
		l.commit(ctx, group[:half])
		l.commit(ctx, group[half:])
		return
	}
	if err = advised(err); !refused(err) {
		err = fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	for _, g := range group {
		l.w.stats.failed.Add(1)
		g.done(OpResult{}, fmt.Errorf("state: write %s: %w", g.op.Key, err))
	}
}
