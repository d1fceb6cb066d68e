package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/weft-sdn/weft/openconfig"
	"github.com/weft-sdn/weft/state"
)

// Bounds of the gNMI server.
const (
	maxStreams = 64      // of one connection
	maxRequest = 1 << 20 // bytes
)

// GNMIOptions say what a gNMI server serves, and to whom.
type GNMIOptions struct {
	Store  *state.Store
	Guard  Guard
	Secure *tls.Config // nil: no TLS
	Limits Limits
	Log    *slog.Logger
}

// ServeGNMI serves the virtual network as OpenConfig on a listener until ctx ends (nil), to whom the guard lets.
func ServeGNMI(ctx context.Context, l net.Listener, o GNMIOptions) error {
	d := newDoorkeeper(o.Guard, o.Limits)
	options := []grpc.ServerOption{
		grpc.UnaryInterceptor(d.unary), grpc.StreamInterceptor(d.stream),
		grpc.MaxConcurrentStreams(maxStreams), grpc.MaxRecvMsgSize(maxRequest), grpc.ConnectionTimeout(headerTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
	if o.Secure != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(o.Secure.Clone())))
	}
	server := grpc.NewServer(options...)
	network := openconfig.New(o.Store, o.Guard)
	network.Register(server)
	o.Log.Info("gnmi serves", "at", l.Addr().String(), "tls", o.Secure != nil)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return network.Run(ctx) })
	g.Go(func() error {
		if err := server.Serve(l); err != nil {
			return fmt.Errorf("gnmi: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		server.Stop() // subscriptions do not end by themselves
		return nil
	})
	return g.Wait()
}
