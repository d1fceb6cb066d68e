package engine

import (
	"slices"
	"sync"

	"github.com/weft-sdn/weft/flow"
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
	data   []byte
}

// packetQueue holds packet-ins until they are decided: one lane a vport, served in turn, so that one vport's flood delays the others by its
// turn alone. When it is full, the longest lane pays.
type packetQueue struct {
	pool sync.Pool
	wake chan struct{} // cap 1: there is something

	mu    sync.Mutex
	lanes map[uint16]*lane
	turn  []*lane // lanes that hold packets, the next one first
	n     int
	drops uint64
}

type lane struct {
	vport   uint16
	packets []*packetIn
}

func newPacketQueue() *packetQueue {
	q := &packetQueue{wake: make(chan struct{}, 1), lanes: map[uint16]*lane{}}
	q.pool.New = func() any { return new(packetIn) }
	return q
}

// push queues a copy of a packet.
func (q *packetQueue) push(port, vport uint16, reason flow.Reason, tunnel flow.Dest, data []byte) {
	p := q.pool.Get().(*packetIn)
	p.port, p.vport, p.reason, p.tunnel, p.data = port, vport, reason, tunnel, append(p.data[:0], data...)
	q.mu.Lock()
	l := q.lanes[vport]
	if l == nil {
		l = &lane{vport: vport}
		q.lanes[vport] = l
	}
	if q.n >= queueLimit {
		longest := l
		for _, x := range q.turn {
			if len(x.packets) > max(1, len(longest.packets)) { // a lane in turn holds one at least
				longest = x
			}
		}
		q.drops++
		if longest == l {
			q.mu.Unlock()
			q.pool.Put(p)
			return
		}
		last := len(longest.packets) - 1
		q.pool.Put(longest.packets[last])
		longest.packets = longest.packets[:last]
		q.n--
	}
	if len(l.packets) == 0 {
		q.turn = append(q.turn, l)
	}
	l.packets = append(l.packets, p)
	q.n++
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take appends up to queueBatch packets to dst, one of each lane in turn. The caller gives them back with free.
func (q *packetQueue) take(dst []*packetIn) []*packetIn {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range queueBatch {
		if len(q.turn) == 0 {
			return dst
		}
		l := q.turn[0]
		q.turn = q.turn[1:]
		dst = append(dst, l.packets[0])
		q.n--
		if l.packets = l.packets[1:]; len(l.packets) > 0 {
			q.turn = append(q.turn, l)
		} else {
			delete(q.lanes, l.vport)
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
	for _, p := range l.packets {
		if p.reason != flow.ReasonTrackedEnd {
			packets++
		}
		q.pool.Put(p)
	}
	q.n -= len(l.packets)
	q.turn = slices.DeleteFunc(q.turn, func(x *lane) bool { return x == l })
	delete(q.lanes, vport)
	return packets
}

func (q *packetQueue) free(p *packetIn) { q.pool.Put(p) }

// dropped counts the packets for which there was no room.
func (q *packetQueue) dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.drops
}
