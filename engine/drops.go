package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/sim"
)

// Reasons for which an agent drops what a simulation did not.
const (
	dropTooManyConns = "too many connections" // of its port
	dropInVain       = "waited in vain"       // for a neighbour, a device, a connection, or the first fragment; or too many did
	dropDHCPRate     = "dhcp rate"            // or the database did not answer
	dropDeparted     = "departed"             // it waited, and its vport left the edge, or was deleted
	dropUnhandled    = "not for the edge"     // it came by the underlay, and is nothing that the agent answers
	dropUnknownKey   = "unknown key"          // it came by tunnel for something that was not loaded
	dropOverload     = "overload"             // no room in the queue of packets that are to be decided, or beyond the tenant's rate
)

// Drop is how many packets were dropped for one reason.
type Drop struct {
	VPort   flow.VPortID // whose packets they were; 0: nobody's that is known
	From    string       // VPort 0: where they came from: vports (a port or tag that is no vport's), underlay, agent; or egress: what came from anywhere but a vport here
	Reason  string
	Packets uint64
}

// drops counts packets that were dropped, by vport and reason: those that were decided here, those that an entry dropped afterwards, as the target counts
// them (usage.go), and those that the target dropped by itself (tally.go).
type drops struct {
	sums    map[dropKey]uint64
	origins map[origin]*grown // what the target dropped of what no vport sent
	others  map[origin]uint64 // what the agent dropped of that, or of vports that had left
}

// origin is where packets came from that no vport sent, and why they were dropped.
type origin struct{ from, reason string }

// grown is a count of the target's that goes on where it was when the target begins again at 0.
type grown struct{ before, last uint64 }

// is takes what the target has counted since it began, and returns how much it is with what was before.
func (g *grown) is(packets uint64) uint64 {
	if packets < g.last {
		g.restart()
	}
	g.last = packets
	return g.before + packets
}

func (g *grown) restart() { g.before, g.last = g.before+g.last, 0 }

type dropKey struct {
	vport  flow.VPortID
	reason string
}

func newDrops() drops {
	return drops{sums: map[dropKey]uint64{}, origins: map[origin]*grown{}, others: map[origin]uint64{}}
}

// lost returns what was dropped of what no vport sent, by what the target has counted of it, some of it in two places.
func (d *drops) lost(counted []Drop) (list []Drop) {
	sums := map[origin]uint64{}
	for _, one := range counted {
		k := origin{one.From, one.Reason}
		if sums[k] += one.Packets; d.origins[k] == nil {
			d.origins[k] = new(grown)
		}
	}
	for k, g := range d.origins {
		if n := g.is(sums[k]); n > 0 {
			list = append(list, Drop{From: k.from, Reason: k.reason, Packets: n})
		}
	}
	return list
}

// restarted: the target was programmed, and counts from 0.
func (d *drops) restarted() {
	for _, g := range d.origins {
		g.restart()
	}
}

// dropped counts a packet that a simulation dropped.
func (c *core) dropped(vport flow.VPortID, why sim.DropReason) {
	c.a.counts.drops.Add(1)
	c.lose(vport, why.String())
}

// lose counts a packet that was dropped for a reason of the agent's own.
func (c *core) lose(vport flow.VPortID, why string) {
	c.a.counts.lost.Add(1)
	c.drops.sums[dropKey{vport, why}]++
}

// overloaded counts what the queue dropped.
func (c *core) overloaded() {
	for v, n := range c.a.queue.takeLost() {
		c.discarded(v, dropOverload, n)
	}
}

// departed counts packets of vports that had left the edge when it was their turn.
func (c *core) departed(packets uint64) {
	c.a.counts.departed.Add(packets)
	if packets > 0 {
		c.drops.others[origin{"vports", dropDeparted}] += packets
	}
}

// discarded counts packets that were dropped before they were decided; vport 0: they came by the underlay, and are nobody's that is known.
func (c *core) discarded(vport flow.VPortID, why string, n uint64) {
	switch {
	case n == 0:
	case vport == 0:
		c.drops.others[origin{"underlay", why}] += n
	default:
		c.drops.sums[dropKey{vport, why}] += n
	}
}

// sweepDrops forgets the counts of vports that are gone.
func (c *core) sweepDrops() {
	for k := range c.drops.sums {
		if c.snap.VPort(k.vport) == nil {
			delete(c.drops.sums, k)
		}
	}
}

// dropsAt returns a flow of an entry that drops, nil if it does not.
func (t *flowTable) dropsAt(entry uint64) *installedFlow {
	if f := t.byEntry[entry]; f != nil && f.placed.Act == offload.Drop {
		return f
	}
	return nil
}

// expire takes flows away that had no packet for long. What they counted is read before (outlet.go).
func (c *core) expire(entries []*p4rt.Entry) {
	for _, e := range entries {
		c.expireOne(c.placer.Hash(e))
	}
}

func (c *core) expireOne(entry uint64) {
	for _, f := range c.flows.sharing(entry) {
		if c.takeOut(f) {
			c.a.counts.expired.Add(1)
		}
		c.conns.idleSince(f, f.placed.Idle)
	}
}

// readCounters reads how many packets met each of some entries. A target refuses to read what it does not have, and some may be on their way there: then all are read.
func (a *Agent) readCounters(ctx context.Context, placer *offload.Placer, entries []*p4rt.Entry) (map[uint64]amount, error) {
	read := make(map[uint64]amount, len(entries))
	note := func(e *p4rt.Entry, n p4rt.Counter) error {
		read[placer.Hash(e)] = amountOf(n)
		return nil
	}
	if err := a.session.ReadCountersOf(ctx, entries, note); err == nil || ctx.Err() != nil {
		return read, err
	}
	err := a.session.ReadEntries(ctx, p4rt.ReadOptions{Tables: a.tables.FlowTables(), Counters: true, Borrow: true}, note)
	return read, err
}

// Drops returns how many packets were dropped since the agent started, by vport and reason, and what else the target dropped, before that too if it was
// programmed before. With an error the counts of the target are as they were read last, or missing.
func (a *Agent) Drops(ctx context.Context) ([]Drop, error) {
	unread := a.readDropping(ctx)
	list, err := a.RoundDrops(ctx)
	return list, cmp.Or(unread, err)
}

// readDropping reads the entries that drop.
func (a *Agent) readDropping(ctx context.Context) error {
	var entries []*p4rt.Entry
	var placer *offload.Placer
	var began time.Duration
	if err := a.mail.call(ctx, func() {
		placer, began = a.core.placer, a.core.now()
		for k := range a.core.flows.byEntry {
			if f := a.core.flows.dropsAt(k); f != nil {
				entries = append(entries, a.core.placer.Entry(f.placed))
			}
		}
	}); err != nil || len(entries) == 0 {
		return err
	}
	read, unread := a.readCounters(ctx, placer, entries)
	return cmp.Or(a.mail.call(ctx, func() {
		for k, n := range read {
			a.core.count(k, n, began)
		}
	}), unread)
}

// RoundDrops is Drops, with what entries dropped as of the last round: it costs the same however many flows there are.
func (a *Agent) RoundDrops(ctx context.Context) ([]Drop, error) {
	release, err := a.holdTally(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	rest, untold := a.tallyDrops(ctx, func() (locals []uint16) {
		for _, local := range a.core.locals.vports.All() {
			locals = append(locals, local)
		}
		return locals
	})
	others, err := a.targetDrops(ctx)
	var list []Drop
	if err := a.mail.call(ctx, func() {
		a.core.overloaded()
		if untold == nil && err == nil {
			list = a.core.drops.lost(append(rest, others...))
		}
		for k, n := range a.core.drops.others {
			list = append(list, Drop{From: k.from, Reason: k.reason, Packets: n})
		}
		for k, n := range a.core.drops.sums {
			list = append(list, Drop{VPort: k.vport, Reason: k.reason, Packets: n})
		}
	}); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(x, y Drop) int {
		return cmp.Or(cmp.Compare(x.VPort, y.VPort), cmp.Compare(x.From, y.From), cmp.Compare(x.Reason, y.Reason))
	})
	return list, cmp.Or(untold, err)
}

// targetDrops reads what the target counts of drops by reason alone: what came from origins than a vport, and by ports that are none's.
func (a *Agent) targetDrops(ctx context.Context) (list []Drop, err error) {
	sides := [...]string{offload.SideAccess: "vports", offload.SideUnderlay: "underlay", offload.SideCPU: "agent"}
	err = a.session.ReadCounter(ctx, a.tables.Reasons(), p4rt.AllCells, func(i int64, n p4rt.Counter) error {
		side, why := i>>8, flow.Reason(i)
		switch {
		case n.Packets == 0 || !why.IsDrop() || side > offload.SideCPU:
		case side == offload.SideAccess && (offload.CountsByVPort(why) || why == flow.ReasonFlowDrop || why == flow.ReasonLocationDrop): // counted by vport
		case side == offload.SideCPU && why == flow.ReasonFloodRate: // the same
		default:
			list = append(list, Drop{From: sides[side], Reason: wording(why), Packets: uint64(n.Packets)})
		}
		return nil
	})
	return list, err
}

// wording is what the target's reason for a drop is called: as that of a simulation, if it has the same.
func wording(r flow.Reason) string {
	switch r {
	case flow.ReasonLand:
		return sim.DropLand.String()
	case flow.ReasonGroupSource:
		return sim.DropInvalidSource.String()
	case flow.ReasonFrameLength:
		return sim.DropFrameLength.String()
	}
	return strings.ReplaceAll(r.String(), "_", " ")
}
