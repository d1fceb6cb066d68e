package sim

import (
	"math/bits"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Recording accessors: the only way to a header field that decides. Each widens the mask by the bits that it gives away (K5). While an originated packet
// is simulated nothing is recorded: it is built anew each time.

func (s *Simulator) readSrcMAC(h *hop) packet.MAC {
	if s.origin == nil && !h.rewritten {
		s.res.Mask.SrcMAC = packet.Broadcast()
	}
	return h.src
}

func (s *Simulator) readDstMAC(h *hop) packet.MAC {
	if s.origin == nil && !h.rewritten {
		s.res.Mask.DstMAC = packet.Broadcast()
	}
	return h.dst
}

// readMulticast reads the group bit of the destination MAC alone.
func (s *Simulator) readMulticast(h *hop) bool {
	if s.origin == nil && !h.rewritten {
		s.res.Mask.DstMAC[0] |= 1
	}
	return h.dst.IsMulticast()
}

// readReserved reads whether the destination is one of the groups 01:80:c2:00:00:00 to 0f, which are between a station and its bridge: of what is none of
// them the group bit, and of another group one more bit, which all IPv6 groups and broadcast have in common.
func (s *Simulator) readReserved(h *hop) bool {
	read, is := reserved(h.dst)
	if s.origin == nil && !h.rewritten {
		for i, b := range read {
			s.res.Mask.DstMAC[i] |= b
		}
	}
	return is
}

// reserved reports whether m is a reserved group, and the bits that tell.
func reserved(m packet.MAC) (read packet.MAC, is bool) {
	group, read := packet.MAC{0x01, 0x80, 0xc2}, packet.MAC{1}
	if !m.IsMulticast() {
		return read, false
	}
	all := packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}
	for i := range m {
		if other := (m[i] ^ group[i]) & all[i]; other != 0 {
			read[i] |= other & -other
			return read, false
		}
	}
	return all, true
}

// notIP returns bits of an EtherType that is neither IPv4 nor IPv6 which no IP packet has like that: one, if it has one that both of these lack, else one that
// tells it from each. So there are few flows for all the others.
func notIP(etherType uint16) uint16 {
	const v4, v6 = packet.EtherTypeIPv4, packet.EtherTypeIPv6
	if both := etherType &^ (v4 | v6); both != 0 {
		return 1 << (bits.Len16(both) - 1)
	}
	four, six := etherType^v4, etherType^v6
	if both := four & six; both != 0 {
		return 1 << (bits.Len16(both) - 1)
	}
	return 1<<(bits.Len16(four)-1) | 1<<(bits.Len16(six)-1)
}

// readFamily reads the EtherType: IPv4, IPv6 or neither.
func (s *Simulator) readFamily() (v6, ip bool) {
	v6, ip = s.key.Is6(), s.key.Is4() || s.key.Is6()
	switch {
	case s.origin != nil:
	case ip:
		s.res.Mask.EtherType = 0xffff
	default:
		s.res.Mask.EtherType |= notIP(s.key.EtherType)
	}
	return v6, ip
}

// readDst reads the first n bits of the IP destination.
func (s *Simulator) readDst(n uint8) {
	if s.origin == nil {
		s.dstRead = max(s.dstRead, n)
	}
}

// readSrc reads the first n bits of the IP source.
func (s *Simulator) readSrc(n uint8) {
	if s.origin == nil {
		s.srcRead = max(s.srcRead, n)
	}
}

func (s *Simulator) readProto() uint8 {
	if s.origin == nil {
		s.res.Mask.Proto = 0xff
	}
	return s.key.Proto
}

// readUnable reads why the packet can have no connection, if so: what a chain does not ask of it, it may ask of others.
func (s *Simulator) readUnable() {
	if s.conns.able || s.origin != nil {
		return
	}
	s.res.Mask.DstMAC[0] |= 1
	switch v6, ip := s.readFamily(); {
	case v6:
		s.readDst(8)
	case ip:
		s.readDst(3)
	}
}

// readICMPType reads the type of an ICMP message, which a later fragment has not.
func (s *Simulator) readICMPType() {
	if s.origin == nil {
		s.res.Mask.Frag, s.res.Mask.SrcPort = 3, s.res.Mask.SrcPort|0xff00
	}
}

// limit notes an MTU that the packet must fit: a guard, never a part of the mask (E4).
func (s *Simulator) limit(mtu uint16) {
	if g := &s.res.Guards; s.origin == nil && (g.MaxLen == 0 || mtu < g.MaxLen) {
		g.MaxLen = mtu
	}
}

// outlive notes that the TTL must be greater than n: a guard, as limit.
func (s *Simulator) outlive(n uint8) {
	if s.origin == nil {
		s.res.Guards.MinTTL = max(s.res.Guards.MinTTL, n)
	}
}

// dep records a dependency. Those of one hop are close together, so repetitions are looked for among the last few only.
func (s *Simulator) dep(d topology.Dep) {
	if s.origin != nil {
		return
	}
	deps := s.res.Deps
	for i := len(deps) - 1; i >= max(0, len(deps)-3); i-- {
		if deps[i] == d {
			return
		}
	}
	s.res.Deps = append(deps, d)
}

// vport reads a vport. Its absence is recorded too.
func (s *Simulator) vport(id flow.VPortID) *topology.VPort {
	s.dep(topology.VPortDep(id))
	return s.snap.VPort(id)
}

func (s *Simulator) effect(e Effect) {
	for i := range s.res.Effects {
		if s.res.Effects[i] == e {
			return
		}
	}
	s.res.Effects = append(s.res.Effects, e)
}
