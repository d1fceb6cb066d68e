package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/fabric"
	"github.com/weft-sdn/weft/testbed/wire"
)

// edge is an edge of a lab: a target with its cables, and an agent.
type edge struct {
	plan   *edgePlan
	cfg    *Config
	logger *slog.Logger
	uplink *fabric.Port
	access map[uint16]*accessPort

	program *program
	target  target
	reader  *reader
	agent   agent
}

// accessPort is where hosts are plugged in.
type accessPort struct {
	cable *wire.Cable // A: the target's end
	trunk *wire.Trunk
}

func newEdge(l *Lab, ep *edgePlan, program *program) (*edge, error) {
	uplink, err := l.fabric.Plug(ep.n, ep.mtu)
	if err != nil {
		return nil, err
	}
	for _, a := range ep.vteps {
		if err := l.fabric.Route(netip.PrefixFrom(a, a.BitLen()), ep.n); err != nil {
			return nil, err
		}
	}
	e := &edge{plan: ep, cfg: &l.cfg, logger: l.cfg.Logger.With("edge", ep.name), uplink: uplink, program: program, access: map[uint16]*accessPort{}}
	for name, n := range ep.interfaces {
		c := wire.New(wire.Config{NameA: ep.name + ":" + name, NameB: "hosts of " + ep.name + ":" + name})
		l.cables = append(l.cables, c)
		e.access[n] = &accessPort{cable: c, trunk: wire.NewTrunk(c.B())}
	}
	return e, nil
}

// makeTarget makes the target that the lab's configuration asks for.
func (e *edge) makeTarget(dir string) (err error) {
	cfg := targetConfig{edge: e.plan.name, mtu: max(e.uplink.MTU, fabric.DefaultMTU), deviceID: uint64(e.plan.n), dir: dir, logger: e.logger, ports: map[uint16]*wire.End{offload.FirstUnderlay: e.uplink.Edge()}}
	for n, a := range e.access {
		cfg.ports[n] = a.cable.A()
	}
	switch {
	case e.cfg.Target == BMv2:
		e.target, err = newBMv2(cfg)
	case e.cfg.Processes:
		e.target, err = newProcess(e.cfg.Executable, cfg)
	default:
		e.target, err = newInMemory(cfg, e.cfg.Reachable, e.cfg.server)
	}
	if err != nil {
		return fmt.Errorf("edge %s: %w", e.plan.name, err)
	}
	return nil
}

// connect opens the lab's own connection to the target.
func (e *edge) connect(ctx context.Context) error {
	err := e.target.serves(ctx)
	if err == nil {
		conn, dialErr := e.target.dial(ctx)
		if err = dialErr; err == nil {
			e.reader = newReader(e.program, uint64(e.plan.n), conn)
			return nil
		}
	}
	return fmt.Errorf("edge %s: %w", e.plan.name, err)
}

// uplinkOf is the edge's place in the underlay.
func (e *edge) link() engine.Uplink {
	return engine.Uplink{
		Port: offload.FirstUnderlay, MAC: packet.MAC{2, 0xed, 0, 0, 0, byte(e.plan.n)}, MTU: uint16(e.uplink.MTU),
		Addrs: []netip.Addr{e.uplink.Edge4.Addr(), e.uplink.Edge6.Addr()}, Gateway: []netip.Addr{e.uplink.Gateway4, e.uplink.Gateway6},
	}
}

// waitReachable waits until the target has a path to as many peers, and a place for the vports that are bound here and, as far as its agent uses
// them, elsewhere: those of other edges follow the paths in one submission, so that two readings that agree have them.
func (e *edge) waitReachable(ctx context.Context, peers, vports int) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	before := -1
	for {
		ways, places, err := e.reader.reaches(ctx)
		if err == nil && ways >= peers && places >= vports && places == before {
			return nil
		}
		if before = places; err != nil || ways < peers {
			before = -1
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("edge %s has paths to %d of %d edges, and places of %d of %d vports: %w", e.plan.name, ways, peers, places, vports, context.Cause(ctx)), err)
		}
	}
}
