package host

import (
	"encoding/binary"
	"net/netip"
)

const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	protoFrag6 = 44

	// ProtoICMP4 and the others are protocol numbers of IP headers.
	ProtoICMP4 = 1
	ProtoTCP   = 6
	ProtoUDP   = 17
	ProtoICMP6 = 58
)

// parseICMPError returns the ICMP error in an untagged frame, or nil if it holds none.
func parseICMPError(frame []byte) *ICMPError {
	if len(frame) < 14 {
		return nil
	}
	var outer, quoted ipHeader
	switch packet := frame[14:]; binary.BigEndian.Uint16(frame[12:]) {
	case etherIPv4:
		if !outer.parse4(packet) || outer.proto != ProtoICMP4 {
			return nil
		}
	case etherIPv6:
		if !outer.parse6(packet) || outer.proto != ProtoICMP6 {
			return nil
		}
	default:
		return nil
	}
	message := outer.payload
	if len(message) < 8 {
		return nil
	}
	e := &ICMPError{From: outer.src, Type: message[0], Code: message[1]}
	switch {
	case outer.src.Is4():
		if e.Kind = kind4(e.Type, e.Code); e.Kind == "" || !quoted.parse4(message[8:]) {
			return nil
		}
		e.MTU = uint32(binary.BigEndian.Uint16(message[6:]))
	default:
		if e.Kind = kind6(e.Type, e.Code); e.Kind == "" || !quoted.parse6(message[8:]) {
			return nil
		}
		e.MTU = binary.BigEndian.Uint32(message[4:])
	}
	if e.Kind != TooBig {
		e.MTU = 0
	}
	e.Proto = quoted.proto
	src, dst := quoted.ports()
	e.Src, e.Dst = netip.AddrPortFrom(quoted.src, src), netip.AddrPortFrom(quoted.dst, dst)
	return e
}

// EchoReply is an answer to an echo request.
type EchoReply struct {
	From    netip.Addr
	ID, Seq uint16
	TTL     uint8
}

// ParseEchoReply returns the echo reply in an untagged frame.
func ParseEchoReply(frame []byte) (r EchoReply, ok bool) {
	if len(frame) < 14 {
		return r, false
	}
	var ip ipHeader
	var typ uint8
	switch packet := frame[14:]; binary.BigEndian.Uint16(frame[12:]) {
	case etherIPv4:
		if !ip.parse4(packet) || ip.proto != ProtoICMP4 {
			return r, false
		}
		r.TTL = packet[8]
	case etherIPv6:
		if !ip.parse6(packet) || ip.proto != ProtoICMP6 {
			return r, false
		}
		r.TTL, typ = packet[7], 129
	default:
		return r, false
	}
	if len(ip.payload) < 8 || ip.payload[0] != typ {
		return r, false
	}
	r.From, r.ID, r.Seq = ip.src, binary.BigEndian.Uint16(ip.payload[4:]), binary.BigEndian.Uint16(ip.payload[6:])
	return r, true
}

// ipHeader is the part of an IPv4 or IPv6 header that errors are matched by.
type ipHeader struct {
	src, dst netip.Addr
	proto    uint8
	payload  []byte // empty in a fragment other than the first
}

func (h *ipHeader) parse4(b []byte) bool {
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	length := int(b[0]&0xf) * 4
	if length < 20 || length > len(b) {
		return false
	}
	h.src, h.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	h.proto, h.payload = b[9], b[length:]
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		h.payload = nil
	}
	return true
}

func (h *ipHeader) parse6(b []byte) bool {
	if len(b) < 40 || b[0]>>4 != 6 {
		return false
	}
	h.src, h.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	h.proto, h.payload = b[6], b[40:]
	if h.proto == protoFrag6 && len(h.payload) >= 8 {
		first := binary.BigEndian.Uint16(h.payload[2:])&^7 == 0
		h.proto, h.payload = h.payload[0], h.payload[8:]
		if !first {
			h.payload = nil
		}
	}
	return true
}

// ports are the transport ports, or identifier and sequence number of an echo request.
func (h *ipHeader) ports() (src, dst uint16) {
	b := h.payload
	switch {
	case (h.proto == ProtoTCP || h.proto == ProtoUDP) && len(b) >= 4:
		return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case (h.proto == ProtoICMP4 && len(b) >= 8 && b[0] == 8) || (h.proto == ProtoICMP6 && len(b) >= 8 && b[0] == 128):
		return binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	}
	return 0, 0
}

func kind4(typ, code uint8) Kind {
	switch typ {
	case 3:
		switch code {
		case 0, 6, 11:
			return NetUnreachable
		case 1, 7, 12:
			return HostUnreachable
		case 2:
			return ProtocolUnreachable
		case 3:
			return PortUnreachable
		case 4:
			return TooBig
		case 5:
			return SourceFailed
		case 9, 10, 13:
			return AdminProhibited
		}
		return OtherKind
	case 11:
		if code == 0 {
			return TTLExceeded
		}
		return ReassemblyTimeout
	case 12:
		return ParameterProblem
	}
	return ""
}

func kind6(typ, code uint8) Kind {
	switch typ {
	case 1:
		switch code {
		case 0:
			return NetUnreachable
		case 1:
			return AdminProhibited
		case 3:
			return HostUnreachable
		case 4:
			return PortUnreachable
		case 5:
			return SourceFailed
		case 6:
			return RejectRoute
		}
		return OtherKind
	case 2:
		return TooBig
	case 3:
		if code == 0 {
			return TTLExceeded
		}
		return ReassemblyTimeout
	case 4:
		if code == 1 {
			return ProtocolUnreachable
		}
		return ParameterProblem
	}
	return ""
}
