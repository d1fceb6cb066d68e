package p4rt

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// Match is what an entry wants of one key field, by the field's kind:
//
//	exact     Value; Mask is ignored
//	lpm       Value under Mask, a prefix mask; Mask 0 matches anything
//	ternary   Value under Mask; Mask 0 matches anything
//	optional  Value if Mask is not 0; else anything
//	range     Value (low) to Mask (high), both included
type Match struct{ Value, Mask Value }

// canon is the one form that is compared and sent: masked-out bits are 0 (Spec 9.1.1).
func (f *Field) canon(m Match) Match {
	switch f.Kind {
	case MatchExact:
		m.Mask = Ones(f.Width)
	case MatchLPM, MatchTernary:
		m.Value = m.Value.And(m.Mask)
	case MatchOptional:
		if m.Mask.IsZero() {
			return Match{}
		}
		m.Mask = Ones(f.Width)
	}
	return m
}

// any is the match of a don't-care field. An exact field has none: it gets value 0.
func (f *Field) any() Match {
	if f.Kind == MatchRange {
		return Match{Mask: Ones(f.Width)}
	}
	return Match{}
}

// isAny reports whether m, in canonical form, is don't-care; such fields are left out on the wire.
func (f *Field) isAny(m Match) bool {
	switch f.Kind {
	case MatchExact:
		return false
	case MatchRange:
		return m.Value.IsZero() && m.Mask == Ones(f.Width)
	}
	return m.Mask.IsZero()
}

// checkMatch refuses what the field can't express.
func (f *Field) checkMatch(m Match) error {
	if err := f.check(m.Value); err != nil {
		return err
	}
	if f.Kind == MatchExact || f.Kind == MatchOptional {
		return nil
	}
	if err := f.check(m.Mask); err != nil {
		return err
	}
	if f.Kind == MatchLPM && m.Mask.PrefixLen(f.Width) < 0 {
		return fmt.Errorf("%w: %s: %s is not a prefix", ErrMask, f.Name, m.Mask)
	}
	if f.Kind == MatchRange && m.Value.Compare(m.Mask) > 0 {
		return fmt.Errorf("%w: %s: range %s..%s is empty", ErrMask, f.Name, m.Value, m.Mask)
	}
	return nil
}

// Entry is a table entry. Its owner may change it until it is handed to a Write or a Writer;
// from then on it must stay as it is.
type Entry struct {
	Table    *Table
	Match    []Match // one per Table.Keys, in that order
	Priority int32   // larger wins; > 0 if and only if Table.NeedsPriority
	Action   *Action // nil in a Modify keeps the action
	Params   []Value // one per Action.Params, in that order

	// Instead of Action, entries of a table with an action profile have one of these; groups and
	// one-shots only if the profile is a selector.
	Member  uint32     // id of an [ActionMember]
	Group   uint32     // id of an [ActionGroup]
	OneShot []Weighted // the actions themselves

	// Meter configures the entry's direct meter; nil is the default, which marks all packets green.
	Meter *MeterConfig

	IdleTimeout time.Duration // 0: never idle
	// Cookie is the controller's own mark (TableEntry.metadata); 0 is none. Metadata of other
	// controllers, longer than 8 bytes, reads as its FNV-1a hash, so that it differs.
	Cookie uint64
	// Const is set in entries that are read back and that the program has fixed: they are left alone.
	Const bool
	// Default marks the table's default entry: no match, Modify only, never reconciled.
	Default bool
}

// NewEntry returns an entry that matches anything (exact fields: 0).
func (t *Table) NewEntry() *Entry {
	e := &Entry{Table: t, Match: make([]Match, len(t.Keys))}
	for i := range t.Keys {
		e.Match[i] = t.Keys[i].any()
	}
	return e
}

// Set asks for exactly v in field i, whatever its kind.
func (e *Entry) Set(i int, v Value) {
	m := Match{Value: v, Mask: Ones(e.Table.Keys[i].Width)}
	if e.Table.Keys[i].Kind == MatchRange {
		m.Mask = v
	}
	e.Match[i] = m
}

// SetMasked asks for v under mask in a ternary or lpm field.
func (e *Entry) SetMasked(i int, v, mask Value) { e.Match[i] = Match{Value: v.And(mask), Mask: mask} }

// SetPrefix asks for the first n bits of v in a ternary or lpm field.
func (e *Entry) SetPrefix(i int, v Value, n int) {
	e.SetMasked(i, v, PrefixMask(n, e.Table.Keys[i].Width))
}

// SetRange asks for low to high, both included, in a range field.
func (e *Entry) SetRange(i int, low, high Value) { e.Match[i] = Match{Value: low, Mask: high} }

// Do sets the action and its parameters.
func (e *Entry) Do(a *Action, params ...Value) {
	e.Action, e.Params = a, params
}

// Clone returns a copy that shares nothing but the schema.
func (e *Entry) Clone() *Entry {
	c := *e
	c.Match, c.Params, c.OneShot = slices.Clone(e.Match), slices.Clone(e.Params), slices.Clone(e.OneShot)
	for i := range c.OneShot {
		c.OneShot[i].Params = slices.Clone(c.OneShot[i].Params)
	}
	if e.Meter != nil {
		m := *e.Meter
		c.Meter = &m
	}
	return &c
}

// Key is the identity of the entry on the target: table, match and priority (Spec 9.1).
func (e *Entry) Key() Key {
	var buf [128]byte
	return Key{Kind: KindEntry, ID: e.Table.ID, Priority: e.Priority, match: string(e.appendKey(buf[:0]))}
}

// Hash is that of the entry's Key, without making one.
func (e *Entry) Hash(seed maphash.Seed) uint64 {
	var buf [160]byte
	b := binary.LittleEndian.AppendUint32(buf[:0], e.Table.ID)
	b = binary.LittleEndian.AppendUint32(b, uint32(e.Priority))
	return maphash.Bytes(seed, e.appendKey(b))
}

// appendKey appends the match in a form of fixed length per table.
func (e *Entry) appendKey(b []byte) []byte {
	if e.Default {
		return append(b, "default"...)
	}
	return appendMatches(b, e.Table.Keys, e.Match)
}

// appendMatches appends matches in a form of fixed length.
func appendMatches(b []byte, keys []Field, matches []Match) []byte {
	for i := range matches {
		f := &keys[i]
		m, n := f.canon(matches[i]), (f.Width+7)/8
		b = m.Value.appendFixed(b, n)
		if f.Kind != MatchExact {
			b = m.Mask.appendFixed(b, n)
		}
	}
	return b
}

// SameEffect reports whether the entry and o, which have the same key, do the same.
func (e *Entry) SameEffect(o *Entry) bool {
	return e.Action == o.Action && e.IdleTimeout == o.IdleTimeout && e.Cookie == o.Cookie && slices.Equal(e.Params, o.Params) &&
		e.Member == o.Member && e.Group == o.Group && sameOneShot(e.OneShot, o.OneShot) && sameMeter(e.Meter, o.Meter)
}

func (e *Entry) same(o Entity) bool {
	x, ok := o.(*Entry)
	return ok && e.SameEffect(x)
}

func (e *Entry) validate(op Op) error {
	switch {
	case e.Table == nil:
		return fmt.Errorf("entry: %w", ErrNoSuchTable)
	case e.Table.Err != nil:
		return e.Table.Err
	}
	if err := e.validateMatch(op); err != nil {
		return fmt.Errorf("table %s: %w", e.Table.Alias, err)
	}
	if op == Delete {
		return nil
	}
	if err := e.validateAction(op); err != nil {
		return fmt.Errorf("table %s: %w", e.Table.Alias, err)
	}
	return nil
}

func (e *Entry) validateMatch(op Op) error {
	t := e.Table
	if e.Default {
		if op != Modify {
			return fmt.Errorf("%w: %s of a default entry", ErrUnsupported, op)
		}
		return nil
	}
	if len(e.Match) != len(t.Keys) {
		return fmt.Errorf("%w: %d of %d match fields given", ErrMissing, len(e.Match), len(t.Keys))
	}
	for i := range e.Match {
		if err := t.Keys[i].checkMatch(e.Match[i]); err != nil {
			return err
		}
	}
	if t.NeedsPriority != (e.Priority > 0) || e.Priority < 0 {
		return fmt.Errorf("%w: %d", ErrPriority, e.Priority)
	}
	return nil
}

func (e *Entry) validateAction(op Op) error {
	if e.IdleTimeout < 0 || e.IdleTimeout > 0 && !e.Table.SupportsIdle {
		return fmt.Errorf("%w: idle timeout %s", ErrUnsupported, e.IdleTimeout)
	}
	if e.Meter != nil {
		if !e.Table.DirectMeter {
			return fmt.Errorf("%w: the table has no direct meter", ErrUnsupported)
		}
		if err := e.Meter.validate(); err != nil {
			return err
		}
	}
	switch what := e.actionKinds(); {
	case what == 0 && op == Insert:
		return fmt.Errorf("%w: action", ErrMissing)
	case what > 1:
		return fmt.Errorf("%w: more than one of action, member, group and one-shot", ErrAmbiguous)
	case e.Action != nil && (e.Table.Profile == nil || e.Default):
		return checkAction(e.Table.actions, e.Action, e.Params)
	case e.Table.Profile == nil && what > 0:
		return fmt.Errorf("%w: the table takes actions, it has no action profile", ErrUnsupported)
	case e.Action != nil:
		return fmt.Errorf("%w: the table takes members and groups of action profile %s", ErrUnsupported, e.Table.Profile.Alias)
	case (e.Group != 0 || e.OneShot != nil) && !e.Table.Profile.Selector:
		return fmt.Errorf("%w: action profile %s has no groups", ErrUnsupported, e.Table.Profile.Alias)
	}
	if e.OneShot == nil {
		return nil
	}
	return e.Table.Profile.checkOneShot(e.OneShot)
}

// actionKinds counts in how many ways the entry says what to do.
func (e *Entry) actionKinds() int {
	n := 0
	for _, set := range [...]bool{e.Action != nil, e.Member != 0, e.Group != 0, e.OneShot != nil} {
		if set {
			n++
		}
	}
	return n
}

// checkAction checks an action against those that are allowed, and its parameters.
func checkAction(allowed map[uint32]*Action, a *Action, params []Value) error {
	if a == nil {
		return fmt.Errorf("%w: action", ErrMissing)
	}
	if allowed[a.ID] != a {
		return fmt.Errorf("%w: %s", ErrNoSuchAction, a.Alias)
	}
	if a.err != nil {
		return a.err
	}
	if len(params) != len(a.Params) {
		return fmt.Errorf("action %s: %w: %d of %d parameters given", a.Alias, ErrMissing, len(params), len(a.Params))
	}
	for i, v := range params {
		if err := a.Params[i].check(v); err != nil {
			return fmt.Errorf("action %s: %w", a.Alias, err)
		}
	}
	return nil
}

// String shows the entry by the names of its p4info; don't-care fields are left out.
func (e *Entry) String() string {
	if e.Table == nil {
		return "entry of no table"
	}
	var b strings.Builder
	b.WriteString(e.Table.Alias)
	if e.Default {
		b.WriteString(" default")
	}
	for i, m := range e.Match {
		if i >= len(e.Table.Keys) {
			break
		}
		f := &e.Table.Keys[i]
		m = f.canon(m)
		if f.isAny(m) {
			continue
		}
		fmt.Fprintf(&b, " %s=%s", f.Name, f.text(m.Value))
		switch n := m.Mask.PrefixLen(f.Width); {
		case f.IsName():
		case f.Kind == MatchRange:
			fmt.Fprintf(&b, "..%s", m.Mask)
		case n >= 0 && n < f.Width:
			fmt.Fprintf(&b, "/%d", n)
		case n < 0:
			fmt.Fprintf(&b, "&%s", m.Mask)
		}
	}
	if e.Priority != 0 {
		fmt.Fprintf(&b, " priority %d", e.Priority)
	}
	e.showAction(&b)
	return b.String()
}

func (e *Entry) showAction(b *strings.Builder) {
	switch {
	case e.Action != nil:
		b.WriteString(" -> ")
		showAction(b, e.Action, e.Params)
	case e.Member != 0:
		fmt.Fprintf(b, " -> member %d", e.Member)
	case e.Group != 0:
		fmt.Fprintf(b, " -> group %d", e.Group)
	case e.OneShot != nil:
		b.WriteString(" -> one of")
		for i := range e.OneShot {
			w := &e.OneShot[i]
			fmt.Fprintf(b, " %d×", w.Weight)
			showAction(b, w.Action, w.Params)
		}
	}
}

func showAction(b *strings.Builder, a *Action, params []Value) {
	if a == nil {
		b.WriteString("no action")
		return
	}
	b.WriteString(a.Alias)
	b.WriteByte('(')
	for i, v := range params {
		if i > 0 {
			b.WriteString(", ")
		}
		if i < len(a.Params) {
			fmt.Fprintf(b, "%s=%s", a.Params[i].Name, a.Params[i].text(v))
		}
	}
	b.WriteByte(')')
}

// cookieOf reads TableEntry.metadata.
func cookieOf(b []byte) uint64 {
	if len(b) > 8 {
		h := fnv.New64a()
		h.Write(b)
		return h.Sum64()
	}
	var c uint64
	for _, x := range b {
		c = c<<8 | uint64(x)
	}
	return c
}
