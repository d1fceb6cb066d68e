package engine

import (
	"net/netip"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// strays are what bridges remember of stations that are nowhere any more: MACs behind ports that are gone, and addresses whose MAC is not in the table. What takes a port or MAC away takes
// them along, but for what is on its way to the database at that moment. They are looked for each age time, beside the agent's goroutine; what is there at two looks is forgotten, by one edge.
type strays struct {
	at      time.Duration // of the last look
	looking bool          // or forgetting
	seen    map[stray]struct{}
}

type stray struct {
	bridge topology.DeviceID
	mac    packet.MAC
	addr   netip.Addr   // invalid: the MAC itself, which is behind
	port   flow.VPortID // this
}

// lookForStrays begins with a look if it is time.
func (c *core) lookForStrays(now time.Duration) {
	s := &c.strays
	if s.looking || now-s.at < c.aging.time {
		return
	}
	s.at, s.looking = now, true
	snap := c.snap
	c.effects.wg.Go(func() {
		found := straysIn(snap)
		c.a.mail.post(func() {
			due := c.due(found)
			if s.looking = len(due) > 0; s.looking {
				c.effects.wg.Go(func() { c.forgetStrays(due) })
			}
		})
	})
}

func straysIn(snap *topology.Snapshot) map[stray]struct{} {
	found := map[stray]struct{}{}
	for b := range snap.Bridges() {
		for a, m := range b.LostAddrs() {
			found[stray{bridge: b.ID, mac: m, addr: a}] = struct{}{}
		}
		for m, p := range b.LostMACs() {
			found[stray{bridge: b.ID, mac: m, port: p}] = struct{}{}
		}
	}
	return found
}

// due returns what is to be forgotten, now that these were found.
func (c *core) due(found map[stray]struct{}) (due []stray) {
	mine := map[topology.DeviceID]bool{}
	for x := range found {
		if _, before := c.strays.seen[x]; !before {
			continue
		}
		tends, known := mine[x.bridge]
		if !known {
			tends = c.tends(x.bridge)
			mine[x.bridge] = tends
		}
		if tends {
			due = append(due, x)
		}
	}
	c.strays.seen = found
	return due
}

// tends reports whether this edge is the first, in order, of those that live and host ports of a bridge's flood domain.
func (c *core) tends(id topology.DeviceID) bool {
	first := ""
	for _, d := range c.snap.Domain(id) {
		b := c.snap.Bridge(d)
		if b == nil {
			continue
		}
		for _, p := range b.Ports {
			at, bound := c.view.places[p]
			if bound && (first == "" || at.edge < first) && (at.edge == c.view.self.ID || c.conns.serves(at.edge)) {
				first = at.edge
			}
		}
	}
	return first == c.view.self.ID
}

// forgetStrays takes strays out of the database, unless they are otherwise by now. What fails is found again.
func (c *core) forgetStrays(due []stray) {
	defer c.a.mail.post(func() { c.strays.looking = false })
	store := c.a.cfg.Store
	for _, x := range due {
		var err error
		if x.addr.IsValid() {
			_, err = store.ForgetBridgeNeighbour(c.ctx, x.bridge, x.addr, x.mac)
		} else {
			_, err = store.ForgetMAC(c.ctx, x.bridge, x.mac, x.port)
		}
		if err != nil {
			if c.ctx.Err() == nil {
				c.a.cfg.Logger.Warn("what was learnt of stations that are gone is not forgotten", "bridge_id", x.bridge, "mac", x.mac, "err", err)
			}
			return
		}
	}
	c.a.cfg.Logger.Info("forgot what was learnt of stations that are gone", "entries", len(due))
}
