// Egress parser: the tenant's frame behind what ingress bridged, or a copy for the CPU, as it came in.

parser EgressParser(packet_in pkt, out egress_headers_t hdr, out egress_metadata_t meta, out egress_intrinsic_metadata_t eg_intr_md) {
    Checksum() l4_checksum;
    Checksum() icmp_checksum;

    state start {
        pkt.extract(eg_intr_md);
        transition select(pkt.lookahead<bit<8>>()) {
            KIND_COPY: parse_copy;
            default: parse_bridge;
        }
    }
    state parse_copy {
        pkt.extract(hdr.copy);
        transition accept;
    }
    state parse_bridge {
        pkt.extract(hdr.bridge);
        pkt.extract(hdr.ethernet);
        transition select(hdr.ethernet.ether_type) {
            ETHERTYPE_IPV4: parse_ipv4;
            ETHERTYPE_IPV6: parse_ipv6;
            default: accept;
        }
    }
    state parse_ipv4 {
        pkt.extract(hdr.ipv4);
        l4_checksum.subtract({ hdr.ipv4.src, hdr.ipv4.dst });
        transition select(hdr.ipv4.ihl) {
            5: parse_ipv4_fragment;
            6: parse_options_1;
            7: parse_options_2;
            8: parse_options_3;
            9: parse_options_4;
            10: parse_options_5;
            11: parse_options_6;
            12: parse_options_7;
            13: parse_options_8;
            14: parse_options_9;
            15: parse_options_10;
            default: accept;
        }
    }
    state parse_options_10 {
        pkt.extract(hdr.options_8);
        transition parse_options_2;
    }
    state parse_options_9 {
        pkt.extract(hdr.options_8);
        transition parse_options_1;
    }
    state parse_options_8 {
        pkt.extract(hdr.options_8);
        transition parse_ipv4_fragment;
    }
    state parse_options_7 {
        pkt.extract(hdr.options_4);
        transition parse_options_3;
    }
    state parse_options_6 {
        pkt.extract(hdr.options_4);
        transition parse_options_2;
    }
    state parse_options_5 {
        pkt.extract(hdr.options_4);
        transition parse_options_1;
    }
    state parse_options_4 {
        pkt.extract(hdr.options_4);
        transition parse_ipv4_fragment;
    }
    state parse_options_3 {
        pkt.extract(hdr.options_2);
        transition parse_options_1;
    }
    state parse_options_2 {
        pkt.extract(hdr.options_2);
        transition parse_ipv4_fragment;
    }
    state parse_options_1 {
        pkt.extract(hdr.options_1);
        transition parse_ipv4_fragment;
    }
    // Of a later fragment, of SCTP (its CRC32c covers the ports) and of what is not known here only the addresses change.
    state parse_ipv4_fragment {
        transition select(hdr.ipv4.frag_offset, hdr.ipv4.protocol) {
            (0, PROTO_TCP): parse_tcp;
            (0, PROTO_UDP): parse_udp;
            (0, PROTO_ICMP): check_icmp;
            default: accept;
        }
    }
    state parse_ipv6 {
        pkt.extract(hdr.ipv6);
        l4_checksum.subtract({ hdr.ipv6.src, hdr.ipv6.dst });
        transition select(hdr.ipv6.next_header) {
            PROTO_FRAG: parse_ipv6_fragment;
            PROTO_TCP: parse_tcp;
            PROTO_UDP: parse_udp;
            PROTO_ICMPV6: check_icmpv6;
            default: accept;
        }
    }
    state parse_ipv6_fragment {
        pkt.extract(hdr.ipv6_fragment);
        transition select(hdr.ipv6_fragment.offset, hdr.ipv6_fragment.next_header) {
            (0, PROTO_TCP): parse_tcp;
            (0, PROTO_UDP): parse_udp;
            (0, PROTO_ICMPV6): check_icmpv6;
            default: accept;
        }
    }
    state parse_tcp {
        pkt.extract(hdr.ports);
        pkt.extract(hdr.tcp_rest);
        l4_checksum.subtract({ hdr.ports.src, hdr.ports.dst, hdr.tcp_rest.checksum });
        l4_checksum.subtract_all_and_deposit(meta.l4_rest);
        transition accept;
    }
    state parse_udp {
        pkt.extract(hdr.ports);
        pkt.extract(hdr.udp_rest);
        l4_checksum.subtract({ hdr.ports.src, hdr.ports.dst, hdr.udp_rest.checksum });
        l4_checksum.subtract_all_and_deposit(meta.l4_rest);
        transition accept;
    }
    state check_icmp {
        transition select(pkt.lookahead<bit<8>>()) {
            0: parse_echo;
            8: parse_echo;
            default: accept;                    // has no pseudo header
        }
    }
    state parse_echo {
        pkt.extract(hdr.icmp);
        meta.echo = 1;
        icmp_checksum.subtract({ hdr.icmp.checksum, hdr.icmp.id });
        icmp_checksum.subtract_all_and_deposit(meta.icmp_rest);
        transition accept;
    }
    state check_icmpv6 {
        transition select(pkt.lookahead<bit<8>>()) {
            128: parse_echo_v6;
            129: parse_echo_v6;
            default: parse_icmpv6;
        }
    }
    state parse_echo_v6 {
        meta.echo = 1;
        transition parse_icmpv6;
    }
    state parse_icmpv6 {
        pkt.extract(hdr.icmp);
        l4_checksum.subtract({ hdr.icmp.checksum, hdr.icmp.id });
        l4_checksum.subtract_all_and_deposit(meta.l4_rest);
        transition accept;
    }
}

control EgressDeparser(packet_out pkt, inout egress_headers_t hdr, in egress_metadata_t meta,
                       in egress_intrinsic_metadata_for_deparser_t eg_dprsr_md) {
    Checksum() ipv4_checksum;
    Checksum() outer_ipv4_checksum;
    Checksum() tcp_checksum;
    Checksum() udp_checksum;
    Checksum() icmp_checksum;
    Checksum() icmpv6_checksum;

    // An IPv4 header that was changed is summed anew: routers have checked it. The rest by RFC 1624, from the old checksum and what was changed:
    // a wrong one stays wrong.
    apply {
        if (meta.fix_ipv4 == 1) {
            hdr.ipv4.checksum = ipv4_checksum.update({ hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.tos, hdr.ipv4.total_len, hdr.ipv4.id,
                hdr.ipv4.reserved, hdr.ipv4.dont_fragment, hdr.ipv4.more_fragments, hdr.ipv4.frag_offset, hdr.ipv4.ttl, hdr.ipv4.protocol,
                hdr.ipv4.src, hdr.ipv4.dst, hdr.options_8.words, hdr.options_4.words, hdr.options_2.words, hdr.options_1.words });
        }
        if (meta.new_outer_ipv4 == 1) {
            hdr.outer_ipv4.checksum = outer_ipv4_checksum.update({ hdr.outer_ipv4.version, hdr.outer_ipv4.ihl, hdr.outer_ipv4.tos, hdr.outer_ipv4.total_len, hdr.outer_ipv4.id,
                hdr.outer_ipv4.reserved, hdr.outer_ipv4.dont_fragment, hdr.outer_ipv4.more_fragments, hdr.outer_ipv4.frag_offset,
                hdr.outer_ipv4.ttl, hdr.outer_ipv4.protocol, hdr.outer_ipv4.src, hdr.outer_ipv4.dst });
        }
        if (meta.fix_tcp == 1) {
            hdr.tcp_rest.checksum = tcp_checksum.update({ hdr.ipv4.src, hdr.ipv4.dst, hdr.ipv6.src, hdr.ipv6.dst, hdr.ports.src, hdr.ports.dst, meta.l4_rest });
        }
        if (meta.fix_udp == 1) {
            hdr.udp_rest.checksum = udp_checksum.update({ hdr.ipv4.src, hdr.ipv4.dst, hdr.ipv6.src, hdr.ipv6.dst, hdr.ports.src, hdr.ports.dst, meta.l4_rest }, true);
        }
        if (meta.fix_icmp == 1) {
            hdr.icmp.checksum = icmp_checksum.update({ hdr.icmp.id, meta.icmp_rest });
        }
        if (meta.fix_icmpv6 == 1) {
            hdr.icmp.checksum = icmpv6_checksum.update({ hdr.ipv6.src, hdr.ipv6.dst, hdr.icmp.id, meta.l4_rest });
        }
        pkt.emit(hdr.packet_in);
        pkt.emit(hdr.outer_ethernet);
        pkt.emit(hdr.outer_ipv4);
        pkt.emit(hdr.outer_ipv6);
        pkt.emit(hdr.outer_udp);
        pkt.emit(hdr.vxlan);
        pkt.emit(hdr.geneve);
        pkt.emit(hdr.gre);
        pkt.emit(hdr.ethernet);
        pkt.emit(hdr.port_tag);
        pkt.emit(hdr.ipv4);
        pkt.emit(hdr.options_8);
        pkt.emit(hdr.options_4);
        pkt.emit(hdr.options_2);
        pkt.emit(hdr.options_1);
        pkt.emit(hdr.ipv6);
        pkt.emit(hdr.ipv6_fragment);
        pkt.emit(hdr.ports);
        pkt.emit(hdr.tcp_rest);
        pkt.emit(hdr.udp_rest);
        pkt.emit(hdr.icmp);
    }
}
