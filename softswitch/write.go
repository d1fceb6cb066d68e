package softswitch

import (
	"context"
	"log/slog"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
)

// Write implements P4Runtime. Batches are processed one after the other, updates in
// their order.
//
// CONTINUE_ON_ERROR attempts every update. ROLLBACK_ON_ERROR stops at the first failure
// and undoes what came before; those updates, and the ones not attempted, are ABORTED.
// DATAPLANE_ATOMIC is the same with packets held off until it is over.
func (s *Server) Write(_ context.Context, req *p4v1.WriteRequest) (*p4v1.WriteResponse, error) {
	r, sc, err := s.arbiter.begin(req.GetDeviceId(), req.GetRole(), req.GetElectionId())
	if err != nil {
		return nil, err
	}
	defer s.arbiter.end(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.programmed()
	if err != nil {
		return nil, err
	}
	if s.options.Quirks.NoAtomicBatches && req.GetAtomicity() != p4v1.WriteRequest_CONTINUE_ON_ERROR {
		return nil, faultf(codes.Unimplemented, "atomicity %v is not supported", req.GetAtomicity())
	}
	errs := batchErrors{size: len(req.GetUpdates()), fullIsUnknown: s.options.Quirks.FullIsUnknown}
	switch req.GetAtomicity() {
	case p4v1.WriteRequest_CONTINUE_ON_ERROR:
		failed := -1
		for i, u := range req.GetUpdates() {
			if failed >= 0 && s.options.Quirks.FailFast {
				errs.record(i, faultf(codes.Aborted, "not attempted: update %d failed", failed))
				continue
			}
			err := t.write(sc, u)
			if err != nil {
				failed = i
			}
			errs.record(i, err)
		}
	case p4v1.WriteRequest_ROLLBACK_ON_ERROR:
		t.writeAll(sc, req.GetUpdates(), &errs)
	case p4v1.WriteRequest_DATAPLANE_ATOMIC:
		s.gate.Lock()
		defer s.gate.Unlock()
		t.writeAll(sc, req.GetUpdates(), &errs)
	default:
		return nil, invalidf("atomicity %v is not known", req.GetAtomicity())
	}
	err = errs.err("some updates failed")
	s.logWrite(req, &errs)
	if err != nil {
		return nil, err
	}
	return &p4v1.WriteResponse{}, nil
}

// LevelTrace is below slog's: each update of a Write has a line of its own.
const LevelTrace = slog.LevelDebug - 4

// logWrite tells of a Write at debug level, and of its updates at trace level.
func (s *Server) logWrite(req *p4v1.WriteRequest, errs *batchErrors) {
	ctx := context.Background()
	if s.log.Enabled(ctx, slog.LevelDebug) {
		s.log.Debug("write", "role", req.GetRole(), "election", req.GetElectionId(), "updates", len(req.GetUpdates()), "failed", errs.failed())
	}
	if s.log.Enabled(ctx, LevelTrace) {
		for i, u := range req.GetUpdates() {
			s.log.Log(ctx, LevelTrace, "update", "type", u.GetType(), "entity", u.GetEntity(), "outcome", errs.outcome(i))
		}
	}
}

// write carries out one update.
func (t *target) write(sc *scope, u *p4v1.Update) error {
	kind := u.GetType()
	if kind != p4v1.Update_INSERT && kind != p4v1.Update_MODIFY && kind != p4v1.Update_DELETE {
		return invalidf("update type %v is not known", kind)
	}
	if sc != nil {
		if name := t.schema.nameOf(u.GetEntity()); !sc.allows(name) {
			return faultf(codes.PermissionDenied, "%q is outside the role", name)
		}
	}
	if err := t.server.options.Quirks.refuses(kind, u.GetEntity()); err != nil {
		return err
	}
	switch e := u.GetEntity().GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return t.writeTable(kind, e.TableEntry)
	case *p4v1.Entity_ActionProfileMember:
		return t.writeMember(kind, e.ActionProfileMember)
	case *p4v1.Entity_ActionProfileGroup:
		return t.writeGroup(kind, e.ActionProfileGroup)
	case *p4v1.Entity_MeterEntry:
		return t.writeMeter(kind, e.MeterEntry)
	case *p4v1.Entity_DirectMeterEntry:
		return t.writeDirectMeter(kind, e.DirectMeterEntry)
	case *p4v1.Entity_CounterEntry:
		return t.writeCounter(kind, e.CounterEntry)
	case *p4v1.Entity_DirectCounterEntry:
		return t.writeDirectCounter(kind, e.DirectCounterEntry)
	case *p4v1.Entity_PacketReplicationEngineEntry:
		return t.writeReplication(kind, e.PacketReplicationEngineEntry)
	case *p4v1.Entity_ValueSetEntry:
		return t.writeValueSet(kind, e.ValueSetEntry)
	case *p4v1.Entity_RegisterEntry:
		return t.writeRegister(kind, e.RegisterEntry)
	case *p4v1.Entity_DigestEntry:
		return t.writeDigest(kind, e.DigestEntry)
	case *p4v1.Entity_ExternEntry:
		return faultf(codes.Unimplemented, "this target has no other externs")
	}
	return invalidf("entity is missing or not known")
}

// writeAll carries out all updates or none.
func (t *target) writeAll(sc *scope, updates []*p4v1.Update, errs *batchErrors) {
	undo := make([][]*p4v1.Update, 0, len(updates))
	for i, u := range updates {
		inverse := t.inverse(u)
		err := t.write(sc, u)
		if err == nil {
			undo = append(undo, inverse)
			continue
		}
		for k := range updates {
			errs.record(k, faultf(codes.Aborted, "undone or not attempted: update %d failed", i))
		}
		errs.record(i, err)
		for k := len(undo) - 1; k >= 0; k-- {
			for _, back := range undo[k] {
				if err := t.write(nil, back); err != nil {
					t.server.log.Error("update cannot be undone", "err", err)
				}
			}
		}
		return
	}
}

// inverse is what undoes an update, to be asked before it is made. If the update is not
// going to succeed, it is of no consequence.
func (t *target) inverse(u *p4v1.Update) []*p4v1.Update {
	if u.GetType() == p4v1.Update_INSERT {
		return []*p4v1.Update{{Type: p4v1.Update_DELETE, Entity: u.GetEntity()}}
	}
	restore := p4v1.Update_MODIFY
	if u.GetType() == p4v1.Update_DELETE {
		restore = p4v1.Update_INSERT
	}
	var out []*p4v1.Update
	_ = t.read(nil, keyOf(u.GetEntity()), func(e *p4v1.Entity) error {
		out = append(out, &p4v1.Update{Type: restore, Entity: e})
		return nil
	})
	return out
}

// keyOf is the query that reads one entity with all that belongs to it.
func keyOf(e *p4v1.Entity) *p4v1.Entity {
	te := e.GetTableEntry()
	if te == nil {
		return e
	}
	return &p4v1.Entity{Entity: &p4v1.Entity_TableEntry{TableEntry: &p4v1.TableEntry{
		TableId: te.GetTableId(), Match: te.GetMatch(), Priority: te.GetPriority(), IsDefaultAction: te.GetIsDefaultAction(),
		CounterData: &p4v1.CounterData{}, MeterConfig: &p4v1.MeterConfig{},
	}}}
}
