package packet

import "encoding/binary"

// Parse parses data into f, which borrows it. It follows p4src/v1model/parser.p4 from parse_ethernet on, state by state, and returns an error exactly
// when the pipeline reports a parser error; f is then not valid.
//
// Like the pipeline it looks through one VLAN tag, IPv4 options and one IPv6 fragment header, but no other extension header, and it does not check
// lengths that headers state nor checksums.
func Parse(data []byte, f *Frame) error { return parse(data, f, true) }

// ParseUntagged is Parse of a frame that has no tag of ours, or has it no more: one that it has is its sender's, and what is behind it is payload, as for the
// parser at underlay ports and the CPU's.
func ParseUntagged(data []byte, f *Frame) error { return parse(data, f, false) }

func parse(data []byte, f *Frame, tagged bool) error {
	*f = Frame{Data: data}
	if len(data) < EthernetLen {
		return ErrTruncated
	}
	at := EthernetLen
	f.EtherType = binary.BigEndian.Uint16(data[12:])
	if tagged && f.EtherType == EtherTypeVLAN {
		if len(data) < EthernetLen+VLANLen {
			return ErrTruncated
		}
		f.Tagged = true
		f.VLAN = binary.BigEndian.Uint16(data[14:]) & 0xfff
		f.EtherType = binary.BigEndian.Uint16(data[16:])
		at += VLANLen
	}
	switch f.EtherType {
	case EtherTypeIPv4:
		return f.parseIPv4(at)
	case EtherTypeIPv6:
		return f.parseIPv6(at)
	}
	return nil
}

func (f *Frame) parseIPv4(at int) error {
	b := f.Data[at:]
	if len(b) < IPv4Len {
		return ErrTruncated
	}
	ihl := int(b[0] & 0xf)
	if b[0]>>4 != 4 || ihl < 5 {
		return ErrVersion
	}
	if len(b) < 4*ihl {
		return ErrTruncated
	}
	f.L3 = at
	f.Proto = b[9]
	field := binary.BigEndian.Uint16(b[6:])
	f.Frag = fragClass(field&0x1fff, field&0x2000 != 0)
	return f.parseL4(at + 4*ihl)
}

func (f *Frame) parseIPv6(at int) error {
	b := f.Data[at:]
	if len(b) < IPv6Len {
		return ErrTruncated
	}
	if b[0]>>4 != 6 {
		return ErrVersion
	}
	f.L3 = at
	f.Proto = b[6]
	at += IPv6Len
	if f.Proto == ProtoFragment {
		if len(b) < IPv6Len+FragmentLen {
			return ErrTruncated
		}
		f.Proto = b[IPv6Len]
		field := binary.BigEndian.Uint16(b[IPv6Len+2:])
		f.Frag = fragClass(field>>3, field&1 != 0)
		at += FragmentLen
	}
	return f.parseL4(at)
}

func fragClass(offset uint16, more bool) Frag {
	switch {
	case offset != 0:
		return FragLater
	case more:
		return FragFirst
	}
	return FragNone
}

func (f *Frame) parseL4(at int) error {
	if f.Frag == FragLater {
		return nil
	}
	b := f.Data[at:]
	switch f.Proto {
	case ProtoTCP:
		if len(b) < TCPLen {
			return ErrTruncated
		}
		f.TCPFlags = b[13]
	case ProtoUDP:
		if len(b) < UDPLen {
			return ErrTruncated
		}
	case ProtoSCTP:
		if len(b) < 4 {
			return ErrTruncated
		}
	case ProtoICMP, ProtoICMPv6:
		return f.parseICMP(at)
	default:
		return nil
	}
	f.L4 = at
	f.SrcPort = binary.BigEndian.Uint16(b)
	f.DstPort = binary.BigEndian.Uint16(b[2:])
	return nil
}

func (f *Frame) parseICMP(at int) error {
	b := f.Data[at:]
	if len(b) < ICMPLen {
		return ErrTruncated
	}
	f.L4 = at
	f.SrcPort = binary.BigEndian.Uint16(b)
	switch b[0] {
	case ICMPEchoReply, ICMPEchoRequest, ICMPv6EchoRequest, ICMPv6EchoReply:
		f.DstPort = binary.BigEndian.Uint16(b[4:])
	}
	return nil
}
