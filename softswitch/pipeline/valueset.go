package pipeline

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// ValueSet is a parser value set.
type ValueSet struct {
	d       *vsetDef
	mu      sync.Mutex
	members [][]FieldMatch
	words   atomic.Pointer[[]vsetMember]
}

// vsetMember matches key words: word&mask == value, then ranges.
type vsetMember struct {
	value, mask, low, high []uint64
}

func newValueSet(d *vsetDef) *ValueSet {
	v := &ValueSet{d: d}
	v.words.Store(&[]vsetMember{})
	return v
}

// contains reports whether a member matches the key under the transition's mask.
func (v *ValueSet) contains(key, mask []uint64) bool {
next:
	for _, m := range *v.words.Load() {
		for i, k := range key {
			k &= mask[i]
			if (k^m.value[i])&m.mask[i]&mask[i] != 0 || k < m.low[i] || k > m.high[i] {
				continue next
			}
		}
		return true
	}
	return false
}

// Name is the fully qualified P4 name.
func (v *ValueSet) Name() string { return v.d.name }

// Widths are those of the parts of the key, in bits.
func (v *ValueSet) Widths() []int {
	if v.d.parts == nil {
		return []int{v.d.width}
	}
	out := make([]int, len(v.d.parts))
	for i, p := range v.d.parts {
		out[i] = p.width
	}
	return out
}

// Set replaces the members. A member has one match per part of the key; the
// fields that it sets say what it is: Any, Mask (ternary), PrefixLen (lpm), High
// (range) or Value alone (exact). A prefix of length 0 is Any.
func (v *ValueSet) Set(members [][]FieldMatch) error {
	words := 0
	for _, p := range v.d.parts {
		words = max(words, p.at+1)
	}
	out := make([]vsetMember, 0, len(members))
	for i, m := range members {
		if len(m) != len(v.d.parts) {
			return fmt.Errorf("value set %s, member %d: %w: %d matches, want %d", v.d.name, i, ErrInvalid, len(m), len(v.d.parts))
		}
		x := vsetMember{value: make([]uint64, words), mask: make([]uint64, words),
			low: make([]uint64, words), high: slices.Repeat([]uint64{^uint64(0)}, words)}
		for k, p := range v.d.parts {
			if err := x.part(p, &m[k]); err != nil {
				return fmt.Errorf("value set %s, member %d: %w", v.d.name, i, err)
			}
		}
		out = append(out, x)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.members = slices.Clone(members)
	v.words.Store(&out)
	return nil
}

func (x *vsetMember) part(p vsetPart, f *FieldMatch) error {
	if f.Any {
		return nil
	}
	val, err := parseValue(f.Value, p.width)
	if err != nil {
		return err
	}
	mask := topMask(p.width)
	switch {
	case f.High != nil:
		high, err := parseValue(f.High, p.width)
		if err != nil {
			return err
		}
		x.low[p.at], x.high[p.at] = val[0], high[0]
		return nil
	case f.Mask != nil:
		m, err := parseValue(f.Mask, p.width)
		if err != nil {
			return err
		}
		mask = m[0]
	case f.PrefixLen > p.width || f.PrefixLen < 0:
		return fmt.Errorf("%w: prefix length %d", ErrInvalid, f.PrefixLen)
	case f.PrefixLen > 0:
		mask = onesLimb(f.PrefixLen, p.width, 0)
	}
	x.value[p.at], x.mask[p.at] = val[0]&mask, mask
	return nil
}

// Members returns what Set was last given.
func (v *ValueSet) Members() [][]FieldMatch {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.members)
}
