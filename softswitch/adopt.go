package softswitch

import (
	"fmt"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// adopt writes the forwarding state of old, counters included, to a fresh target, in the
// order of dependence. Constant entries come with the program. It fails if anything does
// not fit.
func (t *target) adopt(old *target) error {
	for id, b := range t.tables {
		if was := old.tables[id]; was != nil && was.initial && b.initial {
			b.core.Clear() // those of them that are still there come with the state
		}
	}
	direct := &p4v1.TableEntry{CounterData: &p4v1.CounterData{}, MeterConfig: &p4v1.MeterConfig{}}
	defaults := proto.CloneOf(direct)
	defaults.IsDefaultAction = true
	replication := &p4v1.PacketReplicationEngineEntry{}
	for _, step := range []struct {
		query *p4v1.Entity
		kind  p4v1.Update_Type
	}{
		{&p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: replication}}, p4v1.Update_INSERT},
		{&p4v1.Entity{Entity: &p4v1.Entity_ActionProfileMember{ActionProfileMember: &p4v1.ActionProfileMember{}}}, p4v1.Update_INSERT},
		{&p4v1.Entity{Entity: &p4v1.Entity_ActionProfileGroup{ActionProfileGroup: &p4v1.ActionProfileGroup{}}}, p4v1.Update_INSERT},
		{&p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: direct}}, p4v1.Update_INSERT},
		{&p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: defaults}}, p4v1.Update_MODIFY},
		{&p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{}}}, p4v1.Update_MODIFY},
		{&p4v1.Entity{Entity: &p4v1.Entity_MeterEntry{MeterEntry: &p4v1.MeterEntry{}}}, p4v1.Update_MODIFY},
		{&p4v1.Entity{Entity: &p4v1.Entity_RegisterEntry{RegisterEntry: &p4v1.RegisterEntry{}}}, p4v1.Update_MODIFY},
		{&p4v1.Entity{Entity: &p4v1.Entity_ValueSetEntry{ValueSetEntry: &p4v1.ValueSetEntry{}}}, p4v1.Update_MODIFY},
		{&p4v1.Entity{Entity: &p4v1.Entity_DigestEntry{DigestEntry: &p4v1.DigestEntry{}}}, p4v1.Update_INSERT},
	} {
		err := old.read(nil, step.query, func(e *p4v1.Entity) error { return t.adoptEntity(step.kind, e) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *target) adoptEntity(kind p4v1.Update_Type, e *p4v1.Entity) error {
	if entry := e.GetTableEntry(); entry != nil {
		if entry.GetIsConst() {
			return nil
		}
		b, err := t.table(entry.GetTableId())
		if err != nil {
			return err
		}
		if entry.GetIsDefaultAction() && (b.constDefault || b.profile != nil) {
			return nil
		}
		if kind == p4v1.Update_INSERT && b.holds(t, entry) { // an initial entry of the program
			kind = p4v1.Update_MODIFY
		}
	}
	if err := t.write(nil, &p4v1.Update{Type: kind, Entity: e}); err != nil {
		return fmt.Errorf("%v: %w", e, err)
	}
	return nil
}

// holds tells whether the table has an entry with this key.
func (b *boundTable) holds(t *target, e *p4v1.TableEntry) bool {
	match, err := t.decodeKey(b, e)
	return err == nil && present(b, match, e.GetPriority())
}
