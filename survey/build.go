package survey

import (
	"encoding/binary"
	"fmt"
	"time"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4 "github.com/p4lang/p4runtime/go/p4/v1"
)

// tableNamed finds a table of the program.
func (s *Survey) tableNamed(name string) *p4config.Table {
	for _, t := range s.program.Info.GetTables() {
		if t.GetPreamble().GetName() == name {
			return t
		}
	}
	return nil
}

// entry builds an entry that no packet meets: keys of all ones but for its number, in the last of them that are wide enough, with the action of the fewest parameters, all 0.
func (s *Survey) entry(t *p4config.Table, number uint32) (*p4.TableEntry, error) {
	e := &p4.TableEntry{TableId: t.GetPreamble().GetId()}
	numbered := false
	for i := len(t.GetMatchFields()) - 1; i >= 0; i-- {
		f := t.GetMatchFields()[i]
		if f.GetMatchType() != p4config.MatchField_EXACT {
			return nil, fmt.Errorf("table %s: key %s is not exact", t.GetPreamble().GetName(), f.GetName())
		}
		v := ones(int(f.GetBitwidth()))
		if !numbered && f.GetBitwidth() >= 8 {
			numbered = number < 1<<min(f.GetBitwidth(), 31)
			if numbered {
				v = sub(v, number)
			}
		}
		e.Match = append(e.Match, &p4.FieldMatch{FieldId: f.GetId(), FieldMatchType: &p4.FieldMatch_Exact_{Exact: &p4.FieldMatch_Exact{Value: canonical(v)}}})
	}
	if !numbered {
		return nil, fmt.Errorf("table %s: no key is wide enough for %d entries", t.GetPreamble().GetName(), number)
	}
	action := s.leastAction(t)
	if action == nil {
		return nil, fmt.Errorf("table %s has no action", t.GetPreamble().GetName())
	}
	a := &p4.Action{ActionId: action.GetPreamble().GetId()}
	for _, p := range action.GetParams() {
		a.Params = append(a.Params, &p4.Action_Param{ParamId: p.GetId(), Value: []byte{0}})
	}
	e.Action = &p4.TableAction{Type: &p4.TableAction_Action{Action: a}}
	return e, nil
}

// leastAction is the action of a table that has the fewest parameters.
func (s *Survey) leastAction(t *p4config.Table) (least *p4config.Action) {
	allowed := map[uint32]bool{}
	for _, r := range t.GetActionRefs() {
		if r.GetScope() != p4config.ActionRef_DEFAULT_ONLY {
			allowed[r.GetId()] = true
		}
	}
	for _, a := range s.program.Info.GetActions() {
		if allowed[a.GetPreamble().GetId()] && (least == nil || len(a.GetParams()) < len(least.GetParams())) {
			least = a
		}
	}
	return least
}

// ones is a value of so many bits, all set.
func ones(bits int) []byte {
	v := make([]byte, (bits+7)/8)
	for i := range v {
		v[i] = 0xff
	}
	if rest := bits % 8; rest != 0 {
		v[0] = 1<<rest - 1
	}
	return v
}

// sub subtracts a number from a value of ones that is larger.
func sub(v []byte, number uint32) []byte {
	wide := make([]byte, max(4, len(v)))
	copy(wide[len(wide)-len(v):], v)
	low := wide[len(wide)-4:]
	binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)-number)
	return wide[len(wide)-len(v):]
}

// canonical is a value without leading zeros (P4Runtime Specification 8.4).
func canonical(v []byte) []byte {
	for len(v) > 1 && v[0] == 0 {
		v = v[1:]
	}
	return v
}

func update(kind p4.Update_Type, e *p4.TableEntry) *p4.Update {
	return &p4.Update{Type: kind, Entity: &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: e}}}
}

// idle has an entry told idle after a time.
func idle(e *p4.TableEntry, after time.Duration) *p4.TableEntry {
	e.IdleTimeoutNs = after.Nanoseconds()
	return e
}
