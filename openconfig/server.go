// Package openconfig serves the virtual network by gNMI, as OpenConfig: virtual devices as network instances, their ports as interfaces with state and counters. Each caller sees what
// his role lets him: a tenant its own.
package openconfig

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/gnmi"
	"github.com/weft-sdn/weft/state"
)

// Guard says who asks, and what he may do; api.Guard is one.
type Guard interface {
	Authenticate(*http.Request) (access.Identity, error)
	Allow(context.Context, access.Identity, access.Action) error
}

// Times of what is served.
const (
	pace      = 500 * time.Millisecond // between two looks of a subscription because of changes
	usageLife = 2 * time.Second        // that counters are not read again
)

// Server is the gNMI service. There is nothing to set.
type Server struct {
	*gnmi.Server

	store *state.Store
	guard Guard

	mu     sync.Mutex
	counts map[flow.VPortID]state.UsageTotals // of all edges; nobody changes it
	read   time.Time
}

// New makes a server of a database, which the caller runs.
func New(store *state.Store, guard Guard) *Server {
	s := &Server{store: store, guard: guard}
	s.Server = gnmi.New(gnmi.Config{Tree: s, Origins: []string{"openconfig"}, Pace: pace, Models: []*gpb.ModelData{
		{Name: "openconfig-interfaces", Organization: "OpenConfig working group", Version: "3.7.2"},
		{Name: "openconfig-if-ethernet", Organization: "OpenConfig working group", Version: "2.14.0"},
		{Name: "openconfig-network-instance", Organization: "OpenConfig working group", Version: "4.5.1"},
	}})
	return s
}

// Run tells subscribers of changes until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	err := s.store.Watch(ctx, func(state.Change) { s.Changed() })
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Leaves implements the tree of the server.
func (s *Server) Leaves(ctx context.Context) ([]gnmi.Leaf, error) {
	id, err := s.guard.Authenticate(request(ctx))
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	if err := s.guard.Allow(ctx, id, access.Action{Verb: access.List, Kind: "VPort"}); err != nil {
		return nil, status.Error(codes.PermissionDenied, err.Error())
	}
	b := builder{view: s.store.View()}
	if b.tenant, b.all = id.Sees(); b.tenant == "" && !b.all {
		return nil, status.Error(codes.PermissionDenied, "nothing is to be seen by this role")
	}
	if s.guard.Allow(ctx, id, access.Action{Verb: access.List, Kind: access.KindCounter}) == nil {
		if b.counts, err = s.usage(ctx); err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
	}
	return b.leaves(), nil
}

// request is that of HTTP by which a caller shows who he is: a token in the metadata authorization, or his certificate.
func request(ctx context.Context) *http.Request {
	r := (&http.Request{Header: http.Header{}}).WithContext(ctx)
	if m, ok := metadata.FromIncomingContext(ctx); ok {
		for _, v := range m.Get("authorization") {
			r.Header.Add("Authorization", v)
		}
	}
	if p, ok := peer.FromContext(ctx); ok {
		if p.Addr != nil {
			r.RemoteAddr = p.Addr.String()
		}
		if t, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			r.TLS = &t.State
		}
	}
	return r
}

// usage reads what is accounted, by vport over all edges, or returns what was read a moment ago.
func (s *Server) usage(ctx context.Context) (map[flow.VPortID]state.UsageTotals, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts != nil && time.Since(s.read) < usageLife {
		return s.counts, nil
	}
	all, err := s.store.Usage(ctx, "")
	if err != nil {
		if s.counts != nil && ctx.Err() == nil {
			return s.counts, nil // of before
		}
		return nil, errors.Join(err, context.Cause(ctx))
	}
	sums := make(map[flow.VPortID]state.UsageTotals, len(all))
	for _, u := range all {
		t := sums[u.ID]
		t.Add(u.UsageTotals)
		sums[u.ID] = t
	}
	s.counts, s.read = sums, time.Now()
	return sums, nil
}
