package pipeline

import (
	"fmt"
	"math/bits"
)

// parseValue converts big-endian bytes to limbs; they must fit width bits.
func parseValue(b []byte, width int) ([]uint64, error) {
	out := make([]uint64, max(1, limbs(width)))
	return out, parseInto(out, b, width)
}

// parseInto is parseValue into out, which is zero and has room for width bits.
func parseInto(out []uint64, b []byte, width int) error {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	if n := 8 * len(b); n > 0 && n-bits.LeadingZeros8(b[0]) > width {
		return fmt.Errorf("%w: value of %d bits, field of %d", ErrInvalid, n-bits.LeadingZeros8(b[0]), width)
	}
	for i, x := range b {
		k := 8 * (len(b) - 1 - i)
		out[k/64] |= uint64(x) << (k % 64)
	}
	return nil
}

func putValue(out []byte, v []uint64) {
	for i := range out {
		k := 8 * (len(out) - 1 - i)
		out[i] = byte(v[k/64] >> (k % 64))
	}
}

// scratchWords is how many words of a match need no allocation.
const scratchWords = 8

// parsedMatch is a match in packed form.
type parsedMatch struct {
	key, mask []uint64
	ranges    []uint64
	prefix    int // of the lpm key
}

// pack stores the limbs of a key field into a packed key.
func (k *keyField) pack(dst, v []uint64) {
	for i, p := range k.place {
		dst[p.word] |= v[i] << p.shift
	}
}

// packOnes stores the mask of the field's n most significant bits.
func (k *keyField) packOnes(dst []uint64, n int) {
	for i, p := range k.place {
		dst[p.word] |= onesLimb(n, k.width, i) << p.shift
	}
}

// unpack is the inverse of pack.
func (k *keyField) unpack(dst, src []uint64) []uint64 {
	for i, p := range k.place {
		dst = append(dst, src[p.word]>>p.shift&limbMask(k.width, i))
	}
	return dst
}

// onesLimb is limb i of a mask of the n most significant of width bits.
func onesLimb(n, width, i int) uint64 {
	from := width - n - 64*i // first bit that is set
	if from <= 0 {
		return limbMask(width, i)
	}
	if from >= 64 {
		return 0
	}
	return ^uint64(0) << from & limbMask(width, i)
}

// parseMatch checks and packs a match. Its words are scratch where they fit.
func (t *tableDef) parseMatch(match []FieldMatch, scratch *[2 * scratchWords]uint64) (parsedMatch, error) {
	var m parsedMatch
	if len(match) != len(t.keys) {
		return m, fmt.Errorf("table %s: %w: %d match fields, want %d", t.name, ErrInvalid, len(match), len(t.keys))
	}
	words := scratch[:]
	if t.words > scratchWords {
		words = make([]uint64, 2*t.words)
	}
	m.key, m.mask = words[:t.words:t.words], words[t.words:2*t.words]
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
	switch {
	case f.Any:
		if k.kind == Exact || k.kind == Valid {
			return fmt.Errorf("%w: exact key without a value", ErrInvalid)
		}
		if k.kind == Range {
			m.ranges = append(m.ranges, 0, topMask(k.width))
		}
		return nil
	case len(f.Value) == 0:
		return fmt.Errorf("%w: value missing", ErrInvalid)
	case k.kind == Range:
		return k.parseRange(m, f)
	}
	var small [4]uint64
	v := small[:]
	if n := len(k.place); n > len(small) {
		v = make([]uint64, n)
	}
	if err := parseInto(v, f.Value, k.width); err != nil {
		return err
	}
	k.pack(m.key, v)
	prefix := k.width
	switch k.kind {
	case LPM:
		if f.PrefixLen < 0 || f.PrefixLen > k.width {
			return fmt.Errorf("%w: prefix length %d of %d bits", ErrInvalid, f.PrefixLen, k.width)
		}
		prefix, m.prefix = f.PrefixLen, f.PrefixLen
	case Ternary:
		clear(v)
		if err := parseInto(v, f.Mask, k.width); err != nil {
			return err
		}
		k.pack(m.mask, v)
		return nil
	}
	k.packOnes(m.mask, prefix)
	return nil
}

func (k *keyField) parseRange(m *parsedMatch, f *FieldMatch) error {
	var v [2]uint64
	if err := parseInto(v[:1], f.Value, k.width); err != nil {
		return err
	}
	if err := parseInto(v[1:], f.High, k.width); err != nil {
		return err
	}
	if v[0] > v[1] {
		return fmt.Errorf("%w: empty range %d…%d", ErrInvalid, v[0], v[1])
	}
	m.ranges = append(m.ranges, v[0], v[1])
	return nil
}

// match reconstructs what was parsed, in canonical form: full-width values,
// masked, don't cares as Any.
func (t *Table) match(e *entry, b *stateBuffer) []FieldMatch {
	out := b.fields(len(t.d.keys))
	var limbs [2][scratchWords]uint64
	r := 0
	for i := range t.d.keys {
		k := &t.d.keys[i]
		f := &out[i]
		mask := k.unpack(limbs[0][:0], t.tuple(e).mask)
		set := 0
		for _, w := range mask {
			set += bits.OnesCount64(w)
		}
		if k.kind != Range {
			f.Value = b.format(k.unpack(limbs[1][:0], e.words), k.width)
		}
		switch k.kind {
		case LPM:
			f.PrefixLen, f.Any = set, set == 0
		case Ternary:
			f.Mask, f.Any = b.format(mask, k.width), set == 0
		case Optional:
			f.Any = set == 0
		case Range:
			ranges := e.more().ranges[r : r+2]
			f.Value = b.format(ranges[:1], k.width)
			f.High = b.format(ranges[1:], k.width)
			f.Any = ranges[0] == 0 && ranges[1] == topMask(k.width)
			r += 2
		}
	}
	return out
}
