// Meters give back what is asked of them, so that the colour is the reason itself.
const MirrorType_t COPY_MIRROR = 1;

// First byte of what egress is handed: bridged by ingress, or mirrored for the CPU.
const bit<8> KIND_BRIDGED = 0;
const bit<8> KIND_COPY    = 1;

// The port to the CPU, a number of the device: 192 is the PCIe port of a Tofino 1 with two pipes, 320 of one with four.
#ifndef CPU_DEVICE_PORT
#define CPU_DEVICE_PORT 192
#endif
const PortId_t DEVICE_PORT_CPU = CPU_DEVICE_PORT;

// What egress knows from ingress of a packet that goes on: 25 bytes, whole ones, so that nothing need be shifted. Valid from the parser on until it is known
// that the packet does not go on.
header bridge_h {
    bit<8>  kind;
    bit<8>  to_group;
    bit<8>  outer_ecn;       // of the tunnel that the frame came in
    bit<8>  ttl_dec;
    bit<8>  out_tunnel_flags;
    bit<24> dest;
    vport_t vport;
    nat_t   nat;
    path_t  path;
    vport_t out_vport;
    bit<16> out_tag;         // TAGGED and the VLAN of the port where the frame leaves
    l2_rewrite_t l2_rewrite;
    bit<16> mtu;             // of a packet-out, which has no rewrite, the link whose rate it takes from
    bit<16> hash;
    bit<8>  wrong;           // bit 0: the checksum of the IPv4 header was wrong, and stays so
}
const bit<16> BRIDGE_BYTES = 25;
const bit<16> TAGGED = 0x1000;

// What a copy to the CPU keeps (v1model: COPY_FIELDS).
header copy_h {
    bit<8>  kind;
    bit<8>  reason;
    bit<16> port;
    bit<16> vport;
}

// Written once for each port by whoever sets the switch up; 0, an access port, if nobody does.
struct port_t_metadata {
    bit<2> side;
}

// IPv4 options, 4 to 40 bytes, of one to four of these: eight words, four, two, one.
header options_8_h { bit<256> words; }
header options_4_h { bit<128> words; }
header options_2_h { bit<64> words; }
header options_1_h { bit<32> words; }

// Addresses of the outer header are read, the rest of it goes by.
struct ingress_headers_t {
    bridge_h         bridge;
    packet_in_h      packet_in;
    packet_out_h     packet_out;
    ethernet_h       outer_ethernet;
    ipv4_h           outer_ipv4;
    ipv6_h           outer_ipv6;
    udp_h            outer_udp;
    vxlan_h          vxlan;
    geneve_h         geneve;
    gre_h            gre;
    ethernet_h       ethernet;
    vlan_h           vlan;
    ipv4_h           ipv4;
    options_8_h      options_8;
    options_4_h      options_4;
    options_2_h      options_2;
    options_1_h      options_1;
    ipv6_h           ipv6;
    ipv6_fragment_h  ipv6_fragment;
    ports_h          ports;
    tcp_rest_h       tcp_rest;
    udp_rest_h       udp_rest;
    icmp_h           icmp;
}

struct ingress_metadata_t {
    port_t_metadata port;

    // Parsed: the flow key (the class fields too), and the tunnel that the frame came in.
    bit<16> ether_type;
    bit<12> vid;             // 0 when untagged
    bit<8>  ip_proto;
    bit<16> sport;
    bit<16> dport;
    bit<8>  tcp_flags;
    bit<2>  frag;
    bit<2>  tunnel_kind;
    bit<24> tunnel_key;
    bit<8>  tunnel_flags;
    bit<1>  malformed;       // version or header length of an IP packet
    bool    checksum_error;
    bit<8>  ttl;
    bit<16> ip_last;         // length of the IP packet, less one once it is known which IP it is

    // One reason per table, merged by tables of constants (guards.p4): a shared one would chain all tables.
    bit<1>  keep_tag;
    scope_t scope;
    bit<1>  unknown_port;    // and keep_tag is 0
    bit<1>  unknown_vtep;
    bit<1>  unknown_peer;
    bit<1>  unknown_source;
    reason_t entry_reason;   // of the frame alone: malformed, group source, no tunnel packet, bad packet-out
    bit<1>  land;
    reason_t rate_reason;    // the sender is over its rate
    reason_t class_reason;
    reason_t dst_reason;
    reason_t early_reason;   // the earliest of those above
    reason_t flow_reason;
    reason_t router_reason;
    bit<1>  no_rewrite;
    bit<16> room;            // MTU of the path less ip_last: an action takes from what it is told, not that from a field; 0: too long
    reason_t location_reason;
    reason_t peer_reason;
    reason_t flood_reason;
    reason_t reason;
    reason_t counted_reason; // reason before a packet-out becomes a bad one
    reason_t copy_reason;
    reason_t tracked_end;    // REASON_TRACKED_END: an instruction takes a meter's answer and a field, no constant
    bit<8>  copy_kind;
    MirrorId_t copy_session;

    bit<16> in_port;
    bit<8>  in_flags;        // of packet_in
    bit<32> tag;
    bit<1>  resolve;         // dest is known: go through location
    bit<1>  by_tunnel;
    bit<1>  raw;
    bit<1>  tracked;
    bit<1>  bad_header;      // of IPv4: its checksum is wrong, or total_len does not cover it
    bit<1>  martian;
    bit<32> differ0;         // source xor destination
    bit<32> differ1;
    bit<32> differ2;
    bit<32> differ3;
    peer_t  peer;
    bit<1>  to_peer;
}

struct egress_headers_t {
    bridge_h         bridge;
    copy_h           copy;
    packet_in_h      packet_in;
    ethernet_h       outer_ethernet;
    ipv4_h           outer_ipv4;
    ipv6_h           outer_ipv6;
    udp_h            outer_udp;
    vxlan_h          vxlan;
    geneve_h         geneve;
    gre_h            gre;
    ethernet_h       ethernet;
    vlan_h           port_tag;
    ipv4_h           ipv4;
    options_8_h      options_8;
    options_4_h      options_4;
    options_2_h      options_2;
    options_1_h      options_1;
    ipv6_h           ipv6;
    ipv6_fragment_h  ipv6_fragment;
    ports_h          ports;
    tcp_rest_h       tcp_rest;
    udp_rest_h       udp_rest;
    icmp_h           icmp;
}

struct egress_metadata_t {
    bit<16> frame_len;       // bytes of the tenant's frame as it would leave untagged
    bit<16> ip_end;          // bytes of the frame that its IP packet needs
    bit<16> limit;           // bytes of the frame that the MTU of the path allows
    bit<16> missing;
    bit<16> too_long;
    bit<16> outer_len;
    bit<16> outer_mtu;
    bit<16> outer_too_long;
    bit<16> udp_source;
    path_t  path;
    vport_t out_vport;
    bit<16> out_tag;
    bit<2>  encap_kind;
    bit<8>  inner_tos;
    bit<1>  echo;            // ICMP with an identifier
    bit<16> nat_sport;
    bit<16> nat_dport;
    bit<1>  translated;
    nat_t   no_nat;          // that is not in table nat_v4 or nat_v6
    bit<1>  no_replica;
    bit<1>  local_copy;      // of a group, to a vport of this edge
    vport_t other_vport;     // 0: it goes to where it came from
    bit<1>  pruned;
    path_t  no_path;         // that is not in table underlay
    link_t  link;            // that has a rate, of those on the way the tightest
    reason_t rate_reason;    // the frame is over that, or over the rate of the vport that it is for
    vport_t rate_vport;      // by which such a drop is counted
    vport_t drop_vport;
    reason_t reason;
    bit<16> l4_rest;         // of checksums: what is not rewritten
    bit<16> icmp_rest;
    bit<1>  fix_ipv4;
    bit<1>  fix_tcp;
    bit<1>  fix_udp;
    bit<1>  fix_icmp;
    bit<1>  fix_icmpv6;
    bit<1>  new_outer_ipv4;
}
