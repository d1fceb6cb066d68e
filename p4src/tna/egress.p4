// Bytes of eg_intr_md.pkt_length that are not the frame: what ingress bridged, and the frame check sequence of Ethernet.
const bit<16> BEYOND_FRAME = BRIDGE_BYTES + 4;
#define BEYOND_FRAME_LENGTH 29 // the same for meters: a number, as the compiler takes it

// Rows of latest of a frame whose length is right: no IP packet, or not routed or all there, and no rewrite or no longer than the MTU.
#define LATEST_OF(ipv4, ipv6, ttl_dec, missing, l2_rewrite, too_long) \
            (ipv4, ipv6, ttl_dec, missing, l2_rewrite, too_long, 0, 0, 0, 0, 0): reason_is_rate(); \
            (ipv4, ipv6, ttl_dec, missing, l2_rewrite, too_long, 0, 0, 0, 0, _): reason_is(REASON_NO_REPLICA); \
            (ipv4, ipv6, ttl_dec, missing, l2_rewrite, too_long, 0, 0, 0, _, _): reason_is(REASON_PRUNED); \
            (ipv4, ipv6, ttl_dec, missing, l2_rewrite, too_long, 0, 0, _, _, _): reason_is(REASON_NO_NAT); \
            (ipv4, ipv6, ttl_dec, missing, l2_rewrite, too_long, 0, _, _, _, _): reason_is(REASON_UNDERLAY_LENGTH); \
            (ipv4, ipv6, ttl_dec, missing, l2_rewrite, too_long, _, _, _, _, _): reason_is(REASON_NO_PATH);

// Large tables are asked for every packet, not behind a condition: as long as a table behind one goes on from stage to stage, Tofino 1 takes up nothing that
// comes after it. Id 0 has no entry, so that what is not to be asked misses; a miss keeps the id, 0 then.
control egress(inout egress_headers_t hdr, inout egress_metadata_t meta, in egress_intrinsic_metadata_t eg_intr_md,
               in egress_intrinsic_metadata_from_parser_t eg_prsr_md, inout egress_intrinsic_metadata_for_deparser_t eg_dprsr_md,
               inout egress_intrinsic_metadata_for_output_port_t eg_oport_md) {
    COUNTER(64, 8, 256, PACKETS_AND_BYTES) reasons;
    COUNTER(32, 16, SIZE_VPORT_DROPS, PACKETS) vport_drops;   // by the local vport that it came in by, or is for, ++ low bits of reason
    COUNTER(64, 12, SIZE_LINKS, PACKETS_AND_BYTES) link_load; // by link: what would pass it, within its rate or not
    BYTE_METER(SIZE_LINKS, REASON_LINK_RATE) links;           // by link (Q1)
    BYTE_METER(SIZE_VPORTS, REASON_RECEIVE_RATE) receives;    // by the local vport that it is for

    // --- group copies: replica id -> member vport of this edge, or path to a peer
    @id(0x01000020) action local_copy(@id(1) vport_t vport, @id(2) bit<1> tagged, @id(3) bit<12> vid) {
        meta.out_vport = vport;
        meta.out_tag[12:12] = tagged;
        meta.out_tag[11:0] = vid;
        meta.local_copy = 1;
    }
    @id(0x01000021) action peer_copy(@id(1) path_t path) { meta.path = path; }
    @id(0x01000022) action no_replica() { meta.no_replica = 1; }
    @id(0x02000020) table replica {
        key = { eg_intr_md.egress_rid: exact @name("rid") @id(1); }
        actions = { local_copy; peer_copy; @defaultonly no_replica; }
        const default_action = no_replica();
        size = SIZE_REPLICA;
    }
    @hidden action prune_copy() { meta.pruned = 1; }
    @hidden action keep_copy() { }
    @hidden table prune {
        key = { meta.local_copy: ternary; meta.other_vport: ternary; hdr.bridge.vport: ternary; }
        actions = { prune_copy; keep_copy; }
        const default_action = keep_copy();
        const entries = {
            (1, 0, 0): keep_copy();
            (1, 0, _): prune_copy();
        }
    }
    @hidden action not_a_copy() {
        meta.path = hdr.bridge.path;
        meta.out_vport = hdr.bridge.out_vport;
        meta.out_tag = hdr.bridge.out_tag;
    }

    // --- translation, by id so that only translated flows pay. A packet without its entry is dropped: it must not leave as it is, and an entry is written
    // before the flow that needs it.
    @id(0x01000028) action translate_v4(@id(1) bit<32> src, @id(2) bit<32> dst, @id(3) bit<16> sport, @id(4) bit<16> dport) {
        hdr.ipv4.src = src;
        hdr.ipv4.dst = dst;
        meta.nat_sport = sport;
        meta.nat_dport = dport;
        meta.translated = 1;
        meta.fix_ipv4 = 1;
    }
    @id(0x01000029) action translate_v6(@id(1) bit<128> src, @id(2) bit<128> dst, @id(3) bit<16> sport, @id(4) bit<16> dport) {
        hdr.ipv6.src = src;
        hdr.ipv6.dst = dst;
        meta.nat_sport = sport;
        meta.nat_dport = dport;
        meta.translated = 1;
    }
    @id(0x0100002a) action no_nat() { meta.no_nat = hdr.bridge.nat; }
    @id(0x02000023) STAGE_FOR(8, 40960) STAGE(9) table nat_v4 {
        key = { hdr.bridge.nat: exact @name("nat") @id(1); }
        actions = { translate_v4; @defaultonly no_nat; }
        const default_action = no_nat();
        size = SIZE_NAT_V4;
    }
    @id(0x02000024) STAGE(9) table nat_v6 {
        key = { hdr.bridge.nat: exact @name("nat") @id(1); }
        actions = { translate_v6; @defaultonly no_nat; }
        const default_action = no_nat();
        size = SIZE_NAT_V6;
    }
    @hidden action translate_tcp() {
        hdr.ports.src = meta.nat_sport;
        hdr.ports.dst = meta.nat_dport;
        meta.fix_tcp = 1;
    }
    @hidden action translate_udp() {
        hdr.ports.src = meta.nat_sport;
        hdr.ports.dst = meta.nat_dport;
        meta.fix_udp = 1;
    }
    // No checksum: of IPv4 by RFC 768, of tunnels over IPv6 by RFC 6935.
    @hidden action translate_udp_plain() {
        hdr.ports.src = meta.nat_sport;
        hdr.ports.dst = meta.nat_dport;
    }
    @hidden action translate_icmp() {
        hdr.icmp.id = meta.nat_dport;
        meta.fix_icmp = 1;
    }
    @hidden action translate_icmpv6() {
        hdr.icmp.id = meta.nat_dport;
        meta.fix_icmpv6 = 1;
    }
    @hidden action translate_icmpv6_plain() { meta.fix_icmpv6 = 1; }
    @hidden action translate_none() { }
    @hidden table translate_l4 {
        key = {
            meta.translated: ternary;
            hdr.tcp_rest.isValid(): ternary;
            hdr.udp_rest.isValid(): ternary;
            hdr.udp_rest.checksum: ternary;
            hdr.icmp.isValid(): ternary;
            hdr.ipv4.isValid(): ternary;
            meta.echo: ternary;
        }
        actions = { translate_tcp; translate_udp; translate_udp_plain; translate_icmp; translate_icmpv6; translate_icmpv6_plain; translate_none; }
        const default_action = translate_none();
        const entries = {
            (0, _, _, _, _, _, _): translate_none();
            (_, true, _, _, _, _, _): translate_tcp();
            (_, _, true, 0, _, _, _): translate_udp_plain();
            (_, _, true, _, _, _, _): translate_udp();
            (_, _, _, _, true, true, _): translate_icmp();
            (_, _, _, _, true, _, 1): translate_icmpv6();
            (_, _, _, _, true, _, _): translate_icmpv6_plain();
        }
    }

    // The link on the way whose rate is the tightest goes with the rewrite; 0: none has a rate.
    @id(0x01000023) action set_macs(@id(1) bit<48> src, @id(2) bit<48> dst, @id(3) link_t link) {
        hdr.ethernet.src = src;
        hdr.ethernet.dst = dst;
        meta.link = link;
    }
    @id(0x0100002b) action keep_macs(@id(1) link_t link) { meta.link = link; }      // no router is on the way
    @id(0x01000024) action leave_macs() { meta.link = hdr.bridge.mtu; }             // no flow with a rewrite: the mtu of a packet-out is a link, of others it is 0
    @id(0x02000021) STAGE_FOR(0, 40960) STAGE(1) table l2_rewrite {
        key = { hdr.bridge.l2_rewrite: exact @name("l2_rewrite") @id(1); }
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
        hdr.outer_ipv4.id = 0;
        hdr.outer_ipv4.reserved = 0;
        hdr.outer_ipv4.dont_fragment = 1;
        hdr.outer_ipv4.more_fragments = 0;
        hdr.outer_ipv4.frag_offset = 0;
        hdr.outer_ipv4.ttl = 64;
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
        hdr.outer_ipv6.flow_label = 0;
        hdr.outer_ipv6.hop_limit = 64;
        hdr.outer_ipv6.src = src;
        hdr.outer_ipv6.dst = dst;
    }
    @id(0x01000027) action no_path() { meta.no_path = meta.path; }
    @id(0x02000022) STAGE(7) table underlay {
        key = { meta.path: exact @name("path") @id(1); }
        actions = { encap_v4; encap_v6; @defaultonly no_path; }
        const default_action = no_path();
        size = SIZE_UNDERLAY;
    }

    // UDP checksum 0: the payload is out of a switch's reach (RFC 7348 section 4, RFC 6935, RFC 6936).
    @hidden action outer_udp(bit<16> port) {
        hdr.outer_udp.setValid();
        hdr.outer_udp.src = meta.udp_source;
        hdr.outer_udp.dst = port;
        hdr.outer_udp.length = meta.frame_len + 16;
        hdr.outer_udp.checksum = 0;
    }
    @hidden action push_vxlan() {
        outer_udp(UDP_VXLAN);
        hdr.vxlan.setValid();
        hdr.vxlan.flags = 0x08;
        hdr.vxlan.reserved = 0;
        hdr.vxlan.vni = hdr.bridge.dest;
        hdr.vxlan.weft_flags = hdr.bridge.out_tunnel_flags;
    }
    @hidden action push_geneve() {
        outer_udp(UDP_GENEVE);
        hdr.geneve.setValid();
        hdr.geneve.version = 0;
        hdr.geneve.opt_len = 0;
        hdr.geneve.flags = 0;
        hdr.geneve.ether_type = ETHERTYPE_TEB;
        hdr.geneve.vni = hdr.bridge.dest;
        hdr.geneve.weft_flags = hdr.bridge.out_tunnel_flags;
    }
    @hidden action push_gre() {
        hdr.gre.setValid();
        hdr.gre.flags = 0x2000;
        hdr.gre.protocol = ETHERTYPE_TEB;
        hdr.gre.weft_flags = hdr.bridge.out_tunnel_flags;
        hdr.gre.key = hdr.bridge.dest;
    }
    @hidden action outer_v4(bit<16> overhead, bit<8> protocol) {
        hdr.outer_ipv4.tos = meta.inner_tos;
        hdr.outer_ipv4.total_len = meta.frame_len + overhead;
        hdr.outer_ipv4.protocol = protocol;
        meta.outer_len = meta.frame_len + overhead;
    }
    @hidden action outer_v6(bit<16> overhead, bit<8> protocol) {
        hdr.outer_ipv6.traffic_class = meta.inner_tos;
        hdr.outer_ipv6.flow_label[15:0] = hdr.bridge.hash;
        hdr.outer_ipv6.payload_len = meta.frame_len + (overhead - 40);
        hdr.outer_ipv6.next_header = protocol;
        meta.outer_len = meta.frame_len + overhead;
    }
    @hidden action vxlan_v4() { push_vxlan(); outer_v4(36, PROTO_UDP); }
    @hidden action vxlan_v6() { push_vxlan(); outer_v6(56, PROTO_UDP); }
    @hidden action geneve_v4() { push_geneve(); outer_v4(36, PROTO_UDP); }
    @hidden action geneve_v6() { push_geneve(); outer_v6(56, PROTO_UDP); }
    @hidden action gre_v4() { push_gre(); outer_v4(28, PROTO_GRE); }
    @hidden action gre_v6() { push_gre(); outer_v6(48, PROTO_GRE); }
    @hidden action no_tunnel() { }
    STAGE(8) FIRST(1)
    @hidden table tunnel {
        key = { hdr.outer_ipv4.isValid(): exact; hdr.outer_ipv6.isValid(): exact; meta.encap_kind: exact; }
        actions = { vxlan_v4; vxlan_v6; geneve_v4; geneve_v6; gre_v4; gre_v6; no_tunnel; }
        const default_action = no_tunnel();
        const entries = {
            (true, false, TUNNEL_VXLAN): vxlan_v4();
            (false, true, TUNNEL_VXLAN): vxlan_v6();
            (true, false, TUNNEL_GENEVE): geneve_v4();
            (false, true, TUNNEL_GENEVE): geneve_v6();
            (true, false, TUNNEL_NONE): gre_v4();
            (false, true, TUNNEL_NONE): gre_v6();
            (true, false, TUNNEL_GRE): gre_v4();
            (false, true, TUNNEL_GRE): gre_v6();
        }
    }
    @hidden action push_tag() {
        hdr.port_tag.setValid();
        hdr.port_tag.pcp = 0;
        hdr.port_tag.dei = 0;
        hdr.port_tag.vid = meta.out_tag[11:0];
        hdr.port_tag.ether_type = hdr.ethernet.ether_type;
        hdr.ethernet.ether_type = ETHERTYPE_VLAN;
    }

    // --- ECN of the tunnel that the frame came in: RFC 6040 section 4.2, normal mode; ingress has dropped what it must.
    @hidden action ecn4(bit<2> ecn) { hdr.ipv4.tos[1:0] = ecn; meta.fix_ipv4 = 1; }
    @hidden action ecn6(bit<2> ecn) { hdr.ipv6.traffic_class[1:0] = ecn; }
    @hidden action ecn_stays() { }
    @hidden table ecn {
        key = {
            hdr.bridge.outer_ecn[1:0]: ternary @name("outer_ecn");
            hdr.ipv4.isValid(): ternary;
            hdr.ipv4.tos[1:0]: ternary @name("ecn4");
            hdr.ipv6.isValid(): ternary;
            hdr.ipv6.traffic_class[1:0]: ternary @name("ecn6");
        }
        actions = { ecn4; ecn6; ecn_stays; }
        const default_action = ecn_stays();
        const entries = {
            (3, true, _, _, _): ecn4(3);
            (3, _, _, true, _): ecn6(3);
            (1, true, 2, _, _): ecn4(1);
            (1, _, _, true, 2): ecn6(1);
        }
    }

    // --- lengths. Guards that need that of the frame: hardware knows it here and not before. And the routers that were passed: each takes one off the TTL.
    @hidden action lengths() {
        meta.frame_len = eg_intr_md.pkt_length - BEYOND_FRAME;
        meta.limit = hdr.bridge.mtu |+| 14;
        meta.drop_vport = hdr.bridge.vport;
        meta.udp_source = hdr.bridge.hash | 0xc000;
    }
    @hidden action lengths_v4() { lengths(); meta.ip_end = hdr.ipv4.total_len |+| 14; }
    @hidden action lengths_v6() { lengths(); meta.ip_end = hdr.ipv6.payload_len |+| 54; }
    @hidden action routed_v4() {
        lengths_v4();
        hdr.ipv4.ttl = hdr.ipv4.ttl - hdr.bridge.ttl_dec;
        meta.fix_ipv4 = 1;
    }
    @hidden action routed_v6() {
        lengths_v6();
        hdr.ipv6.hop_limit = hdr.ipv6.hop_limit - hdr.bridge.ttl_dec;
    }
    @hidden table arrive {
        key = {
            hdr.ipv4.isValid(): ternary;
            hdr.ipv6.isValid(): ternary;
            hdr.bridge.ttl_dec: ternary;
        }
        actions = { lengths; lengths_v4; lengths_v6; routed_v4; routed_v6; }
        const default_action = lengths();
        const entries = {
            (true, _, 0): lengths_v4();
            (true, _, _): routed_v4();
            (_, true, 0): lengths_v6();
            (_, true, _): routed_v6();
        }
    }

    // --- rates: of the link, and of the vport that gets what passes that
    @hidden action meter_link() {
        BYTE_RATE(rate, links, meta.link[11:0], BEYOND_FRAME_LENGTH)
        meta.rate_reason = rate;
        meta.rate_vport = hdr.bridge.vport;
    }
    @hidden action count_link() { COUNT_AT(link_load, meta.link[11:0]) } // not in that action: a meter's colour and a counter take the same bus
    @hidden action meter_receive() {
        BYTE_RATE(rate, receives, meta.out_vport[11:0], BEYOND_FRAME_LENGTH)
        meta.rate_reason = rate;
        meta.rate_vport = meta.out_vport;
    }

    // --- the last reason counts, as in v1model: of what goes on, whether it is within the rates
    @hidden action reason_is_rate() {
        meta.reason = meta.rate_reason;
        meta.drop_vport = meta.rate_vport;
    }
    @hidden action reason_is(reason_t reason) { meta.reason = reason; }
    @hidden table latest {
        key = {
            hdr.ipv4.isValid(): ternary;
            hdr.ipv6.isValid(): ternary;
            hdr.bridge.ttl_dec: ternary;
            meta.missing: ternary;
            hdr.bridge.l2_rewrite: ternary;
            meta.too_long: ternary;
            meta.no_path: ternary;
            meta.outer_too_long: ternary;
            meta.no_nat: ternary;
            meta.pruned: ternary;
            meta.no_replica: ternary;
        }
        actions = { reason_is_rate; reason_is; }
        const default_action = reason_is(REASON_FRAME_LENGTH);
        const entries = {
            LATEST_OF(false, false, _, _, _, _)
            LATEST_OF(_, _, 0, _, 0, _)
            LATEST_OF(_, _, 0, _, _, 0)
            LATEST_OF(_, _, _, 0, 0, _)
            LATEST_OF(_, _, _, 0, _, 0)
        }
    }

    CELL_UNIT(16, drop_cell)
    @hidden action drop_now() { eg_dprsr_md.drop_ctl = 1; }
    @hidden action copy_now() {
        hdr.packet_in.setValid();
        hdr.packet_in.ingress_port = hdr.copy.port;
        hdr.packet_in.vport = hdr.copy.vport;
        hdr.packet_in.reason = hdr.copy.reason;
        hdr.packet_in.flags = 0;
        hdr.packet_in.tunnel_key = 0;
        hdr.packet_in.tag = 0;
        hdr.copy.setInvalid();
    }

    apply {
        if (hdr.copy.isValid()) {
            copy_now();
        } else {
            arrive.apply();
            if (hdr.bridge.to_group == 1) {
                replica.apply();
            } else {
                not_a_copy();
            }
            ecn.apply();
            meta.missing = meta.ip_end |-| meta.frame_len;
            meta.too_long = meta.frame_len |-| meta.limit;
            meta.other_vport = meta.out_vport ^ hdr.bridge.vport;
            prune.apply();
            if (hdr.ipv4.isValid()) {
                nat_v4.apply();
            } else {
                nat_v6.apply();
            }
            translate_l4.apply();
            l2_rewrite.apply();
            if (meta.link != 0) {
                meter_link();
                count_link();
            }
            if (hdr.ipv4.isValid()) {
                meta.inner_tos = hdr.ipv4.tos;
            } else if (hdr.ipv6.isValid()) {
                meta.inner_tos = hdr.ipv6.traffic_class;
            }
            underlay.apply();
            tunnel.apply();
            meta.outer_too_long = meta.outer_len |-| meta.outer_mtu;
            if (meta.path == 0 && meta.out_tag & TAGGED != 0) {
                push_tag();
            }
            if (hdr.bridge.wrong != 0) {
                meta.fix_ipv4 = 0;
            }
            if (meta.rate_reason == 0 && meta.path == 0 && meta.pruned == 0) {
                meter_receive();
            }
            latest.apply();
            if (meta.reason != 0) {
                COUNT_AT(reasons, meta.reason)
                COUNT_AT(vport_drops, CELL(drop_cell, meta.drop_vport[11:0], meta.reason[3:0]))
                drop_now();
            }
        }
    }
}
