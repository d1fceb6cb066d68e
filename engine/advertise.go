package engine

import (
	"math/rand/v2"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// Times between the advertisements of a port (RFC 4861 section 6.2.1: MaxRtrAdvInterval and MinRtrAdvInterval; section 10:
// MAX_INITIAL_RTR_ADVERT_INTERVAL).
const (
	advertMost  = 600 * time.Second
	advertLeast = 3 * time.Second
	advertFirst = 16 * time.Second
)

// adverts are the router ports that tell hosts of themselves from time to time (R7). Of the edges that have hosts of a port, the first of those that are alive
// does it, for all.
type adverts struct {
	c   *core
	due map[flow.VPortID]time.Duration
	res sim.Result
}

func newAdverts(c *core) *adverts { return &adverts{c: c, due: map[flow.VPortID]time.Duration{}} }

// changed: a vport is there, or another now.
func (a *adverts) changed(id flow.VPortID) {
	p := a.c.snap.VPort(id)
	if _, known := a.due[id]; !known && p != nil && p.Advertise.Mode != "" {
		a.due[id] = a.c.now() + min(rand.N(advertFirst), pause(p))
	}
}

// pause is the time to the next advertisement: hosts hear three before what one told them runs out, unless the lifetime is too short for that.
func pause(p *topology.VPort) time.Duration {
	most := advertMost
	if l := time.Duration(p.Advertise.Lifetime) * time.Second; l > 0 {
		most = max(min(most, l/3), advertLeast)
	}
	least := max(most/3, advertLeast)
	return least + rand.N(most-least+1)
}

// sweep is called each second.
func (a *adverts) sweep(now time.Duration) {
	for id, due := range a.due {
		p := a.c.snap.VPort(id)
		switch {
		case p == nil || p.Advertise.Mode == "":
			delete(a.due, id)
		case due <= now && a.c.target.term == serving:
			a.due[id] = now + pause(p)
			a.send(id)
		}
	}
}

// send advertises, if it is for this edge to do.
func (a *adverts) send(id flow.VPortID) {
	c := a.c
	c.sim.Advertise(c.snap, id, &a.res)
	if d := missing(a.res.Effects); d != 0 {
		a.due[id] = c.now() + time.Second
		c.touch(d)
		return
	}
	if a.first() == c.view.self.ID {
		c.originate(&a.res, 0)
		c.a.counts.adverts.Add(1)
	}
}

// first is the first of the edges that are alive and whose target is programmed with a vport that an advertisement goes to; none: "".
func (a *adverts) first() (edge string) {
	c := a.c
	see := func(id flow.VPortID) {
		at, bound := c.view.places[id]
		if bound && (edge == "" || at.edge < edge) && c.conns.serves(at.edge) {
			edge = at.edge
		}
	}
	for i := range a.res.Originated {
		dest := a.res.Originated[i].Dest
		if !c.snap.IsGroup(dest) {
			see(flow.VPortID(dest))
			continue
		}
		for _, m := range c.snap.GroupMembers(dest) {
			see(m)
		}
	}
	return edge
}
