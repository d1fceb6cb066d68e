package packet

import "encoding/binary"

// Segment is the place of a TCP segment in its stream (RFC 9293 section 3.4).
type Segment struct {
	Seq, Ack uint32 // Ack is valid with the flag of that name
	Len      uint32 // sequence numbers that it takes: those of its bytes, SYN and FIN
}

// Segment reads the numbers of a whole TCP segment; false: it is none, or is cut short.
func (f *Frame) Segment() (s Segment, ok bool) {
	if f.Proto != ProtoTCP || f.L4 == 0 || f.Frag != FragNone {
		return s, false
	}
	p := f.complete()
	if len(p) < f.L4-f.L3+TCPLen {
		return s, false
	}
	seg := p[f.L4-f.L3:]
	header := int(seg[12]>>4) * 4
	if header < TCPLen || header > len(seg) {
		return s, false
	}
	s = Segment{Seq: binary.BigEndian.Uint32(seg[4:]), Ack: binary.BigEndian.Uint32(seg[8:]), Len: uint32(len(seg) - header)}
	for _, bit := range []uint8{TCPSyn, TCPFin} {
		if f.TCPFlags&bit != 0 {
			s.Len++
		}
	}
	return s, true
}
