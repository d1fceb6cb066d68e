package p4rt

import (
	"context"
	"runtime"
	"sync"

	"google.golang.org/grpc/codes"
)

// WriterConfig sizes a Writer. Zero fields take the defaults.
type WriterConfig struct {
	InFlight int // Write RPCs under way at once; default 2
	Queue    int // updates that wait; default 65536
}

// Writer commits the updates of many goroutines in groups: while a Write is under way the next
// one fills, so that a busy writer sends large batches and an idle one sends at once.
//
//	Submit ─▶ queue (bounded) ─▶ dispatch: fill batch ─▶ InFlight workers: RPC ─▶ dispatch: done
//
// Submissions that have a key in common take effect one after the other, in order: the later one
// begins when the earlier one has ended, with all its stages. Of one submission, a stage is sent
// once every update of the stage before is acknowledged. Otherwise there is no order.
type Writer struct {
	s   *Session
	cfg WriterConfig

	mu     sync.Mutex
	queued int           // updates in the writer
	inbox  []*job        // submitted, not seen by dispatch yet
	room   chan struct{} // closed when queued falls; nil if nobody waits
	ended  bool

	wake chan struct{} // cap 1: the inbox is not empty
}

// job is one submission.
type job struct {
	stages  [][]Update
	done    func([]Result, error)
	results []Result // of all stages, in order
	err     error

	hashes  []uint64 // of the updates' keys, as results
	blocked int      // claims of earlier jobs on its keys
	waiters []*job   // whom it blocks; one with several keys in common more than once

	stage       int // being sent
	base        int // index in results of the stage's first update
	next, acked int // updates of the stage sent, answered
	failed      bool
}

// NewWriter returns a writer for a session; it does nothing until Run.
func NewWriter(s *Session, cfg WriterConfig) *Writer {
	if cfg.InFlight <= 0 {
		cfg.InFlight = 2
	}
	if s.cfg.Profile.Serial {
		cfg.InFlight = 1
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 1 << 16
	}
	return &Writer{s: s, cfg: cfg, wake: make(chan struct{}, 1)}
}

// Submit queues stages of updates and waits, until the context ends, while the queue is full.
// done gets the fate of each update, in the order of the stages put end to end, and the error of a
// call that failed. If an update of a stage fails (a delete that found nothing does not), later
// stages are not sent. done is called from Run's goroutine: it must not block, nor call Submit.
func (w *Writer) Submit(ctx context.Context, done func([]Result, error), stages ...[]Update) error {
	for {
		room, err := w.enqueue(done, stages, true)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TrySubmit is Submit that never waits: ErrQueueFull says that there is no room.
func (w *Writer) TrySubmit(done func([]Result, error), stages ...[]Update) error {
	_, err := w.enqueue(done, stages, false)
	return err
}

// Write submits and waits for the results. A context that ends leaves the updates' fate open.
func (w *Writer) Write(ctx context.Context, stages ...[]Update) ([]Result, error) {
	type answer struct {
		results []Result
		err     error
	}
	got := make(chan answer, 1)
	if err := w.Submit(ctx, func(r []Result, err error) { got <- answer{r, err} }, stages...); err != nil {
		return nil, err
	}
	select {
	case a := <-got:
		return a.results, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Queued is the number of updates that wait or are under way.
func (w *Writer) Queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queued
}

// enqueue returns a channel to wait on if there is no room. A submission larger than the whole
// queue is taken once the queue is empty.
func (w *Writer) enqueue(done func([]Result, error), stages [][]Update, wait bool) (<-chan struct{}, error) {
	n := 0
	for _, st := range stages {
		n += len(st)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return nil, ErrClosed
	}
	if w.queued > 0 && w.queued+n > w.cfg.Queue {
		if !wait {
			return nil, ErrQueueFull
		}
		if w.room == nil {
			w.room = make(chan struct{})
		}
		return w.room, nil
	}
	w.queued += n
	w.inbox = append(w.inbox, &job{stages: stages, done: done, results: make([]Result, n)})
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil, nil
}

// release makes room.
func (w *Writer) release(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queued -= n
	if w.room != nil {
		close(w.room)
		w.room = nil
	}
}

// flight is a batch with its updates' places in their jobs.
type flight struct {
	batch   *batch
	slots   []slot
	results []Result
	err     error
}

type slot struct {
	job    *job
	index  int // in job.results
	update Update
}

// Run sends until the context ends; what is queued then gets ErrClosed, what is under way its fate.
func (w *Writer) Run(ctx context.Context) error {
	d := &dispatcher{
		w: w, busy: map[uint64]struct{}{}, claims: map[uint64]*job{}, waits: map[*job]struct{}{}, hasher: w.s.newBatch(),
		send: make(chan *flight), back: make(chan *flight, w.cfg.InFlight),
	}
	var wg sync.WaitGroup
	for range w.cfg.InFlight {
		d.free = append(d.free, &flight{batch: w.s.newBatch()})
		wg.Go(func() {
			for f := range d.send {
				f.fly(ctx, w.s)
				d.back <- f
			}
		})
	}
	d.fill = d.take()
	d.loop(ctx)
	close(d.send)
	wg.Wait()
	return ctx.Err()
}

// fly makes the call.
func (f *flight) fly(ctx context.Context, s *Session) {
	f.results = append(f.results[:0], make([]Result, len(f.slots))...)
	t, err := s.readyTerm()
	if err == nil {
		err = f.batch.deliver(ctx, t, f.results, func(i int) Update { return f.slots[i].update })
	}
	f.err = err
}

// dispatcher is Run's goroutine: it alone touches jobs.
type dispatcher struct {
	w      *Writer
	ready  []*job              // with updates to send, oldest first
	head   int                 // of ready
	busy   map[uint64]struct{} // hashes of keys under way
	claims map[uint64]*job     // by hash of a key: the last job that has it and has not ended
	waits  map[*job]struct{}   // blocked jobs
	hasher *batch
	ended  bool
	free   []*flight
	flying int
	fill   *flight // being filled; nil if all are flying
	send   chan *flight
	back   chan *flight
}

func (d *dispatcher) take() *flight {
	if len(d.free) == 0 {
		return nil
	}
	f := d.free[len(d.free)-1]
	d.free = d.free[:len(d.free)-1]
	return f
}

func (d *dispatcher) loop(ctx context.Context) {
	for ctx.Err() == nil {
		full := d.pack()
		if !full && d.flying == 0 && d.fill != nil && len(d.fill.slots) > 0 {
			// Before a batch leaves that is not full, those who are about to submit may go first.
			runtime.Gosched()
			d.accept()
			full = d.pack()
		}
		if d.fill != nil && len(d.fill.slots) > 0 && (full || d.flying == 0) {
			// A worker is free: there are as many as flights.
			d.send <- d.fill
			d.flying++
			d.fill = d.take()
			continue
		}
		select {
		case <-ctx.Done():
		case <-d.w.wake:
			d.compact()
			d.accept()
		case f := <-d.back:
			d.land(f)
		}
	}
	for d.flying > 0 {
		d.land(<-d.back)
	}
	d.abandon()
}

// accept moves the inbox to the ready list.
func (d *dispatcher) accept() {
	d.w.mu.Lock()
	in := d.w.inbox
	d.w.inbox = nil
	d.w.mu.Unlock()
	for _, j := range in {
		d.claim(j)
		if j.blocked > 0 {
			d.waits[j] = struct{}{}
		} else {
			d.enter(j)
		}
	}
}

// claim has the job wait for every earlier one that has a key of its. Invalid updates get their result.
func (d *dispatcher) claim(j *job) {
	j.hashes = make([]uint64, 0, len(j.results))
	for _, st := range j.stages {
		for _, u := range st {
			if err := d.w.s.check(u); err != nil {
				j.results[len(j.hashes)] = Result{Outcome: Invalid, Code: codes.InvalidArgument, Message: err.Error()}
				j.hashes = append(j.hashes, 0)
				continue
			}
			h := d.hasher.hash(u.Entity)
			j.hashes = append(j.hashes, h)
			if before := d.claims[h]; before != nil && before != j {
				before.waiters = append(before.waiters, j)
				j.blocked++
			}
			d.claims[h] = j
		}
	}
}

// unclaim lets those go on that waited for the job.
func (d *dispatcher) unclaim(j *job) {
	for _, h := range j.hashes {
		if d.claims[h] == j {
			delete(d.claims, h)
		}
	}
	for _, w := range j.waiters {
		if w.blocked--; w.blocked == 0 {
			delete(d.waits, w)
			d.enter(w)
		}
	}
	j.waiters = nil
}

// enter readies the job's next stage that has updates, or finishes it.
func (d *dispatcher) enter(j *job) {
	for j.stage < len(j.stages) && len(j.stages[j.stage]) == 0 {
		j.stage++
	}
	if j.stage == len(j.stages) {
		d.finish(j)
		return
	}
	d.ready = append(d.ready, j)
}

// pack fills the batch from the ready list, oldest first, and stops at a key that is under way:
// that keeps the order of its updates. It reports whether waiting would add nothing.
func (d *dispatcher) pack() (full bool) {
	if d.fill == nil {
		return false
	}
	f := d.fill
	for d.head < len(d.ready) {
		j := d.ready[d.head]
		st := j.stages[j.stage]
		for j.next < len(st) {
			u := st[j.next]
			if r := j.results[j.base+j.next]; r.Outcome == Invalid {
				d.answer(j, j.base+j.next, u.Op, r)
				j.next++
				continue
			}
			h := j.hashes[j.base+j.next]
			if _, busy := d.busy[h]; busy || !f.batch.add(u, h) {
				return true
			}
			d.busy[h] = struct{}{}
			f.slots = append(f.slots, slot{j, j.base + j.next, u})
			j.next++
		}
		d.ready[d.head] = nil
		d.head++
		d.advance(j)
	}
	d.ready, d.head = d.ready[:0], 0
	return false
}

// compact lets go of the part of the ready list that was packed.
func (d *dispatcher) compact() {
	if d.head < 1024 || d.head < len(d.ready)/2 {
		return
	}
	n := copy(d.ready, d.ready[d.head:])
	clear(d.ready[n:])
	d.ready, d.head = d.ready[:n], 0
}

// answer notes the fate of one update.
func (d *dispatcher) answer(j *job, index int, op Op, r Result) {
	j.results[index] = r
	j.acked++
	if !r.OK() && (op != Delete || r.Outcome != NotFound) {
		j.failed = true
	}
}

// land takes a flight back and moves its jobs on.
func (d *dispatcher) land(f *flight) {
	d.flying--
	for h := range f.batch.keys {
		delete(d.busy, h)
	}
	for i, sl := range f.slots {
		if f.err != nil && sl.job.err == nil {
			sl.job.err = f.err
		}
		d.answer(sl.job, sl.index, sl.update.Op, f.results[i])
		d.advance(sl.job)
	}
	clear(f.slots)
	f.slots, f.err = f.slots[:0], nil
	f.batch.reset()
	if d.fill == nil {
		d.fill = f
	} else {
		d.free = append(d.free, f)
	}
}

// advance goes to the next stage once every update of this one is answered.
func (d *dispatcher) advance(j *job) {
	n := len(j.stages[j.stage])
	if j.acked < n || j.next < n {
		return
	}
	j.base += n
	j.stage++
	j.next, j.acked = 0, 0
	if j.failed || j.err != nil {
		j.stage = len(j.stages)
	}
	d.enter(j)
}

func (d *dispatcher) finish(j *job) {
	d.w.release(len(j.results))
	if j.done != nil {
		j.done(j.results, j.err)
	}
	if !d.ended {
		d.unclaim(j)
	}
}

// abandon answers what was never sent.
func (d *dispatcher) abandon() {
	d.w.mu.Lock()
	d.w.ended = true
	in := d.w.inbox
	d.w.inbox = nil
	d.w.mu.Unlock()
	d.ended = true
	seen := map[*job]bool{}
	end := func(j *job) {
		if j == nil || seen[j] {
			return
		}
		seen[j] = true
		if j.err == nil {
			j.err = ErrClosed
		}
		d.finish(j)
	}
	if d.fill != nil {
		for _, sl := range d.fill.slots {
			end(sl.job)
		}
	}
	for _, j := range d.ready[d.head:] {
		end(j)
	}
	for j := range d.waits {
		end(j)
	}
	for _, j := range in {
		end(j)
	}
}
