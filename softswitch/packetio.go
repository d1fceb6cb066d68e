package softswitch

import (
	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"

	"github.com/weft-sdn/weft/softswitch/port"
)

// headerSchema is the layout of a controller header: its fields in order, packed.
type headerSchema struct {
	fields []headerField
	size   int // bytes
}

type headerField struct {
	id     uint32
	name   string
	offset int // bits from the start
	width  int // bits
	tr     *translation
}

// addHeaders reads the ControllerPacketMetadata.
func (s *schema) addHeaders() error {
	for _, m := range s.info.GetControllerPacketMetadata() {
		h := &headerSchema{}
		bits, translated := 0, false
		for _, f := range m.GetMetadata() {
			tr := s.translationOf(f.GetTypeName())
			translated = translated || tr != nil
			if f.GetId() == 0 || f.GetBitwidth() <= 0 && (tr == nil || !tr.text) {
				return invalidf("controller header %s: field %s: id %d, %d bits: not supported",
					m.GetPreamble().GetName(), f.GetName(), f.GetId(), f.GetBitwidth())
			}
			h.fields = append(h.fields, headerField{id: f.GetId(), name: f.GetName(), offset: bits, width: int(f.GetBitwidth()), tr: tr})
			bits += int(f.GetBitwidth())
		}
		if bits%8 != 0 && !translated { // the program tells the width of a translated field
			return invalidf("controller header %s has %d bits: not a multiple of 8", m.GetPreamble().GetName(), bits)
		}
		h.size = bits / 8
		if err := s.setHeader(m.GetPreamble(), h); err != nil {
			return err
		}
	}
	return nil
}

func (s *schema) setHeader(p *configv1.Preamble, h *headerSchema) error {
	slot := map[string]**headerSchema{"packet_in": &s.packetIn, "packet_out": &s.packetOut}[p.GetName()]
	if slot == nil {
		return invalidf("controller header %s is neither packet_in nor packet_out", p.GetName())
	}
	if *slot != nil {
		return invalidf("controller header %s is there twice", p.GetName())
	}
	*slot = h
	return nil
}

// get reads the field at offset as a canonical byte string in memory of its own.
func (f headerField) get(header []byte) []byte {
	out := make([]byte, (f.width+7)/8)
	if (f.offset|f.width)%8 == 0 {
		copy(out, header[f.offset/8:])
		return canonical(out)
	}
	for bit := range f.width {
		from := f.offset + bit
		if header[from/8]&(0x80>>(from%8)) != 0 {
			to := len(out)*8 - f.width + bit
			out[to/8] |= 0x80 >> (to % 8)
		}
	}
	return canonical(out)
}

// put writes value, which fits, into a header of zeros.
func (f headerField) put(header, value []byte) {
	value = trim(value)
	if (f.offset|f.width)%8 == 0 {
		end := (f.offset + f.width) / 8
		copy(header[end-len(value):end], value)
		return
	}
	for bit := range min(f.width, len(value)*8) {
		from := len(value)*8 - 1 - bit
		if value[from/8]&(0x80>>(from%8)) != 0 {
			to := f.offset + f.width - 1 - bit
			header[to/8] |= 0x80 >> (to % 8)
		}
	}
}

// encode appends the header that metadata describes: each field exactly once.
func (h *headerSchema) encode(out []byte, metadata []*p4v1.PacketMetadata) ([]byte, error) {
	start := len(out)
	for range h.size {
		out = append(out, 0)
	}
	header := out[start:]
	for i, f := range h.fields {
		found := false
		for j := range metadata {
			m := metadata[(i+j)%len(metadata)] // usually at the same place
			if m.GetMetadataId() != f.id {
				continue
			}
			if found {
				return nil, invalidf("metadata id %d is there twice", f.id)
			}
			value, err := f.decode(m.GetValue())
			if err != nil {
				return nil, invalidf("metadata id %d: %v", f.id, err)
			}
			f.put(header, value)
			found = true
		}
		if !found {
			return nil, invalidf("metadata id %d is missing", f.id)
		}
	}
	if len(metadata) != len(h.fields) {
		return nil, invalidf("%d metadata values for %d fields", len(metadata), len(h.fields))
	}
	return out, nil
}

// decode makes the metadata of a header.
func (h *headerSchema) decode(header []byte) []*p4v1.PacketMetadata {
	out, memory := make([]*p4v1.PacketMetadata, len(h.fields)), make([]p4v1.PacketMetadata, len(h.fields))
	for i, f := range h.fields {
		value := f.get(header)
		if f.tr != nil {
			value = f.tr.toSDN(value)
		}
		out[i] = &memory[i]
		out[i].MetadataId, out[i].Value = f.id, value
	}
	return out
}

// decode checks the value of a field and translates it.
func (f headerField) decode(b []byte) ([]byte, error) {
	if f.tr != nil {
		return f.tr.toCore(b)
	}
	return b, checkWidth(b, f.width)
}

// packetIn takes a frame that left by the CPU port to the primaries. frame is the
// pipeline's.
func (s *Server) packetIn(t *target, frame []byte) {
	if s.options.Quirks.NoPackets {
		return
	}
	msg := &p4v1.PacketIn{}
	if t.schema != nil && t.schema.packetIn != nil {
		h := t.schema.packetIn
		if len(frame) < h.size {
			s.counts.packetInMalformed.Add(1)
			return
		}
		msg.Metadata = h.decode(frame[:h.size])
		frame = frame[h.size:]
	}
	msg.Payload = append([]byte(nil), frame...)
	response := &p4v1.StreamMessageResponse{Update: &p4v1.StreamMessageResponse_Packet{Packet: msg}}
	delivered := false
	for _, r := range *s.arbiter.primaries.Load() {
		if r.scope.allowsPacketIn() && offer(r.session.packets, response) {
			delivered = true
		}
	}
	if delivered {
		s.counts.packetIns.Add(1)
	} else {
		s.counts.packetInsDropped.Add(1)
	}
}

// packetOut injects a controller's packet at the CPU port.
func (s *Server) packetOut(peer *session, msg *p4v1.PacketOut) error {
	sc, primary := s.arbiter.isPrimary(peer)
	if !primary {
		return faultf(codes.PermissionDenied, "only the primary may send packets")
	}
	if !sc.allowsPacketOut() {
		return faultf(codes.PermissionDenied, "the role may not send packets")
	}
	if s.options.Quirks.NoPackets {
		return nil
	}
	if s.options.CPUPort == 0 {
		return faultf(codes.Unimplemented, "this switch has no CPU port")
	}
	t := s.running.Load()
	if t == nil || t.schema == nil {
		return faultf(codes.FailedPrecondition, "no forwarding pipeline is set")
	}
	h := t.schema.packetOut
	if h == nil {
		h = &headerSchema{}
	}
	if len(msg.GetPayload()) > port.MaxFrame {
		return invalidf("payload of %d bytes is longer than %d", len(msg.GetPayload()), port.MaxFrame)
	}
	frame, err := h.encode(make([]byte, 0, h.size+len(msg.GetPayload())), msg.GetMetadata())
	if err != nil {
		return err
	}
	frame = append(frame, msg.GetPayload()...)
	s.counts.packetOuts.Add(1)
	s.gate.RLock()
	defer s.gate.RUnlock()
	t.machine.Process(s.options.CPUPort, frame)
	s.flush()
	return nil
}
