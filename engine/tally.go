package engine

import (
	"context"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
)

// tally follows what the target counts of drops by local number. A count is of the vport that has the number: it is read before the number is given to
// another, and what was there when this agent began is nobody's.
//
//	number given ──▶ unread ──read──▶ read: what is more than last time is the vport's ──▶ left ──read, number free──▶
//	                    ▲                                                                   │ target away: not known
//	                    └───────────────────────────────────────────────────────────────────┘
type tally struct {
	owners [maxVPorts + 1]flow.VPortID // that has the number, or had it last
	known  [maxVPorts + 1]bool         // what its cells had when they were read last, or when the target was programmed
	last   map[cell]uint64             // that, where it is not 0
	unread map[uint16]struct{}         // numbers in use of which it is not known
	left   []left                      // numbers to be read before they are free
	busy   bool                        // a read because of these two is under way
}

type cell struct {
	offload.DropCell
	egress bool
}

type left struct {
	local   uint16
	confirm func()
}

// tallyTime is how long a target has to tell what it dropped.
const tallyTime = 5 * time.Second

func newTally() tally {
	return tally{last: map[cell]uint64{}, unread: map[uint16]struct{}{}}
}

// given: a number is a vport's from now on.
func (t *tally) given(local uint16, id flow.VPortID) {
	t.owners[local] = id
	if !t.known[local] {
		t.unread[local] = struct{}{}
	}
}

// reset: the target was programmed, and counts from 0.
func (t *tally) reset() {
	clear(t.last)
	clear(t.unread)
	for i := range t.known {
		t.known[i] = true
	}
}

// doubtTally: another agent may have given the numbers to others.
func (c *core) doubtTally() {
	t := &c.tally
	clear(t.known[:])
	for _, local := range c.locals.vports.All() {
		t.unread[local] = struct{}{}
	}
}

// take notes what a cell has; more is what it has more than when it was read last.
func (t *tally) take(of cell, packets uint64) (more uint64) {
	before := t.last[of]
	if packets < before {
		before = 0 // the target was restarted
	}
	if packets > 0 {
		t.last[of] = packets
	} else {
		delete(t.last, of)
	}
	if !t.known[of.Local] {
		return 0
	}
	return packets - before
}

// leave has a number that no packet has any more read before it is free.
func (c *core) leave(local uint16, confirm func()) {
	c.tally.left = append(c.tally.left, left{local, confirm})
	c.readTally()
}

// readTally reads the numbers that are left, and those in use that never were, unless that is under way.
func (c *core) readTally() {
	t := &c.tally
	if t.busy || len(t.left)+len(t.unread) == 0 {
		return
	}
	batch := t.left
	t.left, t.busy = nil, true
	locals := make([]uint16, 0, len(batch)+len(t.unread))
	for _, l := range batch {
		locals = append(locals, l.local)
	}
	for local := range t.unread {
		locals = append(locals, local)
	}
	parent := c.ctx
	c.effects.wg.Go(func() {
		ctx, cancel := context.WithTimeout(parent, tallyTime)
		defer cancel()
		release, err := c.a.holdTally(ctx)
		if err == nil {
			_, err = c.a.tallyDrops(ctx, func() []uint16 { return locals })
			release()
		}
		c.a.mail.post(func() {
			t.busy = false
			for _, l := range batch {
				if err != nil { // it is not known what the next to have it begins with
					t.known[l.local] = false
				}
				l.confirm()
			}
			if len(t.left) > 0 {
				c.readTally()
			}
		})
	})
}

// holdTally has one read of drops at a time: what is read later is not credited earlier. The caller releases it.
func (a *Agent) holdTally(ctx context.Context) (release func(), err error) {
	select {
	case a.tallying <- struct{}{}:
		return func() { <-a.tallying }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// tallyDrops reads what the target counts of some numbers, and credits what is new to the vports that have them. It returns what no vport sent. of is called by
// the agent's goroutine. The caller holds the tally.
func (a *Agent) tallyDrops(ctx context.Context, of func() []uint16) (rest []Drop, err error) {
	var locals []uint16
	if err := a.mail.call(ctx, func() { locals = of() }); err != nil {
		return nil, err
	}
	queries := a.tables.DropQueries(0)
	for _, local := range locals {
		queries = append(queries, a.tables.DropQueries(local)...)
	}
	counted := map[cell]uint64{}
	if err := a.session.Read(ctx, func(e p4rt.Entity) error {
		if x, ok := e.(*p4rt.CounterCell); ok {
			if d, egress, ok := a.tables.DropCellOf(x); ok {
				counted[cell{d, egress}] = uint64(x.Packets)
			}
		}
		return nil
	}, queries...); err != nil {
		return nil, err
	}
	return rest, a.mail.call(ctx, func() { rest = a.core.credit(locals, counted) })
}

// credit adds what was read of some numbers to what their vports lost, and returns what no vport sent.
func (c *core) credit(locals []uint16, counted map[cell]uint64) (rest []Drop) {
	t := &c.tally
	for of, n := range counted {
		if int(of.Local) >= len(t.known) {
			continue
		}
		if of.Local == 0 {
			if from := "vports"; n > 0 {
				if of.egress {
					from = "egress"
				}
				rest = append(rest, Drop{From: from, Reason: wording(of.Reason), Packets: n})
			}
			continue
		}
		if more := t.take(of, n); more > 0 {
			c.drops.sums[dropKey{t.owners[of.Local], wording(of.Reason)}] += more
		}
	}
	for _, local := range locals {
		t.known[local] = true
		delete(t.unread, local)
	}
	return rest
}
