package engine

import (
	"fmt"
	"time"

	"github.com/weft-sdn/weft/flow"
)

// Bounds of what a vport may cost that has its share of the flow tables.
const (
	overShareMost = 100             // decisions a second that can't be installed for want of share, beyond which its punts are slowed
	slowPunts     = 1000            // packets a second that it may have punted then: no entry will ever spare them
	slowFor       = 5 * time.Second // after the last second with so many
)

// pace slows the punts of vports that have their share of the flow tables and go on sending what no entry is for, so that what a target hands up, in the order in which it comes, is
// not theirs alone: a flood of random headers costs its neighbours the time until its share is full.
type pace struct {
	over   map[flow.VPortID]int           // decisions in this second
	slowed map[flow.VPortID]time.Duration // until when
}

func newPace() pace {
	return pace{map[flow.VPortID]int{}, map[flow.VPortID]time.Duration{}}
}

// overShare notes a decision that could not be installed. A port with sessions of routing protocols is not slowed: their packets are punted, too, and would be lost with the others.
func (c *core) overShare(id flow.VPortID) {
	if _, speaks := c.view.speaks[id]; speaks {
		return
	}
	p := &c.pace
	if p.over[id]++; p.over[id] != overShareMost {
		return
	}
	_, slowed := p.slowed[id]
	p.slowed[id] = c.now() + slowFor
	if !slowed {
		c.noteVPort(id, "FloodsFlows", fmt.Sprintf("new flows beyond the vport's share of the flow tables: its punts are slowed to %d a second", slowPunts))
		c.a.cfg.Logger.Warn("vport floods new flows beyond its share of the flow tables: its punts are slowed", "vport", c.nameOf(id), "rate", slowPunts)
		c.setPace(id, slowPunts)
	}
}

// sweepPace ends what has been calm for a while.
func (c *core) sweepPace(now time.Duration) {
	clear(c.pace.over)
	for id, until := range c.pace.slowed {
		if now >= until {
			delete(c.pace.slowed, id)
			c.setPace(id, 0)
		}
	}
}

// setPace bounds the packets a second that a vport may have punted; 0: as all may.
func (c *core) setPace(id flow.VPortID, rate int64) {
	if rate == 0 {
		delete(c.view.paces, id)
	} else {
		c.view.paces[id] = rate
	}
	if c.hosts(id) {
		c.rebuild(map[subject]struct{}{vportSubject(id): {}})
	}
}
