package state

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	readPatience   = 1500 * time.Millisecond // that a member has for its first answer to a read; the next one has twice as long, and so on
	loginPatience  = 5 * time.Second         // the same for a password: checking it is work, and all log in at once when a member goes
	leaderPatience = 5 * time.Second         // in which a write finds a member that takes it
	leaderRetry    = 50 * time.Millisecond
)

// call asks another member when one does not answer. A member that hangs keeps its connections: calls would wait for it until gRPC finds that out,
// after 13 s, or, if only its disk hangs, for ever; so reads are repeated. A write is not: it may have happened. A member that is cut off from the
// others says so when it is asked to, before it does anything, and then everything is repeated; so does one that is far behind (more than 5,000 entries to apply).
func (r *roster) call(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx = clientv3.WithRequireLeader(ctx)
	patience, began := patienceWith(request), time.Now()
	for {
		attempt, cancel := ctx, context.CancelFunc(func() {})
		if patience > 0 {
			attempt, cancel = context.WithTimeout(ctx, patience)
		}
		var at peer.Peer
		asked := time.Now()
		err := invoke(attempt, method, request, reply, conn, append(slices.Clip(opts), grpc.Peer(&at))...)
		timely := status.Code(err) != codes.DeadlineExceeded
		cancel()
		switch {
		case at.Addr == nil:
		case err == nil:
			r.answered(at.Addr)
		case !timely:
			r.waited(at.Addr, time.Since(asked), time.Now())
		}
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case patience > 0 && !timely:
			patience *= 2
		case isPassing(err) && time.Since(began) < leaderPatience:
			pause := time.NewTimer(leaderRetry)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		default:
			return err
		}
	}
}

// isPassing reports whether a member did nothing with a request because it knows no leader, or has much to apply of what it missed: another one, or the same one soon, takes it.
func isPassing(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, rpctypes.ErrNoLeader) || errors.Is(err, rpctypes.ErrTooManyRequests)
}

// patienceWith is how long to wait for an answer before a request is made again; 0 if it must not be, because it would matter that it is made twice.
func patienceWith(request any) time.Duration {
	switch r := request.(type) {
	case *pb.AuthenticateRequest:
		return loginPatience
	case *pb.RangeRequest, *pb.LeaseTimeToLiveRequest:
		return readPatience
	case *pb.TxnRequest:
		for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
			for _, op := range ops {
				if op.GetRequestRange() == nil {
					return 0
				}
			}
		}
		return readPatience
	}
	return 0
}

// stream takes note of streams whose member leaves requests without an answer.
func (r *roster) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, begin grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := begin(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, err
	}
	return &timedStream{ClientStream: s, roster: r}, nil
}

// timedStream knows since when a request waits for an answer.
type timedStream struct {
	grpc.ClientStream
	roster *roster

	mu    sync.Mutex
	since time.Time // zero: none does
}

// SendMsg implements grpc.ClientStream.
func (s *timedStream) SendMsg(m any) error {
	s.mu.Lock()
	if s.since.IsZero() {
		s.since = time.Now()
	}
	s.mu.Unlock()
	return s.ClientStream.SendMsg(m)
}

// RecvMsg implements grpc.ClientStream.
func (s *timedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	s.mu.Lock()
	since := s.since
	s.since = time.Time{}
	s.mu.Unlock()
	if at, ok := peer.FromContext(s.Context()); ok && err != nil && !since.IsZero() {
		s.roster.waited(at.Addr, time.Since(since), time.Now())
	}
	return err
}
