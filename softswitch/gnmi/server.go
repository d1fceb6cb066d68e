// Package gnmi serves a switch's ports by gNMI as OpenConfig interfaces: state and counters to read and
// subscribe to, administrative state and impairments to set.
//
// tree.go says what there is, set.go sets it; the rest is what serves any tree.
package gnmi

import (
	"context"
	"sync"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"

	serve "github.com/weft-sdn/weft/gnmi"
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
	*serve.Server

	config  Config
	setting sync.Mutex // one Set at a time
}

// New makes a server.
func New(c Config) *Server {
	s := &Server{config: c}
	s.Server = serve.New(serve.Config{
		Tree: s, Origins: []string{"openconfig", "weft-softswitch"}, Now: c.Now,
		Models: []*gpb.ModelData{
			{Name: "openconfig-interfaces", Organization: "OpenConfig working group", Version: "3.7.2"},
			{Name: "openconfig-p4rt", Organization: "OpenConfig working group", Version: "1.0.0"},
			{Name: "weft-softswitch", Organization: "weft", Version: "1.0.0"},
		},
	})
	return s
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) { gpb.RegisterGNMIServer(r, s) }

// Leaves implements the tree of the server.
func (s *Server) Leaves(context.Context) ([]serve.Leaf, error) { return s.leaves(), nil }
