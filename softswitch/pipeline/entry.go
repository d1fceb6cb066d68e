package pipeline

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
)

// entry is one table entry. All but the chain is immutable: modifying replaces
// the entry, which keeps its stats.
type entry struct {
	key    []uint64 // packed, masked
	params []uint64
	act    *action
	stats  *stats  // nil if the table keeps none
	member *member // of the action profile, or
	group  *group
	ranges []uint64 // low and high per range key
	tuple  *tuple
	next   atomic.Pointer[entry] // same masked key, lower or equal priority
	prio   int32                 // or prefix length
	pos    int32                 // in Table.all
	meta   []byte
}

// stats are what a hit changes.
type stats struct {
	packets, bytes atomic.Uint64
	lastHit        atomic.Int64 // nanoseconds since the machine's start
	told           atomic.Int64 // when Idle last yielded the entry
	idle           atomic.Int64 // timeout, nanoseconds, 0 = none
	meter          atomic.Pointer[meterCell]
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

// parseValue converts big-endian bytes to limbs; they must fit width bits.
func parseValue(b []byte, width int) ([]uint64, error) {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	if n := 8 * len(b); n > 0 && n-bits.LeadingZeros8(b[0]) > width {
		return nil, fmt.Errorf("%w: value of %d bits, field of %d", ErrInvalid, n-bits.LeadingZeros8(b[0]), width)
	}
	out := make([]uint64, max(1, limbs(width)))
	for i, x := range b {
		k := 8 * (len(b) - 1 - i)
		out[k/64] |= uint64(x) << (k % 64)
	}
	return out, nil
}

// formatValue converts limbs to ⌈width/8⌉ big-endian bytes.
func formatValue(v []uint64, width int) []byte {
	out := make([]byte, (width+7)/8)
	putValue(out, v)
	return out
}

func putValue(out []byte, v []uint64) {
	for i := range out {
		k := 8 * (len(out) - 1 - i)
		out[i] = byte(v[k/64] >> (k % 64))
	}
}

// parsedMatch is a match in packed form.
type parsedMatch struct {
	key, mask []uint64
	ranges    []uint64
	prefix    int // of the lpm key
}

// place stores the limbs of a key field into a packed key.
func (k *keyField) pack(dst, v []uint64) {
	for i, p := range k.place {
		dst[p.word] |= v[i] << p.shift
	}
}

// unpack is the inverse of pack.
func (k *keyField) unpack(src []uint64) []uint64 {
	out := make([]uint64, len(k.place))
	for i, p := range k.place {
		w := 64
		if i == len(k.place)-1 {
			w = k.width - 64*i
		}
		out[i] = src[p.word] >> p.shift & topMask(w)
	}
	return out
}

// ones is a mask of the n most significant of width bits, as limbs.
func ones(n, width int) []uint64 {
	out := make([]uint64, limbs(width))
	for b := width - n; b < width; b++ {
		out[b/64] |= 1 << (b % 64)
	}
	return out
}

// parseMatch checks and packs a match.
func (t *tableDef) parseMatch(match []FieldMatch) (parsedMatch, error) {
	var m parsedMatch
	if len(match) != len(t.keys) {
		return m, fmt.Errorf("table %s: %w: %d match fields, want %d", t.name, ErrInvalid, len(match), len(t.keys))
	}
	words := make([]uint64, 2*t.words)
	m.key, m.mask = words[:t.words:t.words], words[t.words:]
	for i := range t.keys {
		if err := t.parseField(&m, i, &match[i]); err != nil {
			return m, fmt.Errorf("table %s, key %s: %w", t.name, t.keys[i].name, err)
		}
	}
	for i := range m.key {
		m.key[i] &= m.mask[i]
	}
	return m, nil
}

func (t *tableDef) parseField(m *parsedMatch, i int, f *FieldMatch) error {
	k := &t.keys[i]
	mask := ones(k.width, k.width)
	switch {
	case f.Any:
		if k.kind == Exact || k.kind == Valid {
			return fmt.Errorf("%w: exact key without a value", ErrInvalid)
		}
		mask = ones(0, k.width)
		if k.kind == Range {
			m.ranges = append(m.ranges, 0, topMask(k.width))
		}
		k.pack(m.mask, mask)
		return nil
	case len(f.Value) == 0:
		return fmt.Errorf("%w: value missing", ErrInvalid)
	}
	v, err := parseValue(f.Value, k.width)
	if err != nil {
		return err
	}
	switch k.kind {
	case LPM:
		if f.PrefixLen < 0 || f.PrefixLen > k.width {
			return fmt.Errorf("%w: prefix length %d of %d bits", ErrInvalid, f.PrefixLen, k.width)
		}
		mask, m.prefix = ones(f.PrefixLen, k.width), f.PrefixLen
	case Ternary:
		if mask, err = parseValue(f.Mask, k.width); err != nil {
			return err
		}
	case Range:
		high, err := parseValue(f.High, k.width)
		if err != nil {
			return err
		}
		if v[0] > high[0] {
			return fmt.Errorf("%w: empty range %d…%d", ErrInvalid, v[0], high[0])
		}
		m.ranges = append(m.ranges, v[0], high[0])
		return nil
	}
	k.pack(m.key, v)
	k.pack(m.mask, mask)
	return nil
}

// match reconstructs what was parsed, in canonical form: full-width values,
// masked, don't cares as Any.
func (t *tableDef) match(e *entry) []FieldMatch {
	out := make([]FieldMatch, len(t.keys))
	r := 0
	for i := range t.keys {
		k := &t.keys[i]
		f := &out[i]
		mask := k.unpack(e.tuple.mask)
		set := 0
		for _, w := range mask {
			set += bits.OnesCount64(w)
		}
		f.Value = formatValue(k.unpack(e.key), k.width)
		switch k.kind {
		case LPM:
			f.PrefixLen, f.Any = set, set == 0
		case Ternary:
			f.Mask, f.Any = formatValue(mask, k.width), set == 0
		case Optional:
			f.Any = set == 0
		case Range:
			f.Value = formatValue(e.ranges[r:r+1], k.width)
			f.High = formatValue(e.ranges[r+1:r+2], k.width)
			f.Any = e.ranges[r] == 0 && e.ranges[r+1] == topMask(k.width)
			r += 2
		}
	}
	return out
}
