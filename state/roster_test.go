package state

import (
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// hand is what becomes of one call: the member that it is handed to does not answer for a time, or answers with an error.
type hand struct {
	member string
	hangs  bool
	err    error
}

// dealer hands calls to members as told, and the last one again and again.
type dealer struct {
	t     *testing.T
	hands []hand
	calls int
}

func (d *dealer) invoke(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	h := d.hands[min(d.calls, len(d.hands)-1)]
	d.calls++
	for _, o := range opts {
		if p, ok := o.(grpc.PeerCallOption); ok {
			*p.PeerAddr = peer.Peer{Addr: tcpAddr(d.t, h.member)}
		}
	}
	if md, _ := metadata.FromOutgoingContext(ctx); len(md.Get(rpctypes.MetadataRequireLeaderKey)) == 0 {
		d.t.Error("a member without a leader would not say so")
	}
	if h.hangs {
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	return h.err
}

func tcpAddr(t *testing.T, s string) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var (
	getRequest   = &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{}}}}}
	writeRequest = &pb.TxnRequest{Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{}}}}}
)

// TestCallsThatHang: reads are made again at another member, each with more patience; writes are not; what a member without a leader refuses is. A member
// that lets calls wait is passed over for a while, and never most of them.
func TestCallsThatHang(t *testing.T) {
	const a, b, c = "127.0.0.1:1", "127.0.0.1:2", "[::1]:3"
	for name, tc := range map[string]struct {
		request any
		hands   []hand
		calls   int
		took    time.Duration
		code    codes.Code
		left    []string
	}{
		"answer":               {getRequest, []hand{{member: a}}, 1, 0, codes.OK, []string{a, b, c}},
		"read hangs":           {getRequest, []hand{{member: a, hangs: true}, {member: b}}, 2, readPatience, codes.OK, []string{a, b, c}},
		"reads hang":           {&pb.RangeRequest{}, []hand{{member: c, hangs: true}, {member: c, hangs: true}, {member: b}}, 3, 3 * readPatience, codes.OK, []string{a, b}},
		"nothing answers":      {getRequest, []hand{{member: a, hangs: true}}, 3, 10 * time.Second, codes.DeadlineExceeded, []string{b, c}},
		"write hangs":          {writeRequest, []hand{{member: a, hangs: true}, {member: b}}, 1, 10 * time.Second, codes.DeadlineExceeded, []string{b, c}},
		"write without leader": {writeRequest, []hand{{member: a, err: rpctypes.ErrGRPCNoLeader}, {member: b}}, 2, leaderRetry, codes.OK, []string{a, b, c}},
		"write to one behind":  {writeRequest, []hand{{member: a, err: rpctypes.ErrGRPCRequestTooManyRequests}, {member: b}}, 2, leaderRetry, codes.OK, []string{a, b, c}},
		"no leader anywhere":   {writeRequest, []hand{{member: a, err: rpctypes.ErrGRPCNoLeader}}, 101, leaderPatience, codes.Unavailable, []string{a, b, c}},
		"another error":        {getRequest, []hand{{member: a, err: rpctypes.ErrGRPCPermissionDenied}, {member: b}}, 1, 0, codes.PermissionDenied, []string{a, b, c}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, used := newRoster(ClientConfig{Endpoints: endpointsOf(a, b, c)}), endpointsOf(a, b, c)
				r.serve(func(endpoints ...string) { used = endpoints })
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				d := &dealer{t: t, hands: tc.hands}
				began := time.Now()
				err := r.call(ctx, "", tc.request, nil, nil, d.invoke)
				if took := time.Since(began); status.Code(err) != tc.code || d.calls != tc.calls || took != tc.took {
					t.Errorf("%v after %d calls in %v; want %v, %d, %v", err, d.calls, took, tc.code, tc.calls, tc.took)
				}
				if !slices.Equal(used, endpointsOf(tc.left...)) {
					t.Errorf("used are %v, want %v", used, tc.left)
				}
				time.Sleep(passedFor + time.Second)
				d.hands = []hand{{member: b}}
				if err := r.call(t.Context(), "", getRequest, nil, nil, d.invoke); err != nil || len(used) != 3 {
					t.Errorf("a while later: %v, used are %v", err, used)
				}
			})
		})
	}
}

func endpointsOf(hosts ...string) (all []string) {
	for _, h := range hosts {
		all = append(all, "http://"+h)
	}
	return all
}

// TestStreamsThatHang: a stream whose request waits for an answer when it ends tells of its member; one that is idle does not.
func TestStreamsThatHang(t *testing.T) {
	const a, b, c = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"
	for name, answered := range map[string]bool{"waits": false, "idle": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var used []string
				r := newRoster(ClientConfig{Endpoints: endpointsOf(a, b, c)})
				r.serve(func(endpoints ...string) { used = endpoints })
				ctx, cancel := context.WithTimeout(peer.NewContext(t.Context(), &peer.Peer{Addr: tcpAddr(t, b)}), time.Minute)
				defer cancel()
				s, err := r.stream(ctx, nil, nil, "", func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
					return &oneAnswer{ctx: ctx, answer: answered}, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := s.SendMsg(nil); err != nil {
					t.Fatal(err)
				}
				if answered {
					if err := s.RecvMsg(nil); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.RecvMsg(nil); err == nil {
					t.Error("the stream does not end")
				}
				want := endpointsOf(a, c)
				if answered {
					want = nil
				}
				if !slices.Equal(used, want) {
					t.Errorf("used are %v, want %v", used, want)
				}
			})
		})
	}
}

// oneAnswer is a stream on which at most one answer comes.
type oneAnswer struct {
	grpc.ClientStream
	ctx    context.Context
	answer bool
}

func (s *oneAnswer) Context() context.Context { return s.ctx }
func (s *oneAnswer) SendMsg(any) error        { return nil }

func (s *oneAnswer) RecvMsg(any) error {
	if s.answer {
		s.answer = false
		return nil
	}
	<-s.ctx.Done()
	return s.ctx.Err()
}
