package engine

import (
	"context"
	"errors"
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

// Leasing.
const (
	blockWait   = 3 * time.Second  // that the database has for an answer
	leasePause  = 5 * time.Second  // after one that failed, or found nothing
	minFree     = 32               // ports that there are to be, and as many as two seconds take
	supplyCount = 16               // connections between two counts of what is left
	supplySpan  = 2 * time.Second  // for which there are to be ports
	blockTime   = 15 * time.Minute // that a lease lives without renewal, if nothing else is configured
)

// blockLease is the lease of all of an agent's blocks. It is taken for over an eighth of its time before it is, by this node's monotonic clock.
type blockLease struct {
	id    state.BlockLease // 0: there is none
	until time.Duration
	next  time.Duration // when it is to be renewed
	busy  bool          // it is being renewed, or the first one granted
}

// holds reports whether ports of blocks may be given.
func (l *blockLease) holds(now time.Duration) bool { return l.id != 0 && now < l.until }

// renewed takes a lease that was asked for at a time, and lives for ttl from then at least.
func (l *blockLease) renewed(asked, ttl time.Duration) {
	l.until, l.next = asked+ttl-ttl/8, asked+ttl/3
}

// supply is what is left of blocks for sources of one kind.
type supply struct {
	blocks  []*block
	at      int // of which the last port was given
	since   int // connections since it was counted last
	begun   time.Duration
	span    int     // connections since begun
	rate    float64 // a second
	leasing bool
	after   time.Duration // not before is it tried again
}

// supplyOf is the supply that a need is met from.
func supplyOf(n *sim.SourceNeed) sim.SourceNeed {
	k := *n
	k.Keeps, k.Port = false, 0
	return k
}

// wanted notes that a connection is about to be stored with sources that were wanted from blocks, and leases more if few are left. Nothing waits for that.
func (t *blocks) wanted(r *sim.Track) {
	for i := range r.Needs {
		t.want(&r.Needs[i], &r.New)
	}
}

func (t *blocks) want(n *sim.SourceNeed, c *conntrack.Conn) {
	now, k := t.c.now(), supplyOf(n)
	s := t.supplies[k]
	if s == nil {
		s = &supply{begun: now}
		for _, b := range t.of[k.Device] {
			if takes(&k, b) {
				s.blocks = append(s.blocks, b)
			}
		}
		t.supplies[k] = s
	}
	met := false
	t.each(c, func(b *block, _ conntrack.PortSpace, _ uint) {
		for i := range s.blocks {
			if at := (s.at + i) % len(s.blocks); s.blocks[at] == b {
				s.at, met = at, true
				break
			}
		}
	})
	if met {
		t.c.a.counts.blockPicks.Add(1)
	} else {
		t.c.a.counts.blockMisses.Add(1)
	}
	s.since++
	s.span++
	if met && s.since < supplyCount || n.Keeps && !met || s.leasing || now < s.after || t.c.contact.lost {
		return
	}
	s.since = 0
	if took := now - s.begun; took >= time.Second {
		s.rate, s.span, s.begun = float64(s.span)/took.Seconds(), 0, now
	} else {
		s.rate = max(s.rate, float64(s.span))
	}
	want := max(minFree, int(s.rate*supplySpan.Seconds()))
	if free := s.free(n.Space); free < want {
		t.more(k, s, (2*want-free+conntrack.BlockPorts-1)/conntrack.BlockPorts)
	}
}

// takes reports whether a block is one that would do.
func takes(k *sim.SourceNeed, b *block) bool {
	return b.Device == k.Device && b.V6 == k.V6 && b.Within(k.First, k.Last) && k.Has(b.Addr)
}

// free counts the ports that are left.
func (s *supply) free(space conntrack.PortSpace) (ports int) {
	for _, b := range s.blocks {
		ports += bits.OnesCount64(^b.taken[space])
	}
	return ports
}

// more leases blocks of one of the addresses.
func (t *blocks) more(k sim.SourceNeed, s *supply, n int) {
	like := conntrack.Block{Device: k.Device, Addr: k.At(rand.Uint32()), V6: k.V6}
	held := 0
	for _, b := range t.of[k.Device] {
		if b.Addr == like.Addr && b.V6 == like.V6 {
			held++
		}
	}
	if n = min(n, maxBlocksEach-held, maxBlocks-len(t.at)); n <= 0 {
		return
	}
	lease, now := t.lease.id, t.c.now()
	if lease == 0 && t.lease.busy {
		return // for another supply
	}
	s.leasing, t.lease.busy = true, t.lease.busy || lease == 0
	granted, ctx, run, ttl := lease == 0, t.c.ctx, t.c.conns.run, t.c.a.cfg.BlockTime
	t.c.effects.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, blockWait)
		defer cancel()
		store, err := t.c.a.cfg.Store, error(nil)
		if granted {
			lease, err = store.GrantBlocks(ctx, ttl)
		}
		var got []state.HeldBlock
		if err == nil {
			got, err = store.LeaseBlocks(ctx, lease, run, like, k.First, k.Last, n)
		}
		t.c.a.mail.post(func() {
			s.leasing = false
			if granted {
				t.lease.busy = false
				if lease != 0 {
					t.lease.id = lease
					t.lease.renewed(now, max(2*time.Second, ttl))
				}
			}
			t.leased(lease, got, err)
			if len(got) == 0 {
				s.after = t.c.now() + leasePause
			}
		})
	})
}

// leased takes blocks.
func (t *blocks) leased(lease state.BlockLease, got []state.HeldBlock, err error) {
	switch {
	case errors.Is(err, state.ErrLeaseGone) && lease == t.lease.id:
		t.lapse("the database knows their lease no more")
	case err != nil:
		t.c.a.cfg.Logger.Debug("no ports are leased for translations", "err", err)
	case lease != t.lease.id:
		return // that has ended since
	}
	for _, h := range got {
		if _, leaves := t.leaving[h.Block]; leaves || t.at[h.Block] != nil {
			continue
		}
		b := &block{Block: h.Block, revision: h.Revision, given: t.c.now()}
		t.at[b.Block] = b
		t.of[b.Device] = append(t.of[b.Device], b)
		for k, s := range t.supplies {
			if takes(&k, b) {
				s.blocks = append(s.blocks, b)
			}
		}
	}
	t.c.a.counts.blocks.Store(uint64(len(t.at)))
}

// renew renews the lease in time, or takes it for over.
func (t *blocks) renew(now time.Duration) {
	l := &t.lease
	switch {
	case l.id == 0:
		return
	case now >= l.until:
		t.lapse("the database did not renew their lease")
		return
	case now < l.next || l.busy:
		return
	}
	l.busy = true
	id, ctx := l.id, t.c.ctx
	t.c.effects.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, blockWait)
		defer cancel()
		ttl, err := t.c.a.cfg.Store.RenewBlocks(ctx, id)
		t.c.a.mail.post(func() {
			if l.busy = false; l.id != id {
				return
			}
			switch {
			case errors.Is(err, state.ErrLeaseGone):
				t.lapse("the database knows their lease no more")
			case err != nil: // tried again with the next sweep
			case t.c.now() < l.until:
				l.renewed(now, ttl)
			}
		})
	})
}

// lapse ends all blocks. What has a source of them and is stored nowhere ends, too: another may be given the same.
func (t *blocks) lapse(why string) {
	n := len(t.at)
	t.c.conns.lapsed()
	t.lease = blockLease{busy: t.lease.busy}
	clear(t.at)
	clear(t.of)
	clear(t.supplies)
	t.c.a.counts.blocks.Store(0)
	if n > 0 {
		t.c.a.counts.blockLapses.Add(uint64(n))
		t.c.a.cfg.Logger.Warn("ports that were leased for translations are not this edge's any more: "+why, "blocks", n)
	}
}

// lose forgets blocks that the database says are not held any more, and has it asked for the others: they have one lease.
func (t *blocks) lose(list []state.HeldBlock) {
	for _, h := range list {
		if b := t.at[h.Block]; b != nil && b.revision == h.Revision {
			t.drop(b)
			t.c.a.counts.blockLapses.Add(1)
			t.lease.next = 0
		}
	}
	t.renew(t.c.now())
}

// giveBack lets others lease a block, once no translation of it is stored.
func (t *blocks) giveBack(b *block) {
	t.leaving[b.Block] = struct{}{}
	ctx := t.c.ctx
	t.c.effects.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, blockWait)
		defer cancel()
		err := t.c.a.cfg.Store.ReturnBlock(ctx, state.HeldBlock{Block: b.Block, Revision: b.revision})
		t.c.a.mail.post(func() {
			delete(t.leaving, b.Block)
			if err != nil {
				t.c.a.cfg.Logger.Debug("a block is not given back: it is taken up again", "block", b.Block, "err", err)
			}
		})
	})
}

// end gives all back when the agent ends: nobody waits for the lease to run out.
func (t *blocks) end() {
	if t.lease.id == 0 || t.c.contact.lost {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), blockWait/3)
	defer cancel()
	_ = t.c.a.cfg.Store.EndBlocks(ctx, t.lease.id) // it runs out by itself otherwise
}

// uses tells of which blocks a connection that is to be stored has sources.
func (t *blocks) uses(c *conntrack.Conn) (list []state.BlockUse) {
	var buf [conntrack.MaxSteps]conntrack.Block
	for _, b := range c.Blocks(buf[:0]) {
		u := state.BlockUse{Block: b, Used: t.used[b]}
		if own := t.at[b]; own != nil {
			u.Held, u.Used = own.revision, 0
		}
		if !hasBlock(list, b) {
			list = append(list, u)
		}
	}
	return list
}

func hasBlock(list []state.BlockUse, b conntrack.Block) bool {
	for i := range list {
		if list[i].Block == b {
			return true
		}
	}
	return false
}

// stored notes at which revision blocks were marked as used, or that a connection with sources of them could not be stored.
func (t *blocks) stored(list []state.BlockUse, revision int64) {
	for i := range list {
		switch u := &list[i]; {
		case u.Held != 0:
		case revision == 0:
			delete(t.used, u.Block)
		case u.Used == 0 && len(t.used) < maxBlocks:
			t.used[u.Block] = revision
		}
	}
}
