package wire

import (
	"context"
	"math/rand/v2"
	"sync"
)

// batchSize bounds the frames that one lock of a queue takes out.
const batchSize = 32

// queue is one direction of a cable: a bounded FIFO of frames whose memory is reused last
// in, first out, so that it holds no more than the queue's longest length so far. Sending
// to a full queue drops; nobody closes it: a pump ends with its context, a port by Close.
type queue struct {
	mu       sync.Mutex
	pumpable sync.Cond // frames and a receiver
	pullable sync.Cond // frames for a port; apart, lest a signal wake the one that can't use it
	roomy    sync.Cond // at most half full
	ring     [][]byte
	head     int
	count    int
	free     [][]byte
	receive  func([]byte)
	unplug   bool // the port that pulls was closed
	loss     float64
	random   *rand.Rand
	counters queueCounters
}

type queueCounters struct {
	pushed, pushedBytes, popped, poppedBytes, overflow, lost uint64
}

func newQueue(depth int, seed, direction uint64) *queue {
	q := &queue{ring: make([][]byte, depth), random: rand.New(rand.NewPCG(seed, direction))}
	q.pumpable.L, q.pullable.L, q.roomy.L = &q.mu, &q.mu, &q.mu
	return q
}

func (q *queue) push(frame []byte, record *capture) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.loss > 0 && q.random.Float64() < q.loss {
		q.counters.lost++
		return true // a lossy cable accepts the frame
	}
	if q.count == len(q.ring) || q.unplug {
		q.counters.overflow++
		return false
	}
	var buf []byte
	if n := len(q.free); n > 0 {
		buf, q.free = q.free[n-1], q.free[:n-1]
	}
	q.ring[(q.head+q.count)%len(q.ring)] = append(buf[:0], frame...)
	q.count++
	q.counters.pushed++
	q.counters.pushedBytes += uint64(len(frame))
	record.frame(frame)
	if q.receive != nil {
		q.pumpable.Signal()
	} else {
		q.pullable.Signal()
	}
	return true
}

// takeLocked moves the oldest frames to batch; the caller owns them until release.
func (q *queue) takeLocked(batch [][]byte) int {
	n := min(q.count, len(batch))
	for i := range n {
		batch[i], q.ring[q.head] = q.ring[q.head], nil
		q.head = (q.head + 1) % len(q.ring)
		q.counters.popped++
		q.counters.poppedBytes += uint64(len(batch[i]))
	}
	q.count -= n
	if q.count <= len(q.ring)/2 {
		q.roomy.Broadcast()
	}
	return n
}

// waitRoom waits until the queue is at most half full, was closed, or ctx is done.
func (q *queue) waitRoom(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.roomy.Broadcast()
	})
	defer stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.count > len(q.ring)/2 && !q.unplug && ctx.Err() == nil {
		q.roomy.Wait()
	}
	return context.Cause(ctx)
}

// pump hands frames to the receiver until ctx is done.
func (q *queue) pump(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.pumpable.Broadcast()
	})
	defer stop()
	var batch [batchSize][]byte
	for {
		q.mu.Lock()
		for ctx.Err() == nil && (q.count == 0 || q.receive == nil) {
			q.pumpable.Wait()
		}
		if ctx.Err() != nil {
			q.mu.Unlock()
			return
		}
		n, receive := q.takeLocked(batch[:]), q.receive
		q.mu.Unlock()

		for _, frame := range batch[:n] {
			receive(frame)
		}
		q.mu.Lock()
		q.free = append(q.free, batch[:n]...)
		q.mu.Unlock()
	}
}

// pull waits for frames and copies them out. It reports false once the port was closed.
func (q *queue) pull(frames [][]byte, sizes []int) (int, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.count == 0 && !q.unplug {
		q.pullable.Wait()
	}
	if q.unplug {
		return 0, false
	}
	var batch [batchSize][]byte
	n := q.takeLocked(batch[:min(len(frames), batchSize)])
	for i, frame := range batch[:n] {
		sizes[i] = copy(frames[i], frame)
	}
	q.free = append(q.free, batch[:n]...)
	return n, true
}

func (q *queue) setReceiver(receive func([]byte)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.receive = receive
	q.pumpable.Broadcast()
}

func (q *queue) setLoss(share float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.loss = share
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unplug = true
	q.pullable.Broadcast()
	q.roomy.Broadcast()
}

func (q *queue) closed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.unplug
}

func (q *queue) read() queueCounters {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counters
}
