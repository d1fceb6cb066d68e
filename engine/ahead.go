package engine

import (
	"context"
	"sync"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/topology"
)

// Workers decide packets ahead of their turn, each a batch, so that a decision, which needs nothing but a snapshot, costs the agent's own goroutine no time:
//
//	packetQueue ─ take, in turn ─▶ worker: parse, simulate ─┐
//	            ─ take, in turn ─▶ worker: parse, simulate ─┼─ in the order of taking ─▶ decide: effects, entries, packet-outs
//
// What a worker made counts if the snapshot is still the agent's when it is the packet's turn; else, and where it takes connections or what is known of pools,
// which only the agent's goroutine has, the packet is simulated then. Packets of one flow in a batch are simulated once (E8).

// batch is some packet-ins in the order in which they were taken.
type batch struct {
	packets []*packetIn
	ahead   []*ahead           // of each packet; longer than packets
	snap    *topology.Snapshot // that it was decided by
	done    chan struct{}      // cap 1: a worker has done what it could
}

// ahead is what a worker made of a packet.
type ahead struct {
	frame     packet.Frame
	malformed bool
	key       flow.Key
	asked     bool        // for a connection: it is not known which
	result    *sim.Result // nil: nothing. Of the packet itself, or of one before it in the batch
	own       sim.Result
}

// workers are the batches of an agent, and who has which.
type workers struct {
	mu    sync.Mutex // held from a batch's taking until it has its place in order
	order chan *batch
	free  chan *batch
}

func newWorkers(n int) *workers {
	w := &workers{order: make(chan *batch, n), free: make(chan *batch, 2*n+1)}
	for range cap(w.free) {
		w.free <- &batch{done: make(chan struct{}, 1)}
	}
	return w
}

// work decides batches until ctx ends.
func (a *Agent) work(ctx context.Context) {
	w := newWorker(a)
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.queue.wake:
		}
		for {
			b, more := a.workers.take(ctx, a.queue)
			if b == nil {
				break
			}
			w.decide(b)
			b.done <- struct{}{}
			if !more {
				break
			}
		}
	}
}

// take takes a batch, nil if there is none; more: there may be another one.
func (w *workers) take(ctx context.Context, q *packetQueue) (b *batch, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case b = <-w.free:
	case <-ctx.Done():
		return nil, false
	}
	if b.packets = q.take(b.packets[:0]); len(b.packets) == 0 {
		w.free <- b
		return nil, false
	}
	for len(b.ahead) < len(b.packets) {
		b.ahead = append(b.ahead, new(ahead))
	}
	select {
	case w.order <- b:
	case <-ctx.Done():
		return nil, false
	}
	return b, len(b.packets) == queueBatch
}

// worker decides packets. It is what its simulator asks for connections and pools, of which it knows nothing.
type worker struct {
	a      *Agent
	sim    sim.Simulator
	asked  bool       // for a connection
	pooled bool       // for what is known of a pool
	same   [128]uint8 // one more than the index of the last packet in the batch with such a hash
}

func newWorker(a *Agent) *worker {
	w := &worker{a: a}
	w.sim.Conns, w.sim.Balance = w, w
	return w
}

// Find implements sim.Connections.
func (w *worker) Find(*conntrack.Key, uint64) (*conntrack.Conn, bool, bool) {
	w.asked = true
	return nil, false, false
}

// Turn implements sim.Balance.
func (w *worker) Turn(topology.DeviceID, bool) uint32 {
	w.pooled = true
	return 0
}

// Load implements sim.Balance.
func (w *worker) Load(topology.DeviceID, topology.MemberKey) uint32 {
	w.pooled = true
	return 0
}

// Last implements sim.Balance.
func (w *worker) Last(topology.PoolClient) (topology.MemberKey, bool, bool) {
	w.pooled = true
	return topology.MemberKey{}, false, false
}

// decide makes of a batch what it can.
func (w *worker) decide(b *batch) {
	b.snap = w.a.snap.Load()
	clear(w.same[:])
	now := w.a.core.now()
	for i, p := range b.packets {
		p.life.taken()
		w.make(b, i, now)
		p.life.made()
	}
}

// make makes of one packet of a batch what it can.
func (w *worker) make(b *batch, i int, now time.Duration) {
	p, x := b.packets[i], b.ahead[i]
	x.result, x.malformed = nil, p.parse(&x.frame) != nil
	if x.malformed || p.from.vport() == 0 || p.reason == flow.ReasonTrackedEnd || b.snap == nil {
		return
	}
	x.frame.Untag()
	x.key = flow.KeyOf(&x.frame, p.from.vport())
	same := &w.same[flow.Hash(&x.frame)%uint16(len(w.same))]
	if *same != 0 {
		if before := b.ahead[*same-1]; before.standsFor(x) {
			x.result, x.asked = before.result, before.asked
			w.a.counts.deduped.Add(1)
			return
		}
	}
	*same = uint8(i + 1)
	w.asked, w.pooled = false, false
	w.sim.Simulate(b.snap, &x.frame, p.from.vport(), now, &x.own)
	if x.asked = w.asked; !w.pooled {
		x.result = &x.own
	}
}

// standsFor reports whether what was made of a packet holds for a later one, as an entry would.
func (x *ahead) standsFor(later *ahead) bool {
	r := x.result
	return r != nil && x.key == later.key && r.Installable && len(r.Effects)+len(r.Originated) == 0 && r.Guards.Check(&later.frame) == flow.ReasonNone
}

// parse parses the packet as the pipeline did. What came by the underlay has no tags, and the tag that a sender gave its frame stays where the attachment has none.
func (p *packetIn) parse(f *packet.Frame) error {
	if p.vport == 0 {
		return packet.ParseUntagged(p.data, f)
	}
	if err := packet.Parse(p.data, f); err != nil {
		return err
	}
	if f.Tagged && f.VLAN != 0 && !p.from.tagged() {
		_ = packet.ParseUntagged(p.data, f) // parsed already, and further
	}
	return nil
}

// handleAll takes the packet-ins of a batch, and gives it back.
func (a *Agent) handleAll(u *underlay, b *batch) {
	<-b.done
	for i, p := range b.packets {
		a.handle(u, p, b.ahead[i], b.snap)
		p.life.let()
		a.queue.free(p)
	}
	a.workers.free <- b
}

// handle takes one packet-in. What was made of it ahead was made with a snapshot.
func (a *Agent) handle(u *underlay, p *packetIn, x *ahead, snap *topology.Snapshot) {
	if p.answered {
		a.core.overhear(p, x, snap)
		return
	}
	a.counts.packetIns.Add(1)
	if p.vport == 0 && p.reason == flow.ReasonNoLocation && p.tunnel != 0 {
		if a.core.monitors.tunnelled(p.tunnel, p.data, &x.frame) {
			a.counts.underlay.Add(1)
		} else {
			a.core.unknownKey(p.tunnel)
		}
		return
	}
	if x.malformed {
		a.counts.malformed.Add(1)
		a.core.discarded(p.from.vport(), sim.DropMalformed.String(), 1)
		p.life.settled(sim.Drop.String(), sim.DropMalformed.String())
		return
	}
	if p.vport == 0 {
		p.life.settled("underlay", "")
		if u.receive(p.port, &x.frame) {
			a.counts.underlay.Add(1)
		} else {
			a.counts.unhandled.Add(1)
			a.core.discarded(0, dropUnhandled, 1)
		}
		return
	}
	ingress := a.core.locals.ingress(p.vport)
	if !a.core.numbered { // the number is one that the target has from before
		ingress = 0
	}
	if ingress == 0 || ingress != p.from.vport() {
		if p.reason != flow.ReasonTrackedEnd { // a copy: the packet itself went on
			a.core.departed(1)
		}
		p.life.settled(sim.Drop.String(), dropDeparted)
		return
	}
	if p.reason == flow.ReasonTrackedEnd {
		a.counts.copies.Add(1)
		a.core.ended(&x.frame, ingress)
		return
	}
	a.counts.upcalls.Add(1)
	defer a.core.turned(a.core.turn(p.life, entryMatched(p.reason), &x.frame, ingress))
	if res := x.result; res != nil && snap == a.core.snap && (!x.asked || a.core.conns.asks(res)) {
		a.counts.ahead.Add(1)
		a.core.settleUpcall(res, &x.frame, ingress, p.vport, p.reason)
		return
	}
	a.core.upcall(&x.frame, ingress, p.vport, p.reason)
}

// asks reports whether a result that asks for a connection of which nothing is known is what there would be with all that is known here.
func (t *conns) asks(res *sim.Result) bool {
	if !res.Track.Wait {
		return false
	}
	_, _, known := t.Find(&res.Track.Key, res.Track.Key.Hash())
	return !known
}
