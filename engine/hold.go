package engine

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Limits of packets that wait for a neighbour (R4) or a device (E7).
const (
	maxHeld     = 8192 // packets in all, of which those of one tenant have no more than are left for all others
	maxHeldEach = 8    // packets for one neighbour
	maxHeldLoad = 64   // packets for one device
	maxHeldFrom = 128  // packets from one port of a host; from others, where many send: eight times that
	askAttempts = 3    // requests, a second apart (RFC 4861 section 10: MAX_MULTICAST_SOLICIT)
	loadTime    = 3 * time.Second
	learnTime   = time.Second // that a frame waits for its destination to be learnt, by this edge or another
)

// awaited is what packets wait for: a neighbour, a station that is being learnt, a device that is being loaded, what the database says of a connection or of a
// pool's client, or the first fragment.
type awaited struct {
	neighbour
	station
	device   topology.DeviceID
	conn     conntrack.Key
	client   topology.PoolClient
	fragment fragmented
}

// neighbour is a station that a router port looks for.
type neighbour struct {
	port flow.VPortID
	addr netip.Addr
}

// station is a MAC that a bridge does not know.
type station struct {
	bridge topology.DeviceID
	mac    packet.MAC
}

// wanted is what is being asked for or loaded, and the packets that wait for it.
type wanted struct {
	packets  []heldPacket
	requests []neighbour // requests for neighbours that go out when the device is there
	attempt  uint8
	next     time.Duration // when to ask again, or to give up
	there    bool          // the device is in the view
	by       holder        // of a question for a packet that does not wait
}

type heldPacket struct {
	data    []byte
	ingress flow.VPortID
	local   uint16
	matched bool   // an entry had matched it
	due     due    // of its life, until it goes on
	tenant  string // of the ingress when it began to wait
}

// holder is because of whom something waits. The zero value: the agent.
type holder struct {
	port   flow.VPortID
	tenant string
}

// holds are what waits, and for what. A question that a packet asked which does not wait counts as one that does.
type holds struct {
	wanted map[awaited]*wanted
	from   map[flow.VPortID]int
	of     map[string]int // by tenant
	n      int
	vain   station // the one whose packets, which waited in vain, are decided now

	arrived []arrival
}

// arrival is a device that is in the view.
type arrival struct {
	awaited
	wanted *wanted
	seq    uint64 // submission with which its entries went to the target
}

func newHolds() holds {
	return holds{wanted: map[awaited]*wanted{}, from: map[flow.VPortID]int{}, of: map[string]int{}}
}

// want returns the entry of what is waited for. A device is loaded from now on.
func (c *core) want(n awaited) *wanted {
	w := c.holds.wanted[n]
	switch {
	case w != nil:
	case n.device != 0:
		w = &wanted{next: c.now() + loadTime}
		c.a.counts.loads.Add(1)
		c.devices.keep(n.device)
	case n.conn.Zone != 0, n.client.Pool != 0:
		w = &wanted{next: c.now() + 2*connTime}
		if c.contact.lost {
			w.next -= connTime // it is not even asked
		}
	case n.fragment.ingress != 0:
		w = &wanted{next: c.now() + fragmentWait}
	case n.station != (station{}):
		w = &wanted{next: c.now() + learnTime}
	default:
		w = &wanted{attempt: 1, next: c.now() + time.Second}
	}
	c.holds.wanted[n] = w
	return w
}

// hold keeps a packet until its neighbour answers, or its device is loaded, or neither.
// It reports whether that is waited for, be it by others: who asks sees to it that the question is answered or taken back.
func (c *core) hold(n awaited, data []byte, ingress flow.VPortID, local uint16) bool {
	h := &c.holds
	each := maxHeldEach
	if n.device != 0 {
		each = maxHeldLoad
	}
	who := c.holder(ingress)
	if w := h.wanted[n]; w == nil && len(h.wanted) >= maxHeld || !c.mayWait(who) || w != nil && len(w.packets) >= each {
		c.a.counts.heldDrops.Add(1)
		c.lose(ingress, dropInVain)
		c.lives.now.settled(sim.Drop.String(), dropInVain)
		return w != nil
	}
	w := c.want(n)
	w.packets = append(w.packets, heldPacket{append([]byte(nil), data...), ingress, local, c.lives.matched, c.lives.now.waits(&n), who.tenant})
	h.add(who)
	c.a.counts.held.Add(1)
	return true
}

// wonder asks for a neighbour because of a packet that does not wait for it, unless too much waits because of its port already.
func (c *core) wonder(q question, ingress flow.VPortID) {
	n, who := awaited{neighbour: q.neighbour}, c.holder(ingress)
	if c.holds.wanted[n] == nil {
		if len(c.holds.wanted) >= maxHeld || !c.mayWait(who) {
			return
		}
		c.want(n).by = who
		c.holds.add(who)
	}
	c.pose(q, ingress)
}

func (c *core) holder(ingress flow.VPortID) holder {
	if p := c.snap.VPort(ingress); p != nil {
		return holder{ingress, p.Tenant}
	}
	return holder{port: ingress}
}

// mayWait reports whether there is room for one more of a port: among all, its own, and what its tenant has, which leaves as much to others.
func (c *core) mayWait(who holder) bool {
	h := &c.holds
	return h.n < maxHeld && h.from[who.port] < c.shareOf(who.port, maxHeldFrom) && h.of[who.tenant] < maxHeld-h.n
}

func (h *holds) add(who holder) {
	h.n++
	h.from[who.port]++
	h.of[who.tenant]++
}

func (h *holds) remove(who holder) {
	h.n--
	if h.from[who.port]--; h.from[who.port] == 0 {
		delete(h.from, who.port)
	}
	if h.of[who.tenant]--; h.of[who.tenant] == 0 {
		delete(h.of, who.tenant)
	}
}

// shareOf returns how much of something a port may have, of which that of a single host has most: an uplink, where many send, has eight times that.
func (c *core) shareOf(ingress flow.VPortID, most int) int {
	if p := c.snap.VPort(ingress); p != nil && p.Kind == topology.DeviceRouter && !p.SingleHost() {
		return 8 * most
	}
	return most
}

// release takes what waits for a neighbour or device.
func (c *core) release(n awaited) *wanted {
	h := &c.holds
	w := h.wanted[n]
	delete(h.wanted, n)
	for _, p := range w.packets {
		c.over(p.due)
		h.remove(holder{p.ingress, p.tenant})
	}
	if w.by != (holder{}) {
		h.remove(w.by)
	}
	return w
}

// question is a neighbour, and whether the database says that it was asked for.
type question struct {
	neighbour
	asked bool
}

// pose asks for the first time, unless that was done.
func (c *core) pose(q question, of flow.VPortID) {
	if !q.asked {
		c.ask(q.neighbour, 1, of)
	}
}

// asker is a port because of whose packet something is asked for; 0: none.
func (w *wanted) asker() flow.VPortID {
	if len(w.packets) > 0 {
		return w.packets[0].ingress
	}
	return w.by.port
}

// ask notes in the database that a neighbour is asked for, and sends the request if no other node was faster. If the answer is there already, it
// comes with a view. It counts as a port's.
func (c *core) ask(n neighbour, attempt uint8, of flow.VPortID) {
	asked := sim.Effect{Kind: sim.AskNeighbour, Port: n.port, Addr: n.addr}
	if !c.effects.take(asked, of) {
		return // asked again in a second
	}
	ctx, self := c.ctx, c.view.self.ID
	c.effects.wg.Go(func() {
		first, _, _, err := c.a.cfg.Store.AskNeighbour(ctx, self, n.port, n.addr, attempt)
		c.a.mail.post(func() {
			c.effects.end(asked)
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
	if d := missing(c.asks.Effects); d != 0 {
		if w := c.want(awaited{device: d}); len(w.requests) < maxHeldLoad && !slices.Contains(w.requests, n) {
			w.requests = append(w.requests, n)
		}
		return
	}
	c.originate(&c.asks, 0)
}

// missing returns the first device that a result wants loaded; 0 if none. All of them are begun with when the packet comes again.
func missing(effects []sim.Effect) topology.DeviceID {
	for _, e := range effects {
		if e.Kind == sim.Load {
			return e.Device
		}
	}
	return 0
}

// resume decides the packets whose neighbour is known by now, or whose device is there.
func (c *core) resume(deps []topology.Dep, all bool) {
	if len(c.holds.wanted) == 0 {
		return
	}
	changed := make(map[netip.Addr]struct{})
	for _, d := range deps {
		switch d.Kind() {
		case topology.DepNeighbour, topology.DepBridgeNeighbour:
			changed[d.Addr()] = struct{}{}
		case topology.DepFDB, topology.DepBinding:
		default:
			all = true
		}
	}
	for n, w := range c.holds.wanted {
		if n.device != 0 {
			if c.has(n.device) && !w.there {
				w.there = true
				c.holds.arrived = append(c.holds.arrived, arrival{n, w, c.target.seq})
			}
			continue
		}
		if n.bridge != 0 {
			if c.learnt(n.station) {
				c.decide(n)
			}
			continue
		}
		if _, ok := changed[n.addr]; !ok && !all || n.port == 0 {
			continue
		}
		if _, state := c.snap.Neighbour(n.port, n.addr); state != topology.NeighbourOK && !c.cached(n.neighbour) {
			continue
		}
		c.decide(n)
	}
}

// learnt reports whether a bridge knows a station, or is gone.
func (c *core) learnt(s station) bool {
	b := c.snap.Bridge(s.bridge)
	return b == nil || c.snap.Station(b, s.mac) != nil
}

// decide decides the packets that wait for something.
func (c *core) decide(n awaited) {
	for _, p := range c.release(n).packets {
		c.again(&p, sim.Lost{})
	}
}

// awaitStation keeps a packet that is dropped since a bridge does not know its destination, whose first frame may have come in just before: at this edge or
// another, it is learnt within milliseconds. It reports whether the packet waits. One that waited in vain does not wait again.
func (c *core) awaitStation(res *sim.Result, data []byte, ingress flow.VPortID, local uint16) bool {
	if len(res.Outcomes) != 1 || res.Outcomes[0].Drop != sim.DropUnknownMAC {
		return false
	}
	for _, e := range res.Effects {
		if s := (station{e.Device, e.MAC}); e.Kind == sim.AwaitMAC && s != c.holds.vain {
			c.hold(awaited{station: s}, data, ingress, local)
			return true
		}
	}
	return false
}

// arrive goes on with what waited for devices whose vports and groups the target has by now: packet-outs are not ordered with writes.
func (c *core) arrive() {
	arrived := c.holds.arrived
	if len(arrived) == 0 {
		return
	}
	c.holds.arrived = nil
	for _, a := range arrived {
		switch {
		case c.holds.wanted[a.awaited] != a.wanted: // gone on, or too late
		case a.seq < c.low:
			c.loaded(a.awaited)
		default:
			c.holds.arrived = append(c.holds.arrived, a)
		}
	}
}

// loaded goes on with what waited for a device.
func (c *core) loaded(n awaited) {
	w := c.release(n)
	for _, r := range w.requests {
		c.request(r)
	}
	for _, p := range w.packets {
		c.again(&p, sim.Lost{})
	}
	c.devices.drop(n.device) // not before: flows that depend on it may have been installed
}

// cached reports whether the bridge behind the port knows the neighbour.
func (c *core) cached(n neighbour) bool {
	p := c.snap.VPort(n.port)
	if p == nil || p.Exterior {
		return p == nil
	}
	peer := c.snap.VPort(p.Peer)
	if c.snap.Missing(p) != 0 {
		return true // decide anew: that loads it
	}
	if peer == nil || peer.Kind != topology.DeviceBridge {
		return true // another network by now: decide anew
	}
	_, ok := c.snap.Bridge(peer.Device).Neighbour(n.addr)
	return ok
}

// again decides a packet that waited.
func (c *core) again(p *heldPacket, lost sim.Lost) {
	var f packet.Frame
	if packet.ParseUntagged(p.data, &f) != nil || c.locals.ingress(p.local) != p.ingress {
		c.a.counts.heldDrops.Add(1)
		c.lose(p.ingress, dropDeparted)
		return
	}
	defer c.turned(c.turn(p.due.life, p.matched, &f, p.ingress))
	if lost == (sim.Lost{}) {
		c.upcall(&f, p.ingress, p.local, flow.ReasonMissFlow)
		return
	}
	c.sim.SimulateLost(c.snap, &f, p.ingress, c.now(), lost, &c.res)
	c.lives.now.verdict(&c.res)
	if len(c.res.Outcomes) > 0 && c.res.Outcomes[0].Verdict == sim.Drop {
		c.dropped(p.ingress, c.res.Outcomes[0].Drop)
	} else {
		c.lose(p.ingress, dropInVain)
	}
	c.originate(&c.res, p.ingress)
}

// inVain drops the packets that wait for something, and returns how many.
func (c *core) inVain(n awaited) uint64 {
	packets := c.release(n).packets
	for i := range packets {
		c.lose(packets[i].ingress, dropInVain)
		packets[i].due.life.settled(sim.Drop.String(), dropInVain)
	}
	return uint64(len(packets))
}

// retry asks again for neighbours that packets wait for, and tells those who wait in vain (R4).
func (c *core) retry(now time.Duration) {
	for n, w := range c.holds.wanted {
		if now < w.next {
			continue
		}
		if n.device != 0 {
			c.a.counts.loadDrops.Add(c.inVain(n))
			c.devices.drop(n.device)
			c.a.cfg.Logger.Warn("device was not loaded in time: packets dropped", "device", n.device)
			continue
		}
		if n.bridge != 0 {
			c.holds.vain = n.station
			c.decide(n)
			c.holds.vain = station{}
			continue
		}
		if n.port == 0 {
			c.giveUpOn(n) // the database does not answer, or the first fragment does not come
			continue
		}
		w.next = now + time.Second
		if w.attempt < askAttempts {
			w.attempt++
			c.ask(n.neighbour, w.attempt, w.asker())
			continue
		}
		for _, p := range c.release(n).packets {
			c.a.counts.heldDrops.Add(1)
			c.again(&p, sim.Lost{Port: n.port, Addr: n.addr})
		}
		c.giveUp(n.neighbour)
	}
}

// giveUp takes the question out of the database, so that the next packet asks anew.
func (c *core) giveUp(n neighbour) {
	end := sim.Effect{Kind: sim.AskNeighbour, Port: n.port, Addr: n.addr, Asked: true}
	if !c.effects.take(end, 0) {
		return // the next packet for it waits, and then gives up, too
	}
	c.effects.run(end, func(ctx context.Context) (state.Learnt, error) {
		_, err := c.a.cfg.Store.ForgetNeighbour(ctx, n.port, n.addr, packet.MAC{})
		return state.LearntNothing, err
	})
}
