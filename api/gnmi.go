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

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/openconfig"
	"github.com/weft-sdn/weft/state"
)

// Bounds of the gNMI server.
const (
	maxStreams = 64      // of one connection
	maxRequest = 1 << 20 // bytes
	maxCalls   = 1024    // at once, of all callers; a tenth of them of one tenant
)

// ServeGNMI serves the virtual network as OpenConfig on a listener until ctx ends (nil), to whom the guard lets.
func ServeGNMI(ctx context.Context, l net.Listener, store *state.Store, guard Guard, secure *tls.Config, log *slog.Logger) error {
	options := []grpc.ServerOption{
		grpc.MaxConcurrentStreams(maxStreams), grpc.MaxRecvMsgSize(maxRequest), grpc.ConnectionTimeout(headerTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
	if secure != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(secure.Clone())))
	}
	server := grpc.NewServer(options...)
	calls := newPlaces(maxCalls)
	network := openconfig.New(store, guard, func(who access.Identity) (func(), string) {
		place := placeOf(who)
		if calls.take(place) != "" {
			return nil, "too many calls are under way; end some subscriptions"
		}
		return func() { calls.give(place) }, ""
	})
	network.Register(server)
	log.Info("gnmi serves", "at", l.Addr().String(), "tls", secure != nil)
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
