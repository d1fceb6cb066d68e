package softswitch

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/weft-sdn/weft/softswitch/gnmi"
	"github.com/weft-sdn/weft/softswitch/pipeline"
	"github.com/weft-sdn/weft/softswitch/port"
)

// Options configure a Server. Its zero value has no ports and no CPU port.
type Options struct {
	// DeviceID is the P4Runtime device id; 0 means 1.
	DeviceID uint64
	// CPUPort is the number of the port of packet-in and packet-out; 0 means none.
	CPUPort uint16
	// DropPort is the egress_spec that means drop; 0 means 511.
	DropPort uint16
	// Ports are the ports by number. The server closes them when Run ends.
	Ports map[uint16]port.Port
	// Logger receives events; nil discards them.
	Logger *slog.Logger
	// Now is the clock of meters, timeouts and counters; nil means time.Now.
	Now func() time.Time
	// SweepInterval is how often idle entries, digests and link states are looked at;
	// 0 means 200 ms.
	SweepInterval time.Duration
	// MaxStreams is the largest number of controllers per role; 0 means 64.
	MaxStreams int
	// Quirks are deviations from the specification to imitate.
	Quirks Quirks
	// GRPC are further options of the gRPC server that Serve makes: TLS, interceptors.
	GRPC []grpc.ServerOption
}

// Server is one switch: ports, the pipeline between them, and P4Runtime to program it.
type Server struct {
	p4v1.UnimplementedP4RuntimeServer

	options Options
	log     *slog.Logger
	arbiter *arbiter
	ports   []*attachment // by number; nil where there is none
	plugged []*attachment // those that are there
	counts  counts

	running atomic.Pointer[target] // what packets go through; nil: nothing

	gnmi         *gnmi.Server
	onPortChange atomic.Pointer[[]func()]

	// gate lets packets through together (read side, held per batch) and an atomic batch
	// of writes alone (write side).
	gate sync.RWMutex

	mu    sync.RWMutex // held to write by Write and by changes of pipeline, to read by Read
	saved *target      // by VERIFY_AND_SAVE, not yet committed; reads and writes go to it
}

// counts are the server's own statistics.
type counts struct {
	packetIns, packetInsDropped, packetInMalformed atomic.Uint64
	packetOuts, packetOutRefused                   atomic.Uint64
	eventsDropped                                  atomic.Uint64
	noPipeline, noPort                             atomic.Uint64
}

// New makes a switch without a pipeline. It starts nothing; Run does.
func New(o Options) (*Server, error) {
	if o.DeviceID == 0 {
		o.DeviceID = 1
	}
	if o.DropPort == 0 {
		o.DropPort = 511
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SweepInterval <= 0 {
		o.SweepInterval = 200 * time.Millisecond
	}
	if o.MaxStreams <= 0 {
		o.MaxStreams = 64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Quirks.setDefaults()
	s := &Server{options: o, log: o.Logger.With("device", o.DeviceID), arbiter: newArbiter(o.DeviceID, o.MaxStreams, o.Quirks)}
	s.onPortChange.Store(new([]func()))
	s.gnmi = gnmi.New(gnmi.Config{Switch: interfaces{s}, DeviceID: o.DeviceID, Now: o.Now})
	s.OnPortChange(s.gnmi.Changed)
	if o.CPUPort != 0 && o.CPUPort == o.DropPort {
		return nil, fmt.Errorf("softswitch: port %d cannot be both CPU port and drop port", o.CPUPort)
	}
	for number, p := range o.Ports {
		switch {
		case o.CPUPort != 0 && number == o.CPUPort:
			return nil, fmt.Errorf("softswitch: port %d (%s) is the CPU port", number, p.Name())
		case number == o.DropPort:
			return nil, fmt.Errorf("softswitch: port %d (%s) is the drop port", number, p.Name())
		}
		for len(s.ports) <= int(number) {
			s.ports = append(s.ports, nil)
		}
		s.ports[number] = &attachment{number: number, port: p}
		s.plugged = append(s.plugged, s.ports[number])
	}
	return s, nil
}

// Register adds the P4Runtime service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) { p4v1.RegisterP4RuntimeServer(r, s) }

// Run moves packets and watches timeouts until ctx ends, then closes the ports.
// P4Runtime requests are served independently of it.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, a := range s.ports {
		if a == nil {
			continue
		}
		a.up.Store(a.isUp())
		group.Go(func() error {
			s.receive(a)
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		s.closePorts()
		return nil
	})
	group.Go(func() error {
		tick := time.NewTicker(s.options.SweepInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				s.sweep()
			}
		}
	})
	return group.Wait()
}

// sweep is the periodic work.
func (s *Server) sweep() {
	s.watchPorts()
	if !s.options.Quirks.NoIdle {
		s.sweepIdle()
	}
	s.sweepDigests()
}

// Stats are a switch's counters since New.
type Stats struct {
	PacketIns         uint64 // given to a controller's queue
	PacketInsDropped  uint64 // no primary, or its queue was full
	PacketInMalformed uint64 // shorter than the packet_in header
	PacketOuts        uint64
	PacketOutRefused  uint64 // malformed, or not from the primary
	EventsDropped     uint64 // digests, idle notices and stream errors
	NoPipeline        uint64 // frames received while no pipeline was set
	NoPort            uint64 // frames for an egress port that isn't there

	Pipeline pipeline.Stats // of the program that runs, since it was set
}

// Stats reads the counters.
func (s *Server) Stats() Stats {
	c := &s.counts
	var of pipeline.Stats
	if t := s.running.Load(); t != nil {
		of = t.machine.Stats()
	}
	return Stats{
		Pipeline:  of,
		PacketIns: c.packetIns.Load(), PacketInsDropped: c.packetInsDropped.Load(), PacketInMalformed: c.packetInMalformed.Load(),
		PacketOuts: c.packetOuts.Load(), PacketOutRefused: c.packetOutRefused.Load(), EventsDropped: c.eventsDropped.Load(),
		NoPipeline: c.noPipeline.Load(), NoPort: c.noPort.Load(),
	}
}

// Capabilities implements P4Runtime.
func (s *Server) Capabilities(_ context.Context, req *p4v1.CapabilitiesRequest) (*p4v1.CapabilitiesResponse, error) {
	if id := req.GetDeviceId(); id != 0 && id != s.options.DeviceID {
		return nil, s.unknownDevice(id)
	}
	return &p4v1.CapabilitiesResponse{P4RuntimeApiVersion: apiVersion}, nil
}

// apiVersion is the P4Runtime version that the server implements.
const apiVersion = "1.5.0"
