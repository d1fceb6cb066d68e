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
	t   *tuple
	max int32
}

func newTable(m *Machine, d *tableDef) *Table {
	t := &Table{m: m, d: d, byMask: map[string]*tuple{}}
	t.tuples.Store(&[]tupleRef{})
	t.def.Store(t.entry(d.def, nil))
	if d.class == classExact {
		t.only = &tuple{mask: slices.Repeat([]uint64{^uint64(0)}, d.words)}
	}
	return t
}

// entry makes an entry for a binding; stats are new if nil is given.
func (t *Table) entry(b *binding, s *stats) *entry {
	e := &entry{stats: s}
	if b != nil {
		e.act, e.params = b.act, b.params
	}
	if s == nil && (t.d.counters || t.d.timeout || t.d.meter != nil) {
		e.stats = &stats{}
		e.stats.lastHit.Store(t.m.clock())
	}
	return e
}

// lookup finds the entry for the packet in c; nil on a miss.
func (t *Table) lookup(c *ctx) *entry {
	d := t.d
	if t.only != nil {
		a := t.only.index.cur.Load()
		if a == nil {
			return nil
		}
		key := d.pack(c)
		return a.find(key, hashWords(key, t.m.hashSeed))
	}
	refs := *t.tuples.Load()
	if len(refs) == 0 {
		return nil
	}
	key := d.pack(c)
	var best *entry
	masked := c.mkey[:d.words]
	for i := range refs {
		r := &refs[i]
		if best != nil && best.prio >= r.max {
			break
		}
		for k, m := range r.t.mask {
			masked[k] = key[k] & m
		}
		e := r.t.index.find(masked, hashWords(masked, t.m.hashSeed))
		if d.ranges != nil {
			e = d.inRange(e, key)
		}
		if e != nil && (best == nil || e.prio > best.prio) {
			best = e
		}
	}
	return best
}

// pack builds the table's key in c.
func (d *tableDef) pack(c *ctx) []uint64 {
	key := c.key[:d.words]
	clear(key)
	f := c.f
	for i := range d.packs {
		p := &d.packs[i]
		key[p.word] |= f[p.slot] & p.mask << (p.shift & 63)
	}
	return key
}

// inRange walks a chain to the first entry whose ranges hold the key.
func (d *tableDef) inRange(e *entry, key []uint64) *entry {
next:
	for ; e != nil; e = e.next.Load() {
		for i, k := range d.ranges {
			f := &d.keys[k]
			v := key[f.place[0].word] >> f.place[0].shift & topMask(f.width)
			if v < e.ranges[2*i] || v > e.ranges[2*i+1] {
				continue next
			}
		}
		return e
	}
	return nil
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
	for e := tp.index.find(m.key, hashWords(m.key, t.m.hashSeed)); e != nil; e = e.next.Load() {
		if (t.d.class != classTernary || e.prio == prio) && slices.Equal(e.ranges, m.ranges) {
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
	e.tuple = t.only
	if e.tuple == nil {
		e.tuple = t.tupleLocked(e.prio, mask)
	}
	tp := e.tuple
	e.pos = int32(len(t.all))
	t.all = append(t.all, e)
	h := hashWords(e.key, t.m.hashSeed)
	head := tp.index.find(e.key, h)
	if head == nil || head.prio < e.prio {
		e.next.Store(head)
		tp.index.put(e, h)
		return
	}
	at := head
	for n := at.next.Load(); n != nil && n.prio >= e.prio; n = at.next.Load() {
		at = n
	}
	e.next.Store(at.next.Load())
	at.next.Store(e)
}

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
	tp := e.tuple
	h := hashWords(e.key, t.m.hashSeed)
	t.relinkLocked(e, e.next.Load(), h)
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
func (t *Table) relinkLocked(e, next *entry, h uint64) {
	x := &e.tuple.index
	head := x.find(e.key, h)
	switch {
	case head == e && next == nil:
		x.remove(e.key, h)
	case head == e:
		x.put(next, h)
	default:
		at := head
		for at.next.Load() != e {
			at = at.next.Load()
		}
		at.next.Store(next)
	}
}

// publishLocked makes the tuples visible, best priority first.
func (t *Table) publishLocked() {
	refs := make([]tupleRef, 0, len(t.byMask))
	for _, tp := range t.byMask {
		refs = append(refs, tupleRef{t: tp, max: tp.max})
	}
	slices.SortFunc(refs, func(a, b tupleRef) int { return int(int64(b.max) - int64(a.max)) })
	t.tuples.Store(&refs)
}

// replaceLocked swaps in a new version of an entry.
func (t *Table) replaceLocked(old, e *entry) {
	e.key, e.ranges, e.tuple, e.prio, e.pos = old.key, old.ranges, old.tuple, old.prio, old.pos
	e.next.Store(old.next.Load())
	t.relinkLocked(old, e, hashWords(e.key, t.m.hashSeed))
	t.all[e.pos] = e
}

// wall converts machine time to wall time.
func (m *Machine) wall(ns int64) time.Time { return m.epoch.Add(time.Duration(ns)) }

// apply looks the packet up, counts, and returns where the code goes on.
func (t *Table) apply(c *ctx) uint32 {
	d := t.d
	e := t.lookup(c)
	hit := e != nil
	if !hit {
		e = t.def.Load()
	}
	if e.stats != nil {
		e.stats.hit(c, d)
		if hit && d.meter != nil {
			d.meter.execute(c, e.stats)
		}
	}
	act, params := e.act, e.params
	if e.member != nil || e.group != nil {
		act = nil
		if b := c.m.profiles[d.profile].choose(c, e); b != nil {
			act, params = b.act, b.params
		}
	}
	switch {
	case act == nil && hit:
		return d.hitNone
	case act == nil:
		return d.missNone
	}
	copy(c.f[c.prog.slots:c.prog.temp0], params)
	if hit {
		return d.hitCode[act.index]
	}
	return d.missCode[act.index]
}
