package port

import (
	"sync"
	"sync/atomic"
)

// DefaultDepth is the queue length, in frames per direction, of an in-memory link.
const DefaultDepth = 1024

// End is one end of an in-memory link. A link is two bounded queues of copied frames,
// one per direction: no pointer crosses it.
type End struct {
	name     string
	in, out  *queue
	up       *atomic.Bool // of the whole link, as a cable is
	overflow atomic.Uint64
}

// NewLink makes a link and returns its ends. depth is the queue length per direction in
// frames; zero means DefaultDepth. The link is up.
func NewLink(nameA, nameB string, depth int) (a, b *End) {
	if depth <= 0 {
		depth = DefaultDepth
	}
	ab, ba := newQueue(depth), newQueue(depth)
	up := new(atomic.Bool)
	up.Store(true)
	return &End{name: nameA, in: ba, out: ab, up: up}, &End{name: nameB, in: ab, out: ba, up: up}
}

// Name implements Port.
func (e *End) Name() string { return e.name }

// Recv implements Port.
func (e *End) Recv(frames [][]byte, sizes []int) (int, error) { return e.in.pop(frames, sizes) }

// Send implements Port.
func (e *End) Send(frames [][]byte) (int, error) {
	if e.in.closed.Load() {
		return 0, ErrClosed
	}
	if !e.up.Load() {
		return 0, nil
	}
	n := e.out.push(frames)
	if n < len(frames) {
		e.overflow.Add(uint64(len(frames) - n))
	}
	return n, nil
}

// Up implements Port.
func (e *End) Up() bool { return e.up.Load() && !e.in.closed.Load() && !e.out.closed.Load() }

// SetUp plugs or unplugs the cable, for both ends. Frames already queued stay.
func (e *End) SetUp(up bool) { e.up.Store(up) }

// Overflow is the number of frames sent by this end that found the queue full.
func (e *End) Overflow() uint64 { return e.overflow.Load() }

// Queued is the number of frames that wait to be received at this end.
func (e *End) Queued() int {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	return e.in.count
}

// Close implements Port. The other end stays open: what it sends is dropped.
func (e *End) Close() error {
	e.in.close()
	return nil
}

// queue is a bounded FIFO of frames in reused memory.
type queue struct {
	mu     sync.Mutex
	filled sync.Cond
	slots  [][]byte // ring; a slot's memory is kept and grows to the longest frame it held
	head   int      // index of the oldest frame
	count  int
	closed atomic.Bool // set under mu
}

func newQueue(depth int) *queue {
	q := &queue{slots: make([][]byte, depth)}
	q.filled.L = &q.mu
	return q
}

func (q *queue) push(frames [][]byte) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed.Load() {
		return 0
	}
	accepted := 0
	for _, frame := range frames {
		if q.count == len(q.slots) || len(frame) > MaxFrame {
			break
		}
		tail := q.head + q.count
		if tail >= len(q.slots) {
			tail -= len(q.slots)
		}
		q.slots[tail] = append(q.slots[tail][:0], frame...)
		q.count++
		accepted++
	}
	if accepted > 0 {
		q.filled.Signal()
	}
	return accepted
}

func (q *queue) pop(frames [][]byte, sizes []int) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.count == 0 && !q.closed.Load() {
		q.filled.Wait()
	}
	if q.closed.Load() {
		return 0, ErrClosed
	}
	n := min(q.count, len(frames))
	for i := range n {
		sizes[i] = copy(frames[i], q.slots[q.head])
		if q.head++; q.head == len(q.slots) {
			q.head = 0
		}
	}
	q.count -= n
	return n, nil
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed.Store(true)
	q.filled.Broadcast()
}
