package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// sequence writes 1, 2, 3, … to one key, each on condition that it follows the one before, whatever happens to the database.
type sequence struct {
	key   string
	count atomic.Int64 // stored, as far as the writer was told
}

func (s *sequence) run(ctx context.Context, t *testing.T, w *Writer, c *clientv3.Client) {
	var n, rev int64 // stored, and at which revision
	doubt := false   // whether the last attempt was stored is not known
	for ctx.Err() == nil || doubt {
		doubt = false
		value := fmt.Sprint(n + 1)
		res, err := w.Do(context.WithoutCancel(ctx), Swap(s.key, []byte(value), rev))
		switch {
		case err == nil && res.Applied:
			n, rev = n+1, res.Revision
		case err == nil && string(res.Value) == value:
			n, rev = n+1, res.ModRevision // an attempt of which we were not told
		case err == nil:
			t.Errorf("%s is %q at %d, not %d at %d: something was lost or came twice", s.key, res.Value, res.ModRevision, n, rev)
			return
		case errors.Is(err, ErrUnknownOutcome):
			doubt = true // it may be stored after this look, too
			until(t, "read "+s.key, func(ctx context.Context) error {
				resp, err := c.Get(ctx, s.key)
				if err != nil {
					return err
				}
				if len(resp.Kvs) > 0 && string(resp.Kvs[0].Value) == value {
					n, rev, doubt = n+1, resp.Kvs[0].ModRevision, false
				}
				return nil
			})
		default:
			t.Errorf("write %s: %v", s.key, err)
			return
		}
		s.count.Store(n)
	}
}

// witness is a mirror that checks that each number of each sequence comes once, in order.
type witness struct {
	*mirror
	once sync.Once
	seen map[string]int64
}

func (w *witness) deliver(b Batch) error {
	w.once.Do(func() { w.seen = map[string]int64{} })
	for _, e := range b.Events {
		var n int64
		if _, err := fmt.Sscan(string(e.Value), &n); err != nil || !strings.Contains(e.Key, "/seq/") {
			continue
		}
		if listed := slices.Contains(b.Listed, e.Prefix); n != w.seen[e.Key]+1 && !listed || n < w.seen[e.Key] {
			w.t.Errorf("%s: %d came after %d (listed: %v)", e.Key, n, w.seen[e.Key], listed)
		}
		w.seen[e.Key] = n
	}
	err := w.mirror.deliver(b)
	if p1, p2 := w.data["/weft/p1/pair"], w.data["/weft/p2/pair"]; p1 != p2 {
		w.t.Errorf("torn transaction at %d: %q and %q", b.Revision, p1, p2)
	}
	return err
}

// load is what agents and operators do, all at once, on a cluster: writes that each follow from the one before, a watcher that sees each, networks
// applied in parts of two vports, and an edge that is to stay live.
type load struct {
	t         *testing.T
	client    *clientv3.Client
	writer    *Writer
	watcher   *Watcher
	witness   *witness
	store     *Store
	edge      *Registration
	live      chan struct{}
	lost      chan error
	sequences []*sequence
	applied   atomic.Int64 // parts
	stops     []func()     // of what writes
}

// dialled is a client; a cluster that is busy may take its time.
func dialled(t *testing.T, cfg ClientConfig) (c *clientv3.Client) {
	t.Helper()
	until(t, "a connection", func(ctx context.Context) (err error) {
		c, err = Dial(ctx, cfg)
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c
}

func startLoad(t *testing.T, cfg ClientConfig) *load {
	t.Helper()
	client := dialled(t, cfg)
	l := &load{t: t, client: client, writer: startWriter(t, clientv3.RetryKVClient(client), WriterConfig{}), live: make(chan struct{}, 8), lost: make(chan error, 8)}
	prefixes := []string{"/weft/p1/", "/weft/p2/"}
	l.watcher, l.witness = NewWatcher(client, nil, prefixes...), &witness{mirror: newMirror(t)}
	running(t, func(ctx context.Context) error { return l.watcher.Run(ctx, l.witness.deliver) })
	l.store, _ = openStore(t, Config{Client: cfg})
	apply(t, l.store, network)
	var err error
	if l.edge, err = l.store.RegisterEdge(edgeInfo("e1"), EdgeConfig{Live: func() { l.live <- struct{}{} }, Lost: func(err error) { l.lost <- err }}); err != nil {
		t.Fatal(err)
	}
	running(t, l.edge.Run)
	within(t, l.live)
	running(t, func(ctx context.Context) error { return l.store.Watch(ctx, l.whole) })
	for i := range 8 {
		s := &sequence{key: fmt.Sprintf("%sseq/%d", prefixes[i%2], i)}
		l.sequences = append(l.sequences, s)
		l.stops = append(l.stops, running(t, func(ctx context.Context) error { s.run(ctx, t, l.writer, client); return nil }))
	}
	l.stops = append(l.stops, running(t, l.pairs), running(t, l.apply))
	return l
}

// whole checks that a view has both vports of a part, or neither.
func (l *load) whole(c Change) {
	n := 0
	for range c.View.Topology.VPorts() {
		n++
	}
	if n%2 != 0 {
		l.t.Errorf("revision %d has half of what was applied at once: %d vports", c.View.Revision, n)
	}
	l.edge.Ack(c.View.Conf, nil)
}

// pairs writes two keys of two prefixes in one transaction, for the mirror to check.
func (l *load) pairs(ctx context.Context) error {
	for i := 0; ctx.Err() == nil; i++ {
		v := fmt.Sprint("pair ", i)
		tctx, cancel := context.WithTimeout(ctx, time.Second)
		_, err := l.client.Txn(tctx).Then(clientv3.OpPut("/weft/p1/pair", v), clientv3.OpPut("/weft/p2/pair", v)).Commit()
		cancel()
		breathe(ctx, err)
	}
	return nil
}

// apply applies parts, each until it is there.
func (l *load) apply(ctx context.Context) error {
	for i := 0; ctx.Err() == nil; {
		part := vportYAML(fmt.Sprintf("x%d", i), "bridge/web") + "---\n" + vportYAML(fmt.Sprintf("y%d", i), "bridge/web")
		objects := decode(l.t, part)
		tctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := l.store.Apply(tctx, objects)
		cancel()
		if err == nil {
			i++
			l.applied.Store(int64(i))
		}
		breathe(ctx, err)
	}
	return nil
}

// breathe keeps what failed at once from being tried again at once.
func breathe(ctx context.Context, err error) {
	if err != nil {
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// progress waits until everything has moved on, and returns how long that took.
func (l *load) progress(what string) time.Duration {
	l.t.Helper()
	began := time.Now()
	counts := make([]int64, len(l.sequences))
	for i, s := range l.sequences {
		counts[i] = s.count.Load()
	}
	applied, revision := l.applied.Load(), l.watcher.Revision()
	until(l.t, "progress: "+what, func(context.Context) error {
		for i, s := range l.sequences {
			if n := s.count.Load(); n < counts[i]+10 {
				return fmt.Errorf("%s is at %d, was at %d", s.key, n, counts[i])
			}
		}
		switch {
		case l.applied.Load() < applied+2:
			return errors.New("nothing is applied")
		case l.watcher.Revision() < revision+10:
			return fmt.Errorf("the watcher is at %d, was at %d", l.watcher.Revision(), revision)
		case l.store.View().Edges.Of("e1").Applied < revision:
			return errors.New("nothing is acknowledged")
		}
		return nil
	})
	return time.Since(began)
}

// held checks that the edge was not lost.
func (l *load) held(what string) {
	l.t.Helper()
	select {
	case err := <-l.lost:
		l.t.Errorf("%s: the edge was lost: %v", what, err)
	default:
	}
}

// check compares what was seen with what is stored, once the writers have ended.
func (l *load) check() {
	l.t.Helper()
	for _, stop := range l.stops {
		stop()
	}
	until(l.t, "what was seen is what is stored", func(ctx context.Context) error { // what was given up may still be stored
		want, rev := contents(l.t, l.client, "/weft/p1/", "/weft/p2/")
		if err := errors.Join(l.watcher.Wait(ctx, rev), l.store.WaitRevision(ctx, rev)); err != nil {
			return err
		}
		d := cmp.Diff(want, l.witness.snapshot()) + cmp.Diff(fromScratch(l.t, l.store), dump(l.store.View().Topology))
		for _, s := range l.sequences {
			if want[s.key] != fmt.Sprint(s.count.Load()) {
				d += fmt.Sprintf("%s is %s, %d were written\n", s.key, want[s.key], s.count.Load())
			}
		}
		if d != "" {
			return errors.New(d)
		}
		return nil
	})
	if got := l.store.View().Edges.IDs(); !slices.Equal(got, []string{"e1"}) {
		l.t.Errorf("live edges %v", got)
	}
}
