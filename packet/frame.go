package packet

import (
	"encoding/binary"
	"net/netip"
)

// EtherTypes.
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeVLAN = 0x8100
	EtherTypeIPv6 = 0x86dd
)

// IP protocol numbers.
const (
	ProtoHopByHop = 0
	ProtoICMP     = 1
	ProtoIGMP     = 2
	ProtoTCP      = 6
	ProtoUDP      = 17
	ProtoRouting  = 43
	ProtoFragment = 44
	ProtoGRE      = 47
	ProtoAH       = 51
	ProtoICMPv6   = 58
	ProtoNoNext   = 59
	ProtoDestOpts = 60
	ProtoSCTP     = 132
)

// ICMP and ICMPv6 types.
const (
	ICMPEchoReply     = 0
	ICMPUnreachable   = 3
	ICMPEchoRequest   = 8
	ICMPTimeExceeded  = 11
	ICMPv6Unreachable = 1
	ICMPv6TooBig      = 2
	ICMPv6TimeExceed  = 3
	ICMPv6EchoRequest = 128
	ICMPv6EchoReply   = 129
	ICMPv6RouterSol   = 133
	ICMPv6RouterAdv   = 134
	ICMPv6NeighSol    = 135
	ICMPv6NeighAdv    = 136
	ICMPv6Redirect    = 137
)

// TCP flags.
const (
	TCPFin = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
)

// Header lengths in bytes.
const (
	EthernetLen = 14
	VLANLen     = 4
	IPv4Len     = 20
	IPv6Len     = 40
	FragmentLen = 8
	TCPLen      = 20
	UDPLen      = 8
	ICMPLen     = 8
)

// Frag is the fragment class of a packet (FRAG_* of p4src/shared/ids.p4).
type Frag uint8

// Fragment classes.
const (
	FragNone  Frag = 0 // not fragmented; also an IPv6 atomic fragment (RFC 6946)
	FragFirst Frag = 1 // has the L4 header
	FragLater Frag = 2 // has none
)

// Frame is a parsed frame: offsets into Data and the fields of the flow key. It is valid iff Parse returned nil.
type Frame struct {
	Data      []byte // borrowed
	L3        int    // offset of the IPv4 or IPv6 header, 0 = none
	L4        int    // offset of the TCP, UDP, SCTP, ICMP or ICMPv6 header, 0 = none
	EtherType uint16 // behind the tag, if there is one
	VLAN      uint16 // VLAN id of the tag
	Tagged    bool   // has a tag 0x8100, which was looked through
	Proto     uint8  // IPv4 protocol, or IPv6 next header behind a fragment header; 0 if not IP
	Frag      Frag
	SrcPort   uint16 // TCP, UDP, SCTP; ICMP: type<<8 | code
	DstPort   uint16 // TCP, UDP, SCTP; ICMP echo and echo reply: identifier
	TCPFlags  uint8
}

// Dst returns the destination MAC.
func (f *Frame) Dst() MAC { return MAC(f.Data[0:6]) }

// Src returns the source MAC.
func (f *Frame) Src() MAC { return MAC(f.Data[6:12]) }

// Is4 reports whether the frame holds an IPv4 packet.
func (f *Frame) Is4() bool { return f.EtherType == EtherTypeIPv4 && f.L3 != 0 }

// Is6 reports whether the frame holds an IPv6 packet.
func (f *Frame) Is6() bool { return f.EtherType == EtherTypeIPv6 && f.L3 != 0 }

// IsARP reports whether the frame's EtherType is ARP.
func (f *Frame) IsARP() bool { return f.EtherType == EtherTypeARP }

// IsICMP reports whether the frame holds the first bytes of an ICMP message of its own IP version.
func (f *Frame) IsICMP() bool {
	return f.L4 != 0 && (f.Proto == ProtoICMP && f.Is4() || f.Proto == ProtoICMPv6 && f.Is6())
}

// ICMPType returns type and code; valid iff IsICMP.
func (f *Frame) ICMPType() (typ, code uint8) { return uint8(f.SrcPort >> 8), uint8(f.SrcPort) }

// L2Len returns the length of the Ethernet header with its tag: the offset of what EtherType names.
func (f *Frame) L2Len() int {
	if f.Tagged {
		return EthernetLen + VLANLen
	}
	return EthernetLen
}

// SrcAddr returns the IP source address, the zero Addr if the frame is not IP.
func (f *Frame) SrcAddr() netip.Addr {
	switch {
	case f.Is4():
		return netip.AddrFrom4([4]byte(f.Data[f.L3+12:]))
	case f.Is6():
		return netip.AddrFrom16([16]byte(f.Data[f.L3+8:]))
	}
	return netip.Addr{}
}

// DstAddr returns the IP destination address, the zero Addr if the frame is not IP.
func (f *Frame) DstAddr() netip.Addr {
	switch {
	case f.Is4():
		return netip.AddrFrom4([4]byte(f.Data[f.L3+16:]))
	case f.Is6():
		return netip.AddrFrom16([16]byte(f.Data[f.L3+24:]))
	}
	return netip.Addr{}
}

// TTL returns the IPv4 TTL or the IPv6 hop limit, 0 if the frame is not IP.
func (f *Frame) TTL() uint8 {
	switch {
	case f.Is4():
		return f.Data[f.L3+8]
	case f.Is6():
		return f.Data[f.L3+7]
	}
	return 0
}

// IPLen returns the length of the IP packet that its header states, in bytes with that header: what an MTU limits. 0 if the frame is not IP.
// It may be more or less than the frame holds: IPRoom.
func (f *Frame) IPLen() int {
	switch {
	case f.Is4():
		return int(binary.BigEndian.Uint16(f.Data[f.L3+2:]))
	case f.Is6():
		return int(binary.BigEndian.Uint16(f.Data[f.L3+4:])) + IPv6Len
	}
	return 0
}

// IPRoom returns how many bytes of the frame its IP packet can have: all from the IP header on, padding too. 0 if the frame is not IP.
func (f *Frame) IPRoom() int {
	if f.L3 == 0 {
		return 0
	}
	return len(f.Data) - f.L3
}

// TOS returns the IPv4 TOS or the IPv6 traffic class: DSCP and ECN.
func (f *Frame) TOS() uint8 {
	switch {
	case f.Is4():
		return f.Data[f.L3+1]
	case f.Is6():
		return f.Data[f.L3]<<4 | f.Data[f.L3+1]>>4
	}
	return 0
}

// DSCP returns the differentiated services code point (RFC 2474).
func (f *Frame) DSCP() uint8 { return f.TOS() >> 2 }

// DontFragment reports whether routers must not fragment the packet: IPv4 with DF, and all IPv6.
func (f *Frame) DontFragment() bool { return f.Is6() || f.Is4() && f.Data[f.L3+6]&0x40 != 0 }

// IPHeaderLen returns the length of the IPv4 header with options, or of the IPv6 header with a fragment header that follows at once. 0 if the frame is not IP.
func (f *Frame) IPHeaderLen() int {
	switch {
	case f.Is4():
		return int(f.Data[f.L3]&0xf) * 4
	case f.Is6() && f.Data[f.L3+6] == ProtoFragment:
		return IPv6Len + FragmentLen
	case f.Is6():
		return IPv6Len
	}
	return 0
}

// IPPacket returns the IP packet as far as the frame holds it, without padding behind it. It is nil if the frame is not IP,
// or if the stated length is less than the headers'.
func (f *Frame) IPPacket() []byte {
	n := f.IPLen()
	if f.L3 == 0 || n < f.IPHeaderLen() {
		return nil
	}
	return f.Data[f.L3:min(len(f.Data), f.L3+n)]
}

// complete returns the IP packet iff the frame holds all of it.
func (f *Frame) complete() []byte {
	if p := f.IPPacket(); len(p) == f.IPLen() {
		return p
	}
	return nil
}

// Untag removes the VLAN tag in place, as the pipeline does before a frame goes on: the MACs move up by 4 bytes, and Data begins behind where they were.
func (f *Frame) Untag() {
	if !f.Tagged {
		return
	}
	copy(f.Data[VLANLen:VLANLen+12], f.Data[:12])
	f.Data = f.Data[VLANLen:]
	f.Tagged, f.VLAN = false, 0
	if f.L3 != 0 {
		f.L3 -= VLANLen
	}
	if f.L4 != 0 {
		f.L4 -= VLANLen
	}
}
