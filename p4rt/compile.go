package p4rt

import (
	"fmt"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
)

// maxFields bounds key fields and parameters: the decoder keeps which it saw in one word.
const maxFields = 64

// compiler holds what tables refer to.
type compiler struct {
	info    *p4config.P4Info
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

// compileField refuses widths that a Value can't hold. Translated string types have width 0.
func compileField(owner string, id uint32, name string, width int32) (Field, error) {
	if width <= 0 || width > MaxWidth {
		return Field{}, fmt.Errorf("%s: field %q: %w: %d bits (1 to %d are)", owner, name, ErrUnsupported, width, MaxWidth)
	}
	return Field{ID: id, Name: name, Width: int(width)}, nil
}

func compileActions(in []*p4config.Action) (map[uint32]*Action, error) {
	actions := make(map[uint32]*Action, len(in))
	for _, m := range in {
		p := m.GetPreamble()
		a := &Action{ID: p.GetId(), Name: p.GetName(), Alias: p.GetAlias()}
		if a.Alias == "" {
			a.Alias = a.Name
		}
		for _, q := range m.GetParams() {
			f, err := compileField("action "+a.Name, q.GetId(), q.GetName(), q.GetBitwidth())
			if err != nil {
				return nil, err
			}
			a.Params = append(a.Params, f)
		}
		if len(a.Params) > maxFields {
			return nil, fmt.Errorf("action %s: %w: more than %d parameters", a.Name, ErrUnsupported, maxFields)
		}
		actions[a.ID] = a
	}
	return actions, nil
}

func compileHeader(m *p4config.ControllerPacketMetadata) (Header, error) {
	var h Header
	for _, q := range m.GetMetadata() {
		f, err := compileField("packet header "+m.GetPreamble().GetName(), q.GetId(), q.GetName(), q.GetBitwidth())
		if err != nil {
			return Header{}, err
		}
		h.Fields = append(h.Fields, f)
	}
	return h, nil
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
		f, err := compileMatch(t.Name, q)
		if err != nil {
			return nil, err
		}
		t.NeedsPriority = t.NeedsPriority || f.Kind >= MatchTernary
		t.Keys = append(t.Keys, f)
	}
	if len(t.Keys) > maxFields {
		return nil, fmt.Errorf("table %s: %w: more than %d match fields", t.Name, ErrUnsupported, maxFields)
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
	return t, nil
}

func compileMatch(table string, q *p4config.MatchField) (Field, error) {
	f, err := compileField("table "+table, q.GetId(), q.GetName(), q.GetBitwidth())
	if err != nil {
		return Field{}, err
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
		return Field{}, fmt.Errorf("table %s: field %q: %w: match type %s%s", table, f.Name, ErrUnsupported,
			q.GetMatchType(), q.GetOtherMatchType())
	}
	return f, nil
}
