package packet

import (
	"encoding/binary"
	"net/netip"
)

// TunnelKind is the encapsulation of an underlay frame (TUNNEL_* of p4src/shared/ids.p4).
type TunnelKind uint8

// Tunnel kinds.
const (
	TunnelNone   TunnelKind = 0
	TunnelVXLAN  TunnelKind = 1 // RFC 7348
	TunnelGRE    TunnelKind = 2 // RFC 2784, key by RFC 2890
	TunnelGeneve TunnelKind = 3 // RFC 8926
)

// String returns the kind's name in lower case.
func (k TunnelKind) String() string {
	switch k {
	case TunnelVXLAN:
		return "vxlan"
	case TunnelGRE:
		return "gre"
	case TunnelGeneve:
		return "geneve"
	}
	return "none"
}

// UDP ports of tunnels.
const (
	PortVXLAN  = 4789
	PortGeneve = 6081
)

// What a tunnel header must say to carry an Ethernet frame with a key; anything else is no tunnel packet of ours.
const (
	etherTypeTEB          = 0x6558              // transparent Ethernet bridging
	vxlanHasVNI           = 0x08                // flag I
	geneveControlCritical = 0xc0                // flags O and C: a control packet, critical options
	greKeyTEB             = 0x2000<<16 | 0x6558 // flag K alone, and the protocol
)

// TunnelMoved is the tunnel flag of a frame that its vport's former edge forwarded.
const TunnelMoved = 0x01

// Tunnel holds the outer headers of an underlay frame. Inner is borrowed.
type Tunnel struct {
	Kind     TunnelKind // TunnelNone: no tunnel packet, and nothing else is set
	Key      uint32     // 24 bits: a vport or group (E9)
	Flags    uint8
	TOS      uint8 // outer TOS or traffic class
	Src, Dst netip.Addr
	Inner    []byte // the tenant's frame
}

// ParseTunnel parses the outer headers of a frame from an underlay port, as p4src/v1model/parser.p4 does from parse_outer_ethernet to parse_ethernet.
// The engine needs it for what the pipeline punts before it decapsulates.
func ParseTunnel(data []byte) (Tunnel, error) {
	if len(data) < EthernetLen {
		return Tunnel{}, ErrTruncated
	}
	b := data[EthernetLen:]
	var t Tunnel
	var proto uint8
	switch binary.BigEndian.Uint16(data[12:]) {
	case EtherTypeIPv4:
		if len(b) < IPv4Len {
			return Tunnel{}, ErrTruncated
		}
		if b[0] != 0x45 || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return Tunnel{}, nil
		}
		t.TOS, proto = b[1], b[9]
		t.Src, t.Dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		b = b[IPv4Len:]
	case EtherTypeIPv6:
		if len(b) < IPv6Len {
			return Tunnel{}, ErrTruncated
		}
		if b[0]>>4 != 6 {
			return Tunnel{}, nil
		}
		t.TOS, proto = b[0]<<4|b[1]>>4, b[6]
		t.Src, t.Dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		b = b[IPv6Len:]
	default:
		return Tunnel{}, nil
	}
	switch proto {
	case ProtoUDP:
		return t.parseUDP(b)
	case ProtoGRE:
		if len(b) < 8 {
			return Tunnel{}, ErrTruncated
		}
		if binary.BigEndian.Uint32(b) != greKeyTEB {
			return Tunnel{}, nil
		}
		t.Kind, t.Flags, t.Key, t.Inner = TunnelGRE, b[4], binary.BigEndian.Uint32(b[4:])&0xffffff, b[8:]
		return t, nil
	}
	return Tunnel{}, nil
}

func (t Tunnel) parseUDP(b []byte) (Tunnel, error) {
	if len(b) < UDPLen {
		return Tunnel{}, ErrTruncated
	}
	port := binary.BigEndian.Uint16(b[2:])
	b = b[UDPLen:]
	if port != PortVXLAN && port != PortGeneve {
		return Tunnel{}, nil
	}
	if len(b) < 8 {
		return Tunnel{}, ErrTruncated
	}
	t.Key, t.Flags = binary.BigEndian.Uint32(b[4:])>>8, b[7]
	if port == PortVXLAN {
		if b[0]&vxlanHasVNI == 0 {
			return Tunnel{}, nil
		}
		t.Kind, t.Inner = TunnelVXLAN, b[8:]
		return t, nil
	}
	if b[0]>>6 != 0 || b[1]&geneveControlCritical != 0 || binary.BigEndian.Uint16(b[2:]) != etherTypeTEB {
		return Tunnel{}, nil
	}
	n := 8 + 4*int(b[0]&0x3f)
	if len(b) < n {
		return Tunnel{}, ErrTruncated
	}
	t.Kind, t.Inner = TunnelGeneve, b[n:]
	return t, nil
}

// ECN codepoints.
const (
	ecnNotECT = 0
	ecnECT1   = 1
	ecnECT0   = 2
	ecnCE     = 3
)

// DecapECN brings the outer header's congestion marks over to the inner packet, in place: RFC 6040 section 4.2, decap_ecn in p4src. It returns false,
// and changes nothing, if the packet is to be dropped: it was marked, but its transport would not understand.
func DecapECN(inner *Frame, outerTOS uint8) bool {
	if inner.L3 == 0 {
		return true
	}
	was, outer := inner.TOS()&3, outerTOS&3
	now := was
	switch {
	case outer == ecnCE && was == ecnNotECT:
		return false
	case outer == ecnCE:
		now = ecnCE
	case outer == ecnECT1 && was == ecnECT0:
		now = ecnECT1
	}
	h := inner.Data[inner.L3:]
	if inner.Is6() {
		h[1] = h[1]&^0x30 | now<<4
		return true
	}
	m := binary.BigEndian.Uint16(h)
	h[1] = h[1]&^3 | now
	binary.BigEndian.PutUint16(h[10:], UpdateChecksum(binary.BigEndian.Uint16(h[10:]), m, binary.BigEndian.Uint16(h)))
	return true
}
