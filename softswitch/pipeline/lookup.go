package pipeline

import "math/bits"

// apply counts, and returns where the code goes on for the entry that was found, nil if
// there is none.
func (t *Table) apply(c *ctx, e *entry) uint32 {
	d := t.d
	hit := e != nil
	if !hit {
		e = t.def.Load()
	}
	if s := e.stats; s != nil {
		s.hit(c, d)
		if hit && d.meter != nil {
			d.meter.execute(c, s)
		}
	}
	act, params := e.act, e.words[min(d.words, len(e.words)):]
	if d.profile >= 0 && hit {
		act, params = t.choose(c, e)
	}
	switch {
	case act < 0 && hit:
		return d.hitNone
	case act < 0:
		return d.missNone
	}
	copy(c.f[c.prog.slots:c.prog.temp0], params)
	if hit {
		return d.hitCode[act]
	}
	return d.missCode[act]
}

// choose finds the action of an entry that refers to an action profile.
func (t *Table) choose(c *ctx, e *entry) (int32, []uint64) {
	b := t.m.profiles[t.d.profile].choose(c, e.more())
	if b == nil {
		return -1, nil
	}
	return int32(b.act.index), b.params
}

// lookup finds the entry for the packet in c; nil on a miss.
func (t *Table) lookup(c *ctx) *entry {
	d := t.d
	if t.only == nil {
		return t.search(c)
	}
	a := t.only.index.cur.Load()
	if a == nil {
		return nil
	}
	if d.words > 2 {
		key := d.pack(c)
		return a.find(key, hashWords(key, t.m.hashSeed))
	}
	f := c.f
	var k [2]uint64
	for i := range d.packs {
		p := &d.packs[i]
		k[p.word&1] |= f[p.slot] & p.mask << (p.shift & 63)
	}
	return a.find2(k[0], k[1], d.words, hash2(k[0], k[1], t.m.hashSeed))
}

// search looks through the tuples, best priority first.
func (t *Table) search(c *ctx) *entry {
	d := t.d
	refs := *t.tuples.Load()
	if len(refs) == 0 {
		return nil
	}
	key := d.pack(c)
	switch {
	case d.ranges != nil:
	case d.words == 2:
		return t.search2(refs, key[0], key[1])
	case d.words == 3 || d.words == 4:
		return t.search4(refs, key)
	}
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
		h := hashWords(masked, t.m.hashSeed)
		if !r.t.index.maybe(h) {
			continue
		}
		e := r.t.index.find(masked, h)
		if d.ranges != nil {
			e = d.inRange(e, key)
		}
		if e != nil && (best == nil || e.prio > best.prio) {
			best = e
		}
	}
	return best
}

// search2 is search for keys of two words.
func (t *Table) search2(refs []tupleRef, k0, k1 uint64) (best *entry) {
	seed, limit := t.m.hashSeed, int64(-1<<63)
	second := secondSeed(seed)
	for i := range refs {
		r := &refs[i]
		if int64(r.max) <= limit {
			break
		}
		m0, m1 := k0&r.mask[0], k1&r.mask[1]
		hi, lo := bits.Mul64(m0^seed, m1^second) // hash2
		hi, lo = bits.Mul64(hi^lo, hashFactor)
		h := hi ^ lo
		if h < minHash {
			h += minHash
		}
		a := r.t.index.cur.Load()
		if a == nil {
			continue
		}
		if b := h >> 32 & a.filterMask; a.filter[b/64].Load()>>(b%64)&1 == 0 {
			continue
		}
		if e := a.find2(m0, m1, 2, h); e != nil && int64(e.prio) > limit {
			best, limit = e, int64(e.prio)
		}
	}
	return best
}

// search4 is search for keys of three or four words.
func (t *Table) search4(refs []tupleRef, key []uint64) (best *entry) {
	k := [4]uint64{key[0], key[1], key[2]}
	if len(key) == 4 {
		k[3] = key[3]
	}
	seed := t.m.hashSeed
	for i := range refs {
		r := &refs[i]
		if best != nil && best.prio >= r.max {
			break
		}
		m := [4]uint64{k[0] & r.mask[0], k[1] & r.mask[1], k[2] & r.mask[2], k[3] & r.mask[3]}
		h := hash4(m[0], m[1], m[2], m[3], seed)
		if !r.t.index.maybe(h) {
			continue
		}
		if e := r.t.index.find(m[:len(key)], h); e != nil && (best == nil || e.prio > best.prio) {
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
	for ; e != nil; e = e.next() {
		ranges := e.more().ranges
		for i, k := range d.ranges {
			f := &d.keys[k]
			v := key[f.place[0].word] >> f.place[0].shift & topMask(f.width)
			if v < ranges[2*i] || v > ranges[2*i+1] {
				continue next
			}
		}
		return e
	}
	return nil
}
