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
	at, err := cfg.open()
	if err != nil {
		return err
	}
	defer at.close()
	store, err := openStore(ctx, cfg, log)
	if store == nil {
		return err
	}
	return errors.Join(cfg.serve(ctx, store, at, log, out), store.Close())
}

// doors are the listeners of a server.
type doors struct {
	api, metrics net.Listener
	gnmi         net.Listener // nil: it is not served
}

func (c *Config) open() (*doors, error) {
	d := new(doors)
	for _, l := range []struct {
		at, field string
		is        *net.Listener
	}{{c.Listen, "listen", &d.api}, {c.Metrics, "metrics", &d.metrics}, {c.GNMI, "gnmi", &d.gnmi}} {
		if l.at == "" {
			continue
		}
		var err error
		if *l.is, err = listen(l.at, l.field); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

func (d *doors) close() {
	for _, l := range []net.Listener{d.api, d.metrics, d.gnmi} {
		if l != nil {
			l.Close()
		}
	}
}

// serve serves a database. What follows the database ends last: requests that are under way need it.
func (c *Config) serve(ctx context.Context, store *state.Store, at *doors, log *slog.Logger, out io.Writer) error {
	var guard Guard = Open{}
	var known *access.Guard
	var accounts Accounts
	if !c.Open {
		var err error
		if known, err = access.New(access.Config{Store: store, OIDC: c.OIDC, Log: log}); err != nil {
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
	follow, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	behind, follow := errgroup.WithContext(follow)
	behind.Go(func() error { return store.Run(follow) })
	behind.Go(func() error { return s.Run(follow) })
	if known != nil {
		behind.Go(func() error { return known.Run(follow) })
	}
	err = func() error {
		if known != nil {
			if err := tellFirst(ctx, known, out); err != nil {
				return err
			}
		}
		log.Info("api serves", "version", agent.Version(), "at", at.api.Addr().String(), "tls", secure != nil, "metrics", at.metrics.Addr().String())
		front, ctx := errgroup.WithContext(ctx)
		front.Go(func() error {
			select {
			case <-follow.Done(): // there is nothing to answer with
				return context.Cause(follow)
			case <-ctx.Done():
				return nil
			}
		})
		front.Go(func() error { return Serve(ctx, at.api, s.Handler(), secure, log) })
		front.Go(func() error { return Serve(ctx, at.metrics, s.Metrics(), nil, log) })
		if at.gnmi != nil {
			front.Go(func() error {
				return ServeGNMI(ctx, at.gnmi, GNMIOptions{Store: store, Guard: guard, Secure: secure, Limits: c.Limits, Log: log})
			})
		}
		return front.Wait()
	}()
	stop()
	if failed := behind.Wait(); failed != nil {
		err = failed
	}
	log.Info("api ended")
	return err
}

// tellFirst writes the token of a database that nobody has access to yet.
func tellFirst(ctx context.Context, g *access.Guard, out io.Writer) error {
	token, err := g.First(ctx)
	switch {
	case ctx.Err() != nil: // before there was one
		return nil
	case err != nil || token == "":
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

// Serve answers on a listener until ctx ends (nil). Requests that are under way then are finished, streams and waiting end.
func Serve(ctx context.Context, l net.Listener, h http.Handler, secure *tls.Config, log *slog.Logger) error {
	base := context.WithValue(context.WithoutCancel(ctx), endingKey{}, ctx)
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, TLSConfig: secure,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), BaseContext: func(net.Listener) context.Context { return base },
	}
	if err := agent.Serve(ctx, l, server, shutdownTimeout); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

type endingKey struct{}

// whileServing is the context of a request that goes on until there is something to tell: it ends, too, when the server is to end.
func whileServing(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	ending, ok := ctx.Value(endingKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(ending, cancel)
	return ctx, func() { stop(); cancel() }
}

// lastWords are those of a stream that the server ends, not its other side.
const lastWords = ": this server has ended the stream; go on at another, or ask again\n\n"
