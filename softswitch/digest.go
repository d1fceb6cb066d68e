package softswitch

import (
	"sync"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// Limits per digest; beyond them messages are dropped, counted.
const (
	maxDigestBuffer = 4096  // messages waiting for their list
	maxDigestCache  = 65536 // messages sent and not acknowledged
	defaultDigest   = 256   // list size if the client sets none
)

// digestSchema is one digest of the P4Info.
type digestSchema struct {
	id    uint32
	name  string
	shape digestShape
}

// digestShape is how P4Data wraps the fields.
type digestShape uint8

const (
	digestBits digestShape = iota
	digestStruct
	digestTuple
	digestHeader
)

func (s *schema) addDigests() error {
	for _, d := range s.info.GetDigests() {
		digest := &digestSchema{id: d.GetPreamble().GetId(), name: d.GetPreamble().GetName()}
		spec := d.GetTypeSpec()
		switch {
		case spec.GetStruct() != nil:
			digest.shape = digestStruct
		case spec.GetHeader() != nil:
			digest.shape = digestHeader
		case spec.GetTuple() != nil:
			digest.shape = digestTuple
		case spec.GetBitstring() != nil:
			digest.shape = digestBits
		default:
			return invalidf("digest %s: type not supported", digest.name)
		}
		s.digests[digest.name] = digest
		s.digestIDs[digest.id] = digest
	}
	return nil
}

// encode is a digest message as P4Data.
func (d *digestSchema) encode(fields [][]byte) *p4v1.P4Data {
	members := make([]*p4v1.P4Data, len(fields))
	for i, f := range fields {
		members[i] = bitstring(append([]byte(nil), f...))
	}
	switch d.shape {
	case digestStruct:
		return &p4v1.P4Data{Data: &p4v1.P4Data_Struct{Struct: &p4v1.P4StructLike{Members: members}}}
	case digestTuple:
		return &p4v1.P4Data{Data: &p4v1.P4Data_Tuple{Tuple: &p4v1.P4StructLike{Members: members}}}
	case digestHeader:
		bits := make([][]byte, len(fields))
		for i := range members {
			bits[i] = members[i].GetBitstring()
		}
		return &p4v1.P4Data{Data: &p4v1.P4Data_Header{Header: &p4v1.P4Header{IsValid: true, Bitstrings: bits}}}
	}
	if len(members) == 1 {
		return members[0]
	}
	return nil
}

// digestStreams is the learning state of a target: one stream per enabled digest. It has
// a lock of its own because packets use it.
type digestStreams struct {
	mu   sync.Mutex
	byID map[uint32]*digestStream
}

// digestStream gathers messages into lists and remembers what was sent and not yet
// acknowledged, to suppress duplicates (P4Runtime spec, "DigestEntry").
type digestStream struct {
	*digestSchema
	config   *p4v1.DigestEntry_Config
	buffer   []*p4v1.P4Data
	since    time.Time       // of the first message in buffer
	known    map[string]bool // messages in buffer or in a list sent
	lists    []sentList      // oldest first
	nextList uint64
}

type sentList struct {
	id   uint64
	at   time.Time
	keys []string
}

// writeDigest enables, configures or disables a digest.
func (t *target) writeDigest(kind p4v1.Update_Type, e *p4v1.DigestEntry) error {
	d := t.schema.digestIDs[e.GetDigestId()]
	if d == nil {
		return unknownID("digest", e.GetDigestId())
	}
	streams := t.digests
	streams.mu.Lock()
	defer streams.mu.Unlock()
	old := streams.byID[d.id]
	if err := checkPresence(kind, old != nil, "digest entry", d.id); err != nil {
		return err
	}
	if kind == p4v1.Update_DELETE {
		delete(streams.byID, d.id)
		return nil
	}
	c := e.GetConfig()
	if c.GetMaxTimeoutNs() < 0 || c.GetAckTimeoutNs() < 0 || c.GetMaxListSize() < 0 {
		return invalidf("digest %s: a timeout or the list size is negative", d.name)
	}
	config := &p4v1.DigestEntry_Config{}
	if c != nil {
		config = proto.CloneOf(c)
	}
	if old != nil {
		old.config = config
		return nil
	}
	streams.byID[d.id] = &digestStream{digestSchema: d, config: config, known: map[string]bool{}, nextList: 1}
	return nil
}

// readDigests answers a query for digest entries.
func (t *target) readDigests(q *p4v1.DigestEntry, yield func(*p4v1.Entity) error) error {
	if id := q.GetDigestId(); id != 0 && t.schema.digestIDs[id] == nil {
		return unknownID("digest", id)
	}
	streams := t.digests
	streams.mu.Lock()
	defer streams.mu.Unlock()
	for _, id := range idsOf(streams.byID, q.GetDigestId()) {
		if d := streams.byID[id]; d != nil {
			e := &p4v1.DigestEntry{DigestId: id, Config: proto.CloneOf(d.config)}
			if err := yield(&p4v1.Entity{Entity: &p4v1.Entity_DigestEntry{DigestEntry: e}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// digest takes one message from the pipeline; fields are the pipeline's.
func (s *Server) digest(t *target, name string, fields [][]byte) {
	if t.schema == nil || t.schema.digests[name] == nil {
		return
	}
	d := t.schema.digests[name]
	streams := t.digests
	streams.mu.Lock()
	defer streams.mu.Unlock()
	stream := streams.byID[d.id]
	if stream == nil {
		return
	}
	var key []byte
	for _, f := range fields {
		key = append(append(key, byte(len(f)>>8), byte(len(f))), f...)
	}
	if stream.known[string(key)] {
		return
	}
	if len(stream.buffer) >= maxDigestBuffer || len(stream.known) >= maxDigestCache {
		s.counts.eventsDropped.Add(1)
		return
	}
	if len(stream.buffer) == 0 {
		stream.since = s.options.Now()
		stream.lists = append(stream.lists, sentList{id: stream.nextList})
	}
	stream.buffer = append(stream.buffer, d.encode(fields))
	stream.known[string(key)] = true
	filling := &stream.lists[len(stream.lists)-1]
	filling.keys = append(filling.keys, string(key))
	limit := int(stream.config.GetMaxListSize())
	if limit == 0 {
		limit = defaultDigest
	}
	if len(stream.buffer) >= limit || stream.config.GetMaxTimeoutNs() == 0 {
		s.sendDigests(stream)
	}
}

// sendDigests sends the list that is being filled.
func (s *Server) sendDigests(d *digestStream) {
	now := s.options.Now()
	filling := &d.lists[len(d.lists)-1]
	filling.at = now
	msg := &p4v1.DigestList{DigestId: d.id, ListId: filling.id, Data: d.buffer, Timestamp: now.UnixNano()}
	d.buffer = nil
	d.nextList++
	response := &p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Digest{Digest: msg}}
	delivered := false
	for _, r := range *s.arbiter.primaries.Load() {
		if r.scope.allows(d.name) && offer(r.session.events, response) {
			delivered = true
		}
	}
	if !delivered {
		s.counts.eventsDropped.Add(1)
	}
	if !delivered || d.config.GetAckTimeoutNs() == 0 {
		d.forget(len(d.lists) - 1)
	}
}

// forget drops a sent list from the cache.
func (d *digestStream) forget(i int) {
	for _, key := range d.lists[i].keys {
		delete(d.known, key)
	}
	d.lists = append(d.lists[:i], d.lists[i+1:]...)
}

// sweepDigests sends lists that have waited long enough and gives up on
// acknowledgements that are overdue.
func (s *Server) sweepDigests() {
	t := s.running.Load()
	if t == nil || t.digests == nil {
		return
	}
	now := s.options.Now()
	streams := t.digests
	streams.mu.Lock()
	defer streams.mu.Unlock()
	for _, d := range streams.byID {
		if len(d.buffer) > 0 && now.Sub(d.since) >= time.Duration(d.config.GetMaxTimeoutNs()) {
			s.sendDigests(d)
		}
		for i := 0; i < len(d.lists); {
			if sent := d.lists[i].at; !sent.IsZero() && now.Sub(sent) >= time.Duration(d.config.GetAckTimeoutNs()) {
				d.forget(i)
				continue
			}
			i++
		}
	}
}

// ackDigest handles a controller's acknowledgement.
func (s *Server) ackDigest(peer *session, ack *p4v1.DigestListAck) error {
	if _, primary := s.arbiter.isPrimary(peer); !primary {
		return faultf(codes.PermissionDenied, "only the primary may acknowledge digests")
	}
	t := s.running.Load()
	if t == nil || t.schema == nil || t.schema.digestIDs[ack.GetDigestId()] == nil {
		return unknownID("digest", ack.GetDigestId())
	}
	streams := t.digests
	streams.mu.Lock()
	defer streams.mu.Unlock()
	d := streams.byID[ack.GetDigestId()]
	if d == nil || s.options.Quirks.NoDigestAck {
		return nil
	}
	for i := range d.lists {
		if d.lists[i].id == ack.GetListId() && !d.lists[i].at.IsZero() {
			d.forget(i)
			return nil
		}
	}
	return nil // late: the acknowledgement timed out before
}
