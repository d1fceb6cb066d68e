package topology

import "cmp"

// Types of VPN.
const (
	VPNWireGuard = "wireguard"
	VPNOpenVPN   = "openvpn"
	VPNIPsec     = "ipsec"
)

const (
	wireGuardMTU = 1420
	daemonMTU    = 1400 // of OpenVPN and IPsec: what they add to a packet is more, and not the same with all ciphers

	// daemonKeepalive is how many seconds pass between two signs of life of OpenVPN and IPsec: what a peer is not told of a new holder, it finds out by their absence.
	// OpenVPN takes four of them, and then two seconds to agree on keys.
	daemonKeepalive = 1
)

// What a tunnel adds to a packet beside the outer IP header: WireGuard UDP, header and tag; OpenVPN UDP, opcode with peer id, packet id and tag; IPsec UDP, ESP header, IV, pad with its length, next header and tag.
const (
	wireGuardOverhead = 8 + 16 + 16
	openVPNOverhead   = 8 + 4 + 4 + 16
	ipsecOverhead     = 8 + 8 + 8 + 5 + 16
	ethernetHeader    = 14
)

// TypeOr is the type of the VPN.
func (s *VPNSpec) TypeOr() string { return cmp.Or(s.Type, VPNWireGuard) }

// MTUOr is the MTU of the tunnel.
func (s *VPNSpec) MTUOr() uint16 {
	if s.TypeOr() == VPNWireGuard {
		return cmp.Or(s.MTU, wireGuardMTU)
	}
	return cmp.Or(s.MTU, daemonMTU)
}

// KeepaliveOr is how many seconds pass between two signs of life of the peer's daemon.
func (p *VPNPeerSpec) KeepaliveOr() int { return int(cmp.Or(p.Keepalive, daemonKeepalive)) }

// Overhead is what a tunnel adds to an IP packet, with the outer header of IPv4 or IPv6.
func (s *VPNSpec) Overhead(ipv6 bool) uint16 {
	over := uint16(20)
	if ipv6 {
		over = 40
	}
	switch s.TypeOr() {
	case VPNOpenVPN:
		if over += openVPNOverhead; s.isCable() {
			over += ethernetHeader
		}
	case VPNIPsec:
		over += ipsecOverhead
	default:
		over += wireGuardOverhead
	}
	return over
}

// isCable reports whether an OpenVPN carries the frames of a bridge: nothing is said then of what is behind the peer.
func (s *VPNSpec) isCable() bool {
	return s.TypeOr() == VPNOpenVPN && (len(s.Peers) == 0 || len(s.Peers[0].AllowedIPs) == 0)
}
