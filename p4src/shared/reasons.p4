// Why a packet left the fast path: one 8-bit code, shared with package flow (flow/reason.go; a test compares the two).
// 0: it did not. 1–63: punted to the engine. 64–255: dropped. Every frame is counted in ingress.reasons, by side and code; what egress drops in egress.reasons.
// Drops of what vports sent are in vport_drops too, by local vport and the low four bits of the code: those that can be of one vport differ there, within ingress and within egress.
#ifndef WEFT_REASONS
#define WEFT_REASONS

typedef bit<8> reason_t;

const reason_t REASON_NONE            = 0;

const reason_t REASON_MISS_SOURCE     = 1;   // source MAC not known at this vport: learning (B2)
const reason_t REASON_MISS_SCOPE      = 2;   // destination MAC not yet classified for this vport
const reason_t REASON_MISS_FLOW       = 3;   // no flow entry: first packet
const reason_t REASON_ARP             = 4;
const reason_t REASON_ND              = 5;
const reason_t REASON_DHCP            = 6;
const reason_t REASON_GROUP_CONTROL   = 7;   // IGMP, MLD
const reason_t REASON_ICMP_ERROR      = 8;
const reason_t REASON_TTL             = 9;   // guard: TTL or hop limit would reach zero
const reason_t REASON_LENGTH          = 10;  // guard: longer than the smallest MTU on the path
const reason_t REASON_FRAGMENT        = 11;
const reason_t REASON_NO_LOCATION     = 12;  // destination vport or group not in table location
const reason_t REASON_NO_PEER         = 13;
const reason_t REASON_NO_REWRITE      = 14;
const reason_t REASON_UNDERLAY        = 15;  // underlay frame that is no tunnel packet: ARP, ND, ping of a VTEP
const reason_t REASON_REJECT          = 16;  // flow entry that asks for an answer to the sender
const reason_t REASON_TRACKED_SYN     = 17;  // TCP segment with SYN on a tracked flow
const reason_t REASON_TRACKED_END     = 18;  // copy of a TCP segment with FIN or RST on a tracked flow, which went on
const reason_t REASON_HEADER          = 19;  // guard: IPv4 header with a wrong checksum, or longer than its packet (RFC 1812 section 5.2.2)
const reason_t REASON_MARTIAN         = 20;  // guard: a source that no router forwards from (RFC 1812 section 5.3.7)
const reason_t REASON_SERVICE        = 21;  // for a service behind a router port, such as a BGP session (G1), or in its way

const reason_t REASON_PARSER_ERROR    = 64;  // truncated or malformed headers
const reason_t REASON_UNKNOWN_PORT    = 65;  // no vport on this port and VLAN
const reason_t REASON_UNKNOWN_VTEP    = 66;  // tunnel packet to an address that is not ours
const reason_t REASON_UNKNOWN_PEER    = 67;  // tunnel packet from an address that is no peer's
const reason_t REASON_TUNNEL_LOOP     = 68;  // already forwarded once after a move
const reason_t REASON_FLOW_DROP       = 69;  // flow entry that drops
const reason_t REASON_CLASS_DROP      = 70;
const reason_t REASON_PRUNED          = 71;  // group copy towards the vport that the frame came from
const reason_t REASON_UNDERLAY_LENGTH = 72;  // longer than the underlay's MTU once encapsulated
const reason_t REASON_ECN             = 73;  // outer CE on a not-ECT inner packet (RFC 6040 section 4.2)
const reason_t REASON_NO_PATH         = 74;  // egress: path not in table underlay
const reason_t REASON_NO_REPLICA      = 75;  // egress: replica id not in table replica
const reason_t REASON_LOCATION_DROP   = 76;  // destination known to be bound nowhere (E14)
const reason_t REASON_BAD_PACKET_OUT  = 77;  // packet-out with an unknown mode, or whose destination does not resolve
const reason_t REASON_PUNT_RATE       = 78;  // punts of this vport are over their rate
const reason_t REASON_GROUP_SOURCE    = 79;  // a vport's frame whose source is no station's MAC: a group's, or zero (IEEE 802.3 section 3.2.4)
const reason_t REASON_NO_NAT          = 80;  // egress: translation not in table nat_v4 or nat_v6
const reason_t REASON_FLOOD_RATE      = 81;  // frames to group addresses, and flooded ones, of this vport are over its rate
const reason_t REASON_LAND            = 82;  // a vport's IP packet whose source is its destination: some hosts answer themselves for ever
const reason_t REASON_FRAME_LENGTH    = 83;  // egress: routed frame that does not hold its IP packet, or is longer than the MTU for what is behind it
const reason_t REASON_SEND_RATE       = 84;  // what the host of this vport sends is over its rate (Q1)
const reason_t REASON_LINK_RATE       = 85;  // egress: over the rate of a link on the way
const reason_t REASON_RECEIVE_RATE    = 86;  // egress: over the rate of the vport that it is for, by which it is counted

#define REASON_IS_DROP(r) ((r) >= 64)

#endif
