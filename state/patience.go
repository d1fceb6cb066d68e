package state

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	readPatience   = 1500 * time.Millisecond // that a member has for its first answer to a read; the next one has twice as long, and so on
	leaderPatience = 5 * time.Second         // in which a write finds a member that knows a leader
	leaderRetry    = 50 * time.Millisecond
)

// patient asks another member when one does not answer. A member that hangs keeps its connections: calls would wait for it until gRPC finds that out,
// after 13 s, or, if only its disk hangs, for ever; so reads are repeated. A write is not: it may have happened. A member that is cut off from the
// others says so when it is asked to, before it does anything, and then everything is repeated.
func patient(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx = clientv3.WithRequireLeader(ctx)
	read, began := repeatable(request), time.Now()
	for patience := readPatience; ; {
		attempt, cancel := ctx, context.CancelFunc(func() {})
		if read {
			attempt, cancel = context.WithTimeout(ctx, patience)
		}
		err := invoke(attempt, method, request, reply, conn, opts...)
		cancel()
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case read && status.Code(err) == codes.DeadlineExceeded:
			patience *= 2
		case errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader) && time.Since(began) < leaderPatience:
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

// repeatable reports whether a request changes nothing that matters if it is made twice.
func repeatable(request any) bool {
	switch r := request.(type) {
	case *pb.RangeRequest, *pb.AuthenticateRequest, *pb.LeaseTimeToLiveRequest:
		return true
	case *pb.TxnRequest:
		for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
			for _, op := range ops {
				if op.GetRequestRange() == nil {
					return false
				}
			}
		}
		return true
	}
	return false
}
