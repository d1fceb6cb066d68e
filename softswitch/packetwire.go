package softswitch

import (
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// packetOutParts are the messages that a packet-out is made of, in one piece of memory.
type packetOutParts struct {
	which    p4v1.StreamMessageRequest_Packet
	packet   p4v1.PacketOut
	metadata [8]p4v1.PacketMetadata
	list     [8]*p4v1.PacketMetadata
}

// unmarshalStream is proto.Unmarshal for an empty request. The request keeps b.
func unmarshalStream(b []byte, req *p4v1.StreamMessageRequest) error {
	if decodePacketOut(b, req) {
		return nil
	}
	proto.Reset(req)
	return proto.Unmarshal(b, req)
}

// decodePacketOut decodes a packet-out as clients make them; false if it meets anything else, or anything wrong: the library knows what to make of it.
func decodePacketOut(b []byte, req *p4v1.StreamMessageRequest) bool {
	var f field
	if rest := f.next(b); rest == nil || len(rest) > 0 || !f.is(2, protowire.BytesType) {
		return false
	}
	p := new(packetOutParts)
	n := 0
	for b = f.bytes; len(b) > 0; {
		if b = f.next(b); b == nil {
			return false
		}
		switch {
		case f.is(1, protowire.BytesType):
			p.packet.Payload = f.bytes
		case f.is(2, protowire.BytesType) && n < len(p.metadata):
			if p.list[n] = &p.metadata[n]; !decodeMetadata(f.bytes, p.list[n]) {
				return false
			}
			n++
		default:
			return false
		}
	}
	if n > 0 {
		p.packet.Metadata = p.list[:n:n]
	}
	p.which.Packet, req.Update = &p.packet, &p.which
	return true
}

func decodeMetadata(b []byte, m *p4v1.PacketMetadata) bool {
	return numbered(b, 1, &m.MetadataId, &m.Value)
}
