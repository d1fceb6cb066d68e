package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/packet"
)

// probe describes a packet on the command line. Texts are as given; empty means: choose.
type probe struct {
	srcMAC, dstMAC string
	src, dst       string
	proto          string
	sport, dport   uint16
	ttl            uint8
	length         uint16 // of the IP packet; 0: as short as its headers allow
	icmpType       int    // -1: echo request
	dontFragment   bool
	set            *pflag.FlagSet // nil: none was given
}

// given reports whether a flag was.
func (p *probe) given(name string) bool { return p.set != nil && p.set.Changed(name) }

// check finds flags that don't go with the protocol.
func (p *probe) check(proto int) error {
	hasPorts := proto == packet.ProtoTCP || proto == packet.ProtoUDP || proto == packet.ProtoSCTP
	for _, name := range []string{"sport", "dport"} {
		if p.given(name) && !hasPorts {
			return fmt.Errorf("--%s: goes with --proto tcp, udp or sctp, and the protocol is %s", name, p.proto)
		}
	}
	if p.given("icmp-type") && proto != packet.ProtoICMP && proto != packet.ProtoICMPv6 {
		return fmt.Errorf("--icmp-type: goes with --proto icmp, and the protocol is %s", p.proto)
	}
	return nil
}

func (p *probe) flags(f *pflag.FlagSet) {
	f.StringVar(&p.srcMAC, "src-mac", "", "source `MAC`; default: that of the vport's host")
	f.StringVar(&p.dstMAC, "dst-mac", "", "destination `MAC`; default: what the host would learn by ARP or ND, of the destination or its gateway")
	f.StringVar(&p.src, "src", "", "source IP `address`; default: the vport's first address of the destination's family")
	f.StringVar(&p.dst, "dst", "", "destination IP `address`, IPv4 or IPv6 (required)")
	p.set = f
	f.StringVar(&p.proto, "proto", "icmp", "`protocol`: icmp, tcp, udp, sctp, a number, or arp: ask for the MAC of --dst (ND in IPv6)")
	f.Uint16Var(&p.sport, "sport", 40000, "source `port` of tcp, udp, sctp")
	f.Uint16Var(&p.dport, "dport", 80, "destination `port` of tcp, udp, sctp")
	f.Uint8Var(&p.ttl, "ttl", packet.DefaultTTL, "TTL or hop `limit`, 1 to 255")
	f.Uint16Var(&p.length, "len", 0, "length of the IP packet in `bytes`; default: its headers")
	f.IntVar(&p.icmpType, "icmp-type", -1, "ICMP or ICMPv6 `type`, 0–255; default: echo request")
	f.BoolVar(&p.dontFragment, "df", false, "IPv4: don't fragment")
}

// protocolARP stands for ARP or ND in place of an IP protocol number.
const protocolARP = 256

// protocol returns the IP protocol number, or protocolARP.
func (p *probe) protocol(v6 bool) (int, error) {
	switch p.proto {
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
	n, err := strconv.ParseUint(p.proto, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("--proto %q: is no protocol; use icmp, tcp, udp, sctp, arp or a number from 0 to 255", p.proto)
	}
	return int(n), nil
}

// addressed is a probe whose addresses are known.
type addressed struct {
	*probe
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
	if a.length != 0 {
		if int(a.length) < header+len(l4) {
			return nil, fmt.Errorf("--len %d: is too short for the packet's headers; use %d or more", a.length, header+len(l4))
		}
		l4 = append(l4, make([]byte, int(a.length)-header-len(l4))...)
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
		t := a.icmpType
		switch {
		case t > 255 || t < -1:
			return nil, fmt.Errorf("--icmp-type %d: is no ICMP type; use 0 to 255", t)
		case t == -1 && a.to.Is6():
			t = packet.ICMPv6EchoRequest
		case t == -1:
			t = packet.ICMPEchoRequest
		}
		b[0], b[5], b[7] = byte(t), 1, 1 // identifier and sequence 1
		return b, nil
	default:
		return nil, nil
	}
	binary.BigEndian.PutUint16(b, a.sport)
	binary.BigEndian.PutUint16(b[2:], a.dport)
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
	if a.dontFragment {
		h[6] = 0x40
	}
	h[8], h[9] = a.ttl, byte(proto)
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
	h[6], h[7] = byte(proto), a.ttl
	src, dst := a.from.As16(), a.to.As16()
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
	return append(append(a.ethernet(packet.EtherTypeIPv6), h...), l4...)
}
