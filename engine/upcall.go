package engine

import (
	"net/netip"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// Packet-out modes of p4src/shared/ids.p4.
const (
	outPort = 0
	outDest = 1
)

// IdleTimeout is how long a flow entry lives without a packet.
const IdleTimeout = 60 * time.Second

// Limits of packets that wait for a neighbour (R4).
const (
	maxHeld     = 1024 // packets in all
	maxHeldEach = 8    // packets for one neighbour
	holdTime    = 3 * time.Second
)

// upcalls decides what becomes of packets that no entry matched. Not safe for concurrent use: the agent's lock guards it.
//
// A packet's way through it:
//  1. receive: untag, find the ingress vport, simulate
//  2. effects go to the store; what the virtual network sends of itself leaves by packet-out
//  3. the packet leaves rewritten, by packet-out to its destination; or waits for a neighbour
//  4. install: place the megaflow, send its updates in stages
type upcalls struct {
	cfg      *Config
	tables   *offload.Tables
	placer   *offload.Placer
	snap     *topology.Snapshot
	sim      sim.Simulator
	res      sim.Result
	begin    time.Time
	flows    *flowTable
	held     map[waiting][]heldPacket
	holding  int
	counts   *counts
	send     func(frame []byte, meta ...p4rt.Value)
	submit   func(done func(bool), stages [][]p4rt.Update)
	buf, cut []byte
}

type waiting struct {
	port flow.VPortID
	addr netip.Addr
}

type heldPacket struct {
	data    []byte
	ingress flow.VPortID
	local   uint16
	since   time.Duration
}

func (u *upcalls) now() time.Duration { return time.Since(u.begin) }

// receive handles a packet of a vport. data is changed.
func (u *upcalls) receive(data []byte, f *packet.Frame, ingress flow.VPortID, local uint16, reason flow.Reason) {
	f.Untag()
	u.sim.Simulate(u.snap, f, ingress, u.now(), &u.res)
	res := &u.res
	waits, hold := u.effects(res.Effects)
	for i := range res.Originated {
		u.originate(&res.Originated[i])
	}
	if hold {
		u.hold(waits, f.Data, ingress, local)
		return
	}
	if u.installs(res, reason) {
		u.install(res, flow.KeyOf(f, ingress), local)
	}
	hash := flow.Hash(f)
	for i := range res.Outcomes {
		u.emit(&res.Outcomes[i], f, local, hash, i == len(res.Outcomes)-1)
	}
}

// effects hands the result's effects to the store. hold: the packet waits for that neighbour.
func (u *upcalls) effects(effects []sim.Effect) (w waiting, hold bool) {
	if len(effects) == 0 {
		return w, false
	}
	u.cfg.Effects(append([]sim.Effect(nil), effects...))
	for _, e := range effects {
		if e.Kind == sim.AskNeighbour && e.Hold {
			w, hold = waiting{e.Port, e.Addr}, true
		}
	}
	return w, hold
}

func (u *upcalls) originate(o *sim.Originated) {
	var f packet.Frame
	if err := packet.Parse(o.Frame, &f); err != nil {
		u.counts.malformed.Add(1)
		return
	}
	u.toDest(o.Frame, o.Dest, 0, flow.Hash(&f))
}

func (u *upcalls) toDest(frame []byte, dest flow.Dest, prune, hash uint16) {
	u.send(frame, p4rt.U64(outDest), p4rt.Value{}, p4rt.Value{}, p4rt.U64(uint64(prune)), p4rt.U64(uint64(hash)), p4rt.U64(uint64(dest)))
}

// emit sends one outcome of a packet, rewritten as the pipeline would. last: f may be changed in place.
func (u *upcalls) emit(o *sim.Outcome, f *packet.Frame, local, hash uint16, last bool) {
	if o.Verdict != sim.Forward {
		if o.Verdict == sim.Drop {
			u.counts.drops.Add(1)
		}
		return
	}
	frame := f.Data
	if !last {
		u.buf = append(u.buf[:0], f.Data...)
		frame = u.buf
	}
	o.Rewrite.Apply(frame, f)
	if o.Fragment == 0 {
		u.toDest(frame, o.Dest, local, hash)
		return
	}
	var whole packet.Frame
	if packet.Parse(frame, &whole) != nil {
		return
	}
	g, err := packet.NewFragmenter(&whole, int(o.Fragment))
	if err != nil {
		u.counts.drops.Add(1)
		return
	}
	for {
		piece, ok := g.Next(u.cut[:0])
		if !ok {
			return
		}
		u.cut = piece
		u.toDest(piece, o.Dest, local, hash)
	}
}

// installs reports whether the result may become an entry: it must be sound for other packets, and the packet must have missed (a packet that a
// guard or a class punted is simulated by itself).
func (u *upcalls) installs(res *sim.Result, reason flow.Reason) bool {
	switch reason {
	case flow.ReasonMissSource, flow.ReasonMissScope, flow.ReasonMissFlow:
		return res.Installable
	}
	return false
}

// decision reduces the outcomes to what one entry can do: forward to one destination, drop, or punt for answers.
func decision(outcomes []sim.Outcome) (m offload.Megaflow, ok bool) {
	m.Act = offload.Drop
	for i := range outcomes {
		o := &outcomes[i]
		switch {
		case o.Verdict == sim.Forward && o.Fragment == 0 && m.Act == offload.Drop:
			m.Act, m.Dest, m.Rewrite = offload.Forward, o.Dest, o.Rewrite
		case o.Verdict == sim.Drop && o.Reject && len(outcomes) == 1:
			m.Act = offload.Punt
		case o.Verdict == sim.Drop && !o.Reject:
		default:
			return m, false // several copies that differ, or something that only software does
		}
	}
	return m, true
}

func (u *upcalls) install(res *sim.Result, key flow.Key, local uint16) {
	m, ok := decision(res.Outcomes)
	if !ok {
		u.counts.notInstalled.Add(1)
		return
	}
	m.Key, m.Mask, m.Guards, m.Idle, m.Prio = key, res.Mask, res.Guards, IdleTimeout, u.flows.generation()
	if u.flows.has(key.And(res.Mask), res.Mask, key.SrcMAC) {
		return // the entry is on its way: this packet was faster
	}
	placed, stages, err := u.placer.Place(m, local)
	if err != nil {
		u.counts.notInstalled.Add(1)
		u.cfg.Logger.Debug("flow stays on the slow path", "edge", u.cfg.Self.ID, "flow", key.And(res.Mask).String(), "err", err)
		return
	}
	installed := u.flows.add(placed, key.SrcMAC, res.Deps)
	u.counts.installed.Add(1)
	u.submit(func(ok bool) {
		if !ok {
			u.remove(installed)
		}
	}, stages)
}

// remove takes a flow away; what it referred to goes with the last reference.
func (u *upcalls) remove(f *installedFlow) {
	if !u.flows.remove(f) {
		return
	}
	stages, confirm := u.placer.Remove(f.placed)
	u.counts.removed.Add(1)
	u.submit(func(ok bool) {
		if ok {
			confirm()
		}
	}, stages)
}

// world takes the next snapshot: flows that relied on what changed go, and packets that waited for it are simulated again.
func (u *upcalls) world(snap *topology.Snapshot, changed []topology.Dep) {
	u.snap = snap
	for _, f := range u.flows.affected(changed) {
		u.remove(f)
	}
	for _, d := range changed {
		if d.Kind != topology.DepNeighbour {
			continue
		}
		w := waiting{flow.VPortID(d.A), d.Addr()}
		packets := u.held[w]
		if _, state := snap.Neighbour(w.port, w.addr); len(packets) == 0 || state != topology.NeighbourOK {
			continue
		}
		delete(u.held, w)
		u.holding -= len(packets)
		for _, p := range packets {
			var f packet.Frame
			if packet.Parse(p.data, &f) == nil {
				u.receive(p.data, &f, p.ingress, p.local, flow.ReasonMissFlow)
			}
		}
	}
}

// hold keeps a packet until its neighbour answers, or for holdTime.
func (u *upcalls) hold(w waiting, data []byte, ingress flow.VPortID, local uint16) {
	if u.holding >= maxHeld || len(u.held[w]) >= maxHeldEach {
		u.counts.heldDrops.Add(1)
		return
	}
	u.holding++
	u.held[w] = append(u.held[w], heldPacket{append([]byte(nil), data...), ingress, local, u.now()})
}

// tick asks again for neighbours that packets wait for, and drops what has waited too long.
func (u *upcalls) tick() {
	for w, packets := range u.held {
		if u.now()-packets[0].since >= holdTime {
			u.counts.heldDrops.Add(uint64(len(packets)))
			u.holding -= len(packets)
			delete(u.held, w)
			continue
		}
		a := flow.AddrOf(w.addr)
		u.sim.Ask(u.snap, w.port, a, w.addr.Is6(), &u.res)
		u.effects(u.res.Effects)
		for i := range u.res.Originated {
			u.originate(&u.res.Originated[i])
		}
	}
}

// idle removes the flows of entries that saw no packet.
func (u *upcalls) idle(entries []*p4rt.Entry) {
	for _, e := range entries {
		if f := u.flows.byEntry[e.Key()]; f != nil {
			u.remove(f)
		}
	}
}
