// Package lab puts edges together in memory: each a softswitch that runs the compiled pipeline behind a gRPC connection, an agent that programs
// it, cables for hosts, and one fabric between them. Agent and softswitch share nothing but that connection.
package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/fabric"
	"github.com/weft-sdn/weft/testbed/wire"
)

// EdgeConfig describes an edge of a lab.
type EdgeConfig struct {
	ID     string
	N      int // link number at the fabric, 1 to 255; the VTEPs are 192.0.2.N and 2001:db8::N
	Tunnel offload.Tunnel
	V6     bool // tunnels over IPv6
	Access int  // access ports, numbered from 1
}

// Edge is a running edge.
type Edge struct {
	engine.Edge
	Agent  *engine.Agent
	Switch *softswitch.Server
	Uplink *fabric.Port
	cables []*wire.Cable
	store  *state.Store
}

// Access returns the host's end of the cable at access port n (from 1).
func (e *Edge) Access(n int) *wire.End { return e.cables[n-1].B() }

// Lab is a set of edges on one fabric.
type Lab struct {
	Fabric *fabric.Fabric
	Edges  []*Edge
	store  *state.Store
	dir    string
	run    []func(context.Context) error
}

// New builds a lab; nothing moves until Run.
func New(logger *slog.Logger, edges ...EdgeConfig) (*Lab, error) {
	f, err := fabric.New(fabric.Config{MTU: 1600})
	if err != nil {
		return nil, err
	}
	l := &Lab{Fabric: f, run: []func(context.Context) error{f.Run}}
	if err := l.openStore(); err != nil {
		return nil, err
	}
	for _, cfg := range edges {
		e, err := l.edge(cfg, logger)
		if err != nil {
			return nil, fmt.Errorf("edge %s: %w", cfg.ID, err)
		}
		l.Edges = append(l.Edges, e)
	}
	return l, nil
}

// Run runs everything until ctx ends.
func (l *Lab) Run(ctx context.Context) error {
	defer os.RemoveAll(l.dir)
	defer l.store.Close()
	for _, e := range l.Edges {
		defer e.store.Close()
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx)) // etcd goes last
	defer cancel()
	etcd := make(chan error, 1)
	go func() { etcd <- l.store.Run(base) }()
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range l.run {
		g.Go(func() error { return run(ctx) })
	}
	err := g.Wait()
	cancel()
	return errors.Join(err, <-etcd)
}

func (l *Lab) edge(cfg EdgeConfig, logger *slog.Logger) (*Edge, error) {
	link, err := l.Fabric.Plug(cfg.N, 0)
	if err != nil {
		return nil, err
	}
	e := &Edge{Uplink: link, Edge: engine.Edge{ID: cfg.ID, Tunnel: cfg.Tunnel}}
	vtep := netip.AddrFrom4([4]byte{192, 0, 2, byte(cfg.N)})
	if cfg.V6 {
		vtep = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(cfg.N)})
	}
	e.VTEPs = []netip.Addr{vtep}
	if err := l.Fabric.Route(netip.PrefixFrom(vtep, vtep.BitLen()), cfg.N); err != nil {
		return nil, err
	}
	ports := map[uint16]port.Port{offload.FirstUnderlay: link.Edge().Port()}
	for n := 1; n <= cfg.Access; n++ {
		c := wire.New(wire.Config{NameA: fmt.Sprintf("%s:%d", cfg.ID, n), NameB: fmt.Sprintf("host:%s:%d", cfg.ID, n)})
		e.cables = append(e.cables, c)
		ports[uint16(n)] = c.A().Port()
		l.run = append(l.run, c.Run)
	}
	if e.Switch, err = softswitch.New(softswitch.Options{DeviceID: uint64(cfg.N), CPUPort: offload.CPUPort, Ports: ports, Logger: logger}); err != nil {
		return nil, err
	}
	listener := bufconn.Listen(1 << 20)
	l.run = append(l.run, func(ctx context.Context) error { return e.Switch.Serve(ctx, listener) })
	dial := p4rt.Dialer("passthrough:///"+cfg.ID, append(p4rt.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
	if e.store, err = l.connect(); err != nil {
		return nil, err
	}
	l.run = append(l.run, e.store.Run)
	e.Agent, err = engine.NewAgent(engine.Config{
		Store: e.store, Self: e.Edge, Dial: dial, DeviceID: uint64(cfg.N), Profile: p4rt.Softswitch(), Logger: logger,
		Links: []engine.Uplink{{
			Port: offload.FirstUnderlay, MAC: packet.MAC{2, 0xed, 0, 0, 0, byte(cfg.N)}, MTU: uint16(link.MTU),
			Addrs: []netip.Addr{link.Edge4.Addr(), link.Edge6.Addr()}, Gateway: []netip.Addr{link.Gateway4, link.Gateway6},
		}},
	})
	l.run = append(l.run, e.Agent.Run)
	return e, err
}
