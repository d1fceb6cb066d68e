package pipeline

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Table is a match-action table. Lookups take no lock: they read published
// snapshots. Writers take turns.
type Table struct {
	m      *Machine
	d      *tableDef
	tuples atomic.Pointer[[]tupleRef] // by descending priority
	only   *tuple                     // all that an exact table has, else nil
	def    atomic.Pointer[entry]      // default entry; its act is nil if there is none

	konst  bool // see SetConst
	mu     sync.Mutex
	byMask map[string]*tuple
	all    []*entry
}

// tuple holds the entries of one mask: tuple-space search costs one hash
// lookup per distinct mask, not one comparison per entry.
type tuple struct {
	mask  []uint64
	index index
	prios map[int32]int // entries per priority
	max   int32         // no entry's priority is larger
	name  string        // key in Table.byMask
}

// tupleRef bounds the priorities in a tuple, so that a search can stop early.
type tupleRef struct {
	mask [4]uint64 // of the tuple, if it is no longer
	t    *tuple
	max  int32
}

func newTable(m *Machine, d *tableDef) *Table {
	t := &Table{m: m, d: d, konst: d.konst, byMask: map[string]*tuple{}}
	t.tuples.Store(&[]tupleRef{})
	t.def.Store(t.defaultEntry(d.def, nil))
	if d.class == classExact {
		t.only = &tuple{mask: d.exactMask()}
	}
	return t
}

// exactMask has every bit of every key field.
func (d *tableDef) exactMask() []uint64 {
	mask := make([]uint64, d.words)
	for i := range d.keys {
		d.keys[i].packOnes(mask, d.keys[i].width)
	}
	return mask
}

// defaultEntry makes a default entry, with the stats of the one before.
func (t *Table) defaultEntry(b *binding, old *stats) *entry {
	e := t.makeEntry(&parsedMatch{}, b)
	e.def = true
	e.words = append(make([]uint64, t.d.words), e.words...)
	t.count(e, old)
	return e
}

// locateLocked finds an entry by its match and priority.
func (t *Table) locateLocked(m *parsedMatch, prio int32) *entry {
	tp := t.only
	if tp == nil {
		tp = t.byMask[maskName(m.mask)]
	}
	if tp == nil {
		return nil
	}
	for e := tp.index.find(m.key, hashWords(m.key, t.m.hashSeed)); e != nil; e = e.next() {
		if (t.d.class != classTernary || e.prio == prio) && slices.Equal(e.more().ranges, m.ranges) {
			return e
		}
	}
	return nil
}

// maskName is a map key for a mask.
func maskName(mask []uint64) string {
	b := make([]byte, 0, 64)
	for _, w := range mask {
		for s := 0; s < 64; s += 8 {
			b = append(b, byte(w>>s))
		}
	}
	return string(b)
}

// priority checks that an entry has a priority iff the table needs one and
// returns what orders it.
func (t *Table) priority(m *parsedMatch, prio int32) (int32, error) {
	switch t.d.class {
	case classTernary:
		if prio <= 0 {
			return 0, fmt.Errorf("table %s: %w: priority %d, must be positive", t.d.name, ErrInvalid, prio)
		}
		return prio, nil
	case classLPM:
		if prio != 0 {
			return 0, fmt.Errorf("table %s: %w: takes no priority", t.d.name, ErrInvalid)
		}
		return int32(m.prefix), nil
	}
	if prio != 0 {
		return 0, fmt.Errorf("table %s: %w: takes no priority", t.d.name, ErrInvalid)
	}
	return 0, nil
}

// addLocked publishes an entry that is not there yet.
func (t *Table) addLocked(e *entry, mask []uint64) {
	tp := t.only
	if tp == nil {
		tp = t.tupleLocked(e.prio, mask)
		e.rare.tuple = tp
	}
	e.pos = int32(len(t.all))
	t.all = append(t.all, e)
	key := t.key(e)
	h := hashWords(key, t.m.hashSeed)
	if t.d.class == classExact { // an entry per key
		tp.index.put(e, key, h)
		return
	}
	head := tp.index.find(key, h)
	if head == nil || head.prio < e.prio {
		if head != nil {
			e.rare.next.Store(head)
		}
		tp.index.put(e, key, h)
		return
	}
	at := head
	for n := at.next(); n != nil && n.prio >= e.prio; n = at.next() {
		at = n
	}
	e.rare.next.Store(at.next())
	at.rare.next.Store(e)
}

// tuple is where an entry is.
func (t *Table) tuple(e *entry) *tuple {
	if t.only != nil {
		return t.only
	}
	return e.rare.tuple
}

// key is the packed key of an entry.
func (t *Table) key(e *entry) []uint64 { return e.words[:t.d.words] }

// tupleLocked finds or makes the tuple for an entry and publishes it, and the
// entry's priority, ahead of the entry.
func (t *Table) tupleLocked(prio int32, mask []uint64) *tuple {
	name := maskName(mask)
	tp := t.byMask[name]
	if tp == nil {
		tp = &tuple{mask: slices.Clone(mask), prios: map[int32]int{}, max: prio, name: name}
		t.byMask[name] = tp
		t.publishLocked()
	}
	tp.prios[prio]++
	if prio > tp.max {
		tp.max = prio
		t.publishLocked()
	}
	return tp
}

// dropLocked removes an entry.
func (t *Table) dropLocked(e *entry) {
	tp := t.tuple(e)
	t.relinkLocked(e, e.next())
	last := t.all[len(t.all)-1]
	t.all[e.pos] = last
	last.pos = e.pos
	t.all[len(t.all)-1] = nil
	t.all = t.all[:len(t.all)-1]
	if tp == t.only {
		return
	}
	if tp.prios[e.prio]--; tp.prios[e.prio] > 0 {
		return
	}
	delete(tp.prios, e.prio)
	switch {
	case len(tp.prios) == 0:
		delete(t.byMask, tp.name)
	case e.prio < tp.max || len(tp.prios) > rescan:
		return // max stays an upper bound, which is all a search needs
	default:
		tp.max = -1 << 31
		for p := range tp.prios {
			tp.max = max(tp.max, p)
		}
	}
	t.publishLocked()
}

// rescan bounds the work of finding a tuple's next best priority on deletion.
const rescan = 256

// relinkLocked puts next (nil or another entry of the key) in the place of e.
func (t *Table) relinkLocked(e, next *entry) {
	x, key := &t.tuple(e).index, t.key(e)
	h := hashWords(key, t.m.hashSeed)
	head := x.find(key, h)
	switch {
	case head == e && next == nil:
		x.remove(key, h)
	case head == e:
		x.put(next, key, h)
	default:
		at := head
		for at.next() != e {
			at = at.next()
		}
		at.rare.next.Store(next)
	}
}

// publishLocked makes the tuples visible, best priority first.
func (t *Table) publishLocked() {
	refs := make([]tupleRef, 0, len(t.byMask))
	for _, tp := range t.byMask {
		r := tupleRef{t: tp, max: tp.max}
		copy(r.mask[:], tp.mask)
		refs = append(refs, r)
	}
	slices.SortFunc(refs, func(a, b tupleRef) int { return int(int64(b.max) - int64(a.max)) })
	t.tuples.Store(&refs)
}

// replaceLocked swaps in a new version of an entry.
func (t *Table) replaceLocked(old, e *entry) {
	e.prio, e.pos = old.prio, old.pos
	if t.only == nil {
		e.rare.tuple = old.rare.tuple
	}
	if n := old.next(); n != nil {
		e.rare.next.Store(n)
	}
	t.relinkLocked(old, e)
	t.all[e.pos] = e
}

// wall converts machine time to wall time.
func (m *Machine) wall(ns int64) time.Time { return m.epoch.Add(time.Duration(ns)) }
