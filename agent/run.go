package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/otlp"
	"github.com/weft-sdn/weft/state"
)

const (
	firstRetry = time.Second // between attempts to reach the database
	maxRetry   = 15 * time.Second
)

// service is the process: edges, their database and the status server.
type service struct {
	cfg     *Config
	log     *slog.Logger
	version string
	runners []*runner
	store   atomic.Pointer[state.Store] // nil until the database was reached
	traces  *otlp.Exporter              // nil: nothing is traced
}

// Run runs all edges until ctx ends (nil). It waits for a database or targets that are away, and says so in the log and at /readyz. It ends with an
// error if the status server can't listen, an edge can't be made, or every edge was taken by another process.
func Run(ctx context.Context, cfg *Config, log *slog.Logger) error {
	l, url, err := cfg.listen()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(engine.GCPercent)
	}
	s := &service{cfg: cfg, log: log, version: Version()}
	if s.traces, err = cfg.Tracing.exporter(s.version, log); err != nil {
		return errors.Join(err, l.Close())
	}
	for _, e := range cfg.Edges {
		r := newRunner(e, url, s.version, log)
		r.traces, r.traceEvery = s.traces, cfg.Tracing.Every
		s.runners = append(s.runners, r)
	}
	if at, ok := l.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() && cfg.ListenTLS.CA == "" {
		log.Warn("whoever reaches the status server can read the flows of tenants; listenTLS with ca would ask for a certificate", "status", url)
	}
	log.Info("agent runs", "version", s.version, "edges", len(s.runners), "status", url)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serve(ctx, l) })
	g.Go(func() error { return s.drive(ctx) })
	if s.traces != nil {
		g.Go(func() error { return s.traces.Run(ctx) })
	}
	err = g.Wait()
	log.Info("agent ended")
	return err
}

// Version is the version of this binary.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// Logger returns what logs to w as the configuration says.
func (l Log) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // checked
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: hide}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// view is the newest view of the database, nil until there is one.
func (s *service) view() *state.View {
	store := s.store.Load()
	if store == nil || store.View().Revision == 0 {
		return nil
	}
	return store.View()
}

// drive reaches the database and runs the edges on it. The database's connection outlives them: they take leave of it.
func (s *service) drive(ctx context.Context) error {
	store, err := s.open(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx ended
	}
	s.store.Store(store)
	storeCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- store.Run(storeCtx) }()
	edgesCtx, stopEdges := context.WithCancel(ctx)
	defer stopEdges()
	edges := make(chan error, 1)
	go func() { edges <- s.runEdges(edgesCtx, store) }()
	var failed error
	select {
	case failed = <-edges:
		stop()
		err = <-ended
	case err = <-ended: // only if what it read can't be taken in
		stopEdges()
		failed = <-edges
		stop()
	}
	return errors.Join(failed, err, store.Close())
}

// runEdges runs all edges until ctx ends or the last one has ended.
func (s *service) runEdges(ctx context.Context, store *state.Store) error {
	ends := make(chan error, len(s.runners))
	for _, r := range s.runners {
		go func() {
			err := r.run(ctx, store)
			if err != nil {
				s.log.Error("an edge stopped for good", "err", err)
			}
			ends <- err
		}()
	}
	var all []error
	for range s.runners {
		all = append(all, <-ends)
	}
	return errors.Join(all...)
}

// open connects to the database, however long it takes. Its error is that of ctx.
func (s *service) open(ctx context.Context) (*state.Store, error) {
	pause := firstRetry
	edges := make([]string, len(s.cfg.Edges))
	for i := range s.cfg.Edges {
		edges[i] = s.cfg.Edges[i].ID
	}
	for {
		client, err := s.cfg.Etcd.Client()
		if err == nil {
			client.Log = s.log
			var store *state.Store
			if store, err = state.Open(ctx, state.Config{Client: client, Edges: edges, Log: s.log}); err == nil {
				s.log.Info("database reached", "endpoints", s.cfg.Etcd.Endpoints)
				return store, nil
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.log.Warn("the database does not answer; trying again", "err", err, "in", pause)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, maxRetry)
	}
}
