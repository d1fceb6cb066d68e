package softswitch

import p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

// entryArena has the messages that entries are made of. A read is of hundreds of thousands, each of which is encoded before the next one is made: they have the same memory.
type entryArena struct {
	match        []*p4v1.FieldMatch
	exact        arena[exactMatch]
	ternary      arena[ternaryMatch]
	list         []*p4v1.Action_Param
	params       arena[p4v1.Action_Param]
	entries      arena[p4v1.TableEntry]
	actions      arena[p4v1.Action]
	tableActions arena[directAction]
	count        arena[p4v1.CounterData]
	since        arena[p4v1.TableEntry_IdleTimeout]
}

// Messages with what they refer to.
type (
	directAction struct {
		message p4v1.TableAction
		kind    p4v1.TableAction_Action
	}
	exactMatch struct {
		message p4v1.FieldMatch
		kind    p4v1.FieldMatch_Exact_
		value   p4v1.FieldMatch_Exact
	}
	ternaryMatch struct {
		message p4v1.FieldMatch
		kind    p4v1.FieldMatch_Ternary_
		value   p4v1.FieldMatch_Ternary
	}
)

// reset is called when nothing that was made is in use any more.
func (a *entryArena) reset() {
	a.match, a.list = a.match[:0], a.list[:0]
	a.exact.used, a.ternary.used, a.params.used = 0, 0, 0
	a.entries.used, a.actions.used, a.tableActions.used, a.count.used, a.since.used = 0, 0, 0, 0, 0
}

// entry is a TableEntry without fields.
func (a *entryArena) entry() *p4v1.TableEntry {
	x := a.entries.next()
	x.Reset()
	return x
}

func (a *entryArena) action(id uint32, params []*p4v1.Action_Param) *p4v1.Action {
	x := a.actions.next()
	x.ActionId, x.Params = id, params
	return x
}

func (a *entryArena) tableAction(of *p4v1.Action) *p4v1.TableAction {
	x := a.tableActions.next()
	x.kind.Action, x.message.Type = of, &x.kind
	return &x.message
}

func (a *entryArena) exactField(id uint32, value []byte) *p4v1.FieldMatch {
	x := a.exact.next()
	x.value.Value, x.kind.Exact = value, &x.value
	x.message.FieldId, x.message.FieldMatchType = id, &x.kind
	return &x.message
}

func (a *entryArena) ternaryField(id uint32, value, mask []byte) *p4v1.FieldMatch {
	x := a.ternary.next()
	x.value.Value, x.value.Mask, x.kind.Ternary = value, mask, &x.value
	x.message.FieldId, x.message.FieldMatchType = id, &x.kind
	return &x.message
}

func (a *entryArena) param(id uint32, value []byte) *p4v1.Action_Param {
	x := a.params.next()
	x.ParamId, x.Value = id, value
	return x
}

// arena gives out values of one type, which have whatever they had before a reset.
type arena[T any] struct {
	all  []*T
	used int
}

func (a *arena[T]) next() *T {
	if a.used == len(a.all) {
		a.all = append(a.all, new(T))
	}
	a.used++
	return a.all[a.used-1]
}
