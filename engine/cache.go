package engine

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
)

// Pace of the rounds in which the entries' counters and hit times are read back, and bounds of an eviction.
const (
	roundTime  = 10 * time.Second       // between two rounds when nothing is new, by default
	roundRest  = 100 * time.Millisecond // that is left between two rounds at least
	roundShare = 16                     // a round that took t is followed by a rest of (roundShare - 1) * t at least: reading takes no more of the target's time
	countShare = 50                     // the same, of a round that does no more than count
	freshShare = 16                     // a round is due when as many flows are new as a sixteenth of all, where room is scarce
	roundChunk = 512                    // entries that are taken note of before packets have their turn
	evictMost  = 2048                   // entries that are evicted at once

	readPatience = 5 * time.Second // that some entries may take to be read
	readRefusals = 128             // of what is read together
)

// cache decides which flows keep an entry of the target (E5).
//
//	room        every flow gets an entry at its first packet
//	scarce      (within an eighth of a limit) at its second: doorkeeper
//	tight       (within a sixteenth) entries go, until an eighth is free: those of the vport that has its share, or of those that have most (offload.Placer.Excess). Of a vport, those
//	            go first that were matched longest ago, by what the last round read; twice as many as have to go are read once more, and those that were matched meanwhile stay. When no
//	            entry is left that a round has read, some go at random of those that are newer than the last round
//	none        the flow stays on the slow path
//
// A round reads all entries' hit times and counters, fast when many flows are new where room is scarce, and else slowly.
type cache struct {
	door doorkeeper
	// read is readFlows.
	read     func(ctx context.Context, entries []*p4rt.Entry, yield func(*p4rt.Entry, p4rt.Counter) error) error
	patience time.Duration   // that some entries may take to be read: something waits for it
	choose   func(n int) int // a random number below n

	old      map[uint16][]*installedFlow // by local vport: those that the last round read, matched longest ago first
	young    map[uint16][]*installedFlow // the newer ones
	fresh    int                         // flows that are new since the last round began
	reading  bool                        // a round is under way
	checking bool                        // an eviction is
	short    bool                        // there is nothing left that could go: a round is due
	ended    time.Duration               // the last round
	took     time.Duration
}

func newCache(a *Agent) cache {
	return cache{old: map[uint16][]*installedFlow{}, young: map[uint16][]*installedFlow{}, choose: rand.IntN, read: a.readFlows, patience: readPatience}
}

// readFlows reads counters and hit times of some flow entries, nil: of all; each is valid during the call of yield.
func (a *Agent) readFlows(ctx context.Context, entries []*p4rt.Entry, yield func(*p4rt.Entry, p4rt.Counter) error) error {
	o := p4rt.ReadOptions{Tables: a.tables.FlowTables(), Counters: true, LastHit: true, Borrow: true}
	if entries == nil {
		return a.session.ReadEntries(ctx, o, yield)
	}
	return a.session.ReadEntriesOf(ctx, entries, o, yield)
}

// readSome reads counters and hit times of some flow entries for which something waits. A target may refuse to read what it does not have, and some may be on their way there: what it refuses
// is halved until it is that entry alone.
func (h *cache) readSome(ctx context.Context, entries []*p4rt.Entry, yield func(*p4rt.Entry, p4rt.Counter) error) error {
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	refusals := 0
	var read func(some []*p4rt.Entry) error
	read = func(some []*p4rt.Entry) error {
		err := h.read(ctx, some, yield)
		if err == nil || ctx.Err() != nil || errors.Is(err, p4rt.ErrNotConnected) {
			return err
		}
		if refusals++; refusals > readRefusals {
			return err
		}
		if len(some) == 1 {
			return nil
		}
		if err := read(some[:len(some)/2]); err != nil {
			return err
		}
		return read(some[len(some)/2:])
	}
	for some := range slices.Chunk(entries, roundChunk) {
		if err := read(some); err != nil {
			return err
		}
	}
	return nil
}

// added notes a flow that was installed.
func (h *cache) added(f *installedFlow, scarce bool) {
	h.fresh++
	if scarce {
		h.young[f.placed.Local()] = append(h.young[f.placed.Local()], f)
	}
}

// reset forgets what is known of the flows: all are gone.
func (h *cache) reset() {
	clear(h.old)
	clear(h.young)
}

// heard takes note of what the target says of an entry: it was read at a time that is not before now. Where the target does not tell when an entry was matched, one that counted
// something is taken to have been matched just now, and so is one of which nothing was known: unknown is not idle.
func (f *installedFlow) heard(n p4rt.Counter, now time.Duration) {
	switch {
	case n.HitKnown:
		f.hit = momentOf(now - n.SinceHit)
	case !f.read, n.Counted && uint64(n.Packets) != f.counted.Packets:
		f.hit = momentOf(now)
	}
	f.read = true
}

// aged is a flow with the time since it was matched.
type aged struct {
	f   *installedFlow
	age time.Duration
}

// paceRounds begins a round if one is due.
func (c *core) paceRounds() {
	h := &c.cache
	if h.reading || c.target.term != serving || c.flows.len() == 0 && len(c.usage.leaving) == 0 {
		return
	}
	rest := c.now() - h.ended
	if rest < max(roundRest, (c.restShare()-1)*h.took) {
		return
	}
	if rest >= c.roundTime() || c.placer.Scarce() && (h.short || h.fresh > c.flows.len()/freshShare) {
		c.round()
	}
}

// restShare is of how much of the time a round may be: a good part of it where it tells which entries may go, and so little where it counts packets alone that decisions do not suffer.
func (c *core) restShare() time.Duration {
	if c.a.cfg.Profile.NoIdle || c.placer.Scarce() {
		return roundShare
	}
	return countShare
}

// roundTime is the time between two rounds when nothing is new. Where the target does not tell what is idle, a flow is found to be so within half of its time.
func (c *core) roundTime() time.Duration {
	if c.a.cfg.Profile.NoIdle {
		return min(c.a.cfg.CounterInterval, c.a.cfg.IdleTimeout/2)
	}
	return c.a.cfg.CounterInterval
}

// round reads back all entries. Nothing waits for it.
func (c *core) round() {
	h := &c.cache
	h.reading, h.fresh = true, 0
	begun, ctx, placer, scarce := c.now(), c.ctx, c.placer, c.placer.Scarce()
	c.effects.wg.Go(func() {
		old := map[uint16][]aged{}
		err := c.readAll(ctx, &readback{c: c, placer: placer, began: begun, each: func(_ *counted, f *installedFlow, now time.Duration) {
			if f != nil && scarce {
				v := f.placed.Local()
				old[v] = append(old[v], aged{f, f.hit.until(momentOf(now))})
			}
		}})
		if err != nil {
			old = nil // the agent may be about to end
		}
		sorted := make(map[uint16][]*installedFlow, len(old))
		for v, list := range old {
			slices.SortFunc(list, func(x, y aged) int { return cmp.Compare(y.age, x.age) })
			flows := make([]*installedFlow, len(list))
			for i, x := range list {
				flows[i] = x.f
			}
			sorted[v] = flows
		}
		c.a.mail.post(func() {
			h.reading, h.short = false, false
			h.ended = c.now()
			h.took = h.ended - begun
			if err != nil {
				if ctx.Err() == nil {
					c.a.cfg.Logger.Debug("flow entries are not read back", "err", err)
				}
				return
			}
			h.old = sorted
			c.usage.forget(begun)
			for v, list := range h.young {
				if list = slices.DeleteFunc(list, func(f *installedFlow) bool { return f.read || f.gone }); len(list) == 0 {
					delete(h.young, v)
				} else {
					h.young[v] = list
				}
			}
			c.relieve()
		})
	})
}

// counted is what the target says of an entry.
type counted struct {
	entry uint64      // hash
	tells bool        // its table has idle timeouts
	e     *p4rt.Entry // nil: it was borrowed
	p4rt.Counter
}

// readback accounts what entries have counted that are read back, and calls each with them and their flows, nil if there is none, on the agent's goroutine, in turns with packets. Who reads is
// another.
type readback struct {
	c      *core
	placer *offload.Placer // as of the begin of the read
	began  time.Duration
	each   func(x *counted, f *installedFlow, now time.Duration)
	keep   bool // each is told the entries, which are not borrowed
	chunk  []counted
}

// take takes an entry.
func (r *readback) take(ctx context.Context, e *p4rt.Entry, n p4rt.Counter) error {
	if r.chunk == nil {
		r.chunk = make([]counted, 0, roundChunk)
	}
	x := counted{entry: r.placer.Hash(e), tells: e.Table.SupportsIdle, Counter: n}
	if r.keep {
		x.e = e
	}
	if r.chunk = append(r.chunk, x); len(r.chunk) < roundChunk {
		return nil
	}
	return r.flush(ctx)
}

// flush has the agent take note of what was taken.
func (r *readback) flush(ctx context.Context) error {
	c, part := r.c, r.chunk
	r.chunk = nil // the part is the agent's
	return c.a.mail.call(ctx, func() {
		now := c.now()
		if c.placer != r.placer {
			return
		}
		var idle []uint64
		for i := range part {
			x := &part[i]
			f := c.flows.byEntry[x.entry]
			if f != nil {
				f.heard(x.Counter, now)
				if !x.tells && f.placed.Idle > 0 && f.hit.until(momentOf(now)) >= f.placed.Idle {
					idle = append(idle, x.entry)
				}
			}
			if x.Counted {
				c.count(x.entry, amountOf(x.Counter), r.began)
			}
			r.each(x, f, now)
		}
		for _, entry := range idle {
			c.expireOne(entry)
		}
	})
}

// readAll reads back all entries.
func (c *core) readAll(ctx context.Context, r *readback) error {
	err := c.cache.read(ctx, nil, func(e *p4rt.Entry, n p4rt.Counter) error { return r.take(ctx, e, n) })
	if err != nil {
		return err
	}
	return r.flush(ctx)
}

// victim is a flow that may go.
type victim struct {
	f  *installedFlow
	of int // index of the excess that it is for
}

// relieve has entries evicted where room is tight.
func (c *core) relieve() {
	h := &c.cache
	if !c.placer.Tight() || h.checking || h.short || c.target.term != serving {
		return
	}
	excess := c.placer.Excess()
	var victims []victim
	var entries []*p4rt.Entry
	left := int64(evictMost)
	for i := range excess {
		x := &excess[i]
		x.Entries = min(x.Entries, left)
		left -= x.Entries
		for _, f := range h.pick(c.placer, x.Pool, x.Entries) {
			victims = append(victims, victim{f, i})
			entries = append(entries, c.placer.Entry(f.placed))
		}
	}
	if len(victims) == 0 {
		if h.short = len(excess) > 0; h.short {
			c.paceRounds()
		}
		return
	}
	h.checking = true
	ctx, placer, now := c.ctx, c.placer, c.now()
	c.effects.wg.Go(func() {
		read := make(map[uint64]p4rt.Counter, len(entries))
		if err := h.readSome(ctx, entries, func(e *p4rt.Entry, n p4rt.Counter) error {
			read[placer.Hash(e)] = n
			return nil
		}); err != nil && ctx.Err() == nil {
			c.a.cfg.Logger.Debug("what is evicted is not read again", "err", err)
		}
		c.a.mail.post(func() {
			h.checking = false
			if c.placer != placer || c.target.term != serving {
				return
			}
			for _, v := range victims {
				if n, ok := read[v.f.placed.Hash]; ok && !v.f.gone {
					v.f.heard(n, now)
					c.count(v.f.placed.Hash, amountOf(n), now)
				}
			}
			c.evict(excess, victims)
			c.relieve()
		})
	})
}

// pick takes flows of a pool that may go, up to twice as many as have to: those that were matched longest ago, or some of those that are newer than the last round.
func (h *cache) pick(placer *offload.Placer, p offload.Pool, n int64) (flows []*installedFlow) {
	list := h.old[p.VPort]
	at := 0
	var kept []*installedFlow
	for ; at < len(list) && int64(len(flows)) < 2*n; at++ {
		switch f := list[at]; {
		case f.gone:
		case placer.Holds(f.placed, p.Table):
			flows = append(flows, f)
		default:
			kept = append(kept, f)
		}
	}
	if h.old[p.VPort] = list[at:]; len(kept) > 0 {
		h.old[p.VPort] = append(kept, list[at:]...)
	}
	young := h.young[p.VPort]
	for int64(len(flows)) < n && len(young) > 0 {
		i := h.choose(len(young))
		f := young[i]
		young[i] = young[len(young)-1]
		young = young[:len(young)-1]
		if !f.gone && !f.read && placer.Holds(f.placed, p.Table) {
			flows = append(flows, f)
		}
	}
	h.young[p.VPort] = young
	return flows
}

// evict takes out, of each excess' victims, as many as have to go: those that were matched longest ago. What is known beside the flow stays: its connection's state is not expired (C7), and a
// learnt MAC has its time from now on (B3).
func (c *core) evict(excess []offload.Excess, victims []victim) {
	now := c.now()
	slices.SortStableFunc(victims, func(x, y victim) int {
		return cmp.Or(cmp.Compare(x.of, y.of), cmp.Compare(y.f.hit.until(momentOf(now)), x.f.hit.until(momentOf(now))))
	})
	for _, v := range victims {
		x := &excess[v.of]
		if x.Entries <= 0 || v.f.gone {
			continue
		}
		x.Entries--
		since := v.f.hit.until(momentOf(now))
		count := &c.a.counts.evictedTable
		switch {
		case x.Share:
			count = &c.a.counts.evictedShare
			c.overShare(v.f.ingress())
		case x.Table == nil:
			count = &c.a.counts.evictedLimit
			c.noteFull("maxFlows is nearly reached")
		default:
			c.noteFull("table " + x.Table.Name + " is nearly full")
		}
		for _, f := range c.flows.sharing(v.f.placed.Hash) {
			if c.takeOut(f) {
				count.Add(1)
			}
			c.conns.idleSince(f, since)
		}
	}
}

// scarceRoom reports whether a decision gets no entry, since room for it is scarce and the flow is not known to have had a packet before.
func (c *core) scarceRoom(m *offload.Megaflow, read flow.Mask, local uint16) error {
	why := c.placer.ScarceFor(m, local)
	if why == nil || c.cache.door.again(c.flows.hash(patternOf(m.Key, read)), c.now()) {
		return nil
	}
	c.a.counts.notKept.Add(1)
	return why
}
