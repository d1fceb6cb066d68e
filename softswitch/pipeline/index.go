package pipeline

import (
	"math/bits"
	"sync/atomic"
)

// index is an open-addressing hash table from packed keys to entries. One
// writer at a time (the table's lock); readers take no lock and see every entry
// that was there throughout their search. Entries never move: growing builds
// a new slot array and publishes it.
type index struct {
	cur  atomic.Pointer[slotArray]
	live int // entries
	used int // slots that are not free: entries and tombstones
}

type slotArray struct {
	mask       uint64
	slots      []hashSlot
	filter     []atomic.Uint64 // a bit per hash, never cleared
	filterMask uint64          // bits less 1
}

// hashSlot: the hash is stored after the entry on insertion, so that a reader
// that sees the hash sees the entry or a later one.
type hashSlot struct {
	hash  atomic.Uint64 // 0 free, 1 tombstone
	entry atomic.Pointer[entry]
}

const minHash = 2

// hashWords mixes a key; seed differs per machine.
func hashWords(key []uint64, seed uint64) uint64 {
	switch len(key) {
	case 1:
		return hash2(key[0], 0, seed)
	case 2:
		return hash2(key[0], key[1], seed)
	case 3:
		return hash4(key[0], key[1], key[2], 0, seed)
	case 4:
		return hash4(key[0], key[1], key[2], key[3], seed)
	}
	h := seed
	for len(key) >= 2 {
		h = hash2(key[0]^h, key[1], seed)
		key = key[2:]
	}
	for _, w := range key {
		h = hash2(w^h, 0, seed)
	}
	return h
}

// hash2 mixes two words. The products of words that an adversary chooses are
// not small: what they are changed by is unknown.
func hash2(a, b, seed uint64) uint64 {
	hi, lo := bits.Mul64(a^seed, b^secondSeed(seed))
	h := hi ^ lo
	hi, lo = bits.Mul64(h, hashFactor)
	if h = hi ^ lo; h < minHash {
		h += minHash
	}
	return h
}

// hash4 is hash2 for four words: two products at a time.
func hash4(a, b, c, d, seed uint64) uint64 {
	second := secondSeed(seed)
	hi, lo := bits.Mul64(a^seed, b^second)
	hi2, lo2 := bits.Mul64(c^bits.RotateLeft64(seed, 32), d^bits.RotateLeft64(second, 32))
	h := hi ^ lo ^ bits.RotateLeft64(hi2^lo2, 17)
	hi, lo = bits.Mul64(h, hashFactor)
	if h = hi ^ lo; h < minHash {
		h += minHash
	}
	return h
}

const hashFactor = 0xa0761d6478bd642f

func secondSeed(seed uint64) uint64 { return seed*0x9e3779b97f4a7c15 | 1 }

func sameKey(words, key []uint64) bool {
	for i, v := range key {
		if v != words[i] {
			return false
		}
	}
	return true
}

// find returns the entry with the key, nil if there is none.
func (x *index) find(key []uint64, h uint64) *entry {
	a := x.cur.Load()
	if a == nil {
		return nil
	}
	return a.find(key, h)
}

func (a *slotArray) find(key []uint64, h uint64) *entry {
	for i := h & a.mask; ; i = (i + 1) & a.mask {
		s := &a.slots[i]
		switch s.hash.Load() {
		case h:
			if e := s.entry.Load(); e != nil && sameKey(e.words, key) {
				return e
			}
		case 0:
			return nil
		}
	}
}

// find2 is find for keys of one and two words.
func (a *slotArray) find2(k0, k1 uint64, words int, h uint64) *entry {
	for i := h & a.mask; ; i = (i + 1) & a.mask {
		s := &a.slots[i]
		switch s.hash.Load() {
		case h:
			if e := s.entry.Load(); e != nil && e.words[0] == k0 && (words == 1 || e.words[1] == k1) {
				return e
			}
		case 0:
			return nil
		}
	}
}

// maybe is false if there is certainly no entry with this hash: a Bloom filter
// of a word or two spares most of the searches in tuples that do not match.
func (x *index) maybe(h uint64) bool {
	a := x.cur.Load()
	if a == nil {
		return false
	}
	b := h >> 32 & a.filterMask
	return a.filter[b/64].Load()>>(b%64)&1 != 0
}

// reset forgets all entries.
func (x *index) reset() {
	x.live, x.used = 0, 0
	x.cur.Store(nil)
}

// put stores e under its key, replacing what is there.
func (x *index) put(e *entry, key []uint64, h uint64) {
	a := x.cur.Load()
	if a == nil || x.used+1 > len(a.slots)*5/8 {
		a = x.rebuild()
	}
	free := -1
	for i := h & a.mask; ; i = (i + 1) & a.mask {
		s := &a.slots[i]
		switch s.hash.Load() {
		case h:
			if o := s.entry.Load(); o != nil && sameKey(o.words, key) {
				s.entry.Store(e)
				return
			}
		case 1:
			if free < 0 {
				free = int(i)
			}
		case 0:
			if free < 0 {
				free = int(i)
				x.used++
			}
			s = &a.slots[free]
			a.note(h)
			s.entry.Store(e)
			s.hash.Store(h)
			x.live++
			return
		}
	}
}

// remove deletes the key; it reports whether it was there.
func (x *index) remove(key []uint64, h uint64) bool {
	a := x.cur.Load()
	if a == nil {
		return false
	}
	for i := h & a.mask; ; i = (i + 1) & a.mask {
		s := &a.slots[i]
		switch s.hash.Load() {
		case h:
			if o := s.entry.Load(); o != nil && sameKey(o.words, key) {
				s.hash.Store(1)
				s.entry.Store(nil)
				x.live--
				return true
			}
		case 0:
			return false
		}
	}
}

// filterBits per slot.
const filterBits = 4

// note enters a hash in the filter.
func (a *slotArray) note(h uint64) {
	b := h >> 32 & a.filterMask
	a.filter[b/64].Or(1 << (b % 64))
}

// rebuild makes a slot array with room for twice the live entries.
func (x *index) rebuild() *slotArray {
	size := 8
	for size*5/16 < x.live+1 {
		size *= 2
	}
	a := &slotArray{mask: uint64(size - 1), slots: make([]hashSlot, size),
		filter: make([]atomic.Uint64, max(1, size*filterBits/64)), filterMask: uint64(max(64, size*filterBits) - 1)}
	if old := x.cur.Load(); old != nil {
		for i := range old.slots {
			s := &old.slots[i]
			h := s.hash.Load()
			if h < minHash {
				continue
			}
			j := h & a.mask
			for a.slots[j].hash.Load() != 0 {
				j = (j + 1) & a.mask
			}
			a.note(h)
			a.slots[j].entry.Store(s.entry.Load())
			a.slots[j].hash.Store(h)
		}
	}
	x.used = x.live
	x.cur.Store(a)
	return a
}
