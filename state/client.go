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
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
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
	keepAliveTime    = 5 * time.Second
	keepAliveTimeout = 3 * time.Second
	causeTimeout     = 500 * time.Millisecond
)

// Dial returns a client of the cluster once one endpoint has answered.
func Dial(ctx context.Context, cfg ClientConfig) (*clientv3.Client, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("state: no etcd endpoints given")
	}
	pctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{
		Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.Username, Password: cfg.Password, Context: context.WithoutCancel(ctx),
		DialTimeout: untilDeadline(pctx), DialKeepAliveTime: keepAliveTime, DialKeepAliveTimeout: keepAliveTimeout,
		MaxCallSendMsgSize: maxRequestBytes, MaxCallRecvMsgSize: math.MaxInt32,
		Logger: zapTo(cfg.Log, true),
	})
	if err != nil {
		return nil, fmt.Errorf("state: etcd client for %v: %w", cfg.Endpoints, errors.Join(err, cause(cfg)))
	}
	if _, err := c.Get(pctx, generationKey, clientv3.WithCountOnly()); err != nil {
		c.Close()
		return nil, fmt.Errorf("state: etcd at %v doesn't answer: %w", cfg.Endpoints, errors.Join(err, cause(cfg)))
	}
	return c, nil
}

func untilDeadline(ctx context.Context) time.Duration {
	at, _ := ctx.Deadline()
	return max(time.Until(at), time.Millisecond)
}

// cause finds what gRPC hides behind "deadline exceeded": why the first endpoint can't be connected to. Nil if it can.
func cause(cfg ClientConfig) error {
	u, err := url.Parse(cfg.Endpoints[0])
	if err != nil || u.Scheme == "" {
		return err
	}
	network, at := "tcp", u.Host
	if u.Scheme == "unix" || u.Scheme == "unixs" {
		network, at = "unix", u.Host+u.Path
	}
	conn, err := net.DialTimeout(network, at, causeTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(causeTimeout))
	if u.Scheme != "https" || cfg.TLS == nil {
		return nil
	}
	tc := cfg.TLS.Clone()
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
