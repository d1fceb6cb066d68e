package offload_test

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
)

// random makes frames and decisions about them.
type random struct{ *rand.Rand }

func (r random) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// frame makes an Ethernet frame with IPv4 (options, fragments) or IPv6 (fragment header) and TCP, UDP, ICMP or something else. Checksums are arbitrary, but
// for that of most IPv4 headers; a few frames are longer than their packets, a few shorter.
func (r random) frame(src, dst packet.MAC) []byte {
	switch r.IntN(24) {
	case 0:
		return append(r.claiming(0, src, dst), r.bytes(1+r.IntN(60))...)
	case 1:
		return r.claiming(1+r.IntN(16), src, dst)
	}
	return r.claiming(0, src, dst)
}

// claiming makes a frame whose packet is to have some bytes more than it has.
func (r random) claiming(more int, src, dst packet.MAC) []byte {
	f := append(append(append([]byte{}, dst[:]...), src[:]...), 0, 0)
	protos := []byte{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoICMP, packet.ProtoICMPv6, 132, 47, 89}
	proto := protos[r.IntN(len(protos))]
	l4 := r.bytes(20 + r.IntN(60))
	frag := uint16(0)
	if r.IntN(4) == 0 {
		frag = []uint16{0x2000, 0x2001, 0x0001, 0x4000}[r.IntN(4)]
	}
	if r.IntN(2) == 0 {
		binary.BigEndian.PutUint16(f[12:], packet.EtherTypeIPv4)
		options := r.bytes(4 * r.IntN(4))
		h := r.bytes(20)
		h[0] = 0x45 + byte(len(options)/4)
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(options)+len(l4)+more))
		binary.BigEndian.PutUint16(h[6:], frag)
		h[9] = proto
		h = append(h, options...)
		if r.IntN(8) != 0 {
			h[10], h[11] = 0, 0
			binary.BigEndian.PutUint16(h[10:], packet.Checksum(h))
		}
		return append(append(f, h...), l4...)
	}
	binary.BigEndian.PutUint16(f[12:], packet.EtherTypeIPv6)
	h := r.bytes(40)
	h[0] = 0x60 | h[0]&0xf
	h[6] = proto
	ext := []byte{}
	if frag != 0 {
		h[6] = packet.ProtoFragment
		ext = append([]byte{proto, 0}, binary.BigEndian.AppendUint16(nil, frag<<3|frag>>13&1)...)
		ext = append(ext, r.bytes(4)...)
	}
	binary.BigEndian.PutUint16(h[4:], uint16(len(ext)+len(l4)+more))
	return append(append(append(f, h...), ext...), l4...)
}

func (r random) mac() packet.MAC {
	m := packet.MAC(r.bytes(6))
	m[0] = m[0]&^1 | 2
	return m
}

// megaflow decides something about a frame that reads random fields.
func (r random) megaflow(f *packet.Frame, ingress flow.VPortID) offload.Megaflow {
	k := flow.KeyOf(f, ingress)
	m := offload.Megaflow{Key: k, Act: offload.Forward, Dest: flow.Dest(1 + r.IntN(flow.MaxID)), Prio: 1 + r.Int32N(1000)}
	m.Mask = flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast()}
	m.Guards.KnownSource = r.IntN(2) == 0
	if r.IntN(4) != 0 {
		m.Mask.EtherType = 0xffff
		m.Mask.Dst = flow.AddrMask(r.IntN(129), k.EtherType)
		if r.IntN(2) == 0 {
			m.Mask.Src = flow.AddrMask(r.IntN(129), k.EtherType)
		}
		if r.IntN(2) == 0 {
			m.Mask.Proto, m.Mask.Frag = 0xff, 3
			m.Mask.DstPort = uint16(0xffff << r.IntN(17))
		}
		m.Rewrite = flow.Rewrite{SetMACs: true, SrcMAC: r.mac(), DstMAC: r.mac(), TTLDec: uint8(r.IntN(4))}
		m.Guards.MinTTL = m.Rewrite.TTLDec
		m.Guards.MaxLen = uint16(f.IPLen() + r.IntN(3) - 1)
		if r.IntN(3) == 0 {
			r.connection(&m)
		}
	}
	return m
}

// connection makes the megaflow one of a connection: translated, tracked, or both.
func (r random) connection(m *offload.Megaflow) {
	m.Mask = flow.ExactMask(m.Key.EtherType)
	m.Mask.SrcMAC = packet.MAC{}
	m.Rewrite.Translate, m.Tracked = true, r.IntN(2) == 0
	if m.Tracked && r.IntN(3) == 0 {
		m.Rewrite.Translate = false
		return
	}
	m.Rewrite.Src, m.Rewrite.Dst, m.Rewrite.SrcPort, m.Rewrite.DstPort = m.Key.Src, m.Key.Dst, m.Key.SrcPort, m.Key.DstPort
	if r.IntN(2) == 0 {
		copy(m.Rewrite.Src[12:], r.bytes(4))
		m.Rewrite.SrcPort = uint16(r.Uint32())
	}
	if r.IntN(2) == 0 {
		copy(m.Rewrite.Dst[12:], r.bytes(4))
		m.Rewrite.DstPort = uint16(r.Uint32())
	}
}
