package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/otlp"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/rpki"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/telemetry"
	"github.com/weft-sdn/weft/vpn"
)

// edgeAgent drives one edge; *engine.Agent is one.
type edgeAgent interface {
	Run(context.Context) error
	Ready() <-chan struct{} // closed while the target holds what the network asks for
	Stats() engine.Stats
	Silent() []netip.Addr // gateways that don't answer
	Flows(context.Context) ([]engine.Flow, error)
	Drops(context.Context) ([]engine.Drop, error)
	RoundDrops(context.Context) ([]engine.Drop, error) // what entries dropped as of the last round
	Pools(context.Context) ([]engine.PoolStats, error)
	Usage(context.Context) ([]state.Usage, error)
	TenantUsage(context.Context) (map[string]state.UsageTotals, error)
	Sessions() []bgp.Status
	VPNs() []vpn.Status
	Routes(session string, sent bool, c bgp.Choice) ([]bgp.Route, error)
	Caches() []rpki.CacheStatus
	RuleHits(context.Context) ([]engine.RuleHits, error)
	Telemetry() *telemetry.Collector // nil: the target is not asked how its links are
}

const (
	firstPause = time.Second // between an edge's end and its next start
	maxPause   = 30 * time.Second
)

// runner keeps one edge running.
//
//	NoDatabase ──store──▶ NoTarget ◀─▶ NotLive ◀─▶ Serving
//	                         ▲            │ ended with an error
//	                         └─ pause ◀───┴───▶ Stopped: another process took the edge
//
// With HA it is Standby first, and again when another agent acts for the edge.
type runner struct {
	cfg    Edge
	log    *slog.Logger
	make   func(*state.Store) (edgeAgent, error)
	name   string           // of this run of the agent, one of several
	record func(state.Note) // the database's event log, set before an agent runs

	traces     *otlp.Exporter // nil: nothing is traced
	traceEvery uint32         // one of how many packet-ins

	mu      sync.Mutex
	agent   edgeAgent // nil unless one runs
	stopped bool      // for good
	err     error     // why the last one ended
	live    bool      // the database has the edge, as far as the agent can tell
	lost    error     // why it has it no more
	target  string    // why the target is not programmed, or reached if it stands by; empty: it is, or was not reached yet
	standby bool
	terms   uint64 // how often this process began to act for the edge, one of several agents
}

// newRunner returns the runner of an edge whose status can be asked for at a URL.
func newRunner(cfg Edge, status, version string, log *slog.Logger) *runner {
	r := &runner{cfg: cfg, log: log.With("edge", cfg.ID)}
	r.make = func(store *state.Store) (edgeAgent, error) {
		dial, err := cfg.Target.Dialer()
		if err != nil {
			return nil, err
		}
		c := cfg.engine(store, dial, status, version, log)
		if c.Pipeline, err = cfg.Target.Pipeline.Load(); err != nil {
			return nil, err
		}
		c.OnTarget = func(err error) string { return r.onTarget(err, store.View()) }
		c.OnLive = r.onLive
		r.traced(&c)
		if cfg.HA {
			r.name = agentName()
			c.Agent, c.OnRole = r.name, r.onRole
		}
		s, err := NewSpeaking(c, bgp.Config{Edge: cfg.ID, Store: store, Stack: bgp.Stack(cfg.BGP.Stack), Secret: cfg.BGP.secret, Caches: cfg.BGP.caches(), Log: r.log}, cfg.VPN.keeper(cfg.ID, store, r.log))
		if err != nil || cfg.GNMI.isZero() {
			return s, err
		}
		links, err := cfg.GNMI.collector(r.log)
		if err != nil {
			return nil, err
		}
		s.Watch(links)
		return s, nil
	}
	return r
}

// agentName is a name that no other run of an agent has.
func agentName() string {
	host, err := os.Hostname()
	if err != nil || strings.ContainsAny(host, "/ ") {
		host = "agent"
	}
	return fmt.Sprintf("%s-%08x", host, rand.Uint32())
}

// engine is the configuration as the engine wants it.
func (e *Edge) engine(store *state.Store, dial func(context.Context) (p4rt.Conn, error), status, version string, log *slog.Logger) engine.Config {
	c := engine.Config{
		Store: store, Self: engine.Edge{ID: e.ID, VTEPs: e.VTEPs, Tunnel: tunnels()[e.Tunnel], Multicast: e.Multicast}, Interfaces: e.Interfaces, VPortShare: int(e.VPortShare), TenantRate: int(e.TenantRate), MaxFlows: int64(e.MaxFlows), Timeouts: e.Connections.timeouts(),
		AwayAfter: time.Duration(e.Connections.AwayAfter) * time.Second, BlockTime: time.Duration(e.Connections.BlockTime) * time.Second,
		AgeTime: time.Duration(e.MACAge) * time.Second, CounterInterval: time.Duration(e.CounterInterval) * time.Second,
		Dial: dial, DeviceID: e.Target.DeviceID, CPUPort: e.Target.CPUPort, Profile: profiles()[e.Target.Profile], Logger: log, Version: version, Status: status,
	}
	id, _ := parseElection(e.Target.ElectionID) // checked
	c.Election = func(p4rt.ElectionID) p4rt.ElectionID { return id }
	for _, u := range e.Uplinks {
		c.Links = append(c.Links, engine.Uplink{Port: u.Port, MAC: u.MAC, Addrs: u.Addresses, Gateway: u.Gateways, MTU: u.MTU})
	}
	return c
}

// Dialer opens connections to the target.
func (t *Target) Dialer() (func(context.Context) (p4rt.Conn, error), error) {
	creds := insecure.NewCredentials()
	if !t.TLS.IsZero() {
		c, err := t.TLS.Client()
		if err != nil {
			return nil, err
		}
		creds = credentials.NewTLS(c)
	}
	name := t.Address
	if !strings.HasPrefix(name, "unix:") {
		name = "dns:///" + name
	}
	return p4rt.Dialer(name, grpc.WithTransportCredentials(creds)), nil
}

// Load reads the pipeline; none is named: v1model's.
func (p *Pipeline) Load() (p4src.Pipeline, error) {
	if *p == (Pipeline{}) {
		return p4src.V1Model()
	}
	return p4src.LoadPipeline(p.P4Info, p.DeviceConfig)
}

// run runs the edge until ctx ends (nil), another process takes it, or it can't be made at the start. Later on, what it is made of may be changing: it is tried again.
func (r *runner) run(ctx context.Context, store *state.Store) error {
	pause := firstPause
	r.record = store.Record
	for first := true; ; first = false {
		agent, err := r.make(store)
		if err != nil && first {
			return r.stop(fmt.Errorf("edge %s: %w", r.cfg.ID, err))
		}
		began := time.Now()
		if err == nil {
			r.set(agent, nil)
			err = agent.Run(ctx)
		}
		r.set(nil, err)
		switch {
		case ctx.Err() != nil:
			r.note(state.EventNormal, "EdgeStopped", "the agent was told to end; the target goes on forwarding")
			return nil
		case errors.Is(err, state.ErrEdgeTaken) && r.cfg.HA:
			continue
		case errors.Is(err, state.ErrEdgeTaken):
			r.note(state.EventWarning, "EdgeTaken", "another process runs the edge now, and this one does not any more")
			return r.stop(fmt.Errorf("edge %s: another process runs it now; stop that one, or take the edge out of this configuration: %w", r.cfg.ID, err))
		}
		if time.Since(began) > maxPause {
			pause = firstPause
		}
		r.note(state.EventWarning, "EdgeFailed", fmt.Sprintf("the edge ended, and is started again in %v: %v", pause, err))
		r.log.Error("the edge ended, and is started again", "err", err, "in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

func (r *runner) set(agent edgeAgent, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agent, r.err = agent, err
	r.live, r.lost, r.target, r.standby = false, nil, "", agent != nil && r.cfg.HA
}

func (r *runner) stop(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agent, r.stopped, r.err = nil, true, err
	return err
}

// running returns the agent, nil if none runs.
func (r *runner) running() edgeAgent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.agent
}

// acting reports whether the agent acts for the edge, one of several, and how often this process began to.
func (r *runner) acting() (acts bool, terms uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.agent != nil && !r.standby, r.terms
}

// standsBy reports whether an agent runs, one of several, that does not act for the edge: of what is installed, dropped and carried there it knows nothing.
func (r *runner) standsBy() bool {
	acts, _ := r.acting()
	return r.cfg.HA && !acts && r.running() != nil
}

// status says where the edge stands. The view is nil while there is no database.
func (r *runner) status(v *state.View) EdgeStatus {
	s := EdgeStatus{ID: r.cfg.ID, Target: r.cfg.Target.Address}
	r.mu.Lock()
	agent, stopped, err, live, lost, target, standby := r.agent, r.stopped, r.err, r.live, r.lost, r.target, r.standby
	r.mu.Unlock()
	if err != nil {
		s.Error = err.Error()
	}
	if v != nil {
		e := v.Edges.Of(s.ID)
		s.Applied, s.Wanted, s.Lacks = e.Applied, v.Conf, e.Lacks
	}
	switch {
	case stopped:
		s.State = Stopped
	case agent == nil && err != nil:
		s.State = Restarting
	case agent == nil:
		s.State = NoDatabase
	case standby:
		if s.State, s.Error = Standby, ""; target != "" {
			s.State, s.Error = NoTarget, target
		}
	default:
		s.Flows, s.Silent = agent.Stats().Flows, agent.Silent()
		select {
		case <-agent.Ready():
			if s.State = Serving; !live {
				s.State = NotLive
				if lost != nil {
					s.Error = lost.Error()
				}
			}
		default:
			s.State, s.Error = NoTarget, target
		}
	}
	return s
}
