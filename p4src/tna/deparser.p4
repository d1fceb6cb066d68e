// Deparsers. That of egress sums again what was changed.

control IngressDeparser(packet_out pkt, inout ingress_headers_t hdr, in ingress_metadata_t meta,
                        in ingress_intrinsic_metadata_for_deparser_t ig_dprsr_md) {
    Mirror() copy; // with its type as an argument p4c 1.2.5 takes the emit for two that differ

    apply {
        if (ig_dprsr_md.mirror_type == COPY_MIRROR) {
            copy.emit<copy_h>(meta.copy_session, { meta.copy_kind, meta.copy_reason, meta.in_port, hdr.bridge.vport });
        }
        pkt.emit(hdr.bridge);
        pkt.emit(hdr.packet_in);
        pkt.emit(hdr.outer_ethernet);
        pkt.emit(hdr.outer_ipv4);
        pkt.emit(hdr.outer_ipv6);
        pkt.emit(hdr.outer_udp);
        pkt.emit(hdr.vxlan);
        pkt.emit(hdr.geneve);
        pkt.emit(hdr.gre);
        pkt.emit(hdr.ethernet);
        pkt.emit(hdr.vlan);
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

control EgressDeparser(packet_out pkt, inout egress_headers_t hdr, in egress_metadata_t meta,
                       in egress_intrinsic_metadata_for_deparser_t eg_dprsr_md) {
    Checksum() ipv4_checksum;
    Checksum() outer_ipv4_checksum;
    Checksum() tcp_checksum;
    Checksum() udp_checksum;
    Checksum() icmp_checksum;
    Checksum() icmpv6_checksum;

    // An IPv4 header that was changed is summed anew, unless its sum was wrong: a wrong one stays wrong. The rest by RFC 1624, from the old checksum and
    // what was changed.
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
