package engine

import (
	"sync"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/sim"
)

// Bounds of the packet-in queue.
const (
	queueLimit = 8192 // packets
	queueBatch = 64   // packets taken at once
)

// packetIn is a packet-in, copied out of the session's buffer.
type packetIn struct {
	port   uint16
	vport  uint16 // local number; 0: of no vport
	reason flow.Reason
	tunnel flow.Dest // key of the tunnel that it came by; 0: by none
	from   resident  // whose the number was when it came
	data   []byte
	life   *Life // nil: not sampled

	answered bool // as it came, and counted then: this is a copy (answer.go)
}

// isCopy reports whether the packet itself went on, or was answered.
func (p *packetIn) isCopy() bool { return p.answered || p.reason == flow.ReasonTrackedEnd }

// packetQueue holds packet-ins until they are decided: tenants take turns, and in each its vports, so that one's flood delays the others by its turns alone.
// When it is full, the tenant with most of it pays, by its longest lane. A tenant may have a rate, too.
type packetQueue struct {
	here  *residents
	lives sampler
	rate  float64 // packets a second of each tenant; 0: any number
	begin time.Time
	pool  sync.Pool
	wake  chan struct{} // cap 1: there is something

	mu      sync.Mutex
	lanes   map[uint16]*lane
	tenants map[uint32]*tenantQueue
	turn    fifo[*tenantQueue] // those that hold packets, the next one first
	n       int
	drops   uint64
	lost    map[flow.VPortID]uint64 // drops since they were last asked for, by vport; 0: of none
}

// tenantQueue has a tenant's packets.
type tenantQueue struct {
	tenant uint32
	turn   fifo[*lane] // those that hold packets, the next one first
	n      int
	bucket bucket
}

type lane struct {
	vport   uint16
	of      *tenantQueue
	packets fifo[*packetIn]
}

func newPacketQueue(here *residents, rate int) *packetQueue {
	q := &packetQueue{
		here: here, rate: float64(rate), begin: time.Now(), wake: make(chan struct{}, 1), lanes: map[uint16]*lane{}, tenants: map[uint32]*tenantQueue{}, lost: map[flow.VPortID]uint64{},
	}
	q.pool.New = func() any { return new(packetIn) }
	return q
}

// push queues a copy of a packet.
func (q *packetQueue) push(e earlyPacket) {
	p := q.pool.Get().(*packetIn)
	p.port, p.vport, p.reason, p.tunnel, p.from, p.data, p.answered = e.port, e.vport, e.reason, e.tunnel, q.here.get(e.vport), append(p.data[:0], e.data...), e.answered
	if p.life = q.lives.begin(p.from.vport(), p.reason); p.answered {
		p.life.settled(sim.Consumed.String(), "")
	}
	q.mu.Lock()
	l := q.lane(p)
	if !q.admits(l.of) || q.n >= queueLimit && !q.makeRoom(l) {
		q.drop(p)
		if l.packets.len() == 0 {
			delete(q.lanes, p.vport)
		}
		q.mu.Unlock()
		return
	}
	if l.of.n == 0 {
		q.turn.push(l.of)
	}
	if l.packets.len() == 0 {
		l.of.turn.push(l)
	}
	l.packets.push(p)
	l.of.n++
	q.n++
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// lane returns that of a packet.
func (q *packetQueue) lane(p *packetIn) *lane {
	l := q.lanes[p.vport]
	if l == nil {
		t := q.tenants[p.from.tenant()]
		if t == nil {
			t = &tenantQueue{tenant: p.from.tenant(), bucket: bucket{tokens: q.rate}}
			q.tenants[t.tenant] = t
		}
		l = &lane{vport: p.vport, of: t}
		q.lanes[p.vport] = l
	}
	return l
}

// admits takes a token of a tenant's rate, if there is one. What is of no tenant has no rate.
func (q *packetQueue) admits(t *tenantQueue) bool {
	return q.rate == 0 || t.tenant == 0 || t.bucket.take(q.rate, q.rate, time.Since(q.begin))
}

// makeRoom drops a packet in favour of one for a lane. False: it is that lane that has to pay.
func (q *packetQueue) makeRoom(l *lane) bool {
	most := l.of
	for _, t := range q.turn.all() {
		if t.n > max(1, most.n) { // one in turn holds one at least
			most = t
		}
	}
	longest := l
	if most != l.of {
		longest = most.turn.all()[0]
	}
	for _, x := range most.turn.all() {
		if x.packets.len() > max(1, longest.packets.len()) {
			longest = x
		}
	}
	if longest == l {
		return false
	}
	q.drop(longest.packets.last())
	most.n--
	q.n--
	if longest.packets.len() == 0 {
		q.forget(longest)
	}
	return true
}

// drop counts a packet that is dropped. One that was answered is none.
func (q *packetQueue) drop(p *packetIn) {
	if !p.answered {
		q.drops++
		q.lost[p.from.vport()]++
	}
	p.life.lost(dropOverload)
	q.pool.Put(p)
}

// forget takes an empty lane out.
func (q *packetQueue) forget(l *lane) {
	l.of.turn.remove(l)
	delete(q.lanes, l.vport)
	if l.of.n == 0 {
		q.turn.remove(l.of)
	}
}

// take appends up to queueBatch packets to dst, one of each tenant in turn. The caller gives them back with free.
func (q *packetQueue) take(dst []*packetIn) []*packetIn {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range queueBatch {
		if q.turn.len() == 0 {
			return dst
		}
		t := q.turn.pop()
		l := t.turn.pop()
		p := l.packets.pop()
		dst = append(dst, p)
		q.n--
		t.n--
		if l.packets.len() > 0 {
			t.turn.push(l)
		} else {
			delete(q.lanes, p.vport)
		}
		if t.n > 0 {
			q.turn.push(t)
		}
	}
	if q.n > 0 {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return dst
}

// purge throws away what waits in a vport's lane, and returns how many packets that were: copies of packets that went on are none.
func (q *packetQueue) purge(vport uint16) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[vport]
	if l == nil {
		return 0
	}
	packets := uint64(0)
	for _, p := range l.packets.all() {
		if !p.isCopy() {
			packets++
		}
		p.life.lost(dropDeparted)
		q.pool.Put(p)
	}
	q.n -= l.packets.len()
	l.of.n -= l.packets.len()
	q.forget(l)
	return packets
}

func (q *packetQueue) free(p *packetIn) {
	p.life = nil
	q.pool.Put(p)
}

// dropped counts the packets for which there was no room.
func (q *packetQueue) dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.drops
}

// takeLost returns the drops of each vport since the last time.
func (q *packetQueue) takeLost() map[flow.VPortID]uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lost) == 0 {
		return nil
	}
	lost := q.lost
	q.lost = map[flow.VPortID]uint64{}
	return lost
}
