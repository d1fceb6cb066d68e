#define COPY_FIELDS 1         // what a copy to the CPU keeps

struct metadata_t {
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

    // Ingress. One reason per table, merged at the end: a shared one would chain all tables on hardware.
    @field_list(COPY_FIELDS) vport_t vport;
    bit<1>  keep_tag;        // hdr.vlan is the sender's own: payload, and so is what is behind it
    scope_t scope;
    reason_t map_reason;
    reason_t term_reason;
    reason_t peer_list_reason;
    reason_t class_reason;
    reason_t src_reason;
    reason_t dst_reason;
    reason_t flow_reason;
    reason_t guard_reason;
    reason_t location_reason;
    reason_t peer_reason;
    reason_t reason;
    @field_list(COPY_FIELDS) reason_t copy_reason;   // of the copy to the CPU of a packet that goes on, 0 = none
    @field_list(COPY_FIELDS) port_t copy_port;       // ingress port; bmv2 does not keep standard_metadata's
    bit<2>  side;
    bit<2>  color;           // of a meter
    bit<32> tag;
    bit<1>  resolve;         // dest is known: go through location
    bit<1>  by_tunnel;
    dest_t  dest;
    l2_rewrite_t l2_rewrite;
    bit<4>  ttl_dec;
    bit<1>  tracked;
    bit<16> mtu;
    bit<16> hash;
    bit<4>  bucket;
    bit<16> frame_len;       // bytes of the tenant's frame as it would leave untagged
    peer_t  peer;

    // To egress.
    bit<1>  raw;             // packet-out to a port: leave it alone
    bit<1>  to_group;
    nat_t   nat;
    link_t  link;            // that has a rate, of those on the way the tightest
    path_t  path;
    vport_t out_vport;
    bit<1>  out_tagged;
    bit<12> out_vid;
    bit<8>  out_tunnel_flags;
    reason_t egress_reason;
    vport_t drop_vport;      // by which a drop of egress is counted
    bit<2>  encap_kind;
    bit<16> outer_mtu;
    bit<16> old_sum;         // checksum over the addresses, before and after a translation
    bit<16> new_sum;
    bit<16> nat_sport;
    bit<16> nat_dport;
    bit<8>  inner_tos;
    bit<1>  new_outer_ipv4;  // compute its checksum
}
