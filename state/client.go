package state

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
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
)

// Dial returns a client of the cluster once one endpoint has answered.
func Dial(ctx context.Context, cfg ClientConfig) (*clientv3.Client, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("state: no etcd endpoints given")
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.Username, Password: cfg.Password,
		DialTimeout: dialTimeout, DialKeepAliveTime: keepAliveTime, DialKeepAliveTimeout: keepAliveTimeout,
		MaxCallSendMsgSize: maxRequestBytes, MaxCallRecvMsgSize: math.MaxInt32,
		Logger: zapTo(cfg.Log),
	})
	if err != nil {
		return nil, fmt.Errorf("state: etcd client for %v: %w", cfg.Endpoints, err)
	}
	pctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if _, err := c.Get(pctx, generationKey, clientv3.WithCountOnly()); err != nil {
		c.Close()
		return nil, fmt.Errorf("state: etcd at %v doesn't answer: %w", cfg.Endpoints, err)
	}
	return c, nil
}
