package engine

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
)

// upcall decides what becomes of a packet that no entry matched, or that a guard or class punted.
//
//	   conn.go: or for what the database says of its connection
//	   lease.go: DHCP goes its own way
//	1. simulate; once more if the destination turns out to be nowhere (E14). What needs a device that is not loaded waits for it, and nothing else happens
//	2. effects go to the database; what the virtual network sends of itself leaves by packet-out
//	3. install: place the megaflow, send its updates in stages
//	4. the packet leaves rewritten, by packet-out to its destination; or waits for a neighbour, or for a MAC to be learnt
//
// The snapshot can not change between 1 and 3: both are this goroutine's, and updates reach the target in the order in which they were decided.
func (c *core) upcall(f *packet.Frame, ingress flow.VPortID, local uint16, reason flow.Reason) {
	f.Untag()
	step := c.lives.now.begin(StepSimulate)
	c.sim.Simulate(c.snap, f, ingress, c.now(), &c.res)
	c.lives.now.end(step, "")
	c.settleUpcall(&c.res, f, ingress, local, reason)
}

// settleUpcall is what upcall does with the result of the simulation, which may be of more packets than this one and stays as it is.
func (c *core) settleUpcall(res *sim.Result, f *packet.Frame, ingress flow.VPortID, local uint16, reason flow.Reason) {
	if lost, ok := c.lost(res); ok {
		if reason == flow.ReasonNoLocation {
			c.forgetFlow(flow.KeyOf(f, ingress), res.Mask) // decided while its destination was there
		}
		c.sim.SimulateLost(c.snap, f, ingress, c.now(), sim.Lost{Dest: lost}, &c.res)
		res = &c.res
	}
	if res.Track.Ports && c.fragments.lend(f, ingress, c.now()) {
		c.sim.Simulate(c.snap, f, ingress, c.now(), &c.res)
		res = &c.res
	}
	if c.load(res.Effects, f.Data, ingress, local) || c.lease(res, f.Data, ingress, local) || c.track(res, f, ingress, local) {
		return
	}
	c.logRules(res, f, ingress)
	unlearnt, wait := c.carryOut(res.Effects, ingress)
	if wait.port != 0 {
		if c.hold(awaited{neighbour: wait.neighbour}, f.Data, ingress, local) {
			c.pose(wait, ingress)
		}
		return
	}
	if c.awaitStation(res, f.Data, ingress, local) {
		return
	}
	c.lives.now.verdict(res)
	c.tracing.saw(res, f, ingress, reason)
	c.slow(res, ingress, len(f.Data))
	c.answers(res.Effects, f)
	c.originate(res, ingress)
	if installs(res, reason) && !unlearnt {
		c.install(res, flow.KeyOf(f, ingress), local)
	}
	var hash uint16
	if forwards(res) {
		hash = flow.Hash(f)
	}
	piece := fragmentOf(f, ingress) // emit changes it
	c.emitAll(res, f, ingress, local, hash, true)
	c.fragments.came(c, f, piece)
}

// lost returns the destination of a packet that goes to one vport, if that is out of reach.
func (c *core) lost(res *sim.Result) (flow.Dest, bool) {
	if len(res.Outcomes) != 1 || res.Outcomes[0].Verdict != sim.Forward {
		return 0, false
	}
	d := res.Outcomes[0].Dest
	return d, !c.snap.IsGroup(d) && c.view.isLost(d.VPort())
}

// installs reports whether the result may become an entry: it must be sound for other packets, and the packet must have missed (a packet that a
// guard or a class punted is decided by itself).
func installs(res *sim.Result, reason flow.Reason) bool {
	switch reason {
	case flow.ReasonMissSource, flow.ReasonMissScope, flow.ReasonMissFlow:
		return res.Installable
	}
	return false
}

// originate sends what the virtual network sends of itself because of a packet from ingress.
func (c *core) originate(res *sim.Result, ingress flow.VPortID) {
	c.sendOriginated(res.Originated, ingress)
}

func (c *core) sendOriginated(originated []sim.Originated, ingress flow.VPortID) {
	for i := range originated {
		o := &originated[i]
		if o.Kind == sim.OriginError {
			if !c.errors.allow(ingress, c.now()) {
				c.a.counts.errorsUnsent.Add(1)
				continue
			}
			c.a.counts.errors.Add(1)
		}
		if o.Kind == sim.OriginDHCP {
			c.a.counts.dhcp.Add(1)
		}
		var f packet.Frame
		if packet.ParseUntagged(o.Frame, &f) == nil {
			c.usage.delivered(o.Dest, 0, amount{Packets: 1, Bytes: uint64(len(o.Frame))})
			c.toDest(o.Frame, o.Dest, 0, flow.Hash(&f), 0)
		}
	}
}

func (c *core) toDest(frame []byte, dest flow.Dest, prune, hash, link uint16) {
	c.a.sendDest(frame, dest, prune, hash, link)
}

// emitAll sends all outcomes of a packet's result. change: f may be changed in place.
func (c *core) emitAll(res *sim.Result, f *packet.Frame, ingress flow.VPortID, local, hash uint16, change bool) {
	life := c.lives.now
	if !forwards(res) {
		life = nil
	}
	c.a.counts.further.Add(uint64(max(1, len(res.Outcomes)) - 1))
	if len(res.Outcomes) == 0 {
		c.a.counts.consumed.Add(1)
	}
	step := life.begin(StepPacketOut)
	for i := range res.Outcomes {
		c.emit(res, i, f, ingress, local, hash, change && i == len(res.Outcomes)-1)
	}
	life.end(step, "")
}

// emit sends one outcome of a packet's result, rewritten as the pipeline would. last: f may be changed in place.
func (c *core) emit(res *sim.Result, i int, f *packet.Frame, ingress flow.VPortID, local, hash uint16, last bool) {
	o := &res.Outcomes[i]
	switch o.Verdict {
	case sim.Forward:
	case sim.Drop:
		c.dropped(ingress, o.Drop)
		return
	default:
		c.a.counts.consumed.Add(1)
		return
	}
	frame := f.Data
	if !last {
		c.buf = append(c.buf[:0], f.Data...)
		frame = c.buf
	}
	if t := &res.Track; t.Quoted {
		et, q := f.EtherType, &t.Quote
		if err := packet.RewriteQuote(frame, f, q.Src.Netip(et), q.Dst.Netip(et), q.SrcPort, q.EchoID()|q.DstPort); err != nil {
			c.dropped(ingress, sim.DropMalformed)
			return
		}
	}
	o.Rewrite.Apply(frame, f)
	link := c.linkRates.use(o.Links)
	if o.Fragment == 0 {
		c.a.counts.forwarded.Add(1)
		c.toDest(frame, o.Dest, local, hash, link)
		return
	}
	var whole packet.Frame
	if packet.ParseUntagged(frame, &whole) != nil {
		c.dropped(ingress, sim.DropMalformed)
		return
	}
	g, err := packet.NewFragmenter(&whole, int(o.Fragment))
	if err != nil {
		c.dropped(ingress, sim.DropTooBig)
		return
	}
	c.a.counts.forwarded.Add(1)
	for {
		piece, ok := g.Next(c.cut[:0])
		if !ok {
			return
		}
		c.cut = piece
		c.toDest(piece, o.Dest, local, hash, link)
	}
}
