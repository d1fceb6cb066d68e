package engine

import (
	"context"
	"net/netip"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// core is all state of an agent that changes. The agent's own goroutine alone touches it.
//
//   - world.go: the database's view → layout → fixed tables; flows whose dependencies changed are decided again (revalidate.go)
//   - upcall.go: a first packet → decision → effect.go, install.go, packet-out
//   - hold.go: packets that wait for a neighbour or a device
//   - lease.go: DHCP
//   - device.go: what of the network is kept loaded
//   - aging.go: learnt MACs without flows
//   - strays.go: what was learnt of stations that are nowhere any more
//   - term.go: updates and the target
type core struct {
	a     *Agent
	ctx   context.Context
	ack   func(int64, []state.Lack) // tells the database
	clock func() time.Duration      // since the agent was made: monotonic

	snap     *topology.Snapshot
	view     *view
	locals   *locals
	layout   *layout
	target   targetState
	refusals refusals
	send     func(update) // hands a submission to the writer
	low      uint64       // every submission before it is acknowledged
	marks    []mark
	routed   uint64              // submission that brought the last change of the ways to other edges
	moves    uint64              // how often the ways to other edges changed
	astray   map[string]struct{} // edges to which there is no way
	tenants  map[string]uint32   // numbers by name
	conf     int64               // last revision of the configuration that the target has
	lacks    map[subject]string  // what of it the edge can not do
	told     bool                // conf and lacks were

	sim         sim.Simulator
	res         sim.Result
	asks        sim.Result
	guess       sim.Result
	stale       stale
	rules       rules
	pace        pace
	numbered    bool // local numbers of vports are the target's
	placeable   bool // all local numbers are: flows can be installed
	begun       bool // the first term has taken over what the target and the database have
	reserving   bool // numbers of what the target held then
	placer      *offload.Placer
	flows       *flowTable
	holds       holds
	devices     *devices
	effects     *effects
	leases      leases
	conns       *conns
	balance     *balance
	blocks      *blocks
	contact     *contact
	monitors    *monitors
	adverts     *adverts
	speaking    *speaking
	answering   *answering
	links       *linkStates
	portLinks   *portLinks
	tracing     *tracing
	linkRates   *linkRates
	memberships *memberships
	fragments   fragments
	drops       drops
	tally       tally
	cache       cache
	usage       usage
	ruleHits    ruleHits
	ruleStore   ruleStore
	lives       lives
	outlet      outlet
	aging       aging
	strays      strays
	errors      *limiter
	logged      *limiter      // by chain
	warnings    *limiter      // of vports that have their share
	fullAt      time.Duration // when it was last said that a table is nearly full; 0: never
	buf, cut    []byte
}

// mark is a configuration whose updates are under way.
type mark struct {
	conf int64
	seq  uint64 // last submission that belongs to it
}

func newCore(a *Agent) *core {
	c := &core{
		a: a, ctx: context.Background(), ack: func(int64, []state.Lack) {}, told: true, clock: clock(), snap: new(topology.Snapshot), view: newView(a.cfg.Self, a.cfg.Links),
		tally: newTally(), placer: a.newPlacer(), flows: newFlowTable(),
		errors: newLimiter(errorRate, errorBurst), logged: newLimiter(logRate, logBurst),
		warnings: newLimiter(warningRate, 1),
		holds:    newHolds(), leases: newLeases(), devices: newDevices(a.cfg.Store), low: 1,
		target: targetState{open: map[uint64]struct{}{}},
	}
	if most := a.cfg.Profile.PriorityMax; most > 0 {
		c.flows.most = most
	}
	c.usage, c.outlet = newUsage(c), newOutlet(c)
	c.ruleHits, c.ruleStore = ruleHits{}, newRuleStore(c)
	c.send = c.outlet.put
	c.flows.grounds.made, c.flows.grounds.left = c.depend, c.undepend
	c.view.puntRate, c.tenants, c.astray = a.cfg.PuntRate, map[string]uint32{}, map[string]struct{}{}
	c.aging = newAging(a.cfg.AgeTime, c.devices)
	c.locals = c.newLocals()
	c.memberships = newMemberships(a.cfg.Self.Multicast, a.cfg.Links, a.sendRaw, c.now, &a.counts)
	c.layout = c.newLayout()
	c.effects = newEffects(c)
	c.rules, c.pace = newRules(c), newPace()
	c.conns, c.fragments = newConns(c), newFragments()
	c.drops, c.cache = newDrops(), newCache(a)
	c.blocks, c.contact = newBlocks(c), newContact(c)
	c.balance, c.monitors, c.adverts, c.speaking = newBalance(c), newMonitors(c), newAdverts(c), newSpeaking(c)
	c.answering = newAnswering(a, c.speaking)
	c.links, c.portLinks, c.tracing, c.linkRates = newLinkStates(c), newPortLinks(c), newTracing(c), newLinkRates(c)
	a.counts.staleSince.Store(-1)
	c.sim.Conns, c.sim.Balance, c.sim.Blocks = c.conns, c.balance, c.blocks
	c.rebuild(map[subject]struct{}{{kind: subjectSelf}: {}})
	return c
}

// newLocals returns an edge's local numbers, none of which is used.
func (c *core) newLocals() *locals {
	n := newLocals(c.a.here, func(local uint16) { c.departed(c.a.queue.purge(local)) })
	n.given, n.leave = c.tally.given, c.leave
	return n
}

// newLayout returns what the edge's fixed tables are to hold: nothing yet.
func (c *core) newLayout() *layout {
	l := newLayout(c.a.tables, c.locals)
	c.memberships.forget()
	l.links, l.subscribe, l.cpu = c.placer.Links(), c.memberships.want, c.a.cfg.CPUPort
	return l
}

// start gives the core what only a running agent has.
func (c *core) start(ctx context.Context, ack func(int64, []state.Lack)) { c.ctx, c.ack = ctx, ack }

// now is the time since the agent was made: monotonic.
func (c *core) now() time.Duration { return c.clock() }

// clock returns one that begins now.
func clock() func() time.Duration {
	begin := time.Now()
	return func() time.Duration { return time.Since(begin) }
}

// rebuild brings the fixed tables to the view for the touched subjects.
func (c *core) rebuild(touched map[subject]struct{}) {
	stages, confirm := c.layout.rebuild(c.view, touched)
	c.tellLacks()
	for s := range touched {
		if id := flow.VPortID(s.id); s.kind == subjectVPort && c.layout.unpunted(id) {
			for _, f := range c.flows.from(id) {
				c.remove(f)
			}
		}
	}
	var all func()
	if len(confirm) > 0 {
		all = func() {
			for _, f := range confirm {
				f()
			}
		}
	}
	c.write(stages, all, nil)
	c.memberships.tell()
}

// gateway is told of a fabric router's MAC.
func (c *core) gateway(g netip.Addr, mac packet.MAC) {
	c.view.nextHop[g] = mac
	c.moveWays()
	c.settle()
}

// moveWays rebuilds all that depends on which routers answer.
func (c *core) moveWays() {
	peers, edges := make(map[subject]struct{}, len(c.view.edges)), make(map[string]struct{}, len(c.view.edges))
	for id := range c.view.edges {
		peers[peerSubject(id)], edges[id] = struct{}{}, struct{}{}
	}
	if c.view.self.Multicast.IsValid() { // domains listen by an uplink whose router answers
		for d := range c.view.groups {
			peers[groupSubject(d)] = struct{}{}
		}
	}
	c.rebuild(peers)
	c.routing(edges)
}

// routing notes that the ways to some other edges changed with the last submission, and has flows to where no way led decided again.
func (c *core) routing(edges map[string]struct{}) {
	c.routed = c.target.seq
	c.moves++
	for id := range edges {
		if e, known := c.view.edges[id]; known && len(c.view.routes(&e)) == 0 {
			c.astray[id] = struct{}{}
		} else {
			delete(c.astray, id)
		}
	}
	for id := range edges {
		for s := range c.layout.uses.by[id] {
			if s.kind == subjectVPort && !c.view.isLost(flow.VPortID(s.id)) {
				c.foundWay(flow.VPortID(s.id))
			}
		}
	}
	c.recheck(0)
}

// foundWay: there is a way to a vport to which none may have led when flows to it were decided (E14).
func (c *core) foundWay(to flow.VPortID) {
	for g := range c.flows.grounds.byDep[topology.BindingDep(to)] {
		for f := range g.all() {
			c.doubt(f)
		}
	}
}

// mark notes that a configuration is in what was written so far.
func (c *core) mark(conf int64) {
	switch n := len(c.marks); {
	case n > 0 && c.marks[n-1].seq == c.target.seq:
		c.marks[n-1].conf = max(c.marks[n-1].conf, conf)
	case n > 0 && c.marks[n-1].conf < conf, n == 0 && c.conf < conf:
		c.marks = append(c.marks, mark{conf, c.target.seq})
	}
}

// settle notes what the target has by now, and tells.
func (c *core) settle() {
	for c.low <= c.target.seq {
		if _, open := c.target.open[c.low]; open {
			break
		}
		c.low++
	}
	t := &c.target
	c.a.counts.unanswered.Store(uint64(len(t.open)))
	for len(t.freed) > 0 && t.freed[0].seq < c.low {
		t.freed[0].confirm()
		t.freed = t.freed[1:]
	}
	for len(c.marks) > 0 && c.marks[0].seq < c.low {
		c.conf = max(c.conf, c.marks[0].conf)
		c.marks = c.marks[1:]
		c.told = false
	}
	if !c.told {
		c.told = true
		c.ack(c.conf, c.lackList())
	}
	c.arrive()
	c.a.tell(reached{applied: c.conf, routed: c.routed < c.low, moves: c.moves})
}

// tick is called each second.
func (c *core) tick() {
	now := c.now()
	c.repair()
	c.retryRefused()
	if short := c.layout.takeShort(); short != nil {
		c.rebuild(short)
		c.settle()
	}
	c.retry(now)
	c.errors.sweep(now)
	c.leases.rate.sweep(now)
	c.logged.sweep(now)
	c.warnings.sweep(now)
	c.overloaded()
	c.sweepDrops()
	if c.target.term == serving {
		c.readTally()
	}
	c.paceRounds()
	c.relieve()
	c.sweepUsage(now)
	c.ruleStore.sweep(now)
	c.age(now)
	c.lookForStrays(now)
	c.effects.sweep(now)
	c.conns.sweep(now)
	c.blocks.sweep(now)
	if c.begun { // what is stored may be about to be read
		c.rules.flush()
	}
	c.portLinks.flush()
	c.linkRates.sweep()
	c.sweepPace(now)
	c.balance.sweep(now)
	c.monitors.sweep()
	c.adverts.sweep(now)
	c.memberships.sweep()
	c.fragments.sweep(now)
	c.devices.sweep(now)
	c.tracing.check()
}
