package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/state"
)

const (
	headerTimeout   = 5 * time.Second
	shutdownTimeout = 10 * time.Second
	firstRetry      = time.Second // between attempts to reach the database
	maxRetry        = 15 * time.Second
)

// Run serves until ctx ends (nil). A database that is away is waited for. The token of a database that nobody has access to yet is written to out, once.
func Run(ctx context.Context, cfg *Config, log *slog.Logger, out io.Writer) error {
	l, err := listen(cfg.Listen, "listen")
	if err != nil {
		return err
	}
	defer l.Close()
	m, err := listen(cfg.Metrics, "metrics")
	if err != nil {
		return err
	}
	defer m.Close()
	var n net.Listener // of gNMI; nil: it is not served
	if cfg.GNMI != "" {
		if n, err = listen(cfg.GNMI, "gnmi"); err != nil {
			return err
		}
		defer n.Close()
	}
	store, err := openStore(ctx, cfg, log)
	if store == nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	storeCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- store.Run(storeCtx) }()
	g.Go(func() error { return cfg.serve(ctx, store, l, m, n, log, out) })
	err = g.Wait()
	stop()
	return errors.Join(err, <-ended, store.Close())
}

// serve serves a database.
func (c *Config) serve(ctx context.Context, store *state.Store, l, metrics, network net.Listener, log *slog.Logger, out io.Writer) error {
	g, ctx := errgroup.WithContext(ctx)
	var guard Guard = Open{}
	var accounts Accounts
	if !c.Open {
		known, err := access.New(access.Config{Store: store, OIDC: c.OIDC, Log: log})
		if err != nil {
			return err
		}
		g.Go(func() error { return known.Run(ctx) })
		if err := tellFirst(ctx, known, out); err != nil {
			return err
		}
		guard, accounts = known, known
	}
	s, err := New(Options{
		Store: store, Guard: guard, Accounts: accounts, Version: agent.Version(), Log: log, Agents: c.Agents,
		Rate: float64(c.Limits.Rate), Burst: int(c.Limits.Burst), MaxBody: int64(c.Limits.Body) << 20, Watches: int(c.Limits.Watches),
	})
	if err != nil {
		return err
	}
	secure, err := c.serverTLS()
	if err != nil {
		return err
	}
	log.Info("api serves", "version", agent.Version(), "at", l.Addr().String(), "tls", secure != nil, "metrics", metrics.Addr().String())
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error { return Serve(ctx, l, s.Handler(), secure, log) })
	g.Go(func() error { return Serve(ctx, metrics, s.Metrics(), nil, log) })
	if network != nil {
		g.Go(func() error { return ServeGNMI(ctx, network, store, guard, secure, log) })
	}
	err = g.Wait()
	log.Info("api ended")
	return err
}

// tellFirst writes the token of a database that nobody has access to yet.
func tellFirst(ctx context.Context, g *access.Guard, out io.Writer) error {
	token, err := g.First(ctx)
	if err != nil || token == "" {
		return err
	}
	_, err = fmt.Fprintf(out, "nobody has access yet. The token of the provider's first administrator, shown this once:\n\n  %s\n\n", token)
	return err
}

// serverTLS is nil without TLS.
func (c *Config) serverTLS() (*tls.Config, error) {
	if c.Plain {
		return nil, nil
	}
	t, err := c.TLS.Server()
	if err != nil {
		return nil, err
	}
	if t.ClientCAs != nil {
		t.ClientAuth = tls.VerifyClientCertIfGiven // others show a token
	}
	return t, nil
}

func listen(at, field string) (net.Listener, error) {
	l, err := net.Listen("tcp", at)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is in use, perhaps by another server; choose another address in the configuration, or port 0", field, at)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return l, nil
}

// openStore reaches the database; nil: ctx ended.
func openStore(ctx context.Context, cfg *Config, log *slog.Logger) (*state.Store, error) {
	etcd, err := cfg.Etcd.Client()
	if err != nil {
		return nil, err
	}
	etcd.Log = log
	for pause := firstRetry; ; pause = min(2*pause, maxRetry) {
		store, err := state.Open(ctx, state.Config{
			Client: etcd, Log: log, AuditAge: time.Duration(cfg.Audit.Days) * 24 * time.Hour, MaxAudit: int(cfg.Audit.Records),
		})
		if err == nil {
			return store, nil
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		log.Warn("database is away; trying again", "in", pause, "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, nil
		case <-timer.C:
		}
	}
}

// Serve answers on a listener until ctx ends (nil). Requests under way are finished, watches end.
func Serve(ctx context.Context, l net.Listener, h http.Handler, secure *tls.Config, log *slog.Logger) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, TLSConfig: secure,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), BaseContext: func(net.Listener) context.Context { return ctx },
	}
	if err := agent.Serve(ctx, l, server, shutdownTimeout); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
