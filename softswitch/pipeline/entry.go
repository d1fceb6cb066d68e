package pipeline

import (
	"slices"
	"sync/atomic"
	"time"
)

// entry is one table entry: 128 bytes, two cache lines, of which a lookup reads
// the first and counting the second. All but the chain is immutable: modifying
// replaces the entry.
type entry struct {
	words  []uint64 // key (packed, masked), then parameters; in inline if they fit
	inline [4]uint64
	stats  *stats // nil if the table keeps none; own, or those of the entry that this one replaced
	own    stats
	rare   *rare // never nil in tables that are not exact
	act    int32 // action.index, -1: none
	prio   int32 // or prefix length
	pos    int32 // in Table.all
	def    bool  // the default entry: no key, but words leave room for one
}

// rare is what few entries have.
type rare struct {
	member *member // of the action profile, or
	group  *group
	ranges []uint64 // low and high per range key
	meta   []byte   // of the control plane
	tuple  *tuple
	next   atomic.Pointer[entry] // same masked key, lower or equal priority
}

// none stands for the rare parts of entries that have none.
var none rare

// more is never nil.
func (e *entry) more() *rare {
	if e.rare != nil {
		return e.rare
	}
	return &none
}

// next follows the chain of entries with one masked key.
func (e *entry) next() *entry { return e.more().next.Load() }

// stats are what a hit changes.
type stats struct {
	packets, bytes atomic.Uint64
	lastHit        atomic.Int64 // nanoseconds since the machine's start
	idle           atomic.Int64 // timeout, nanoseconds, 0 = none
	extra          atomic.Pointer[statsExtra]
}

// statsExtra is what few entries need; made when needed, then kept.
type statsExtra struct {
	meter atomic.Pointer[meterCell]
	told  atomic.Int64 // when Idle last yielded the entry
}

// more makes the extra part if there is none.
func (s *stats) more() *statsExtra {
	if x := s.extra.Load(); x != nil {
		return x
	}
	s.extra.CompareAndSwap(nil, &statsExtra{})
	return s.extra.Load()
}

// meter is the direct meter, nil if it is not configured.
func (s *stats) meter() *meterCell {
	if x := s.extra.Load(); x != nil {
		return x.meter.Load()
	}
	return nil
}

// hitGrain: a hit is noted only if the last one is older, to spare the cache line.
const hitGrain = int64(time.Millisecond)

// hit counts a packet.
func (s *stats) hit(c *ctx, t *tableDef) {
	if t.counters {
		s.packets.Add(1)
		s.bytes.Add(uint64(c.arrive))
	}
	if t.timeout && c.now-s.lastHit.Load() > hitGrain {
		s.lastHit.Store(c.now)
	}
}

// makeEntry makes an entry of a match and an action; b is nil if it has none.
func (t *Table) makeEntry(m *parsedMatch, b *binding) *entry {
	e := &entry{act: -1}
	n := len(m.key)
	if b != nil {
		e.act = int32(b.act.index)
		n += len(b.params)
	}
	if e.words = e.inline[:]; n > len(e.inline) {
		e.words = make([]uint64, n)
	}
	e.words = e.words[:n:n]
	copy(e.words, m.key)
	if b != nil {
		copy(e.words[len(m.key):], b.params)
	}
	if t.d.class != classExact || len(m.ranges) > 0 {
		e.rare = &rare{ranges: slices.Clone(m.ranges)}
	}
	return e
}

// extend gives the entry a rare part of its own.
func (e *entry) extend() *rare {
	if e.rare == nil {
		e.rare = &rare{}
	}
	return e.rare
}

// count gives the entry stats, if the table keeps any: those of the entry that
// it replaces, or new ones.
func (t *Table) count(e *entry, old *stats) {
	switch {
	case old != nil:
		e.stats = old
	case t.d.counters || t.d.timeout || t.d.meter != nil:
		e.stats = &e.own
		e.own.lastHit.Store(t.m.clock())
	}
}
