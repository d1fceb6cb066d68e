package p4rttest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Write applies a batch, continuing on errors.
func (s *Server) Write(_ context.Context, r *p4.WriteRequest) (*p4.WriteResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.cond.Broadcast()
	if err := s.mayWriteLocked(r.GetRole(), r.GetElectionId()); err != nil {
		return nil, err
	}
	if s.info == nil {
		return nil, errNoPipeline
	}
	if s.quirks.AckOnly {
		s.updates += len(r.GetUpdates())
		return &p4.WriteResponse{}, nil
	}
	s.log = append(s.log, r)
	failed := false
	var details []*anypb.Any
	for _, u := range r.GetUpdates() {
		if hook := s.quirks.BeforeUpdate; hook != nil {
			if err := hook(s.updates); err != nil {
				return nil, err
			}
		}
		s.updates++
		st := status.Convert(s.applyLocked(u))
		failed = failed || st.Code() != codes.OK
		a, err := anypb.New(&p4.Error{CanonicalCode: int32(st.Code()), Message: st.Message()})
		if err != nil {
			return nil, err
		}
		details = append(details, a)
	}
	if hook := s.quirks.AfterWrite; hook != nil {
		if err := hook(); err != nil {
			return nil, err
		}
	}
	if !failed {
		return &p4.WriteResponse{}, nil
	}
	if s.quirks.NoDetails {
		details = nil
	}
	return nil, status.ErrorProto(&spb.Status{Code: int32(codes.Unknown), Details: details})
}

func (s *Server) applyLocked(u *p4.Update) error {
	switch e := u.GetEntity().GetEntity().(type) {
	case *p4.Entity_TableEntry:
		return s.entryLocked(u.GetType(), e.TableEntry)
	case *p4.Entity_PacketReplicationEngineEntry:
		switch p := e.PacketReplicationEngineEntry.GetType().(type) {
		case *p4.PacketReplicationEngineEntry_MulticastGroupEntry:
			return put(s.groups, p.MulticastGroupEntry.GetMulticastGroupId(), p.MulticastGroupEntry, u.GetType())
		case *p4.PacketReplicationEngineEntry_CloneSessionEntry:
			return put(s.clones, p.CloneSessionEntry.GetSessionId(), p.CloneSessionEntry, u.GetType())
		}
	}
	return errUnimplemented
}

// put applies an update to a map.
func put[K comparable, V any](m map[K]V, k K, v V, op p4.Update_Type) error {
	_, have := m[k]
	switch {
	case op == p4.Update_INSERT && have:
		return status.Error(codes.AlreadyExists, "exists")
	case op != p4.Update_INSERT && !have:
		return status.Error(codes.NotFound, "does not exist")
	case op == p4.Update_DELETE:
		delete(m, k)
	default:
		m[k] = v
	}
	return nil
}

func (s *Server) entryLocked(op p4.Update_Type, e *p4.TableEntry) error {
	t := s.tableLocked(e.GetTableId())
	if t == nil {
		return status.Error(codes.InvalidArgument, "no such table")
	}
	if e.GetIsDefaultAction() {
		return nil
	}
	if err := checkEntry(t, op, e); err != nil {
		return err
	}
	key := entryKey(e)
	if op == p4.Update_INSERT && s.entries[key] == nil && s.used[e.GetTableId()] >= t.GetSize() {
		code := s.quirks.FullCode
		if code == codes.OK {
			code = codes.ResourceExhausted
		}
		return status.Error(code, "table is full")
	}
	err := put(s.entries, key, e, op)
	switch {
	case err == nil && op == p4.Update_INSERT:
		s.used[e.GetTableId()]++
	case err == nil && op == p4.Update_DELETE:
		s.used[e.GetTableId()]--
	}
	return err
}

func (s *Server) tableLocked(id uint32) *p4config.Table {
	for _, t := range s.info.GetTables() {
		if t.GetPreamble().GetId() == id {
			return t
		}
	}
	return nil
}

// checkEntry is as strict as the specification is about form.
func checkEntry(t *p4config.Table, op p4.Update_Type, e *p4.TableEntry) error {
	bad := func(format string, a ...any) error { return status.Errorf(codes.InvalidArgument, format, a...) }
	ranked := false
	seen := map[uint32]bool{}
	for _, m := range e.GetMatch() {
		if seen[m.GetFieldId()] {
			return bad("field %d twice", m.GetFieldId())
		}
		seen[m.GetFieldId()] = true
		for _, v := range values(m) {
			if !canonical(v) {
				return bad("field %d: % x is not canonical", m.GetFieldId(), v)
			}
		}
		if l := m.GetLpm(); l != nil && l.GetPrefixLen() == 0 {
			return bad("don't-care field %d", m.GetFieldId())
		}
		if tn := m.GetTernary(); tn != nil && bytes.Equal(tn.GetMask(), []byte{0}) {
			return bad("don't-care field %d", m.GetFieldId())
		}
	}
	for _, f := range t.GetMatchFields() {
		ranked = ranked || f.GetMatchType() >= p4config.MatchField_TERNARY
		if f.GetMatchType() == p4config.MatchField_EXACT && !seen[f.GetId()] {
			return bad("exact field %d is missing", f.GetId())
		}
		delete(seen, f.GetId())
	}
	if len(seen) > 0 {
		return bad("unknown match field")
	}
	if ranked != (e.GetPriority() > 0) {
		return bad("priority %d", e.GetPriority())
	}
	if op == p4.Update_INSERT && e.GetAction() == nil {
		return bad("no action")
	}
	for _, p := range e.GetAction().GetAction().GetParams() {
		if !canonical(p.GetValue()) {
			return bad("parameter %d is not canonical", p.GetParamId())
		}
	}
	return nil
}

func canonical(v []byte) bool { return len(v) == 1 || len(v) > 1 && v[0] != 0 }

// values are the byte strings of a match.
func values(m *p4.FieldMatch) [][]byte {
	switch {
	case m.GetExact() != nil:
		return [][]byte{m.GetExact().GetValue()}
	case m.GetTernary() != nil:
		return [][]byte{m.GetTernary().GetValue(), m.GetTernary().GetMask()}
	case m.GetLpm() != nil:
		return [][]byte{m.GetLpm().GetValue()}
	case m.GetRange() != nil:
		return [][]byte{m.GetRange().GetLow(), m.GetRange().GetHigh()}
	case m.GetOptional() != nil:
		return [][]byte{m.GetOptional().GetValue()}
	}
	return nil
}

func entryKey(e *p4.TableEntry) string {
	ms := slices.Clone(e.GetMatch())
	slices.SortFunc(ms, func(a, b *p4.FieldMatch) int { return int(a.GetFieldId()) - int(b.GetFieldId()) })
	var b strings.Builder
	fmt.Fprintf(&b, "%d/%d", e.GetTableId(), e.GetPriority())
	for _, m := range ms {
		fmt.Fprintf(&b, "/%d:%x:%d", m.GetFieldId(), values(m), m.GetLpm().GetPrefixLen())
	}
	return b.String()
}

// Read answers for table entries, groups, clone sessions and counters.
func (s *Server) Read(r *p4.ReadRequest, out p4.P4Runtime_ReadServer) error {
	s.mu.Lock()
	var all []*p4.Entity
	for _, want := range r.GetEntities() {
		all = append(all, s.readLocked(want)...)
	}
	chunk := 100
	if s.quirks.OneMessage {
		chunk = max(1, len(all))
	}
	silent, left := s.quirks.SilentRead, s.quirks.SilentAfter
	s.mu.Unlock()
	for part := range slices.Chunk(all, chunk) {
		if left--; silent && left < 0 {
			break
		}
		if err := out.Send(&p4.ReadResponse{Entities: part}); err != nil {
			return err
		}
	}
	if silent {
		<-out.Context().Done()
	}
	return nil
}

func (s *Server) readLocked(want *p4.Entity) (all []*p4.Entity) {
	switch w := want.GetEntity().(type) {
	case *p4.Entity_TableEntry:
		for _, e := range s.entries {
			if id := w.TableEntry.GetTableId(); id == 0 || id == e.GetTableId() {
				all = append(all, &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: s.viewEntryLocked(w.TableEntry, e)}})
			}
		}
	case *p4.Entity_CounterEntry:
		for c, d := range s.cells {
			if c.counter == w.CounterEntry.GetCounterId() && (w.CounterEntry.Index == nil || w.CounterEntry.Index.Index == c.index) {
				all = append(all, &p4.Entity{Entity: &p4.Entity_CounterEntry{CounterEntry: &p4.CounterEntry{
					CounterId: c.counter, Index: &p4.Index{Index: c.index}, Data: proto.CloneOf(d)}}})
			}
		}
	case *p4.Entity_PacketReplicationEngineEntry:
		pre := w.PacketReplicationEngineEntry
		if pre.GetMulticastGroupEntry() != nil {
			for _, g := range s.groups {
				all = append(all, preEntity(&p4.PacketReplicationEngineEntry{
					Type: &p4.PacketReplicationEngineEntry_MulticastGroupEntry{MulticastGroupEntry: g}}))
			}
		}
		if pre.GetCloneSessionEntry() != nil {
			for _, c := range s.clones {
				all = append(all, preEntity(&p4.PacketReplicationEngineEntry{
					Type: &p4.PacketReplicationEngineEntry_CloneSessionEntry{CloneSessionEntry: c}}))
			}
		}
	}
	return all
}

func preEntity(p *p4.PacketReplicationEngineEntry) *p4.Entity {
	return &p4.Entity{Entity: &p4.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: p}}
}

// viewEntryLocked is an entry as a read shows it: counters and hits only if asked for.
func (s *Server) viewEntryLocked(want, e *p4.TableEntry) *p4.TableEntry {
	e = proto.CloneOf(e)
	if want.CounterData == nil {
		e.CounterData = nil
	}
	if want.TimeSinceLastHit == nil {
		e.TimeSinceLastHit = nil
	}
	if s.quirks.Pad {
		pad(s.tableLocked(e.GetTableId()), e)
	}
	return e
}

// pad widens exact values to their fields' whole bytes.
func pad(t *p4config.Table, e *p4.TableEntry) {
	for _, m := range e.GetMatch() {
		for _, f := range t.GetMatchFields() {
			if x := m.GetExact(); x != nil && f.GetId() == m.GetFieldId() {
				n := int(f.GetBitwidth()+7) / 8
				x.Value = append(make([]byte, max(0, n-len(x.Value))), x.Value...)
			}
		}
	}
}
