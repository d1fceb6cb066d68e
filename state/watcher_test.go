package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// mirror is what a reader of a Watcher knows, checked for order and torn transactions.
type mirror struct {
	t        *testing.T
	mu       sync.Mutex
	data     map[string]string
	revision int64
	resets   int
	events   int
}

func (m *mirror) deliver(b Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.Revision <= m.revision && !(b.Reset && b.Revision == m.revision) {
		m.t.Errorf("revision %d after %d", b.Revision, m.revision)
	}
	if b.Reset {
		m.data = map[string]string{}
		m.resets++
	}
	last := int64(0)
	for _, e := range b.Events {
		m.events++
		if !b.Reset && (e.ModRevision < last || e.ModRevision <= m.revision || e.ModRevision > b.Revision) {
			m.t.Errorf("event of %d after %d in batch %d…%d", e.ModRevision, last, m.revision, b.Revision)
		}
		last = e.ModRevision
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
			w := NewWatcher(c, prefixes...)
			m := &mirror{t: t}
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
			if m.resets != 1 || w.Relists() != 1 {
				t.Errorf("%d resets, %d listings, want one", m.resets, w.Relists())
			}
		})
	}
}

func TestWatcherListsInPages(t *testing.T) {
	_, c := startEtcd(t)
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
		return NewWatcher(c, "/p0/", "/p1/").Run(ctx, func(b Batch) error { first <- b; return nil })
	})
	if b := within(t, first); len(b.Events) != listPage+5 || !b.Reset {
		t.Errorf("first batch has %d events", len(b.Events))
	}
}

func TestWatcherEndsWithItsReader(t *testing.T) {
	_, c := startEtcd(t)
	boom := errors.New("boom")
	if err := NewWatcher(c, "/p1/").Run(t.Context(), func(Batch) error { return boom }); !errors.Is(err, boom) {
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
			w := NewWatcher(remote, "/p1/", "/p2/")
			m := &mirror{t: t}
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
			if want := map[bool]int{false: 1, true: 2}[compact]; m.resets != want {
				t.Errorf("%d listings, want %d", m.resets, want)
			}
		})
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
	w := NewWatcher(c, "/p1/", "/p2/")
	m := &mirror{t: t}
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
	if got := slices.Sorted(maps.Keys(m.data)); !slices.Equal(got, []string{"/p1/0", "/p1/1"}) || m.resets != 1 {
		t.Errorf("keys %v, %d listings", got, m.resets)
	}
	c.Close()
	e.Close()
}

func TestMergeKeepsOrder(t *testing.T) {
	ev := func(rev int64) Event { return Event{ModRevision: rev} }
	m := newMerge(2, 10)
	if _, ok := m.take(); ok {
		t.Error("took nothing new")
	}
	m.pending, m.at = []Event{ev(13), ev(11), ev(12), ev(14)}, []int64{12, 14}
	b, ok := m.take()
	if d := cmp.Diff(Batch{Revision: 12, Events: []Event{ev(11), ev(12)}}, b); !ok || d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Event{ev(13), ev(14)}, m.pending); d != "" {
		t.Error(d)
	}
	if late := m.late(0); !slices.Equal(late, []int{0}) {
		t.Errorf("late: %v, want the first", late)
	}
	if late := m.late(0); late != nil {
		t.Errorf("asked already: %v", late)
	}
	if late := m.late(15); !slices.Equal(late, []int{1}) {
		t.Errorf("late for 15: %v, want the second", late)
	}
}

// The header of a watch that catches up has the server's revision: no claim that everything up to it has come.
func TestMergeTrustsEventsNotHeaders(t *testing.T) {
	m := newMerge(1, 10)
	resp := clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: 99}, Events: []*clientv3.Event{{Kv: &mvccpb.KeyValue{Key: []byte("k"), ModRevision: 12}}}}
	if err := m.add(part{resp: resp}); err != nil {
		t.Fatal(err)
	}
	if b, ok := m.take(); !ok || b.Revision != 12 {
		t.Errorf("batch up to %d, want 12", b.Revision)
	}
	resp.Events = nil // a progress answer
	if err := m.add(part{resp: resp}); err != nil {
		t.Fatal(err)
	}
	if b, ok := m.take(); !ok || b.Revision != 99 {
		t.Errorf("batch up to %d, want 99", b.Revision)
	}
}

// Watches that begin while others write must not skip what was written meanwhile.
func TestWatcherStartsUnderLoad(t *testing.T) {
	_, c := startEtcd(t)
	prefixes := []string{"/p1/", "/p2/", "/q3/", "/q4/"}
	stop := running(t, func(ctx context.Context) error {
		for i := 0; ctx.Err() == nil; i++ {
			v := fmt.Sprint(i)
			if _, err := c.Txn(context.WithoutCancel(ctx)).Then(clientv3.OpPut("/p1/pair", v), clientv3.OpPut("/p2/pair", v), clientv3.OpPut(fmt.Sprintf("/q%d/%d", i%2+3, i%50), v)).Commit(); err != nil {
				return err
			}
		}
		return nil
	})
	for range 25 {
		w := NewWatcher(c, prefixes...)
		m := &mirror{t: t}
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
