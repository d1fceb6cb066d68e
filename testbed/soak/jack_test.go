package soak

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/weft-sdn/weft/testbed/wire"
)

// jack is a port of an edge, as its neighbour sees it. The target behind it comes and goes, and frames may come twice.
type jack struct {
	inner   atomic.Pointer[wire.End] // nil: there is no target
	receive atomic.Pointer[func([]byte)]
	twice   atomic.Uint64 // of a million frames, how many come twice

	mu     sync.Mutex
	random *rand.Rand
}

func newJack(seed, stream uint64) *jack { return &jack{random: rand.New(rand.NewPCG(seed, stream))} }

// plug gives the jack a cable to a new target; it returns the target's end.
func (j *jack) plug(ctx context.Context, running *sync.WaitGroup) *wire.End {
	cable := wire.New(wire.Config{})
	cable.B().SetReceiver(func(frame []byte) {
		if receive := j.receive.Load(); receive != nil {
			j.pass(*receive, frame)
		}
	})
	running.Go(func() { _ = cable.Run(ctx) })
	j.inner.Store(cable.B())
	return cable.A()
}

// unplug takes the target away.
func (j *jack) unplug() { j.inner.Store(nil) }

// Send implements nic.Link.
func (j *jack) Send(frame []byte) { j.send(frame) }

// send is Send, and returns how many frames went to a target.
func (j *jack) send(frame []byte) uint64 {
	if end := j.inner.Load(); end != nil {
		return j.pass(end.Send, frame)
	}
	return 0
}

// SetReceiver implements nic.Link.
func (j *jack) SetReceiver(receive func([]byte)) {
	if receive == nil {
		j.receive.Store(nil)
		return
	}
	j.receive.Store(&receive)
}

func (j *jack) pass(to func([]byte), frame []byte) (n uint64) {
	if share := j.twice.Load(); share > 0 && j.chance(share) {
		to(append([]byte(nil), frame...))
		n++
	}
	to(frame)
	return n + 1
}

func (j *jack) chance(share uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.random.Uint64N(1_000_000) < share
}
