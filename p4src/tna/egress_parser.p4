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
            128: parse_echo;
            129: parse_echo;
            default: accept;                    // nothing of it changes: it has no pseudo header
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
            0: parse_echo_v6;
            8: parse_echo_v6;
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
