package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running starts run and stops it, with its error checked, when the test ends.
func running(tb testing.TB, run func(context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			tb.Errorf("run: %v", err)
		}
	})
}

// embedded opens a store with a database of its own.
func embedded(tb testing.TB) *state.Store {
	tb.Helper()
	return open(tb, state.Config{Embedded: &state.EmbeddedConfig{Dir: tb.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
}

func open(tb testing.TB, cfg state.Config) *state.Store {
	tb.Helper()
	s, err := state.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	running(tb, s.Run)
	return s
}

// serve serves the API of a store, and returns the URL.
func serve(tb testing.TB, store *state.Store, change func(*Options)) string {
	tb.Helper()
	o := Options{Store: store, Guard: Open{}, Version: "test"}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	running(tb, s.Run)
	h := httptest.NewServer(s.Handler())
	tb.Cleanup(h.Close)
	if err := store.WaitCatalogue(tb.Context(), 0); err != nil {
		tb.Fatal(err)
	}
	return h.URL
}

// clientOf is a client of a server.
func clientOf(tb testing.TB, url string) *client.Client {
	tb.Helper()
	c, err := client.New(client.Config{Server: url, Retries: -1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// objects decodes manifests.
func objects(tb testing.TB, yaml string) []topology.Object {
	tb.Helper()
	list, err := topology.Decode("test.yaml", []byte(yaml))
	if err != nil {
		tb.Fatal(err)
	}
	out := make([]topology.Object, len(list))
	for i, o := range list {
		o.Source = nil
		out[i] = *o
	}
	return out
}

func ref(kind topology.Kind, name string) topology.Ref {
	return topology.Ref{Kind: kind, Tenant: "acme", Name: name}
}

// wants fails the test unless an error is a problem of a status.
func wants(tb testing.TB, err error, status int) *client.Problem {
	tb.Helper()
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != status {
		tb.Fatalf("%v (%T): want a problem of status %d %s", err, err, status, http.StatusText(status))
	}
	return p
}

// stateConfig is that of another store of the same database.
func stateConfig(s *state.Store) state.Config {
	return state.Config{Client: state.ClientConfig{Endpoints: s.Endpoints()}}
}
