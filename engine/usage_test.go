package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

func tallied(packets, bytes uint64) amount { return amount{Packets: packets, Bytes: bytes} }

// usageIs compares what is accounted of both VMs with what they sent.
func (c *cached) usageIs(when string, sent [3]uint64) {
	c.Helper()
	for vm := 1; vm <= 2; vm++ {
		got := c.usage.of(c.ids[vm]).total
		in, out := tallied(sent[vm], sent[vm]*cachedLen), tallied(sent[3-vm], sent[3-vm]*cachedLen)
		if want := (state.UsageTotals{In: in, Out: out}); got != want {
			c.Errorf("%s: of vm%d %+v is accounted, want %+v", when, vm, got, want)
		}
	}
}

// audit reads all entries as the begin of a term does; not whole: the session is lost at the end.
func (c *cached) audit(whole bool) {
	c.Helper()
	audited := make(chan error, 1)
	go func() {
		x, err := c.a.beginAudit(c.Context())
		if err == nil {
			err = c.cache.read(c.Context(), nil, x.inspection(c.Context()).Entry)
		}
		switch {
		case err != nil:
		case whole:
			err = x.end(c.Context())
		default:
			err = x.flush(c.Context())
		}
		audited <- err
	}()
	for {
		select {
		case <-c.a.mail.wake:
			c.a.mail.deliver()
		case err := <-audited:
			if err != nil {
				c.Fatal(err)
			}
			return
		}
	}
}

// TestUsage (O4): each packet is accounted once, at both ends, whether an entry matched it or not, across evictions, expiry, changes and a target that begins anew, exactly: the sums
// are those that were sent. They never decrease, and what is accounted from counters that are there is known.
func TestUsage(t *testing.T) {
	c := newCached(t, 2000, 75, 64)
	random := rand.New(rand.NewPCG(1, 2))
	var sent [3]uint64
	some := func(n int) {
		for range n {
			vm := uint16(1 + random.IntN(2))
			c.send(vm, uint16(random.ExpFloat64()*40))
			sent[vm]++
			if c.at += 3 * time.Millisecond; random.IntN(100) == 0 {
				c.later(0)
			}
		}
	}
	read := func() {
		c.later(roundTime)
		c.settled()
	}
	some(20_000)
	read()
	c.usageIs("evictions", sent)
	if s := c.a.Stats(); s.EvictedLimit+s.EvictedShare < 100 {
		t.Errorf("%d flows evicted", s.EvictedLimit+s.EvictedShare)
	}
	read()
	c.usageIs("another round", sent)

	some(1000)
	for f := range c.core.flows.all() { // half of them change, or expire
		switch random.IntN(4) {
		case 0:
			c.remove(f)
		case 1:
			c.expireOne(f.placed.Hash)
		case 2:
			c.doubt(f)
		}
	}
	c.recheck(0)
	c.settled()
	some(1000)
	read()
	c.usageIs("changes", sent)

	var live, known liveness
	for _, x := range c.flows {
		if x.there && x.f.ingress() == c.ids[1] {
			live.In.Add(tallied(uint64(x.packets), uint64(x.packets)*cachedLen))
		}
	}
	if known = c.usage.of(c.ids[1]).live; known.In != live.In {
		t.Errorf("counters of vm1's entries have %+v, and %+v of that is known", live.In, known.In)
	}

	c.empty = true // the target begins anew
	c.audit(true)
	c.empty = false
	for _, x := range c.flows {
		x.packets = 0
	}
	some(5000)
	read()
	c.usageIs("a restart of the target", sent)
}

// TestUsageOfPredecessor (O4): what entries that a predecessor left have more than it had stored is accounted once, even if the session is lost while they are read, and they are read again.
func TestUsageOfPredecessor(t *testing.T) {
	c := newCached(t, 2000, 100, 64)
	var sent [3]uint64
	some := func(n int) {
		for port := range uint16(5) {
			for range n {
				if c.send(1, port) {
					sent[1]++
				}
			}
		}
	}
	some(4)
	before := tallied(sent[1], sent[1]*cachedLen)
	some(2) // it had not stored these
	entries := slices.Collect(func(yield func(*p4rt.Entry) bool) {
		take := func(e p4rt.Entity) {
			if x, ok := e.(*p4rt.Entry); ok {
				yield(x)
			}
		}
		c.layout.entities(take)
		for e := range c.placer.Beside() {
			take(e)
		}
	})
	clear(c.usage.accounts)
	clear(c.usage.tenants)
	link := vportOf(t, c.core, "gw-lan")
	for _, f := range c.core.flows.byEntry {
		f.counted, f.recount = amount{}, true // as adopted
		f.relies.crossed = []flow.VPortID{link}
	}
	c.usage.numbers = c.a.tables.NumbersOf(entries)
	c.inherit([]state.Usage{
		{ID: c.ids[1], UsageTotals: state.UsageTotals{In: before}, Live: liveness{In: before}},
		{ID: c.ids[2], UsageTotals: state.UsageTotals{Out: before}, Live: liveness{Out: before}},
		{ID: link, UsageTotals: state.UsageTotals{Crossed: before}, Live: liveness{Crossed: before}},
	})
	c.audit(false)
	some(3)
	c.audit(true)
	c.usageIs("taken over", sent)
	some(3)
	c.later(roundTime)
	c.settled()
	c.usageIs("after that", sent)
	if got, want := c.usage.of(link).total.Crossed, tallied(sent[1], sent[1]*cachedLen); got != want {
		t.Errorf("of a link %+v is accounted, want %+v", got, want)
	}
	own := tallied(sent[1]-before.Packets, sent[1]*cachedLen-before.Bytes)
	if got, want := *c.usage.tenants["red"], (state.UsageTotals{In: own, Out: own}); got != want {
		t.Errorf("this process accounted %+v of the tenant, want %+v", got, want)
	}
	clear(c.usage.accounts)
	some(1)
	c.later(roundTime)
	c.settled()
	if got, want := c.usage.tenants["red"].In.Packets, sent[1]-before.Packets; got != want {
		t.Errorf("and %d packets when accounts were forgotten, want %d", got, want)
	}
}

// TestUsageOfDeleted (O4): what the target says of an entry that is being deleted is not taken for that of one that is written in its place.
func TestUsageOfDeleted(t *testing.T) {
	c := newCached(t, 2000, 100, 64)
	for _, table := range c.a.tables.FlowTables() {
		if table.Name == "ingress.flow_wild_v4" {
			table.Size = 1 // flow 8, which keeps the scope: the other one is exact, and its entry the same again
		}
	}
	c.send(1, 8)
	c.send(1, 7)
	for range 9 {
		c.send(1, 7)
	}
	f := c.flows[cachedFlow{1, 7}].f
	entry := f.placed.Hash
	c.remove(f)
	c.outlet.next() // read, and handed to the target, which does not answer
	for c.outlet.reading {
		<-c.a.mail.wake
		c.a.mail.deliver()
	}
	was := c.usage.of(c.ids[1]).total.In.Packets
	c.flows[cachedFlow{1, 7}].f = nil
	c.upcallOnly(1, 7)
	if c.core.flows.byEntry[entry] == nil {
		t.Fatal("the flow has another entry than before")
	}
	c.count(entry, tallied(9, 9*cachedLen), c.now())
	if n := c.usage.of(c.ids[1]).total.In.Packets; n != was+1 {
		t.Errorf("%d packets are accounted, want %d: what the old entry had was counted again", n, was+1)
	}
	began := c.now()
	c.at += time.Second
	c.settled()
	c.count(entry, tallied(9, 9*cachedLen), began) // asked before the deletion was confirmed
	if n := c.usage.of(c.ids[1]).total.In.Packets; n != was+1 {
		t.Errorf("%d packets are accounted, want %d: an answer from before the deletion was counted", n, was+1)
	}
	c.at += time.Second
	c.count(entry, tallied(3, 3*cachedLen), c.now())
	if n := c.usage.of(c.ids[1]).total.In.Packets; n != was+4 {
		t.Errorf("%d packets are accounted, want %d", n, was+4)
	}
}

// TestUsageOfReasons (O4): of packets that the agent gets, those are its own to account that no entry has counted.
func TestUsageOfReasons(t *testing.T) {
	c := newCached(t, 10, 100, 64)
	res := &sim.Result{Outcomes: []sim.Outcome{{Verdict: sim.Forward, Dest: c.ids[2].Dest()}}, Crossed: []flow.VPortID{c.ids[2]}}
	for _, reason := range []flow.Reason{flow.ReasonMissFlow, flow.ReasonTTL, flow.ReasonTrackedSYN, flow.ReasonReject, flow.ReasonARP, flow.ReasonNoLocation} {
		c.lives.matched = entryMatched(reason)
		c.slow(res, c.ids[1], 100)
	}
	got := c.usage.of(c.ids[2]).total
	if want := (state.UsageTotals{Out: tallied(2, 200), Crossed: tallied(2, 200)}); got != want {
		t.Errorf("%+v, want %+v: of a miss and of a class", got, want)
	}
}

// TestUsageStored (O4): what others have stored of a vport is taken over, once; of an answer that was not heard nothing counts twice.
func TestUsageStored(t *testing.T) {
	c := newCached(t, 10, 100, 64)
	u, id := &c.usage, c.ids[1]
	in := func(n uint64) state.UsageTotals { return state.UsageTotals{In: tallied(n, 10*n)} }
	a := u.of(id)
	a.total, a.dirty = in(5), true
	sent := c.usageOf(id, a)
	u.stored(&sent, &state.Usage{UsageTotals: in(100), Run: sent.Run + 1, Seq: 9, Revision: 7}, nil) // a predecessor's
	if a.total != in(105) || a.rev != 7 || !a.dirty {
		t.Fatalf("%+v beside what a predecessor stored", a)
	}
	sent = c.usageOf(id, a)
	mine := sent
	mine.Revision = 8
	u.stored(&sent, &mine, nil)
	a.total.In.Add(tallied(1, 10))
	lost := c.usageOf(id, a)
	u.stored(&lost, nil, state.ErrUnknownOutcome) // it is stored all the same
	a.total.In.Add(tallied(1, 10))
	again := c.usageOf(id, a)
	there := lost
	there.Revision = 9
	u.stored(&again, &there, nil)
	if a.total != in(107) || a.rev != 9 || !a.dirty {
		t.Errorf("%+v behind an answer that was lost, want 107 packets", a)
	}
	next := c.usageOf(id, a)
	if next.In != in(107).In || next.Revision != 9 {
		t.Errorf("%+v is stored next", next)
	}
}

// TestUsageIsNeverLess (O4): what is stored of a vport is added to, be it that the agent has forgotten its account since, or that it has taken the edge over, with its name, and could not read it.
func TestUsageIsNeverLess(t *testing.T) {
	in := func(n uint64) state.UsageTotals { return state.UsageTotals{In: tallied(n, 10*n)} }
	before := newCached(t, 10, 100, 64)
	id := before.ids[1]
	a := before.usage.of(id)
	a.total = in(100)
	sent := before.usageOf(id, a)
	kept := sent
	kept.Revision = 7
	before.usage.stored(&sent, &kept, nil)
	delete(before.usage.accounts, id)
	after := newCached(t, 10, 100, 64)
	after.conns.goOnAs(before.conns.run)
	for _, c := range []*cached{before, after} {
		a := c.usage.of(id)
		a.total = in(5)
		sent := c.usageOf(id, a)
		c.usage.stored(&sent, &kept, nil) // it is in the way
		if next := c.usageOf(id, a); next.In != in(105).In || next.Revision != 7 || !a.dirty {
			t.Errorf("%+v is stored next, behind 100 packets that were and 5", next)
		}
	}
}
