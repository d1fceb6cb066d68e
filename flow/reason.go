package flow

import "strconv"

// Reason tells why a packet left the fast path: the codes of p4src/shared/reasons.p4. 0: it did not; 1–63: punted to the engine; 64–255: dropped.
type Reason uint8

// Reasons.
const (
	ReasonNone Reason = 0

	ReasonMissSource   Reason = 1 // source MAC not known at this vport: learning (B2)
	ReasonMissScope    Reason = 2 // destination MAC not yet classified for this vport
	ReasonMissFlow     Reason = 3 // no flow entry: first packet
	ReasonARP          Reason = 4
	ReasonND           Reason = 5
	ReasonDHCP         Reason = 6
	ReasonGroupControl Reason = 7 // IGMP, MLD
	ReasonICMPError    Reason = 8
	ReasonTTL          Reason = 9  // guard: TTL or hop limit would reach zero
	ReasonLength       Reason = 10 // guard: longer than the smallest MTU on the path
	ReasonFragment     Reason = 11
	ReasonNoLocation   Reason = 12 // destination vport or group not in table location
	ReasonNoPeer       Reason = 13
	ReasonNoRewrite    Reason = 14
	ReasonUnderlay     Reason = 15 // underlay frame that is no tunnel packet
	ReasonReject       Reason = 16 // flow entry that asks for an answer to the sender
	ReasonTrackedSYN   Reason = 17 // TCP segment with SYN on a tracked flow
	ReasonTrackedEnd   Reason = 18 // copy of a TCP segment with FIN or RST on a tracked flow, which went on
	ReasonHeader       Reason = 19 // guard: IPv4 header with a wrong checksum, or longer than its packet (RFC 1812 section 5.2.2)
	ReasonMartian      Reason = 20 // guard: a source that no router forwards from (RFC 1812 section 5.3.7)

	ReasonParserError    Reason = 64 // truncated or malformed headers
	ReasonUnknownPort    Reason = 65 // no vport on this port and VLAN
	ReasonUnknownVTEP    Reason = 66 // tunnel packet to an address that is not ours
	ReasonUnknownPeer    Reason = 67 // tunnel packet from an address that is no peer's
	ReasonTunnelLoop     Reason = 68 // already forwarded once after a move
	ReasonFlowDrop       Reason = 69 // flow entry that drops
	ReasonClassDrop      Reason = 70
	ReasonPruned         Reason = 71 // group copy towards the vport that the frame came from
	ReasonUnderlayLength Reason = 72 // longer than the underlay's MTU once encapsulated
	ReasonECN            Reason = 73 // outer CE on a not-ECT inner packet (RFC 6040 section 4.2)
	ReasonNoPath         Reason = 74 // egress: path not in table underlay
	ReasonNoReplica      Reason = 75 // egress: replica id not in table replica
	ReasonLocationDrop   Reason = 76 // destination known to be bound nowhere (E14)
	ReasonBadPacketOut   Reason = 77 // packet-out with an unknown mode, or whose destination does not resolve
	ReasonPuntRate       Reason = 78 // punts of this vport are over their rate
	ReasonGroupSource    Reason = 79 // a vport's frame whose source is no station's MAC: a group's, or zero
	ReasonNoNAT          Reason = 80 // egress: translation not in table nat_v4 or nat_v6
	ReasonFloodRate      Reason = 81 // frames to group addresses, and flooded ones, of this vport are over its rate
	ReasonLand           Reason = 82 // a vport's IP packet whose source is its destination
	ReasonFrameLength    Reason = 83 // egress: routed frame that does not hold its IP packet, or is longer than the MTU for what is behind it
)

// IsDrop reports whether the packet was dropped by the pipeline (REASON_IS_DROP).
func (r Reason) IsDrop() bool { return r >= 64 }

// IsPunt reports whether the packet, or a copy of it, was sent to the engine.
func (r Reason) IsPunt() bool { return r != ReasonNone && r < 64 }

// String returns the name in p4src in lower case, without REASON_; the number if there is none.
func (r Reason) String() string {
	switch r {
	case ReasonNone:
		return "none"
	case ReasonMissSource:
		return "miss_source"
	case ReasonMissScope:
		return "miss_scope"
	case ReasonMissFlow:
		return "miss_flow"
	case ReasonARP:
		return "arp"
	case ReasonND:
		return "nd"
	case ReasonDHCP:
		return "dhcp"
	case ReasonGroupControl:
		return "group_control"
	case ReasonICMPError:
		return "icmp_error"
	case ReasonTTL:
		return "ttl"
	case ReasonLength:
		return "length"
	case ReasonFragment:
		return "fragment"
	case ReasonNoLocation:
		return "no_location"
	case ReasonNoPeer:
		return "no_peer"
	case ReasonNoRewrite:
		return "no_rewrite"
	case ReasonUnderlay:
		return "underlay"
	case ReasonReject:
		return "reject"
	case ReasonTrackedSYN:
		return "tracked_syn"
	case ReasonTrackedEnd:
		return "tracked_end"
	case ReasonHeader:
		return "header"
	case ReasonMartian:
		return "martian"
	case ReasonParserError:
		return "parser_error"
	case ReasonUnknownPort:
		return "unknown_port"
	case ReasonUnknownVTEP:
		return "unknown_vtep"
	case ReasonUnknownPeer:
		return "unknown_peer"
	case ReasonTunnelLoop:
		return "tunnel_loop"
	case ReasonFlowDrop:
		return "flow_drop"
	case ReasonClassDrop:
		return "class_drop"
	case ReasonPruned:
		return "pruned"
	case ReasonUnderlayLength:
		return "underlay_length"
	case ReasonECN:
		return "ecn"
	case ReasonNoPath:
		return "no_path"
	case ReasonNoReplica:
		return "no_replica"
	case ReasonLocationDrop:
		return "location_drop"
	case ReasonBadPacketOut:
		return "bad_packet_out"
	case ReasonPuntRate:
		return "punt_rate"
	case ReasonGroupSource:
		return "group_source"
	case ReasonNoNAT:
		return "no_nat"
	case ReasonFloodRate:
		return "flood_rate"
	case ReasonLand:
		return "land"
	case ReasonFrameLength:
		return "frame_length"
	}
	return strconv.Itoa(int(r))
}
