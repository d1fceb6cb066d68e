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
	ReasonService      Reason = 21 // for a service behind a router port, such as a BGP session (G1), or in its way

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
	ReasonSendRate       Reason = 84 // what the host of this vport sends is over its rate (Q1)
	ReasonLinkRate       Reason = 85 // egress: over the rate of a link on the way
	ReasonReceiveRate    Reason = 86 // egress: over the rate of the vport that it is for, by which it is counted
)

// IsDrop reports whether the packet was dropped by the pipeline (REASON_IS_DROP).
func (r Reason) IsDrop() bool { return r >= 64 }

// IsPunt reports whether the packet, or a copy of it, was sent to the engine.
func (r Reason) IsPunt() bool { return r != ReasonNone && r < 64 }

// reasonNames are the names in p4src in lower case, without REASON_; "" where there is no reason.
var reasonNames = [...]string{
	ReasonNone:           "none",
	ReasonMissSource:     "miss_source",
	ReasonMissScope:      "miss_scope",
	ReasonMissFlow:       "miss_flow",
	ReasonARP:            "arp",
	ReasonND:             "nd",
	ReasonDHCP:           "dhcp",
	ReasonGroupControl:   "group_control",
	ReasonICMPError:      "icmp_error",
	ReasonTTL:            "ttl",
	ReasonLength:         "length",
	ReasonFragment:       "fragment",
	ReasonNoLocation:     "no_location",
	ReasonNoPeer:         "no_peer",
	ReasonNoRewrite:      "no_rewrite",
	ReasonUnderlay:       "underlay",
	ReasonReject:         "reject",
	ReasonTrackedSYN:     "tracked_syn",
	ReasonTrackedEnd:     "tracked_end",
	ReasonHeader:         "header",
	ReasonMartian:        "martian",
	ReasonService:        "service",
	ReasonParserError:    "parser_error",
	ReasonUnknownPort:    "unknown_port",
	ReasonUnknownVTEP:    "unknown_vtep",
	ReasonUnknownPeer:    "unknown_peer",
	ReasonTunnelLoop:     "tunnel_loop",
	ReasonFlowDrop:       "flow_drop",
	ReasonClassDrop:      "class_drop",
	ReasonPruned:         "pruned",
	ReasonUnderlayLength: "underlay_length",
	ReasonECN:            "ecn",
	ReasonNoPath:         "no_path",
	ReasonNoReplica:      "no_replica",
	ReasonLocationDrop:   "location_drop",
	ReasonBadPacketOut:   "bad_packet_out",
	ReasonPuntRate:       "punt_rate",
	ReasonGroupSource:    "group_source",
	ReasonNoNAT:          "no_nat",
	ReasonFloodRate:      "flood_rate",
	ReasonLand:           "land",
	ReasonFrameLength:    "frame_length",
	ReasonSendRate:       "send_rate",
	ReasonLinkRate:       "link_rate",
	ReasonReceiveRate:    "receive_rate",
}

// String returns the reason's name in p4src, in lower case and without REASON_; the number if there is none.
func (r Reason) String() string {
	if int(r) < len(reasonNames) && reasonNames[r] != "" {
		return reasonNames[r]
	}
	return strconv.Itoa(int(r))
}
