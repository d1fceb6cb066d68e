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
	"google.golang.org/grpc"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/impair"
	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/testbed/fabric"
)

// Times of edges, short so that what is over is gone soon.
const (
	idleTimeout = 4 * time.Second
	blockTime   = 6 * time.Second // of leases of ports for translations
	stopTime    = time.Minute     // that an agent or a target has to end
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

	controllers []*controller // agents: one, or two of which one acts

	busy   sync.Mutex // held by who ends and starts target or agents
	target *running
	server *softswitch.Server

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
	for _, c := range e.controllers {
		c.way.SetCut(true)
		defer c.way.SetCut(false)
	}
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

// vtepOf is the tunnel address of an edge.
func vtepOf(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: byte(n + 1)})
}
