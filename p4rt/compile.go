package p4rt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
)

// maxFields bounds key fields and parameters: the decoder keeps which it saw in one word.
const maxFields = 64

// compiler builds a schema.
type compiler struct {
	info    *p4config.P4Info
	schema  *Schema
	actions map[uint32]*Action
}

// addName enters v under its full name and its alias.
func addName[T comparable](names map[string]T, kind, name, alias string, v T) error {
	var none T
	for _, n := range [2]string{name, alias} {
		if n == "" {
			continue
		}
		if have := names[n]; have != none && have != v {
			return fmt.Errorf("%s %q: %w", kind, n, ErrAmbiguous)
		}
		names[n] = v
	}
	return nil
}

// described is what match fields, parameters and metadata have in common.
type described interface {
	GetId() uint32
	GetName() string
	GetBitwidth() int32
	GetAnnotations() []string
	GetTypeName() *p4config.P4NamedType
}

// field compiles a field, refusing widths that a Value can't hold.
func (c *compiler) field(owner string, q described) (Field, error) {
	f := Field{ID: q.GetId(), Name: q.GetName(), Width: int(q.GetBitwidth()), RefersTo: references(q.GetAnnotations())}
	if name := q.GetTypeName().GetName(); name != "" {
		t := c.info.GetTypeInfo().GetNewTypes()[name].GetTranslatedType()
		f.Translation = t.GetUri()
		if t.GetSdnString() != nil {
			f.names, f.Width = c.schema.names, MaxWidth
		}
		if w := t.GetSdnBitwidth(); w > 0 {
			f.Width = int(w)
		}
	}
	if f.Width <= 0 || f.Width > MaxWidth {
		return f, fmt.Errorf("%s: field %q: %w: %d bits (1 to %d are)", owner, f.Name, ErrUnsupported, f.Width, MaxWidth)
	}
	return f, nil
}

// references reads annotations of the form @refers_to(table, field).
func references(annotations []string) []Reference {
	var out []Reference
	for _, a := range annotations {
		body, ok := strings.CutPrefix(strings.TrimSpace(a), "@refers_to(")
		if !ok {
			continue
		}
		table, field, ok := strings.Cut(strings.TrimSuffix(body, ")"), ",")
		if ok {
			unquote := func(s string) string { return strings.Trim(strings.TrimSpace(s), `"`) }
			out = append(out, Reference{unquote(table), unquote(field)})
		}
	}
	return out
}

func (c *compiler) compileActions() error {
	c.actions = make(map[uint32]*Action, len(c.info.GetActions()))
	for _, m := range c.info.GetActions() {
		p := m.GetPreamble()
		a := &Action{ID: p.GetId(), Name: p.GetName(), Alias: p.GetAlias()}
		if a.Alias == "" {
			a.Alias = a.Name
		}
		for _, q := range m.GetParams() {
			f, err := c.field("action "+a.Name, q)
			if err != nil && a.err == nil {
				a.err = err
			}
			a.Params = append(a.Params, f)
		}
		if len(a.Params) > maxFields {
			a.err = fmt.Errorf("action %s: %w: more than %d parameters", a.Name, ErrUnsupported, maxFields)
		}
		c.actions[a.ID] = a
	}
	return nil
}

func (c *compiler) compileHeaders() error {
	for _, m := range c.info.GetControllerPacketMetadata() {
		var h Header
		for _, q := range m.GetMetadata() {
			f, err := c.field("packet header "+m.GetPreamble().GetName(), q)
			if err != nil {
				return err
			}
			h.Fields = append(h.Fields, f)
		}
		switch m.GetPreamble().GetName() {
		case "packet_in":
			c.schema.packetIn = h
		case "packet_out":
			c.schema.packetOut = h
		}
	}
	return nil
}

func (c *compiler) compileTables() error {
	s := c.schema
	for _, m := range c.info.GetTables() {
		t, err := c.table(m)
		if err != nil {
			return err
		}
		if s.tableByID[t.ID] != nil {
			return fmt.Errorf("table %s: %w: id %d", t.Name, ErrAmbiguous, t.ID)
		}
		if err := addName(s.tableBy, "table", t.Name, t.Alias, t); err != nil {
			return err
		}
		s.tableByID[t.ID] = t
		s.tables = append(s.tables, t)
	}
	slices.SortFunc(s.tables, func(a, b *Table) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

func (c *compiler) table(m *p4config.Table) (*Table, error) {
	p := m.GetPreamble()
	t := &Table{
		ID: p.GetId(), Name: p.GetName(), Alias: p.GetAlias(), Size: m.GetSize(),
		Const:         m.GetIsConstTable(),
		SupportsIdle:  m.GetIdleTimeoutBehavior() == p4config.Table_NOTIFY_CONTROL,
		ActionProfile: m.GetImplementationId(),
		actions:       map[uint32]*Action{},
		byName:        map[string]*Action{},
	}
	if t.Alias == "" {
		t.Alias = t.Name
	}
	for _, q := range m.GetMatchFields() {
		f, err := c.match(t.Name, q)
		if err != nil && t.Err == nil {
			t.Err = err
		}
		t.NeedsPriority = t.NeedsPriority || f.Kind >= MatchTernary
		t.Keys = append(t.Keys, f)
	}
	if len(t.Keys) > maxFields && t.Err == nil {
		t.Err = fmt.Errorf("table %s: %w: more than %d match fields", t.Name, ErrUnsupported, maxFields)
	}
	for _, r := range m.GetActionRefs() {
		a := c.actions[r.GetId()]
		if a == nil {
			return nil, fmt.Errorf("table %s: %w: id %d", t.Name, ErrNoSuchAction, r.GetId())
		}
		t.actions[a.ID] = a
		if r.GetScope() == p4config.ActionRef_DEFAULT_ONLY {
			continue
		}
		if err := addName(t.byName, "table "+t.Name+": action", a.Name, a.Alias, a); err != nil {
			return nil, err
		}
	}
	for _, id := range m.GetDirectResourceIds() {
		switch p4config.P4Ids_Prefix(id >> 24) {
		case p4config.P4Ids_DIRECT_COUNTER:
			t.DirectCounter = true
		case p4config.P4Ids_DIRECT_METER:
			t.DirectMeter = true
		}
	}
	return t, c.implement(t)
}

// implement ties a table to its action profile.
func (c *compiler) implement(t *Table) error {
	if t.ActionProfile == 0 {
		return nil
	}
	if t.Profile = c.schema.profiles.byID[t.ActionProfile]; t.Profile == nil {
		return fmt.Errorf("table %s: %w: id %d", t.Name, ErrNoSuchProfile, t.ActionProfile)
	}
	if t.Profile.actions == nil { // tables that share a profile have the same actions (Spec 9.2.1)
		t.Profile.actions, t.Profile.byName = t.actions, t.byName
	}
	return nil
}

func (c *compiler) match(table string, q *p4config.MatchField) (Field, error) {
	f, err := c.field("table "+table, q)
	if err != nil {
		return f, err
	}
	switch q.GetMatchType() {
	case p4config.MatchField_EXACT:
		f.Kind = MatchExact
	case p4config.MatchField_LPM:
		f.Kind = MatchLPM
	case p4config.MatchField_TERNARY:
		f.Kind = MatchTernary
	case p4config.MatchField_RANGE:
		f.Kind = MatchRange
	case p4config.MatchField_OPTIONAL:
		f.Kind = MatchOptional
	default:
		return f, fmt.Errorf("table %s: field %q: %w: match type %s%s", table, f.Name, ErrUnsupported,
			q.GetMatchType(), q.GetOtherMatchType())
	}
	if f.names != nil && f.Kind != MatchExact && f.Kind != MatchOptional {
		return f, fmt.Errorf("table %s: field %q: %w: %s match of a name", table, f.Name, ErrUnsupported, f.Kind)
	}
	return f, nil
}

// level ranks tables by their references, so that what is referred to has a lower level. Tables
// that refer to each other in a circle share the highest level reached.
func (c *compiler) level() error {
	for range c.schema.tables { // a chain is no longer than there are tables
		changed := false
		for _, t := range c.schema.tables {
			if n := t.levelFrom(c.schema); n > t.level && n <= len(c.schema.tables) {
				t.level, changed = n, true
			}
		}
		if !changed {
			break
		}
	}
	return nil
}

// levelFrom is one more than the highest level of a table that t refers to.
func (t *Table) levelFrom(s *Schema) int {
	level := 0
	see := func(fields []Field) {
		for i := range fields {
			for _, r := range fields[i].RefersTo {
				if o := s.tableBy[r.Table]; o != nil && o != t {
					level = max(level, o.level+1)
				}
			}
		}
	}
	see(t.Keys)
	for _, a := range t.actions {
		see(a.Params)
	}
	return level
}
