// Ingress parser: tunnel headers on underlay ports only, so that a tenant's forged VXLAN is ordinary payload (E13, isolation).

// What the parser sets on some ways only is 0 on the others as long as nothing that is extracted there shares its container.
@pa_solitary("ingress", "meta.vid")
@pa_solitary("ingress", "meta.tunnel_key")
@pa_solitary("ingress", "meta.tunnel_flags")
parser IngressParser(packet_in pkt, out ingress_headers_t hdr, INGRESS_PARSER_METADATA) {
    CHECKSUM_UNIT(ipv4_checksum)

    PARSER_START

    state parse_port {
        meta.tracked_end = REASON_TRACKED_END;
        meta.room = 1;
        hdr.bridge.setValid();
        hdr.bridge.kind = KIND_BRIDGED;
        hdr.bridge.to_group = 0;
        hdr.bridge.outer_ecn = 0;
        hdr.bridge.ttl_dec = 0;
        hdr.bridge.out_tunnel_flags = 0;
        hdr.bridge.dest = 0;
        hdr.bridge.vport = 0;
        hdr.bridge.nat = 0;
        hdr.bridge.path = 0;
        hdr.bridge.out_vport = 0;
        hdr.bridge.out_tag = 0;
        hdr.bridge.l2_rewrite = 0;
        hdr.bridge.mtu = 0;
        hdr.bridge.hash = 0;
        hdr.bridge.wrong = 0;
        transition select(meta.port.side) {
            SIDE_CPU: parse_packet_out;
            SIDE_UNDERLAY: parse_outer_ethernet;
            default: parse_ethernet;
        }
    }

    state parse_packet_out {
        pkt.extract(hdr.packet_out);
        transition parse_inner_ethernet;
    }

    // Underlay. What is no tunnel packet ends here, with only the outer headers.
    state parse_outer_ethernet {
        pkt.extract(hdr.outer_ethernet);
        transition select(hdr.outer_ethernet.ether_type) {
            ETHERTYPE_IPV4: parse_outer_ipv4;
            ETHERTYPE_IPV6: parse_outer_ipv6;
            default: accept;
        }
    }
    state parse_outer_ipv4 {
        pkt.extract(hdr.outer_ipv4);
        transition select(hdr.outer_ipv4.version, hdr.outer_ipv4.ihl, hdr.outer_ipv4.more_fragments, hdr.outer_ipv4.frag_offset, hdr.outer_ipv4.protocol) {
            (4, 5, 0, 0, PROTO_UDP): parse_outer_udp;
            (4, 5, 0, 0, PROTO_GRE): check_gre;
            default: accept;
        }
    }
    state parse_outer_ipv6 {
        pkt.extract(hdr.outer_ipv6);
        transition select(hdr.outer_ipv6.version, hdr.outer_ipv6.next_header) {
            (6, PROTO_UDP): parse_outer_udp;
            (6, PROTO_GRE): check_gre;
            default: accept;
        }
    }
    state parse_outer_udp {
        pkt.extract(hdr.outer_udp);
        transition select(hdr.outer_udp.dst) {
            UDP_VXLAN: check_vxlan;
            UDP_GENEVE: check_geneve;
            default: accept;
        }
    }
    // A tunnel header that says anything but "an Ethernet frame with a key" is no tunnel packet of ours.
    state check_vxlan {
        transition select(pkt.lookahead<bit<8>>()) {
            0x08 &&& 0x08: parse_vxlan;
            default: accept;
        }
    }
    state parse_vxlan {
        pkt.extract(hdr.vxlan);
        meta.tunnel_kind = TUNNEL_VXLAN;
        meta.tunnel_key = hdr.vxlan.vni;
        meta.tunnel_flags = hdr.vxlan.weft_flags;
        transition parse_inner_ethernet;
    }
    state check_geneve {
        // Version 0, no options, neither a control packet nor critical options, Ethernet behind it.
        transition select(pkt.lookahead<bit<32>>()) {
            0x00006558 &&& 0xffc0ffff: parse_geneve;
            default: accept;
        }
    }
    state parse_geneve {
        pkt.extract(hdr.geneve);
        meta.tunnel_kind = TUNNEL_GENEVE;
        meta.tunnel_key = hdr.geneve.vni;
        meta.tunnel_flags = hdr.geneve.weft_flags;
        transition parse_inner_ethernet;
    }
    state check_gre {
        transition select(pkt.lookahead<bit<32>>()) {
            0x20006558: parse_gre;
            default: accept;
        }
    }
    state parse_gre {
        pkt.extract(hdr.gre);
        meta.tunnel_kind = TUNNEL_GRE;
        meta.tunnel_key = hdr.gre.key;
        meta.tunnel_flags = hdr.gre.weft_flags;
        transition parse_inner_ethernet;
    }

    // The tenant's frame. On an access port one tag may select the vport. Any other tag is the tenant's own: opaque (ingress.port_tags).
    state parse_ethernet {
        transition select(pkt.lookahead<ethernet_h>().ether_type) {
            ETHERTYPE_VLAN: parse_tagged_ethernet;
            default: parse_inner_ethernet;
        }
    }
    state parse_inner_ethernet {
        pkt.extract(hdr.ethernet);
        meta.ether_type = hdr.ethernet.ether_type;
        transition select(hdr.ethernet.ether_type) {
            ETHERTYPE_IPV4: parse_ipv4;
            ETHERTYPE_IPV6: check_ipv6;
            default: accept;
        }
    }
    state parse_tagged_ethernet {
        pkt.extract(hdr.ethernet);
        pkt.extract(hdr.vlan);
        meta.ether_type = hdr.vlan.ether_type;
        meta.vid = hdr.vlan.vid;
        transition select(hdr.vlan.ether_type) {
            ETHERTYPE_IPV4: parse_ipv4;
            ETHERTYPE_IPV6: check_ipv6;
            default: accept;
        }
    }
    state parse_ipv4 {
        pkt.extract(hdr.ipv4);
        CHECKSUM_ADD(ipv4_checksum, hdr.ipv4)
        meta.ip_proto = hdr.ipv4.protocol;
        meta.ttl = hdr.ipv4.ttl;
        meta.ip_last = hdr.ipv4.total_len;
        transition select(hdr.ipv4.version, hdr.ipv4.ihl) {
            (4, 5): parse_ipv4_fragment;
            (4, 6): parse_options_1;
            (4, 7): parse_options_2;
            (4, 8): parse_options_3;
            (4, 9): parse_options_4;
            (4, 10): parse_options_5;
            (4, 11): parse_options_6;
            (4, 12): parse_options_7;
            (4, 13): parse_options_8;
            (4, 14): parse_options_9;
            (4, 15): parse_options_10;
            default: bad_header;
        }
    }
    state bad_header {
        meta.malformed = 1;
        transition accept;
    }
    state parse_options_10 {
        pkt.extract(hdr.options_8);
        CHECKSUM_ADD(ipv4_checksum, hdr.options_8)
        transition parse_options_2;
    }
    state parse_options_9 {
        pkt.extract(hdr.options_8);
        CHECKSUM_ADD(ipv4_checksum, hdr.options_8)
        transition parse_options_1;
    }
    state parse_options_8 {
        pkt.extract(hdr.options_8);
        CHECKSUM_ADD(ipv4_checksum, hdr.options_8)
        transition parse_ipv4_fragment;
    }
    state parse_options_7 {
        pkt.extract(hdr.options_4);
        CHECKSUM_ADD(ipv4_checksum, hdr.options_4)
        transition parse_options_3;
    }
    state parse_options_6 {
        pkt.extract(hdr.options_4);
        CHECKSUM_ADD(ipv4_checksum, hdr.options_4)
        transition parse_options_2;
    }
    state parse_options_5 {
        pkt.extract(hdr.options_4);
        CHECKSUM_ADD(ipv4_checksum, hdr.options_4)
        transition parse_options_1;
    }
    state parse_options_4 {
        pkt.extract(hdr.options_4);
        CHECKSUM_ADD(ipv4_checksum, hdr.options_4)
        transition parse_ipv4_fragment;
    }
    state parse_options_3 {
        pkt.extract(hdr.options_2);
        CHECKSUM_ADD(ipv4_checksum, hdr.options_2)
        transition parse_options_1;
    }
    state parse_options_2 {
        pkt.extract(hdr.options_2);
        CHECKSUM_ADD(ipv4_checksum, hdr.options_2)
        transition parse_ipv4_fragment;
    }
    state parse_options_1 {
        pkt.extract(hdr.options_1);
        CHECKSUM_ADD(ipv4_checksum, hdr.options_1)
        transition parse_ipv4_fragment;
    }
    state parse_ipv4_fragment {
        CHECKSUM_VERIFY(meta.checksum_error, ipv4_checksum)
        transition select(hdr.ipv4.frag_offset, hdr.ipv4.more_fragments, hdr.ipv4.protocol) {
            (0, 0, PROTO_TCP): parse_tcp;
            (0, 0, PROTO_UDP): parse_udp;
            (0, 0, PROTO_SCTP): parse_sctp;
            (0, 0, PROTO_ICMP): check_icmp;
            (0, 0, PROTO_ICMPV6): check_icmp;
            (0, 0, _): accept;
            (0, 1, PROTO_TCP): first_fragment_tcp;
            (0, 1, PROTO_UDP): first_fragment_udp;
            (0, 1, PROTO_SCTP): first_fragment_sctp;
            (0, 1, PROTO_ICMP): first_fragment_icmp;
            (0, 1, PROTO_ICMPV6): first_fragment_icmp;
            (0, 1, _): first_fragment;
            default: later_fragment;
        }
    }
    state check_ipv6 {
        transition select(pkt.lookahead<ipv6_h>().next_header) {
            PROTO_FRAG: parse_ipv6_fragment;
            default: parse_ipv6;
        }
    }
    state parse_ipv6 {
        pkt.extract(hdr.ipv6);
        meta.ip_proto = hdr.ipv6.next_header;
        meta.ttl = hdr.ipv6.hop_limit;
        meta.ip_last = hdr.ipv6.payload_len;
        transition select(hdr.ipv6.version, hdr.ipv6.next_header) {
            (6, PROTO_TCP): parse_tcp;
            (6, PROTO_UDP): parse_udp;
            (6, PROTO_SCTP): parse_sctp;
            (6, PROTO_ICMP): check_icmp;
            (6, PROTO_ICMPV6): check_icmp;
            (6, _): accept;
            default: bad_header;
        }
    }
    state parse_ipv6_fragment {
        pkt.extract(hdr.ipv6);
        pkt.extract(hdr.ipv6_fragment);
        meta.ip_proto = hdr.ipv6_fragment.next_header;
        meta.ttl = hdr.ipv6.hop_limit;
        meta.ip_last = hdr.ipv6.payload_len;
        transition select(hdr.ipv6.version) {
            6: parse_ipv6_first_fragment;
            default: bad_header;
        }
    }
    state parse_ipv6_first_fragment {
        transition select(hdr.ipv6_fragment.offset, hdr.ipv6_fragment.more, hdr.ipv6_fragment.next_header) {
            (0, 0, PROTO_TCP): parse_tcp;
            (0, 0, PROTO_UDP): parse_udp;
            (0, 0, PROTO_SCTP): parse_sctp;
            (0, 0, PROTO_ICMP): check_icmp;
            (0, 0, PROTO_ICMPV6): check_icmp;
            (0, 0, _): accept;
            (0, 1, PROTO_TCP): first_fragment_tcp;
            (0, 1, PROTO_UDP): first_fragment_udp;
            (0, 1, PROTO_SCTP): first_fragment_sctp;
            (0, 1, PROTO_ICMP): first_fragment_icmp;
            (0, 1, PROTO_ICMPV6): first_fragment_icmp;
            (0, 1, _): first_fragment;
            default: later_fragment;
        }
    }
    state first_fragment_tcp {
        meta.frag = FRAG_FIRST;
        transition parse_tcp;
    }
    state first_fragment_udp {
        meta.frag = FRAG_FIRST;
        transition parse_udp;
    }
    state first_fragment_sctp {
        meta.frag = FRAG_FIRST;
        transition parse_sctp;
    }
    state first_fragment_icmp {
        meta.frag = FRAG_FIRST;
        transition check_icmp;
    }
    state first_fragment {
        meta.frag = FRAG_FIRST;
        transition accept;
    }
    state later_fragment {
        meta.frag = FRAG_LATER;
        transition accept;
    }
    state parse_tcp {
        pkt.extract(hdr.ports);
        pkt.extract(hdr.tcp_rest);
        meta.sport = hdr.ports.src;
        meta.dport = hdr.ports.dst;
        meta.tcp_flags = hdr.tcp_rest.flags;
        transition accept;
    }
    state parse_udp {
        pkt.extract(hdr.ports);
        pkt.extract(hdr.udp_rest);
        meta.sport = hdr.ports.src;
        meta.dport = hdr.ports.dst;
        transition accept;
    }
    state parse_sctp {
        pkt.extract(hdr.ports);
        meta.sport = hdr.ports.src;
        meta.dport = hdr.ports.dst;
        transition accept;
    }
    // Flow key of ICMP: type and code in place of the source port, the identifier of an echo or echo reply in place of the destination port.
    state check_icmp {
        meta.sport = pkt.lookahead<bit<16>>();
        transition select(pkt.lookahead<bit<8>>()) {
            0: parse_echo;
            8: parse_echo;
            128: parse_echo;
            129: parse_echo;
            default: parse_icmp;
        }
    }
    state parse_icmp {
        pkt.extract(hdr.icmp);
        transition accept;
    }
    state parse_echo {
        pkt.extract(hdr.icmp);
        meta.dport = hdr.icmp.id;
        transition accept;
    }
}
