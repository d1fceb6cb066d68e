package packet

import (
	"encoding/binary"
	"net/netip"
)

// TCP describes a TCP segment to build, without options but the MSS of a SYN. Src and Dst are of one family.
type TCP struct {
	SrcMAC, DstMAC   MAC
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            uint8
	Window           uint16
	MSS              uint16 // option (RFC 9293 section 3.7.1); 0: none
	Payload          []byte
}

// AppendTCP appends a frame with the segment and its checksums. The payload must fit: at most 65,491 bytes.
func AppendTCP(b []byte, t *TCP) []byte {
	h := ipHeader{src: t.Src, dst: t.Dst, proto: ProtoTCP, ttl: DefaultTTL, flags: flagDF}
	header := TCPLen
	if t.MSS != 0 {
		header += 4
	}
	n := header + len(t.Payload)
	b = appendEthernet(b, t.DstMAC, t.SrcMAC, h.etherType())
	b = h.append(b, n)
	at := len(b)
	b = binary.BigEndian.AppendUint16(b, t.SrcPort)
	b = binary.BigEndian.AppendUint16(b, t.DstPort)
	b = binary.BigEndian.AppendUint32(b, t.Seq)
	b = binary.BigEndian.AppendUint32(b, t.Ack)
	b = append(b, byte(header/4)<<4, t.Flags)
	b = binary.BigEndian.AppendUint16(b, t.Window)
	b = append(b, 0, 0, 0, 0)
	if t.MSS != 0 {
		b = append(b, 2, 4, byte(t.MSS>>8), byte(t.MSS))
	}
	b = append(b, t.Payload...)
	binary.BigEndian.PutUint16(b[at+16:], PseudoSum(t.Src, t.Dst, ProtoTCP, n).Add(b[at:]).Fold())
	return b
}
