// Package gnmi serves a switch's ports by gNMI as OpenConfig interfaces: state and counters to read and
// subscribe to, administrative state and impairments to set.
//
// A request's way: paths (path.go) select among the leaves that the switch has now (tree.go), which go
// out as values of the encoding asked for (value.go): get.go, set.go, subscribe.go (one set of leaves),
// stream.go (a subscription that lasts).
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

	"github.com/weft-sdn/weft/softswitch/impair"
)

// Port is one interface as it is now.
type Port struct {
	Number     uint32
	Name       string // unique; the key of its interface
	Enabled    bool
	Up         bool
	LastChange time.Time // of Up; zero: never
	Impairment impair.Config

	InPackets, InBytes, InDiscards    uint64
	OutPackets, OutBytes, OutDiscards uint64
}

// Switch is what is served.
type Switch interface {
	// Ports are all ports, by number.
	Ports() []Port
	SetEnabled(port uint32, enabled bool) error
	SetImpairment(port uint32, c impair.Config) error
}

// Config describes a server.
type Config struct {
	Switch   Switch
	DeviceID uint64           // P4Runtime's
	Now      func() time.Time // stamps values; nil means time.Now
}

// Server is the gNMI service.
type Server struct {
	gpb.UnimplementedGNMIServer

	config Config

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	setting sync.Mutex    // one Set at a time
}

// New makes a server.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Server{config: c, changed: make(chan struct{})}
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) { gpb.RegisterGNMIServer(r, s) }

// Changed tells subscribers that the state of a port may have changed. It does not block.
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
		SupportedModels: []*gpb.ModelData{
			{Name: "openconfig-interfaces", Organization: "OpenConfig working group", Version: "3.7.2"},
			{Name: "openconfig-p4rt", Organization: "OpenConfig working group", Version: "1.0.0"},
			{Name: "weft-softswitch", Organization: "weft", Version: "1.0.0"},
		},
		SupportedEncodings: []gpb.Encoding{gpb.Encoding_JSON, gpb.Encoding_PROTO, gpb.Encoding_JSON_IETF},
		GNMIVersion:        version,
	}, nil
}

func invalidf(format string, args ...any) error {
	return status.Error(codes.InvalidArgument, fmt.Sprintf(format, args...))
}
