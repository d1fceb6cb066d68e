package softswitch

import (
	"unicode/utf8"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// codec is gRPC's codec for protobuf, but for Write requests and packet-outs: most of what a switch reads
// are table entries, and generated code takes an allocation for each of the 40 messages
// that one is made of, and for each of the 14 of a packet-out.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch req := v.(type) {
	case *p4v1.WriteRequest:
		return unmarshalWrite(data.Materialize(), req)
	case *p4v1.StreamMessageRequest:
		return unmarshalStream(data.Materialize(), req)
	}
	return c.CodecV2.Unmarshal(data, v)
}

// unmarshalWrite is proto.Unmarshal for an empty request. The request keeps b.
func unmarshalWrite(b []byte, req *p4v1.WriteRequest) error {
	var d writeDecoder
	if d.request(b, req) {
		return nil
	}
	proto.Reset(req)
	return proto.Unmarshal(b, req)
}

// writeDecoder decodes Write requests as clients make them: no unknown fields, no singular
// message twice. Its methods are false if they meet anything else, or anything wrong; the
// library knows what to make of it.
type writeDecoder struct {
	updates  slab[updateParts]
	exacts   slab[exactParts]
	ternarys slab[ternaryParts]
	lpms     slab[lpmParts]
	params   slab[p4v1.Action_Param]
	// Memory for the lists of messages.
	matchList slab[*p4v1.FieldMatch]
	paramList slab[*p4v1.Action_Param]
}

// updateParts are the messages of which an update of a table entry has one.
type updateParts struct {
	update    p4v1.Update
	entity    p4v1.Entity
	which     p4v1.Entity_TableEntry
	entry     p4v1.TableEntry
	does      p4v1.TableAction
	whichDoes p4v1.TableAction_Action
	action    p4v1.Action
}

type exactParts struct {
	match p4v1.FieldMatch
	which p4v1.FieldMatch_Exact_
	exact p4v1.FieldMatch_Exact
}

type ternaryParts struct {
	match   p4v1.FieldMatch
	which   p4v1.FieldMatch_Ternary_
	ternary p4v1.FieldMatch_Ternary
}

type lpmParts struct {
	match p4v1.FieldMatch
	which p4v1.FieldMatch_Lpm
	lpm   p4v1.FieldMatch_LPM
}

// slab allocates many at once, as many as are likely to be needed.
type slab[T any] struct {
	free []T
	size int
}

func (s *slab[T]) take() *T { return &s.list(1)[0] }

// list is room for n.
func (s *slab[T]) list(n int) []T {
	if len(s.free) < n {
		s.free = make([]T, max(n, s.size))
	}
	out := s.free[:n:n]
	s.free = s.free[n:]
	return out
}

// field is one field of a message: a number or bytes, by wire type.
type field struct {
	id     protowire.Number
	kind   protowire.Type
	number uint64
	bytes  []byte
}

// next takes a field off b; what is left is nil if it can't.
func (f *field) next(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	n := 1
	if f.id, f.kind = protowire.Number(b[0]>>3), protowire.Type(b[0]&7); b[0] >= 0x80 || f.id == 0 {
		if f.id, f.kind, n = protowire.ConsumeTag(b); n < 0 {
			return nil
		}
	}
	b = b[n:]
	if f.kind == protowire.BytesType && len(b) > 0 && b[0] < 0x80 && int(b[0]) < len(b) { // a short one
		f.bytes = b[1 : 1+b[0] : 1+b[0]]
		return b[1+b[0]:]
	}
	switch f.kind {
	case protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = -1
	}
	if n < 0 {
		return nil
	}
	return b[n:]
}

// is tells whether the field has an id and a wire type.
func (f *field) is(id protowire.Number, kind protowire.Type) bool {
	return f.id == id && f.kind == kind
}

func (d *writeDecoder) request(b []byte, req *p4v1.WriteRequest) bool {
	n := countFields(b, 4)
	const most = 32 // of what a slab holds: some 30 kB
	few := min(n, most)
	d.updates.size, d.exacts.size, d.params.size = few, 4*few, 2*few
	d.ternarys.size, d.lpms.size = few, few
	d.matchList.size, d.paramList.size = 16*few, 8*few
	req.Updates = make([]*p4v1.Update, 0, n)
	var f field
	for len(b) > 0 {
		if b = f.next(b); b == nil {
			return false
		}
		switch {
		case f.is(1, protowire.VarintType):
			req.DeviceId = f.number
		case f.is(3, protowire.BytesType):
			if req.ElectionId != nil {
				return false
			}
			req.ElectionId = &p4v1.Uint128{}
			if proto.Unmarshal(f.bytes, req.ElectionId) != nil {
				return false
			}
		case f.is(4, protowire.BytesType):
			u := d.updates.take()
			if !d.update(f.bytes, u) {
				return false
			}
			req.Updates = append(req.Updates, &u.update)
		case f.is(5, protowire.VarintType):
			req.Atomicity = p4v1.WriteRequest_Atomicity(f.number)
		case f.is(6, protowire.BytesType):
			if req.Role = string(f.bytes); !utf8.Valid(f.bytes) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// countFields is how many fields of a message have an id, as far as it can be read.
func countFields(b []byte, id protowire.Number) int {
	n := 0
	for f := (field{}); len(b) > 0; {
		if b = f.next(b); b != nil && f.id == id {
			n++
		}
	}
	return n
}

func (d *writeDecoder) update(b []byte, u *updateParts) bool {
	var f field
	for len(b) > 0 {
		if b = f.next(b); b == nil {
			return false
		}
		switch {
		case f.is(1, protowire.VarintType):
			u.update.Type = p4v1.Update_Type(f.number)
		case f.is(2, protowire.BytesType) && u.update.Entity == nil:
			u.update.Entity = &u.entity
			if !d.entity(f.bytes, u) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (d *writeDecoder) entity(b []byte, u *updateParts) bool {
	var f field
	if rest := f.next(b); rest == nil || len(rest) > 0 || !f.is(2, protowire.BytesType) {
		return proto.Unmarshal(b, &u.entity) == nil
	}
	u.which.TableEntry = &u.entry
	u.entity.Entity = &u.which
	return d.entry(f.bytes, u)
}

func (d *writeDecoder) entry(b []byte, u *updateParts) bool {
	e := &u.entry
	var memory [16]*p4v1.FieldMatch
	matches := memory[:0]
	var f field
	for len(b) > 0 {
		if b = f.next(b); b == nil {
			return false
		}
		switch {
		case f.is(1, protowire.VarintType):
			e.TableId = uint32(f.number)
		case f.is(2, protowire.BytesType):
			m := d.match(f.bytes)
			if m == nil {
				return false
			}
			matches = append(matches, m)
		case f.is(3, protowire.BytesType) && e.Action == nil:
			e.Action = &u.does
			if !d.does(f.bytes, u) {
				return false
			}
		case f.is(4, protowire.VarintType):
			e.Priority = int32(f.number)
		case f.is(5, protowire.VarintType):
			e.ControllerMetadata = f.number
		case f.is(6, protowire.BytesType) && e.MeterConfig == nil:
			e.MeterConfig = &p4v1.MeterConfig{}
			if proto.Unmarshal(f.bytes, e.MeterConfig) != nil {
				return false
			}
		case f.is(7, protowire.BytesType) && e.CounterData == nil:
			e.CounterData = &p4v1.CounterData{}
			if proto.Unmarshal(f.bytes, e.CounterData) != nil {
				return false
			}
		case f.is(8, protowire.VarintType):
			e.IsDefaultAction = f.number != 0
		case f.is(9, protowire.VarintType):
			e.IdleTimeoutNs = int64(f.number)
		case f.is(11, protowire.BytesType):
			e.Metadata = f.bytes
		default: // a message of few entries, or nothing that is known
			return false
		}
	}
	if len(matches) > 0 {
		e.Match = d.matchList.list(len(matches))
		copy(e.Match, matches)
	}
	return true
}

// match decodes a FieldMatch: its id, then one kind of match.
func (d *writeDecoder) match(b []byte) *p4v1.FieldMatch {
	var id, kind field
	if b = id.next(b); b == nil || !id.is(1, protowire.VarintType) {
		return nil
	}
	if b = kind.next(b); b == nil || len(b) > 0 || kind.kind != protowire.BytesType {
		return nil
	}
	var m *p4v1.FieldMatch
	ok := false
	switch kind.id {
	case 2:
		p := d.exacts.take()
		m, p.match.FieldMatchType, p.which.Exact = &p.match, &p.which, &p.exact
		ok = values(kind.bytes, &p.exact.Value, nil, nil)
	case 3:
		p := d.ternarys.take()
		m, p.match.FieldMatchType, p.which.Ternary = &p.match, &p.which, &p.ternary
		ok = values(kind.bytes, &p.ternary.Value, &p.ternary.Mask, nil)
	case 4:
		p := d.lpms.take()
		m, p.match.FieldMatchType, p.which.Lpm = &p.match, &p.which, &p.lpm
		ok = values(kind.bytes, &p.lpm.Value, nil, &p.lpm.PrefixLen)
	case 6:
		x := &p4v1.FieldMatch_Range{}
		m = &p4v1.FieldMatch{FieldMatchType: &p4v1.FieldMatch_Range_{Range: x}}
		ok = values(kind.bytes, &x.Low, &x.High, nil)
	case 7:
		x := &p4v1.FieldMatch_Optional{}
		m = &p4v1.FieldMatch{FieldMatchType: &p4v1.FieldMatch_Optional_{Optional: x}}
		ok = values(kind.bytes, &x.Value, nil, nil)
	}
	if !ok {
		return nil
	}
	m.FieldId = uint32(id.number)
	return m
}

// values decodes a message of bytes as field 1, and bytes or a number as field 2.
func values(b []byte, first, second *[]byte, number *int32) bool {
	var f field
	for len(b) > 0 {
		if b = f.next(b); b == nil {
			return false
		}
		switch {
		case f.is(1, protowire.BytesType):
			*first = f.bytes
		case f.is(2, protowire.BytesType) && second != nil:
			*second = f.bytes
		case f.is(2, protowire.VarintType) && number != nil:
			*number = int32(f.number)
		default:
			return false
		}
	}
	return true
}

// does decodes a TableAction.
func (d *writeDecoder) does(b []byte, u *updateParts) bool {
	var f field
	if rest := f.next(b); rest == nil || len(rest) > 0 || !f.is(1, protowire.BytesType) {
		return proto.Unmarshal(b, &u.does) == nil
	}
	u.whichDoes.Action = &u.action
	u.does.Type = &u.whichDoes
	b = f.bytes
	var memory [8]*p4v1.Action_Param
	params := memory[:0]
	for len(b) > 0 {
		if b = f.next(b); b == nil {
			return false
		}
		switch {
		case f.is(1, protowire.VarintType):
			u.action.ActionId = uint32(f.number)
		case f.is(4, protowire.BytesType):
			p := d.params.take()
			if !param(f.bytes, p) {
				return false
			}
			params = append(params, p)
		default:
			return false
		}
	}
	if len(params) > 0 {
		u.action.Params = d.paramList.list(len(params))
		copy(u.action.Params, params)
	}
	return true
}

func param(b []byte, p *p4v1.Action_Param) bool { return numbered(b, 2, &p.ParamId, &p.Value) }

// numbered decodes a message of an id, in field n, and a value, in the next one.
func numbered(b []byte, n protowire.Number, id *uint32, value *[]byte) bool {
	var f field
	for len(b) > 0 {
		if b = f.next(b); b == nil {
			return false
		}
		switch {
		case f.is(n, protowire.VarintType):
			*id = uint32(f.number)
		case f.is(n+1, protowire.BytesType):
			*value = f.bytes
		default:
			return false
		}
	}
	return true
}
