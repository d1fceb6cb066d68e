package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
)

// mirror is what a reader of a Watcher knows, checked for order and torn transactions.
type mirror struct {
	t        *testing.T
	mu       sync.Mutex
	data     map[string]string
	revision int64
	listed   int
	events   int
}

func newMirror(t *testing.T) *mirror { return &mirror{t: t, data: map[string]string{}} }

func (m *mirror) deliver(b Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.Revision < m.revision || b.Revision == m.revision && len(b.Listed)+len(b.Dropped) == 0 {
		m.t.Errorf("revision %d after %d", b.Revision, m.revision)
	}
	for _, p := range slices.Concat(b.Dropped, b.Listed) {
		maps.DeleteFunc(m.data, func(k, _ string) bool { return strings.HasPrefix(k, p) })
	}
	m.listed += len(b.Listed)
	last := int64(0)
	for _, e := range b.Events {
		m.events++
		if !strings.HasPrefix(e.Key, e.Prefix) || e.ModRevision > b.Revision {
			m.t.Errorf("event of %s (%s) at %d in batch to %d", e.Key, e.Prefix, e.ModRevision, b.Revision)
		}
		if !slices.Contains(b.Listed, e.Prefix) {
			if e.ModRevision < last || e.ModRevision <= m.revision {
				m.t.Errorf("event of %d after %d in batch %d…%d", e.ModRevision, last, m.revision, b.Revision)
			}
			last = e.ModRevision
		}
		if e.Deleted {
			delete(m.data, e.Key)
		} else {
			m.data[e.Key] = string(e.Value)
		}
	}
	m.revision = b.Revision
	if m.data["/p1/pair"] != m.data["/p2/pair"] {
		m.t.Errorf("torn transaction at %d: %q and %q", b.Revision, m.data["/p1/pair"], m.data["/p2/pair"])
	}
	return nil
}

func (m *mirror) snapshot() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.data)
}

func contents(t *testing.T, c *clientv3.Client, prefixes ...string) (map[string]string, int64) {
	t.Helper()
	out := map[string]string{}
	var ops []clientv3.Op
	for _, p := range prefixes {
		ops = append(ops, clientv3.OpGet(p, clientv3.WithPrefix()))
	}
	resp, err := c.Txn(t.Context()).Then(ops...).Commit()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resp.Responses {
		for _, kv := range r.GetResponseRange().Kvs {
			out[string(kv.Key)] = string(kv.Value)
		}
	}
	return out, resp.Header.Revision
}

func TestWatcherFollowsWholeTransactions(t *testing.T) {
	e, inProcess := startEtcd(t)
	socket, err := Dial(t.Context(), ClientConfig{Endpoints: e.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	for name, c := range map[string]*clientv3.Client{"in process": inProcess, "socket": socket} {
		t.Run(name, func(t *testing.T) {
			prefixes := []string{"/p1/", "/p2/", "/quiet/"}
			var watch pb.WatchClient
			if c == inProcess {
				watch = e.watchClient()
			}
			w := NewWatcher(c, watch, prefixes...)
			m := newMirror(t)
			stop := running(t, func(ctx context.Context) error { return w.Run(ctx, m.deliver) })
			var wg sync.WaitGroup
			for g := range 8 {
				wg.Go(func() {
					for i := range 50 {
						v := fmt.Sprintf("%d-%d", g, i)
						ops := []clientv3.Op{clientv3.OpPut("/p1/pair", v), clientv3.OpPut("/p2/pair", v), clientv3.OpPut(fmt.Sprintf("/p1/%d/%d", g, i%7), v)}
						if i%3 == 2 {
							ops = append(ops, clientv3.OpDelete(fmt.Sprintf("/p1/%d/%d", g, (i-1)%7)))
						}
						if _, err := inProcess.Txn(t.Context()).Then(ops...).Commit(); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			want, rev := contents(t, c, prefixes...)
			if err := w.Wait(t.Context(), rev); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, m.snapshot()); d != "" {
				t.Error(d)
			}
			// A write elsewhere is waited for too: nothing that we watch changes, only the revision.
			resp, err := c.Put(t.Context(), "/elsewhere", "x")
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Wait(t.Context(), resp.Header.Revision); err != nil {
				t.Fatal(err)
			}
			stop()
			if m.listed != 3 || w.Lists() != 3 {
				t.Errorf("%d listings, %d told, want one of each prefix", w.Lists(), m.listed)
			}
		})
	}
}

func TestWatcherListsInPages(t *testing.T) {
	e, c := startEtcd(t)
	var ops []clientv3.Op
	for i := range listPage + 5 {
		if ops = append(ops, clientv3.OpPut(fmt.Sprintf("/p1/%06d", i), "v")); len(ops) == 1000 || i == listPage+4 {
			if _, err := c.Txn(t.Context()).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
			ops = nil
		}
	}
	first := make(chan Batch, 1)
	running(t, func(ctx context.Context) error {
		return NewWatcher(c, e.watchClient(), "/p0/", "/p1/").Run(ctx, func(b Batch) error { first <- b; return nil })
	})
	if b := within(t, first); len(b.Events) != listPage+5 || len(b.Listed) != 2 {
		t.Errorf("first batch has %d events", len(b.Events))
	}
}

func TestWatcherEndsWithItsReader(t *testing.T) {
	e, c := startEtcd(t)
	boom := errors.New("boom")
	if err := NewWatcher(c, e.watchClient(), "/p1/").Run(t.Context(), func(Batch) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

// gate is a TCP relay in front of a socket that can be shut: a network that fails.
type gate struct {
	l      net.Listener
	target string
	mu     sync.Mutex
	shut   bool
	conns  []net.Conn
	wg     sync.WaitGroup
}

func newGate(t *testing.T, target string) *gate {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{l: l, target: target}
	g.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.relay(c)
		}
	})
	t.Cleanup(func() { l.Close(); g.set(true); g.wg.Wait() })
	return g
}

func (g *gate) relay(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	up, err := net.Dial("unix", g.target)
	if g.shut || err != nil {
		c.Close()
		if err == nil {
			up.Close()
		}
		return
	}
	g.conns = append(g.conns, c, up)
	for _, p := range [][2]net.Conn{{c, up}, {up, c}} {
		g.wg.Go(func() {
			buf := make([]byte, 16<<10)
			for {
				n, err := p[0].Read(buf)
				if _, werr := p[1].Write(buf[:n]); err != nil || werr != nil {
					p[0].Close()
					p[1].Close()
					return
				}
			}
		})
	}
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for _, c := range g.conns {
			c.Close()
		}
		g.conns = nil
	}
}

func TestWatcherResumesAndRelists(t *testing.T) {
	for name, compact := range map[string]bool{"resume": false, "compacted": true} {
		t.Run(name, func(t *testing.T) {
			e, direct := startEtcd(t)
			g := newGate(t, e.etcd.Clients[0].Addr().String())
			remote, err := Dial(t.Context(), ClientConfig{Endpoints: []string{"http://" + g.l.Addr().String()}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { remote.Close() })
			put := func(k, v string) int64 {
				t.Helper()
				resp, err := direct.Put(t.Context(), k, v)
				if err != nil {
					t.Fatal(err)
				}
				return resp.Header.Revision
			}
			put("/p1/gone", "1")
			w := NewWatcher(remote, nil, "/p1/", "/p2/")
			m := newMirror(t)
			stop := running(t, func(ctx context.Context) error { return w.Run(ctx, m.deliver) })
			if err := w.Wait(t.Context(), put("/p1/a", "1")); err != nil {
				t.Fatal(err)
			}
			g.set(true)
			if _, err := direct.Delete(t.Context(), "/p1/gone"); err != nil {
				t.Fatal(err)
			}
			put("/p1/a", "2")
			rev := put("/p2/b", "3")
			if compact {
				if _, err := direct.Compact(t.Context(), rev, clientv3.WithCompactPhysical()); err != nil {
					t.Fatal(err)
				}
			}
			g.set(false)
			if err := w.Wait(t.Context(), rev); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(map[string]string{"/p1/a": "2", "/p2/b": "3"}, m.snapshot()); d != "" {
				t.Error(d)
			}
			if err := w.Wait(t.Context(), put("/p2/c", "4")); err != nil {
				t.Fatal(err)
			}
			stop()
			if want := map[bool]int{false: 2, true: 4}[compact]; m.listed != want {
				t.Errorf("%d prefixes listed, want %d", m.listed, want)
			}
		})
	}
}

// tapped is a client whose streams a test can break.
type tapped struct {
	pb.WatchClient
	began chan *tappedStream
}

func (w *tapped) Watch(ctx context.Context, opts ...grpc.CallOption) (pb.Watch_WatchClient, error) {
	ctx, cancel := context.WithCancel(ctx)
	s, err := w.WatchClient.Watch(ctx, opts...)
	t := &tappedStream{s, cancel, make(chan struct{}, 100)}
	w.began <- t
	return t, err
}

// tappedStream tells of each answer to a question how far etcd is.
type tappedStream struct {
	pb.Watch_WatchClient
	cut      context.CancelFunc
	answered chan struct{}
}

func (s *tappedStream) Recv() (*pb.WatchResponse, error) {
	r, err := s.Watch_WatchClient.Recv()
	if err == nil && r.WatchId == clientv3.InvalidWatchID {
		s.answered <- struct{}{}
	}
	return r, err
}

// A stream that was resumed while nothing happens is not taken for one of a member that hangs.
func TestWatcherResumesQuietly(t *testing.T) {
	e, c := startEtcd(t)
	tap := &tapped{e.watchClient(), make(chan *tappedStream, 100)}
	w := NewWatcher(c, tap, "/p1/", "/p2/")
	m := newMirror(t)
	stop := running(t, func(ctx context.Context) error { return w.Run(ctx, m.deliver) })
	resp, err := c.Put(t.Context(), "/p1/a", "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Wait(t.Context(), resp.Header.Revision); err != nil {
		t.Fatal(err)
	}
	within(t, tap.began).cut()
	resumed := within(t, tap.began)
	defer resumed.cut()
	select {
	case <-resumed.answered:
	case again := <-tap.began:
		again.cut()
		t.Error("a stream is given up though etcd does not hang")
	}
	stop()
	if m.events != 1 || m.listed != 2 {
		t.Errorf("%d events, %d prefixes listed", m.events, m.listed)
	}
}

func TestWatcherSurvivesServerRestart(t *testing.T) {
	cfg := EmbeddedConfig{Dir: filepath.Join(t.TempDir(), "d"), FastTimers: true}
	e, err := StartEmbedded(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Dial(t.Context(), ClientConfig{Endpoints: e.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	w := NewWatcher(c, nil, "/p1/", "/p2/")
	m := newMirror(t)
	stop := running(t, func(ctx context.Context) error { return w.Run(ctx, m.deliver) })
	for i := range 2 {
		resp, err := e.Client().Put(t.Context(), fmt.Sprintf("/p1/%d", i), "v")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Wait(t.Context(), resp.Header.Revision); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			e.Close()
			if e, err = StartEmbedded(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	if got := slices.Sorted(maps.Keys(m.data)); !slices.Equal(got, []string{"/p1/0", "/p1/1"}) || m.listed != 2 {
		t.Errorf("keys %v, %d prefixes listed", got, m.listed)
	}
	c.Close()
	e.Close()
}

// Watches that begin while others write must not skip what was written meanwhile.
func TestWatcherStartsUnderLoad(t *testing.T) {
	e, c := startEtcd(t)
	prefixes := []string{"/p1/", "/p2/", "/q3/", "/q4/"}
	stop := running(t, func(ctx context.Context) error {
		pace := rate.NewLimiter(1000, 100) // on a busy machine watchers would never have seen as much as is written
		for i := 0; pace.Wait(ctx) == nil; i++ {
			v := fmt.Sprint(i)
			if _, err := c.Txn(context.WithoutCancel(ctx)).Then(clientv3.OpPut("/p1/pair", v), clientv3.OpPut("/p2/pair", v), clientv3.OpPut(fmt.Sprintf("/q%d/%d", i%2+3, i%50), v)).Commit(); err != nil {
				return err
			}
		}
		return nil
	})
	for range 25 {
		w := NewWatcher(c, e.watchClient(), prefixes...)
		m := newMirror(t)
		end := running(t, func(ctx context.Context) error { return w.Run(ctx, m.deliver) })
		if err := w.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := w.Wait(t.Context(), w.Revision()+100); err != nil {
			t.Fatal(err)
		}
		end()
		if t.Failed() {
			break
		}
	}
	stop()
}
