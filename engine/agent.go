package engine

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// Config describes an agent: one edge and the target that it programs.
type Config struct {
	Self     Edge
	Links    []Uplink
	Dial     func(context.Context) (p4rt.Conn, error)
	DeviceID uint64
	Election func(seen p4rt.ElectionID) p4rt.ElectionID
	Profile  p4rt.Profile
	Logger   *slog.Logger
	// Effects carries out what simulations want changed in the shared state. It must not block, nor call the agent.
	Effects func([]sim.Effect)
	// Solicit is how often gateways are asked whether they are still there; default 10 s. Unanswered ones are asked each second.
	Solicit time.Duration
}

// Agent drives one edge. Its fixed tables follow the view it was last given; packet-ins of the underlay are answered here.
//
//	SetView ──▶ mu: view ──▶ compute ──▶ diff ──▶ Writer ──▶ target
//	session: OnPrimary ──▶ Reconcile (all that the view wants, nothing else)
//	session: PacketIn ──▶ queue (bounded) ──▶ receive: underlay | upcall
type Agent struct {
	cfg     Config
	tables  *offload.Tables
	session *p4rt.Session
	writer  *p4rt.Writer
	ins     chan *in
	pool    sync.Pool
	wake    chan struct{} // the view changed

	mu        sync.Mutex
	view      View
	asked     uint64        // how often the world was set
	applied   uint64        // the world that the target has
	found     uint64        // how often a gateway's MAC was found
	routed    uint64        // the gateways that the target has
	progress  chan struct{} // closed and made anew when applied or routed grows
	names     *names
	installed *layout // what was asked of the target; nil while there is no term
	fields    metaFields
	upcalls   upcalls
	flowHeld  map[p4rt.Key]p4rt.Entity // entries of flows, as asked of the target
	counts    counts
}

// Stats count what an agent saw.
type Stats struct {
	PacketIns  uint64
	QueueDrops uint64 // packet-ins dropped because the queue was full
	Malformed  uint64 // packet-ins that could not be parsed
	Underlay   uint64 // underlay frames answered or learnt from
	Unhandled  uint64 // packet-ins that nobody wanted
	WriteFails uint64 // updates that the target did not accept

	Upcalls      uint64 // packets of vports that were simulated
	Drops        uint64 // outcomes of simulations that were drops
	Installed    uint64 // flows
	Removed      uint64 // flows: invalidated or idle
	NotInstalled uint64 // decisions that stay on the slow path
	HeldDrops    uint64 // packets that waited for a neighbour in vain
}

type counts struct {
	packetIns, queueDrops, malformed, underlay, unhandled, writeFails atomic.Uint64
	upcalls, drops, installed, removed, notInstalled, heldDrops       atomic.Uint64
}

// in is a packet-in, copied out of the session's buffer.
type in struct {
	port   uint16
	vport  uint16
	reason flow.Reason
	data   []byte
}

// metaFields are the positions of packet-in metadata.
type metaFields struct{ port, vport, reason int }

const inQueue = 4096

// NewAgent returns an agent that does nothing until Run. Its error names what is wrong with the configuration.
func NewAgent(cfg Config) (*Agent, error) {
	for _, l := range cfg.Links {
		if l.Port < offload.FirstUnderlay || l.Port > offload.LastUnderlay {
			return nil, fmt.Errorf("edge %s: underlay port %d: underlay ports of this pipeline are %d to %d", cfg.Self.ID, l.Port, offload.FirstUnderlay, offload.LastUnderlay)
		}
	}
	if cfg.Effects == nil {
		cfg.Effects = func([]sim.Effect) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Solicit == 0 {
		cfg.Solicit = 10 * time.Second
	}
	info, err := p4src.Info()
	if err != nil {
		return nil, err
	}
	schema, err := p4rt.NewSchema(info)
	if err != nil {
		return nil, err
	}
	tables, err := offload.NewTables(schema)
	if err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, tables: tables, ins: make(chan *in, inQueue), wake: make(chan struct{}, 1), progress: make(chan struct{}), names: newNames()}
	a.flowHeld = make(map[p4rt.Key]p4rt.Entity)
	a.upcalls = upcalls{
		cfg: &a.cfg, tables: tables, placer: offload.NewPlacer(tables), snap: new(topology.Snapshot), begin: time.Now(),
		flows: newFlowTable(), held: make(map[waiting][]heldPacket), counts: &a.counts, send: a.packetOut, submit: a.submitFlows,
	}
	a.pool.New = func() any { return new(in) }
	a.view = View{Self: cfg.Self, Links: cfg.Links, NextHop: map[netip.Addr]packet.MAC{}}
	for _, f := range []struct {
		name string
		at   *int
	}{{"ingress_port", &a.fields.port}, {"vport", &a.fields.vport}, {"reason", &a.fields.reason}} {
		if *f.at, err = schema.PacketIn().Field(f.name); err != nil {
			return nil, err
		}
	}
	a.session, err = p4rt.NewSession(p4rt.Config{
		Dial: cfg.Dial, DeviceID: cfg.DeviceID, Election: cfg.Election, Profile: cfg.Profile, Logger: cfg.Logger,
		Schema: schema, DeviceConfig: p4src.Program(), Cookie: p4src.Cookie(), OnPrimary: a.reconcile, PacketIn: a.enqueue, IdleTimeout: a.idle,
	})
	if err != nil {
		return nil, err
	}
	a.writer = p4rt.NewWriter(a.session, p4rt.WriterConfig{})
	return a, nil
}

// Run connects and serves until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.session.Run(ctx) })
	g.Go(func() error { return a.writer.Run(ctx) })
	g.Go(func() error { return a.receive(ctx) })
	return g.Wait()
}

// Ready is closed once the agent is primary and the target holds what the view asked for.
func (a *Agent) Ready() <-chan struct{} { return a.session.Ready() }

// Stats returns a copy of the counts.
func (a *Agent) Stats() Stats {
	c := &a.counts
	return Stats{
		PacketIns: c.packetIns.Load(), QueueDrops: c.queueDrops.Load(), Malformed: c.malformed.Load(),
		Underlay: c.underlay.Load(), Unhandled: c.unhandled.Load(), WriteFails: c.writeFails.Load(),
		Upcalls: c.upcalls.Load(), Drops: c.drops.Load(), Installed: c.installed.Load(), Removed: c.removed.Load(),
		NotInstalled: c.notInstalled.Load(), HeldDrops: c.heldDrops.Load(),
	}
}

// SetWorld gives the agent the virtual network, what changed in it since the last call, the other edges and where vports live.
// The map and the slices are the agent's from then on.
func (a *Agent) SetWorld(snap *topology.Snapshot, changed []topology.Dep, edges []Edge, places map[flow.VPortID]Place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.upcalls.world(snap, changed)
	if a.asked > 0 && !movesGroups(changed) && maps.Equal(places, a.view.Places) && slices.EqualFunc(edges, a.view.Edges, Edge.equal) {
		return // learning: the fixed tables stay
	}
	groups := make(map[flow.Dest][]flow.VPortID)
	for b := range snap.Bridges() {
		groups[b.Group()] = snap.GroupMembers(b.Group())
	}
	a.view.Edges, a.view.Places, a.view.Groups = edges, places, groups
	a.asked++
	a.changed()
}

// movesGroups reports whether a change may alter the members of a flood domain.
func movesGroups(changed []topology.Dep) bool {
	return slices.ContainsFunc(changed, func(d topology.Dep) bool {
		switch d.Kind {
		case topology.DepFDB, topology.DepNeighbour, topology.DepBridgeNeighbour, topology.DepRoute:
			return false
		}
		return true
	})
}

func (a *Agent) WaitApplied(ctx context.Context) error {
	a.mu.Lock()
	want := a.asked
	a.mu.Unlock()
	return a.wait(ctx, func() string {
		if a.applied < want {
			return "the target has not acknowledged the network"
		}
		return ""
	})
}

// WaitReachable waits until a path to every other edge is known and the target has it.
func (a *Agent) WaitReachable(ctx context.Context) error {
	return a.wait(ctx, func() string {
		if ids := unreachable(&a.view); len(ids) > 0 {
			return fmt.Sprintf("no gateway answers on the way to edge %s", ids[0])
		}
		if a.routed != a.found {
			return "the target has not acknowledged the paths to the other edges"
		}
		return ""
	})
}

// wait waits until missing, called with the lock, has nothing to name.
func (a *Agent) wait(ctx context.Context, missing func() string) error {
	for {
		a.mu.Lock()
		what, progress := missing(), a.progress
		a.mu.Unlock()
		if what == "" {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("edge %s: %s: %w", a.cfg.Self.ID, what, context.Cause(ctx))
		}
	}
}

// reachedLocked notes that the target has a world, and the paths that were known by then.
func (a *Agent) reachedLocked(world, found uint64) {
	a.applied, a.routed = max(a.applied, world), max(a.routed, found)
	close(a.progress)
	a.progress = make(chan struct{})
}

func (a *Agent) changed() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// enqueue is the session's packet-in callback.
func (a *Agent) enqueue(p *p4rt.PacketIn) {
	i := a.pool.Get().(*in)
	i.port, i.vport, i.reason = uint16(p.Meta(a.fields.port)), uint16(p.Meta(a.fields.vport)), flow.Reason(p.Meta(a.fields.reason))
	i.data = append(i.data[:0], p.Payload...)
	select {
	case a.ins <- i:
	default:
		a.pool.Put(i)
		a.counts.queueDrops.Add(1)
	}
}

// receive handles packet-ins, changes of the view and the gateways' timer, one after the other.
func (a *Agent) receive(ctx context.Context) error {
	u := newUnderlay(a.cfg.Self, a.cfg.Links, a.sendRaw, func(gateway netip.Addr, mac packet.MAC) {
		a.mu.Lock()
		next := maps.Clone(a.view.NextHop)
		next[gateway] = mac
		a.view.NextHop = next
		a.found++
		a.mu.Unlock()
		a.changed()
	})
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	ready := a.session.Ready()
	asked := time.Now()
	var f packet.Frame
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ready:
			ready = nil
			u.solicit(false)
		case <-tick.C:
			all := time.Since(asked) >= a.cfg.Solicit
			if all {
				asked = time.Now()
			}
			u.solicit(all)
			a.mu.Lock()
			a.upcalls.tick()
			a.mu.Unlock()
		case <-a.wake:
			if err := a.sync(ctx); err != nil {
				return err
			}
		case i := <-a.ins:
			a.handle(u, i, &f)
			a.pool.Put(i)
		}
	}
}

func (a *Agent) handle(u *underlay, i *in, f *packet.Frame) {
	a.counts.packetIns.Add(1)
	if err := packet.Parse(i.data, f); err != nil {
		a.counts.malformed.Add(1)
		return
	}
	if i.reason == flow.ReasonUnderlay && u.receive(i.port, f) {
		a.counts.underlay.Add(1)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	ingress, ok := a.names.global[i.vport]
	if !ok {
		a.counts.unhandled.Add(1)
		return
	}
	a.counts.upcalls.Add(1)
	a.upcalls.receive(i.data, f, ingress, i.vport, i.reason)
}

// idle is the session's idle notice callback.
func (a *Agent) idle(entries []*p4rt.Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.upcalls.idle(entries)
}

// submitFlows sends the updates of a flow and remembers what the target should hold. The lock is held; done is called with it held.
func (a *Agent) submitFlows(done func(ok bool), stages [][]p4rt.Update) {
	var updates []p4rt.Update
	for _, stage := range stages {
		for _, u := range stage {
			if u.Op == p4rt.Delete {
				delete(a.flowHeld, u.Entity.Key())
			} else {
				a.flowHeld[u.Entity.Key()] = u.Entity
			}
			updates = append(updates, u)
		}
	}
	// A full queue holds the agent up (its own queue then drops packet-ins, counted): flows and the target must not drift apart.
	err := a.writer.Submit(context.Background(), func(results []p4rt.Result, err error) {
		ok := a.written(updates, results, err)
		go func() { // the writer must not wait for the lock
			a.mu.Lock()
			defer a.mu.Unlock()
			done(ok)
		}()
	}, stages...)
	if err != nil {
		a.cfg.Logger.Debug("flow updates not sent: the agent ends", "edge", a.cfg.Self.ID, "err", err)
	}
}

// sendRaw emits a frame by a port of the target, past all tables.
func (a *Agent) sendRaw(port uint16, frame []byte) {
	a.packetOut(frame, p4rt.U64(outPort), p4rt.Value{}, p4rt.U64(uint64(port)), p4rt.Value{}, p4rt.Value{}, p4rt.Value{})
}

func (a *Agent) packetOut(frame []byte, meta ...p4rt.Value) {
	if err := a.session.TryPacketOut(frame, meta...); err != nil {
		a.cfg.Logger.Debug("packet-out dropped", "edge", a.cfg.Self.ID, "err", err)
	}
}

// sync brings the target from what was asked of it last to what the view asks for now. Without a term it does nothing: reconcile will.
func (a *Agent) sync(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.installed == nil {
		return nil
	}
	want, err := compute(a.tables, a.names, &a.view)
	if err != nil {
		return fmt.Errorf("edge %s: %w", a.cfg.Self.ID, err)
	}
	stages := want.diff(a.installed)
	a.installed = want
	world, found := a.asked, a.found
	var updates []p4rt.Update
	for _, s := range stages {
		updates = append(updates, s...)
	}
	err = a.writer.Submit(ctx, func(results []p4rt.Result, err error) {
		if a.written(updates, results, err) {
			go func() { // the writer must not wait for the lock
				a.mu.Lock()
				defer a.mu.Unlock()
				a.reachedLocked(world, found)
			}()
		}
	}, stages...)
	if err != nil && ctx.Err() == nil {
		a.cfg.Logger.Warn("updates not sent; the next term reconciles", "edge", a.cfg.Self.ID, "err", err)
		return nil
	}
	return err
}

// written counts and tells what the target did not take; true if it took all.
func (a *Agent) written(updates []p4rt.Update, results []p4rt.Result, err error) bool {
	failed := 0
	for _, r := range results {
		if !r.OK() {
			failed++
		}
	}
	if err == nil && failed == 0 {
		return true
	}
	if err == nil {
		err = p4rt.Failures(updates, results)
	}
	a.cfg.Logger.Error("target refused updates", "edge", a.cfg.Self.ID, "failed", failed, "err", err)
	a.counts.writeFails.Add(uint64(failed))
	return false
}

// reconcile runs at the begin of each term: it makes the target hold what the view asks for and nothing else, and leaves alone what is right.
func (a *Agent) reconcile(ctx context.Context, term *p4rt.Term) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.installed = nil
	want, err := compute(a.tables, a.names, &a.view)
	if err != nil {
		return err
	}
	report, err := term.Reconcile(ctx, a.stages(want)...)
	if err != nil {
		return err
	}
	a.cfg.Logger.Info("target reconciled", "edge", a.cfg.Self.ID, "report", report)
	a.installed = want
	a.reachedLocked(a.asked, a.found)
	return nil
}

// stages lists what a layout wants by the tables' dependency order.
func (a *Agent) stages(want *layout) []p4rt.Stage {
	byTable := make(map[*p4rt.Table][]p4rt.Entity)
	var groups []p4rt.Entity
	for _, stage := range append(want[:], a.flowHeld) {
		for _, e := range stage {
			if entry, ok := e.(*p4rt.Entry); ok {
				byTable[entry.Table] = append(byTable[entry.Table], e)
			} else {
				groups = append(groups, e)
			}
		}
	}
	order := a.tables.Stages()
	stages := make([]p4rt.Stage, 0, len(order)+1)
	for i, ts := range order {
		if i == 1 {
			stages = append(stages, p4rt.Stage{Groups: true, Want: each(groups)})
		}
		var all []p4rt.Entity
		for _, t := range ts {
			all = append(all, byTable[t]...)
		}
		stages = append(stages, p4rt.Stage{Tables: ts, Want: each(all)})
	}
	return stages
}

func each(es []p4rt.Entity) iter.Seq[p4rt.Entity] {
	return func(yield func(p4rt.Entity) bool) {
		for _, e := range es {
			if !yield(e) {
				return
			}
		}
	}
}
