package packet

import (
	"encoding/binary"
	"net/netip"
)

// DefaultTTL is the TTL or hop limit of what we originate (RFC 1700, RFC 4861 section 6.2.1).
const DefaultTTL = 64

func appendEthernet(b []byte, dst, src MAC, etherType uint16) []byte {
	b = append(b, dst[:]...)
	b = append(b, src[:]...)
	return binary.BigEndian.AppendUint16(b, etherType)
}

// IPv4 flags in the high bits of the word that also holds the fragment offset.
const (
	flagDF = 0x4000
	flagMF = 0x2000
)

// ipHeader is what the builders choose of an IP header; the rest is fixed or computed.
type ipHeader struct {
	src, dst netip.Addr // one family
	proto    uint8
	ttl      uint8
	tos      uint8
	id       uint16 // IPv4
	flags    uint16 // IPv4: flagDF or 0
}

// append appends the header of a packet with n bytes of payload.
func (h *ipHeader) append(b []byte, n int) []byte {
	if h.src.Is4() {
		return h.append4(b, n)
	}
	b = append(b, 0x60|h.tos>>4, h.tos<<4, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, h.proto, h.ttl)
	src, dst := h.src.As16(), h.dst.As16()
	b = append(b, src[:]...)
	return append(b, dst[:]...)
}

func (h *ipHeader) append4(b []byte, n int) []byte {
	at := len(b)
	b = append(b, 0x45, h.tos)
	b = binary.BigEndian.AppendUint16(b, uint16(IPv4Len+n))
	b = binary.BigEndian.AppendUint16(b, h.id)
	b = binary.BigEndian.AppendUint16(b, h.flags)
	b = append(b, h.ttl, h.proto, 0, 0)
	src, dst := h.src.As4(), h.dst.As4()
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	binary.BigEndian.PutUint16(b[at+10:], Checksum(b[at:]))
	return b
}

// etherType returns the EtherType of the header's family.
func (h *ipHeader) etherType() uint16 {
	if h.src.Is4() {
		return EtherTypeIPv4
	}
	return EtherTypeIPv6
}

// appendICMP appends a frame with an ICMP or ICMPv6 message, proto by family: type, code, word 4–7, body.
func (h *ipHeader) appendICMP(b []byte, dst, src MAC, typ, code uint8, word uint32, body []byte) []byte {
	h.proto = ProtoICMP
	var sum Sum
	n := ICMPLen + len(body)
	if !h.src.Is4() {
		h.proto = ProtoICMPv6
		sum = PseudoSum(h.src, h.dst, ProtoICMPv6, n)
	}
	b = appendEthernet(b, dst, src, h.etherType())
	b = h.append(b, n)
	at := len(b)
	b = append(b, typ, code, 0, 0)
	b = binary.BigEndian.AppendUint32(b, word)
	b = append(b, body...)
	binary.BigEndian.PutUint16(b[at+2:], sum.Add(b[at:]).Fold())
	return b
}

// UDP describes a UDP datagram to build. Src and Dst are of one family; TTL 0 means DefaultTTL.
type UDP struct {
	SrcMAC, DstMAC   MAC
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
	TTL, TOS         uint8
	DontFragment     bool // IPv4
	Payload          []byte
}

// AppendUDP appends a frame with the datagram and its checksums. The payload must fit: at most 65,507 bytes.
func AppendUDP(b []byte, u *UDP) []byte {
	h := ipHeader{src: u.Src, dst: u.Dst, proto: ProtoUDP, ttl: u.TTL, tos: u.TOS}
	if h.ttl == 0 {
		h.ttl = DefaultTTL
	}
	if u.DontFragment {
		h.flags = flagDF
	}
	n := UDPLen + len(u.Payload)
	b = appendEthernet(b, u.DstMAC, u.SrcMAC, h.etherType())
	b = h.append(b, n)
	at := len(b)
	b = binary.BigEndian.AppendUint16(b, u.SrcPort)
	b = binary.BigEndian.AppendUint16(b, u.DstPort)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, 0, 0)
	b = append(b, u.Payload...)
	c := PseudoSum(u.Src, u.Dst, ProtoUDP, n).Add(b[at:]).Fold()
	if c == 0 {
		c = 0xffff // 0 would mean that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(b[at+6:], c)
	return b
}
