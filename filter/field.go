package filter

import "math/bits"

// Field is a part of a packet, or of what is known about it, that a condition can name.
type Field uint8

// Fields, in the order in which they are preferred when several would tell that a rule is not met: what costs a megaflow nothing comes first, and what no flow table
// has comes last: of IP packets the source MAC, DSCP and TCP flags.
const (
	InPort    Field = iota // vport by which the device got the packet
	OutPort                // vport by which it is to leave
	Mark                   // set by an earlier rule
	EtherType              // behind the tag
	DstMAC
	Proto
	Dst // IP address
	Src
	Fragment
	DstPort // of TCP, UDP and SCTP
	SrcPort // the same; of ICMP and ICMPv6: type<<8 | code
	SrcMAC
	DSCP
	TCPFlags
	State // of the connection
	fields
)

// Domains of values. An address has one of its own for each family; every other field has one.
const (
	dst6    = int(fields) + iota
	src6    // Dst and Src are those of IPv4
	domains // number of domains
)

// width returns the bits of a value of a domain.
func width(domain int) int {
	switch Field(domain) {
	case InPort, OutPort:
		return 24
	case Mark, Dst, Src:
		return 32
	case SrcMAC, DstMAC:
		return 48
	case Proto, Fragment, DSCP, TCPFlags, State:
		return 8
	case EtherType, DstPort, SrcPort:
		return 16
	}
	return 128
}

// Value is a value of a field: a number of up to 128 bits.
type Value struct{ Hi, Lo uint64 }

// V returns a value of up to 64 bits.
func V(n uint64) Value { return Value{0, n} }

// Less compares two values.
func (v Value) Less(w Value) bool { return v.Hi < w.Hi || v.Hi == w.Hi && v.Lo < w.Lo }

// next returns v+1; ok is false if there is none in the domain's width.
func (v Value) next(width int) (w Value, ok bool) {
	if v == last(width) {
		return v, false
	}
	w.Lo = v.Lo + 1
	w.Hi = v.Hi
	if w.Lo == 0 {
		w.Hi++
	}
	return w, true
}

// prev returns v-1. v is not zero.
func (v Value) prev() Value {
	if v.Lo == 0 {
		v.Hi--
	}
	v.Lo--
	return v
}

// last returns the greatest value of a width.
func last(width int) Value {
	if width >= 128 {
		return Value{^uint64(0), ^uint64(0)}
	}
	if width > 64 {
		return Value{1<<(width-64) - 1, ^uint64(0)}
	}
	return Value{0, ^uint64(0) >> (64 - width)}
}

// common returns how many leading bits two values of a width share.
func common(a, b Value, width int) int {
	n := bits.LeadingZeros64(a.Hi ^ b.Hi)
	if n == 64 {
		n += bits.LeadingZeros64(a.Lo ^ b.Lo)
	}
	return n - (128 - width)
}
