package engine

import (
	"github.com/weft-sdn/weft/flow"
)

// limit takes what a change of an interior port makes of the rates of its link, both ways.
func (c *core) limit(id flow.VPortID, touched map[subject]struct{}) {
	c.limitLink(id, touched)
	if p := c.snap.VPort(id); p != nil && p.Peer != 0 {
		c.limitLink(p.Peer, touched)
	}
}

// limitLink takes what a link carries that leads to a port.
func (c *core) limitLink(id flow.VPortID, touched map[subject]struct{}) {
	rate, had := c.snap.LinkRate(id), c.view.limits[id]
	if rate == had {
		return
	}
	if rate == 0 {
		delete(c.view.limits, id)
	} else {
		c.view.limits[id] = rate
	}
	touched[linkSubject(id)] = struct{}{}
}
