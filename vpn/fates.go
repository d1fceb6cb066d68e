package vpn

import (
	"sync"
	"sync/atomic"
	"time"
)

// fates finds out how many of the packets that WireGuard took in it dropped: it does so without a word, and all that can be seen is what became of the others.
//
// Packets are of two generations, by when they came. When nothing has come of a generation for settleTime, those of it that came to nothing were dropped, and it is the turn of the next one. A packet that takes longer is counted as dropped until then; the next that is dropped is not counted in its place.
type fates struct {
	came  [2]atomic.Int64
	taken [2]atomic.Int64
	other atomic.Int64 // taken, of whichever generation

	// The owner's:
	lost int64  // of generations that were settled; those of other among them
	told uint64 // how many were dropped: never less than before
}

// settleTime is longer than WireGuard has a packet, on a host that is busy, too.
const settleTime = time.Second

// settle ends a generation. It returns how many packets more were dropped.
func (f *fates) settle(generation uint32) uint64 {
	f.lost += f.came[generation].Swap(0) - f.taken[generation].Swap(0)
	dropped := uint64(max(0, f.lost-f.other.Load()))
	if dropped <= f.told {
		return 0
	}
	more := dropped - f.told
	f.told = dropped
	return more
}

// ages are the generations of packets.
type ages struct {
	now atomic.Uint32 // that of what comes now: 0 or 1

	mu     sync.Mutex
	turned time.Time
}

// turn calls settle with the generation that is over, if one is, and has it begin anew.
func (a *ages) turn(now time.Time, settle func(generation uint32)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.turned) < settleTime {
		return
	}
	a.turned = now
	next := 1 - a.now.Load()
	settle(next)
	a.now.Store(next)
}

// end settles both generations: nothing comes any more, and nothing is under way.
func (a *ages) end(settle func(generation uint32)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	settle(0)
	settle(1)
}
