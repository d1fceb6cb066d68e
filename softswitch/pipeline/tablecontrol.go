package pipeline

import (
	"fmt"
	"iter"
	"slices"
	"time"
)

// Name is the fully qualified P4 name.
func (t *Table) Name() string { return t.d.name }

// Size is the capacity in entries.
func (t *Table) Size() int { return t.d.size }

// Len is the number of entries, the default entry not counted.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// Keys describes the key fields in order.
func (t *Table) Keys() []KeyInfo {
	out := make([]KeyInfo, len(t.d.keys))
	for i, k := range t.d.keys {
		out[i] = KeyInfo{Name: k.name, Kind: k.kind, Width: k.width}
	}
	return out
}

// Actions are the names of the table's actions.
func (t *Table) Actions() []string {
	out := make([]string, len(t.d.actions))
	for i, a := range t.d.actions {
		out[i] = a.name
	}
	return out
}

// HasPriority reports whether entries need a priority.
func (t *Table) HasPriority() bool { return t.d.class == classTernary }

// HasCounter reports whether the table has a direct counter.
func (t *Table) HasCounter() bool { return t.d.counters }

// HasMeter reports whether the table has a direct meter.
func (t *Table) HasMeter() bool { return t.d.meter != nil }

// HasTimeout reports whether entries may have an idle timeout.
func (t *Table) HasTimeout() bool { return t.d.timeout }

// IsConst reports whether the program fixes the entries.
func (t *Table) IsConst() bool { return t.konst }

// SetConst says whether the entries of the program can be changed, and others added: bmv2's
// JSON has the same form for entries and for const entries, the P4Info tells. Without it,
// all are const. To be called before the table is in use.
func (t *Table) SetConst(konst bool) { t.konst = konst && t.d.konst }

// Profile is the name of the table's action profile, "" if it has none.
func (t *Table) Profile() string {
	if t.d.profile < 0 {
		return ""
	}
	return t.m.prog.profiles[t.d.profile].name
}

// Insert adds an entry: ErrExists, ErrFull, ErrInvalid, ErrNotFound (member or
// group), ErrConst.
func (t *Table) Insert(e Entry) error {
	if t.konst {
		return fmt.Errorf("table %s: %w", t.d.name, ErrConst)
	}
	var words [2 * scratchWords]uint64
	m, n, err := t.prepare(&e, &words)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.locateLocked(&m, n.prio) != nil {
		return fmt.Errorf("table %s: entry %w", t.d.name, ErrExists)
	}
	if len(t.all) >= t.d.size {
		return fmt.Errorf("table %s: %w, capacity %d", t.d.name, ErrFull, t.d.size)
	}
	if err := t.bindLocked(n, &e); err != nil {
		return err
	}
	if t.count(n, nil); n.stats != nil {
		n.stats.idle.Store(int64(e.IdleTimeout))
	}
	t.addLocked(n, m.mask)
	return nil
}

// Modify replaces action, parameters, timeout and metadata of an entry; its
// counters and meter stay. ErrNotFound, ErrInvalid, ErrConst.
func (t *Table) Modify(e Entry) error {
	if t.konst {
		return fmt.Errorf("table %s: %w", t.d.name, ErrConst)
	}
	var words [2 * scratchWords]uint64
	m, n, err := t.prepare(&e, &words)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.locateLocked(&m, n.prio)
	if old == nil {
		return fmt.Errorf("table %s: entry %w", t.d.name, ErrNotFound)
	}
	if err := t.bindLocked(n, &e); err != nil {
		return err
	}
	t.releaseLocked(old)
	if t.count(n, old.stats); n.stats != nil {
		n.stats.idle.Store(int64(e.IdleTimeout))
		n.stats.lastHit.Store(t.m.clock())
	}
	t.replaceLocked(old, n)
	return nil
}

// Delete removes an entry. ErrNotFound, ErrInvalid, ErrConst.
func (t *Table) Delete(match []FieldMatch, priority int32) error {
	if t.konst {
		return fmt.Errorf("table %s: %w", t.d.name, ErrConst)
	}
	e, err := t.at(match, priority, func(e *entry) {
		t.releaseLocked(e)
		t.dropLocked(e)
	})
	if err == nil && e == nil {
		err = fmt.Errorf("table %s: entry %w", t.d.name, ErrNotFound)
	}
	return err
}

// at finds an entry and runs f on it with the table locked.
func (t *Table) at(match []FieldMatch, priority int32, f func(*entry)) (*entry, error) {
	var words [2 * scratchWords]uint64
	m, err := t.d.parseMatch(match, &words)
	if err != nil {
		return nil, err
	}
	prio, err := t.priority(&m, priority)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.locateLocked(&m, prio)
	if e != nil && f != nil {
		f(e)
	}
	return e, nil
}

// prepare checks an entry and packs it, all but its member or group.
func (t *Table) prepare(e *Entry, words *[2 * scratchWords]uint64) (parsedMatch, *entry, error) {
	m, err := t.d.parseMatch(e.Match, words)
	if err != nil {
		return m, nil, err
	}
	prio, err := t.priority(&m, e.Priority)
	if err != nil {
		return m, nil, err
	}
	if len(t.d.keys) == 0 {
		return m, nil, fmt.Errorf("table %s: %w: has no key", t.d.name, ErrInvalid)
	}
	if e.IdleTimeout < 0 || e.IdleTimeout > 0 && !t.d.timeout {
		return m, nil, fmt.Errorf("table %s: %w: idle timeout %v", t.d.name, ErrInvalid, e.IdleTimeout)
	}
	indirect := e.Member != 0 || e.Group != 0
	var n *entry
	switch {
	case indirect != (t.d.profile >= 0), indirect && e.Action != "", e.Member != 0 && e.Group != 0:
		return m, nil, fmt.Errorf("table %s: %w: want %s", t.d.name, ErrInvalid, t.wants())
	case indirect:
		n = t.makeEntry(&m, nil)
	default:
		var params [scratchWords]uint64
		b, err := bind(t.d.name, t.d.actions, e.Action, e.Params, params[:])
		if err != nil {
			return m, nil, err
		}
		n = t.makeEntry(&m, &b)
	}
	n.prio = prio
	if len(e.Metadata) > 0 {
		n.extend().meta = slices.Clone(e.Metadata)
	}
	return m, n, nil
}

func (t *Table) wants() string {
	if t.d.profile >= 0 {
		return "a member or a group of its action profile, and no action"
	}
	return "an action, and neither member nor group"
}

// bind resolves an action of a table or profile and packs its parameters, into
// words (which are zero) if they fit.
func bind(owner string, actions []*action, name string, params [][]byte, words []uint64) (binding, error) {
	i := slices.IndexFunc(actions, func(a *action) bool { return a.name == name })
	if i < 0 {
		return binding{}, fmt.Errorf("%s: %w: no action %q", owner, ErrInvalid, name)
	}
	a := actions[i]
	if len(params) != len(a.params) {
		return binding{}, fmt.Errorf("%s: action %s: %w: %d parameters, want %d", owner, name, ErrInvalid, len(params), len(a.params))
	}
	if a.words > len(words) {
		words = make([]uint64, a.words)
	}
	b := binding{act: a, params: words[:a.words]}
	for k := range a.params {
		p := &a.params[k]
		var small [4]uint64
		v := small[:]
		if n := limbs(p.width); n > len(v) {
			v = make([]uint64, n)
		}
		if err := parseInto(v, params[k], p.width); err != nil {
			return binding{}, fmt.Errorf("%s: action %s, parameter %s: %w", owner, name, p.name, err)
		}
		p.pack(b.params, v[:limbs(p.width)])
	}
	return b, nil
}

func unbind(a *action, words []uint64, b *stateBuffer) [][]byte {
	var limbs [scratchWords]uint64
	out := b.values(len(a.params))
	for i := range a.params {
		p := &a.params[i]
		out[i] = b.format(p.unpack(limbs[:0], words), p.width)
	}
	return out
}

// bindLocked resolves the member or group of an entry and counts the reference.
func (t *Table) bindLocked(n *entry, e *Entry) error {
	if e.Member == 0 && e.Group == 0 {
		return nil
	}
	var err error
	r := n.extend()
	r.member, r.group, err = t.m.profiles[t.d.profile].refer(e.Member, e.Group)
	return err
}

func (t *Table) releaseLocked(e *entry) {
	if r := e.more(); r.member != nil || r.group != nil {
		t.m.profiles[t.d.profile].release(r.member, r.group)
	}
}

// state is an entry as the control plane reads it.
func (t *Table) state(e *entry, b *stateBuffer) EntryState {
	b.reset()
	s := EntryState{}
	if !e.def {
		s.Match = t.match(e, b)
		if t.d.class == classTernary {
			s.Priority = e.prio
		}
	}
	if e.act >= 0 {
		a := t.m.prog.actions[e.act]
		s.Action, s.Params = a.name, unbind(a, e.words[t.d.words:], b)
	}
	r := e.more()
	if r.member != nil {
		s.Member = r.member.id
	}
	if r.group != nil {
		s.Group = r.group.id
	}
	s.Metadata = slices.Clone(r.meta)
	if e.stats != nil {
		s.Count = Count{Packets: e.stats.packets.Load(), Bytes: e.stats.bytes.Load()}
		s.LastHit = t.m.wall(e.stats.lastHit.Load())
		s.IdleTimeout = time.Duration(e.stats.idle.Load())
		if c := e.stats.meter(); c != nil {
			s.Meter = c.config()
		}
	}
	return s
}

// Read returns one entry.
func (t *Table) Read(match []FieldMatch, priority int32) (EntryState, bool) {
	e, err := t.at(match, priority, nil)
	if e == nil || err != nil {
		return EntryState{}, false
	}
	return t.state(e, new(stateBuffer)), true
}

// All yields the entries, in no particular order, as they were when the
// iteration began; the table may be changed meanwhile. What an entry refers to
// is valid until the next one.
func (t *Table) All() iter.Seq[EntryState] {
	return func(yield func(EntryState) bool) {
		t.mu.Lock()
		all := slices.Clone(t.all)
		t.mu.Unlock()
		b := new(stateBuffer)
		for _, e := range all {
			if !yield(t.state(e, b)) {
				return
			}
		}
	}
}

// Clear deletes all entries that are not const.
func (t *Table) Clear() {
	if t.konst {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.all {
		t.releaseLocked(e)
	}
	t.all, t.byMask = nil, map[string]*tuple{}
	if t.only != nil {
		t.only.index.reset()
	}
	t.tuples.Store(&[]tupleRef{})
}

// SetDefault replaces the default entry; its counter and meter stay.
func (t *Table) SetDefault(action string, params [][]byte) error {
	b, err := bind("table "+t.d.name, t.d.actions, action, params, nil)
	if err != nil {
		return err
	}
	if t.d.fixedDef || t.d.fixedAct != nil && t.d.fixedAct != b.act {
		return fmt.Errorf("table %s: default entry is %w", t.d.name, ErrConst)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.def.Store(t.defaultEntry(&b, t.def.Load().stats))
	return nil
}

// ResetDefault brings back the program's default entry.
func (t *Table) ResetDefault() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.def.Store(t.defaultEntry(t.d.def, t.def.Load().stats))
	return nil
}

// Default returns the default entry; its Action is "" if there is none.
func (t *Table) Default() EntryState {
	s := t.state(t.def.Load(), new(stateBuffer))
	s.Default = true
	return s
}

// SetCounter sets the direct counter of an entry.
func (t *Table) SetCounter(match []FieldMatch, priority int32, n Count) error {
	return t.tune(match, priority, t.d.counters, func(s *stats) { s.setCount(n) })
}

// SetMeter configures the direct meter of an entry.
func (t *Table) SetMeter(match []FieldMatch, priority int32, c MeterConfig) error {
	if err := c.check(); err != nil {
		return err
	}
	return t.tune(match, priority, t.d.meter != nil, func(s *stats) { s.setMeter(t, c) })
}

func (t *Table) tune(match []FieldMatch, priority int32, can bool, f func(*stats)) error {
	if !can {
		return fmt.Errorf("table %s: %w: no such direct resource", t.d.name, ErrInvalid)
	}
	e, err := t.at(match, priority, func(e *entry) { f(e.stats) })
	if err == nil && e == nil {
		err = fmt.Errorf("table %s: entry %w", t.d.name, ErrNotFound)
	}
	return err
}

// SetDefaultCounter sets the direct counter of the default entry.
func (t *Table) SetDefaultCounter(n Count) error {
	if !t.d.counters {
		return fmt.Errorf("table %s: %w: no direct counter", t.d.name, ErrInvalid)
	}
	t.def.Load().stats.setCount(n)
	return nil
}

// SetDefaultMeter configures the direct meter of the default entry.
func (t *Table) SetDefaultMeter(c MeterConfig) error {
	if err := c.check(); err != nil {
		return err
	}
	if t.d.meter == nil {
		return fmt.Errorf("table %s: %w: no direct meter", t.d.name, ErrInvalid)
	}
	t.def.Load().stats.setMeter(t, c)
	return nil
}

func (s *stats) setCount(n Count) {
	s.packets.Store(n.Packets)
	s.bytes.Store(n.Bytes)
}

func (s *stats) setMeter(t *Table, c MeterConfig) {
	if c == (MeterConfig{}) {
		s.more().meter.Store(nil)
		return
	}
	m := &meterCell{}
	m.configure(c, t.m.clock())
	s.more().meter.Store(m)
}

// Params describes the parameters of one of the table's actions.
func (t *Table) Params(name string) ([]ParamInfo, bool) {
	i := slices.IndexFunc(t.d.actions, func(a *action) bool { return a.name == name })
	if i < 0 {
		return nil, false
	}
	var out []ParamInfo
	for _, p := range t.d.actions[i].params {
		out = append(out, ParamInfo{Name: p.name, Width: p.width})
	}
	return out, true
}
