package p4rt

import (
	"fmt"
	"slices"
)

// ValueSetMembers are the members of a parser value set, all of them.
type ValueSetMembers struct {
	Set     *ValueSet
	Members [][]Match // each one per Set.Keys, in that order; an unordered set
}

// Key is the identity of the value set.
func (v *ValueSetMembers) Key() Key { return Key{Kind: KindValueSet, ID: v.Set.ID} }

func (v *ValueSetMembers) String() string {
	return fmt.Sprintf("value set %s of %d members", v.Set, len(v.Members))
}

func (v *ValueSetMembers) validate(op Op) error {
	switch {
	case v.Set == nil:
		return fmt.Errorf("value set: %w", ErrNoSuchValueSet)
	case v.Set.Size > 0 && len(v.Members) > int(v.Set.Size):
		return fmt.Errorf("value set %s: %w: %d members, room for %d", v.Set, ErrOverflow, len(v.Members), v.Set.Size)
	}
	seen := map[string]bool{}
	for i, m := range v.Members {
		if len(m) != len(v.Set.Keys) {
			return fmt.Errorf("value set %s, member %d: %w: %d of %d fields given", v.Set, i, ErrMissing, len(m), len(v.Set.Keys))
		}
		for k := range m {
			if err := v.Set.Keys[k].checkMatch(m[k]); err != nil {
				return fmt.Errorf("value set %s, member %d: %w", v.Set, i, err)
			}
		}
		key := string(appendMatches(nil, v.Set.Keys, m))
		if seen[key] {
			return fmt.Errorf("value set %s: %w: member %d is there twice", v.Set, ErrAmbiguous, i)
		}
		seen[key] = true
	}
	return onlyModify(v, op)
}

func (v *ValueSetMembers) same(o Entity) bool {
	x, ok := o.(*ValueSetMembers)
	return ok && slices.Equal(v.keys(), x.keys())
}

// keys are the members in one order and form.
func (v *ValueSetMembers) keys() []string {
	out := make([]string, len(v.Members))
	for i, m := range v.Members {
		out[i] = string(appendMatches(nil, v.Set.Keys, m))
	}
	slices.Sort(out)
	return out
}

func (v *ValueSetMembers) appendWire(b []byte, _ Op) []byte {
	b, at := open(b, 10)
	b = appendUint(b, 1, uint64(v.Set.ID))
	for _, m := range v.Members {
		var member int
		b, member = open(b, 2)
		for i := range m {
			b = appendMatch(b, 1, &v.Set.Keys[i], m[i])
		}
		b = closeAt(b, member)
	}
	return closeAt(b, at)
}

// decodeValueSet decodes a ValueSetEntry.
func (d *decoder) valueSet(b []byte) (*ValueSetMembers, error) {
	id, err := idOf(b)
	if err != nil {
		return nil, err
	}
	v := &ValueSetMembers{Set: d.schema.valueSets.byID[id]}
	if v.Set == nil {
		return nil, fmt.Errorf("%w: id %d", ErrNoSuchValueSet, id)
	}
	f := fields{rest: b}
	for f.next() {
		if f.num != 2 {
			continue
		}
		member := make([]Match, len(v.Set.Keys))
		for i := range member {
			member[i] = v.Set.Keys[i].any()
		}
		var given uint64
		m := fields{rest: f.b}
		for m.next() {
			if m.num == 1 {
				if err := decodeInto(member, v.Set.Keys, m.b, &given); err != nil {
					return nil, fmt.Errorf("value set %s: %w", v.Set, err)
				}
			}
		}
		if m.err != nil {
			return nil, m.err
		}
		v.Members = append(v.Members, member)
	}
	return v, f.err
}
