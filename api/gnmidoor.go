package api

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/openconfig"
)

// doorkeeper lets calls of gNMI in as gate does requests: each is of somebody, who has not asked too often, and has not too many subscriptions.
type doorkeeper struct {
	guard   Guard
	limits  limits
	streams *places
}

func newDoorkeeper(g Guard, l Limits) *doorkeeper {
	return &doorkeeper{guard: g, limits: limits{rate: rate.Limit(l.Rate), burst: int(l.Burst), who: map[string]*rate.Limiter{}}, streams: newPlaces(int(l.Watches))}
}

// enter lets a call in. It returns as whom it counts, and as whom its subscription does.
func (d *doorkeeper) enter(ctx context.Context) (caller, place string, err error) {
	r := openconfig.Request(ctx)
	id, err := d.guard.Authenticate(r)
	if caller = id.Subject; err != nil {
		caller = addressIn(r) // who shows nothing does not keep others from trying
	}
	if err := d.take(caller); err != nil {
		return "", "", err
	}
	if err != nil {
		return "", "", status.Error(codes.Unauthenticated, err.Error())
	}
	return caller, placeOf(id), nil
}

// take counts a request.
func (d *doorkeeper) take(caller string) error {
	if wait := d.limits.take(caller); wait > 0 {
		return status.Errorf(codes.ResourceExhausted, "too many requests; wait %v", wait.Round(time.Millisecond))
	}
	return nil
}

// addressIn is where a request is from, without the port.
func addressIn(r *http.Request) string {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return "from " + at.Addr().Unmap().String()
}

func (d *doorkeeper) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if _, _, err := d.enter(ctx); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (d *doorkeeper) stream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	caller, place, err := d.enter(s.Context())
	if err != nil {
		return err
	}
	if why := d.streams.take(place); why != "" {
		return status.Error(codes.ResourceExhausted, why)
	}
	defer d.streams.give(place)
	return next(srv, &meteredStream{ServerStream: s, take: func() error { return d.take(caller) }})
}

// meteredStream counts each message but the first as a request: a Poll has all told anew.
type meteredStream struct {
	grpc.ServerStream
	take  func() error
	began bool
}

// RecvMsg implements grpc.ServerStream.
func (s *meteredStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if !s.began {
		s.began = true
		return nil
	}
	return s.take()
}
