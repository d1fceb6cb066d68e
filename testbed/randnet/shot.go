package randnet

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// KnownSources returns source MACs for which the guard KnownSource holds at a vport.
func (w *World) KnownSources(p flow.VPortID) []packet.MAC {
	v := w.Snap.VPort(p)
	if v.Kind == topology.DeviceRouter {
		return []packet.MAC{{2, 9, 9, 9, 9, byte(w.rng.IntN(255))}}
	}
	var known []packet.MAC
	for _, m := range w.macs {
		if at, ok := w.Snap.Bridge(v.Device).FDB(m); ok && at == p {
			known = append(known, m)
		}
	}
	return known
}

// Shot is a packet by what the pipeline matches, guards and carries along.
type Shot struct {
	Key flow.Key
	TTL uint8
	Len int // of the IP packet, in bytes
	DF  bool
	TOS uint8 // or traffic class

	Flaw Flaw
}

// Flaw is what is wrong with a packet. Bridges do not look; routers do.
type Flaw uint8

// Flaws. The first two are of IPv4, which alone has a header checksum and a length with the header.
const (
	FlawNone     Flaw = iota
	FlawChecksum      // of the header
	FlawLength        // shorter than its header
	FlawCut           // longer than the frame holds
	FlawTrailer       // the frame is far longer than the packet
)

// martians are sources that no router forwards from.
var martians = [2][]string{{"0.0.0.7", "127.0.0.1", "169.254.3.4", "224.0.0.5", "240.1.1.1", "255.255.255.255"}, {"::", "::1", "ff02::1", "fe80::7", "febf::1"}}

// Shot draws a packet: mostly from a station that its vport knows, to a router next to it.
func (w *World) Shot() Shot {
	s := Shot{TTL: uint8(w.rng.IntN(6)), Len: 48 + w.rng.IntN(60), TOS: uint8(w.rng.Uint32()), DF: w.rng.IntN(2) == 0}
	if w.rng.IntN(4) > 0 {
		s.TTL = 64
	}
	if w.rng.IntN(6) == 0 {
		s.Len = 1250 + w.rng.IntN(250)
	}
	k := &s.Key
	k.Ingress = w.Ports[w.rng.IntN(len(w.Ports))]
	k.SrcMAC = w.mac()
	if known := w.KnownSources(k.Ingress); len(known) > 0 {
		k.SrcMAC = known[w.rng.IntN(len(known))]
	}
	k.DstMAC = w.dstMAC(k.Ingress)
	v6 := w.rng.IntN(2) == 0
	k.EtherType = packet.EtherTypeIPv4
	if v6 {
		k.EtherType = packet.EtherTypeIPv6
	}
	k.Src, k.Dst = flow.AddrOf(w.addr(v6)), flow.AddrOf(w.addr(v6))
	if w.rng.IntN(40) == 0 {
		k.EtherType, k.Src, k.Dst = 0x88b5, flow.Addr{}, flow.Addr{}
		return s
	}
	if w.rng.IntN(12) == 0 {
		k.Frag = uint8(1 + w.rng.IntN(2))
	}
	k.Proto = []uint8{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP, 99}[w.rng.IntN(4)]
	if k.Proto != 99 && k.Frag != uint8(packet.FragLater) {
		k.SrcPort, k.DstPort = uint16(w.rng.Uint32()), uint16(w.rng.Uint32())
	}
	if w.translates {
		w.unusual(k)
	}
	switch w.flaws.IntN(40) {
	case 0:
		s.Flaw = Flaw(1 + w.flaws.IntN(4))
	case 1:
		list := martians[0]
		if v6 {
			list = martians[1]
		}
		k.Src = flow.AddrOf(netip.MustParseAddr(list[w.flaws.IntN(len(list))]))
	}
	return s
}

// dstMAC aims at a router port next to the vport most of the time.
func (w *World) dstMAC(in flow.VPortID) packet.MAC {
	v := w.Snap.VPort(in)
	switch x := w.rng.IntN(12); {
	case x == 0:
		return w.mac()
	case x == 1:
		return packet.Broadcast()
	case x < 4:
		return w.macs[w.rng.IntN(len(w.macs))]
	case v.Kind == topology.DeviceRouter:
		return v.MAC
	}
	var near []packet.MAC
	for _, p := range w.Snap.Bridge(v.Device).Ports {
		if q := w.Snap.VPort(w.Snap.VPort(p).Peer); q != nil && q.Kind == topology.DeviceRouter {
			near = append(near, q.MAC)
		}
	}
	if len(near) == 0 {
		return w.macs[w.rng.IntN(len(w.macs))]
	}
	return near[w.rng.IntN(len(near))]
}

// Frame builds the packet in buf. Its IP header claims Len bytes, which the frame has; there are at least 28 behind it. What a key may say and a frame can
// not (ports of a later fragment) is lost: read the key back.
func (s *Shot) Frame(buf []byte) []byte {
	b := s.headers(buf)
	k, at := &s.Key, packet.EthernetLen
	if k.EtherType != packet.EtherTypeIPv4 && k.EtherType != packet.EtherTypeIPv6 {
		return b
	}
	n := max(0, at+s.Len-len(b))
	if s.Flaw == FlawTrailer {
		n += 2000
	}
	b = append(b, make([]byte, n)...)
	if s.Flaw == FlawCut {
		setLen(b[at:], len(b)-at+1)
	}
	if k.Is4() {
		if s.Flaw == FlawLength {
			setLen(b[at:], packet.IPv4Len-1)
		}
		sum := packet.Checksum(b[at : at+packet.IPv4Len])
		if s.Flaw == FlawChecksum {
			sum ^= 0x0100
		}
		binary.BigEndian.PutUint16(b[at+10:], sum)
	}
	return b
}

// setLen sets the length of an IP packet with its header.
func setLen(p []byte, n int) {
	if p[0]>>4 == 4 {
		binary.BigEndian.PutUint16(p[2:], uint16(n))
	} else {
		binary.BigEndian.PutUint16(p[4:], uint16(n-packet.IPv6Len))
	}
}

// headers builds the packet without what is behind its first bytes of payload.
func (s *Shot) headers(buf []byte) []byte {
	k := &s.Key
	b := append(buf[:0], k.DstMAC[:]...)
	b = append(b, k.SrcMAC[:]...)
	b = binary.BigEndian.AppendUint16(b, k.EtherType)
	switch k.EtherType {
	case packet.EtherTypeIPv4:
		b = append(b, 0x45, s.TOS)
		b = binary.BigEndian.AppendUint16(b, uint16(s.Len))
		word := uint16(0)
		if s.DF {
			word = 0x4000
		}
		switch packet.Frag(k.Frag) {
		case packet.FragFirst:
			word |= 0x2000
		case packet.FragLater:
			word |= 7
		}
		b = append(b, 0, 1, byte(word>>8), byte(word), s.TTL, k.Proto, 0, 0)
		b = append(append(b, k.Src[12:]...), k.Dst[12:]...)
	case packet.EtherTypeIPv6:
		b = append(b, 0x60|s.TOS>>4, s.TOS<<4, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(s.Len-40))
		next, ext := k.Proto, []byte(nil)
		if f := packet.Frag(k.Frag); f != packet.FragNone {
			next, ext = packet.ProtoFragment, []byte{k.Proto, 0, 0, 1, 0, 0, 0, 1}
			if f == packet.FragLater {
				ext[3] = 8
			}
		}
		b = append(b, next, s.TTL)
		b = append(append(append(b, k.Src[:]...), k.Dst[:]...), ext...)
	}
	if k.Proto == packet.ProtoICMP && k.Is4() || k.Proto == packet.ProtoICMPv6 && k.Is6() {
		return appendICMP(b, k)
	}
	b = binary.BigEndian.AppendUint16(b, k.SrcPort)
	b = binary.BigEndian.AppendUint16(b, k.DstPort)
	rest := make([]byte, 24)
	if k.Proto == packet.ProtoTCP {
		rest[9] = packet.TCPAck // which may be the first that is seen of a connection
	}
	return append(b, rest...)
}

func randomKey(rng *rand.Rand) flow.Key {
	var b [16]byte
	fill := func() [16]byte {
		binary.BigEndian.PutUint64(b[:8], rng.Uint64())
		binary.BigEndian.PutUint64(b[8:], rng.Uint64())
		return b
	}
	k := flow.Key{Src: fill(), Dst: fill(), Proto: uint8(rng.Uint32()), Frag: uint8(rng.IntN(3)), SrcPort: uint16(rng.Uint32()), DstPort: uint16(rng.Uint32())}
	k.EtherType = []uint16{packet.EtherTypeIPv4, packet.EtherTypeIPv6, 0x88b5}[rng.IntN(3)]
	m := fill()
	copy(k.DstMAC[:], m[:])
	return k
}

// flip returns k with a few bits flipped.
func flip(rng *rand.Rand, k flow.Key) flow.Key {
	for range 1 + rng.IntN(4) {
		switch bit := uint16(1) << rng.IntN(16); rng.IntN(8) {
		case 0:
			k.SrcMAC[rng.IntN(6)] ^= byte(bit) &^ 1
		case 1:
			k.DstMAC[rng.IntN(6)] ^= byte(bit)
		case 2:
			k.Src[rng.IntN(16)] ^= byte(bit)
		case 3:
			k.Dst[rng.IntN(16)] ^= byte(bit)
		case 4:
			k.Proto ^= byte(bit)
		case 5:
			k.SrcPort ^= bit
		case 6:
			k.DstPort ^= bit
		default:
			k.Frag = uint8(rng.IntN(3))
		}
	}
	return k
}

// Mutate returns a packet of the same megaflow: bits outside mask are flipped, drawn anew, or taken from another shot of the same network.
// Guards hold, often just: the source is another one that is known, unless the mask has it.
func (w *World) Mutate(s Shot, mask flow.Mask, guards flow.Guards) Shot {
	var k flow.Key
	switch w.rng.IntN(4) {
	case 0:
		k = flip(w.rng, s.Key)
	case 1:
		k = randomKey(w.rng)
	default: // collides with routes and tables more often
		k = w.Shot().Key
	}
	v := s
	v.Key = flow.Key(flow.Mask(s.Key.And(mask)).Or(flow.Mask(k.And(invert(mask)))))
	v.Key.Ingress = s.Key.Ingress
	if mask.SrcMAC.IsZero() {
		v.Key.SrcMAC = s.Key.SrcMAC
		if known := w.KnownSources(s.Key.Ingress); len(known) > 0 {
			v.Key.SrcMAC = known[w.rng.IntN(len(known))]
		}
	}
	v.TTL = max(v.TTL, guards.MinTTL+1)
	if w.rng.IntN(2) == 0 {
		v.TTL = guards.MinTTL + 1 + uint8(w.rng.IntN(3))
	}
	v.DF, v.TOS = w.rng.IntN(2) == 0, uint8(w.rng.Uint32())
	v.Len = 48 + w.rng.IntN(1400)
	if v.Flaw = FlawNone; guards.MinTTL == 0 && guards.MaxLen == 0 && w.flaws.IntN(8) == 0 {
		v.Flaw = Flaw(1 + w.flaws.IntN(4))
	}
	if guards.MinTTL != 0 && isMartian(&v.Key) {
		v.Key.Src = s.Key.Src
	}
	if guards.MaxLen != 0 {
		v.Len = min(v.Len, int(guards.MaxLen))
		if w.rng.IntN(2) == 0 {
			v.Len = int(guards.MaxLen)
		}
	}
	return v
}

// isMartian reports whether no router forwards from the source.
func isMartian(k *flow.Key) bool {
	if a := k.Src.Netip(k.EtherType); a.Is6() {
		return a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast()
	}
	return slices.ContainsFunc(never4, func(p netip.Prefix) bool { return p.Contains(k.Src.Netip(k.EtherType)) })
}

var never4 = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
}

func invert(m flow.Mask) flow.Mask {
	for i := range m.Src {
		m.Src[i], m.Dst[i] = ^m.Src[i], ^m.Dst[i]
	}
	for i := range m.SrcMAC {
		m.SrcMAC[i], m.DstMAC[i] = ^m.SrcMAC[i], ^m.DstMAC[i]
	}
	m.Ingress, m.EtherType, m.Proto, m.Frag, m.SrcPort, m.DstPort = ^m.Ingress, ^m.EtherType, ^m.Proto, ^m.Frag, ^m.SrcPort, ^m.DstPort
	return m
}
