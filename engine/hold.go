package engine

import (
	"net/netip"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// Limits of packets that wait for a neighbour (R4).
const (
	maxHeld     = 1024 // packets in all
	maxHeldEach = 8    // packets for one neighbour
	maxHeldFrom = 128  // packets from one vport
	askAttempts = 3    // requests, a second apart (RFC 4861 section 10: MAX_MULTICAST_SOLICIT)
)

// neighbour is a station that a router port looks for.
type neighbour struct {
	port flow.VPortID
	addr netip.Addr
}

// wanted is a neighbour that is being asked for, and the packets that wait for it.
type wanted struct {
	packets []heldPacket
	attempt uint8
	next    time.Duration // when to ask again, or to give up
}

type heldPacket struct {
	data    []byte
	ingress flow.VPortID
	local   uint16
}

type holds struct {
	wanted map[neighbour]*wanted
	from   map[flow.VPortID]int
	n      int
}

func newHolds() holds {
	return holds{wanted: map[neighbour]*wanted{}, from: map[flow.VPortID]int{}}
}

// hold keeps a packet until its neighbour answers, or does not.
func (c *core) hold(n neighbour, data []byte, ingress flow.VPortID, local uint16) {
	h := &c.holds
	w := h.wanted[n]
	if h.n >= maxHeld || h.from[ingress] >= maxHeldFrom || w != nil && len(w.packets) >= maxHeldEach {
		c.a.counts.heldDrops.Add(1)
		return
	}
	if w == nil {
		w = &wanted{attempt: 1, next: c.now() + time.Second}
		h.wanted[n] = w
	}
	w.packets = append(w.packets, heldPacket{append([]byte(nil), data...), ingress, local})
	h.n++
	h.from[ingress]++
	c.a.counts.held.Add(1)
}

// release takes the packets that wait for a neighbour.
func (h *holds) release(n neighbour) []heldPacket {
	w := h.wanted[n]
	delete(h.wanted, n)
	for _, p := range w.packets {
		h.n--
		if h.from[p.ingress]--; h.from[p.ingress] == 0 {
			delete(h.from, p.ingress)
		}
	}
	return w.packets
}

// ask notes in the database that a neighbour is asked for, and sends the request if no other node was faster. If the answer is there already, it
// comes with a view.
func (c *core) ask(n neighbour, attempt uint8) {
	asked := sim.Effect{Kind: sim.AskNeighbour, Port: n.port, Addr: n.addr}
	if _, ok := c.effects.busy[asked]; ok || len(c.effects.busy) >= maxEffects {
		return
	}
	c.effects.busy[asked] = struct{}{}
	ctx := c.ctx
	c.effects.wg.Go(func() {
		first, _, _, err := c.a.cfg.Store.AskNeighbour(ctx, n.port, n.addr, attempt)
		c.a.mail.post(func() {
			delete(c.effects.busy, asked)
			switch {
			case err != nil:
				c.a.counts.effectFails.Add(1) // asked again in a second
			case first:
				c.request(n)
			}
		})
	})
}

// request sends an ARP request or neighbour solicitation from a router port, wherever it lives.
func (c *core) request(n neighbour) {
	c.sim.Ask(c.snap, n.port, flow.AddrOf(n.addr), n.addr.Is6(), &c.asks)
	c.originate(&c.asks, 0)
}

// resume decides the packets whose neighbour is known by now.
func (c *core) resume(deps []topology.Dep, all bool) {
	if len(c.holds.wanted) == 0 {
		return
	}
	changed := make(map[netip.Addr]struct{})
	for _, d := range deps {
		switch d.Kind {
		case topology.DepNeighbour, topology.DepBridgeNeighbour:
			changed[d.Addr()] = struct{}{}
		case topology.DepFDB, topology.DepBinding:
		default:
			all = true
		}
	}
	for n := range c.holds.wanted {
		if _, ok := changed[n.addr]; !ok && !all {
			continue
		}
		if _, state := c.snap.Neighbour(n.port, n.addr); state != topology.NeighbourOK && !c.cached(n) {
			continue
		}
		for _, p := range c.holds.release(n) {
			c.again(&p, sim.Lost{})
		}
	}
}

// cached reports whether the bridge behind the port knows the neighbour.
func (c *core) cached(n neighbour) bool {
	p := c.snap.VPort(n.port)
	if p == nil || p.Exterior {
		return p == nil
	}
	peer := c.snap.VPort(p.Peer)
	if peer == nil || peer.Kind != topology.DeviceBridge {
		return true // another network by now: decide anew
	}
	_, ok := c.snap.Bridge(peer.Device).Neighbour(n.addr)
	return ok
}

// again decides a packet that waited.
func (c *core) again(p *heldPacket, lost sim.Lost) {
	var f packet.Frame
	if packet.Parse(p.data, &f) != nil || c.locals.ingress(p.local) != p.ingress {
		c.a.counts.heldDrops.Add(1)
		return
	}
	if lost == (sim.Lost{}) {
		c.upcall(&f, p.ingress, p.local, flow.ReasonMissFlow)
		return
	}
	c.sim.SimulateLost(c.snap, &f, p.ingress, c.now(), lost, &c.res)
	c.originate(&c.res, p.ingress)
}

// retry asks again for neighbours that packets wait for, and tells those who wait in vain (R4).
func (c *core) retry(now time.Duration) {
	for n, w := range c.holds.wanted {
		if now < w.next {
			continue
		}
		w.next = now + time.Second
		if w.attempt < askAttempts {
			w.attempt++
			c.ask(n, w.attempt)
			continue
		}
		for _, p := range c.holds.release(n) {
			c.a.counts.heldDrops.Add(1)
			c.again(&p, sim.Lost{Port: n.port, Addr: n.addr})
		}
		c.giveUp(n)
	}
}

// giveUp takes the question out of the database, so that the next packet asks anew.
func (c *core) giveUp(n neighbour) {
	ctx := c.ctx
	c.effects.wg.Go(func() {
		if _, err := c.a.cfg.Store.ForgetNeighbour(ctx, n.port, n.addr, packet.MAC{}); err != nil && ctx.Err() == nil {
			c.a.cfg.Logger.Warn("unanswered neighbour is not forgotten", "port", n.port, "address", n.addr, "err", err)
		}
	})
}
