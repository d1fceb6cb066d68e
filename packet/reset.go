package packet

import (
	"encoding/binary"
	"fmt"
)

// AppendTCPReset appends the segment that a closed port would answer f with (RFC 9293 section 3.10.7.1), back to its sender from the addresses and ports
// that it was sent to. A reset, a fragment, a segment that is cut short or whose
// header is damaged, and what is to or from a group is not answered: ErrNoAnswer.
func AppendTCPReset(b []byte, f *Frame) ([]byte, error) {
	seg, ok := f.Segment()
	switch {
	case f.Proto != ProtoTCP || f.L4 == 0 || f.Frag != FragNone || f.TCPFlags&TCPRst != 0:
		return b, ErrNoAnswer
	case !isHost(f.SrcAddr()) || !isHost(f.DstAddr()) || f.Dst().IsMulticast():
		return b, ErrNoAnswer
	case !f.ChecksumOK():
		return b, fmt.Errorf("%w: %w", ErrNoAnswer, ErrChecksum)
	case !ok:
		return b, fmt.Errorf("%w: %w", ErrNoAnswer, ErrTruncated)
	}
	seq, ack, flags := seg.Ack, uint32(0), byte(TCPRst)
	if f.TCPFlags&TCPAck == 0 {
		seq, ack, flags = 0, seg.Seq+seg.Len, TCPRst|TCPAck
	}
	h := ipHeader{src: f.DstAddr(), dst: f.SrcAddr(), proto: ProtoTCP, ttl: DefaultTTL, flags: flagDF}
	b = appendEthernet(b, f.Src(), f.Dst(), h.etherType())
	b = h.append(b, TCPLen)
	at := len(b)
	b = binary.BigEndian.AppendUint16(b, f.DstPort)
	b = binary.BigEndian.AppendUint16(b, f.SrcPort)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, ack)
	b = append(b, TCPLen/4<<4, flags, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint16(b[at+16:], PseudoSum(h.src, h.dst, ProtoTCP, TCPLen).Add(b[at:]).Fold())
	return b, nil
}
