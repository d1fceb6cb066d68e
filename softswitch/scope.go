package softswitch

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// scope is what a role may touch; nil means everything.
//
// A role configuration is a google.protobuf.Struct, the scheme of this target:
//
//	{"entities": ["ingress.flow_exact_v4", "multicast"], "packet_in": true, "packet_out": true}
//
// entities lists P4 names of tables, action profiles, counters, meters, registers, value
// sets and digests, and the words "multicast" and "clone". Idle notifications and digests
// follow entities.
type scope struct {
	entities            map[string]bool
	packetIn, packetOut bool
}

// Names of the packet replication engine's entities in a scope.
const (
	multicastScope = "multicast"
	cloneScope     = "clone"
)

func parseScope(config *anypb.Any) (*scope, error) {
	if config == nil {
		return nil, nil
	}
	var fields structpb.Struct
	if err := config.UnmarshalTo(&fields); err != nil {
		return nil, invalidf("role config: want a google.protobuf.Struct: %v", err)
	}
	sc := &scope{entities: map[string]bool{}}
	for key, value := range fields.GetFields() {
		switch key {
		case "packet_in":
			sc.packetIn = value.GetBoolValue()
		case "packet_out":
			sc.packetOut = value.GetBoolValue()
		case "entities":
			for _, name := range value.GetListValue().GetValues() {
				if name.GetStringValue() == "" {
					return nil, invalidf("role config: entities: want a list of names")
				}
				sc.entities[name.GetStringValue()] = true
			}
		default:
			return nil, invalidf("role config: unknown field %q; known are entities, packet_in, packet_out", key)
		}
	}
	return sc, nil
}

func (sc *scope) allows(name string) bool { return sc == nil || sc.entities[name] }

func (sc *scope) allowsPacketIn() bool { return sc == nil || sc.packetIn }

func (sc *scope) allowsPacketOut() bool { return sc == nil || sc.packetOut }

// nameOf is the name of the object that an entity belongs to, for scopes; "" if the
// entity names none that exists.
func (s *schema) nameOf(e *p4v1.Entity) string {
	table := func(id uint32) string {
		if t := s.tables[id]; t != nil {
			return t.name
		}
		return ""
	}
	profile := func(id uint32) string {
		if p := s.profiles[id]; p != nil {
			return p.name
		}
		return ""
	}
	switch x := e.GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return table(x.TableEntry.GetTableId())
	case *p4v1.Entity_DirectCounterEntry:
		return table(x.DirectCounterEntry.GetTableEntry().GetTableId())
	case *p4v1.Entity_DirectMeterEntry:
		return table(x.DirectMeterEntry.GetTableEntry().GetTableId())
	case *p4v1.Entity_ActionProfileMember:
		return profile(x.ActionProfileMember.GetActionProfileId())
	case *p4v1.Entity_ActionProfileGroup:
		return profile(x.ActionProfileGroup.GetActionProfileId())
	case *p4v1.Entity_PacketReplicationEngineEntry:
		if x.PacketReplicationEngineEntry.GetCloneSessionEntry() != nil {
			return cloneScope
		}
		return multicastScope
	}
	return s.arrayNameOf(e)
}

func (s *schema) arrayNameOf(e *p4v1.Entity) string {
	switch e := e.GetEntity().(type) {
	case *p4v1.Entity_CounterEntry:
		if c := s.counters[e.CounterEntry.GetCounterId()]; c != nil {
			return c.name
		}
	case *p4v1.Entity_MeterEntry:
		if m := s.meters[e.MeterEntry.GetMeterId()]; m != nil {
			return m.name
		}
	case *p4v1.Entity_RegisterEntry:
		if r := s.registers[e.RegisterEntry.GetRegisterId()]; r != nil {
			return r.name
		}
	case *p4v1.Entity_ValueSetEntry:
		if v := s.valueSets[e.ValueSetEntry.GetValueSetId()]; v != nil {
			return v.name
		}
	case *p4v1.Entity_DigestEntry:
		if d := s.digestIDs[e.DigestEntry.GetDigestId()]; d != nil {
			return d.name
		}
	}
	return ""
}
