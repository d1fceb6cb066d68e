// Parser: tunnel headers on underlay ports only, so that a tenant's forged VXLAN is ordinary payload (E13, isolation).

parser WeftParser(packet_in pkt, out headers_t hdr, inout metadata_t meta, PARSER_METADATA) {
    state start {
        transition select(PARSER_PORT) {
            PORT_CPU: parse_packet_out;
            PORT_UNDERLAY &&& PORT_UNDERLAY_BIT: parse_outer_ethernet;
            default: parse_ethernet;
        }
    }

    state parse_packet_out {
        pkt.extract(hdr.packet_out);
        transition parse_ethernet;
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
            (4, 5, 0, 0, PROTO_GRE): parse_gre;
            default: accept;
        }
    }
    state parse_outer_ipv6 {
        pkt.extract(hdr.outer_ipv6);
        transition select(hdr.outer_ipv6.version, hdr.outer_ipv6.next_header) {
            (6, PROTO_UDP): parse_outer_udp;
            (6, PROTO_GRE): parse_gre;
            default: accept;
        }
    }
    state parse_outer_udp {
        pkt.extract(hdr.outer_udp);
        transition select(hdr.outer_udp.dst) {
            UDP_VXLAN: parse_vxlan;
            UDP_GENEVE: parse_geneve;
            default: accept;
        }
    }
    // A tunnel header that says anything but "an Ethernet frame with a key" is no tunnel packet of ours.
    state parse_vxlan {
        pkt.extract(hdr.vxlan);
        transition select(hdr.vxlan.flags) {
            0x08 &&& 0x08: vxlan_tunnel;
            default: accept;
        }
    }
    state vxlan_tunnel {
        meta.tunnel_kind = TUNNEL_VXLAN;
        meta.tunnel_key = hdr.vxlan.vni;
        meta.tunnel_flags = hdr.vxlan.weft_flags;
        transition parse_ethernet;
    }
    state parse_geneve {
        pkt.extract(hdr.geneve);
        transition select(hdr.geneve.version, hdr.geneve.flags, hdr.geneve.ether_type) {
            (0, 0x00 &&& 0xc0, ETHERTYPE_TEB): geneve_tunnel;   // neither a control packet nor critical options
            default: accept;
        }
    }
    state geneve_tunnel {
        meta.tunnel_kind = TUNNEL_GENEVE;
        meta.tunnel_key = hdr.geneve.vni;
        meta.tunnel_flags = hdr.geneve.weft_flags;
        transition select(hdr.geneve.opt_len) {
            0: parse_ethernet;
            default: parse_geneve_options;
        }
    }
    state parse_geneve_options {
        pkt.extract(hdr.geneve_options, (bit<32>)hdr.geneve.opt_len << 5);
        transition parse_ethernet;
    }
    state parse_gre {
        pkt.extract(hdr.gre);
        transition select(hdr.gre.flags, hdr.gre.protocol) {
            (0x2000, ETHERTYPE_TEB): gre_tunnel;
            default: accept;
        }
    }
    state gre_tunnel {
        meta.tunnel_kind = TUNNEL_GRE;
        meta.tunnel_key = hdr.gre.key;
        meta.tunnel_flags = hdr.gre.weft_flags;
        transition parse_ethernet;
    }

    // The tenant's frame.
    state parse_ethernet {
        pkt.extract(hdr.ethernet);
        meta.ether_type = hdr.ethernet.ether_type;
        transition select(hdr.ethernet.ether_type, PARSER_PORT) {
            (ETHERTYPE_VLAN, 0 &&& PORT_UNDERLAY_BIT): parse_vlan;
            (ETHERTYPE_IPV4, _): parse_ipv4;
            (ETHERTYPE_IPV6, _): parse_ipv6;
            default: accept;
        }
    }
    // On an access port one tag may select the vport. Any other tag is the tenant's own: opaque (ingress.port_tags).
    state parse_vlan {
        pkt.extract(hdr.vlan);
        meta.ether_type = hdr.vlan.ether_type;
        meta.vid = hdr.vlan.vid;
        transition select(hdr.vlan.ether_type) {
            ETHERTYPE_IPV4: parse_ipv4;
            ETHERTYPE_IPV6: parse_ipv6;
            default: accept;
        }
    }
    state parse_ipv4 {
        pkt.extract(hdr.ipv4);
        verify(hdr.ipv4.version == 4 && hdr.ipv4.ihl >= 5, error.HeaderTooShort);
        meta.ip_proto = hdr.ipv4.protocol;
        transition select(hdr.ipv4.ihl) {
            5: parse_ipv4_fragment;
            default: parse_ipv4_options;
        }
    }
    state parse_ipv4_options {
        pkt.extract(hdr.ipv4_options, ((bit<32>)hdr.ipv4.ihl - 5) << 5);
        transition parse_ipv4_fragment;
    }
    state parse_ipv4_fragment {
        transition select(hdr.ipv4.frag_offset, hdr.ipv4.more_fragments) {
            (0, 0): parse_l4;
            (0, 1): parse_first_fragment;
            default: parse_later_fragment;
        }
    }
    state parse_ipv6 {
        pkt.extract(hdr.ipv6);
        verify(hdr.ipv6.version == 6, error.HeaderTooShort);
        meta.ip_proto = hdr.ipv6.next_header;
        transition select(hdr.ipv6.next_header) {
            PROTO_FRAG: parse_ipv6_fragment;
            default: parse_l4;
        }
    }
    state parse_ipv6_fragment {
        pkt.extract(hdr.ipv6_fragment);
        meta.ip_proto = hdr.ipv6_fragment.next_header;
        transition select(hdr.ipv6_fragment.offset, hdr.ipv6_fragment.more) {
            (0, 0): parse_l4;
            (0, 1): parse_first_fragment;
            default: parse_later_fragment;
        }
    }
    state parse_first_fragment {
        meta.frag = FRAG_FIRST;
        transition parse_l4;
    }
    state parse_later_fragment {
        meta.frag = FRAG_LATER;
        transition accept;
    }
    state parse_l4 {
        transition select(meta.ip_proto) {
            PROTO_TCP: parse_tcp;
            PROTO_UDP: parse_udp;
            PROTO_SCTP: parse_sctp;
            PROTO_ICMP: parse_icmp;
            PROTO_ICMPV6: parse_icmp;
            default: accept;
        }
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
    state parse_icmp {
        pkt.extract(hdr.icmp);
        meta.sport = hdr.icmp.type ++ hdr.icmp.code;
        transition select(hdr.icmp.type) {
            0: parse_icmp_id;
            8: parse_icmp_id;
            128: parse_icmp_id;
            129: parse_icmp_id;
            default: accept;
        }
    }
    state parse_icmp_id {
        meta.dport = hdr.icmp.id;
        transition accept;
    }
}

control WeftDeparser(packet_out pkt, in headers_t hdr DEPARSER_METADATA) {
    apply {
        pkt.emit(hdr.packet_in);
        pkt.emit(hdr.outer_ethernet);
        pkt.emit(hdr.outer_ipv4);
        pkt.emit(hdr.outer_ipv6);
        pkt.emit(hdr.outer_udp);
        pkt.emit(hdr.vxlan);
        pkt.emit(hdr.geneve);
        pkt.emit(hdr.geneve_options);
        pkt.emit(hdr.gre);
        pkt.emit(hdr.ethernet);
        pkt.emit(hdr.port_tag);
        pkt.emit(hdr.vlan);
        pkt.emit(hdr.ipv4);
        pkt.emit(hdr.ipv4_options);
        pkt.emit(hdr.ipv6);
        pkt.emit(hdr.ipv6_fragment);
        pkt.emit(hdr.ports);
        pkt.emit(hdr.tcp_rest);
        pkt.emit(hdr.udp_rest);
        pkt.emit(hdr.icmp);
    }
}
