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
	// Translation is the URI of the field's type if the target translates it; Width is then the
	// controller's own. Types translated to strings have values made by [Schema.Name].
	Translation string
	// RefersTo are the match fields that hold the same value first: @refers_to in the program.
	RefersTo []Reference

	names *names // not nil: values are strings
}

// Reference names a match field of a table.
type Reference struct{ Table, Field string }

// check refuses a value that is wider than the field.
func (f *Field) check(v Value) error {
	if f.names != nil {
		if text, ok := f.names.of(v); !ok || text == "" {
			return fmt.Errorf("%w: %s is a name, %s is none: see Schema.Name", ErrMissing, f.Name, v)
		}
		return nil
	}
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

	err error // why it can't be used
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
	Profile       *ActionProfile // the same, compiled; nil for a direct table
	// Err says why entries of the table can't be expressed (a field wider than [MaxWidth], a match
	// kind of another architecture); nil for all others. Such a table is left alone.
	Err error

	actions map[uint32]*Action
	byName  map[string]*Action
	level   int // in the order of references: 0 refers to no table
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
		return a, a.err
	}
	return nil, fmt.Errorf("table %s: %w %q (has %s)", t.Alias, ErrNoSuchAction, name,
		strings.Join(slices.Sorted(maps.Keys(t.byName)), ", "))
}

func (t *Table) String() string { return t.Alias }

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
	packetIn  Header
	packetOut Header
	names     *names

	counters  registry[*CounterArray]
	meters    registry[*MeterArray]
	registers registry[*RegisterArray]
	profiles  registry[*ActionProfile]
	valueSets registry[*ValueSet]
	digests   registry[*Digest]
}

// NewSchema compiles a p4info. It fails on what it could not address without doubt:
// names used twice and unknown references. A table that can't be expressed has its Err set.
func NewSchema(info *p4config.P4Info) (*Schema, error) {
	s := &Schema{info: info, tableByID: map[uint32]*Table{}, tableBy: map[string]*Table{}, names: newNames()}
	c := compiler{info: info, schema: s}
	for _, step := range []func() error{c.compileActions, c.compileProfiles, c.compileTables, c.compileArrays, c.compileHeaders, c.level} {
		if err := step(); err != nil {
			return nil, err
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
		return t, t.Err
	}
	names := make([]string, len(s.tables))
	for i, t := range s.tables {
		names[i] = t.Alias
	}
	return nil, fmt.Errorf("%w %q (has %s)", ErrNoSuchTable, name, strings.Join(names, ", "))
}

// Counter returns an indirect counter by full name or alias.
func (s *Schema) Counter(name string) (*CounterArray, error) { return s.counters.find(name) }

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
