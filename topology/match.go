package topology

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/packet"
)

// MatchSpec is what a rule asks of a packet: each field that is given must have one of its values (F1). Of fields given under not, none may.
type MatchSpec struct {
	InPorts       []string     `json:"inPorts,omitempty"`       // vports by which the device got the packet
	InPortGroups  []string     `json:"inPortGroups,omitempty"`  // groups of such
	OutPorts      []string     `json:"outPorts,omitempty"`      // vports by which it is to leave: in egress chains
	OutPortGroups []string     `json:"outPortGroups,omitempty"` // groups of such
	Marks         []uint32     `json:"marks,omitempty"`         // set by an earlier rule; 0: by none
	EtherTypes    []EtherType  `json:"etherTypes,omitempty"`
	SrcMACs       []packet.MAC `json:"srcMACs,omitempty"`
	DstMACs       []packet.MAC `json:"dstMACs,omitempty"`
	Protocols     []Protocol   `json:"protocols,omitempty"`
	Src           []AddrSpec   `json:"src,omitempty"`
	SrcGroups     []string     `json:"srcGroups,omitempty"` // groups of addresses
	Dst           []AddrSpec   `json:"dst,omitempty"`
	DstGroups     []string     `json:"dstGroups,omitempty"`
	SrcPorts      []PortRange  `json:"srcPorts,omitempty"` // with protocols of tcp, udp, sctp alone
	DstPorts      []PortRange  `json:"dstPorts,omitempty"`
	ICMP          []ICMPType   `json:"icmp,omitempty"`      // with protocols icmp or icmpv6
	Fragments     []Fragment   `json:"fragments,omitempty"` // whole, first, later
	DSCP          []uint16     `json:"dscp,omitempty"`      // such packets stay on the slow path
	TCPFlags      []FlagSpec   `json:"tcpFlags,omitempty"`  // such packets stay on the slow path
	States        []ConnState  `json:"states,omitempty"`    // new, established, related
}

// AddrSpec is a prefix, or an address, which stands for itself alone.
type AddrSpec struct{ netip.Prefix }

// UnmarshalText reads 10.0.0.0/8, 10.0.0.1 and the like.
func (a *AddrSpec) UnmarshalText(b []byte) (err error) {
	if strings.Contains(string(b), "/") {
		a.Prefix, err = netip.ParsePrefix(string(b))
		return err
	}
	addr, err := netip.ParseAddr(string(b))
	if err == nil {
		a.Prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	return err
}

// EtherType is the type of a frame behind its tag.
type EtherType uint16

// UnmarshalText reads ipv4, ipv6, arp or a number.
func (e *EtherType) UnmarshalText(b []byte) error {
	switch s := string(b); s {
	case "ipv4":
		*e = packet.EtherTypeIPv4
	case "ipv6":
		*e = packet.EtherTypeIPv6
	case "arp":
		*e = packet.EtherTypeARP
	default:
		n, err := strconv.ParseUint(s, 0, 16)
		*e = EtherType(n)
		return err
	}
	return nil
}

// String returns what UnmarshalText reads.
func (e EtherType) String() string {
	switch e {
	case packet.EtherTypeIPv4:
		return "ipv4"
	case packet.EtherTypeIPv6:
		return "ipv6"
	case packet.EtherTypeARP:
		return "arp"
	}
	return fmt.Sprintf("%#04x", uint16(e))
}

// MarshalText writes what UnmarshalText reads.
func (e EtherType) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// Protocol is an IP protocol, or the next header behind an IPv6 fragment header.
type Protocol uint8

var protocolNames = map[string]Protocol{
	"icmp": packet.ProtoICMP, "igmp": packet.ProtoIGMP, "tcp": packet.ProtoTCP, "udp": packet.ProtoUDP, "gre": packet.ProtoGRE, "icmpv6": packet.ProtoICMPv6,
	"sctp": packet.ProtoSCTP,
}

// UnmarshalText reads tcp, udp, sctp, icmp, icmpv6, igmp, gre or a number.
func (p *Protocol) UnmarshalText(b []byte) error {
	if n, ok := protocolNames[string(b)]; ok {
		*p = n
		return nil
	}
	n, err := strconv.ParseUint(string(b), 10, 8)
	*p = Protocol(n)
	return err
}

// String returns what UnmarshalText reads.
func (p Protocol) String() string {
	for name, n := range protocolNames {
		if n == p {
			return name
		}
	}
	return strconv.Itoa(int(p))
}

// MarshalText writes what UnmarshalText reads.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// hasPorts reports whether packets of the protocol have ports.
func (p Protocol) hasPorts() bool {
	return p == packet.ProtoTCP || p == packet.ProtoUDP || p == packet.ProtoSCTP
}

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// UnmarshalText reads 80 and 8000-8080.
func (r *PortRange) UnmarshalText(b []byte) error {
	first, last, is := strings.Cut(string(b), "-")
	if !is {
		last = first
	}
	lo, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return err
	}
	hi, err := strconv.ParseUint(last, 10, 16)
	if err != nil {
		return err
	}
	if lo > hi {
		return fmt.Errorf("range %s ends before it begins", b)
	}
	*r = PortRange{uint16(lo), uint16(hi)}
	return nil
}

// String returns what UnmarshalText reads.
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// MarshalText writes what UnmarshalText reads.
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// ICMPType is a type of ICMP or ICMPv6 message, or a type with a code.
type ICMPType struct {
	Type, Code uint8
	AnyCode    bool
}

// UnmarshalText reads 8 and 3/4.
func (t *ICMPType) UnmarshalText(b []byte) error {
	first, code, is := strings.Cut(string(b), "/")
	n, err := strconv.ParseUint(first, 10, 8)
	if err != nil {
		return err
	}
	*t = ICMPType{Type: uint8(n), AnyCode: !is}
	if is {
		n, err = strconv.ParseUint(code, 10, 8)
		t.Code = uint8(n)
	}
	return err
}

// String returns what UnmarshalText reads.
func (t ICMPType) String() string {
	if t.AnyCode {
		return strconv.Itoa(int(t.Type))
	}
	return fmt.Sprintf("%d/%d", t.Type, t.Code)
}

// MarshalText writes what UnmarshalText reads.
func (t ICMPType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Fragment is a class of packets.
type Fragment uint8

var fragmentNames = [...]string{packet.FragNone: "whole", packet.FragFirst: "first", packet.FragLater: "later"}

// UnmarshalText reads whole, first or later.
func (f *Fragment) UnmarshalText(b []byte) error {
	for i, name := range fragmentNames {
		if name == string(b) {
			*f = Fragment(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no class of fragments", b)
}

// String returns what UnmarshalText reads.
func (f Fragment) String() string { return fragmentNames[f] }

// MarshalText writes what UnmarshalText reads.
func (f Fragment) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// ConnState is what a packet is to a connection (C1): the first of one (new), one of a connection that is stored, in either direction (established), an ICMP
// error about such a one (related).
type ConnState uint8

// Connection states. The zero ConnState is that of a packet that is none of them.
const (
	ConnNew ConnState = iota + 1
	ConnEstablished
	ConnRelated
)

var connStateNames = [...]string{ConnNew: "new", ConnEstablished: "established", ConnRelated: "related"}

// UnmarshalText reads new, established or related.
func (c *ConnState) UnmarshalText(b []byte) error {
	for i, name := range connStateNames {
		if name != "" && name == string(b) {
			*c = ConnState(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no state of a connection", b)
}

// String returns what UnmarshalText reads.
func (c ConnState) String() string { return connStateNames[c] }

// MarshalText writes what UnmarshalText reads.
func (c ConnState) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// AddrRange is the addresses from First to Last, both included, of one family.
type AddrRange struct{ First, Last netip.Addr }

// UnmarshalText reads 192.0.2.1 and 192.0.2.1-192.0.2.9.
func (r *AddrRange) UnmarshalText(b []byte) (err error) {
	first, last, is := strings.Cut(string(b), "-")
	if !is {
		last = first
	}
	if r.First, err = netip.ParseAddr(first); err != nil {
		return err
	}
	if r.Last, err = netip.ParseAddr(last); err != nil {
		return err
	}
	if r.First.Is4() != r.Last.Is4() || r.Last.Less(r.First) {
		return fmt.Errorf("range %s ends before it begins", b)
	}
	return nil
}

// String returns what UnmarshalText reads.
func (r AddrRange) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// MarshalText writes what UnmarshalText reads.
func (r AddrRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// FlagSpec is TCP flags that are set, and others that are not.
type FlagSpec struct{ Set, Clear uint8 }

var flagNames = [...]string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"}

// UnmarshalText reads syn, or syn+!ack and the like.
func (f *FlagSpec) UnmarshalText(b []byte) error {
	*f = FlagSpec{}
	for word := range strings.SplitSeq(string(b), "+") {
		name, clear := strings.CutPrefix(word, "!")
		bit := uint8(0)
		for i, n := range flagNames {
			if n == name {
				bit = 1 << i
			}
		}
		switch {
		case bit == 0:
			return fmt.Errorf("%q is no TCP flag", word)
		case clear:
			f.Clear |= bit
		default:
			f.Set |= bit
		}
	}
	if f.Set&f.Clear != 0 {
		return fmt.Errorf("%q asks for a flag and its absence", b)
	}
	return nil
}

// String returns what UnmarshalText reads.
func (f FlagSpec) String() string {
	var words []string
	for i, n := range flagNames {
		switch bit := uint8(1) << i; {
		case f.Set&bit != 0:
			words = append(words, n)
		case f.Clear&bit != 0:
			words = append(words, "!"+n)
		}
	}
	return strings.Join(words, "+")
}

// MarshalText writes what UnmarshalText reads.
func (f FlagSpec) MarshalText() ([]byte, error) { return []byte(f.String()), nil }
