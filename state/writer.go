package state

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// WriterConfig bounds a Writer; zero fields take the default.
type WriterConfig struct {
	InFlight int           // transactions under way at once; 4
	Queue    int           // operations waiting; 16384
	MaxOps   int           // operations per transaction; 96
	MaxParts int           // writes, or conditions, per transaction; 120: below the 128 that an etcd of default settings takes
	MaxBytes int           // bytes per transaction; 1 MiB, below etcd's 1.5
	Timeout  time.Duration // of one transaction; 3 s: a member that hangs, or a leader that dies, leaves it without an answer
}

// Writer groups small writes from many goroutines into few transactions.
//
//	Submit ─▶ inbox (bounded) ─▶ dispatch: fill a group ─▶ up to InFlight transactions ─▶ dispatch: done
//
// A group leaves at once if nothing is under way, and else when it is full, or when the one before it takes long: etcd syncs to disk once for each, one after the other, so that more of them would
// wait for each other. Writes of one key are in the order of their submission: one that writes what is under way, or what waits before it, waits. Writes of different keys are not ordered. Each
// operation of a group succeeds or fails by itself.
type Writer struct {
	kv  transactor
	cfg WriterConfig

	mu     sync.Mutex
	inbox  []*write
	queued int // in the inbox and beyond, until they leave
	closed bool

	wake  chan struct{} // cap 1: the inbox is not empty
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
	def(&cfg.InFlight, 4)
	def(&cfg.Queue, 4*4096)
	def(&cfg.MaxOps, 96)
	def(&cfg.MaxParts, 120)
	def(&cfg.MaxBytes, 1<<20)
	if cfg.Timeout <= 0 {
		cfg.Timeout = 3 * time.Second
	}
	return &Writer{kv: kv, cfg: cfg, wake: make(chan struct{}, 1)}
}

// Submit queues op; done is called from the writer's goroutine and must not block. It never waits: a full queue is ErrBusy.
func (w *Writer) Submit(op Op, done func(OpResult, error)) error {
	return w.submit(op, time.Time{}, done)
}

// submit is Submit of what is not sent after a time; zero: it always is.
func (w *Writer) submit(op Op, until time.Time, done func(OpResult, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return ErrClosed
	case w.queued >= w.cfg.Queue:
		w.stats.refused.Add(1)
		return ErrBusy
	}
	w.queued++
	w.inbox = append(w.inbox, &write{op, until, done})
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil
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
	d := newDispatcher(w)
	d.run(ctx)
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	d.accept()
	for _, x := range append(d.fill.group, d.pending...) {
		x.done(OpResult{}, ErrClosed)
	}
	return nil
}
