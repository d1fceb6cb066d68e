package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
)

// parseState is a compiled parser state.
type parseState struct {
	name  string
	body  *coder // its first label is for operations that fail
	lock  int    // of the body, -1: none
	key   []parseKey
	words int // of the key
	cases []parseCase
	other *parseState // of what matches no case; nil: accept
}

// parseKey loads one part of a transition key.
type parseKey struct {
	at    int // first word
	n     int // words
	width int
	field *field // or
	dyn   *expr  // field of a last stack element, or
	slots []int
	h     evalH
	look  int // lookahead: bit offset
}

type parseCase struct {
	value, mask []uint64
	vset        *vsetDef
	next        *parseState // nil: accept
}

// vsetDef is a parser value set; width is that of all key parts together.
type vsetDef struct {
	index int
	name  string
	width int
	parts []vsetPart // set by the first transition that uses it
}

type vsetPart struct {
	at, width int
}

const maxParseSteps = 4096 // states that one packet may visit

func (l *loader) loadParser() {
	if len(l.j.Parsers) == 0 {
		return
	}
	if len(l.j.Parsers) > 1 {
		l.unsupported("%d parsers", len(l.j.Parsers))
	}
	j := l.j.Parsers[0]
	states := map[string]*parseState{}
	for _, s := range j.States {
		states[s.Name] = &parseState{name: s.Name}
	}
	next := func(name *string) *parseState {
		if name == nil {
			return nil
		}
		s := states[*name]
		if s == nil {
			l.fail("no parser state %q", *name)
		}
		return s
	}
	for i := range j.States {
		js := &j.States[i]
		l.at(fmt.Sprintf("parsers[0].parse_states[%d](%s)", i, js.Name), func() { l.parseState(states[js.Name], js, next) })
	}
	if j.InitState != "" {
		l.p.parser = next(&j.InitState)
	}
}

func (l *loader) parseState(s *parseState, j *jParseStat, next func(*string) *parseState) {
	s.body = l.coder()
	fail := s.body.label()
	s.lock = s.body.locked(func() {
		for i, o := range j.Ops {
			l.at(fmt.Sprintf("parser_ops[%d](%s)", i, o.Op), func() { s.body.parserOp(&o, fail) })
			s.body.statement()
		}
	})
	if s.lock >= 0 {
		s.body.emit(ins{op: iUnlock, k: uint64(s.lock)})
	}
	for i, k := range j.TransitionKey {
		l.at(fmt.Sprintf("transition_key[%d]", i), func() { s.addKey(l, k) })
	}
	l.p.maxKey = max(l.p.maxKey, s.words)
	for i, t := range j.Transitions {
		l.at(fmt.Sprintf("transitions[%d]", i), func() { s.addCase(l, &t, next) })
	}
}

func (s *parseState) addKey(l *loader, v jValue) {
	k := parseKey{at: s.words}
	switch v.Type {
	case "field":
		k.field = l.fieldRef(v.Value).use()
		k.width = k.field.width
		if k.field.varlen {
			l.unsupported("variable-length field in a transition key")
		}
	case "stack_field":
		e := l.lastField(v.Value)
		l.want(e, kData)
		k.dyn, k.width, k.slots, k.h = e, e.f.width, l.dynSlots(e), l.header(e.l)
	case "union_stack_field":
		e := l.lastUnionField(v.Value)
		k.dyn, k.width, k.slots, k.h = e, e.f.width, l.dynSlots(e), l.header(e.l)
	case "lookahead":
		k.look, k.width = l.lookahead(v.Value)
	default:
		l.unsupported("key of type %q", v.Type)
	}
	k.n = max(1, limbs(k.width))
	s.words += k.n
	s.key = append(s.key, k)
}

func (l *loader) lookahead(raw json.RawMessage) (off, width int) {
	var v []int
	l.decode(raw, &v)
	if len(v) != 2 || v[0] < 0 || v[0] > maxWidth || v[1] < 1 || v[1] > maxWidth {
		l.fail("want [bit offset, width]")
	}
	return v[0], v[1]
}

// lastUnionField is field f of member m of the last element of a union stack.
func (l *loader) lastUnionField(raw json.RawMessage) *expr {
	var ref []string
	l.decode(raw, &ref)
	if len(ref) != 3 {
		l.fail("want [union stack, member, field]")
	}
	us, m := l.unionMember(ref[0], ref[1])
	last := arith(opSub, &expr{op: opStackSize, r: &expr{us: us}, lo: bigInt(0), hi: bigInt(int64(len(us.elems)))}, constExpr(bigInt(1)))
	h := &expr{op: opMember, kind: kHeader, idx: m, l: &expr{op: opElem, kind: kUnion, us: us, l: last}}
	for i, d := range us.elems[0].members[m].typ.fields {
		if d.name == ref[2] {
			return l.dynField(h, i)
		}
	}
	l.fail("no field %q", ref[2])
	return nil
}

// unionMember finds a member of a union stack by name.
func (l *loader) unionMember(stack, member string) (*unionStack, int) {
	us := l.p.unionStack[stack]
	if us == nil {
		l.fail("no header union stack %q", stack)
	}
	for _, j := range l.j.HeaderUnionStacks {
		if j.Name != stack {
			continue
		}
		for _, t := range l.j.HeaderUnionTypes {
			for i, m := range t.Headers {
				if t.Name == j.UnionType && len(m) == 2 && m[0] == member && i < len(us.elems[0].members) {
					return us, i
				}
			}
		}
	}
	l.fail("no member %q in header union stack %q", member, stack)
	return nil, 0
}

func (s *parseState) addCase(l *loader, t *jTransition, next func(*string) *parseState) {
	typ := t.Type
	if typ == "" {
		typ = "hexstr"
		if t.Value != nil && *t.Value == "default" {
			typ = "default"
		}
	}
	c := parseCase{next: next(t.NextState)}
	switch typ {
	case "default":
		s.other = c.next
		return
	case "hexstr":
		if t.Value == nil {
			l.fail("value missing")
		}
		if len(s.key) == 0 {
			l.fail("value without a transition key")
		}
		c.value = s.split(l, *t.Value)
	case "parse_vset":
		if t.Value == nil {
			l.fail("value missing")
		}
		i := find(l, "parse_vset", *t.Value, l.p.vsets, func(v *vsetDef) string { return v.name })
		c.vset = l.p.vsets[i]
		c.vset.shape(l, s.key)
	default:
		l.unsupported("transition of type %q", t.Type)
	}
	c.mask = make([]uint64, s.words)
	for _, k := range s.key {
		for i := range k.n {
			c.mask[k.at+i] = ^uint64(0)
		}
		c.mask[k.at+k.n-1] = topMask(k.width)
	}
	if t.Mask != nil {
		for i, m := range s.split(l, *t.Mask) {
			c.mask[i] &= m
		}
	}
	for i := range c.value {
		c.value[i] &= c.mask[i]
	}
	s.cases = append(s.cases, c)
}

// split cuts a transition value, in which every key part is padded to whole
// bytes, into words.
func (s *parseState) split(l *loader, hexstr string) []uint64 {
	v := l.hex(hexstr)
	if v.Sign() < 0 {
		l.fail("negative value %q", hexstr)
	}
	out := make([]uint64, s.words)
	for i := len(s.key) - 1; i >= 0; i-- {
		k := s.key[i]
		copy(out[k.at:], limbsOf(v, k.width))
		v.Rsh(v, uint(8*((k.width+7)/8)))
	}
	return out
}

// shape lays the parts of a value set over the key of a transition.
func (v *vsetDef) shape(l *loader, key []parseKey) {
	var parts []vsetPart
	for _, k := range key {
		if k.n > 1 {
			l.unsupported("value set over a field of %d bits", k.width)
		}
		parts = append(parts, vsetPart{at: k.at, width: k.width})
	}
	if v.parts != nil && !slices.Equal(v.parts, parts) {
		l.unsupported("value set %s used with different keys", v.name)
	}
	v.parts = parts
}
