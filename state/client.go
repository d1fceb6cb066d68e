package state

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// ClientConfig names an etcd cluster.
type ClientConfig struct {
	Endpoints          []string
	TLS                *tls.Config // nil: none
	Username, Password string      // empty: no authentication
	Log                *slog.Logger
}

const (
	dialTimeout      = 5 * time.Second
	keepAliveTime    = 10 * time.Second // the least that gRPC takes
	keepAliveTimeout = 3 * time.Second
	causeTimeout     = 500 * time.Millisecond
)

const maxResponseBytes = math.MaxInt32

// callOptions are those of calls that do not go through clientv3's own.
var callOptions = []grpc.CallOption{grpc.MaxCallSendMsgSize(maxRequestBytes), grpc.MaxCallRecvMsgSize(maxResponseBytes)}

// Dial returns a client of the cluster once one endpoint has answered.
func Dial(ctx context.Context, cfg ClientConfig) (*clientv3.Client, error) {
	pctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := connect(ctx, untilDeadline(pctx), cfg)
	if err != nil {
		return nil, err
	}
	if _, err := c.Get(pctx, generationKey, clientv3.WithCountOnly()); err != nil {
		c.Close()
		return nil, fmt.Errorf("state: etcd at %v %w: %w", cfg.Endpoints, ErrNoAnswer, explained(cfg, err))
	}
	return c, nil
}

// connect returns a client, whether etcd answers or not.
func connect(ctx context.Context, timeout time.Duration, cfg ClientConfig) (*clientv3.Client, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("state: no etcd endpoints given")
	}
	r := newRoster(cfg)
	c, err := clientv3.New(clientv3.Config{
		Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.Username, Password: cfg.Password, Context: context.WithoutCancel(ctx),
		DialTimeout: timeout, DialKeepAliveTime: keepAliveTime, DialKeepAliveTimeout: keepAliveTimeout,
		MaxCallSendMsgSize: maxRequestBytes, MaxCallRecvMsgSize: maxResponseBytes,
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(r.call), grpc.WithChainStreamInterceptor(r.stream)},
		Logger:      zapTo(cfg.Log, true),
	})
	if err != nil {
		return nil, fmt.Errorf("state: etcd at %v %w: %w", cfg.Endpoints, ErrNoAnswer, explained(cfg, err))
	}
	r.serve(c.SetEndpoints)
	return c, nil
}

func untilDeadline(ctx context.Context) time.Duration {
	at, _ := ctx.Deadline()
	return max(time.Until(at), time.Millisecond)
}

// explained adds the cause to an error unless it is etcd's own word.
func explained(cfg ClientConfig, err error) error {
	if refused(err) {
		return err
	}
	return errors.Join(err, cause(cfg))
}

// cause finds what gRPC hides behind "deadline exceeded": why endpoints can't be connected to, or that they can and etcd doesn't answer.
func cause(cfg ClientConfig) error {
	errs := make([]error, len(cfg.Endpoints))
	var wg sync.WaitGroup
	for i, endpoint := range cfg.Endpoints {
		wg.Go(func() { errs[i] = unreachable(endpoint, cfg.TLS) })
	}
	wg.Wait()
	up := len(errs)
	for i, err := range errs {
		if err == nil {
			continue
		}
		if up--; len(errs) > 1 {
			errs[i] = fmt.Errorf("%s: %w", cfg.Endpoints[i], err)
		}
	}
	if up > 0 && len(errs) > 1 {
		errs = append(errs, fmt.Errorf("%d of %d endpoints can be connected to: perhaps most members are away, and the cluster has no leader", up, len(cfg.Endpoints)))
	}
	return errors.Join(errs...)
}

// unreachable says why an endpoint can't be connected to; nil if it can.
func unreachable(endpoint string, conf *tls.Config) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme == "" {
		return err
	}
	conn, err := knock(u)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(causeTimeout))
	if u.Scheme != "https" || conf == nil {
		return nil
	}
	tc := conf.Clone()
	tc.NextProtos = []string{"h2"}
	if tc.ServerName == "" {
		tc.ServerName = u.Hostname()
	}
	tconn := tls.Client(conn, tc)
	if err := tconn.Handshake(); err != nil {
		return err
	}
	// In TLS 1.3 the server refuses our certificate after the handshake.
	var timeout net.Error
	if _, err := tconn.Read(make([]byte, 1)); err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
		return err
	}
	return nil
}

// knock connects to an endpoint, no more.
func knock(u *url.URL) (net.Conn, error) {
	network, at := "tcp", u.Host
	if u.Scheme == "unix" || u.Scheme == "unixs" {
		network, at = "unix", u.Host+u.Path
	}
	return net.DialTimeout(network, at, causeTimeout)
}
