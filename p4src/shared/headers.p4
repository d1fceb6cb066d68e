// Wire formats. The headers without prefix are those of the tenant's frame: of a vport's frame itself, or of the frame inside a tunnel.
#ifndef WEFT_HEADERS
#define WEFT_HEADERS

#include "ids.p4"

@controller_header("packet_in")
header packet_in_h {
    @id(1) bit<16> ingress_port;
    @id(2) bit<16> vport;         // 0: none (underlay)
    @id(3) bit<8>  reason;
    @id(4) bit<8>  flags;         // bit 0: came by tunnel; bit 1: TUNNEL_MOVED
    @id(5) bit<32> tunnel_key;
    @id(6) bit<32> tag;           // of the flow entry that punted
}

@controller_header("packet_out")
header packet_out_h {
    @id(1) bit<8>  mode;          // OUT_PORT, OUT_DEST
    @id(2) bit<8>  by_tunnel;     // OUT_DEST: 1 = resolve as if it came by tunnel (never to a peer twice)
    @id(3) bit<16> egress_port;   // OUT_PORT; OUT_DEST: the link whose rate it takes from, 0 = none
    @id(4) bit<16> vport;         // OUT_DEST to a group: local vport to prune, 0 = none
    @id(5) bit<16> hash;          // OUT_DEST: flow hash of the packet as it came in
    @id(6) bit<32> dest;          // OUT_DEST: vport or group, low 24 bits
}

header ethernet_h {
    bit<48> dst;
    bit<48> src;
    bit<16> ether_type;
}

header vlan_h {
    bit<3>  pcp;
    bit<1>  dei;
    bit<12> vid;
    bit<16> ether_type;
}

header ipv4_h {
    bit<4>  version;
    bit<4>  ihl;
    bit<8>  tos;
    bit<16> total_len;
    bit<16> id;
    bit<1>  reserved;
    bit<1>  dont_fragment;
    bit<1>  more_fragments;
    bit<13> frag_offset;
    bit<8>  ttl;
    bit<8>  protocol;
    bit<16> checksum;
    bit<32> src;
    bit<32> dst;
}

header ipv4_options_h {
    varbit<320> options;
}

header ipv6_h {
    bit<4>   version;
    bit<8>   traffic_class;
    bit<20>  flow_label;
    bit<16>  payload_len;
    bit<8>   next_header;
    bit<8>   hop_limit;
    bit<128> src;
    bit<128> dst;
}

header ipv6_fragment_h {
    bit<8>  next_header;
    bit<8>  reserved;
    bit<13> offset;
    bit<2>  reserved2;
    bit<1>  more;
    bit<32> id;
}

header ports_h {                  // first four bytes of TCP, UDP and SCTP
    bit<16> src;
    bit<16> dst;
}

header tcp_rest_h {
    bit<32> seq;
    bit<32> ack;
    bit<4>  data_offset;
    bit<4>  reserved;
    bit<8>  flags;
    bit<16> window;
    bit<16> checksum;
    bit<16> urgent;
}

header udp_rest_h {
    bit<16> length;
    bit<16> checksum;
}

header icmp_h {                   // ICMP and ICMPv6
    bit<8>  type;
    bit<8>  code;
    bit<16> checksum;
    bit<16> id;                   // of echo and echo reply
    bit<16> seq;
}

header udp_h {
    bit<16> src;
    bit<16> dst;
    bit<16> length;
    bit<16> checksum;
}

header vxlan_h {
    bit<8>  flags;                // 0x08: VNI valid
    bit<24> reserved;
    bit<24> vni;
    bit<8>  weft_flags;           // reserved by RFC 7348
}

header geneve_h {
    bit<2>  version;
    bit<6>  opt_len;              // in 4-byte words
    bit<8>  flags;
    bit<16> ether_type;
    bit<24> vni;
    bit<8>  weft_flags;           // reserved by RFC 8926
}

header geneve_options_h {
    varbit<2016> options;
}

header gre_h {
    bit<16> flags;                // 0x2000: key present, nothing else
    bit<16> protocol;
    bit<8>  weft_flags;
    bit<24> key;
}

struct headers_t {
    packet_in_h      packet_in;
    packet_out_h     packet_out;
    ethernet_h       outer_ethernet;
    ipv4_h           outer_ipv4;
    ipv6_h           outer_ipv6;
    udp_h            outer_udp;
    vxlan_h          vxlan;
    geneve_h         geneve;
    geneve_options_h geneve_options;
    gre_h            gre;
    ethernet_h       ethernet;
    vlan_h           port_tag;          // of the port where the frame leaves
    vlan_h           vlan;              // as it came in
    ipv4_h           ipv4;
    ipv4_options_h   ipv4_options;
    ipv6_h           ipv6;
    ipv6_fragment_h  ipv6_fragment;
    ports_h          ports;
    tcp_rest_h       tcp_rest;
    udp_rest_h       udp_rest;
    icmp_h           icmp;
}

#endif
