package pipeline

import (
	"encoding/json"
	"fmt"
)

// layout places every field of the program in the slots of a context. A slot
// is 64 bits; a field takes ⌈width/64⌉ slots, least significant first, and holds
// its raw bits (signed fields are sign-extended when read). Header validity and
// stack cursors are slots too, so that copying a packet's state is one copy.
// The contents of variable-length fields are kept apart in bytes.
type layout struct {
	headers    []*header
	byName     map[string]*header
	stacks     map[string]*stack
	unions     map[string]*union
	unionStack map[string]*unionStack
	aliases    map[string]*field
	slots      int
	meta       int // slots [0,meta) are metadata
	varBytes   int
	std        stdFields
}

// field is one field of one header instance.
type field struct {
	name   string
	slot   int
	width  int // bits; for a variable-length field the largest
	n      int // slots
	signed bool
	sat    bool // assignments saturate
	valid  bool // the hidden $valid$ field
	used   bool // read by the program
	set    bool // written by the program, other than by extracting its header
	header *header
	std    *field // the standard metadata field that this is
	// variable-length fields: slot holds the length in bytes, the contents
	// are vb[off:off+max].
	varlen   bool
	off, max int
}

// use notes that the program reads the field.
func (f *field) use() *field {
	f.used = true
	if f.std != nil {
		f.std.used = true
	}
	return f
}

// mask of the field's most significant slot.
func (f *field) mask() uint64 { return topMask(f.width) }

// header is one header or metadata instance.
type header struct {
	name     string
	index    int
	typ      *headerType
	fields   []*field
	first    int // slot of the first field; the fields lie before the slot of valid
	valid    *field
	vslot    int // slot of valid
	metadata bool
	union    *union
	pre      []chunk // before the variable-length field, or everything
	post     []chunk // after it
	preLen   int     // bytes
	postLen  int
	vl       *field // nil if fixed
	// A raw header stays in the packet: extracting notes where it is (slot off:
	// one more than its offset, 0 = nowhere), loads what the program reads
	// (load), and the deparser copies it and stores what the program writes
	// (store). Headers that the program handles as a whole are not raw.
	whole bool
	off   int
	load  []chunk
	store []chunk
}

type headerType struct {
	name   string
	fields []fieldDef
	vl     int // index of the variable-length field, -1 if none
	maxLen int // bytes, 0 = unknown
}

type fieldDef struct {
	name        string
	width       int
	signed, sat bool
}

// stack is a header stack; next counts the elements pushed or extracted.
type stack struct {
	name  string
	elems []*header
	next  int // slot
}

type union struct {
	name    string
	members []*header
}

type unionStack struct {
	name  string
	elems []*union
	next  int // slot
}

// stdFields are the slots of v1model's standard metadata. A field that the
// program lacks has a slot of its own that nothing else reads or writes.
type stdFields struct {
	ingressPort, egressSpec, egressPort, instanceType, packetLength field
	parserError, checksumError, mcast, rid                          field
	ingressTS, egressTS, enqTS, enqDepth, deqDelta, deqDepth        field
}

func (s *stdFields) timed() bool {
	return s.ingressTS.used || s.egressTS.used || s.enqTS.used || s.deqDelta.used
}

func limbs(width int) int { return (width + 63) / 64 }

// topMask is the mask of the most significant slot of a field.
func topMask(width int) uint64 {
	if r := width % 64; r != 0 {
		return 1<<r - 1
	}
	return ^uint64(0)
}

func (l *loader) loadLayout() {
	p := l.p
	p.byName = map[string]*header{}
	p.stacks, p.unions, p.unionStack = map[string]*stack{}, map[string]*union{}, map[string]*unionStack{}
	p.aliases = map[string]*field{}
	types := map[string]*headerType{}
	for i := range l.j.HeaderTypes {
		l.at(fmt.Sprintf("header_types[%d]", i), func() {
			t := l.headerType(&l.j.HeaderTypes[i])
			types[t.name] = t
		})
	}
	byID := map[int]*header{}
	place := func(metadata bool) {
		for i, h := range l.j.Headers {
			if h.Metadata != metadata {
				continue
			}
			l.at(fmt.Sprintf("headers[%d]", i), func() { byID[h.ID] = l.placeHeader(h, types) })
		}
	}
	place(true)
	p.meta = p.slots
	place(false)
	l.loadStacks(byID)
	l.loadUnions(byID)
	for i, a := range l.j.FieldAliases {
		l.at(fmt.Sprintf("field_aliases[%d]", i), func() {
			if len(a) != 2 {
				l.fail("want [alias, [header, field]]")
			}
			if f := l.tryField(a[1]); f != nil { // p4c lists aliases that the program lacks
				p.aliases[l.str(a[0])] = f
			}
		})
	}
	l.resolveStd()
	for _, h := range p.headers {
		l.at("header_types."+h.typ.name, func() { l.layHeader(h) })
	}
}

func (l *loader) headerType(j *jHeaderType) *headerType {
	t := &headerType{name: j.Name, vl: -1, maxLen: j.MaxLength}
	for i, raw := range j.Fields {
		if len(raw) < 2 {
			l.fail("fields[%d]: want [name, width]", i)
		}
		d := fieldDef{name: l.str(raw[0])}
		if len(raw) > 2 {
			d.signed = l.flag(raw[2])
		}
		if len(raw) > 3 {
			d.sat = l.flag(raw[3])
		}
		if string(raw[1]) == `"*"` {
			if t.vl >= 0 {
				l.fail("fields[%d]: second variable-length field", i)
			}
			t.vl = i
		} else {
			l.decode(raw[1], &d.width)
			if d.width < 0 || d.width > maxWidth {
				l.fail("fields[%d]: width %d", i, d.width)
			}
		}
		t.fields = append(t.fields, d)
	}
	if t.vl >= 0 {
		if t.maxLen < 0 || t.maxLen > maxWidth {
			l.fail("max_length %d", t.maxLen)
		}
		if t.maxLen == 0 {
			t.maxLen = 2048
		}
		if len(j.LengthExp) > 0 && string(j.LengthExp) != "null" {
			l.unsupported("length_exp (variable-length header of P4_14)")
		}
	}
	return t
}

// flag reads a boolean, which p4c writes as 0 or 1 for fields of type bool.
func (l *loader) flag(raw json.RawMessage) bool {
	switch string(raw) {
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	l.fail("want a boolean, have %s", raw)
	return false
}

func (l *loader) placeHeader(j jHeader, types map[string]*headerType) *header {
	p := l.p
	t := types[j.HeaderType]
	if t == nil {
		l.fail("no header type named %q", j.HeaderType)
	}
	h := &header{name: j.Name, index: len(p.headers), typ: t, metadata: j.Metadata, first: p.slots}
	for i, d := range t.fields {
		f := &field{name: j.Name + "." + d.name, slot: p.slots, width: d.width, n: max(1, limbs(d.width)),
			signed: d.signed, sat: d.sat, header: h}
		if i == t.vl {
			f.varlen, f.n = true, 1
			h.vl = f
		}
		p.slots += f.n
		if p.slots > maxSlots {
			l.fail("more than %d words of fields", maxSlots)
		}
		h.fields = append(h.fields, f)
	}
	h.valid = &field{name: j.Name + ".$valid$", slot: p.slots, width: 1, n: 1, valid: true, header: h}
	h.vslot = p.slots
	h.off = p.slots + 1
	h.whole = h.vl != nil
	p.slots += 2
	p.headers = append(p.headers, h)
	p.byName[j.Name] = h
	return h
}

func (l *loader) loadStacks(byID map[int]*header) {
	for i, s := range l.j.HeaderStacks {
		l.at(fmt.Sprintf("header_stacks[%d]", i), func() {
			st := &stack{name: s.Name, next: l.slot()}
			for _, id := range s.HeaderIDs {
				h := byID[id]
				if h == nil || (len(st.elems) > 0 && h.typ != st.elems[0].typ) {
					l.fail("header_ids: header %d is missing or of another type", id)
				}
				h.whole = true
				st.elems = append(st.elems, h)
			}
			if len(st.elems) == 0 {
				l.fail("header_ids: empty stack")
			}
			l.p.stacks[s.Name] = st
		})
	}
}

func (l *loader) loadUnions(byID map[int]*header) {
	unionByID := map[int]*union{}
	for i, j := range l.j.HeaderUnions {
		l.at(fmt.Sprintf("header_unions[%d]", i), func() {
			u := &union{name: j.Name}
			for _, id := range j.HeaderIDs {
				h := byID[id]
				if h == nil || h.union != nil {
					l.fail("header_ids: header %d is missing or already in a union", id)
				}
				h.union, h.whole = u, true
				u.members = append(u.members, h)
			}
			unionByID[j.ID] = u
			l.p.unions[j.Name] = u
		})
	}
	for i, j := range l.j.HeaderUnionStacks {
		l.at(fmt.Sprintf("header_union_stacks[%d]", i), func() {
			us := &unionStack{name: j.Name, next: l.slot()}
			for _, id := range j.UnionIDs {
				u := unionByID[id]
				if u == nil || (len(us.elems) > 0 && !sameShape(u, us.elems[0])) {
					l.fail("header_union_ids: union %d is missing or of another type", id)
				}
				us.elems = append(us.elems, u)
			}
			if len(us.elems) == 0 {
				l.fail("header_union_ids: empty stack")
			}
			l.p.unionStack[j.Name] = us
		})
	}
}

func sameShape(a, b *union) bool {
	if len(a.members) != len(b.members) {
		return false
	}
	for i := range a.members {
		if a.members[i].typ != b.members[i].typ {
			return false
		}
	}
	return true
}

func (l *loader) slot() int {
	l.p.slots++
	return l.p.slots - 1
}

// layHeader cuts the header into chunks for extracting and emitting.
func (l *loader) layHeader(h *header) {
	pre, post := h.fields, []*field(nil)
	if h.vl != nil {
		pre, post = h.fields[:h.typ.vl], h.fields[h.typ.vl+1:]
	}
	preBits, postBits := 0, 0
	for _, f := range pre {
		preBits += f.width
	}
	for _, f := range post {
		postBits += f.width
	}
	if h.metadata {
		preBits, postBits = 0, 0 // never on the wire
	}
	if preBits%8 != 0 || postBits%8 != 0 {
		if h.vl != nil {
			l.unsupported("header %s: variable-length field %s not on a byte boundary", h.name, h.vl.name)
		}
		l.fail("header %s: %d bits, not a multiple of 8", h.name, preBits)
	}
	h.preLen, h.postLen = preBits/8, postBits/8
	if !h.metadata {
		h.pre, h.post = chunksOf(pre), chunksOf(post)
	}
	if h.vl != nil {
		h.vl.max = max(0, h.typ.maxLen-h.preLen-h.postLen)
		h.vl.width = 8 * h.vl.max
		h.vl.off = l.p.varBytes
		l.p.varBytes += h.vl.max
	}
}

// fieldRef resolves [header, field].
func (l *loader) fieldRef(raw json.RawMessage) *field {
	if f := l.tryField(raw); f != nil {
		return f
	}
	l.fail("no field %s", raw)
	return nil
}

func (l *loader) tryField(raw json.RawMessage) *field {
	var ref []string
	l.decode(raw, &ref)
	if len(ref) != 2 {
		l.fail("want [header, field], have %s", raw)
	}
	h := l.p.byName[ref[0]]
	if h == nil {
		return nil
	}
	if ref[1] == "$valid$" {
		return h.valid
	}
	for i, d := range h.typ.fields {
		if d.name == ref[1] {
			return h.fields[i]
		}
	}
	return nil
}

func (l *loader) headerRef(name string) *header {
	h := l.p.byName[name]
	if h == nil {
		l.fail("no header named %q", name)
	}
	return h
}

func (l *loader) stackRef(name string) *stack {
	s := l.p.stacks[name]
	if s == nil {
		l.fail("no header stack named %q", name)
	}
	return s
}

// wire is the header's length in bytes without its variable-length field.
func (h *header) wire() int { return h.preLen + h.postLen }

// settle decides, once everything is compiled, what extracting h must load.
func (h *header) settle() {
	if h.whole {
		h.load = h.pre
		return
	}
	h.load = only(h.pre, h.fields, func(f *field) bool { return f.used || f.set })
	h.store = only(h.pre, h.fields, func(f *field) bool { return f.set })
}
