package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

const (
	partsQueue    = 256
	listPage      = 10_000                 // keys per range request
	progressRetry = 20 * time.Millisecond  // etcd drops a progress request while a watch catches up
	watchRetry    = 200 * time.Millisecond // between attempts when etcd is away
)

// Event is one change of one key.
type Event struct {
	Key         string
	Value       []byte // nil iff Deleted
	ModRevision int64
	Deleted     bool
}

// Batch is everything that happened to the watched prefixes up to Revision, since the batch before: whole transactions, in order.
type Batch struct {
	Revision int64
	// Reset: Events are the complete contents; what is not among them is gone. The first batch is one, and the one after a compaction
	// that overtook the watch.
	Reset  bool
	Events []Event
}

// Watcher follows several prefixes as one: it lists them all at one revision and watches from there, resumes when the
// connection comes back, and lists again when the history it needs was compacted.
type Watcher struct {
	client   *clientv3.Client
	prefixes []string

	revision atomic.Int64 // delivered up to here
	relists  atomic.Uint64

	mu      sync.Mutex
	wanted  int64         // somebody waits for this revision
	advance chan struct{} // closed and replaced when revision grows
	nudge   chan struct{} // wanted grew
}

// NewWatcher returns a watcher of the prefixes; it works while Run does. No prefix may contain another.
func NewWatcher(client *clientv3.Client, prefixes ...string) *Watcher {
	return &Watcher{client: client, prefixes: prefixes, advance: make(chan struct{}), nudge: make(chan struct{}, 1)}
}

// Revision is the revision up to which everything has been delivered; 0 before the first batch.
func (w *Watcher) Revision() int64 { return w.revision.Load() }

// Relists counts full listings, the first included.
func (w *Watcher) Relists() uint64 { return w.relists.Load() }

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
		select {
		case w.nudge <- struct{}{}:
		default:
		}
		select {
		case <-advance:
		case <-ctx.Done():
			return fmt.Errorf("state: wait for revision %d: %w", revision, ctx.Err())
		}
	}
}

// Run lists and follows until ctx ends or deliver fails. deliver is called from one goroutine.
func (w *Watcher) Run(ctx context.Context, deliver func(Batch) error) error {
	var stop error
	give := func(b Batch) error {
		if err := deliver(b); err != nil {
			stop = err
			return err
		}
		w.delivered(b.Revision)
		return nil
	}
	list := true
	for ctx.Err() == nil {
		var err error
		if list {
			err = w.list(ctx, give)
		}
		if err == nil {
			list = false
			err = w.follow(ctx, give)
		}
		if stop != nil {
			return stop
		}
		if errors.Is(err, rpctypes.ErrCompacted) {
			list = true
			continue
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

func (w *Watcher) delivered(revision int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revision.Store(revision)
	close(w.advance)
	w.advance = make(chan struct{})
}

// list reads all prefixes at one revision, page by page.
func (w *Watcher) list(ctx context.Context, give func(Batch) error) error {
	ctx = clientv3.WithRequireLeader(ctx)
	w.relists.Add(1)
	b := Batch{Reset: true}
	for _, prefix := range w.prefixes {
		end := clientv3.GetPrefixRangeEnd(prefix)
		for from := prefix; from != ""; {
			opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(listPage)}
			if b.Revision != 0 {
				opts = append(opts, clientv3.WithRev(b.Revision))
			}
			resp, err := w.client.Get(ctx, from, opts...)
			if err != nil {
				return err
			}
			if b.Revision == 0 {
				b.Revision = resp.Header.Revision
			}
			for _, kv := range resp.Kvs {
				b.Events = append(b.Events, Event{Key: string(kv.Key), Value: kv.Value, ModRevision: kv.ModRevision})
			}
			from = ""
			if resp.More && len(resp.Kvs) > 0 {
				from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
			}
		}
	}
	return give(b)
}

// part is an answer of one prefix's watch.
type part struct {
	prefix int
	resp   clientv3.WatchResponse
	closed bool
}

// follow watches from the delivered revision on, until an error.
//
// An event says how far its own prefix has got; the others learn by a progress answer, for which etcd must be asked.
// What is complete on all prefixes is delivered. Each watch has a stream of its own: on a shared one, an answer that was made
// before the second watch existed can arrive after it was created, and then claims progress that it hasn't made.
func (w *Watcher) follow(ctx context.Context, give func(Batch) error) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	parts := make(chan part, partsQueue) // joins what comes while a batch is delivered; etcd's client queues beyond
	m := newMerge(len(w.prefixes), w.revision.Load())
	ask := make([]chan struct{}, len(w.prefixes))
	for i, prefix := range w.prefixes {
		ask[i] = make(chan struct{}, 1)
		// etcd's client gives watches of equal metadata one stream.
		own := metadata.AppendToOutgoingContext(ctx, "weft-watch", fmt.Sprintf("%p-%s", w, prefix))
		wg.Go(func() { w.watchPrefix(own, i, prefix, m.revision+1, parts) })
		wg.Go(func() { w.requestProgress(own, ask[i]) })
	}
	retry := time.NewTimer(progressRetry)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p := <-parts:
			if err := m.add(p); err != nil {
				return err
			}
		case <-w.nudge:
		case <-retry.C:
			clear(m.asked)
		}
		for more := true; more; { // what has arrived already goes in the same batch
			select {
			case p := <-parts:
				if err := m.add(p); err != nil {
					return err
				}
			default:
				more = false
			}
		}
		if b, ok := m.take(); ok {
			if err := give(b); err != nil {
				return err
			}
		}
		if late := m.late(w.target()); len(late) > 0 {
			for _, i := range late {
				select {
				case ask[i] <- struct{}{}:
				default:
				}
			}
			retry.Reset(progressRetry)
		}
	}
}

// target is the largest revision that somebody waits for.
func (w *Watcher) target() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wanted
}

// requestProgress asks etcd how far the stream of ctx has got, whenever told to. An answer may fail to come: the follower tells again.
func (w *Watcher) requestProgress(ctx context.Context, ask <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ask:
			_ = w.client.RequestProgress(ctx)
		}
	}
}

// watchPrefix passes on what one prefix's watch says.
func (w *Watcher) watchPrefix(ctx context.Context, i int, prefix string, from int64, parts chan<- part) {
	for resp := range w.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(from), clientv3.WithProgressNotify()) {
		select {
		case parts <- part{prefix: i, resp: resp}:
		case <-ctx.Done():
			return
		}
	}
	select {
	case parts <- part{prefix: i, closed: true}:
	case <-ctx.Done():
	}
}

// merge puts the watches of several prefixes back in the order of revisions.
type merge struct {
	at       []int64 // per prefix: complete up to here
	asked    []bool  // per prefix: a progress answer is on its way
	revision int64   // delivered
	pending  []Event // beyond revision, in order per prefix
}

func newMerge(prefixes int, revision int64) *merge {
	m := &merge{at: make([]int64, prefixes), asked: make([]bool, prefixes), revision: revision}
	for i := range m.at {
		m.at[i] = revision
	}
	return m
}

// late returns the prefixes that keep us from delivering what has come and what is wanted, and haven't been asked yet.
func (m *merge) late(wanted int64) []int {
	if len(m.pending) > 0 {
		wanted = max(wanted, m.pending[len(m.pending)-1].ModRevision)
	}
	var out []int
	for i, at := range m.at {
		if at < wanted && !m.asked[i] {
			m.asked[i] = true
			out = append(out, i)
		}
	}
	return out
}

var errWatchClosed = errors.New("state: watch ended")

func (m *merge) add(p part) error {
	if p.closed {
		return errWatchClosed
	}
	if err := p.resp.Err(); err != nil {
		return err
	}
	if p.resp.IsProgressNotify() {
		m.at[p.prefix] = max(m.at[p.prefix], p.resp.Header.Revision)
		m.asked[p.prefix] = false
	}
	for _, e := range p.resp.Events {
		// The header's revision is the server's, which may be ahead of the events of a watch that catches up.
		m.at[p.prefix] = max(m.at[p.prefix], e.Kv.ModRevision)
		ev := Event{Key: string(e.Kv.Key), ModRevision: e.Kv.ModRevision, Deleted: e.Type == mvccpb.Event_DELETE}
		if !ev.Deleted {
			ev.Value = e.Kv.Value
		}
		m.pending = append(m.pending, ev)
	}
	return nil
}

// take returns what is complete on all prefixes, if that is more than before.
func (m *merge) take() (Batch, bool) {
	low := slices.Min(m.at)
	if low <= m.revision {
		return Batch{}, false
	}
	m.revision = low
	slices.SortStableFunc(m.pending, func(a, b Event) int { return int(a.ModRevision - b.ModRevision) })
	n := len(m.pending)
	if i := slices.IndexFunc(m.pending, func(e Event) bool { return e.ModRevision > low }); i >= 0 {
		n = i
	}
	b := Batch{Revision: low, Events: slices.Clone(m.pending[:n])}
	m.pending = append(m.pending[:0], m.pending[n:]...)
	return b, true
}
