package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// ErrorKind is what an ICMP error tells, for both families.
type ErrorKind uint8

// Kinds of ICMP error, with type/code in ICMP and ICMPv6.
const (
	NoRoute         ErrorKind = iota + 1 // 3/0, 1/0: no route (R3)
	HostUnreachable                      // 3/1, 1/3: neighbour does not answer (R4); vport bound nowhere (E14)
	PortUnreachable                      // 3/3, 1/4
	Prohibited                           // 3/13, 1/1: by a filter or a reject route (R1)
	TooBig                               // 3/4 with the next hop's MTU (RFC 1191), 2/0 (RFC 8201)
	TTLExceeded                          // 11/0, 3/0
)

// String returns the kind in words.
func (k ErrorKind) String() string {
	switch k {
	case NoRoute:
		return "no route"
	case HostUnreachable:
		return "host unreachable"
	case PortUnreachable:
		return "port unreachable"
	case Prohibited:
		return "prohibited"
	case TooBig:
		return "too big"
	case TTLExceeded:
		return "TTL exceeded"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// v4 returns type and code in ICMP.
func (k ErrorKind) v4() (typ, code uint8) {
	switch k {
	case HostUnreachable:
		return ICMPUnreachable, 1
	case PortUnreachable:
		return ICMPUnreachable, 3
	case Prohibited:
		return ICMPUnreachable, 13
	case TooBig:
		return ICMPUnreachable, 4
	case TTLExceeded:
		return ICMPTimeExceeded, 0
	}
	return ICMPUnreachable, 0
}

// v6 returns type and code in ICMPv6.
func (k ErrorKind) v6() (typ, code uint8) {
	switch k {
	case HostUnreachable:
		return ICMPv6Unreachable, 3
	case PortUnreachable:
		return ICMPv6Unreachable, 4
	case Prohibited:
		return ICMPv6Unreachable, 1
	case TooBig:
		return ICMPv6TooBig, 0
	case TTLExceeded:
		return ICMPv6TimeExceed, 0
	}
	return ICMPv6Unreachable, 0
}

// ICMPError describes an ICMP error to build.
type ICMPError struct {
	Kind   ErrorKind
	MTU    uint32     // TooBig: of the next hop, in bytes of IP packet
	Src    netip.Addr // of the router that complains
	SrcMAC MAC        // unset: the MAC that the original was sent to
	DstMAC MAC        // unset: the MAC that the original came from
}

// Most bytes of an error: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c).
const (
	maxError4 = 576
	maxError6 = 1280
)

// tosInternetControl is the precedence of ICMP errors (RFC 1812 section 4.3.2.5).
const tosInternetControl = 0xc0

// AppendICMPError appends a frame to the sender of orig with the error and as much of orig as may be quoted. It fails with ErrNoAnswer if MayAnswer,
// or for TooBig MayAnswerTooBig, forbids it.
func AppendICMPError(b []byte, orig *Frame, e *ICMPError) ([]byte, error) {
	may := MayAnswer
	if e.Kind == TooBig {
		may = MayAnswerTooBig
	}
	if !may(orig) {
		return b, ErrNoAnswer
	}
	if e.Src.Is4() != orig.Is4() || !e.Src.IsValid() {
		return b, fmt.Errorf("ICMP error from %v: %w", e.Src, ErrNotIP)
	}
	src, dst := e.SrcMAC, e.DstMAC
	if src.IsZero() {
		src = orig.Dst()
	}
	if dst.IsZero() {
		dst = orig.Src()
	}
	h := ipHeader{src: e.Src, dst: orig.SrcAddr(), ttl: DefaultTTL}
	quote := orig.IPPacket()
	var info uint32
	if orig.Is4() {
		if e.Kind == TooBig {
			info = min(e.MTU, 0xffff)
		}
		typ, code := e.Kind.v4()
		h.tos, h.flags = tosInternetControl, flagDF // DF: an atomic datagram needs no id (RFC 6864)
		return h.appendICMP(b, dst, src, typ, code, info, quote[:min(len(quote), maxError4-IPv4Len-ICMPLen)]), nil
	}
	if e.Kind == TooBig {
		info = e.MTU
	}
	typ, code := e.Kind.v6()
	return h.appendICMP(b, dst, src, typ, code, info, quote[:min(len(quote), maxError6-IPv6Len-ICMPLen)]), nil
}

// MayAnswer reports whether an ICMP error about the frame may be sent to its sender: never about an ICMP error or redirect, a later fragment, a
// multicast or broadcast frame or packet, one with a bad header or cut short, nor if the source is not one host (RFC 1812 section 4.3.2.7, RFC 4443
// section 2.4 (e)); nor if it can't be told whether it is an ICMP error. That a packet is a broadcast of some subnet only the router knows.
func MayAnswer(f *Frame) bool {
	return mayAnswer(f) && f.Frag != FragLater && !f.Dst().IsMulticast() && !f.DstAddr().IsMulticast()
}

// MayAnswerTooBig is MayAnswer for TooBig. IPv6 then allows multicast, which path MTU discovery needs (RFC 4443 section 2.4 (e.3)), and later
// fragments, which RFC 4443 does not exclude.
func MayAnswerTooBig(f *Frame) bool {
	if f.Is4() {
		return MayAnswer(f)
	}
	return mayAnswer(f)
}

func mayAnswer(f *Frame) bool {
	if f.complete() == nil || !f.ChecksumOK() || !isHost(f.SrcAddr()) {
		return false
	}
	if f.Is6() {
		return !f.maybeICMPv6Error()
	}
	if f.DstAddr().As4() == [4]byte{255, 255, 255, 255} {
		return false
	}
	t, _ := f.ICMPType()
	return f.Proto != ProtoICMP || f.IsICMP() && isICMPQuery(t)
}

// isICMPQuery reports whether the ICMP type is a query or its answer, so no error nor redirect. Unknown types are taken for errors.
func isICMPQuery(t uint8) bool {
	switch t {
	case ICMPEchoReply, ICMPEchoRequest, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43: // router discovery, timestamp, information, mask; extended echo (RFC 8335)
		return true
	}
	return false
}

// maxExtensions is how many IPv6 extension headers are looked through to find an ICMPv6 error.
const maxExtensions = 8

// maybeICMPv6Error follows the extension headers, beyond what Parse does, and reports whether behind them is an ICMPv6 error or redirect, or can't be
// told not to be.
func (f *Frame) maybeICMPv6Error() bool {
	p := f.IPPacket()
	next, b := p[6], p[IPv6Len:]
	for range maxExtensions {
		n := 0
		switch next {
		case ProtoICMPv6:
			return len(b) == 0 || b[0] < ICMPv6EchoRequest || b[0] == ICMPv6Redirect
		case ProtoHopByHop, ProtoRouting, ProtoDestOpts:
			if len(b) >= 2 {
				n = 8 * (int(b[1]) + 1)
			}
		case ProtoAH:
			if len(b) >= 2 {
				n = 4 * (int(b[1]) + 2)
			}
		case ProtoFragment:
			if len(b) >= FragmentLen && binary.BigEndian.Uint16(b[2:])>>3 != 0 {
				return b[0] == ProtoICMPv6 // a later fragment
			}
			n = FragmentLen
		default:
			return false
		}
		if n == 0 || len(b) < n {
			return true
		}
		next, b = b[0], b[n:]
	}
	return true
}
