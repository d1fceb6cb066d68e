package conntrack

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// Tuple is what identifies one direction of a connection. Comparable.
//
// Of ICMP and ICMPv6 echo the identifier is the source port of requests and the destination port of replies, so that the reverse of a request is its
// reply. Protocols without ports have none.
type Tuple struct {
	Src, Dst         flow.Addr
	SrcPort, DstPort uint16
	Proto            uint8
	V6               bool
	Echo             Echo // has an identifier for a port. That is 0 at times, too
}

// Echo tells the echo messages of ICMP from its others.
type Echo uint8

// Echo messages.
const (
	EchoRequest Echo = iota + 1
	EchoReply
)

// echoOf returns what an ICMP message is by the first two bytes, as a flow key has them.
func echoOf(k *flow.Key) Echo {
	request, reply := uint16(packet.ICMPEchoRequest), uint16(packet.ICMPEchoReply)
	if k.Proto == packet.ProtoICMPv6 {
		request, reply = packet.ICMPv6EchoRequest, packet.ICMPv6EchoReply
	}
	switch k.SrcPort >> 8 {
	case request:
		return EchoRequest
	case reply:
		return EchoReply
	}
	return 0
}

// TupleOf returns the tuple of a packet.
func TupleOf(k *flow.Key) (t Tuple) {
	t.set(k)
	return t
}

func (t *Tuple) set(k *flow.Key) {
	t.Src, t.Dst, t.Proto, t.V6 = k.Src, k.Dst, k.Proto, k.Is6()
	t.SrcPort, t.DstPort, t.Echo = 0, 0, 0
	switch k.Proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP:
		t.SrcPort, t.DstPort = k.SrcPort, k.DstPort
	case packet.ProtoICMP, packet.ProtoICMPv6:
		switch t.Echo = echoOf(k); t.Echo {
		case EchoRequest:
			t.SrcPort = k.DstPort
		case EchoReply:
			t.DstPort = k.DstPort
		}
	}
}

// Apply gives a packet the addresses and ports of a tuple, which is that of the packet but for what was translated.
func (t *Tuple) Apply(k *flow.Key) {
	k.Src, k.Dst = t.Src, t.Dst
	switch k.Proto {
	case packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP:
		k.SrcPort, k.DstPort = t.SrcPort, t.DstPort
	case packet.ProtoICMP, packet.ProtoICMPv6:
		if t.Echo != 0 {
			k.DstPort = t.EchoID()
		}
	}
}

// EchoID returns the identifier of an ICMP echo's tuple, 0 of others.
func (t *Tuple) EchoID() uint16 {
	switch t.Echo {
	case EchoRequest:
		return t.SrcPort
	case EchoReply:
		return t.DstPort
	}
	return 0
}

// HasPort reports whether the tuple has a source port that can be translated, or, if dst, such a destination port. SCTP's can't: its checksum covers them and
// the whole packet.
func (t *Tuple) HasPort(dst bool) bool {
	switch t.Proto {
	case packet.ProtoTCP, packet.ProtoUDP:
		return true
	}
	return t.Echo == EchoRequest && !dst || t.Echo == EchoReply && dst
}

// Reverse returns the tuple of the other direction.
func (t Tuple) Reverse() Tuple {
	t.Src, t.Dst = t.Dst, t.Src
	t.SrcPort, t.DstPort = t.DstPort, t.SrcPort
	if t.Echo != 0 {
		t.Echo ^= EchoRequest ^ EchoReply
	}
	return t
}

func (t *Tuple) etherType() uint16 {
	if t.V6 {
		return packet.EtherTypeIPv6
	}
	return packet.EtherTypeIPv4
}

// String returns the form "tcp 10.0.0.1:4000 > 192.0.2.1:80".
func (t Tuple) String() string {
	proto := fmt.Sprintf("proto %d", t.Proto)
	switch t.Proto {
	case packet.ProtoTCP:
		proto = "tcp"
	case packet.ProtoUDP:
		proto = "udp"
	case packet.ProtoSCTP:
		proto = "sctp"
	case packet.ProtoICMP:
		proto = "icmp"
	case packet.ProtoICMPv6:
		proto = "icmpv6"
	}
	src, dst := t.Src.Netip(t.etherType()), t.Dst.Netip(t.etherType())
	return fmt.Sprintf("%s %v > %v", proto, netip.AddrPortFrom(src, t.SrcPort), netip.AddrPortFrom(dst, t.DstPort))
}

// Key names one direction of a connection: the tuple of its packets where they enter the virtual network, and the device that they enter there (C1).
// Comparable.
type Key struct {
	Zone uint32 // id of the device
	Tuple
}

// Set makes k the key of a packet that enters a device.
func (k *Key) Set(zone uint32, of *flow.Key) {
	k.Zone = zone
	k.Tuple.set(of)
}

// Is reports whether two keys are the same. It reads what Set wrote as it was written, which is faster than ==.
func (k *Key) Is(o *Key) bool {
	return k.Zone == o.Zone && k.SrcPort == o.SrcPort && k.DstPort == o.DstPort && k.Proto == o.Proto && k.Echo == o.Echo && k.V6 == o.V6 && k.Src == o.Src && k.Dst == o.Dst
}

// Append appends the key in binary: zone (3 bytes), protocol, ports, addresses. The length tells the family. An echo message's other port is one more than
// its identifier, which tells requests, replies and others apart.
func (k *Key) Append(b []byte) []byte {
	return k.Tuple.append(appendUint24(b, k.Zone))
}

func (t *Tuple) append(b []byte) []byte {
	src, dst := t.SrcPort, t.DstPort
	switch t.Echo {
	case EchoRequest:
		dst = src + 1
	case EchoReply:
		src = dst + 1
	}
	b = append(b, t.Proto)
	b = binary.BigEndian.AppendUint16(b, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	at := 12
	if t.V6 {
		at = 0
	}
	b = append(b, t.Src[at:]...)
	return append(b, t.Dst[at:]...)
}

// Lengths of a key in binary.
const (
	keyLen4 = 3 + 5 + 8
	keyLen6 = 3 + 5 + 32
)

// ParseKey reads what Append writes.
func ParseKey(b []byte) (k Key, err error) {
	switch len(b) {
	case keyLen4:
		copy(k.Src[12:], b[8:12])
		copy(k.Dst[12:], b[12:16])
	case keyLen6:
		k.V6 = true
		copy(k.Src[:], b[8:24])
		copy(k.Dst[:], b[24:40])
	default:
		return k, fmt.Errorf("%w: a key of %d bytes", ErrCodec, len(b))
	}
	k.Zone = uint24(b)
	k.Proto = b[3]
	k.SrcPort, k.DstPort = binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	switch icmp := k.Proto == packet.ProtoICMP || k.Proto == packet.ProtoICMPv6; {
	case icmp && k.DstPort == k.SrcPort+1:
		k.Echo, k.DstPort = EchoRequest, 0
	case icmp && k.SrcPort == k.DstPort+1:
		k.Echo, k.SrcPort = EchoReply, 0
	}
	return k, nil
}

// NameLen is the length of a Name in bytes.
const NameLen = 16

// Name returns 128 bits that stand for the key everywhere: of its SHA-256, so that nobody can find two keys with one name.
func (k *Key) Name() [NameLen]byte {
	var buf [keyLen6]byte
	sum := sha256.Sum256(k.Append(buf[:0]))
	return [NameLen]byte(sum[:])
}

// Hash returns 64 bits that stand for the key within this process. Nobody who does not know the process' seeds can choose keys that share them.
func (k *Key) Hash() uint64 {
	sh, sl := k.Src.Halves()
	dh, dl := k.Dst.Halves()
	rest := uint64(k.SrcPort)<<48 | uint64(k.DstPort)<<32 | uint64(k.Zone)<<8 | uint64(k.Proto)
	family := hashSeeds[4]
	if k.V6 {
		family = hashSeeds[5]
	}
	x := fold(sh^hashSeeds[0], sl^hashSeeds[1])
	x = fold(x^dh, dl^hashSeeds[2])
	return fold(x^rest, hashSeeds[3]^family^uint64(k.Echo))
}

// fold multiplies two numbers and joins the halves of the product.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hashSeeds are drawn once: hashes are compared within a process.
var hashSeeds = [6]uint64{rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64()}
