package state

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
)

// TestMain runs the tests, or, as a child of them, a member of a cluster.
func TestMain(m *testing.M) {
	if spec := os.Getenv(memberVariable); spec != "" {
		runMember(spec)
		return
	}
	goleak.VerifyTestMain(m)
}

// startEtcd runs an embedded server for the test, with a client in process.
func startEtcd(tb testing.TB) (*Embedded, *clientv3.Client) {
	tb.Helper()
	e, err := StartEmbedded(tb.Context(), EmbeddedConfig{Dir: tb.TempDir(), FastTimers: true, UnsafeNoFsync: true})
	if err != nil {
		tb.Fatal(err)
	}
	c := e.Client()
	tb.Cleanup(func() { c.Close(); e.Close() })
	return e, c
}

// running starts run and stops it, with its error checked, when the test ends or the returned function is called.
func running(tb testing.TB, run func(context.Context) error) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			tb.Errorf("run: %v", err)
		}
	}
	tb.Cleanup(stop)
	return stop
}

func startWriter(tb testing.TB, kv transactor, cfg WriterConfig) *Writer {
	tb.Helper()
	w := NewWriter(kv, cfg)
	running(tb, w.Run)
	return w
}

// within fails the test if a value doesn't come soon.
func within[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		tb.Fatal("nothing came within a minute")
		panic("unreachable")
	}
}
