package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/fabric"
	"github.com/weft-sdn/weft/testbed/wire"
)

// edge is an edge of a lab: a target with its cables, and an agent.
type edge struct {
	plan    *edgePlan
	cfg     *Config
	logger  *slog.Logger
	uplinks []*fabric.Port
	access  map[uint16]*accessPort
	vpn     *wire.Cable // to the agent, for VPNs; nil: there is none
	kernel  *kernelPort // in place of that

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
	e := &edge{plan: ep, cfg: &l.cfg, logger: l.cfg.Logger.With("edge", ep.name), program: program, access: map[uint16]*accessPort{}}
	for _, n := range ep.links {
		uplink, err := l.fabric.Plug(n, ep.mtu)
		if err != nil {
			return nil, err
		}
		e.uplinks = append(e.uplinks, uplink)
	}
	for i, a := range ep.vteps {
		first := i % len(ep.links)
		if err := l.fabric.Route(netip.PrefixFrom(a, a.BitLen()), ep.links[first], slices.Concat(ep.links[first+1:], ep.links[:first])...); err != nil {
			return nil, err
		}
	}
	for name, n := range ep.interfaces {
		c := wire.New(wire.Config{NameA: ep.name + ":" + name, NameB: "hosts of " + ep.name + ":" + name})
		l.cables = append(l.cables, c)
		if name == vpnInterface {
			e.vpn = c
			continue
		}
		e.access[n] = &accessPort{cable: c, trunk: wire.NewTrunk(c.B())}
	}
	return e, nil
}

// cable is that of an access port.
func (e *edge) cable(n uint16) *wire.Cable {
	if a := e.access[n]; a != nil {
		return a.cable
	}
	return e.vpn
}

// makeTarget makes the target that the lab's configuration asks for.
func (e *edge) makeTarget(dir string) (err error) {
	cfg := targetConfig{edge: e.plan.name, mtu: fabric.DefaultMTU, stratum: e.cfg.Target == Stratum, deviceID: uint64(e.plan.n), dir: dir, logger: e.logger, ports: map[uint16]*wire.End{}}
	for i, u := range e.uplinks {
		cfg.ports[offload.FirstUnderlay+uint16(i)], cfg.mtu = u.Edge(), max(cfg.mtu, u.MTU)
	}
	for n, a := range e.access {
		cfg.ports[n] = a.cable.A()
	}
	if e.vpn != nil && e.cfg.DataPort == "" {
		cfg.ports[e.plan.interfaces[vpnInterface]] = e.vpn.A()
	} else if e.vpn != nil {
		if e.kernel, err = newKernelPort(e.cfg.DataPort); err != nil {
			return fmt.Errorf("edge %s: %w", e.plan.name, err)
		}
		cfg.kernel, cfg.kernelPort = e.kernel, e.plan.interfaces[vpnInterface]
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

// links are the edge's places in the underlay.
func (e *edge) links() []engine.Uplink {
	all := make([]engine.Uplink, len(e.uplinks))
	for i, u := range e.uplinks {
		all[i] = engine.Uplink{
			Port: offload.FirstUnderlay + uint16(i), MAC: packet.MAC{2, 0xed, 0, 0, 0, byte(u.N)}, MTU: uint16(u.MTU),
			Addrs: []netip.Addr{u.Edge4.Addr(), u.Edge6.Addr()}, Gateway: []netip.Addr{u.Gateway4, u.Gateway6},
		}
	}
	return all
}

// ways counts the ways to an edge: over each uplink, between each pair of tunnel addresses.
func (e *edge) ways(to *edge) int { return len(e.uplinks) * len(e.plan.vteps) * len(to.plan.vteps) }

// waitReachable waits until the target has as many ways to peers, and a place for the vports that are bound here and, as far as its agent uses
// them, elsewhere: those of other edges follow the paths in one submission, so that two readings that agree have them.
func (e *edge) waitReachable(ctx context.Context, peers, paths, vports int) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	before := -1
	for {
		has, err := e.reader.reaches(ctx)
		whole := err == nil && has.peers >= peers && has.paths >= paths
		if whole && has.places >= vports && has.places == before {
			return nil
		}
		if before = has.places; !whole {
			before = -1
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("edge %s has %d of %d paths, to %d of %d edges, and places of %d of %d vports: %w",
				e.plan.name, has.paths, paths, has.peers, peers, has.places, vports, context.Cause(ctx)), err)
		}
	}
}
