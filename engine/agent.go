package engine

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Config describes an agent: one edge and the target that it programs.
type Config struct {
	Store      *state.Store // the caller runs it
	Self       Edge
	Links      []Uplink
	Interfaces map[string]uint16 // names that bindings use → access port of the target. A decimal number needs no entry
	Dial       func(context.Context) (p4rt.Conn, error)
	DeviceID   uint64
	CPUPort    uint16 // of the target; default offload.CPUPort
	Election   func(seen p4rt.ElectionID) p4rt.ElectionID
	Profile    p4rt.Profile
	Pipeline   p4src.Pipeline // that the target is to run; default: v1model's
	Logger     *slog.Logger
	Version    string // shown to operators
	Status     string // where this agent's status can be asked for; "" is nowhere
	// Agent names this run among several agents that may act for the edge; "": there are no others, and who starts has the edge. Election is then the least id of all
	// of them, to which terms are added.
	Agent string
	// OnRole is told that this agent acts for the edge (true), or stands by. From one goroutine; may be nil.
	OnRole func(acts bool)
	// OnTarget is told each time that the target is lost, or refuses this controller, and why; nil: it is programmed. What it returns is the reason that other edges
	// and `weft edges` see; nothing: it is programmed. From one goroutine; may be nil.
	OnTarget func(error) string
	Speaker  Speaker // of the ports with BGP sessions; nil: sessions are not carried out
	// OnLive is told that the database has the edge (nil), or why it has it no more, as far as this side can tell. From one goroutine; may be nil.
	OnLive func(error)
	// Solicit is how often gateways are asked whether they are still there; default 10 s. Unanswered ones are asked each second.
	Solicit time.Duration
	// IdleTimeout is how long a flow entry lives without a packet; default 60 s.
	IdleTimeout time.Duration
	// CounterInterval is how often the counters of all entries are read back, if that takes little of the target's time; default 10 s.
	CounterInterval time.Duration
	// PuntRate is how many packets a second each vport may have punted to the agent; default 50,000.
	PuntRate int64
	// TenantRate is how many packets a second all vports of a tenant together may have decided here; default any number.
	TenantRate int
	// Workers is how many packets are simulated at once; default the number of processors that the process may use, 8 at most.
	Workers int
	// VPortShare is how much of each flow table, in percent, the flows of one vport may take; what is beyond it stays on the slow path. Default 10.
	VPortShare int
	// MaxFlows is how many flow entries the edge may have (E5); default: what the target's tables hold.
	MaxFlows int64
	// AgeTime is how long a learnt MAC lives after its last flow (B3); default 30 s.
	AgeTime  time.Duration
	Timeouts conntrack.Timeouts // of connections; zero: the defaults
	// AwayAfter is how long the database may leave questions without an answer before it is away, and rules that say so have connections begin without it; default 1 s.
	AwayAfter time.Duration
	// BlockTime is how long ports that are leased for translations stay the agent's while it does not reach the database, less an eighth; default 15 min (N2).
	BlockTime time.Duration
	// TraceShare is how much of the packet-ins Trace is told the lives of, from 0 to 1. It must not wait, and is called from several goroutines; nil: nothing is traced.
	TraceShare float64
	Trace      func(*Life)
}

// Agent drives one edge: its target holds what the database's view asks for, and what first packets led to.
//
// One goroutine, decide, owns all state. Others bring it what they have:
//
//	store:   Watch ─────────────▶ mailbox ─┐          view, layout, flows
//	session: packet-in ─▶ queue ─▶ workers ┼─▶ decide ─────────────────▶ Writer ─▶ target
//	session: term begins, ready, lost ─────┤     │
//	writer:  updates acknowledged ─────────┤     └─▶ packet-out
//	effects: learnt, asked ────────────────┘
type Agent struct {
	cfg     Config
	tables  *offload.Tables
	session *p4rt.Session
	writer  *p4rt.Writer
	here    *residents
	queue   *packetQueue
	workers *workers
	snap    atomic.Pointer[topology.Snapshot] // the core's, for workers
	mail    *mailbox
	fields  metaFields
	counts  counts
	core    *core   // owned by decide
	shared  *shared // nil: no other agent may act for the edge
	early   early

	tallying chan struct{} // cap 1: held by who reads what the target dropped

	registration atomic.Pointer[state.Registration] // nil before Run

	whole chan struct{}      // closed when the core has its first view: all that the database has for this edge
	greet chan chan struct{} // asks for the gateways before anything else is written; the inner one is closed when all have answered

	mu       sync.Mutex
	mute     []netip.Addr  // gateways that do not answer
	progress chan struct{} // closed and made anew when reached changes
	reached  reached
}

// reached is how far an agent is, for those who wait.
type reached struct {
	applied int64  // revision of the configuration that the target has
	moves   uint64 // how often the ways to others changed
	routed  bool   // the target has them
}

// metaFields are the positions of packet-in metadata.
type metaFields struct{ port, vport, reason, tunnel int }

// NewAgent returns an agent that does nothing until Run. Its error names what is wrong with the configuration, or what the pipeline lacks.
func NewAgent(cfg Config) (*Agent, error) {
	if cfg.Store == nil {
		return nil, fmt.Errorf("edge %s: no store", cfg.Self.ID)
	}
	for _, l := range cfg.Links {
		if l.Port < offload.FirstUnderlay || l.Port > offload.LastUnderlay {
			return nil, fmt.Errorf("edge %s: uplink port %d: ports of uplinks are %d to %d", cfg.Self.ID, l.Port, offload.FirstUnderlay, offload.LastUnderlay)
		}
	}
	for name, port := range cfg.Interfaces {
		if port >= offload.FirstUnderlay {
			return nil, fmt.Errorf("edge %s: interface %s: port %d: access ports are 0 to %d", cfg.Self.ID, name, port, offload.FirstUnderlay-1)
		}
	}
	cfg.setDefaults()
	if cfg.Pipeline.Info == nil {
		var err error
		if cfg.Pipeline, err = p4src.V1Model(); err != nil {
			return nil, err
		}
	}
	cookie := cfg.Pipeline.Cookie
	if cfg.Profile.NoIdle {
		cookie ^= 2 // another program, as far as the target is concerned
	}
	schema, err := p4rt.NewSchema(cfg.Profile.Info(cfg.Pipeline.Info))
	if err != nil {
		return nil, err
	}
	here := new(residents)
	a := &Agent{cfg: cfg, here: here, queue: newPacketQueue(here, cfg.TenantRate), workers: newWorkers(cfg.Workers), mail: newMailbox(), progress: make(chan struct{}), whole: make(chan struct{}), greet: make(chan chan struct{}), tallying: make(chan struct{}, 1)}
	a.queue.lives = newSampler(cfg.TraceShare, cfg.Trace)
	if a.tables, err = offload.NewTables(schema); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		at   *int
	}{{"ingress_port", &a.fields.port}, {"vport", &a.fields.vport}, {"reason", &a.fields.reason}, {"tunnel_key", &a.fields.tunnel}} {
		if *f.at, err = schema.PacketIn().Field(f.name); err != nil {
			return nil, err
		}
	}
	session := p4rt.Config{
		Dial: cfg.Dial, DeviceID: cfg.DeviceID, Election: a.election, Profile: cfg.Profile, Logger: cfg.Logger,
		Schema: schema, DeviceConfig: cfg.Pipeline.Device, Cookie: cookie,
		OnPrimary: a.reconcile, OnState: a.turn, PacketIn: a.enqueue, IdleTimeout: a.idle,
	}
	if cfg.Agent != "" {
		a.shared = newShared()
		if a.shared.candidate, err = cfg.Store.NewCandidate(cfg.Self.ID, state.AgentInfo{Name: cfg.Agent, Version: cfg.Version, Status: cfg.Status, Since: time.Now().UTC()}, cfg.Logger); err != nil {
			return nil, err
		}
		session.ProbeInterval, session.ProbeTimeout, session.BackoffMax = sharedProbeInterval, sharedProbeTimeout, sharedBackoff
	}
	if a.session, err = p4rt.NewSession(session); err != nil {
		return nil, err
	}
	a.writer = p4rt.NewWriter(a.session, p4rt.WriterConfig{})
	a.core = newCore(a)
	return a, nil
}

// setDefaults gives what is left out its default.
func (c *Config) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("edge", c.Self.ID)
	if c.CPUPort == 0 {
		c.CPUPort = offload.CPUPort
	}
	orDefault(&c.Solicit, 10*time.Second)
	orDefault(&c.IdleTimeout, 60*time.Second)
	orDefault(&c.CounterInterval, roundTime)
	orDefault(&c.AgeTime, 30*time.Second)
	orDefault(&c.AwayAfter, awayAfter)
	orDefault(&c.BlockTime, blockTime)
	c.Timeouts = c.Timeouts.OrDefaults()
	if c.PuntRate <= 0 {
		c.PuntRate = 50_000
	}
	if c.Workers <= 0 {
		c.Workers = min(runtime.GOMAXPROCS(0), 8)
	}
	if c.VPortShare <= 0 {
		c.VPortShare = 10
	}
}

func orDefault(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// Run connects, registers the edge and serves until ctx ends. An edge that another process took is an error: state.ErrEdgeTaken. Of several agents that may act for the edge
// it first stands by until it is this one's turn.
func (a *Agent) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	connect := func() error { return a.session.Run(ctx) }
	var own state.Fence
	if s := a.shared; s != nil {
		a.role(false)
		g.Go(connect)
		var err error
		if own, err = a.standBy(ctx, g); err != nil {
			return g.Wait()
		}
		s.term.Store(own.Term)
		a.role(true)
		g.Go(func() error { return a.reign(ctx, own) })
		a.session.Campaign()
		connect = func() error { return nil }
	}
	if err := a.act(ctx, g, own, connect); err != nil {
		g.Go(func() error { return err })
	}
	err := g.Wait()
	a.core.effects.wait()
	a.core.blocks.end()
	a.cfg.Store.EndRun(a.core.conns.run)
	return err
}

// role passes on whether this agent acts for the edge.
func (a *Agent) role(acts bool) {
	if a.cfg.OnRole != nil {
		a.cfg.OnRole(acts)
	}
}

// act begins all that drives the edge. What the target holds from before is compared with the network, not with nothing: connect is called when that is known.
func (a *Agent) act(ctx context.Context, g *errgroup.Group, own state.Fence, connect func() error) error {
	registration, err := a.cfg.Store.RegisterEdge(a.info(), state.EdgeConfig{Log: a.cfg.Logger, Live: func() { a.live(nil) }, Lost: a.live, Fence: own})
	if err != nil {
		return err
	}
	a.registration.Store(registration)
	a.core.start(state.WithFence(ctx, own), registration.Ack)
	g.Go(func() error {
		select {
		case <-a.whole:
			return connect()
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	g.Go(func() error { return a.writer.Run(ctx) })
	g.Go(func() error { return a.decide(ctx) })
	for range a.cfg.Workers {
		g.Go(func() error { a.work(ctx); return nil })
	}
	g.Go(func() error {
		whole := sync.OnceFunc(func() { close(a.whole) })
		return a.cfg.Store.Watch(ctx, func(c state.Change) {
			if a.mail.call(ctx, func() { a.core.world(c) }) == nil {
				whole()
			}
		})
	})
	g.Go(func() error {
		return a.cfg.Store.FollowTraces(ctx, func(all map[flow.VPortID]state.LiveTrace) {
			_ = a.mail.call(ctx, func() { a.core.tracing.asked(all) }) // it is over
		})
	})
	g.Go(func() error {
		select { // others send as soon as they see the edge: not before its tables are there
		case <-a.session.Ready():
			return registration.Run(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return nil
}

// live passes on whether the database has the edge.
func (a *Agent) live(lost error) {
	if a.cfg.OnLive != nil {
		a.cfg.OnLive(lost)
	}
}

// decide is the goroutine that owns the core.
func (a *Agent) decide(ctx context.Context) error {
	u := newUnderlay(a.cfg.Self, a.cfg.Links, a.sendRaw, a.core.gateway, a.silent, a.core.memberships.query)
	u.heard, u.isDown = a.core.links.heard, a.core.isDown
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	asked := time.Now()
	ready := a.session.Ready()
	var greeted chan struct{}
	for {
		if greeted != nil && u.complete() {
			close(greeted)
			greeted = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ready:
			ready = nil // later terms find the gateways at the next tick
			u.solicit(false)
		case <-tick.C:
			all := time.Since(asked) >= a.cfg.Solicit
			if all {
				asked = time.Now()
			}
			if a.core.target.term == serving || greeted != nil {
				u.solicit(all)
			}
			a.core.tick()
		case g := <-a.greet:
			greeted = g
			u.solicit(false)
		case <-a.core.links.wake:
			if a.core.links.follow() {
				u.solicit(true)
			}
		case <-a.mail.wake:
			a.mail.deliver()
		case b := <-a.workers.order:
			a.handleAll(u, b)
		}
	}
}

// enqueue is the session's packet-in callback.
func (a *Agent) enqueue(p *p4rt.PacketIn) {
	in := earlyPacket{port: uint16(p.Meta(a.fields.port)), vport: uint16(p.Meta(a.fields.vport)), reason: reasonOf(p.Meta(a.fields.reason)), tunnel: flow.Dest(p.Meta(a.fields.tunnel)), data: p.Payload}
	if a.core.speaking.take(in.vport, in.reason, in.data) {
		return
	}
	in.answered = a.core.answering.answer(&in)
	a.take(in)
}

// Modes of packet-out: p4src/shared/ids.p4.
const (
	outPort = 0
	outDest = 1
)

// sendRaw emits a frame by a port of the target, past all tables.
func (a *Agent) sendRaw(port uint16, frame []byte) {
	a.packetOut(frame, p4rt.U64(outPort), p4rt.Value{}, p4rt.U64(uint64(port)), p4rt.Value{}, p4rt.Value{}, p4rt.Value{})
}

// sendDest emits a frame to where a vport or group is. It takes from the rate of a link, by its number; 0: of none.
func (a *Agent) sendDest(frame []byte, dest flow.Dest, prune, hash, link uint16) {
	a.packetOut(frame, p4rt.U64(outDest), p4rt.Value{}, p4rt.U64(uint64(link)), p4rt.U64(uint64(prune)), p4rt.U64(uint64(hash)), p4rt.U64(uint64(dest)))
}

func (a *Agent) packetOut(frame []byte, meta ...p4rt.Value) {
	if err := a.session.TryPacketOut(frame, meta...); err != nil {
		a.counts.outDrops.Add(1)
		return
	}
	a.counts.packetOuts.Add(1)
}
