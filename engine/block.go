package engine

import (
	"math/bits"
	"slices"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/sim"
)

// Bounds of blocks.
const (
	maxBlocks     = 4096                 // that an agent holds
	maxBlocksEach = conntrack.Blocks / 4 // of one address, so that others get some
	blockIdle     = 10 * time.Minute     // after which one of which nothing is given is given back
	blockLook     = time.Minute          // between two looks for such
)

// blocks are the ports of translated sources that the agent alone gives (N2): sim.Blocks. They end together, with their lease. The agent's own goroutine alone touches
// them.
//
//	pick → sim takes a port of a block → taken while the connection is known here → free
//	few are left → lease more, meanwhile ports are picked as without blocks
type blocks struct {
	c        *core
	lease    blockLease
	of       map[uint32][]*block // by device
	at       map[conntrack.Block]*block
	supplies map[sim.SourceNeed]*supply
	used     map[conntrack.Block]int64 // that others may have translations of, with the revision at which they were marked
	leaving  map[conntrack.Block]struct{}
	looked   time.Duration
}

// block is one that the agent holds.
type block struct {
	conntrack.Block
	revision int64                        // at which it was leased
	taken    [conntrack.PortSpaces]uint64 // a bit for each port: it is given, or may be
	next     [conntrack.PortSpaces]uint8  // where the search begins, so that a port rests for long
	uses     int                          // connections that this agent knows, or is about to store
	given    time.Duration                // when the last port was
}

func newBlocks(c *core) *blocks {
	return &blocks{c: c, of: map[uint32][]*block{}, at: map[conntrack.Block]*block{}, supplies: map[sim.SourceNeed]*supply{}, used: map[conntrack.Block]int64{}, leaving: map[conntrack.Block]struct{}{}}
}

// Source implements sim.Blocks.
func (t *blocks) Source(n *sim.SourceNeed) (flow.Addr, uint16, bool) {
	if !t.lease.holds(t.c.now()) {
		return flow.Addr{}, 0, false
	}
	s := t.supplies[supplyOf(n)]
	if s == nil { // wanted for the first time
		for _, b := range t.of[n.Device] {
			if takes(n, b) {
				if port, ok := b.source(n); ok {
					return b.Addr, port, true
				}
			}
		}
		return flow.Addr{}, 0, false
	}
	for i := range s.blocks {
		b := s.blocks[(s.at+i)%len(s.blocks)]
		if port, ok := b.source(n); ok {
			return b.Addr, port, true
		}
	}
	return flow.Addr{}, 0, false
}

// source returns a port of the block that would do.
func (b *block) source(n *sim.SourceNeed) (uint16, bool) {
	free, first := ^b.taken[n.Space], b.First()
	if n.Keeps {
		i := n.Port - first
		return n.Port, i < conntrack.BlockPorts && free>>i&1 != 0
	}
	if free == 0 {
		return 0, false
	}
	next := int(b.next[n.Space])
	i := (bits.TrailingZeros64(bits.RotateLeft64(free, -next)) + next) % conntrack.BlockPorts
	return first + uint16(i), true
}

// each calls fn with each source of a connection that is of a block that the agent holds, and the port's place in it.
func (t *blocks) each(c *conntrack.Conn, fn func(b *block, s conntrack.PortSpace, i uint)) {
	if len(t.at) == 0 {
		return
	}
	space := c.Forward.Space()
	if space == conntrack.NoPorts {
		return
	}
	steps := c.Steps()
	for i := range steps {
		if s := &steps[i]; !s.Dst && !s.Static {
			if at, ok := conntrack.BlockAt(s.Device, s.Addr, c.Forward.V6, s.Port); ok {
				if b := t.at[at]; b != nil {
					fn(b, space, uint(s.Port-b.First()))
				}
			}
		}
	}
}

// join notes that a connection has its sources: one that the agent knows, or is about to store.
func (t *blocks) join(c *conntrack.Conn) {
	t.each(c, func(b *block, s conntrack.PortSpace, i uint) {
		b.taken[s] |= 1 << i
		b.next[s] = uint8((i + 1) % conntrack.BlockPorts)
		b.uses++
		b.given = t.c.now()
	})
}

// leave is the reverse. The sources of one that is stored nowhere any more may be given again; others only once the block has been leased anew.
func (t *blocks) leave(c *conntrack.Conn, gone bool) {
	t.each(c, func(b *block, s conntrack.PortSpace, i uint) {
		b.uses--
		if gone {
			b.taken[s] &^= 1 << i
		}
	})
}

// safe reports whether a connection may be begun without the database: whatever others store, none has its source. Each that was chosen is of a block of the agent's.
func (t *blocks) safe(c *conntrack.Conn) bool {
	holds, steps := t.lease.holds(t.c.now()), c.Steps()
	for i := range steps {
		s := &steps[i]
		if s.Dst || s.Static {
			continue
		}
		b, ok := conntrack.BlockAt(s.Device, s.Addr, c.Forward.V6, s.Port)
		if !holds || !ok || t.at[b] == nil || c.Forward.Space() == conntrack.NoPorts {
			return false
		}
	}
	return true
}

// drop forgets a block.
func (t *blocks) drop(b *block) {
	delete(t.at, b.Block)
	list := t.of[b.Device]
	for i, x := range list {
		if x == b {
			list[i] = list[len(list)-1]
			t.of[b.Device] = list[:len(list)-1]
			break
		}
	}
	if len(t.of[b.Device]) == 0 {
		delete(t.of, b.Device)
	}
	for _, s := range t.supplies {
		if i := slices.Index(s.blocks, b); i >= 0 {
			s.blocks = slices.Delete(s.blocks, i, i+1)
			s.at = 0
		}
	}
	t.c.a.counts.blocks.Store(uint64(len(t.at)))
}

// sweep renews the lease, and gives back what was not used for long.
func (t *blocks) sweep(now time.Duration) {
	t.renew(now)
	if now-t.looked < blockLook || t.c.contact.lost {
		return
	}
	t.looked = now
	for _, b := range t.at {
		if b.uses <= 0 && now-b.given >= blockIdle {
			t.drop(b)
			t.giveBack(b)
		}
	}
	for k, s := range t.supplies {
		if now-s.begun >= blockIdle && !s.leasing { // made anew if it is wanted; that of a rule as it was before an edit is not
			delete(t.supplies, k)
		}
	}
	clear(t.used) // marked again when there is need
}
