package softswitch

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// readMembers answers a query for action profile members.
func (t *target) readMembers(q *p4v1.ActionProfileMember, yield func(*p4v1.Entity) error) error {
	list, err := t.profilesOf(q.GetActionProfileId())
	if err != nil {
		return err
	}
	put := func(p *boundProfile, m pipeline.Member) error {
		return yield(&p4v1.Entity{Entity: &p4v1.Entity_ActionProfileMember{ActionProfileMember: &p4v1.ActionProfileMember{
			ActionProfileId: p.id, MemberId: m.ID, Action: new(entryArena).encodeAction(p.actions, m.Action, m.Params)}}})
	}
	for _, p := range list {
		if id := q.GetMemberId(); id != 0 {
			if m, ok := p.core.Member(id); ok && id < firstHiddenID {
				if err := put(p, m); err != nil {
					return err
				}
			}
			continue
		}
		for m := range p.core.Members() {
			if m.ID >= firstHiddenID {
				continue
			}
			if err := put(p, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// readGroups answers a query for action profile groups.
func (t *target) readGroups(q *p4v1.ActionProfileGroup, yield func(*p4v1.Entity) error) error {
	list, err := t.profilesOf(q.GetActionProfileId())
	if err != nil {
		return err
	}
	for _, p := range list {
		for _, id := range sortedKeys(p.groups) {
			if q.GetGroupId() != 0 && q.GetGroupId() != id {
				continue
			}
			if err := yield(&p4v1.Entity{Entity: &p4v1.Entity_ActionProfileGroup{ActionProfileGroup: p.groups[id]}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// profilesOf is one profile, or all of them if id is zero.
func (t *target) profilesOf(id uint32) ([]*boundProfile, error) {
	if id != 0 {
		p, err := t.profile(id)
		return []*boundProfile{p}, err
	}
	var out []*boundProfile
	for _, id := range sortedKeys(t.profiles) {
		out = append(out, t.profiles[id])
	}
	return out, nil
}

// idsOf is one id, or all keys of m if id is zero.
func idsOf[V any](m map[uint32]V, id uint32) []uint32 {
	if id != 0 {
		return []uint32{id}
	}
	return sortedKeys(m)
}

func index(i int) *p4v1.Index { return &p4v1.Index{Index: int64(i)} }

// readCounters answers a query for indirect counters.
func (t *target) readCounters(q *p4v1.CounterEntry, yield func(*p4v1.Entity) error) error {
	for _, id := range idsOf(t.schema.counters, q.GetCounterId()) {
		_, core, err := t.counter(id)
		if err != nil {
			return err
		}
		from, to, err := cellsOf(q.GetCounterId(), q.GetIndex(), core.Len())
		if err != nil {
			return err
		}
		for i := from; i < to; i++ {
			c, err := core.Read(i)
			if err != nil {
				return err
			}
			if err := yield(&p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: &p4v1.CounterEntry{
				CounterId: id, Index: index(i), Data: countProto(c)}}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// cellsOf is cells, except that a query of all arrays reads all cells.
func cellsOf(id uint32, index *p4v1.Index, n int) (from, to int, err error) {
	if id == 0 {
		index = nil
	}
	return cells(index, n)
}

// readMeters answers a query for indirect meters.
func (t *target) readMeters(q *p4v1.MeterEntry, yield func(*p4v1.Entity) error) error {
	for _, id := range idsOf(t.schema.meters, q.GetMeterId()) {
		_, core, err := t.meter(id)
		if err != nil {
			return err
		}
		from, to, err := cellsOf(q.GetMeterId(), q.GetIndex(), core.Len())
		if err != nil {
			return err
		}
		for i := from; i < to; i++ {
			c, err := core.Read(i)
			if err != nil {
				return err
			}
			if err := yield(&p4v1.Entity{Entity: &p4v1.Entity_MeterEntry{MeterEntry: &p4v1.MeterEntry{
				MeterId: id, Index: index(i), Config: meterProto(c)}}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// readRegisters answers a query for registers.
func (t *target) readRegisters(q *p4v1.RegisterEntry, yield func(*p4v1.Entity) error) error {
	for _, id := range idsOf(t.schema.registers, q.GetRegisterId()) {
		_, core, err := t.register(id)
		if err != nil {
			return err
		}
		from, to, err := cellsOf(q.GetRegisterId(), q.GetIndex(), core.Len())
		if err != nil {
			return err
		}
		for i := from; i < to; i++ {
			v, err := core.Read(i)
			if err != nil {
				return err
			}
			if err := yield(&p4v1.Entity{Entity: &p4v1.Entity_RegisterEntry{RegisterEntry: &p4v1.RegisterEntry{
				RegisterId: id, Index: index(i), Data: bitstring(v)}}}); err != nil {
				return err
			}
		}
	}
	return nil
}

func bitstring(v []byte) *p4v1.P4Data {
	return &p4v1.P4Data{Data: &p4v1.P4Data_Bitstring{Bitstring: canonical(v)}}
}

// readValueSets answers a query for parser value sets.
func (t *target) readValueSets(q *p4v1.ValueSetEntry, yield func(*p4v1.Entity) error) error {
	for _, id := range idsOf(t.schema.valueSets, q.GetValueSetId()) {
		v, core, err := t.valueSet(id)
		if err != nil {
			return err
		}
		entry := &p4v1.ValueSetEntry{ValueSetId: id}
		for _, m := range core.Members() {
			entry.Members = append(entry.Members, &p4v1.ValueSetMember{Match: new(entryArena).encodeMatch(v.fields, m)})
		}
		if err := yield(&p4v1.Entity{Entity: &p4v1.Entity_ValueSetEntry{ValueSetEntry: entry}}); err != nil {
			return err
		}
	}
	return nil
}

// readReplication answers a query for multicast groups or clone sessions; an empty query
// is for both.
func (t *target) readReplication(q *p4v1.PacketReplicationEngineEntry, yield func(*p4v1.Entity) error) error {
	put := func(e *p4v1.PacketReplicationEngineEntry) error {
		return yield(&p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: e}})
	}
	if q.GetCloneSessionEntry() == nil {
		for _, id := range idsOf(t.multicast, q.GetMulticastGroupEntry().GetMulticastGroupId()) {
			if g := t.multicast[id]; g != nil {
				if err := put(&p4v1.PacketReplicationEngineEntry{Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: g}}); err != nil {
					return err
				}
			}
		}
	}
	if q.GetMulticastGroupEntry() == nil {
		for _, id := range idsOf(t.clones, q.GetCloneSessionEntry().GetSessionId()) {
			if c := t.clones[id]; c != nil {
				if err := put(&p4v1.PacketReplicationEngineEntry{Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{CloneSessionEntry: c}}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
