// Package lab runs a scenario's installation on one machine: etcd, edges of an agent and a target each, a routed underlay between them, and hosts on
// cables. Agents, targets and etcd share nothing but connections, whether they run in this process or in processes of their own.
package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/fabric"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wire"
	"github.com/weft-sdn/weft/topology"
)

// Targets by name.
const (
	Softswitch = "softswitch"
	BMv2       = "bmv2"
	Stratum    = "stratum"
)

// Targets are the names of all.
func Targets() []string { return []string{Softswitch, BMv2, Stratum} }

// Config says what a lab is made of.
type Config struct {
	Scenario *scenario.Scenario
	// Target runs the pipelines: Softswitch (the default), BMv2, which needs root and simple_switch_grpc on PATH, or Stratum: a softswitch with the ways of Stratum on Tofino.
	Target string
	// Processes gives etcd, each target and each agent a process of its own.
	Processes bool
	// Reachable makes agents and targets of this process listen at sockets as those of other processes do, so that commands find them.
	Reachable bool
	// Executable is the weft binary that such processes run; default: this process's own.
	Executable string
	// PowerOn makes the hosts; default: scenario.InMemory.
	PowerOn scenario.PowerOn
	// Pcap is a directory for a capture of each cable; empty: none. It is made if it is not there.
	Pcap string
	// Listen is etcd's client URL; empty: a unix socket of the lab's own.
	Listen string
	// Way is where the agent of an edge, if it is in this process, reaches etcd, which is at an endpoint; nil: there.
	Way func(edge, endpoint string) (string, error)
	// SparePorts is the number of access ports, named from "1", that each edge has at least.
	SparePorts int
	// Trace prints what would happen to a packet, as `weft trace` with these flags does; nil: the lab has no trace steps.
	Trace func(snap *topology.Snapshot, flags []string) ([]string, error)
	// BGPStack and BGPSecret are those of speakers in this process: bgp.Config.
	BGPStack  bgp.Stack
	BGPSecret func(tenant, name string) (string, error)
	// RPKI are the caches that speakers in this process ask.
	RPKI []rpki.Cache
	// DataPort is what VPNs have between agents and targets in processes of their own: veth or tap, interfaces of the kernel's, which needs root; empty: a socket. What comes out of VPNs by
	// such interfaces is not counted as sent.
	DataPort string
	// VPNSecret gives preshared keys of VPNs to agents in this process.
	VPNSecret func(tenant, name string) (string, error)
	// IdleTimeout and AgeTime are those of agents in this process; 0: engine.Config's defaults.
	IdleTimeout, AgeTime time.Duration
	// AwayAfter is how long the database may leave questions of agents in this process unanswered before it is away; 0: 10 s, for it shares its processors
	// with all else of the lab.
	AwayAfter  time.Duration
	Timeouts   conntrack.Timeouts // of connections, the same
	VPortShare int                // the same
	MaxFlows   int64              // the same
	PuntRate   int64              // the same
	// Linger is that of their stores; 0: state.Config's default.
	Linger time.Duration
	// Logger gets the logs of what runs in this process; nil: nobody.
	Logger *slog.Logger

	server  []grpc.ServerOption // of targets in this process: for benchmarks
	durable bool                // etcd of this process syncs to disk: the same
}

// Lab is one installation. Run brings it up; from then on it does what steps of a scenario say.
type Lab struct {
	*scenario.Machines
	cfg    Config
	plan   *plan
	fabric *fabric.Fabric
	edges  []*edge
	cables []*wire.Cable // to hosts
	plugs  *plugs
	ready  chan struct{} // closed when the network of the scenario works

	mu       sync.Mutex
	dir      string       // while Run runs: sockets, logs, etcd's data
	store    *state.Store // the lab's own view of the database, while Run runs
	database database     // the same
	across   time.Time    // when a ping first went across edges
}

// New makes a lab of a scenario. It starts nothing; Run does. Its errors say what is wrong with the scenario.
func New(cfg Config) (*Lab, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.PowerOn == nil {
		cfg.PowerOn = scenario.InMemory
	}
	if cfg.Target == "" {
		cfg.Target = Softswitch
	}
	if !slices.Contains(Targets(), cfg.Target) {
		return nil, fmt.Errorf("target %q: is not known; use %s", cfg.Target, strings.Join(Targets(), ", "))
	}
	if cfg.Target == BMv2 {
		if err := bmv2Missing(); err != nil {
			return nil, fmt.Errorf("target bmv2: %w; use --target softswitch", err)
		}
	}
	if cfg.DataPort != "" && (!cfg.Processes || cfg.Target == BMv2) {
		return nil, errors.New("data ports of the kernel are for softswitches in processes of their own")
	}
	if cfg.Executable == "" {
		var err error
		if cfg.Executable, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	p, err := newPlan(cfg.Scenario, cfg.SparePorts)
	if err != nil {
		return nil, err
	}
	program, err := newProgram(cfg.Target)
	if err != nil {
		return nil, err
	}
	l := &Lab{Machines: scenario.NewMachines(), cfg: cfg, plan: p, ready: make(chan struct{})}
	if l.fabric, err = fabric.New(fabric.Config{MTU: p.mtu}); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Scenario.Name, err)
	}
	for _, ep := range p.edges {
		e, err := newEdge(l, ep, program)
		if err != nil {
			return nil, fmt.Errorf("%s: edge %s: %w", cfg.Scenario.Name, ep.name, err)
		}
		l.edges = append(l.edges, e)
	}
	l.plugs = newPlugs(l)
	if err := l.checkCounters(); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Scenario.Name, err)
	}
	return l, nil
}

// Ready is closed once all edges have the scenario's network and a path to each other, and the hosts are plugged in.
func (l *Lab) Ready() <-chan struct{} { return l.ready }

// Endpoints are etcd's client URLs; none before the lab is ready.
func (l *Lab) Endpoints() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.database == nil {
		return nil
	}
	return l.database.endpoints()
}

// Edges are the names of the edges.
func (l *Lab) Edges() []string {
	var names []string
	for _, e := range l.plan.edges {
		names = append(names, e.name)
	}
	return names
}

// FirstPing is when a host first reached one at another edge by ping; zero: not yet.
func (l *Lab) FirstPing() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.across
}

// ResidentBytes is the largest physical memory that an agent's process has now; false if agents have no processes of their own.
func (l *Lab) ResidentBytes() (most uint64, ok bool) {
	for _, e := range l.edges {
		if a, served := e.agent.(*servedAgent); served && a.child != nil {
			if n, known := a.child.residentBytes(); known {
				most, ok = max(most, n), true
			}
		}
	}
	return most, ok
}

// Run brings the lab up and keeps it up until ctx ends (nil), or something of it does. Nothing is left of it then: no process, namespace or file, but for
// captures.
//
//	hosts ──▶ agents ──▶ targets, cables, fabric ──▶ the lab's own view of the database ──▶ etcd
//
// Each stands upon what is to the right of it: that comes up before, and ends after.
func (l *Lab) Run(ctx context.Context) (err error) {
	place, err := newPlace()
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer func() { err = errors.Join(err, place.remove()) }()
	stopCaptures, err := l.capture()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopCaptures()) }()
	if err := newVPNKey(place.dir); err != nil {
		return err
	}
	db, err := l.newDatabase(place.dir)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.dir = place.dir
	l.mu.Unlock()
	return stand(ctx, []part{{"etcd", db.run}}, func(ctx context.Context) error {
		if err := db.serves(ctx); err != nil {
			return err
		}
		return l.withStore(ctx, db)
	})
}

// withStore runs what needs the database.
func (l *Lab) withStore(ctx context.Context, db database) (err error) {
	store, err := openStore(ctx, db.endpoints(), l.cfg.Logger, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	l.mu.Lock()
	l.store, l.database = store, db
	l.mu.Unlock()
	return stand(ctx, []part{{"view of the database", store.Run}}, func(ctx context.Context) error {
		revision, err := store.Apply(ctx, l.plan.objects)
		if err != nil {
			return fmt.Errorf("%s: %w", l.cfg.Scenario.Name, err)
		}
		return l.withTargets(ctx, revision)
	})
}

// patience is how long a lab waits for its etcd to answer: the machine may be busy with other things.
const patience = time.Minute

// openStore connects to the database, for the lab as each agent does for itself. With edges, it holds what they need.
func openStore(ctx context.Context, endpoints []string, logger *slog.Logger, linger time.Duration, edges ...string) (*state.Store, error) {
	for deadline := time.Now().Add(patience); ; {
		store, err := state.Open(ctx, state.Config{Client: state.ClientConfig{Endpoints: endpoints}, Log: logger, Edges: edges, Linger: linger})
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return store, err
		}
	}
}

// ways are where an edge's agent reaches the database.
func (l *Lab) ways(edge string) (ways []string, err error) {
	for _, to := range l.database.endpoints() {
		if l.cfg.Way != nil {
			if to, err = l.cfg.Way(edge, to); err != nil {
				return nil, err
			}
		}
		ways = append(ways, to)
	}
	return ways, nil
}

// Store is an edge's own connection to the database, if its agent is in this process: its views hold what the edge needs.
func (l *Lab) Store(edge string) (*state.Store, error) {
	a, err := l.local(edge)
	if err != nil {
		return nil, err
	}
	if s := a.store.Load(); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: the agent of edge %s does not run now", scenario.ErrLab, edge)
}

// withTargets runs the underlay and the targets, and the rest upon them.
func (l *Lab) withTargets(ctx context.Context, revision int64) (err error) {
	parts := []part{{"fabric", l.fabric.Run}}
	for _, c := range l.cables {
		parts = append(parts, part{"cable", c.Run})
	}
	for _, e := range l.edges {
		if err := e.makeTarget(l.dir); err != nil {
			return err
		}
		parts = append(parts, part{"target of edge " + e.plan.name, e.target.run})
		if e.vpn != nil {
			parts = append(parts, part{"data port of edge " + e.plan.name, e.runVPN(l.dir)})
		}
	}
	return stand(ctx, parts, func(ctx context.Context) (err error) {
		for _, e := range l.edges {
			if err := e.connect(ctx); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, e.reader.close()) }()
		}
		var agents []part
		for _, e := range l.edges {
			ways, err := l.ways(e.plan.name)
			if err != nil {
				return err
			}
			if err := e.makeAgent(l, ways); err != nil {
				return err
			}
			agents = append(agents, part{"agent of edge " + e.plan.name, e.agent.run})
		}
		return stand(ctx, agents, func(ctx context.Context) error { return l.withHosts(ctx, revision) })
	})
}

// withHosts powers the hosts on while the edges come up, and plugs them in when those can forward.
func (l *Lab) withHosts(ctx context.Context, revision int64) error {
	defer l.plugs.powerOff()
	if err := l.plugs.powerOn(); err != nil {
		return err
	}
	if err := l.waitNetwork(ctx, revision); err != nil {
		return err
	}
	return stand(ctx, []part{{"hosts", l.plugs.follow}}, func(ctx context.Context) error {
		if err := l.plugs.wait(ctx, revision); err != nil {
			return err
		}
		return l.withRemotes(ctx, func() error {
			close(l.ready)
			return until(ctx)
		})
	})
}

// waitNetwork waits until all edges are live, have a revision, and have paths to those where something is that they surely know of.
func (l *Lab) waitNetwork(ctx context.Context, revision int64) error {
	if err := l.waitLive(ctx); err != nil {
		return err
	}
	if err := l.store.WaitApplied(ctx, revision); err != nil {
		return err
	}
	bindings := l.store.View().Bindings
	for _, e := range l.edges {
		vports, at := l.surelyKnown(e, bindings)
		peers, paths := 0, 0
		for _, to := range l.edges {
			if to != e && at[to.plan.name] {
				peers++
				paths += e.ways(to)
			}
		}
		if err := e.waitReachable(ctx, peers, paths, vports); err != nil {
			return err
		}
	}
	return nil
}

// surelyKnown counts the vports of which an edge has a place whatever is sent, those of the devices that it hosts, and tells at which edges they are.
func (l *Lab) surelyKnown(e *edge, bindings *state.Bindings) (n int, at map[string]bool) {
	at = map[string]bool{}
	hosts := map[topology.DeviceID]bool{}
	for _, b := range bindings.Edge(e.plan.name) {
		hosts[b.Device] = true
	}
	for b := range bindings.All() {
		if hosts[b.Device] && l.plan.edge(b.Edge) != nil {
			n++
			at[b.Edge] = true
		}
	}
	return n, at
}

// waitLive waits until every edge has registered.
func (l *Lab) waitLive(ctx context.Context) error {
	watch, stop := context.WithCancel(ctx)
	defer stop()
	all := false
	err := l.store.Watch(watch, func(c state.Change) {
		all = true
		for _, e := range l.edges {
			live := c.View.Edges.Has(e.plan.name)
			all = all && live
		}
		if all {
			stop()
		}
	})
	if !all {
		return errors.Join(err, fmt.Errorf("not all edges came up: %w", context.Cause(ctx)))
	}
	return err
}

// VTEPs implements scenario.Network.
func (l *Lab) VTEPs(edge string) ([]netip.Addr, error) {
	e, err := l.edge(edge)
	if err != nil {
		return nil, err
	}
	return e.plan.vteps, nil
}

func (l *Lab) edge(name string) (*edge, error) {
	for _, e := range l.edges {
		if e.plan.name == name {
			return e, nil
		}
	}
	return nil, fmt.Errorf("%w: no edge %s; edges are %q", scenario.ErrLab, name, l.Edges())
}
