package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// Many goroutines swap few keys: every increment counts once, and groups are shared.
func TestWriterSwaps(t *testing.T) {
	e, c := startEtcd(t)
	w := startWriter(t, e.kvClient(), WriterConfig{})
	const goroutines, keys, increments = 32, 3, 20
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			key := fmt.Sprintf("/weft/tbl/x/%d", g%keys)
			for range increments {
				op := Create(key, []byte("1"))
				for {
					res, err := w.Do(t.Context(), op)
					if err != nil {
						t.Error(err)
						return
					}
					if res.Applied {
						break
					}
					n, _ := strconv.Atoi(string(res.Value))
					op = Swap(key, []byte(strconv.Itoa(n+1)), res.ModRevision)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	resp, err := c.Get(t.Context(), "/weft/tbl/x/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		n, _ := strconv.Atoi(string(kv.Value))
		total += n
	}
	if total != goroutines*increments {
		t.Errorf("%d increments stored, %d made", total, goroutines*increments)
	}
	if s := w.Stats(); s.Txns > s.Ops || s.Ops < goroutines*increments || s.Failed != 0 {
		t.Errorf("stats %+v", s)
	}
}

// blockedKV holds every transaction until released, and counts.
type blockedKV struct {
	transactor
	entered chan struct{}
	release chan struct{}
}

func (b *blockedKV) Txn(ctx context.Context, r *pb.TxnRequest, opts ...grpc.CallOption) (*pb.TxnResponse, error) {
	b.entered <- struct{}{}
	<-b.release
	return b.transactor.Txn(ctx, r, opts...)
}

func TestWriterGroupsInOrder(t *testing.T) {
	e, _ := startEtcd(t)
	kv := &blockedKV{transactor: e.kvClient(), entered: make(chan struct{}, 100), release: make(chan struct{})}
	w := startWriter(t, kv, WriterConfig{InFlight: 1, Queue: 8, MaxOps: 4})
	type answer struct {
		i   int
		res OpResult
		err error
	}
	answers := make(chan answer, 100)
	submit := func(i int, op Op) error {
		return w.Submit(op, func(res OpResult, err error) { answers <- answer{i, res, err} })
	}
	if err := submit(0, Put("/a", []byte("0"))); err != nil {
		t.Fatal(err)
	}
	within(t, kv.entered) // the first is under way by itself
	ops := []Op{
		Put("/a", []byte("1")), Create("/a2", []byte("x")), Create("/b", nil), Put("/a", []byte("2")), // the second write of /a goes to the next group
		Remove("/a", 1), Put("/c", []byte("1")), Put("/d", nil), Op{Key: "/e", Expect: anyRevision, Guard: "/absent"},
	}
	for i, op := range ops {
		if err := submit(i+1, op); err != nil {
			t.Fatal(err)
		}
	}
	if err := submit(99, Put("/z", nil)); !errors.Is(err, ErrBusy) {
		t.Errorf("queue of 8 took a ninth: %v", err)
	}
	close(kv.release)
	got := map[int]OpResult{}
	for range len(ops) + 1 {
		a := within(t, answers)
		if a.err != nil {
			t.Errorf("op %d: %v", a.i, a.err)
		}
		got[a.i] = a.res
	}
	for i, want := range []bool{true, true, true, true, true, false, true, true, false} {
		if got[i].Applied != want {
			t.Errorf("op %d: applied %v, want %v", i, got[i].Applied, want)
		}
	}
	if !got[8].GuardGone {
		t.Error("op 8: guard is absent, not told")
	}
	if string(got[5].Value) != "2" || got[5].ModRevision != got[4].Revision {
		t.Errorf("op 5: told %q of %d, want the second write of %d", got[5].Value, got[5].ModRevision, got[4].Revision)
	}
	if got[2].Revision != got[3].Revision || got[1].Revision >= got[4].Revision || got[4].Revision > got[5].Revision {
		t.Errorf("groups: revisions %d and %d, of one key %d, %d and %d", got[2].Revision, got[3].Revision, got[1].Revision, got[4].Revision, got[5].Revision)
	}
	if s := w.Stats(); s.Refused != 1 || s.Conflicts != 2 || s.Ops != 9 {
		t.Errorf("stats %+v", s)
	}
}

// slowKV takes five seconds for a transaction, all of which succeed, and keeps them.
type slowKV struct{ asked []*pb.TxnRequest }

func (s *slowKV) Txn(_ context.Context, r *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	s.asked = append(s.asked, r)
	time.Sleep(5 * time.Second)
	return &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: int64(len(s.asked))}, Succeeded: true}, nil
}

// What is not to be sent after a time is not, be it that it waits in a group by then; what waited for its key is sent.
func TestWriterTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := &slowKV{}
		w := startWriter(t, kv, WriterConfig{InFlight: 1})
		errs := map[string]error{}
		submit := func(name, key string, within time.Duration) {
			until := time.Time{}
			if within > 0 {
				until = time.Now().Add(within)
			}
			if err := w.submit(Put(key, []byte(name)), until, func(_ OpResult, err error) { errs[name] = err }); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		submit("first", "/a", 0)
		submit("late", "/b", time.Second)
		submit("same key", "/b", 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		for name, want := range map[string]error{"first": nil, "late": context.DeadlineExceeded, "same key": nil} {
			if err, answered := errs[name]; !answered || !errors.Is(err, want) {
				t.Errorf("%s: answered %v, %v; want %v", name, answered, err, want)
			}
		}
		for _, r := range kv.asked {
			for _, op := range r.Success {
				if string(op.GetRequestPut().GetValue()) == "late" {
					t.Error("what was too late was sent")
				}
			}
		}
		if w.queued != 0 {
			t.Errorf("%d are in the queue", w.queued)
		}
	})
}

// A group has no more conditions than it may, however often it is looked at, and each check once, be it that of one of several terms.
func TestWriterConditions(t *testing.T) {
	w := NewWriter(nil, WriterConfig{MaxParts: 10})
	d := newDispatcher(w)
	add := func(key string) {
		op := Put(key, nil)
		for i := range 6 {
			op.Also = append(op.Also, Also{Key: fmt.Sprintf("%s/%d", key, i), Check: true, Expect: 1})
		}
		d.pending = append(d.pending, &write{op: op})
	}
	for i := range 4 {
		add(fmt.Sprint("/", i))
	}
	for range 5 {
		d.pack()
	}
	if n := len(together(d.fill.group).Compare); n != 6 {
		t.Errorf("a group has %d conditions, want those of one write", n)
	}

	d = newDispatcher(w)
	for i := range 10 {
		op := Put(fmt.Sprint("/", i), nil)
		op.fence = Fence{Edge: fmt.Sprint("e", i%2), Term: 7}
		d.pending = append(d.pending, &write{op: op})
	}
	d.pack()
	if n := len(together(d.fill.group).Compare); len(d.fill.group) != 10 || n != 2 {
		t.Errorf("a group of %d writes in two terms has %d conditions", len(d.fill.group), n)
	}
}

// One bad operation doesn't fail its neighbours.
func TestWriterSplitsRefusedGroup(t *testing.T) {
	e, _ := startEtcd(t)
	kv := &blockedKV{transactor: e.kvClient(), entered: make(chan struct{}, 100), release: make(chan struct{})}
	w := startWriter(t, kv, WriterConfig{InFlight: 1, MaxOps: 16})
	errs := make([]error, 10)
	var wg sync.WaitGroup
	wg.Add(len(errs))
	for i := range errs {
		op := Put(fmt.Sprintf("/k%d", i), []byte("v"))
		if i == 6 {
			op.Lease = 12345 // no such lease
		}
		if err := w.Submit(op, func(_ OpResult, err error) { errs[i] = err; wg.Done() }); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			within(t, kv.entered)
		}
	}
	close(kv.release)
	wg.Wait()
	for i, err := range errs {
		if (err != nil) != (i == 6) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("op %d: %v", i, err)
		}
	}
}

func TestWriterEnds(t *testing.T) {
	e, _ := startEtcd(t)
	w := NewWriter(e.kvClient(), WriterConfig{InFlight: 1})
	answer := make(chan error, 1)
	if err := w.Submit(Put("/a", nil), func(_ OpResult, err error) { answer <- err }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := within(t, answer); !errors.Is(err, ErrClosed) {
		t.Errorf("queued at the end: %v, want ErrClosed", err)
	}
	if _, err := w.Do(t.Context(), Put("/a", nil)); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v, want ErrClosed", err)
	}
}

func TestWriterUnknownOutcome(t *testing.T) {
	e, _ := startEtcd(t)
	w := startWriter(t, e.kvClient(), WriterConfig{})
	if _, err := w.Do(t.Context(), Put("/a", nil)); err != nil {
		t.Fatal(err)
	}
	e.etcd.Server.HardStop()
	if _, err := w.Do(t.Context(), Put("/a", nil)); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("server is gone: %v, want ErrUnknownOutcome", err)
	}
}

func BenchmarkWriter(b *testing.B) {
	for _, fsync := range []bool{false, true} {
		for _, clients := range []int{1, 64, 512} {
			for _, cas := range []bool{false, true} {
				b.Run(fmt.Sprintf("fsync=%v/clients=%d/create=%v", fsync, clients, cas), func(b *testing.B) {
					e, err := StartEmbedded(b.Context(), EmbeddedConfig{Dir: b.TempDir(), UnsafeNoFsync: !fsync, FastTimers: true})
					if err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() { e.Close() })
					w := startWriter(b, e.kvClient(), WriterConfig{MaxOps: 512, MaxParts: 4096})
					value := appendFDB(nil, fdbValue{vport: 7})
					b.ReportAllocs()
					b.ResetTimer()
					var wg sync.WaitGroup
					for g := range clients {
						wg.Go(func() {
							for i := g; i < b.N; i += clients {
								op := Put(fdbKey(1, [6]byte{2, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), value)
								if cas {
									op.Expect = 0
								}
								if res, err := w.Do(b.Context(), op); err != nil || !res.Applied {
									b.Error(res, err)
									return
								}
							}
						})
					}
					wg.Wait()
					b.StopTimer()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
					b.ReportMetric(float64(b.N)/float64(w.Stats().Txns), "puts/txn")
				})
			}
		}
	}
}
