package flow

import (
	"encoding/binary"

	"github.com/weft-sdn/weft/packet"
)

// AppendFrame appends the shortest untagged frame that has the key, as long as any frame has it: what a decision about the key can be made again with
// (E6). Of what is not in the key, its TTL or hop limit is 255, a TCP segment is a bare acknowledgement, and checksums are 0 but for IPv4's.
func (k *Key) AppendFrame(b []byte) []byte {
	b = append(b, k.DstMAC[:]...)
	b = append(b, k.SrcMAC[:]...)
	b = binary.BigEndian.AppendUint16(b, k.EtherType)
	n := k.l4Len()
	switch {
	case k.Is4():
		at := len(b)
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(packet.IPv4Len+n))
		b = append(b, 0, 0)
		b = binary.BigEndian.AppendUint16(b, fragmentField(k.Frag, 0x2000, 1))
		b = append(b, 255, k.Proto, 0, 0)
		b = append(b, k.Src[12:]...)
		b = append(b, k.Dst[12:]...)
		binary.BigEndian.PutUint16(b[at+10:], packet.Checksum(b[at:]))
	case k.Is6():
		length, next := n, k.Proto
		if k.Frag != uint8(packet.FragNone) {
			length, next = n+packet.FragmentLen, packet.ProtoFragment
		}
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(length))
		b = append(b, next, 255)
		b = append(b, k.Src[:]...)
		b = append(b, k.Dst[:]...)
		if k.Frag != uint8(packet.FragNone) {
			b = append(b, k.Proto, 0)
			b = binary.BigEndian.AppendUint16(b, fragmentField(k.Frag, 1, 1<<3))
			b = append(b, 0, 0, 0, 0)
		}
	default:
		return b
	}
	return k.appendL4(b, n)
}

// fragmentField is what a header has for a fragment class: first, later, or nothing.
func fragmentField(class uint8, first, later uint16) uint16 {
	switch packet.Frag(class) {
	case packet.FragFirst:
		return first
	case packet.FragLater:
		return later
	}
	return 0
}

// l4Len is the length of the shortest payload of an IP packet with the key.
func (k *Key) l4Len() int {
	switch {
	case k.Frag == uint8(packet.FragLater):
		return 8
	case k.Proto == packet.ProtoTCP:
		return packet.TCPLen
	case k.Proto == packet.ProtoSCTP:
		return 12
	}
	return 8 // UDP's header, and ICMP's
}

// appendL4 appends n bytes behind the IP header.
func (k *Key) appendL4(b []byte, n int) []byte {
	at := len(b)
	var zero [packet.TCPLen]byte
	b = append(b, zero[:n]...)
	if k.Frag == uint8(packet.FragLater) {
		return b
	}
	l4 := b[at:]
	switch k.Proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP:
		binary.BigEndian.PutUint16(l4, k.SrcPort)
		binary.BigEndian.PutUint16(l4[2:], k.DstPort)
	case packet.ProtoICMP, packet.ProtoICMPv6:
		binary.BigEndian.PutUint16(l4, k.SrcPort)
		binary.BigEndian.PutUint16(l4[4:], k.DstPort)
	}
	switch k.Proto {
	case packet.ProtoTCP:
		l4[12], l4[13] = packet.TCPLen/4<<4, packet.TCPAck
	case packet.ProtoUDP:
		binary.BigEndian.PutUint16(l4[4:], packet.UDPLen)
	}
	return b
}
