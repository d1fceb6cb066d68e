package engine

import (
	"math/rand/v2"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

// usage accounts what vports sent, what was delivered to them, and what passed links (O4): each packet once, at the edge where it came in. It is either one that a flow's entry
// matched, which the target counts, or one that the agent decided.
//
//	rounds (cache.go)      what an entry has more than when it was read last goes to its flow's account
//	outlet.go              an entry is read once more before it is deleted, or does something else
//	a term's begin         all entries are read by the reconcile, before it changes any: audit
//	upcall                 what no entry matched is counted as it is decided
//	usagestore.go          totals go to the database
//
// Nothing is counted twice: what a counter said is kept with the flow, and of an entry that is deleted nothing is taken note of any more until the target has confirmed that. What is
// lost: packets between the last read and the deletion, a round trip; and with a target that forgets, those since the last round.
type usage struct {
	c        *core
	accounts map[flow.VPortID]*account
	tenants  map[string]*state.UsageTotals // what this process accounted of a tenant's hosts: it never decreases, whatever becomes of accounts
	nobodys  state.UsageTotals             // the same of links, and of vports that it does not know
	leaving  map[uint64]*settlement        // by entry: what is to be read once more
	deleted  map[uint64]time.Duration      // by entry: when its deletion was confirmed; underWay: it was not
	numbers  *offload.Numbers              // of what a predecessor left in the target; nil: that is done
	before   map[flow.VPortID]liveness     // what it had accounted of that
	audited  time.Duration                 // when the last audit began: what was asked for before says nothing
	saving   bool
	saved    time.Duration
	process  int64  // names this process in what is stored: a name of its own, since that of the edge goes on (takeover.go)
	seq      uint64 // of what was about to be stored last
}

// underWay stands for a deletion that the target has not confirmed.
const underWay = time.Duration(-1)

// amount counts packets, and their bytes as they came in.
type amount = state.Tally

// liveness is what of a vport's account was read from counters that are in the target still.
type liveness = state.UsageLive

// account is what is accounted of a vport at this edge.
type account struct {
	total  state.UsageTotals  // what was stored by others before is part of it as soon as that is known
	sum    *state.UsageTotals // its tenant's; nil: not known yet
	live   liveness
	dirty  bool
	since  time.Time         // when it began
	rev    int64             // of what is stored; 0: nothing that is known of
	kept   state.UsageTotals // that is stored
	sent   state.UsageTotals // valid iff unsure
	unsure bool              // whether sent is stored

	tenant, name, link string // as they were last
}

// way is where the packets of an entry are accounted.
type way struct {
	ingress flow.VPortID
	dest    flow.Dest      // 0: they are dropped, or answered
	passage                // a ground's: not to be changed
	drops   sim.DropReason // valid iff it drops
}

// settlement is an entry of which the target is to be asked once more: it goes, or its packets are accounted elsewhere from then on.
type settlement struct {
	way
	entry   *p4rt.Entry
	counted amount // so far
	recount bool   // nothing of it is known: what it says counts for nobody
	stays   bool
}

func newUsage(c *core) usage {
	return usage{c: c, accounts: map[flow.VPortID]*account{}, tenants: map[string]*state.UsageTotals{}, leaving: map[uint64]*settlement{}, deleted: map[uint64]time.Duration{}, process: rand.Int64()}
}

// wayOf returns where a flow's packets are accounted.
func wayOf(f *installedFlow) way {
	w := way{ingress: f.ingress(), passage: f.relies.passage()}
	switch f.placed.Act {
	case offload.Forward:
		w.dest = f.placed.Dest
	case offload.Drop:
		w.drops = f.drop
	}
	return w
}

// of returns the account of a vport.
func (u *usage) of(v flow.VPortID) *account {
	a := u.accounts[v]
	if a == nil {
		a = &account{since: time.Now()}
		u.accounts[v] = a
	}
	return a
}

// grows adds to an account.
func (u *usage) grows(v flow.VPortID, n state.UsageTotals) {
	a := u.of(v)
	a.total.Add(n)
	a.dirty = true
	if a.sum == nil {
		a.sum = u.sumOf(v)
	}
	if a.sum != nil {
		a.sum.Add(n)
	} else {
		u.nobodys.Add(n)
	}
}

// sumOf is where what is accounted of a vport is added up; nil: that is not known.
func (u *usage) sumOf(v flow.VPortID) *state.UsageTotals {
	p := u.c.snap.VPort(v)
	switch {
	case p == nil:
		return nil
	case !p.Exterior:
		return &u.nobodys
	}
	sum := u.tenants[p.Tenant]
	if sum == nil {
		sum = &state.UsageTotals{}
		u.tenants[p.Tenant] = sum
	}
	return sum
}

// carried accounts packets.
func (u *usage) carried(w *way, n amount) {
	if n == (amount{}) {
		return
	}
	u.grows(w.ingress, state.UsageTotals{In: n})
	u.delivered(w.dest, w.ingress, n)
	for _, v := range w.crossed {
		u.grows(v, state.UsageTotals{Crossed: n})
	}
	u.c.ruleHits.add(w.rules, n)
	u.c.ruleStore.met(w.rules)
}

// delivered accounts packets for those to which they go: all of a group but who sent them.
func (u *usage) delivered(d flow.Dest, from flow.VPortID, n amount) {
	if d == 0 {
		return
	}
	if !u.c.snap.IsGroup(d) {
		u.grows(d.VPort(), state.UsageTotals{Out: n})
		return
	}
	for _, v := range u.c.snap.GroupMembers(d) {
		if v != from {
			u.grows(v, state.UsageTotals{Out: n})
		}
	}
}

// lives notes that counters in the target have n more, or less, of a way.
func (u *usage) lives(w *way, n amount, more bool) {
	change := (*amount).Add
	if !more {
		change = (*amount).Sub
	}
	u.c.ruleStore.lives(w.rules, n, more)
	change(&u.of(w.ingress).live.In, n)
	if w.dest != 0 && !u.c.snap.IsGroup(w.dest) { // who is in a group changes
		change(&u.of(w.dest.VPort()).live.Out, n)
	}
	for _, v := range w.crossed {
		change(&u.of(v).live.Crossed, n)
	}
}

// count takes note of what the target says of an entry that it has. began is when it was asked.
func (c *core) count(entry uint64, n amount, began time.Duration) {
	u := &c.usage
	if began < u.audited {
		return // the target may have begun anew since
	}
	if s := u.leaving[entry]; s != nil {
		c.settleEntry(entry, s, n)
		return
	}
	if at, ok := u.deleted[entry]; ok && (at == underWay || began <= at) {
		return // it may be the one before
	}
	f := c.flows.byEntry[entry]
	if f == nil {
		return
	}
	w := wayOf(f)
	switch {
	case f.recount:
		f.recount = false
	case n.Less(f.counted) && began != u.audited:
		return // one that was asked for later was faster: counters begin anew with a term, and not within
	default:
		if c.a.cfg.Profile.NoIdle && n.Packets > f.counted.Packets {
			f.hit = momentOf(c.now()) // who reads it next finds no difference
		}
		c.carry(&w, n.Since(f.counted))
	}
	if n != f.counted {
		u.lives(&w, f.counted, false)
		u.lives(&w, n, true)
		f.counted = n
	}
}

// carry accounts packets that an entry matched.
func (c *core) carry(w *way, n amount) {
	c.usage.carried(w, n)
	if w.drops != sim.DropNone && n.Packets > 0 {
		c.drops.sums[dropKey{w.ingress, w.drops.String()}] += n.Packets
	}
}

// readLast has the entry of a flow read once more: it goes, or, stays, what is decided of it changes. It is called before that.
func (c *core) readLast(f *installedFlow, stays bool) {
	u, entry := &c.usage, f.placed.Hash
	first := c.flows.byEntry[entry]
	if !stays && (first != f || f.ofEntry.next != nil) {
		return // others share it
	}
	w, counted := wayOf(f), first.counted
	u.lives(&w, counted, false)
	if s := u.leaving[entry]; s != nil {
		s.stays = s.stays && stays
		return
	}
	if _, before := u.deleted[entry]; before {
		return // the target may still have the one before it
	}
	first.counted = amount{}
	u.leaving[entry] = &settlement{way: w, entry: c.placer.Entry(f.placed), counted: counted, recount: first.recount, stays: stays}
}

// settleEntry accounts what an entry has counted until it goes, or changes.
func (c *core) settleEntry(entry uint64, s *settlement, n amount) {
	u := &c.usage
	delete(u.leaving, entry)
	if !s.recount && !n.Less(s.counted) {
		c.carry(&s.way, n.Since(s.counted))
	}
	if f := c.flows.byEntry[entry]; f != nil && s.stays {
		w := wayOf(f)
		u.lives(&w, n, true)
		f.counted, f.recount = n, false
	}
}

// forgo ends what the target could not be asked: what the entry counted since the last round is lost.
func (c *core) forgo(entry uint64) {
	u := &c.usage
	s := u.leaving[entry]
	if s == nil {
		return
	}
	delete(u.leaving, entry)
	if f := c.flows.byEntry[entry]; f != nil && s.stays {
		f.counted, f.recount = amount{}, true
	}
}

// forget ends what was kept of deletions that were confirmed before a round: what is read from now on is not of these.
func (u *usage) forget(before time.Duration) {
	for entry, at := range u.deleted {
		if at != underWay && at < before {
			delete(u.deleted, entry)
		}
	}
}

// answered notes that the target has confirmed a submission.
func (u *usage) answered(x *update) {
	for _, s := range x.settles {
		if s.gone {
			u.deleted[s.entry] = u.c.now()
		}
	}
}

// entryMatched reports whether a packet that the target sent up had met its flow's entry, which has counted it.
func entryMatched(reason flow.Reason) bool {
	switch reason {
	case flow.ReasonReject, flow.ReasonTTL, flow.ReasonLength, flow.ReasonTrackedSYN, flow.ReasonTrackedEnd, flow.ReasonNoLocation, flow.ReasonNoPeer, flow.ReasonNoRewrite, flow.ReasonHeader, flow.ReasonMartian:
		return true
	}
	return false
}

// slow accounts the packet that the agent is deciding, unless an entry had matched it: then the target has counted it.
func (c *core) slow(res *sim.Result, ingress flow.VPortID, length int) {
	if c.lives.matched {
		return
	}
	if c.view.places[ingress].at.VLAN != 0 {
		length += 4 // the tag is off
	}
	n := amount{Packets: 1, Bytes: uint64(length)}
	w := way{ingress: ingress, passage: passageOf(res)}
	c.usage.carried(&w, n)
	for i := range res.Outcomes {
		if o := &res.Outcomes[i]; o.Verdict == sim.Forward {
			c.usage.delivered(o.Dest, ingress, n)
		}
	}
}
