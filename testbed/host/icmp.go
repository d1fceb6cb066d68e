package host

import (
	"encoding/binary"
	"net/netip"
)

const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	protoICMP4 = 1
	protoTCP   = 6
	protoUDP   = 17
	protoFrag6 = 44
	protoICMP6 = 58
)

// watch waits for ICMP errors about packets to one destination.
type watch struct {
	proto uint8
	dst   netip.Addr
	src   uint16 // local port or echo identifier; zero: any
	got   chan *ICMPError
}

// watchErrors starts to collect ICMP errors that quote packets of proto to dst; at most 16
// wait unread. The caller ends it.
func (h *Host) watchErrors(proto uint8, dst netip.Addr, src uint16) (w *watch, end func()) {
	w = &watch{proto: proto, dst: dst, src: src, got: make(chan *ICMPError, 16)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watches[w] = struct{}{}
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watches, w)
	}
}

// observe sees each received frame before the stack: for taps and for ICMP errors, of which
// the stack's echo sockets tell nothing.
func (h *Host) observe(frame []byte) {
	icmpErr := parseICMPError(frame)
	h.mu.Lock()
	defer h.mu.Unlock()
	for tap := range h.taps {
		tap.record(frame)
	}
	if icmpErr == nil {
		return
	}
	for w := range h.watches {
		if w.proto != icmpErr.Proto || w.dst != icmpErr.Dst.Addr() || w.src != 0 && w.src != icmpErr.Src.Port() {
			continue
		}
		select {
		case w.got <- icmpErr:
		default:
		}
	}
}

// parseICMPError returns the ICMP error in an untagged frame, or nil if it holds none.
func parseICMPError(frame []byte) *ICMPError {
	if len(frame) < 14 {
		return nil
	}
	var outer, quoted ipHeader
	switch packet := frame[14:]; binary.BigEndian.Uint16(frame[12:]) {
	case etherIPv4:
		if !outer.parse4(packet) || outer.proto != protoICMP4 {
			return nil
		}
	case etherIPv6:
		if !outer.parse6(packet) || outer.proto != protoICMP6 {
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
	case (h.proto == protoTCP || h.proto == protoUDP) && len(b) >= 4:
		return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case (h.proto == protoICMP4 && len(b) >= 8 && b[0] == 8) || (h.proto == protoICMP6 && len(b) >= 8 && b[0] == 128):
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
