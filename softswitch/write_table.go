package softswitch

import (
	"encoding/binary"
	"time"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// writeTable carries out an update of a table entry.
func (t *target) writeTable(kind p4v1.Update_Type, e *p4v1.TableEntry) error {
	b, err := t.table(e.GetTableId())
	if err != nil {
		return err
	}
	if e.GetIsConst() {
		return invalidf("is_const cannot be written")
	}
	if e.GetIsDefaultAction() {
		return t.writeDefault(b, kind, e)
	}
	match, err := t.decodeKey(b, e)
	if err != nil {
		return err
	}
	if b.isConst && (kind != p4v1.Update_MODIFY || e.GetAction() != nil) {
		return faultf(codes.PermissionDenied, "table %s is constant", b.name)
	}
	if kind == p4v1.Update_DELETE {
		old := t.oneShotOf(b, match, e.GetPriority())
		if err := b.core.Delete(match, e.GetPriority()); err != nil {
			return err
		}
		t.dropOneShot(b, old)
		return nil
	}
	if err := b.checkDirect(e); err != nil {
		return err
	}
	if kind == p4v1.Update_INSERT && e.GetAction() == nil {
		return invalidf("action is missing")
	}
	if e.GetAction() != nil {
		if err := t.putEntry(b, kind, e, match); err != nil {
			return err
		}
	} else if _, ok := b.core.Read(match, e.GetPriority()); !ok {
		return faultf(codes.NotFound, "table %s has no such entry", b.name)
	}
	return b.setDirect(kind, e, match)
}

// decodeKey checks match and priority.
func (t *target) decodeKey(b *boundTable, e *p4v1.TableEntry) ([]pipeline.FieldMatch, error) {
	if len(b.fields) == 0 {
		return nil, invalidf("table %s has no key: it has a default entry only", b.name)
	}
	match, err := t.decodeMatch(b.fields, e.GetMatch())
	if err != nil {
		return nil, err
	}
	switch {
	case b.needPriority && e.GetPriority() <= 0:
		return nil, invalidf("table %s: priority %d: want a positive one", b.name, e.GetPriority())
	case !b.needPriority && e.GetPriority() != 0:
		return nil, invalidf("table %s: priority %d: entries have none", b.name, e.GetPriority())
	}
	return match, nil
}

// putEntry inserts or modifies an entry whose action is set.
func (t *target) putEntry(b *boundTable, kind p4v1.Update_Type, e *p4v1.TableEntry, match []pipeline.FieldMatch) error {
	var cookie [9]byte
	entry := pipeline.Entry{
		Match: match, Priority: e.GetPriority(), IdleTimeout: time.Duration(e.GetIdleTimeoutNs()),
		Metadata: packMetadata(&cookie, e.GetControllerMetadata(), e.GetMetadata()),
	}
	var hidden *oneShot
	switch action := e.GetAction().GetType().(type) {
	case *p4v1.TableAction_Action:
		if b.profile != nil {
			return invalidf("table %s takes members and groups of %s", b.name, b.profile.name)
		}
		ref, params, err := t.decodeAction(b.actions, action.Action)
		if err != nil {
			return err
		}
		if ref.scope == configv1.ActionRef_DEFAULT_ONLY {
			return faultf(codes.PermissionDenied, "action %s is for the default entry only", ref.name)
		}
		entry.Action, entry.Params = ref.name, params
	case *p4v1.TableAction_ActionProfileMemberId, *p4v1.TableAction_ActionProfileGroupId, *p4v1.TableAction_ActionProfileActionSet:
		var err error
		if hidden, err = t.indirect(b, e.GetAction(), &entry); err != nil {
			return err
		}
	default:
		return invalidf("action is empty or not known")
	}
	old := t.oneShotOf(b, match, e.GetPriority())
	put := b.core.Insert
	if kind == p4v1.Update_MODIFY {
		put = b.core.Modify
	}
	if err := put(entry); err != nil {
		t.dropOneShot(b, hidden)
		return err
	}
	if kind == p4v1.Update_MODIFY {
		t.dropOneShot(b, old)
	}
	return nil
}

// writeDefault carries out an update of a table's default entry.
func (t *target) writeDefault(b *boundTable, kind p4v1.Update_Type, e *p4v1.TableEntry) error {
	switch {
	case kind != p4v1.Update_MODIFY:
		return invalidf("the default entry can only be modified")
	case len(e.GetMatch()) > 0 || e.GetPriority() != 0:
		return invalidf("the default entry has neither match nor priority")
	case e.GetIdleTimeoutNs() != 0 || e.GetTimeSinceLastHit() != nil:
		return invalidf("the default entry has no idle timeout")
	case b.constDefault || b.profile != nil:
		return faultf(codes.PermissionDenied, "the default entry of table %s is constant", b.name)
	}
	if err := b.checkDirect(e); err != nil {
		return err
	}
	if e.GetAction() == nil {
		return b.resetDefault()
	}
	action, ok := e.GetAction().GetType().(*p4v1.TableAction_Action)
	if !ok {
		return invalidf("the default entry takes an action")
	}
	ref, params, err := t.decodeAction(b.actions, action.Action)
	if err != nil {
		return err
	}
	if ref.scope == configv1.ActionRef_TABLE_ONLY {
		return faultf(codes.PermissionDenied, "action %s is not for the default entry", ref.name)
	}
	if err := b.core.SetDefault(ref.name, params); err != nil {
		return err
	}
	b.defaultMetadata, b.defaultCookie = append([]byte(nil), e.GetMetadata()...), e.GetControllerMetadata()
	if b.meter != nil {
		if err := b.core.SetDefaultMeter(meterOf(e.GetMeterConfig())); err != nil {
			return err
		}
	}
	if c := e.GetCounterData(); c != nil {
		return b.core.SetDefaultCounter(countOf(c))
	}
	return nil
}

// resetDefault restores the program's default entry with its direct resources.
func (b *boundTable) resetDefault() error {
	if err := b.core.ResetDefault(); err != nil {
		return err
	}
	b.defaultMetadata, b.defaultCookie = nil, 0
	if b.meter != nil {
		if err := b.core.SetDefaultMeter(pipeline.MeterConfig{}); err != nil {
			return err
		}
	}
	if b.counter {
		return b.core.SetDefaultCounter(pipeline.Count{})
	}
	return nil
}

// checkDirect checks what an entry says of direct resources and timeouts.
func (b *boundTable) checkDirect(e *p4v1.TableEntry) error {
	switch c := e.GetCounterData(); {
	case e.GetTimeSinceLastHit() != nil:
		return invalidf("time_since_last_hit cannot be written")
	case e.GetIdleTimeoutNs() < 0:
		return invalidf("idle timeout %d ns is negative", e.GetIdleTimeoutNs())
	case e.GetIdleTimeoutNs() != 0 && !b.idleTimeout:
		return invalidf("table %s has no idle timeouts", b.name)
	case e.GetMeterCounterData() != nil:
		return faultf(codes.Unimplemented, "this target has no counters per meter colour")
	case c != nil && !b.counter:
		return invalidf("table %s has no direct counter", b.name)
	case c != nil && (c.GetPacketCount() < 0 || c.GetByteCount() < 0):
		return invalidf("counter value is negative")
	case e.GetMeterConfig() != nil && b.meter == nil:
		return invalidf("table %s has no direct meter", b.name)
	}
	if b.meter != nil {
		return b.meter.check(e.GetMeterConfig())
	}
	return nil
}

// setDirect sets the direct resources of an entry that is there.
func (b *boundTable) setDirect(kind p4v1.Update_Type, e *p4v1.TableEntry, match []pipeline.FieldMatch) error {
	if b.meter != nil && (e.GetMeterConfig() != nil || kind == p4v1.Update_MODIFY) {
		if err := b.core.SetMeter(match, e.GetPriority(), meterOf(e.GetMeterConfig())); err != nil {
			return err
		}
	}
	if c := e.GetCounterData(); c != nil {
		return b.core.SetCounter(match, e.GetPriority(), countOf(c))
	}
	return nil
}

// packMetadata joins both kinds of controller metadata into what the pipeline stores:
// nothing, or a byte that tells whether a cookie of 8 bytes follows, then the metadata.
// cookie is memory for the common cases.
func packMetadata(memory *[9]byte, cookie uint64, metadata []byte) []byte {
	switch {
	case cookie == 0 && len(metadata) == 0:
		return nil
	case cookie == 0:
		memory[0] = 0
		return append(memory[:1:1], metadata...)
	}
	memory[0] = 1
	binary.BigEndian.PutUint64(memory[1:], cookie)
	return append(memory[:9:9], metadata...)
}

// unpackMetadata is the inverse of packMetadata.
func unpackMetadata(packed []byte) (cookie uint64, metadata []byte) {
	switch {
	case len(packed) == 0:
		return 0, nil
	case packed[0] == 1:
		cookie, packed = binary.BigEndian.Uint64(packed[1:9]), packed[9:]
	default:
		packed = packed[1:]
	}
	if len(packed) == 0 {
		return cookie, nil
	}
	return cookie, packed
}
