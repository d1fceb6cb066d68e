package pipeline

import (
	"encoding/json"
	"fmt"
	"math/big"
)

// matchClass is how a table finds entries.
type matchClass uint8

const (
	classExact   matchClass = iota
	classLPM                // longest prefix wins
	classTernary            // priority wins
)

// tableDef is the immutable part of a table.
type tableDef struct {
	name     string
	index    int
	class    matchClass
	keys     []keyField
	words    int // of a packed key
	packs    []pack
	ranges   []int // keys that are ranges
	actions  []*action
	next     map[*action]*node
	hitMiss  bool
	hit      *node
	miss     *node // also base_default_next
	size     int
	counters bool
	timeout  bool
	meter    *directMeter
	profile  int // -1: none
	konst    bool
	fixedDef bool    // the default action and its data cannot change
	fixedAct *action // the default action cannot change to another one
	def      *binding
	entries  []constEntry
	// where the code of actions is, by action.index, and where to go on if there is none
	hitCode, missCode []uint32
	hitNone, missNone uint32
}

type directMeter struct {
	name   string
	bytes  bool
	result *field
}

// binding is an action with its parameters.
type binding struct {
	act    *action
	params []uint64
}

// constEntry is an entry of the program, ready to insert.
type constEntry struct {
	match    []FieldMatch
	priority int32
	bind     binding
}

// keyField is one field of a table's key and where it lies in the packed key.
type keyField struct {
	name  string
	kind  MatchKind
	width int
	field *field
	mask  []uint64 // static mask, nil if none
	place []place  // per limb, least significant first
}

type place struct {
	word  int
	shift uint8
}

// pack copies one slot into the packed key.
type pack struct {
	slot  int
	word  int
	shift uint8
	mask  uint64
}

func (l *loader) tableDef(j *jTable, index int) *tableDef {
	t := &tableDef{name: j.Name, index: index, size: j.MaxSize, counters: j.WithCounters, timeout: j.SupportTimeout,
		profile: -1, next: map[*action]*node{}}
	if t.size <= 0 {
		t.size = max(1024, len(j.Entries))
	}
	if t.timeout {
		l.p.needsTime = true
	}
	for i, k := range j.Key {
		l.at(fmt.Sprintf("key[%d]", i), func() { t.keys = append(t.keys, l.keyField(&k)) })
	}
	t.layKey()
	l.p.maxKey = max(l.p.maxKey, t.words)
	for i, k := range t.keys {
		switch k.kind {
		case LPM:
			if t.class == classLPM {
				l.unsupported("two lpm keys")
			}
			t.class = max(t.class, classLPM)
		case Range:
			if k.width > 64 {
				l.unsupported("range over %d bits", k.width)
			}
			t.ranges = append(t.ranges, i)
			t.class = classTernary
		case Ternary, Optional:
			t.class = classTernary
		}
	}
	l.tableActions(t, j)
	l.tableMeter(t, j)
	switch j.Type {
	case "simple", "":
	case "indirect", "indirect_ws":
		t.profile = find(l, "action profile", j.ActionProfile, l.p.profiles, func(p *profileDef) string { return p.name })
		t.profileActions(l)
	default:
		l.unsupported("table type %q", j.Type)
	}
	if d := j.DefaultEntry; d != nil {
		a := l.actionID(d.ActionID)
		t.def = &binding{act: a, params: l.literals(a, d.ActionData)}
		t.fixedDef = d.ActionEntryConst
		if d.ActionConst {
			t.fixedAct = a
		}
	}
	for i := range j.Entries {
		l.at(fmt.Sprintf("entries[%d]", i), func() { t.entries = append(t.entries, l.constEntry(t, j, i)) })
	}
	t.konst = len(t.entries) > 0
	return t
}

func (t *tableDef) profileActions(l *loader) {
	p := l.p.profiles[t.profile]
	for _, a := range t.actions {
		p.allow(a)
	}
}

func (l *loader) keyField(j *jKey) keyField {
	kinds := map[string]MatchKind{"exact": Exact, "lpm": LPM, "ternary": Ternary, "range": Range, "optional": Optional, "valid": Valid}
	k := keyField{name: j.Name, kind: kinds[j.MatchType]}
	switch {
	case k.kind == 0:
		l.unsupported("match type %q", j.MatchType)
	case k.kind == Valid:
		k.field = l.validTarget(j.Target)
	case len(j.Target) > 0 && j.Target[0] == '{':
		l.unsupported("computed key")
	default:
		k.field = l.fieldRef(j.Target).use()
	}
	if k.field.varlen {
		l.unsupported("variable-length field in a key")
	}
	k.width = max(1, k.field.width)
	if k.name == "" {
		k.name = k.field.name
	}
	if j.Mask != nil {
		v := l.hex(*j.Mask)
		if v.Sign() < 0 {
			l.fail("mask %q", *j.Mask)
		}
		k.mask = limbsOf(v, k.width)
	}
	return k
}

func (l *loader) validTarget(raw json.RawMessage) *field {
	var name string
	if json.Unmarshal(raw, &name) != nil {
		var names []string
		l.decode(raw, &names)
		if len(names) == 0 {
			l.fail("target missing")
		}
		name = names[0]
	}
	return l.headerRef(name).valid
}

// layKey places the limbs of the key fields in as few words as first fit finds.
func (t *tableDef) layKey() {
	var used []int // bits per word
	for i := range t.keys {
		k := &t.keys[i]
		for limb := range limbs(k.width) {
			w := 64
			if limb == limbs(k.width)-1 && k.width%64 != 0 {
				w = k.width % 64
			}
			at := 0
			for at < len(used) && used[at]+w > 64 {
				at++
			}
			if at == len(used) {
				used = append(used, 0)
			}
			p := place{word: at, shift: uint8(used[at])}
			used[at] += w
			k.place = append(k.place, p)
			mask := topMask(w)
			if k.mask != nil {
				mask &= k.mask[limb]
			}
			t.packs = append(t.packs, pack{slot: k.field.slot + limb, word: p.word, shift: p.shift, mask: mask})
		}
	}
	t.words = len(used)
}

func (l *loader) tableActions(t *tableDef, j *jTable) {
	if len(j.ActionIDs) > 0 {
		for _, id := range j.ActionIDs {
			t.actions = append(t.actions, l.actionID(id))
		}
		return
	}
	for _, n := range j.Actions {
		t.actions = append(t.actions, l.p.actions[find(l, "action", n, l.p.actions, func(a *action) string { return a.name })])
	}
}

func (l *loader) tableMeter(t *tableDef, j *jTable) {
	if j.DirectMeters == nil {
		return
	}
	for _, m := range l.j.MeterArrays {
		if m.Name != *j.DirectMeters {
			continue
		}
		target, err := json.Marshal(m.ResultTarget)
		if err != nil {
			l.fail("%v", err)
		}
		t.meter = &directMeter{name: m.Name, bytes: m.Type == "bytes", result: l.fieldRef(target)}
		t.meter.result.set = true
		if t.meter.result.n != 1 || t.meter.result.varlen {
			l.unsupported("meter result in %s", t.meter.result.name)
		}
		return
	}
	l.fail("no direct meter %q", *j.DirectMeters)
}

// constEntry compiles an entry of the program. bmv2 priorities: the smallest
// number wins; here, as in P4Runtime, the largest.
func (l *loader) constEntry(t *tableDef, table *jTable, i int) constEntry {
	j := &table.Entries[i]
	if len(j.MatchKey) != len(t.keys) {
		l.fail("%d match fields, want %d", len(j.MatchKey), len(t.keys))
	}
	a := l.actionID(j.ActionEntry.ActionID)
	e := constEntry{bind: binding{act: a, params: l.literals(a, j.ActionEntry.ActionData)}}
	if t.class == classTernary {
		worst := 0
		for _, o := range table.Entries {
			worst = max(worst, o.Priority)
		}
		e.priority = int32(min(worst-j.Priority+1, 1<<30))
	}
	for k, m := range j.MatchKey {
		f := t.keys[k]
		hex := func(s string) []byte { return l.bytes(l.hex(s), f.width) }
		var fm FieldMatch
		switch f.kind {
		case Exact:
			fm.Value = hex(l.str(m.Key))
		case Valid:
			var b bool
			l.decode(m.Key, &b)
			fm.Value = []byte{byte(b2u(b))}
		case LPM:
			fm.Value, fm.PrefixLen = hex(l.str(m.Key)), m.PrefixLength
		case Ternary, Optional:
			fm.Value, fm.Mask = hex(l.str(m.Key)), hex(m.Mask)
			fm.Any = l.hex(m.Mask).Sign() == 0
		case Range:
			fm.Value, fm.High = hex(m.Start), hex(m.End)
		}
		e.match = append(e.match, fm)
	}
	return e
}

func (l *loader) bytes(v *big.Int, width int) []byte {
	if v.Sign() < 0 || v.BitLen() > width {
		l.fail("value %#x does not fit %d bits", v, width)
	}
	return v.FillBytes(make([]byte, (width+7)/8))
}
