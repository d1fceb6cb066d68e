package softswitch

import (
	"bytes"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// readTables answers a query for table entries; fields at their default are wildcards
// (P4Runtime spec, "TableEntry, Wildcard Reads").
func (t *target) readTables(q *p4v1.TableEntry, yield func(*p4v1.Entity) error) error {
	var of p4v1.Entity_TableEntry
	entity := &p4v1.Entity{Entity: &of}
	put := func(e *p4v1.TableEntry) error {
		of.TableEntry = e
		return yield(entity)
	}
	if q.GetMeterCounterData() != nil {
		return faultf(codes.Unimplemented, "this target has no counters per meter colour")
	}
	if q.GetTableId() != 0 {
		b, err := t.table(q.GetTableId())
		if err != nil {
			return err
		}
		return t.readTable(b, q, put)
	}
	if len(q.GetMatch()) > 0 || q.GetAction() != nil || q.GetPriority() != 0 || q.GetControllerMetadata() != 0 || len(q.GetMetadata()) > 0 {
		return invalidf("a query of all tables cannot filter entries")
	}
	for b := range t.allTables() {
		if err := t.readTable(b, q, put); err != nil {
			return err
		}
	}
	return nil
}

// readTable answers a query about one table.
func (t *target) readTable(b *boundTable, q *p4v1.TableEntry, put func(*p4v1.TableEntry) error) error {
	if q.GetTableId() != 0 && q.GetTimeSinceLastHit() != nil && !b.idleTimeout {
		return invalidf("table %s has no idle timeouts", b.name)
	}
	if q.GetIsDefaultAction() {
		if len(q.GetMatch()) > 0 || q.GetPriority() != 0 {
			return invalidf("the default entry has neither match nor priority")
		}
		e := t.encodeEntry(b, b.core.Default(), q, new(entryArena))
		if !admits(q, e) {
			return nil
		}
		return put(e)
	}
	if err := b.checkFilter(q); err != nil {
		return err
	}
	if len(q.GetMatch()) == 0 {
		return t.scanTable(b, q, nil, put)
	}
	match, err := t.decodeMatch(b.fields, q.GetMatch())
	if err != nil {
		return err
	}
	if b.needPriority && q.GetPriority() == 0 {
		return t.scanTable(b, q, match, put)
	}
	if state, ok := b.core.Read(match, q.GetPriority()); ok {
		if e := t.encodeEntry(b, state, q, new(entryArena)); admits(q, e) {
			return put(e)
		}
	}
	return nil
}

// checkFilter refuses filters that mean nothing.
func (b *boundTable) checkFilter(q *p4v1.TableEntry) error {
	if q.GetPriority() != 0 && (!b.needPriority || q.GetPriority() < 0) {
		return invalidf("table %s: priority %d", b.name, q.GetPriority())
	}
	if q.GetAction() == nil {
		return nil
	}
	action, ok := q.GetAction().GetType().(*p4v1.TableAction_Action)
	if !ok || b.profile != nil {
		return invalidf("table %s: entries can be filtered by the id of a direct action only", b.name)
	}
	if _, ok := findAction(b.actions, action.Action.GetActionId(), ""); !ok || action.Action.GetActionId() == 0 {
		return unknownID("action", action.Action.GetActionId())
	}
	return nil
}

// scanTable yields the entries that pass the filters, each valid until the next one; match may be nil.
func (t *target) scanTable(b *boundTable, q *p4v1.TableEntry, match []pipeline.FieldMatch, put func(*p4v1.TableEntry) error) error {
	var arena entryArena
	for state := range b.core.All() {
		if q.GetPriority() != 0 && state.Priority != q.GetPriority() ||
			match != nil && !sameMatch(b.fields, match, state.Match) {
			continue
		}
		arena.reset()
		e := t.encodeEntry(b, state, q, &arena)
		if !admits(q, e) {
			continue
		}
		if err := put(e); err != nil {
			return err
		}
	}
	return nil
}

// admits applies the filters by action and metadata.
func admits(q, e *p4v1.TableEntry) bool {
	if want := q.GetAction().GetAction().GetActionId(); want != 0 && e.GetAction().GetAction().GetActionId() != want {
		return false
	}
	if want := q.GetControllerMetadata(); want != 0 && e.GetControllerMetadata() != want {
		return false
	}
	return len(q.GetMetadata()) == 0 || bytes.Equal(q.GetMetadata(), e.GetMetadata())
}

// encodeEntry is an entry as a reader gets it: direct resources and the time since the
// last hit only if the query has them set.
func (t *target) encodeEntry(b *boundTable, state pipeline.EntryState, q *p4v1.TableEntry, in *entryArena) *p4v1.TableEntry {
	e := in.entry()
	e.TableId, e.Priority, e.IsDefaultAction, e.IdleTimeoutNs = b.id, state.Priority, state.Default, int64(state.IdleTimeout)
	if state.Default {
		e.ControllerMetadata, e.Metadata = b.defaultCookie, b.defaultMetadata
		e.IsConst = b.constDefault
	} else {
		e.Match = in.encodeMatch(b.fields, state.Match)
		e.ControllerMetadata, e.Metadata = unpackMetadata(state.Metadata)
		e.IsConst = b.isConst
	}
	e.Action = t.encodeTableAction(b, state, in)
	if q.GetCounterData() != nil && b.counter {
		e.CounterData = in.count.next()
		e.CounterData.PacketCount, e.CounterData.ByteCount = int64(state.Count.Packets), int64(state.Count.Bytes)
	}
	if q.GetMeterConfig() != nil && b.meter != nil {
		e.MeterConfig = meterProto(state.Meter)
	}
	if q.GetTimeSinceLastHit() != nil && b.idleTimeout && !state.Default {
		elapsed := max(0, t.server.options.Now().Sub(state.LastHit))
		e.TimeSinceLastHit = in.since.next()
		e.TimeSinceLastHit.ElapsedNs = int64(elapsed)
	}
	return e
}

func (t *target) encodeTableAction(b *boundTable, state pipeline.EntryState, in *entryArena) *p4v1.TableAction {
	switch {
	case state.Group != 0:
		if x := t.profiles[b.profile.id].oneShots[state.Group]; x != nil {
			return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileActionSet{ActionProfileActionSet: x.set}}
		}
		return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileGroupId{ActionProfileGroupId: state.Group}}
	case state.Member != 0:
		return &p4v1.TableAction{Type: &p4v1.TableAction_ActionProfileMemberId{ActionProfileMemberId: state.Member}}
	}
	if a := in.encodeAction(b.actions, state.Action, state.Params); a != nil {
		return in.tableAction(a)
	}
	return nil
}

// readDirectCounters answers a query for direct counters: of one entry, or of all
// entries that the table entry in it selects.
func (t *target) readDirectCounters(q *p4v1.DirectCounterEntry, yield func(*p4v1.Entity) error) error {
	query, err := t.directQuery(q.GetTableEntry(), func(b *boundTable) bool { return b.counter }, "counter")
	if err != nil {
		return err
	}
	query.CounterData = &p4v1.CounterData{}
	return t.readDirect(query, func(b *boundTable) bool { return b.counter }, func(e *p4v1.TableEntry) error {
		key, data := directKey(e), e.GetCounterData()
		return yield(&p4v1.Entity{Entity: &p4v1.Entity_DirectCounterEntry{DirectCounterEntry: &p4v1.DirectCounterEntry{TableEntry: key, Data: data}}})
	})
}

// readDirectMeters answers a query for direct meters.
func (t *target) readDirectMeters(q *p4v1.DirectMeterEntry, yield func(*p4v1.Entity) error) error {
	if q.GetCounterData() != nil {
		return faultf(codes.Unimplemented, "this target has no counters per meter colour")
	}
	query, err := t.directQuery(q.GetTableEntry(), func(b *boundTable) bool { return b.meter != nil }, "meter")
	if err != nil {
		return err
	}
	query.MeterConfig = &p4v1.MeterConfig{}
	return t.readDirect(query, func(b *boundTable) bool { return b.meter != nil }, func(e *p4v1.TableEntry) error {
		key, config := directKey(e), e.GetMeterConfig()
		return yield(&p4v1.Entity{Entity: &p4v1.Entity_DirectMeterEntry{DirectMeterEntry: &p4v1.DirectMeterEntry{TableEntry: key, Config: config}}})
	})
}

// directKey is what identifies the entry that a direct resource belongs to.
func directKey(e *p4v1.TableEntry) *p4v1.TableEntry {
	return &p4v1.TableEntry{TableId: e.GetTableId(), Match: e.GetMatch(), Priority: e.GetPriority(), IsDefaultAction: e.GetIsDefaultAction()}
}

// directQuery is the table query of a direct resource; the entry it names must exist.
func (t *target) directQuery(e *p4v1.TableEntry, has func(*boundTable) bool, what string) (*p4v1.TableEntry, error) {
	q := directKey(e)
	if q.GetTableId() == 0 {
		return q, nil
	}
	b, err := t.table(q.GetTableId())
	if err != nil {
		return nil, err
	}
	if !has(b) {
		return nil, invalidf("table %s has no direct %s", b.name, what)
	}
	if len(q.GetMatch()) == 0 {
		return q, nil
	}
	match, err := t.decodeKey(b, q)
	if err != nil {
		return nil, err
	}
	if !present(b, match, q.GetPriority()) {
		return nil, faultf(codes.NotFound, "table %s has no such entry", b.name)
	}
	return q, nil
}

// readDirect reads the entries of the tables that have the resource.
func (t *target) readDirect(q *p4v1.TableEntry, has func(*boundTable) bool, put func(*p4v1.TableEntry) error) error {
	if q.GetTableId() != 0 {
		return t.readTable(t.tables[q.GetTableId()], q, put)
	}
	for b := range t.allTables() {
		if has(b) {
			if err := t.readTable(b, q, put); err != nil {
				return err
			}
		}
	}
	return nil
}
