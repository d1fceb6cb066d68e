package p4rt

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// fields walks the fields of a message in wire form.
type fields struct {
	rest []byte
	num  protowire.Number
	u    uint64 // value of a varint field
	b    []byte // value of a length-delimited field; nil for others
	err  error
}

// next advances; it is false at the end and on an error.
func (f *fields) next() bool {
	if len(f.rest) == 0 || f.err != nil {
		return false
	}
	if f.short() {
		return true
	}
	num, typ, n := protowire.ConsumeTag(f.rest)
	if n < 0 {
		f.err = fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		return false
	}
	f.rest = f.rest[n:]
	f.num, f.u, f.b = num, 0, nil
	switch typ {
	case protowire.VarintType:
		f.u, n = protowire.ConsumeVarint(f.rest)
	case protowire.BytesType:
		f.b, n = protowire.ConsumeBytes(f.rest)
		if n >= 0 && f.b == nil {
			f.b = []byte{}
		}
	default:
		n = protowire.ConsumeFieldValue(num, typ, f.rest)
		f.num = 0 // fixed-size fields: no message here has one
	}
	if n < 0 {
		f.err = fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		return false
	}
	f.rest = f.rest[n:]
	return true
}

// short is next for what most fields are: a tag of one byte, and a number or a length of one byte. False: it is not so, and nothing is changed.
func (f *fields) short() bool {
	if len(f.rest) < 2 || f.rest[0] >= 0x80 || f.rest[0] < 1<<3 || f.rest[1] >= 0x80 {
		return false
	}
	num, typ, v := protowire.Number(f.rest[0]>>3), protowire.Type(f.rest[0]&7), f.rest[1]
	switch rest := f.rest[2:]; {
	case typ == protowire.VarintType:
		f.num, f.u, f.b, f.rest = num, uint64(v), nil, rest
		return true
	case typ == protowire.BytesType && int(v) <= len(rest):
		f.num, f.u, f.b, f.rest = num, 0, rest[:v:v], rest[v:]
		return true
	}
	return false
}

// Counter is what a target counted for an entry or for one index of a counter array.
type Counter struct {
	Packets, Bytes int64
	Counted        bool          // Packets and Bytes are valid
	SinceHit       time.Duration // since a packet last matched
	HitKnown       bool          // SinceHit is valid
}

// decoder turns read-back entities into typed ones. Small objects come from slabs, so that
// reading 100k entries costs a few hundred allocations. Not safe for concurrent use.
type decoder struct {
	schema  *Schema
	named   bool // ports of replicas have names
	borrow  bool // an entry has the memory of the one before
	entries slab[Entry]
	matches slab[Match]
	values  slab[Value]
}

// slab is memory that is taken piece by piece.
type slab[T any] struct{ whole, rest []T }

const slabSize = 256

func (s *slab[T]) take(n int) []T {
	if n == 0 {
		return nil
	}
	if len(s.rest) < n {
		s.whole = make([]T, max(slabSize, n))
		s.rest = s.whole
	}
	got := s.rest[:n:n]
	s.rest = s.rest[n:]
	return got
}

// back takes back all that was taken from the slab.
func (s *slab[T]) back() {
	clear(s.whole[:len(s.whole)-len(s.rest)])
	s.rest = s.whole
}

// entry decodes a TableEntry, accepting padded values.
func (d *decoder) entry(b []byte) (*Entry, Counter, error) {
	var c Counter
	id, err := idOf(b)
	if err != nil {
		return nil, c, err
	}
	t := d.schema.tableByID[id]
	if t == nil {
		return nil, c, fmt.Errorf("%w: id %d", ErrNoSuchTable, id)
	}
	if t.Err != nil {
		return nil, c, t.Err
	}
	if d.borrow {
		d.entries.back()
		d.matches.back()
		d.values.back()
	}
	e := &d.entries.take(1)[0]
	e.Table, e.Match = t, d.matches.take(len(t.Keys))
	for i := range t.Keys {
		e.Match[i] = t.Keys[i].any()
	}
	var given uint64
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 2:
			err = decodeInto(e.Match, t.Keys, f.b, &given)
		case 3:
			err = d.tableAction(e, f.b)
		case 4:
			e.Priority = int32(f.u)
		case 6:
			e.Meter, err = meterConfig(f.b)
		case 7:
			c.Counted = true
			c.Bytes, c.Packets, err = counterData(f.b)
		case 8:
			e.Default = f.u != 0
		case 9:
			e.IdleTimeout = time.Duration(f.u)
		case 10:
			c.HitKnown = true
			c.SinceHit, err = sinceHit(f.b)
		case 11:
			e.Cookie = cookieOf(f.b)
		case 13:
			e.Const = f.u != 0
		}
		if err != nil {
			return nil, c, fmt.Errorf("table %s: %w", t.Alias, err)
		}
	}
	if f.err != nil {
		return nil, c, fmt.Errorf("table %s: %w", t.Alias, f.err)
	}
	if e.Default {
		e.Match = nil
		return e, c, nil
	}
	for i := range t.Keys {
		if t.Keys[i].Kind == MatchExact && given&(1<<i) == 0 {
			return nil, c, fmt.Errorf("table %s: %w: field %s", t.Alias, ErrMissing, t.Keys[i].Name)
		}
	}
	return e, c, nil
}

// idOf finds the id in field 1 first: fields may come in any order.
func idOf(b []byte) (uint32, error) {
	var id uint32
	f := fields{rest: b}
	for f.next() {
		if f.num == 1 {
			id = uint32(f.u)
			break
		}
	}
	return id, f.err
}

// decodeInto decodes a FieldMatch into its place among matches, and notes it in given.
func decodeInto(matches []Match, keys []Field, b []byte, given *uint64) error {
	var id uint32
	var kind protowire.Number
	var body []byte
	f := fields{rest: b}
	for f.next() {
		if f.num == 1 {
			id = uint32(f.u)
		} else if f.b != nil {
			kind, body = f.num, f.b
		}
	}
	if f.err != nil {
		return f.err
	}
	i := 0
	for i < len(keys) && keys[i].ID != id {
		i++
	}
	if i == len(keys) {
		return fmt.Errorf("%w: id %d", ErrNoSuchField, id)
	}
	if *given&(1<<i) != 0 {
		return fmt.Errorf("%w: field %s given twice", ErrMalformed, keys[i].Name)
	}
	*given |= 1 << i
	m, err := decodeMatch(&keys[i], kind, body)
	if err != nil {
		return fmt.Errorf("field %s: %w", keys[i].Name, err)
	}
	matches[i] = m
	return nil
}

// wireKind is the oneof's field number for a match kind.
func wireKind(k MatchKind) protowire.Number {
	return [...]protowire.Number{0, 2, 4, 3, 6, 7}[k]
}

func decodeMatch(fd *Field, kind protowire.Number, body []byte) (Match, error) {
	if kind != wireKind(fd.Kind) {
		return Match{}, fmt.Errorf("%w: not a match of kind %s", ErrMalformed, fd.Kind)
	}
	var first, second []byte
	var prefix uint64
	f := fields{rest: body}
	for f.next() {
		switch f.num {
		case 1:
			first = f.b
		case 2:
			second, prefix = f.b, f.u
		}
	}
	if f.err != nil {
		return Match{}, f.err
	}
	v, err := fd.parse(first)
	if err != nil {
		return Match{}, err
	}
	m := Match{Value: v, Mask: Ones(fd.Width)}
	switch fd.Kind {
	case MatchTernary, MatchRange:
		if m.Mask, err = ParseValue(second); err != nil {
			return Match{}, err
		}
	case MatchLPM:
		if prefix > uint64(fd.Width) {
			return Match{}, fmt.Errorf("%w: prefix of %d bits", ErrMask, prefix)
		}
		m.Mask = PrefixMask(int(prefix), fd.Width)
	}
	if err := fd.checkMatch(m); err != nil {
		return Match{}, err
	}
	return fd.canon(m), nil
}

func (d *decoder) tableAction(e *Entry, b []byte) (err error) {
	f := fields{rest: b}
	for f.next() {
		e.Action, e.Params, e.Member, e.Group, e.OneShot = nil, nil, 0, 0, nil // a oneof: the last counts
		if f.num != 1 && e.Table.Profile == nil {
			return fmt.Errorf("%w: member or group of a table without an action profile", ErrUnsupported)
		}
		switch f.num {
		case 1:
			if e.Action, e.Params, err = d.action(e.Table.actions, f.b); err != nil {
				return err
			}
		case 2:
			e.Member = uint32(f.u)
		case 3:
			e.Group = uint32(f.u)
		case 4:
			if e.OneShot, err = d.oneShot(e.Table.actions, f.b); err != nil {
				return err
			}
		}
	}
	return f.err
}

// oneShot decodes an ActionProfileActionSet.
func (d *decoder) oneShot(actions map[uint32]*Action, b []byte) ([]Weighted, error) {
	set := []Weighted{}
	f := fields{rest: b}
	for f.next() {
		if f.num != 1 {
			continue
		}
		var w Weighted
		var err error
		m := fields{rest: f.b}
		for m.next() && err == nil {
			switch m.num {
			case 1:
				w.Action, w.Params, err = d.action(actions, m.b)
			case 2:
				w.Weight = int32(m.u)
			case 3:
				w.Watch = WatchPort(uint32(m.u))
			case 4:
				w.Watch = watchOf(m.b)
			}
		}
		if err == nil {
			err = m.err
		}
		if err != nil {
			return nil, err
		}
		set = append(set, w)
	}
	return set, f.err
}

// action decodes an Action; it must be among those given.
func (d *decoder) action(actions map[uint32]*Action, b []byte) (*Action, []Value, error) {
	id, err := idOf(b)
	if err != nil {
		return nil, nil, err
	}
	a := actions[id]
	if a == nil {
		return nil, nil, fmt.Errorf("%w: id %d", ErrNoSuchAction, id)
	}
	if a.err != nil {
		return nil, nil, a.err
	}
	params := d.values.take(len(a.Params))
	var given uint64
	f := fields{rest: b}
	for f.next() {
		if f.num != 4 {
			continue
		}
		if err := decodeParam(a, params, f.b, &given); err != nil {
			return nil, nil, fmt.Errorf("action %s: %w", a.Alias, err)
		}
	}
	if f.err != nil {
		return nil, nil, f.err
	}
	for i := range params {
		if given&(1<<i) == 0 {
			return nil, nil, fmt.Errorf("action %s: %w: parameter %s", a.Alias, ErrMissing, a.Params[i].Name)
		}
	}
	return a, params, nil
}

func decodeParam(a *Action, params []Value, b []byte, given *uint64) error {
	var id uint32
	var value []byte
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 2:
			id = uint32(f.u)
		case 3:
			value = f.b
		}
	}
	if f.err != nil {
		return f.err
	}
	for i := range a.Params {
		p := &a.Params[i]
		if p.ID != id {
			continue
		}
		v, err := p.parse(value)
		if err == nil {
			err = p.check(v)
		}
		if err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		params[i] = v
		*given |= 1 << i
		return nil
	}
	return fmt.Errorf("%w: id %d", ErrNoSuchParam, id)
}

func counterData(b []byte) (bytes, packets int64, err error) {
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			bytes = int64(f.u)
		case 2:
			packets = int64(f.u)
		}
	}
	return bytes, packets, f.err
}

func sinceHit(b []byte) (time.Duration, error) {
	var d time.Duration
	f := fields{rest: b}
	for f.next() {
		if f.num == 1 {
			d = time.Duration(f.u)
		}
	}
	return d, f.err
}
