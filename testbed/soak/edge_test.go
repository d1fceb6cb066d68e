package soak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/impair"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/fabric"
	"github.com/weft-sdn/weft/testbed/proxy"
)

// Times of edges, short so that what is over is gone soon.
const (
	idleTimeout = 6 * time.Second
	stopTime    = time.Minute // that an agent or a target has to end
)

var connTimes = conntrack.Timeouts{TCPOpening: 3 * time.Second, TCPEstablished: 20 * time.Second, TCPClosed: 3 * time.Second, Single: 3 * time.Second, Both: 5 * time.Second}

// edge is a target and an agent, which come and go by themselves. One goroutine at a time does that.
type edge struct {
	n      int
	name   string
	dir    string
	logger *slog.Logger
	uplink *fabric.Port
	jacks  map[uint16]*jack
	offset atomic.Int64 // of its clocks

	way  *proxy.Proxy          // to the target
	etcd [members]*proxy.Proxy // to the database

	busy sync.Mutex // held by who ends and starts what follows

	target *running
	server *softswitch.Server
	agent  *running
	engine atomic.Pointer[engine.Agent] // nil: it does not run
	store  *state.Store

	mu     sync.Mutex
	writes []*p4v1.Update // that the target took since watch
	watch  bool
}

// running is something that can be ended.
type running struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // valid when ended is closed
}

func run(do func(context.Context) error) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = do(ctx)
	}()
	return r
}

// stop ends it and waits. An error says why it had ended before, or did not end.
func (r *running) stop() error {
	r.cancel()
	select {
	case <-r.ended:
		if errors.Is(r.err, context.Canceled) {
			return nil
		}
		return r.err
	case <-time.After(stopTime):
		return fmt.Errorf("did not end within %v", stopTime)
	}
}

func (e *edge) now() time.Time { return time.Now().Add(time.Duration(e.offset.Load())) }

func (e *edge) socket() string { return filepath.Join(e.dir, e.name+".p4rt") }

// startTarget starts a target with empty tables.
func (e *edge) startTarget() error {
	_ = os.Remove(e.socket())
	lis, err := net.Listen("unix", e.socket())
	if err != nil {
		return err
	}
	ctx, unplug := context.WithCancel(context.Background())
	var cables sync.WaitGroup
	ports := map[uint16]port.Port{}
	for n, j := range e.jacks {
		ports[n] = j.plug(ctx, &cables).Port()
	}
	server, err := softswitch.New(softswitch.Options{
		DeviceID: uint64(e.n + 1), CPUPort: offload.CPUPort, Ports: ports, Logger: e.logger, Now: e.now, GRPC: []grpc.ServerOption{grpc.UnaryInterceptor(e.observe)},
	})
	if err != nil {
		unplug()
		return errors.Join(err, lis.Close())
	}
	e.server = server
	e.target = run(func(stopped context.Context) error {
		defer cables.Wait()
		defer unplug()
		return server.Serve(stopped, lis)
	})
	return nil
}

// stopTarget ends the target, and with it its tables.
func (e *edge) stopTarget() error {
	e.way.SetCut(true)
	defer e.way.SetCut(false)
	for _, j := range e.jacks {
		j.unplug()
	}
	if err := e.target.stop(); err != nil {
		return fmt.Errorf("target of %s: %w", e.name, err)
	}
	return nil
}

// impair makes a port's line bad, or good again. A target that has been restarted since has good ones.
func (e *edge) impair(at uint16, c impair.Config) error {
	e.busy.Lock()
	defer e.busy.Unlock()
	return e.server.SetImpairment(at, c)
}

// observe notes what the target takes.
func (e *edge) observe(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	resp, err := handle(ctx, req)
	if write, ok := req.(*p4v1.WriteRequest); ok && err == nil {
		e.mu.Lock()
		if e.watch {
			e.writes = append(e.writes, write.Updates...)
		}
		e.mu.Unlock()
	}
	return resp, err
}

// watchWrites begins to note what is written, or ends it and returns that.
func (e *edge) watchWrites(on bool) []*p4v1.Update {
	e.mu.Lock()
	defer e.mu.Unlock()
	writes := e.writes
	e.writes, e.watch = nil, on
	return writes
}

// startAgent starts an agent, with connections of its own.
func (e *edge) startAgent(ctx context.Context) error {
	var endpoints []string
	for _, p := range e.etcd {
		endpoints = append(endpoints, "http://"+p.Addr())
	}
	var store *state.Store
	for {
		var err error
		store, err = state.Open(ctx, state.Config{Client: state.ClientConfig{Endpoints: endpoints}, Edges: []string{e.name}, Linger: time.Second, Now: e.now, Log: e.logger})
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("edge %s: %w", e.name, err)
		}
	}
	agent, err := engine.NewAgent(engine.Config{
		Store: store, Self: engine.Edge{ID: e.name, VTEPs: []netip.Addr{vtepOf(e.n)}},
		Links: []engine.Uplink{{
			Port: offload.FirstUnderlay, MAC: packet.MAC{2, 0xed, 0, 0, 0, byte(e.n + 1)}, MTU: uint16(e.uplink.MTU),
			Addrs: []netip.Addr{e.uplink.Edge4.Addr(), e.uplink.Edge6.Addr()}, Gateway: []netip.Addr{e.uplink.Gateway4, e.uplink.Gateway6},
		}},
		Dial: p4rt.Dialer("passthrough:///"+e.way.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials())), DeviceID: uint64(e.n + 1), Profile: p4rt.Softswitch(),
		Logger: e.logger, Version: "soak", IdleTimeout: idleTimeout, AgeTime: 5 * time.Second, Timeouts: connTimes, VPortShare: 50,
		Election: func(seen p4rt.ElectionID) p4rt.ElectionID { return p4rt.ElectionID{Low: seen.Low + 1} },
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	e.store = store
	e.engine.Store(agent)
	e.agent = run(func(stopped context.Context) error {
		g, stopped := errgroup.WithContext(stopped)
		g.Go(func() error { return store.Run(stopped) })
		g.Go(func() error { return agent.Run(stopped) })
		return errors.Join(g.Wait(), store.Close())
	})
	return nil
}

// vtepOf is the tunnel address of an edge.
func vtepOf(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: byte(n + 1)})
}

// stopAgent ends the agent as SIGTERM does, or takes it away from everybody at once, as SIGKILL does: its connections end, and it says nothing more.
func (e *edge) stopAgent(kill bool) error {
	if kill {
		e.cut(true)
		defer e.cut(false)
	}
	defer e.engine.Store(nil)
	if err := e.agent.stop(); err != nil && !kill {
		return fmt.Errorf("agent of %s: %w", e.name, err)
	}
	return nil
}

// cut cuts the agent off from all, or ends that.
func (e *edge) cut(cut bool) {
	e.way.SetCut(cut)
	for _, p := range e.etcd {
		p.SetCut(cut)
	}
}

// settled waits until the agent has the network in the target, and a path to the others.
func (e *edge) settled(ctx context.Context) error {
	agent := e.engine.Load()
	wait := func() error {
		select {
		case <-agent.Ready():
		case <-e.agent.ended:
			return fmt.Errorf("the agent has ended: %w", e.agent.err)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", context.Cause(ctx))
		}
		if err := agent.WaitApplied(ctx); err != nil {
			return fmt.Errorf("not applied: %w", err)
		}
		if err := agent.WaitReachable(ctx); err != nil {
			return fmt.Errorf("not reachable: %w", err)
		}
		return nil
	}
	if err := wait(); err != nil {
		return fmt.Errorf("edge %s: %w", e.name, err)
	}
	return nil
}
