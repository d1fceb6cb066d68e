package topology

import "math/bits"

// lpmIndex is a shortcut past the first 16 bits of IPv4 walks, which in a big table are all forks and nearly all of the cache misses. Pages of 256 slots are
// shared between versions of a table.
type lpmIndex struct{ page [256]*[256]lpmSlot }

// lpmSlot is the state of the walk for all addresses that share 16 bits.
type lpmSlot struct {
	node    *lpmNode  // where it goes on, at 16 bits or more; nil: it has ended
	best    *lpmEntry // the last entry that matched
	bits    uint8     // bits that decided, iff it has ended
	sourced bool      // as in Lookup
}

// indexMin is the number of routes from which an index is worth its 1.5 MB.
const indexMin = 2048

func (x *lpmIndex) slot(hi uint64) *lpmSlot { return &x.page[hi>>56][hi>>48&255] }

// slotOf walks the first 16 bits.
func slotOf(n *lpmNode, hi uint64) lpmSlot {
	var s lpmSlot
	for n != nil {
		if c := min(commonBits(hi, 0, n.hi, 0), 16); c < n.bits {
			if c < 16 {
				s.bits = c + 1
				return s
			}
			s.node = n
			return s
		}
		if n.bits >= 16 {
			s.node = n
			return s
		}
		if e := n.entry; e != nil {
			s.sourced = e.sourced || s.sourced && !e.any
			s.best = e
		}
		b := keyBit(hi, 0, n.bits)
		next := n.child[b]
		if next == nil {
			s.bits = n.bits
			if n.child[1-b] != nil {
				s.bits++
			}
			return s
		}
		n = next
	}
	return s
}

// reindex brings the index up to date with the edits.
func (e *lpmEdit) reindex() {
	l := &e.lpm
	if l.routes < indexMin {
		l.index = nil
		return
	}
	if l.index == nil {
		l.index = new(lpmIndex)
		for p := range l.index.page {
			l.index.page[p] = new([256]lpmSlot)
		}
		for i := range uint64(1 << 16) {
			*l.index.slot(i << 48) = slotOf(l.root4, i<<48)
		}
		return
	}
	if e.dirty == nil {
		return
	}
	next := *l.index
	l.index = &next
	var own [256]bool
	for w, word := range e.dirty {
		for ; word != 0; word &= word - 1 {
			i := uint64(w*64 + bits.TrailingZeros64(word))
			if p := i >> 8; !own[p] {
				own[p] = true
				page := *next.page[p]
				next.page[p] = &page
			}
			*next.slot(i << 48) = slotOf(l.root4, i<<48)
		}
	}
}

// markDirty notes that walks of addresses that share n bits with hi may have changed.
func (e *lpmEdit) markDirty(hi uint64, n uint8) {
	if e.lpm.index == nil {
		return
	}
	if e.dirty == nil {
		e.dirty = new([1 << 10]uint64)
	}
	n = min(n, 16)
	first := hi >> 48 &^ (0xffff >> n)
	for i := first; i < first+1<<(16-n); i++ {
		e.dirty[i/64] |= 1 << (i % 64)
	}
}
