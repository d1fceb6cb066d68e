package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Quoted is the packet that an ICMP error quotes, as far as it is there.
type Quoted struct {
	Src, Dst         netip.Addr
	Proto            uint8
	SrcPort, DstPort uint16 // as of a Frame
	l3, l4           int    // offsets in the frame
}

// IsICMPError reports whether a frame that IsICMP is an ICMP error: of RFC 792 or RFC 4443.
func IsICMPError(f *Frame) bool {
	t, _ := f.ICMPType()
	if f.Is6() {
		return t < ICMPv6EchoRequest
	}
	switch t {
	case ICMPUnreachable, 4, 5, ICMPTimeExceeded, 12: // quench, redirect, parameter problem
		return true
	}
	return false
}

// IsRedirect reports whether a frame that IsICMP tells a host another way (RFC 792, RFC 4861 section 4.5).
func IsRedirect(f *Frame) bool {
	t, _ := f.ICMPType()
	return f.Is4() && t == 5 || f.Is6() && t == ICMPv6Redirect
}

// Quote reads what an ICMP error quotes: the headers of a whole packet or a first fragment, of TCP, UDP, SCTP or ICMP. Others, and what is cut short, are
// not understood.
func Quote(f *Frame) (q Quoted, ok bool) {
	if !f.IsICMP() || f.L4 == 0 || !IsICMPError(f) {
		return q, false
	}
	q.l3 = f.L4 + ICMPLen
	end := min(len(f.Data), f.L3+f.IPLen())
	if q.l3 >= end {
		return q, false
	}
	b := f.Data[q.l3:end]
	n := 0
	if f.Is4() {
		if len(b) < IPv4Len || b[0]>>4 != 4 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return q, false
		}
		n = int(b[0]&15) * 4
		q.Proto = b[9]
		q.Src, q.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	} else {
		if len(b) < IPv6Len || b[0]>>4 != 6 {
			return q, false
		}
		n, q.Proto = IPv6Len, b[6]
		q.Src, q.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		if q.Proto == ProtoFragment {
			if len(b) < n+FragmentLen || binary.BigEndian.Uint16(b[n+2:])>>3 != 0 {
				return q, false
			}
			q.Proto = b[n]
			n += FragmentLen
		}
	}
	if n < IPv4Len || len(b) < n+8 {
		return q, false
	}
	q.l4 = q.l3 + n
	switch q.Proto {
	case ProtoTCP, ProtoUDP, ProtoSCTP:
		q.SrcPort, q.DstPort = binary.BigEndian.Uint16(b[n:]), binary.BigEndian.Uint16(b[n+2:])
	case ProtoICMP, ProtoICMPv6:
		q.SrcPort, q.DstPort = binary.BigEndian.Uint16(b[n:]), binary.BigEndian.Uint16(b[n+4:])
	default:
		return q, false
	}
	return q, true
}

// RewriteQuote gives the packet that an ICMP error quotes other addresses and ports, in place, and settles the error's checksum. frame has the layout of f, and
// may have other outer addresses by now. ICMP has DstPort alone, the identifier; SCTP keeps its ports. The quoted packet's checksums go with it. An error whose
// checksum was wrong stays as it is.
func RewriteQuote(frame []byte, f *Frame, src, dst netip.Addr, srcPort, dstPort uint16) error {
	q, ok := Quote(f)
	if !ok || src.Is4() != f.Is4() || dst.Is4() != f.Is4() {
		return fmt.Errorf("ICMP error: %w", ErrInvalid)
	}
	n := f.L3 + f.IPLen()
	if n > len(frame) {
		return fmt.Errorf("ICMP error: %w", ErrTruncated)
	}
	msg := frame[f.L4:n]
	pseudo := func() Sum {
		if f.Is4() {
			return Sum(0)
		}
		return PseudoSum(netip.AddrFrom16([16]byte(frame[f.L3+8:])), netip.AddrFrom16([16]byte(frame[f.L3+24:])), ProtoICMPv6, len(msg))
	}
	if pseudo().Add(msg).Fold() != 0 {
		return fmt.Errorf("ICMP error: %w", ErrChecksum)
	}
	inner, l4 := frame[q.l3:n], frame[q.l4:n]
	at, size := 8, 32
	if f.Is4() {
		at, size = 12, 8
	}
	addrs := inner[at : at+size]
	was := q.summed(addrs, l4)
	copy(addrs, src.AsSlice())
	copy(addrs[size/2:], dst.AsSlice())
	if f.Is4() {
		h := inner[:q.l4-q.l3]
		h[10], h[11] = 0, 0
		binary.BigEndian.PutUint16(h[10:], Checksum(h))
	}
	switch q.Proto {
	case ProtoTCP, ProtoUDP:
		binary.BigEndian.PutUint16(l4, srcPort)
		binary.BigEndian.PutUint16(l4[2:], dstPort)
	case ProtoICMP, ProtoICMPv6:
		binary.BigEndian.PutUint16(l4[4:], dstPort)
	}
	q.settle(l4, was, q.summed(addrs, l4))
	msg[2], msg[3] = 0, 0
	binary.BigEndian.PutUint16(msg[2:], pseudo().Add(msg).Fold())
	return nil
}

// summed returns the sum of what RewriteQuote may change of what the quoted packet's own checksum covers. addrs are its addresses, l4 what is behind its IP header.
func (q *Quoted) summed(addrs, l4 []byte) uint16 {
	var s Sum
	switch q.Proto {
	case ProtoTCP, ProtoUDP:
		s = s.Add(addrs).Add(l4[:4])
	case ProtoICMPv6:
		s = s.Add(addrs).Add(l4[4:6])
	case ProtoICMP:
		s = s.Add(l4[4:6])
	}
	return ^s.Fold()
}

// settle changes the quoted packet's own checksum, if that is quoted, as it did on its way (RFC 5508 section 4.2): what it covers had the sum was, and has is.
// A datagram without checksum stays one (RFC 768).
func (q *Quoted) settle(l4 []byte, was, is uint16) {
	at := 2
	switch q.Proto {
	case ProtoTCP:
		at = 16
	case ProtoUDP:
		at = 6
	case ProtoSCTP:
		return
	}
	if len(l4) < at+2 {
		return
	}
	sum := binary.BigEndian.Uint16(l4[at:])
	if q.Proto == ProtoUDP && sum == 0 {
		return
	}
	sum = UpdateChecksum(sum, was, is)
	if q.Proto == ProtoUDP && sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(l4[at:], sum)
}
