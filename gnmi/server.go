// Package gnmi serves values by gNMI: Get, and all modes of Subscribe. What there is, a Tree says, anew for each look and each caller.
//
// A request's way: paths (path.go) select among the leaves that the tree has now, which go out as values of the encoding asked for (value.go): get.go, subscribe.go (one set of
// leaves), stream.go (a subscription that lasts).
package gnmi

import (
	"context"
	"fmt"
	"sync"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Leaf is one value.
type Leaf struct {
	Path  []*gpb.PathElem
	Value any // string, bool, uint16, uint32, uint64, float64, of the width that the model has: JSON_IETF tells them apart
	Kind  Kind
	text  string // of Path
}

// Kind is how a leaf changes.
type Kind uint8

// Kinds.
const (
	ConfigLeaf  Kind = iota
	StateLeaf        // changes now and then
	CounterLeaf      // changes with every frame: sampled, never told on change
)

// NewLeaf returns a leaf. The path is not to be changed any more.
func NewLeaf(kind Kind, value any, path []*gpb.PathElem) Leaf {
	return Leaf{path, value, kind, Show(path)}
}

// Tree is what is served.
type Tree interface {
	// Leaves are all that the caller of a request may see now. An error, best a status of gRPC, ends the request, and what is subscribed to by it.
	Leaves(ctx context.Context) ([]Leaf, error)
}

// Config describes a server.
type Config struct {
	Tree    Tree
	Origins []string // of paths, beside none
	Models  []*gpb.ModelData
	Now     func() time.Time // stamps values; nil: time.Now
	Pace    time.Duration    // least time between two looks because of changes; 0: none
	Least   time.Duration    // interval of samples and heartbeats, at least; 0: 10 ms
	Most    int              // subscriptions in a list, and paths of a Get; 0: 16,384
}

// Server is the gNMI service, without Set.
type Server struct {
	gpb.UnimplementedGNMIServer

	config Config

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
}

// New makes a server.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Least == 0 {
		c.Least = minSample
	}
	if c.Most == 0 {
		c.Most = maxPaths
	}
	return &Server{config: c, changed: make(chan struct{})}
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) { gpb.RegisterGNMIServer(r, s) }

// Now stamps values.
func (s *Server) Now() time.Time { return s.config.Now() }

// Changed tells subscribers that a state may have changed. It does not block.
func (s *Server) Changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// change is closed at the next change.
func (s *Server) change() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// version is the gNMI version served.
const version = "0.10.0"

// Capabilities implements gNMI.
func (s *Server) Capabilities(context.Context, *gpb.CapabilityRequest) (*gpb.CapabilityResponse, error) {
	return &gpb.CapabilityResponse{
		SupportedModels:    s.config.Models,
		SupportedEncodings: []gpb.Encoding{gpb.Encoding_JSON, gpb.Encoding_PROTO, gpb.Encoding_JSON_IETF},
		GNMIVersion:        version,
	}, nil
}

// Invalidf is the error of a request that makes no sense.
func Invalidf(format string, args ...any) error {
	return status.Error(codes.InvalidArgument, fmt.Sprintf(format, args...))
}

// below are the leaves at or below a path.
func below(path []*gpb.PathElem, all []Leaf) []Leaf {
	var out []Leaf
	for _, l := range all {
		if Covers(path, l.Path) {
			out = append(out, l)
		}
	}
	return out
}
