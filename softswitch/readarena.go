package softswitch

import p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

// entryArena has the messages that entries are made of. A read is of hundreds of thousands, each of which is encoded before the next one is made: they have the same memory.
type entryArena struct {
	match   []*p4v1.FieldMatch
	exact   arena[exactMatch]
	ternary arena[ternaryMatch]
	list    []*p4v1.Action_Param
	params  arena[p4v1.Action_Param]
	count   arena[p4v1.CounterData]
	since   arena[p4v1.TableEntry_IdleTimeout]
}

// exactMatch and ternaryMatch are messages with what they refer to.
type (
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
	a.count.used, a.since.used = 0, 0
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
