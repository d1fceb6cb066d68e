package flow

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/weft-sdn/weft/packet"
)

// MaxTTLDec is the most routers that an installable flow can pass: ttl_dec has 4 bits in the pipeline.
const MaxTTLDec = 15

// Guards are per-packet conditions that are not in the mask: a packet that meets a flow's mask but fails a guard is punted and simulated by itself. But for
// one: what takes the length of the frame is known to hardware too late for that, and is dropped in egress.
type Guards struct {
	// MinTTL: TTL or hop limit must be greater; 0 = none. Number of routers passed: the rewrite's TTLDec. With it goes what else a router checks: a good
	// header, in a frame that holds the packet, and a source that is forwarded from.
	MinTTL      uint8
	MaxLen      uint16 // largest length of the IP packet in bytes, the smallest MTU on the path; 0 = none
	KnownSource bool   // source MAC must be known at the ingress vport (table src_class)
}

// Check returns the reason why the pipeline would punt or drop f, ReasonNone if it would not. As there, the header goes before the source, this before the TTL,
// and it before length.
// KnownSource is not checked: src_class decides it ahead of the flow tables.
func (g Guards) Check(f *packet.Frame) Reason {
	if f.L3 == 0 {
		return ReasonNone
	}
	routed, n := g.MinTTL != 0, f.IPLen()
	switch {
	case routed && !f.HeaderOK():
		return ReasonHeader
	case routed && f.IsMartian():
		return ReasonMartian
	case routed && f.TTL() <= g.MinTTL:
		return ReasonTTL
	case g.MaxLen != 0 && n > int(g.MaxLen):
		return ReasonLength
	case routed && n > f.IPRoom(), g.MaxLen != 0 && f.IPRoom() > int(g.MaxLen):
		return ReasonFrameLength
	}
	return ReasonNone
}

// Rewrite is what a flow changes in a frame. The zero value changes nothing.
type Rewrite struct {
	SetMACs        bool
	SrcMAC, DstMAC packet.MAC // valid iff SetMACs
	TTLDec         uint8      // number of routers passed

	// Translate: the packet gets all four of the following; those that do not change hold its own value.
	// Of ICMP echo and echo reply, DstPort is the identifier, and SrcPort, type and code, is never changed. Of SCTP no port is: its CRC32c covers them.
	Translate        bool
	Src, Dst         Addr   // valid iff Translate, of the packet's family
	SrcPort, DstPort uint16 // valid iff Translate, as in Key
}

// IsZero reports whether r changes nothing.
func (r Rewrite) IsZero() bool { return !r.SetMACs && r.TTLDec == 0 && !r.Translate }

// Apply changes frame in place, bit for bit as the pipeline does: MACs, TTL or hop limit, addresses and ports, and the checksums over them by RFC 1624.
// frame has the layout that f was parsed from; f's offsets stay valid, its fields too but for translated ports. A tag stays: see packet.Frame.Untag.
// The flow hash is that of the frame as it came in: take it first.
func (r Rewrite) Apply(frame []byte, f *packet.Frame) {
	if r.SetMACs {
		copy(frame[0:6], r.DstMAC[:])
		copy(frame[6:12], r.SrcMAC[:])
	}
	if r.TTLDec != 0 {
		r.decrement(frame, f)
	}
	if r.Translate {
		r.translate(frame, f)
	}
}

func (r *Rewrite) decrement(frame []byte, f *packet.Frame) {
	switch {
	case f.Is4():
		h := frame[f.L3 : f.L3+packet.IPv4Len]
		m := binary.BigEndian.Uint16(h[8:])
		h[8] -= r.TTLDec
		updateChecksum(h[10:], m, binary.BigEndian.Uint16(h[8:]))
	case f.Is6():
		frame[f.L3+7] -= r.TTLDec
	}
}

// String returns the rewrite in one line, fields separated by spaces.
func (r Rewrite) String() string {
	if r.IsZero() {
		return "none"
	}
	var parts []string
	if r.SetMACs {
		parts = append(parts, fmt.Sprintf("src_mac=%v dst_mac=%v", r.SrcMAC, r.DstMAC))
	}
	if r.SetMACs || r.TTLDec != 0 {
		parts = append(parts, fmt.Sprintf("ttl_dec=%d", r.TTLDec))
	}
	if r.Translate {
		parts = append(parts, r.translation())
	}
	return strings.Join(parts, " ")
}
