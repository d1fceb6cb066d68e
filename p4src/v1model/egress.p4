control egress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {
    EGRESS_UNITS
    @id(0x12000002) counter(256, CounterType.packets_and_bytes) reasons;
    @id(0x12000005) counter(SIZE_VPORT_DROPS, CounterType.packets) vport_drops;   // by the local vport that it came in by, or is for, ++ low bits of reason
    @id(0x12000006) counter(SIZE_LINKS, CounterType.packets_and_bytes) link_load; // by link: what would pass it, within its rate or not
    @id(0x14000004) meter(SIZE_LINKS, MeterType.bytes) links;                     // by link (Q1)
    @id(0x14000005) meter(SIZE_VPORTS, MeterType.bytes) receives;                 // by the local vport that it is for

    // --- group copies: replica id -> member vport of this edge, or path to a peer
    @id(0x01000020) action local_copy(@id(1) vport_t vport, @id(2) bit<1> tagged, @id(3) bit<12> vid) {
        meta.out_vport = vport;
        meta.out_tagged = tagged;
        meta.out_vid = vid;
    }
    @id(0x01000021) action peer_copy(@id(1) path_t path) { meta.path = path; }
    @id(0x01000022) action no_replica() { meta.egress_reason = REASON_NO_REPLICA; }
    @id(0x02000020) table replica {
        key = { standard_metadata.egress_rid: exact @name("rid") @id(1); }
        actions = { local_copy; peer_copy; @defaultonly no_replica; }
        const default_action = no_replica();
        size = SIZE_REPLICA;
    }

    // --- translation, by id so that only translated flows pay. A packet without its entry is dropped: it must not leave as it is, and an entry is written
    // before the flow that needs it.
    @id(0x01000028) action translate_v4(@id(1) bit<32> src, @id(2) bit<32> dst, @id(3) bit<16> sport, @id(4) bit<16> dport) {
        hdr.ipv4.src = src;
        hdr.ipv4.dst = dst;
        meta.nat_sport = sport;
        meta.nat_dport = dport;
    }
    @id(0x01000029) action translate_v6(@id(1) bit<128> src, @id(2) bit<128> dst, @id(3) bit<16> sport, @id(4) bit<16> dport) {
        hdr.ipv6.src = src;
        hdr.ipv6.dst = dst;
        meta.nat_sport = sport;
        meta.nat_dport = dport;
    }
    @id(0x0100002a) action no_nat() { meta.egress_reason = REASON_NO_NAT; }
    @id(0x02000023) table nat_v4 {
        key = { meta.nat: exact @name("nat") @id(1); }
        actions = { translate_v4; @defaultonly no_nat; }
        const default_action = no_nat();
        size = SIZE_NAT_V4;
    }
    @id(0x02000024) table nat_v6 {
        key = { meta.nat: exact @name("nat") @id(1); }
        actions = { translate_v6; @defaultonly no_nat; }
        const default_action = no_nat();
        size = SIZE_NAT_V6;
    }

    // RFC 1624 equation 3: delta is the sum of ~m + n over the words that went from m to n. A wrong checksum stays wrong.
    action update_checksum_by(inout bit<16> checksum, in bit<32> delta) {
        bit<32> sum = (bit<32>)(~checksum) + delta;
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        checksum = ~sum[15:0];
    }

    // The link on the way whose rate is the tightest goes with the rewrite; 0: none has a rate.
    @id(0x01000023) action set_macs(@id(1) bit<48> src, @id(2) bit<48> dst, @id(3) link_t link) {
        hdr.ethernet.src = src;
        hdr.ethernet.dst = dst;
        meta.link = link;
    }
    @id(0x0100002b) action keep_macs(@id(1) link_t link) { meta.link = link; }      // no router is on the way
    @id(0x01000024) action leave_macs() { }
    @id(0x02000021) table l2_rewrite {
        key = { meta.l2_rewrite: exact @name("l2_rewrite") @id(1); }
        actions = { set_macs; keep_macs; @defaultonly leave_macs; }
        const default_action = leave_macs();        // not reached: ingress.l2_guard has the same keys and punts
        size = SIZE_L2_REWRITE;
    }

    // --- encapsulation. mtu: of the underlay, in bytes of outer IP packet.
    @id(0x01000025) action encap_v4(@id(1) bit<2> kind, @id(2) bit<32> src, @id(3) bit<32> dst, @id(4) bit<48> src_mac, @id(5) bit<48> dst_mac, @id(6) bit<16> mtu) {
        meta.encap_kind = kind;
        meta.outer_mtu = mtu;
        meta.new_outer_ipv4 = 1;
        hdr.outer_ethernet.setValid();
        hdr.outer_ethernet.src = src_mac;
        hdr.outer_ethernet.dst = dst_mac;
        hdr.outer_ethernet.ether_type = ETHERTYPE_IPV4;
        hdr.outer_ipv4.setValid();
        hdr.outer_ipv4.version = 4;
        hdr.outer_ipv4.ihl = 5;
        hdr.outer_ipv4.tos = meta.inner_tos;
        hdr.outer_ipv4.total_len = meta.frame_len + 20;
        hdr.outer_ipv4.id = 0;
        hdr.outer_ipv4.reserved = 0;
        hdr.outer_ipv4.dont_fragment = 1;
        hdr.outer_ipv4.more_fragments = 0;
        hdr.outer_ipv4.frag_offset = 0;
        hdr.outer_ipv4.ttl = 64;
        hdr.outer_ipv4.protocol = PROTO_UDP;
        hdr.outer_ipv4.checksum = 0;
        hdr.outer_ipv4.src = src;
        hdr.outer_ipv4.dst = dst;
    }
    @id(0x01000026) action encap_v6(@id(1) bit<2> kind, @id(2) bit<128> src, @id(3) bit<128> dst, @id(4) bit<48> src_mac, @id(5) bit<48> dst_mac, @id(6) bit<16> mtu) {
        meta.encap_kind = kind;
        meta.outer_mtu = mtu;
        hdr.outer_ethernet.setValid();
        hdr.outer_ethernet.src = src_mac;
        hdr.outer_ethernet.dst = dst_mac;
        hdr.outer_ethernet.ether_type = ETHERTYPE_IPV6;
        hdr.outer_ipv6.setValid();
        hdr.outer_ipv6.version = 6;
        hdr.outer_ipv6.traffic_class = meta.inner_tos;
        hdr.outer_ipv6.flow_label = (bit<20>)meta.hash;
        hdr.outer_ipv6.payload_len = meta.frame_len;
        hdr.outer_ipv6.next_header = PROTO_UDP;
        hdr.outer_ipv6.hop_limit = 64;
        hdr.outer_ipv6.src = src;
        hdr.outer_ipv6.dst = dst;
    }
    @id(0x01000027) action no_path() { meta.egress_reason = REASON_NO_PATH; }
    @id(0x02000022) table underlay {
        key = { meta.path: exact @name("path") @id(1); }
        actions = { encap_v4; encap_v6; @defaultonly no_path; }
        const default_action = no_path();
        size = SIZE_UNDERLAY;
    }

    action outer_length(bit<16> n) {
        if (hdr.outer_ipv4.isValid()) { hdr.outer_ipv4.total_len = hdr.outer_ipv4.total_len + n; }
        if (hdr.outer_ipv6.isValid()) { hdr.outer_ipv6.payload_len = hdr.outer_ipv6.payload_len + n; }
    }

    // UDP checksum 0: the payload is out of a switch's reach (RFC 7348 section 4, RFC 6935, RFC 6936).
    action outer_udp(bit<16> port) {
        outer_length(16);
        hdr.outer_udp.setValid();
        hdr.outer_udp.src = 0xc000 | (meta.hash & 0x3fff);
        hdr.outer_udp.dst = port;
        hdr.outer_udp.length = meta.frame_len + 16;
        hdr.outer_udp.checksum = 0;
    }
    action push_vxlan() {
        outer_udp(UDP_VXLAN);
        hdr.vxlan.setValid();
        hdr.vxlan.flags = 0x08;
        hdr.vxlan.reserved = 0;
        hdr.vxlan.vni = meta.dest;
        hdr.vxlan.weft_flags = meta.out_tunnel_flags;
    }
    action push_geneve() {
        outer_udp(UDP_GENEVE);
        hdr.geneve.setValid();
        hdr.geneve.version = 0;
        hdr.geneve.opt_len = 0;
        hdr.geneve.flags = 0;
        hdr.geneve.ether_type = ETHERTYPE_TEB;
        hdr.geneve.vni = meta.dest;
        hdr.geneve.weft_flags = meta.out_tunnel_flags;
    }
    action push_gre() {
        outer_length(8);
        if (hdr.outer_ipv4.isValid()) { hdr.outer_ipv4.protocol = PROTO_GRE; }
        if (hdr.outer_ipv6.isValid()) { hdr.outer_ipv6.next_header = PROTO_GRE; }
        hdr.gre.setValid();
        hdr.gre.flags = 0x2000;
        hdr.gre.protocol = ETHERTYPE_TEB;
        hdr.gre.weft_flags = meta.out_tunnel_flags;
        hdr.gre.key = meta.dest;
    }

    apply {
        if (standard_metadata.egress_port == PORT_CPU) {
            hdr.packet_in.setValid();
            hdr.packet_in.ingress_port = (bit<16>)standard_metadata.ingress_port;
            hdr.packet_in.vport = meta.vport;
            hdr.packet_in.reason = meta.reason;
            hdr.packet_in.flags = (bit<8>)meta.by_tunnel | (meta.tunnel_flags << 1);
            hdr.packet_in.tunnel_key = (bit<32>)meta.tunnel_key;
            hdr.packet_in.tag = meta.tag;
            if (meta.copy_reason != 0) {
                hdr.packet_in.ingress_port = (bit<16>)meta.copy_port;
                hdr.packet_in.reason = meta.copy_reason;
            }
        } else if (meta.raw == 0) {
            EGRESS_GUARD
            if (meta.to_group == 1) {
                replica.apply();
                if (meta.path == 0 && meta.out_vport == meta.vport && meta.vport != 0) {
                    meta.egress_reason = REASON_PRUNED;
                }
            }
            if (meta.nat != 0) {
                bit<32> addresses;
                if (hdr.ipv4.isValid()) {
                    SUM(meta.old_sum, hdr.ipv4.src, hdr.ipv4.dst);
                    nat_v4.apply();
                    SUM(meta.new_sum, hdr.ipv4.src, hdr.ipv4.dst);
                    addresses = (bit<32>)meta.old_sum + (bit<32>)(~meta.new_sum);
                    update_checksum_by(hdr.ipv4.checksum, addresses);
                } else {
                    SUM(meta.old_sum, hdr.ipv6.src, hdr.ipv6.dst);
                    nat_v6.apply();
                    SUM(meta.new_sum, hdr.ipv6.src, hdr.ipv6.dst);
                    addresses = (bit<32>)meta.old_sum + (bit<32>)(~meta.new_sum);
                }
                // Of a later fragment, of SCTP (its CRC32c covers the ports) and of what is not known here only the addresses change.
                bit<32> ports = (bit<32>)(~hdr.ports.src) + (bit<32>)meta.nat_sport + (bit<32>)(~hdr.ports.dst) + (bit<32>)meta.nat_dport;
                if (hdr.tcp_rest.isValid()) {
                    update_checksum_by(hdr.tcp_rest.checksum, addresses + ports);
                    hdr.ports.src = meta.nat_sport;
                    hdr.ports.dst = meta.nat_dport;
                } else if (hdr.udp_rest.isValid()) {
                    if (hdr.udp_rest.checksum != 0) {           // none: of IPv4 by RFC 768, of tunnels over IPv6 by RFC 6935
                        update_checksum_by(hdr.udp_rest.checksum, addresses + ports);
                        if (hdr.udp_rest.checksum == 0) { hdr.udp_rest.checksum = 0xffff; }
                    }
                    hdr.ports.src = meta.nat_sport;
                    hdr.ports.dst = meta.nat_dport;
                } else if (hdr.icmp.isValid() && (hdr.ipv4.isValid() && meta.ip_proto == PROTO_ICMP || hdr.ipv6.isValid() && meta.ip_proto == PROTO_ICMPV6)) {
                    if (hdr.ipv6.isValid()) {                   // ICMP has no pseudo header
                        update_checksum_by(hdr.icmp.checksum, addresses);
                    }
                    if (hdr.icmp.type == 0 || hdr.icmp.type == 8 || hdr.icmp.type == 128 || hdr.icmp.type == 129) {
                        update_checksum_by(hdr.icmp.checksum, (bit<32>)(~hdr.icmp.id) + (bit<32>)meta.nat_dport);
                        hdr.icmp.id = meta.nat_dport;
                    }
                }
            }
            if (meta.l2_rewrite != 0) {
                l2_rewrite.apply();
            }
            if (meta.path != 0) {
                if (hdr.ipv4.isValid() && meta.keep_tag == 0) { meta.inner_tos = hdr.ipv4.tos; }
                if (hdr.ipv6.isValid() && meta.keep_tag == 0) { meta.inner_tos = hdr.ipv6.traffic_class; }
                if (underlay.apply().hit) {
                    if (meta.encap_kind == TUNNEL_VXLAN) { push_vxlan(); }
                    else if (meta.encap_kind == TUNNEL_GENEVE) { push_geneve(); }
                    else { push_gre(); }
                    if (hdr.outer_ipv4.isValid() && hdr.outer_ipv4.total_len > meta.outer_mtu) {
                        meta.egress_reason = REASON_UNDERLAY_LENGTH;
                    }
                    if (hdr.outer_ipv6.isValid() && (bit<17>)hdr.outer_ipv6.payload_len + 40 > (bit<17>)meta.outer_mtu) {
                        meta.egress_reason = REASON_UNDERLAY_LENGTH;
                    }
                }
            } else if (meta.out_tagged == 1) {
                hdr.port_tag.setValid();
                hdr.port_tag.pcp = 0;
                hdr.port_tag.dei = 0;
                hdr.port_tag.vid = meta.out_vid;
                hdr.port_tag.ether_type = hdr.ethernet.ether_type;
                hdr.ethernet.ether_type = ETHERTYPE_VLAN;
            }
            // Guards that need the length of the frame: hardware knows it here and not before. IPv6 has no header checksum: a payload beyond the frame is all.
            if (hdr.ipv4.isValid() && (meta.ttl_dec != 0 && (bit<17>)hdr.ipv4.total_len + 14 > (bit<17>)meta.frame_len
                || meta.l2_rewrite != 0 && (bit<17>)meta.frame_len > (bit<17>)meta.mtu + 14)) {
                meta.egress_reason = REASON_FRAME_LENGTH;
            }
            if (hdr.ipv6.isValid() && (meta.ttl_dec != 0 && (bit<17>)hdr.ipv6.payload_len + 54 > (bit<17>)meta.frame_len
                || meta.l2_rewrite != 0 && (bit<17>)meta.frame_len > (bit<17>)meta.mtu + 14)) {
                meta.egress_reason = REASON_FRAME_LENGTH;
            }
            // Rates: only what goes on takes from them.
            meta.drop_vport = meta.vport;
            if (meta.egress_reason == 0 && meta.link != 0) {
                link_load.count((bit<32>)meta.link);
                METER(links, (bit<32>)meta.link, meta.color);
                if (meta.color == COLOR_RED) {
                    meta.egress_reason = REASON_LINK_RATE;
                }
            }
            if (meta.egress_reason == 0 && meta.path == 0) {
                METER(receives, (bit<32>)meta.out_vport, meta.color);
                if (meta.color == COLOR_RED) {
                    meta.egress_reason = REASON_RECEIVE_RATE;
                    meta.drop_vport = meta.out_vport;
                }
            }
            if (meta.egress_reason != 0) {
                reasons.count((bit<32>)meta.egress_reason);
                vport_drops.count((bit<32>)(meta.drop_vport[11:0] ++ meta.egress_reason[3:0]));
                mark_to_drop(standard_metadata);
            }
        }
    }
}
