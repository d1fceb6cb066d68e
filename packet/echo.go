package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// IsEchoRequest reports whether the frame is a ping.
func (f *Frame) IsEchoRequest() bool {
	if !f.IsICMP() {
		return false
	}
	t, _ := f.ICMPType()
	return f.Is4() && t == ICMPEchoRequest || f.Is6() && t == ICMPv6EchoRequest
}

// AppendEchoReply appends the answer to the echo request q, back to its sender from the addresses that it was sent to (RFC 1812 section 4.3.3.6,
// RFC 4443 section 4.2). A request that is cut short, a fragment, damaged, or to or from a group is not answered.
func AppendEchoReply(b []byte, q *Frame) ([]byte, error) {
	p := q.complete()
	switch {
	case !q.IsEchoRequest():
		return b, ErrNotEcho
	case p == nil:
		return b, fmt.Errorf("%w: %w", ErrNotEcho, ErrTruncated)
	case q.Frag != FragNone:
		return b, fmt.Errorf("%w: a fragment", ErrNotEcho)
	case !isHost(q.SrcAddr()) || !isHost(q.DstAddr()) || q.Dst().IsMulticast():
		return b, fmt.Errorf("%w: %v to %v", ErrNotEcho, q.SrcAddr(), q.DstAddr())
	}
	if len(p) < q.L4-q.L3+ICMPLen {
		return b, fmt.Errorf("%w: %w", ErrNotEcho, ErrTruncated)
	}
	msg := p[q.L4-q.L3:]
	var sum Sum
	if q.Is6() {
		sum = PseudoSum(q.SrcAddr(), q.DstAddr(), ProtoICMPv6, len(msg))
	}
	if !q.ChecksumOK() || sum.Add(msg).Fold() != 0 {
		return b, fmt.Errorf("%w: %w", ErrNotEcho, ErrChecksum)
	}
	h := ipHeader{src: q.DstAddr(), dst: q.SrcAddr(), ttl: DefaultTTL, tos: q.TOS()}
	typ := uint8(ICMPv6EchoReply)
	if q.Is4() {
		typ = ICMPEchoReply
		h.id = binary.BigEndian.Uint16(p[4:])
		h.flags = binary.BigEndian.Uint16(p[6:]) & flagDF
	}
	return h.appendICMP(b, q.Src(), q.Dst(), typ, 0, binary.BigEndian.Uint32(msg[4:]), msg[ICMPLen:]), nil
}

// AppendEchoRequest appends a ping of 8 bytes without Ethernet addresses. src and dst are of one family.
func AppendEchoRequest(b []byte, src, dst netip.Addr, id, seq uint16) []byte {
	h := ipHeader{src: src, dst: dst, ttl: DefaultTTL}
	typ := uint8(ICMPEchoRequest)
	if !src.Is4() {
		typ = ICMPv6EchoRequest
	}
	return h.appendICMP(b, MAC{}, MAC{}, typ, 0, uint32(id)<<16|uint32(seq), []byte("monitor."))
}

// EchoReply returns the identifier and sequence number of an answer to a ping; ok is false if the frame is none, or if it is damaged, cut short, or a fragment.
func EchoReply(f *Frame) (id, seq uint16, ok bool) {
	if !f.IsICMP() || f.Frag != FragNone {
		return 0, 0, false
	}
	t, _ := f.ICMPType()
	p := f.complete()
	if t != ICMPEchoReply && f.Is4() || t != ICMPv6EchoReply && f.Is6() || len(p) < f.L4-f.L3+ICMPLen {
		return 0, 0, false
	}
	msg := p[f.L4-f.L3:]
	var sum Sum
	if f.Is6() {
		sum = PseudoSum(f.SrcAddr(), f.DstAddr(), ProtoICMPv6, len(msg))
	}
	if sum.Add(msg).Fold() != 0 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(msg[4:]), binary.BigEndian.Uint16(msg[6:]), true
}
