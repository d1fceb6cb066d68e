// Actions of a flow table, one set a table: hardware counts per table. ttl_dec: number of routers passed.
#define FLOW_ACTIONS(t, n) \
    DROP_OR_PUNT(t, n) \
    @id(0x0100010##n) action forward_##t(@id(1) dest_t dest, @id(2) l2_rewrite_t l2_rewrite, @id(3) bit<4> ttl_dec) { \
        COUNT(t##_counter) \
        meta.resolve = 1; \
        hdr.bridge.dest = dest; \
        hdr.bridge.l2_rewrite = l2_rewrite; \
        hdr.bridge.ttl_dec[3:0] = ttl_dec; \
    }

// The same where the key is whole: such a flow may be translated (nat) and be that of a connection whose begin and end the engine must see (tracked).
#define EXACT_FLOW_ACTIONS(t, n) \
    DROP_OR_PUNT(t, n) \
    @id(0x0100010##n) action forward_##t(@id(1) dest_t dest, @id(2) l2_rewrite_t l2_rewrite, @id(3) bit<4> ttl_dec, @id(4) nat_t nat, @id(5) bit<1> tracked) { \
        COUNT(t##_counter) \
        meta.resolve = 1; \
        hdr.bridge.dest = dest; \
        hdr.bridge.l2_rewrite = l2_rewrite; \
        hdr.bridge.ttl_dec[3:0] = ttl_dec; \
        hdr.bridge.nat = nat; \
        meta.tracked = tracked; \
    }

#define DROP_OR_PUNT(t, n) \
    @id(0x0100020##n) action drop_##t() { COUNT(t##_counter) meta.flow_reason = REASON_FLOW_DROP; } \
    @id(0x0100030##n) action punt_##t(@id(1) reason_t reason, @id(2) bit<32> tag) { COUNT(t##_counter) meta.flow_reason = reason; meta.tag = tag; }

control ingress(inout ingress_headers_t hdr, inout ingress_metadata_t meta, in ingress_intrinsic_metadata_t ig_intr_md,
                in ingress_intrinsic_metadata_from_parser_t ig_prsr_md, inout ingress_intrinsic_metadata_for_deparser_t ig_dprsr_md,
                inout ingress_intrinsic_metadata_for_tm_t ig_tm_md) {
    COUNTER(64, 10, 1024, PACKETS_AND_BYTES) reasons;    // by side ++ reason
    COUNTER(64, 8, 256, PACKETS_AND_BYTES) copies;       // by copy_reason; REASON_PUNT_RATE: not made
    COUNTER(32, 16, SIZE_VPORT_DROPS, PACKETS) vport_drops;   // by local vport ++ low bits of reason
    METER(SIZE_VPORTS, REASON_PUNT_RATE) punts;       // by local vport
    METER(SIZE_VPORTS, REASON_FLOOD_RATE) floods;     // by local vport
    BYTE_METER(SIZE_VPORTS, REASON_SEND_RATE) sends;  // by local vport: what its host may send (Q1)

    // --- who speaks: a vport ...
    @id(0x01000001) action set_vport(@id(1) vport_t vport) { hdr.bridge.vport = vport; }
    @id(0x01000002) action unknown_port() { meta.unknown_port = 1; }
    @id(0x02000001) table port_map {
        key = {
            ig_intr_md.ingress_port: exact @name("port") @id(1);
            meta.vid: exact @name("vid") @id(2);
            hdr.vlan.isValid(): exact @name("tagged") @id(3);
        }
        actions = { set_vport; @defaultonly unknown_port; }
        const default_action = unknown_port();
        size = SIZE_PORT_MAP;
    }

    // A tag that is no vport's: where the bridge of the port's untagged vport keeps tags, the frame is that vport's, tag and all. It is no IP packet then.
    @id(0x01000019) action keep_tag(@id(1) vport_t vport) {
        hdr.bridge.vport = vport;
        meta.keep_tag = 1;
        meta.ether_type = ETHERTYPE_VLAN;
        meta.vid = 0;
        meta.ip_proto = 0;
        meta.sport = 0;
        meta.dport = 0;
        meta.tcp_flags = 0;
        meta.frag = FRAG_NONE;
    }
    @id(0x0100001a) action no_tags() { }
    @id(0x02000011) table port_tags {
        key = { ig_intr_md.ingress_port: exact @name("port") @id(1); }
        actions = { keep_tag; @defaultonly no_tags; }
        const default_action = no_tags();
        size = SIZE_PORT_TAGS;
    }

    // --- ... or a tunnel.
    @hidden action from_tunnel() {
        meta.resolve = 1;
        meta.by_tunnel = 1;
        meta.in_flags = 1;
        hdr.bridge.dest = meta.tunnel_key;
    }
    @id(0x01000003) action terminate() { from_tunnel(); }
    @id(0x01000004) action unknown_vtep() { from_tunnel(); meta.unknown_vtep = 1; }
    @id(0x02000002) table tunnel_term_v4 {
        key = { meta.tunnel_kind: exact @name("kind") @id(1); hdr.outer_ipv4.dst: exact @name("vtep") @id(2); }
        actions = { terminate; @defaultonly unknown_vtep; }
        const default_action = unknown_vtep();
        size = SIZE_TUNNEL_TERM;
    }
    @id(0x02000003) table tunnel_term_v6 {
        key = { meta.tunnel_kind: exact @name("kind") @id(1); hdr.outer_ipv6.dst: exact @name("vtep") @id(2); }
        actions = { terminate; @defaultonly unknown_vtep; }
        const default_action = unknown_vtep();
        size = SIZE_TUNNEL_TERM;
    }
    @id(0x01000005) action known_peer() { }
    @id(0x01000006) action unknown_peer() { meta.unknown_peer = 1; }
    @id(0x02000004) table peer_list_v4 {
        key = { hdr.outer_ipv4.src: exact @name("src") @id(1); }
        actions = { known_peer; @defaultonly unknown_peer; }
        const default_action = unknown_peer();
        size = SIZE_PEER_LIST;
    }
    @id(0x02000005) table peer_list_v6 {
        key = { hdr.outer_ipv6.src: exact @name("src") @id(1); }
        actions = { known_peer; @defaultonly unknown_peer; }
        const default_action = unknown_peer();
        size = SIZE_PEER_LIST;
    }

    // --- classes
    @id(0x01000007) action known_source() { }
    @id(0x01000008) action unknown_source() { meta.unknown_source = 1; }
    @id(0x02000006) IDLE_BITS(2) table src_class {
        key = { hdr.bridge.vport: exact @name("vport") @id(1); hdr.ethernet.src: exact @name("src_mac") @id(2); }
        actions = { known_source; @defaultonly unknown_source; }
        const default_action = unknown_source();
        size = SIZE_SRC_CLASS;
        IDLE_TIMEOUT
    }

    DIRECT_COUNTER dst_class_counter;
    @id(0x01000009) action set_scope(@id(1) scope_t scope) { COUNT(dst_class_counter) meta.scope = scope; }
    @id(0x0100000a) action unknown_scope() { meta.dst_reason = REASON_MISS_SCOPE; }
    @id(0x01000100) action forward_dst_class(@id(1) dest_t dest, @id(2) l2_rewrite_t l2_rewrite, @id(3) bit<4> ttl_dec) {
        COUNT(dst_class_counter)
        meta.resolve = 1;
        hdr.bridge.dest = dest;
        hdr.bridge.l2_rewrite = l2_rewrite;
        hdr.bridge.ttl_dec[3:0] = ttl_dec;
    }
    @id(0x01000200) action drop_dst_class() { COUNT(dst_class_counter) meta.dst_reason = REASON_FLOW_DROP; }
    @id(0x01000300) action punt_dst_class(@id(1) reason_t reason, @id(2) bit<32> tag) { COUNT(dst_class_counter) meta.dst_reason = reason; meta.tag = tag; }
    @id(0x02000007) table dst_class {
        key = { hdr.bridge.vport: exact @name("vport") @id(1); hdr.ethernet.dst: exact @name("dst_mac") @id(2); }
        actions = { set_scope; forward_dst_class; drop_dst_class; punt_dst_class; @defaultonly unknown_scope; }
        const default_action = unknown_scope();
        size = SIZE_DST_CLASS;
        IDLE_TIMEOUT
        counters = dst_class_counter;
    }

    // Always to the engine, whatever the flow tables hold: ARP, ND, ICMP errors, DHCP, group control.
    @id(0x0100000b) action class_punt(@id(1) reason_t reason) { meta.class_reason = reason; }
    @id(0x0100000c) action class_drop() { meta.class_reason = REASON_CLASS_DROP; }
    @id(0x0100000d) action class_pass() { }
    @id(0x02000008) table punt_class {
        key = {
            hdr.bridge.vport: ternary @name("vport") @id(1);
            meta.ether_type: ternary @name("ether_type") @id(2);
            meta.ip_proto: ternary @name("ip_proto") @id(3);
            meta.sport: ternary @name("sport") @id(4);
            meta.dport: ternary @name("dport") @id(5);
            meta.tcp_flags: ternary @name("tcp_flags") @id(6);
            meta.frag: ternary @name("frag") @id(7);
        }
        actions = { class_punt; class_drop; @defaultonly class_pass; }
        const default_action = class_pass();
        size = SIZE_PUNT_CLASS;
    }

    // --- flows
#include "flows.p4"

    // --- guards. Same keys as egress.l2_rewrite: MTU of the path behind it, in bytes of IP packet; also makes sure that the rewrite exists.
    @id(0x01000010) action set_mtu(@id(1) bit<16> mtu) { hdr.bridge.mtu = mtu; meta.room = mtu |-| meta.ip_last; }
    @id(0x01000011) action no_rewrite() { meta.no_rewrite = 1; }
    @id(0x0200000e) FIRST(2) table l2_guard {
        key = { hdr.bridge.l2_rewrite: exact @name("l2_rewrite") @id(1); }
        actions = { set_mtu; @defaultonly no_rewrite; }
        const default_action = no_rewrite();
        size = SIZE_L2_REWRITE;
    }

    // --- where the destination is
    @id(0x01000012) action to_port(@id(1) port_t port, @id(2) vport_t vport, @id(3) bit<1> tagged, @id(4) bit<12> vid) {
        ig_tm_md.ucast_egress_port = port;
        hdr.bridge.out_vport = vport;
        hdr.bridge.out_tag[12:12] = tagged;
        hdr.bridge.out_tag[11:0] = vid;
    }
    @id(0x01000013) action to_peer(@id(1) peer_t peer) { meta.peer = peer; meta.to_peer = 1; }
    @id(0x01000014) action to_group(@id(1) bit<16> group) { ig_tm_md.mcast_grp_a = group; hdr.bridge.to_group = 1; }
    @id(0x01000015) action location_drop() { meta.location_reason = REASON_LOCATION_DROP; }
    @id(0x01000016) action no_location() { meta.location_reason = REASON_NO_LOCATION; }
    @id(0x0200000f) FIRST(2) table location {
        key = { hdr.bridge.dest: exact @name("dest") @id(1); meta.by_tunnel: exact @name("by_tunnel") @id(2); }
        actions = { to_port; to_peer; to_group; location_drop; @defaultonly no_location; }
        const default_action = no_location();
        size = SIZE_LOCATION;
    }
    // The paths to a peer, spread by flow hash over 16 buckets (E12).
    @id(0x01000017) action set_path(@id(1) path_t path, @id(2) port_t port) { hdr.bridge.path = path; ig_tm_md.ucast_egress_port = port; }
    @id(0x01000018) action no_peer() { meta.peer_reason = REASON_NO_PEER; }
    @id(0x02000010) FIRST(1) table peer {
        key = { meta.peer: exact @name("peer") @id(1); hdr.bridge.hash[15:12]: exact @name("bucket") @id(2); }
        actions = { set_path; @defaultonly no_peer; }
        const default_action = no_peer();
        size = SIZE_PEER;
    }

    // The one flow hash: path, outer source port and, later, ECMP. Package flow computes the same (flow/hash.go).
    HASH_UNIT(hash_v4)
    HASH_UNIT(hash_v6)
    HASH_UNIT(hash_l2)
    @hidden action flow_hash_v4() { FLOW_HASH(hdr.bridge.hash, hash_v4, hdr.ipv4.src, hdr.ipv4.dst, meta.ip_proto, meta.sport, meta.dport) }
    @hidden action flow_hash_v6() { FLOW_HASH(hdr.bridge.hash, hash_v6, hdr.ipv6.src, hdr.ipv6.dst, meta.ip_proto, meta.sport, meta.dport) }
    @hidden action flow_hash_l2() { FLOW_HASH(hdr.bridge.hash, hash_l2, hdr.ethernet.dst, hdr.ethernet.src, meta.ether_type) }

    // --- what is computed of the frame alone
    @hidden action differ_v4() {
        meta.differ0 = hdr.ipv4.src ^ hdr.ipv4.dst;
        meta.ip_last = meta.ip_last |-| meta.room; // 1, as the parser says: what is taken off is a field's
    }
    @hidden action differ_v6() {
        meta.differ0 = hdr.ipv6.src[31:0] ^ hdr.ipv6.dst[31:0];
        meta.differ1 = hdr.ipv6.src[63:32] ^ hdr.ipv6.dst[63:32];
        meta.differ2 = hdr.ipv6.src[95:64] ^ hdr.ipv6.dst[95:64];
        meta.differ3 = hdr.ipv6.src[127:96] ^ hdr.ipv6.dst[127:96];
        meta.ip_last = meta.ip_last |+| 39;
    }
#include "guards.p4"

    @hidden action from_packet_out() {
        meta.resolve = 1;
        hdr.bridge.dest = hdr.packet_out.dest[23:0];
        meta.by_tunnel = hdr.packet_out.by_tunnel[0:0];
        hdr.bridge.vport = hdr.packet_out.vport;
        hdr.bridge.hash = hdr.packet_out.hash;
        hdr.bridge.mtu = hdr.packet_out.egress_port;
    }

    // --- the end: one of these. What does not go on through egress has no bridge.
    CELL_UNIT(10, reason_cell)
    CELL_UNIT(16, drop_cell)
    @hidden action drop_now() { ig_dprsr_md.drop_ctl = 1; }
    @hidden action punt_now() {
        ig_tm_md.ucast_egress_port = DEVICE_PORT_CPU;
        ig_tm_md.mcast_grp_a = 0;
        ig_tm_md.bypass_egress = 1;
        hdr.packet_in.setValid();
        hdr.packet_in.ingress_port = meta.in_port;
        hdr.packet_in.vport = hdr.bridge.vport;
        hdr.packet_in.reason = meta.reason;
        hdr.packet_in.flags = meta.in_flags;
        hdr.packet_in.tunnel_key = (bit<32>)meta.tunnel_key;
        hdr.packet_in.tag = meta.tag;
        hdr.bridge.setInvalid();
    }
    @hidden action raw_now() {
        ig_tm_md.ucast_egress_port = hdr.packet_out.egress_port[8:0];
        ig_tm_md.bypass_egress = 1;
        hdr.bridge.setInvalid();
        hdr.packet_out.setInvalid();
    }
    @hidden action go_on() {
        hdr.packet_out.setInvalid();
        hdr.outer_ethernet.setInvalid();
        hdr.outer_ipv4.setInvalid();
        hdr.outer_ipv6.setInvalid();
        hdr.outer_udp.setInvalid();
        hdr.vxlan.setInvalid();
        hdr.geneve.setInvalid();
        hdr.gre.setInvalid();
    }
    @hidden action untag() {
        hdr.ethernet.ether_type = hdr.vlan.ether_type;
        hdr.vlan.setInvalid();
    }
    @hidden action mirror_now() {
        ig_dprsr_md.mirror_type = COPY_MIRROR;
        meta.copy_kind = KIND_COPY;
        meta.copy_session = (MirrorId_t)COPY_SESSION;
    }

    apply {
        // 0. Where it came from, and what is computed of the frame alone. Whose a malformed frame is, is told by its port and tag, if it has these whole.
        if (hdr.ipv4.isValid()) {
            frame_v4.apply();
        } else if (hdr.ipv6.isValid()) {
            frame_v6.apply();
        }
        if (meta.port.side == SIDE_ACCESS && hdr.ethernet.isValid() && (hdr.vlan.isValid() || hdr.ethernet.ether_type != ETHERTYPE_VLAN)) {
            if (!port_map.apply().hit) {
                if (hdr.vlan.isValid()) {
                    port_tags.apply();
                }
            }
        } else if (meta.port.side == SIDE_CPU && hdr.packet_out.mode == OUT_DEST) {
            from_packet_out();
        } else if (meta.tunnel_kind != TUNNEL_NONE && hdr.outer_ipv4.isValid()) {   // on underlay ports only
            tunnel_term_v4.apply();
            peer_list_v4.apply();
            hdr.bridge.outer_ecn[1:0] = hdr.outer_ipv4.tos[1:0];
        } else if (meta.tunnel_kind != TUNNEL_NONE) {
            tunnel_term_v6.apply();
            peer_list_v6.apply();
            hdr.bridge.outer_ecn[1:0] = hdr.outer_ipv6.traffic_class[1:0];
        }
        entry.apply();

        // 1. Classes. 2. Flows.
        if (meta.port.side == SIDE_ACCESS) {
            if (meta.entry_reason == 0) {
                meter_send();
            }
            land.apply();
            src_class.apply();
            punt_class.apply();
            dst_class.apply();
        }
        if (meta.scope != 0 && meta.entry_reason == 0 && meta.land == 0 && meta.rate_reason == 0 && meta.class_reason == 0 && meta.unknown_source == 0) {
            if (hdr.ipv4.isValid() && meta.keep_tag == 0) {
                if (!flow_exact_v4.apply().hit) {
                    flow_wild_v4.apply();
                }
            } else if (hdr.ipv6.isValid() && meta.keep_tag == 0) {
                if (!flow_exact_v6.apply().hit) {
                    flow_wild_v6.apply();
                }
            } else {
                flow_wild_l2.apply();
            }
        }
        early.apply();
        if (meta.port.side != SIDE_CPU && hdr.ipv4.isValid() && meta.keep_tag == 0) {
            flow_hash_v4();
        } else if (meta.port.side != SIDE_CPU && hdr.ipv6.isValid() && meta.keep_tag == 0) {
            flow_hash_v6();
        } else if (meta.port.side != SIDE_CPU) {
            flow_hash_l2();
        }

        // 3. Where it goes, and the guards of the flow that was hit.
        if (hdr.bridge.l2_rewrite != 0) {
            l2_guard.apply();
        }
        if (meta.resolve == 1) {
            location.apply();
        }
        router_guard.apply();
        earliest.apply();
        flood_gate.apply();
        if (meta.to_peer == 1) {
            if (meta.by_tunnel == 1) {
                hdr.bridge.out_tunnel_flags = TUNNEL_MOVED;
            }
            if (meta.tunnel_flags & TUNNEL_MOVED != 0) {
                meta.peer_reason = REASON_TUNNEL_LOOP;
            } else {
                peer.apply();
            }
        }
        if (meta.tunnel_flags & TUNNEL_MOVED != 0) {
            meta.in_flags = 3;
        }

        // 4. The last word, and the end.
        police.apply();
        if (meta.copy_reason != 0) {
            COUNT_AT(copies, meta.copy_reason)
            if (meta.copy_reason != REASON_PUNT_RATE) {
                mirror_now();
            }
        }
        COUNT_AT(reasons, CELL(reason_cell, meta.port.side, meta.counted_reason))
        if (meta.reason & 0x40 != 0) {
            if (meta.port.side == SIDE_ACCESS || hdr.bridge.vport != 0) {
                COUNT_AT(vport_drops, CELL(drop_cell, hdr.bridge.vport[11:0], meta.reason[3:0]))
            }
            drop_now();
        } else if (meta.reason != 0) {
            punt_now();
        } else if (meta.raw == 1) {
            raw_now();
        } else {
            if (hdr.vlan.isValid() && meta.keep_tag == 0) {
                untag();
            }
            go_on();
        }
    }
}
