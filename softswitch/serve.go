package softswitch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
)

// maxMessage is the largest message that the gRPC server takes, in bytes: a Write of
// some 500,000 entries.
const maxMessage = 64 << 20

// graceTime is how long Serve lets requests finish when it ends.
const graceTime = time.Second

// NewGRPCServer makes a gRPC server with this switch on it, P4Runtime and gNMI, and limits
// that suit large batches.
func (s *Server) NewGRPCServer() *grpc.Server {
	defaults := []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.InitialWindowSize(1 << 20),
		grpc.InitialConnWindowSize(4 << 20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	}
	server := grpc.NewServer(append(defaults, s.options.GRPC...)...)
	s.Register(server)
	s.gnmi.Register(server)
	return server
}

// Serve runs the switch and serves P4Runtime on the listeners (TCP, unix or in memory)
// until ctx ends. It closes listeners and ports.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	server := s.NewGRPCServer()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx) })
	for _, l := range listeners {
		group.Go(func() error {
			if err := server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				return fmt.Errorf("softswitch: serve %v: %w", l.Addr(), err)
			}
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		// Streams don't end by themselves: ask them to, then insist.
		force := time.AfterFunc(graceTime, server.Stop)
		defer force.Stop()
		s.arbiter.endAll(faultf(codes.Unavailable, "the switch is shutting down"))
		server.GracefulStop()
		return nil
	})
	return group.Wait()
}
