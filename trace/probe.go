package trace

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// fail is what is wrong with a field of a packet.
func fail(field, value, problem, hint string) error {
	return &topology.FieldError{Field: field, Value: value, Problem: problem, Hint: hint}
}

// probe is a packet in which what has a fixed default is filled in.
type probe struct{ client.Packet }

func newProbe(p client.Packet) probe {
	p.Proto, p.SPort, p.DPort, p.TTL = cmp.Or(p.Proto, "icmp"), cmp.Or(p.SPort, 40000), cmp.Or(p.DPort, 80), cmp.Or(p.TTL, packet.DefaultTTL)
	return probe{p}
}

// check finds fields that don't go with the protocol.
func check(p *client.Packet, proto int) error {
	hasPorts := proto == packet.ProtoTCP || proto == packet.ProtoUDP || proto == packet.ProtoSCTP
	for _, f := range []struct {
		field string
		value uint16
	}{{"sport", p.SPort}, {"dport", p.DPort}} {
		if f.value != 0 && !hasPorts {
			return fail(f.field, fmt.Sprint(f.value), "goes with protocols tcp, udp and sctp, and the protocol is "+cmp.Or(p.Proto, "icmp"), "leave it out")
		}
	}
	if p.ICMPType != nil && proto != packet.ProtoICMP && proto != packet.ProtoICMPv6 {
		return fail("icmpType", fmt.Sprint(*p.ICMPType), "goes with protocol icmp, and the protocol is "+p.Proto, "leave it out")
	}
	return nil
}

// protocolARP stands for ARP or ND in place of an IP protocol number.
const protocolARP = 256

// protocol returns the IP protocol number, or protocolARP.
func (p *probe) protocol(v6 bool) (int, error) {
	switch p.Proto {
	case "icmp", "icmpv6", "icmp6":
		if v6 {
			return packet.ProtoICMPv6, nil
		}
		return packet.ProtoICMP, nil
	case "tcp":
		return packet.ProtoTCP, nil
	case "udp":
		return packet.ProtoUDP, nil
	case "sctp":
		return packet.ProtoSCTP, nil
	case "arp", "nd":
		return protocolARP, nil
	}
	n, err := strconv.ParseUint(p.Proto, 10, 8)
	if err != nil {
		return 0, fail("proto", p.Proto, "is no protocol", "use icmp, tcp, udp, sctp, arp or a number from 0 to 255")
	}
	return int(n), nil
}

// addressed is a probe whose addresses are known.
type addressed struct {
	probe
	from, to netip.Addr // of one family
	fromMAC  packet.MAC
	toMAC    packet.MAC
}

// frame builds the frame.
func (a *addressed) frame() ([]byte, error) {
	proto, err := a.protocol(a.to.Is6())
	if err != nil {
		return nil, err
	}
	if proto == protocolARP {
		if a.to.Is6() {
			return packet.AppendNS(nil, a.fromMAC, a.from, a.to), nil
		}
		return packet.AppendARPRequest(nil, a.fromMAC, a.from, a.to), nil
	}
	l4, err := a.transport(proto)
	if err != nil {
		return nil, err
	}
	header := packet.IPv4Len
	if a.to.Is6() {
		header = packet.IPv6Len
	}
	if a.Len != 0 {
		if int(a.Len) < header+len(l4) {
			return nil, fail("len", fmt.Sprint(a.Len), "is too short for the packet's headers", fmt.Sprintf("use %d or more", header+len(l4)))
		}
		l4 = append(l4, make([]byte, int(a.Len)-header-len(l4))...)
	}
	a.checksum(proto, l4)
	if a.to.Is6() {
		return a.frame6(proto, l4), nil
	}
	return a.frame4(proto, l4), nil
}

// transport returns the headers behind IP, checksum not set.
func (a *addressed) transport(proto int) ([]byte, error) {
	var b []byte
	switch proto {
	case packet.ProtoTCP:
		b = make([]byte, packet.TCPLen)
		b[12], b[13] = packet.TCPLen/4<<4, packet.TCPSyn
		binary.BigEndian.PutUint16(b[14:], 0xffff)
	case packet.ProtoUDP:
		b = make([]byte, packet.UDPLen)
	case packet.ProtoSCTP:
		b = make([]byte, 12)
	case packet.ProtoICMP, packet.ProtoICMPv6:
		b = make([]byte, packet.ICMPLen)
		t := uint8(packet.ICMPEchoRequest)
		switch {
		case a.ICMPType != nil:
			t = *a.ICMPType
		case a.to.Is6():
			t = packet.ICMPv6EchoRequest
		}
		b[0], b[5], b[7] = t, 1, 1 // identifier and sequence 1
		return b, nil
	default:
		return nil, nil
	}
	binary.BigEndian.PutUint16(b, a.SPort)
	binary.BigEndian.PutUint16(b[2:], a.DPort)
	return b, nil
}

// checksum completes a transport header and its payload. SCTP's CRC32c stays 0: nothing on the way reads it.
func (a *addressed) checksum(proto int, l4 []byte) {
	at, sum := 0, packet.PseudoSum(a.from, a.to, uint8(proto), len(l4))
	switch proto {
	case packet.ProtoTCP:
		at = 16
	case packet.ProtoUDP:
		at = 6
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	case packet.ProtoICMP:
		at, sum = 2, 0
	case packet.ProtoICMPv6:
		at = 2
	default:
		return
	}
	c := sum.Add(l4).Fold()
	if c == 0 && proto == packet.ProtoUDP {
		c = 0xffff // 0 would mean that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(l4[at:], c)
}

func (a *addressed) ethernet(etherType uint16) []byte {
	b := append(a.toMAC[:len(a.toMAC):len(a.toMAC)], a.fromMAC[:]...)
	return binary.BigEndian.AppendUint16(b, etherType)
}

func (a *addressed) frame4(proto int, l4 []byte) []byte {
	h := make([]byte, packet.IPv4Len)
	h[0] = 0x45
	binary.BigEndian.PutUint16(h[2:], uint16(packet.IPv4Len+len(l4)))
	if a.DF {
		h[6] = 0x40
	}
	h[8], h[9] = a.TTL, byte(proto)
	src, dst := a.from.As4(), a.to.As4()
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	binary.BigEndian.PutUint16(h[10:], packet.Checksum(h))
	return append(append(a.ethernet(packet.EtherTypeIPv4), h...), l4...)
}

func (a *addressed) frame6(proto int, l4 []byte) []byte {
	h := make([]byte, packet.IPv6Len)
	h[0] = 0x60
	binary.BigEndian.PutUint16(h[4:], uint16(len(l4)))
	h[6], h[7] = byte(proto), a.TTL
	src, dst := a.from.As16(), a.to.As16()
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
	return append(append(a.ethernet(packet.EtherTypeIPv6), h...), l4...)
}
