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
	"golang.org/x/sync/errgroup"
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
	treeLife  = time.Minute            // that what was built is kept after it was looked at
	usageTime = 2 * time.Second        // that the database has for them
	least     = 500 * time.Millisecond // between samples: counters are stored each few seconds
)

// most is how many subscriptions a list may have.
const most = 1024

// Server is the gNMI service. There is nothing to set.
type Server struct {
	*gnmi.Server

	store *state.Store
	guard Guard
	trees trees

	reading chan struct{} // cap 1: who reads counts has it
	mu      sync.Mutex
	counts  *counts
}

// counts are what is accounted by vport, over all edges. Nobody changes them.
type counts struct {
	of   map[flow.VPortID]state.UsageTotals
	read time.Time
}

// New makes a server of a database, which the caller runs.
func New(store *state.Store, guard Guard) *Server {
	s := &Server{store: store, guard: guard, reading: make(chan struct{}, 1), trees: trees{of: map[scope]*tree{}}}
	s.Server = gnmi.New(gnmi.Config{Tree: s, Origins: []string{"openconfig"}, Pace: pace, Least: least, Most: most, Models: []*gpb.ModelData{
		{Name: "openconfig-interfaces", Organization: "OpenConfig working group", Version: "3.7.2"},
		{Name: "openconfig-if-ethernet", Organization: "OpenConfig working group", Version: "2.14.0"},
		{Name: "openconfig-network-instance", Organization: "OpenConfig working group", Version: "4.5.1"},
	}})
	return s
}

// Run tells subscribers of changes until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	g, watching := errgroup.WithContext(ctx)
	g.Go(func() error { return s.store.Watch(watching, func(state.Change) { s.Changed() }) })
	g.Go(func() error {
		tick := time.NewTicker(treeLife)
		defer tick.Stop()
		for {
			select {
			case <-watching.Done():
				return context.Cause(watching)
			case now := <-tick.C:
				s.trees.drop(now.Add(-treeLife))
			}
		}
	})
	err := g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Leaves implements the tree of the server.
func (s *Server) Leaves(ctx context.Context) ([]gnmi.Leaf, error) {
	id, err := s.guard.Authenticate(Request(ctx))
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	if err := s.guard.Allow(ctx, id, access.Action{Verb: access.List, Kind: "VPort"}); err != nil {
		return nil, status.Error(codes.PermissionDenied, err.Error())
	}
	var of scope
	if of.tenant, of.all = id.Sees(); of.tenant == "" && !of.all {
		return nil, status.Error(codes.PermissionDenied, "nothing is to be seen by this role")
	}
	var n *counts
	if s.guard.Allow(ctx, id, access.Action{Verb: access.List, Kind: access.KindCounter}) == nil {
		if n, err = s.usage(ctx); err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
		of.counted = true
	}
	return s.trees.leaves(of, s.store.View(), n), nil
}

// Request is that of HTTP by which a caller shows who he is: a token in the metadata authorization, or his certificate.
func Request(ctx context.Context) *http.Request {
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

// usage reads what is accounted, by vport over all edges, or returns what was read a moment ago, and without an answer what was read last. One reads at a time.
func (s *Server) usage(ctx context.Context) (*counts, error) {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s.mu.Lock()
	last := s.counts
	s.mu.Unlock()
	if last != nil && time.Since(last.read) < usageLife {
		return last, nil
	}
	ctx, stop := context.WithTimeout(ctx, usageTime)
	defer stop()
	all, err := s.store.Usage(ctx, "")
	now := &counts{of: make(map[flow.VPortID]state.UsageTotals, len(all)), read: time.Now()}
	switch {
	case err != nil && last != nil: // those of before, and nobody asks again at once
		now.of = last.of
	case err != nil:
		return nil, errors.Join(err, context.Cause(ctx))
	}
	for _, u := range all {
		t := now.of[u.ID]
		t.Add(u.UsageTotals)
		now.of[u.ID] = t
	}
	s.mu.Lock()
	s.counts = now
	s.mu.Unlock()
	return now, nil
}
