package p4rt

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
)

// MatchKind is how a match field compares.
type MatchKind uint8

// Match kinds of the P4Runtime specification.
const (
	MatchExact MatchKind = iota + 1
	MatchLPM
	MatchTernary
	MatchRange
	MatchOptional
)

func (k MatchKind) String() string {
	return [...]string{"invalid", "exact", "lpm", "ternary", "range", "optional"}[k]
}

// Field is a match field, an action parameter or a packet metadata field.
type Field struct {
	ID    uint32
	Name  string
	Width int       // bits
	Kind  MatchKind // match fields only
}

// check refuses a value that is wider than the field.
func (f *Field) check(v Value) error {
	if n := v.BitLen(); n > f.Width {
		return fmt.Errorf("%w: %s is %d bits wide, %s needs %d", ErrOverflow, f.Name, f.Width, v, n)
	}
	return nil
}

// Action is a compiled action. Actions are compared by pointer within one [Schema].
type Action struct {
	ID     uint32
	Name   string
	Alias  string
	Params []Field // in the order of the p4info; Entry.Params goes by it
}

// Param returns the position of a parameter in Entry.Params.
func (a *Action) Param(name string) (int, error) {
	if i := slices.IndexFunc(a.Params, func(f Field) bool { return f.Name == name }); i >= 0 {
		return i, nil
	}
	return -1, fmt.Errorf("action %s: %w %q (has %s)", a.Alias, ErrNoSuchParam, name, fieldNames(a.Params))
}

// Table is a compiled table. Tables are compared by pointer within one [Schema].
type Table struct {
	ID    uint32
	Name  string
	Alias string
	Keys  []Field // match fields in the order of the p4info; Entry.Match goes by it
	Size  int64   // entries that the target promises; 0 unknown

	Const         bool // entries are fixed by the program: never written, never reconciled
	NeedsPriority bool // some field is ternary, range or optional (Spec 9.1)
	SupportsIdle  bool
	DirectCounter bool
	DirectMeter   bool
	// ActionProfile is the id of the table's action profile or selector; 0 for a direct table.
	ActionProfile uint32

	actions map[uint32]*Action
	byName  map[string]*Action
}

// Key returns the position of a match field in Entry.Match.
func (t *Table) Key(name string) (int, error) {
	if i := slices.IndexFunc(t.Keys, func(f Field) bool { return f.Name == name }); i >= 0 {
		return i, nil
	}
	return -1, fmt.Errorf("table %s: %w %q (has %s)", t.Alias, ErrNoSuchField, name, fieldNames(t.Keys))
}

// Action returns an action that entries of the table may have, by full name or alias.
func (t *Table) Action(name string) (*Action, error) {
	if a := t.byName[name]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("table %s: %w %q (has %s)", t.Alias, ErrNoSuchAction, name,
		strings.Join(slices.Sorted(maps.Keys(t.byName)), ", "))
}

func (t *Table) String() string { return t.Alias }

// CounterArray is a compiled indirect counter.
type CounterArray struct {
	ID    uint32
	Name  string
	Alias string
	Size  int64
}

// Header is the layout of packet-in or packet-out metadata.
type Header struct{ Fields []Field }

// Field returns the position of a metadata field.
func (h *Header) Field(name string) (int, error) {
	if i := slices.IndexFunc(h.Fields, func(f Field) bool { return f.Name == name }); i >= 0 {
		return i, nil
	}
	return -1, fmt.Errorf("packet header: %w %q (has %s)", ErrNoSuchMetadata, name, fieldNames(h.Fields))
}

// Schema is a compiled p4info. It is immutable and safe for concurrent use.
type Schema struct {
	info      *p4config.P4Info
	tables    []*Table // by id
	tableByID map[uint32]*Table
	tableBy   map[string]*Table
	counters  map[string]*CounterArray
	byCounter map[uint32]*CounterArray
	packetIn  Header
	packetOut Header
}

// NewSchema compiles a p4info. It fails on what it could not address without doubt:
// names used twice, unknown references, fields wider than [MaxWidth] or without a width.
func NewSchema(info *p4config.P4Info) (*Schema, error) {
	s := &Schema{
		info:      info,
		tableByID: map[uint32]*Table{},
		tableBy:   map[string]*Table{},
		counters:  map[string]*CounterArray{},
		byCounter: map[uint32]*CounterArray{},
	}
	actions, err := compileActions(info.GetActions())
	if err != nil {
		return nil, err
	}
	c := compiler{info: info, actions: actions}
	for _, m := range info.GetTables() {
		t, err := c.table(m)
		if err != nil {
			return nil, err
		}
		if s.tableByID[t.ID] != nil {
			return nil, fmt.Errorf("table %s: %w: id %d", t.Name, ErrAmbiguous, t.ID)
		}
		if err := addName(s.tableBy, "table", t.Name, t.Alias, t); err != nil {
			return nil, err
		}
		s.tableByID[t.ID] = t
		s.tables = append(s.tables, t)
	}
	slices.SortFunc(s.tables, func(a, b *Table) int { return int(int64(a.ID) - int64(b.ID)) })
	for _, m := range info.GetCounters() {
		p := m.GetPreamble()
		ctr := &CounterArray{ID: p.GetId(), Name: p.GetName(), Alias: p.GetAlias(), Size: m.GetSize()}
		if err := addName(s.counters, "counter", ctr.Name, ctr.Alias, ctr); err != nil {
			return nil, err
		}
		s.byCounter[ctr.ID] = ctr
	}
	for _, m := range info.GetControllerPacketMetadata() {
		h, err := compileHeader(m)
		if err != nil {
			return nil, err
		}
		switch m.GetPreamble().GetName() {
		case "packet_in":
			s.packetIn = h
		case "packet_out":
			s.packetOut = h
		}
	}
	return s, nil
}

// Info is the p4info that the schema was compiled from. It must not be changed.
func (s *Schema) Info() *p4config.P4Info { return s.info }

// Tables are all tables, by id.
func (s *Schema) Tables() []*Table { return s.tables }

// Table returns a table by full name or alias.
func (s *Schema) Table(name string) (*Table, error) {
	if t := s.tableBy[name]; t != nil {
		return t, nil
	}
	names := make([]string, len(s.tables))
	for i, t := range s.tables {
		names[i] = t.Alias
	}
	return nil, fmt.Errorf("%w %q (has %s)", ErrNoSuchTable, name, strings.Join(names, ", "))
}

// Counter returns an indirect counter by full name or alias.
func (s *Schema) Counter(name string) (*CounterArray, error) {
	if c := s.counters[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("%w %q (has %s)", ErrNoSuchCounter, name, strings.Join(slices.Sorted(maps.Keys(s.counters)), ", "))
}

// PacketIn is the layout of packet-in metadata; it has no fields if the program has none.
func (s *Schema) PacketIn() *Header { return &s.packetIn }

// PacketOut is the layout of packet-out metadata.
func (s *Schema) PacketOut() *Header { return &s.packetOut }

func fieldNames(fs []Field) string {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}
