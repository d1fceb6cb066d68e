package softswitch

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
)

// Read implements P4Runtime. The answer is one consistent state: it is collected, in its
// wire form, with writes held off, and sent afterwards, so that a slow reader holds up
// nobody.
func (s *Server) Read(req *p4v1.ReadRequest, stream p4v1.P4Runtime_ReadServer) error {
	if req.GetDeviceId() != s.options.DeviceID {
		return s.unknownDevice(req.GetDeviceId())
	}
	sc, err := s.arbiter.scopeOf(req.GetRole())
	if err != nil {
		return err
	}
	pages := pages{limit: pageSize}
	if s.options.Quirks.WholeReads {
		pages.limit = maxMessage
	}
	errs := batchErrors{size: len(req.GetEntities())}
	if err := s.collect(sc, req, &pages, &errs); err != nil {
		return err
	}
	for _, page := range pages.list {
		// Fields that a message does not know are sent as they are: here the encoded
		// entities, which are never decoded on this side.
		response := &p4v1.ReadResponse{}
		response.ProtoReflect().SetUnknown(page)
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	return errs.err("some requests failed")
}

// collect gathers the answer.
func (s *Server) collect(sc *scope, req *p4v1.ReadRequest, out *pages, errs *batchErrors) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.programmed()
	if err != nil {
		return err
	}
	reader := *t // scratch memory of its own: readers run side by side
	reader.scratch = scratch{}
	for i, query := range req.GetEntities() {
		query, err := s.options.Quirks.filter(query)
		if err == nil {
			err = reader.read(sc, query, out.add)
		}
		errs.record(i, err)
	}
	return nil
}

// pageSize is the size in bytes at which a ReadResponse is full; well below gRPC's
// default limit of 4 MB, unless a single entity is larger.
const pageSize = 128 << 10

// pages are encoded ReadResponses.
type pages struct {
	limit int // bytes per page
	list  [][]byte
}

// entitiesField is the number of ReadResponse.entities.
const entitiesField = 1

func (p *pages) add(e *p4v1.Entity) error {
	last := len(p.list) - 1
	if last < 0 {
		p.list = append(p.list, make([]byte, 0, 1024))
		last++
	}
	was := len(p.list[last])
	page, at := openField(p.list[last], entitiesField)
	page, err := appendEntity(page, e)
	if err != nil {
		return err
	}
	page = closeField(page, at)
	if len(page) > p.limit && was > 0 { // it is the next one's first
		p.list[last] = page[:was]
		page = append(make([]byte, 0, pageSize), page[was:]...)
		p.list = append(p.list, nil)
		last++
	}
	p.list[last] = page
	return nil
}

// read answers one query of a ReadRequest, with entities that are valid during the call of yield. Those outside the scope are left out.
func (t *target) read(sc *scope, query *p4v1.Entity, yield func(*p4v1.Entity) error) error {
	if sc != nil {
		inner := yield
		yield = func(e *p4v1.Entity) error {
			if !sc.allows(t.schema.nameOf(e)) {
				return nil
			}
			return inner(e)
		}
	}
	switch q := query.GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return t.readTables(q.TableEntry, yield)
	case *p4v1.Entity_ActionProfileMember:
		return t.readMembers(q.ActionProfileMember, yield)
	case *p4v1.Entity_ActionProfileGroup:
		return t.readGroups(q.ActionProfileGroup, yield)
	case *p4v1.Entity_MeterEntry:
		return t.readMeters(q.MeterEntry, yield)
	case *p4v1.Entity_DirectMeterEntry:
		return t.readDirectMeters(q.DirectMeterEntry, yield)
	case *p4v1.Entity_CounterEntry:
		return t.readCounters(q.CounterEntry, yield)
	case *p4v1.Entity_DirectCounterEntry:
		return t.readDirectCounters(q.DirectCounterEntry, yield)
	case *p4v1.Entity_PacketReplicationEngineEntry:
		return t.readReplication(q.PacketReplicationEngineEntry, yield)
	case *p4v1.Entity_ValueSetEntry:
		return t.readValueSets(q.ValueSetEntry, yield)
	case *p4v1.Entity_RegisterEntry:
		return t.readRegisters(q.RegisterEntry, yield)
	case *p4v1.Entity_DigestEntry:
		return t.readDigests(q.DigestEntry, yield)
	case *p4v1.Entity_ExternEntry:
		if q.ExternEntry.GetExternTypeId() == 0 && q.ExternEntry.GetExternId() == 0 {
			return nil // all of none
		}
		return faultf(codes.Unimplemented, "this target has no other externs")
	}
	return invalidf("entity is missing or not known")
}
