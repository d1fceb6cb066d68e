// Package impair makes a line bad on purpose: it loses, delays, reorders and slows down
// frames, the same way each time for a seed.
package impair

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Config says how bad a line is. The zero value is a perfect one.
type Config struct {
	Loss    float64       // share of frames that are lost, 0 to 1
	Delay   time.Duration // of each frame
	Jitter  time.Duration // the delay varies by up to so much, up and down
	Reorder float64       // share of frames that overtake those that wait, 0 to 1
	Rate    uint64        // bits per second of frames; 0: no limit
	Limit   int           // frames that may wait; 0 means 1000, more are dropped
	Seed    uint64        // of the random choices
}

// Check refuses what makes no sense.
func (c *Config) Check() error {
	switch {
	case !(c.Loss >= 0 && c.Loss <= 1):
		return fmt.Errorf("loss %v is not in 0…1", c.Loss)
	case !(c.Reorder >= 0 && c.Reorder <= 1):
		return fmt.Errorf("reorder %v is not in 0…1", c.Reorder)
	case c.Delay < 0 || c.Delay > maxDelay:
		return fmt.Errorf("delay %v is not in 0…%v", c.Delay, maxDelay)
	case c.Jitter < 0 || c.Jitter > maxDelay:
		return fmt.Errorf("jitter %v is not in 0…%v", c.Jitter, maxDelay)
	case c.Limit < 0 || c.Limit > maxLimit:
		return fmt.Errorf("limit %d is not in 0…%d frames", c.Limit, maxLimit)
	}
	return nil
}

const (
	maxDelay     = time.Minute
	maxLimit     = 1 << 16
	defaultLimit = 1000
)

// Line is one direction of a bad cable.
//
//	Send: lost? → serialized at Rate → delayed, unless it overtakes → out, by a timer
type Line struct {
	config Config
	out    func([]byte)

	mu       sync.Mutex
	random   *rand.Rand
	waiting  queue
	free     [][]byte
	number   uint64    // of frames that waited
	busy     time.Time // when the last frame has been serialized
	last     time.Time // when the last frame that didn't overtake leaves
	timer    *time.Timer
	draining bool // frames are on their way out
	closed   bool
	stats    Stats
}

// Stats count what a line did to frames.
type Stats struct{ Passed, Lost, Overflowed, Overtook uint64 }

// New makes a line. out gets frames one at a time, from Send's caller or a timer; the frame is valid
// until it returns. stream tells lines of one seed apart.
func New(c Config, stream uint64, out func([]byte)) *Line {
	if c.Limit == 0 {
		c.Limit = defaultLimit
	}
	return &Line{config: c, out: out, random: rand.New(rand.NewPCG(c.Seed, stream))}
}

// Send takes a frame; it is the caller's again when Send returns.
func (l *Line) Send(frame []byte) {
	l.mu.Lock()
	if !l.acceptLocked(frame, time.Now()) {
		l.mu.Unlock()
		return
	}
	// Nothing holds it up: it passes on the caller's goroutine.
	l.stats.Passed++
	l.mu.Unlock()
	l.out(frame)
}

// acceptLocked decides about a frame. It is true if the frame passes at once.
func (l *Line) acceptLocked(frame []byte, now time.Time) bool {
	if l.closed {
		return false
	}
	c := &l.config
	if c.Loss > 0 && l.random.Float64() < c.Loss {
		l.stats.Lost++
		return false
	}
	due := now
	if c.Rate > 0 {
		if l.busy.Before(now) {
			l.busy = now
		}
		l.busy = l.busy.Add(time.Duration(uint64(len(frame)) * 8 * uint64(time.Second) / c.Rate))
		due = l.busy
	}
	overtakes := c.Reorder > 0 && l.random.Float64() < c.Reorder
	if !overtakes {
		due = due.Add(l.delayLocked())
		if due.Before(l.last) {
			due = l.last
		}
		l.last = due
	}
	if !due.After(now) && len(l.waiting) == 0 && !l.draining {
		return true
	}
	if len(l.waiting) >= c.Limit {
		l.stats.Overflowed++
		return false
	}
	if overtakes && len(l.waiting) > 0 {
		l.stats.Overtook++
	}
	l.number++
	heap.Push(&l.waiting, waiting{due: due, number: l.number, frame: append(l.bufferLocked(), frame...)})
	l.armLocked(now)
	return false
}

func (l *Line) delayLocked() time.Duration {
	d := l.config.Delay
	if j := l.config.Jitter; j > 0 {
		d += time.Duration(l.random.Int64N(int64(2*j)+1)) - j
	}
	return max(d, 0)
}

func (l *Line) bufferLocked() []byte {
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		return b[:0]
	}
	return nil
}

// armLocked sets the timer for the frame that leaves next.
func (l *Line) armLocked(now time.Time) {
	if l.draining || len(l.waiting) == 0 {
		return
	}
	wait := max(l.waiting[0].due.Sub(now), 0)
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, l.drain)
		return
	}
	l.timer.Reset(wait)
}

// drain lets out what is due. One goroutine at a time does.
func (l *Line) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining {
		return
	}
	l.draining = true
	for len(l.waiting) > 0 && !l.closed {
		now := time.Now()
		if l.waiting[0].due.After(now) {
			break
		}
		w := heap.Pop(&l.waiting).(waiting)
		l.stats.Passed++
		l.mu.Unlock()
		l.out(w.frame)
		l.mu.Lock()
		l.free = append(l.free, w.frame)
	}
	l.draining = false
	if !l.closed {
		l.armLocked(time.Now())
	}
}

// Close drops the frames that wait, counted as lost, and all that come.
func (l *Line) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.stats.Lost += uint64(len(l.waiting))
	l.waiting, l.free = nil, nil
	if l.timer != nil {
		l.timer.Stop()
	}
}

// Stats reads the counts.
func (l *Line) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// waiting is a frame with the time at which it leaves.
type waiting struct {
	due    time.Time
	number uint64 // orders frames of one time
	frame  []byte
}

// queue is a heap of waiting frames.
type queue []waiting

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if c := q[i].due.Compare(q[j].due); c != 0 {
		return c < 0
	}
	return q[i].number < q[j].number
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(waiting)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = waiting{}
	*q = old[:len(old)-1]
	return x
}
