package state

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

const (
	responseQueue = 256
	watchRetry    = 200 * time.Millisecond // between attempts when etcd is away
	watchSilence  = 2 * time.Second        // without a word, after which etcd is asked for one; two that bring none end the stream
)

// Event is one change of one key.
type Event struct {
	Prefix      string // the one that is followed and that the key begins with
	Key         string
	Value       []byte // nil iff Deleted
	ModRevision int64
	Deleted     bool
}

// Batch is everything that happened to the prefixes up to Revision, since the batch before: whole transactions, in order.
type Batch struct {
	Revision int64
	// Dropped prefixes are not followed any more: what is known of them goes stale. To be taken note of first.
	Dropped []string
	// Listed prefixes have their complete contents among Events; what is not among them is gone. A prefix is listed when it is followed for the
	// first time, and after a compaction that overtook its watch.
	Listed []string
	Events []Event
}

// Watcher follows several prefixes as one, each with a watch of its own, all on one stream. Prefixes come and go (Add, Remove). It resumes when the
// connection comes back or the member that it asked falls silent, and lists a prefix again when the history that it needs was compacted.
//
// Everything up to a revision is there once etcd says so for the whole stream (a progress answer). Such an answer may have been made before a watch
// that we see created existed; so a prefix is listed after its watch was created: the listing is newer than any such answer.
type Watcher struct {
	client *clientv3.Client
	watch  pb.WatchClient
	fixed  []string
	page   int                   // keys per request of a listing
	hurry  func(key string) need // of a change; nil: each is told at once
	gap    atomic.Int64          // nanoseconds
	more   atomic.Bool           // deliver is to be called soon

	revision atomic.Int64 // delivered up to here
	lists    atomic.Uint64

	mu      sync.Mutex
	wanted  int64               // somebody waits for this revision
	advance chan struct{}       // closed and replaced when revision grows
	nudge   chan struct{}       // cap 1: wanted grew, or added changed
	added   map[string]struct{} // prefixes besides the fixed ones
	touched []string            // prefixes that were added or removed, for the follower to look at
}

// NewWatcher returns a watcher of the prefixes; it works while Run does. No prefix may contain another. watch is nil if client has a connection.
func NewWatcher(client *clientv3.Client, watch pb.WatchClient, prefixes ...string) *Watcher {
	if watch == nil {
		watch = pb.NewWatchClient(client.ActiveConnection())
	}
	return &Watcher{
		client: client, watch: watch, fixed: prefixes, page: listPage, advance: make(chan struct{}), nudge: make(chan struct{}, 1), added: map[string]struct{}{},
	}
}

// Add follows one more prefix. Its contents are in a batch soon.
func (w *Watcher) Add(prefix string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.added[prefix]; !ok {
		w.added[prefix] = struct{}{}
		w.touch(prefix)
	}
}

// Remove follows a prefix that was added no longer. A batch says from when on.
func (w *Watcher) Remove(prefix string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.added[prefix]; ok {
		delete(w.added, prefix)
		w.touch(prefix)
	}
}

func (w *Watcher) touch(prefix string) {
	w.touched = append(w.touched, prefix)
	w.poke()
}

func (w *Watcher) poke() {
	select {
	case w.nudge <- struct{}{}:
	default:
	}
}

// setGap is how long after a question etcd is asked another for changes alone that are of no hurry.
func (w *Watcher) setGap(gap time.Duration) { w.gap.Store(int64(gap)) }

// again has deliver called once more, soon, with what came meanwhile or with nothing: it has something left to do.
func (w *Watcher) again() {
	w.more.Store(true)
	w.poke()
}

// Revision is the revision up to which everything has been delivered; 0 before the first batch.
func (w *Watcher) Revision() int64 { return w.revision.Load() }

// Lists counts the listings of prefixes.
func (w *Watcher) Lists() uint64 { return w.lists.Load() }

// Wait returns when everything up to revision has been delivered.
func (w *Watcher) Wait(ctx context.Context, revision int64) error {
	for {
		w.mu.Lock()
		advance := w.advance
		done := w.revision.Load() >= revision
		w.wanted = max(w.wanted, revision)
		w.mu.Unlock()
		if done {
			return nil
		}
		w.poke()
		select {
		case <-advance:
		case <-ctx.Done():
			return fmt.Errorf("state: wait for revision %d: %w", revision, ctx.Err())
		}
	}
}

func (w *Watcher) delivered(revision int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revision.Store(revision)
	close(w.advance)
	w.advance = make(chan struct{})
}

// readerError is what deliver returned: it ends the watcher.
type readerError struct{ error }

func (e readerError) Unwrap() error { return e.error }

// Run follows until ctx ends (nil), deliver fails, or etcd is behind what was read of it (ErrRestored). deliver is called from one goroutine.
func (w *Watcher) Run(ctx context.Context, deliver func(Batch) error) error {
	m := newMerge(w.hurry, w.fixed...)
	w.mu.Lock()
	for p := range w.added {
		m.add(p, false)
	}
	w.touched = nil
	w.mu.Unlock()
	for ctx.Err() == nil {
		err := w.follow(ctx, m, deliver)
		if stop := (readerError{}); errors.As(err, &stop) {
			return stop.error
		}
		t := time.NewTimer(watchRetry)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

// plain hides a context's values from its String method: the server in this process writes to them meanwhile.
type plain struct{ context.Context }

func (plain) String() string { return "watch" }

// follow opens a stream and follows all prefixes on it, until an error.
func (w *Watcher) follow(ctx context.Context, m *merge, deliver func(Batch) error) error {
	key, seen := m.any(), m.revision
	g, ctx := errgroup.WithContext(clientv3.WithRequireLeader(ctx))
	stream, err := w.watch.Watch(plain{ctx}, grpc.MaxCallRecvMsgSize(math.MaxInt32))
	if err != nil {
		return err
	}
	responses, requests, lists := make(chan *pb.WatchResponse, responseQueue), make(chan *pb.WatchRequest), make(chan listing, 1)
	g.Go(func() error { return receive(ctx, stream, responses) })
	g.Go(func() error { return send(ctx, stream, requests) })
	g.Go(func() error { return w.verify(ctx, key, seen) })
	g.Go(func() error {
		f := follower{w: w, m: m, deliver: deliver, responses: responses, requests: requests, lists: lists, begin: g.Go, pacer: newPacer()}
		return f.run(ctx)
	})
	return g.Wait()
}

func receive(ctx context.Context, stream pb.Watch_WatchClient, to chan<- *pb.WatchResponse) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		select {
		case to <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func send(ctx context.Context, stream pb.Watch_WatchClient, from <-chan *pb.WatchRequest) error {
	for {
		select {
		case r := <-from:
			if err := stream.Send(r); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follower follows on one stream. It never waits for the stream to take a request: the server may be waiting for us to take a response.
type follower struct {
	w         *Watcher
	m         *merge
	deliver   func(Batch) error
	responses <-chan *pb.WatchResponse
	requests  chan<- *pb.WatchRequest
	lists     chan listing
	begin     func(func() error)

	outbox  []*pb.WatchRequest
	pacer   pacer
	listing bool // one is under way
	silent  int  // how often in a row watchSilence has passed without a response
}

var errSilent = errors.New("state: watch: etcd has fallen silent")

func (f *follower) run(ctx context.Context) error {
	f.outbox = f.m.restart()
	progress := time.NewTimer(0) // the time of the next question, or of impatience with the last
	defer progress.Stop()
	silence := time.NewTicker(watchSilence)
	defer silence.Stop()
	for {
		var out chan<- *pb.WatchRequest
		var first *pb.WatchRequest
		if len(f.outbox) > 0 {
			out, first = f.requests, f.outbox[0]
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case out <- first:
			f.outbox = f.outbox[1:]
		case r := <-f.responses:
			asked := f.m.asked
			if err := f.take(r); err != nil {
				return err
			}
			if asked && !f.m.asked {
				f.pacer.answer(time.Now())
			}
		case l := <-f.lists:
			f.listing = false
			f.m.contents(l)
		case <-f.w.nudge:
			f.members()
		case <-progress.C:
			if f.m.asked {
				f.m.asked = false
				f.pacer.expire()
			}
		case <-silence.C:
			if err := f.listen(); err != nil {
				return err
			}
		}
		f.list(ctx)
		b, ok := f.m.take()
		if !ok && f.w.more.Load() {
			b, ok = Batch{Revision: f.m.revision}, true
		}
		if ok {
			f.w.more.Store(false)
			if err := f.deliver(b); err != nil {
				return readerError{err}
			}
			f.w.delivered(b.Revision)
		}
		f.ask(progress)
	}
}

// ask asks etcd how far it is, if that is not known well enough, and it is time.
func (f *follower) ask(at *time.Timer) {
	need := f.m.lacks(f.w.target())
	if need == nothing {
		return
	}
	now := time.Now()
	if wait := f.pacer.wait(now, need == calmly, time.Duration(f.w.gap.Load())); wait > 0 {
		at.Reset(wait)
		return
	}
	f.m.asked = true
	f.outbox = append(f.outbox, askProgress())
	at.Reset(f.pacer.ask(now))
}

func askProgress() *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
}

// listen asks etcd for a word when it has said nothing for a while, and gives it up when it says nothing to that: a member that hangs keeps its
// connections, and gRPC finds it out after 13 s.
func (f *follower) listen() error {
	if len(f.responses) > 0 {
		return nil // it is us who are slow
	}
	if f.silent++; f.silent > 2 {
		return errSilent
	}
	f.outbox = append(f.outbox, askProgress())
	return nil
}

// take takes a response and those that have arrived by now: they go in the same batch.
func (f *follower) take(r *pb.WatchResponse) error {
	f.silent = 0
	for {
		again, err := f.m.response(r)
		if err != nil {
			return err
		}
		f.outbox = append(f.outbox, again...)
		select {
		case r = <-f.responses:
		default:
			return nil
		}
	}
}

// members follows the prefixes that were added and leaves those that were removed.
func (f *follower) members() {
	f.w.mu.Lock()
	touched := f.w.touched
	f.w.touched = nil
	is := make([]bool, len(touched))
	for i, p := range touched {
		_, is[i] = f.w.added[p]
	}
	f.w.mu.Unlock()
	for i, p := range touched {
		switch was := f.m.watches[p] != nil; {
		case is[i] && !was:
			f.outbox = append(f.outbox, f.m.create(f.m.add(p, false)))
		case !is[i] && was:
			if r := f.m.remove(p); r != nil {
				f.outbox = append(f.outbox, r)
			}
		}
	}
}

// list begins to list what was created, if no listing is under way.
func (f *follower) list(ctx context.Context) {
	if f.listing || len(f.m.unlisted) == 0 {
		return
	}
	n := min(len(f.m.unlisted), listTogether)
	some := slices.Clone(f.m.unlisted[:n])
	f.m.unlisted = f.m.unlisted[n:]
	prefixes := make([]string, n)
	for i, w := range some {
		prefixes[i] = w.prefix
	}
	f.listing = true
	f.begin(func() error {
		contents, revision, err := f.w.read(ctx, prefixes)
		if err != nil {
			return err
		}
		f.lists <- listing{some, contents, revision}
		return nil
	})
}

// target is the largest revision that somebody waits for.
func (w *Watcher) target() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wanted
}
