package softswitch

import (
	"errors"
	"fmt"
	"strings"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// codesOf are the codes of a batch's elements; a single one if the whole failed.
func codesOf(err error) []codes.Code {
	st := status.Convert(err)
	if st.Code() == codes.OK {
		return nil
	}
	if len(st.Details()) == 0 {
		return []codes.Code{st.Code()}
	}
	if st.Code() != codes.Unknown {
		return []codes.Code{st.Code()}
	}
	var out []codes.Code
	for _, d := range st.Details() {
		out = append(out, codes.Code(d.(*p4v1.Error).GetCanonicalCode()))
	}
	return out
}

// explain is err with the errors of a batch's elements.
func explain(err error) error {
	var lines []string
	for i, d := range status.Convert(err).Details() {
		if e, ok := d.(*p4v1.Error); ok && e.GetCanonicalCode() != 0 {
			lines = append(lines, fmt.Sprintf("%d: %v %s", i, codes.Code(e.GetCanonicalCode()), e.GetMessage()))
		}
	}
	return errors.Join(err, errors.New(strings.Join(lines, "\n")))
}

func (l *lab) table(name string) *configv1.Table {
	for _, t := range l.info.GetTables() {
		if t.GetPreamble().GetAlias() == name {
			return t
		}
	}
	l.t.Fatalf("no table %s", name)
	return nil
}

func (l *lab) id(name string) uint32 {
	for _, list := range [][]*configv1.Preamble{
		preambles(l.info.GetActionProfiles()), preambles(l.info.GetCounters()), preambles(l.info.GetMeters()),
		preambles(l.info.GetRegisters()), preambles(l.info.GetValueSets()), preambles(l.info.GetDigests()),
	} {
		for _, p := range list {
			if p.GetAlias() == name {
				return p.GetId()
			}
		}
	}
	l.t.Fatalf("no object %s", name)
	return 0
}

// action makes an action from name and parameters.
func (l *lab) action(name string, params ...[]byte) *p4v1.Action {
	for _, a := range l.info.GetActions() {
		if a.GetPreamble().GetAlias() != name {
			continue
		}
		out := &p4v1.Action{ActionId: a.GetPreamble().GetId()}
		for i, p := range params {
			out.Params = append(out.Params, &p4v1.Action_Param{ParamId: a.GetParams()[i].GetId(), Value: p})
		}
		return out
	}
	l.t.Fatalf("no action %s", name)
	return nil
}

func direct(a *p4v1.Action) *p4v1.TableAction {
	return &p4v1.TableAction{Type: &p4v1.TableAction_Action{Action: a}}
}

func exact(id uint32, value ...byte) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldId: id, FieldMatchType: &p4v1.FieldMatch_Exact_{Exact: &p4v1.FieldMatch_Exact{Value: value}}}
}

func ternary(id uint32, value, mask []byte) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldId: id, FieldMatchType: &p4v1.FieldMatch_Ternary_{Ternary: &p4v1.FieldMatch_Ternary{Value: value, Mask: mask}}}
}

func lpm(id uint32, length int32, value ...byte) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldId: id, FieldMatchType: &p4v1.FieldMatch_Lpm{Lpm: &p4v1.FieldMatch_LPM{Value: value, PrefixLen: length}}}
}

func within(id uint32, low, high []byte) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldId: id, FieldMatchType: &p4v1.FieldMatch_Range_{Range: &p4v1.FieldMatch_Range{Low: low, High: high}}}
}

func optional(id uint32, value ...byte) *p4v1.FieldMatch {
	return &p4v1.FieldMatch{FieldId: id, FieldMatchType: &p4v1.FieldMatch_Optional_{Optional: &p4v1.FieldMatch_Optional{Value: value}}}
}

func (l *lab) entry(table string, action *p4v1.TableAction, match ...*p4v1.FieldMatch) *p4v1.TableEntry {
	return &p4v1.TableEntry{TableId: l.table(table).GetPreamble().GetId(), Match: match, Action: action}
}

// macEntry sends frames for a destination to a port.
func (l *lab) macEntry(mac byte, port byte) *p4v1.TableEntry {
	return l.entry("mac", direct(l.action("forward", []byte{port})), exact(1, mac))
}

func entity(e any) *p4v1.Entity {
	switch e := e.(type) {
	case *p4v1.TableEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: e}}
	case *p4v1.ActionProfileMember:
		return &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileMember{ActionProfileMember: e}}
	case *p4v1.ActionProfileGroup:
		return &p4v1.Entity{Entity: &p4v1.Entity_ActionProfileGroup{ActionProfileGroup: e}}
	case *p4v1.CounterEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_CounterEntry{CounterEntry: e}}
	case *p4v1.DirectCounterEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_DirectCounterEntry{DirectCounterEntry: e}}
	case *p4v1.MeterEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_MeterEntry{MeterEntry: e}}
	case *p4v1.DirectMeterEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_DirectMeterEntry{DirectMeterEntry: e}}
	case *p4v1.RegisterEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_RegisterEntry{RegisterEntry: e}}
	case *p4v1.ValueSetEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_ValueSetEntry{ValueSetEntry: e}}
	case *p4v1.DigestEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_DigestEntry{DigestEntry: e}}
	case *p4v1.MulticastGroupEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: &p4v1.PacketReplicationEngineEntry{
			Type: &p4v1.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: e}}}}
	case *p4v1.CloneSessionEntry:
		return &p4v1.Entity{Entity: &p4v1.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: &p4v1.PacketReplicationEngineEntry{
			Type: &p4v1.PacketReplicationEngineEntry_CloneSessionEntry{CloneSessionEntry: e}}}}
	}
	panic(fmt.Sprintf("no entity of %T", e))
}

func insert(e any) *p4v1.Update { return &p4v1.Update{Type: p4v1.Update_INSERT, Entity: entity(e)} }
func modify(e any) *p4v1.Update { return &p4v1.Update{Type: p4v1.Update_MODIFY, Entity: entity(e)} }
func remove(e any) *p4v1.Update { return &p4v1.Update{Type: p4v1.Update_DELETE, Entity: entity(e)} }

// frame is an Ethernet frame with one-byte addresses.
func frame(dst, src byte, payload ...byte) []byte {
	return append([]byte{0, 0, 0, 0, 0, dst, 0, 0, 0, 0, 0, src, 0x12, 0x34}, payload...)
}

func replica(port byte, instance uint32, backups ...byte) *p4v1.Replica {
	r := &p4v1.Replica{PortKind: &p4v1.Replica_Port{Port: []byte{port}}, Instance: instance}
	for _, b := range backups {
		r.BackupReplicas = append(r.BackupReplicas, &p4v1.BackupReplica{Port: []byte{b}, Instance: instance})
	}
	return r
}
