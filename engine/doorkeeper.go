package engine

import "time"

// Bounds of a doorkeeper's memory.
const (
	doorBits  = 1 << 20          // of each of its two halves
	doorMost  = 1 << 17          // flows in a half: one that is new is then taken for known with a probability of 3 %
	doorTurns = 30 * time.Second // after which a half is forgotten, at the latest
)

// doorkeeper remembers which flows had a packet lately, in a quarter of a megabyte however many they are: where entries are scarce, a flow that comes once (a query of DNS, an echo, a
// scan's) is not worth one. It is a Bloom filter in two halves: flows are noted in the newer one, and the older one is forgotten when that is full, or old.
type doorkeeper struct {
	newer, older []uint64
	noted        int // in newer
	turned       time.Duration
}

// again notes a flow by its hash, and reports whether it had been.
func (d *doorkeeper) again(hash uint64, now time.Duration) bool {
	if d.newer == nil || d.noted >= doorMost || now-d.turned >= doorTurns {
		d.turn(now)
	}
	was, is := true, true
	for i := range 3 {
		at := uint32(hash>>(20*i)) % doorBits
		word, bit := at/64, uint64(1)<<(at%64)
		was = was && d.older[word]&bit != 0
		is = is && d.newer[word]&bit != 0
		d.newer[word] |= bit
	}
	if !is {
		d.noted++
	}
	return is || was
}

// turn begins a new half.
func (d *doorkeeper) turn(now time.Duration) {
	if d.newer == nil {
		d.newer, d.older = make([]uint64, doorBits/64), make([]uint64, doorBits/64)
	}
	if now-d.turned >= 2*doorTurns {
		clear(d.newer) // nobody came for as long as both halves are remembered
	}
	d.newer, d.older = d.older, d.newer
	clear(d.newer)
	d.noted, d.turned = 0, now
}
