package offload

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// codecVersion is the first byte of stored megaflows. One that decides otherwise about the same network gets another: what an earlier one stored is not used then (K7).
const codecVersion = 2

// errStored: what is stored is not what AppendStored writes.
var errStored = errors.New("no megaflows that this version knows")

// Flags of a stored megaflow.
const (
	storedSetsMACs = 1 << iota
	storedTranslates
	storedTracks
	storedKnownSource
	storedLinks
)

// storedMore marks a link with a rate after which another one comes. Records from when a megaflow took from one link have it in none.
const storedMore = 1 << 31

// Stored is a megaflow as the database has it (K7): pattern and modification, of the packet that it was decided for the whole header, and the lane that it had.
type Stored struct {
	Megaflow
	Lane Lane
}

// AppendStored appends megaflows of one ingress vport as they are stored.
func AppendStored(b []byte, all []Stored) []byte {
	b = append(b, codecVersion)
	if len(all) == 0 {
		return b
	}
	b = binary.BigEndian.AppendUint32(b, uint32(all[0].Key.Ingress))
	for i := range all {
		b = all[i].append(b)
	}
	return b
}

func (m *Stored) append(b []byte) []byte {
	var flags byte
	for i, is := range [...]bool{m.Rewrite.SetMACs, m.Rewrite.Translate, m.Tracked, m.Guards.KnownSource, !m.Links.IsZero()} {
		if is {
			flags |= 1 << i
		}
	}
	b = append(b, byte(m.Lane), flags, byte(m.Act), m.Guards.MinTTL, m.Rewrite.TTLDec)
	b = binary.BigEndian.AppendUint16(b, m.Guards.MaxLen)
	b = binary.BigEndian.AppendUint32(b, uint32(m.Dest))
	b = binary.BigEndian.AppendUint32(b, uint32(m.Prio))
	b = binary.BigEndian.AppendUint32(b, uint32(m.Idle.Milliseconds()))
	k, mask := &m.Key, flow.Key(m.Mask)
	b = binary.BigEndian.AppendUint16(b, k.EtherType)
	b = appendKey(appendKey(b, k, k.EtherType), &mask, k.EtherType)
	if m.Rewrite.SetMACs {
		b = append(append(b, m.Rewrite.SrcMAC[:]...), m.Rewrite.DstMAC[:]...)
	}
	if m.Rewrite.Translate {
		b = appendAddr(appendAddr(b, &m.Rewrite.Src, k.EtherType), &m.Rewrite.Dst, k.EtherType)
		b = binary.BigEndian.AppendUint16(b, m.Rewrite.SrcPort)
		b = binary.BigEndian.AppendUint16(b, m.Rewrite.DstPort)
	}
	for i, all := 0, m.Links.Links(); i < len(all); i++ {
		link := uint32(all[i])
		if i < len(all)-1 {
			link |= storedMore
		}
		b = binary.BigEndian.AppendUint32(b, link)
	}
	return b
}

// appendKey appends a key or a mask but for the ingress vport, of a packet with an EtherType.
func appendKey(b []byte, k *flow.Key, etherType uint16) []byte {
	b = append(append(b, k.SrcMAC[:]...), k.DstMAC[:]...)
	b = binary.BigEndian.AppendUint16(b, k.EtherType)
	if !isIP(etherType) {
		return b
	}
	b = appendAddr(appendAddr(b, &k.Src, etherType), &k.Dst, etherType)
	b = append(b, k.Proto, k.Frag)
	b = binary.BigEndian.AppendUint16(b, k.SrcPort)
	return binary.BigEndian.AppendUint16(b, k.DstPort)
}

func isIP(etherType uint16) bool {
	return etherType == packet.EtherTypeIPv4 || etherType == packet.EtherTypeIPv6
}

// addrLen is how many of the last bytes of an address a family has.
func addrLen(etherType uint16) int {
	if etherType == packet.EtherTypeIPv4 {
		return 4
	}
	return 16
}

func appendAddr(b []byte, a *flow.Addr, etherType uint16) []byte {
	return append(b, a[16-addrLen(etherType):]...)
}

// ParseStored reads what AppendStored wrote. It returns an error if that was another version, or if it is damaged.
func ParseStored(b []byte) ([]Stored, error) {
	r := reader{b, false}
	if r.byte() != codecVersion {
		return nil, errStored
	}
	if len(r.b) == 0 {
		return nil, nil
	}
	ingress := flow.VPortID(r.uint32())
	var all []Stored
	for len(r.b) > 0 {
		m := r.stored()
		m.Key.Ingress, m.Mask.Ingress = ingress, flow.MaxID
		all = append(all, m)
	}
	if r.short || len(all) == 0 || ingress == 0 || ingress > flow.MaxID {
		return nil, errStored
	}
	return all, nil
}

// reader takes values off bytes. Beyond their end it gives zeros, and short is set.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.b, r.short = nil, true
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }

func (r *reader) addr(etherType uint16) (a flow.Addr) {
	n := addrLen(etherType)
	copy(a[16-n:], r.take(n))
	return a
}

func (r *reader) stored() (m Stored) {
	m.Lane = Lane(r.byte())
	flags := r.byte()
	m.Rewrite.SetMACs, m.Rewrite.Translate = flags&storedSetsMACs != 0, flags&storedTranslates != 0
	m.Tracked, m.Guards.KnownSource = flags&storedTracks != 0, flags&storedKnownSource != 0
	m.Act, m.Guards.MinTTL, m.Rewrite.TTLDec, m.Guards.MaxLen = Act(r.byte()), r.byte(), r.byte(), r.uint16()
	m.Dest, m.Prio, m.Idle = flow.Dest(r.uint32()), int32(r.uint32()), time.Duration(r.uint32())*time.Millisecond
	etherType := r.uint16()
	m.Key = r.key(etherType)
	m.Mask = flow.Mask(r.key(etherType))
	if m.Rewrite.SetMACs {
		m.Rewrite.SrcMAC, m.Rewrite.DstMAC = packet.MAC(r.take(6)), packet.MAC(r.take(6))
	}
	if m.Rewrite.Translate {
		m.Rewrite.Src, m.Rewrite.Dst = r.addr(etherType), r.addr(etherType)
		m.Rewrite.SrcPort, m.Rewrite.DstPort = r.uint16(), r.uint16()
	}
	if flags&storedLinks != 0 {
		m.Links = r.links()
	}
	r.short = r.short || m.Lane > LaneWildL2 || m.Act > Punt || m.Key.EtherType != etherType || flags >= storedLinks<<1 || m.Dest > flow.MaxID || m.Prio < 0 || m.Key.Frag > uint8(packet.FragLater)
	return m
}

// links reads a set of one link or more.
func (r *reader) links() (s flow.LinkSet) {
	for i := range s {
		link := r.uint32()
		more := link&storedMore != 0
		link &^= storedMore
		r.short = r.short || link == 0 || link > flow.MaxID || i > 0 && flow.VPortID(link) <= s[i-1]
		if s[i] = flow.VPortID(link); !more {
			return s
		}
	}
	r.short = true
	return s
}

func (r *reader) key(etherType uint16) (k flow.Key) {
	k.SrcMAC, k.DstMAC, k.EtherType = packet.MAC(r.take(6)), packet.MAC(r.take(6)), r.uint16()
	if isIP(etherType) {
		k.Src, k.Dst = r.addr(etherType), r.addr(etherType)
		k.Proto, k.Frag, k.SrcPort, k.DstPort = r.byte(), r.byte(), r.uint16(), r.uint16()
	}
	return k
}
