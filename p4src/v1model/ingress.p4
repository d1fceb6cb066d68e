// Actions of a flow table, one set a table: hardware counts per table. ttl_dec: number of routers passed.
#define FLOW_ACTIONS(t, n) \
    DROP_OR_PUNT(t, n) \
    @id(0x0100010##n) action forward_##t(@id(1) dest_t dest, @id(2) l2_rewrite_t l2_rewrite, @id(3) bit<4> ttl_dec) { \
        \
        meta.resolve = 1; \
        meta.dest = dest; \
        meta.l2_rewrite = l2_rewrite; \
        meta.ttl_dec = ttl_dec; \
    }

// The same where the key is whole: such a flow may be translated (nat) and be that of a connection whose begin and end the engine must see (tracked).
#define EXACT_FLOW_ACTIONS(t, n) \
    DROP_OR_PUNT(t, n) \
    @id(0x0100010##n) action forward_##t(@id(1) dest_t dest, @id(2) l2_rewrite_t l2_rewrite, @id(3) bit<4> ttl_dec, @id(4) nat_t nat, @id(5) bit<1> tracked) { \
        \
        meta.resolve = 1; \
        meta.dest = dest; \
        meta.l2_rewrite = l2_rewrite; \
        meta.ttl_dec = ttl_dec; \
        meta.nat = nat; \
        meta.tracked = tracked; \
    }

#define DROP_OR_PUNT(t, n) \
    @id(0x0100020##n) action drop_##t() { meta.flow_reason = REASON_FLOW_DROP; } \
    @id(0x0100030##n) action punt_##t(@id(1) reason_t reason, @id(2) bit<32> tag) { meta.flow_reason = reason; meta.tag = tag; }

control ingress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {
    INGRESS_UNITS
    @id(0x12000001) counter(1024, CounterType.packets_and_bytes) reasons;    // by side ++ reason
    @id(0x12000003) counter(256, CounterType.packets_and_bytes) copies;      // by copy_reason; REASON_PUNT_RATE: not made
    @id(0x12000004) counter(SIZE_VPORT_DROPS, CounterType.packets) vport_drops;   // by local vport ++ low bits of reason
    @id(0x14000001) meter(SIZE_VPORTS, MeterType.packets) punts;            // by local vport
    @id(0x14000002) meter(SIZE_VPORTS, MeterType.packets) floods;           // by local vport
    @id(0x14000003) meter(SIZE_VPORTS, MeterType.bytes) sends;              // by local vport: what its host may send (Q1)

    // --- who speaks: a vport ...
    @id(0x01000001) action set_vport(@id(1) vport_t vport) { meta.vport = vport; }
    @id(0x01000002) action unknown_port() { meta.map_reason = REASON_UNKNOWN_PORT; }
    @id(0x02000001) table port_map {
        key = {
            standard_metadata.ingress_port: exact @name("port") @id(1);
            meta.vid: exact @name("vid") @id(2);
            hdr.vlan.isValid(): exact @name("tagged") @id(3);
        }
        actions = { set_vport; @defaultonly unknown_port; }
        const default_action = unknown_port();
        size = SIZE_PORT_MAP;
    }

    // A tag that is no vport's: where the bridge of the port's untagged vport keeps tags, the frame is that vport's, tag and all. It is no IP packet then.
    @id(0x01000019) action keep_tag(@id(1) vport_t vport) {
        meta.vport = vport;
        meta.map_reason = REASON_NONE;
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
        key = { standard_metadata.ingress_port: exact @name("port") @id(1); }
        actions = { keep_tag; @defaultonly no_tags; }
        const default_action = no_tags();       // port_map's miss stands
        size = SIZE_PORT_TAGS;
    }

    // --- ... or a tunnel.
    @id(0x01000003) action terminate() { meta.term_reason = REASON_NONE; }
    @id(0x01000004) action unknown_vtep() { meta.term_reason = REASON_UNKNOWN_VTEP; }
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
    @id(0x01000005) action known_peer() { meta.peer_list_reason = REASON_NONE; }
    @id(0x01000006) action unknown_peer() { meta.peer_list_reason = REASON_UNKNOWN_PEER; }
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
    @id(0x01000007) action known_source() { meta.src_reason = REASON_NONE; }
    @id(0x01000008) action unknown_source() { meta.src_reason = REASON_MISS_SOURCE; }
    @id(0x02000006) table src_class {
        key = { meta.vport: exact @name("vport") @id(1); hdr.ethernet.src: exact @name("src_mac") @id(2); }
        actions = { known_source; @defaultonly unknown_source; }
        const default_action = unknown_source();
        size = SIZE_SRC_CLASS;
        IDLE_TIMEOUT
    }

    DIRECT_COUNTER(@id(0x13000001), dst_class_counter)
    @id(0x01000009) action set_scope(@id(1) scope_t scope) { meta.scope = scope; }
    @id(0x0100000a) action unknown_scope() { meta.dst_reason = REASON_MISS_SCOPE; }
    FLOW_ACTIONS(dst_class, 0)
    @id(0x02000007) table dst_class {
        key = { meta.vport: exact @name("vport") @id(1); hdr.ethernet.dst: exact @name("dst_mac") @id(2); }
        actions = { set_scope; forward_dst_class; drop_dst_class; punt_dst_class; @defaultonly unknown_scope; }
        const default_action = unknown_scope();
        size = SIZE_DST_CLASS;
        IDLE_TIMEOUT
        COUNTED_BY(dst_class_counter)
    }

    // Always to the engine, whatever the flow tables hold: ARP, ND, ICMP errors, DHCP, group control.
    @id(0x0100000b) action class_punt(@id(1) reason_t reason) { meta.class_reason = reason; }
    @id(0x0100000c) action class_drop() { meta.class_reason = REASON_CLASS_DROP; }
    @id(0x0100000d) action class_pass() { }
    @id(0x02000008) table punt_class {
        key = {
            meta.vport: ternary @name("vport") @id(1);
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
    @id(0x01000010) action set_mtu(@id(1) bit<16> mtu) { meta.mtu = mtu; }
    @id(0x01000011) action no_rewrite() { meta.guard_reason = REASON_NO_REWRITE; }
    @id(0x0200000e) table l2_guard {
        key = { meta.l2_rewrite: exact @name("l2_rewrite") @id(1); }
        actions = { set_mtu; @defaultonly no_rewrite; }
        const default_action = no_rewrite();
        size = SIZE_L2_REWRITE;
    }

    // --- where the destination is
    @id(0x01000012) action to_port(@id(1) port_t port, @id(2) vport_t vport, @id(3) bit<1> tagged, @id(4) bit<12> vid) {
        standard_metadata.egress_spec = port;
        meta.out_vport = vport;
        meta.out_tagged = tagged;
        meta.out_vid = vid;
    }
    @id(0x01000013) action to_peer(@id(1) peer_t peer) { meta.peer = peer; }
    @id(0x01000014) action to_group(@id(1) bit<16> group) { TO_GROUP(group) meta.to_group = 1; }
    @id(0x01000015) action location_drop() { meta.location_reason = REASON_LOCATION_DROP; }
    @id(0x01000016) action no_location() { meta.location_reason = REASON_NO_LOCATION; }
    @id(0x0200000f) table location {
        key = { meta.dest: exact @name("dest") @id(1); meta.by_tunnel: exact @name("by_tunnel") @id(2); }
        actions = { to_port; to_peer; to_group; location_drop; @defaultonly no_location; }
        const default_action = no_location();
        size = SIZE_LOCATION;
    }
    // The paths to a peer, spread by flow hash over 16 buckets (E12).
    @id(0x01000017) action set_path(@id(1) path_t path, @id(2) port_t port) { meta.path = path; standard_metadata.egress_spec = port; }
    @id(0x01000018) action no_peer() { meta.peer_reason = REASON_NO_PEER; }
    @id(0x02000010) table peer {
        key = { meta.peer: exact @name("peer") @id(1); meta.bucket: exact @name("bucket") @id(2); }
        actions = { set_path; @defaultonly no_peer; }
        const default_action = no_peer();
        size = SIZE_PEER;
    }

    // The one flow hash: path, outer source port and, later, ECMP. Package flow computes the same (flow/hash.go).
    action flow_hash() {
        if (hdr.ipv4.isValid() && meta.keep_tag == 0) {
            CRC32(meta.hash, hdr.ipv4.src, hdr.ipv4.dst, meta.ip_proto, meta.sport, meta.dport);
        } else if (hdr.ipv6.isValid() && meta.keep_tag == 0) {
            CRC32(meta.hash, hdr.ipv6.src, hdr.ipv6.dst, meta.ip_proto, meta.sport, meta.dport);
        } else {
            CRC32(meta.hash, hdr.ethernet.dst, hdr.ethernet.src, meta.ether_type);
        }
    }

    action drop_now() { mark_to_drop(standard_metadata); }

    // RFC 1624 equation 3: header checksum after a 16-bit word went from m to n. A wrong checksum stays wrong.
    action ipv4_checksum_update(bit<16> m, bit<16> n) {
        bit<32> sum = (bit<32>)(~hdr.ipv4.checksum) + (bit<32>)(~m) + (bit<32>)n;
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        hdr.ipv4.checksum = ~sum[15:0];
    }

    // RFC 6040 section 4.2, normal mode.
    action decap_ecn(bit<2> outer) {
        if (hdr.ipv4.isValid()) {
            bit<16> m = hdr.ipv4.version ++ hdr.ipv4.ihl ++ hdr.ipv4.tos;
            if (outer == 3 && hdr.ipv4.tos[1:0] == 0) { meta.guard_reason = REASON_ECN; }
            else if (outer == 3) { hdr.ipv4.tos[1:0] = 3; }
            else if (outer == 1 && hdr.ipv4.tos[1:0] == 2) { hdr.ipv4.tos[1:0] = 1; }
            ipv4_checksum_update(m, hdr.ipv4.version ++ hdr.ipv4.ihl ++ hdr.ipv4.tos);
        }
        if (hdr.ipv6.isValid()) {
            if (outer == 3 && hdr.ipv6.traffic_class[1:0] == 0) { meta.guard_reason = REASON_ECN; }
            else if (outer == 3) { hdr.ipv6.traffic_class[1:0] = 3; }
            else if (outer == 1 && hdr.ipv6.traffic_class[1:0] == 2) { hdr.ipv6.traffic_class[1:0] = 1; }
        }
    }

    action decapsulate() {
        hdr.outer_ethernet.setInvalid();
        hdr.outer_ipv4.setInvalid();
        hdr.outer_ipv6.setInvalid();
        hdr.outer_udp.setInvalid();
        hdr.vxlan.setInvalid();
        hdr.geneve.setInvalid();
        hdr.geneve_options.setInvalid();
        hdr.gre.setInvalid();
    }

    apply {
        meta.frame_len = (bit<16>)standard_metadata.packet_length;
        if (standard_metadata.ingress_port == PORT_CPU) {
            meta.side = SIDE_CPU;
        } else if (standard_metadata.ingress_port & PORT_UNDERLAY_BIT != 0) {
            meta.side = SIDE_UNDERLAY;
        }

        // 1. Where it came from. Whose a malformed frame is, is told by its port and tag, if it has these whole.
        if (meta.side == SIDE_ACCESS && (standard_metadata.parser_error == error.NoError
            || hdr.ethernet.isValid() && (hdr.vlan.isValid() || hdr.ethernet.ether_type != ETHERTYPE_VLAN))) {
            if (!port_map.apply().hit && hdr.vlan.isValid()) {
                port_tags.apply();
            }
        }
        if (standard_metadata.parser_error != error.NoError) {
            meta.map_reason = REASON_PARSER_ERROR;
        } else if (hdr.packet_out.isValid()) {
            meta.frame_len = meta.frame_len - 12;
            if (hdr.packet_out.mode == OUT_PORT) {
                meta.raw = 1;
                standard_metadata.egress_spec = (port_t)hdr.packet_out.egress_port;
            } else if (hdr.packet_out.mode == OUT_DEST) {
                meta.resolve = 1;
                meta.by_tunnel = (bit<1>)hdr.packet_out.by_tunnel;
                meta.dest = (dest_t)hdr.packet_out.dest;
                meta.vport = hdr.packet_out.vport;
                meta.hash = hdr.packet_out.hash;
                meta.link = hdr.packet_out.egress_port;
            } else {
                meta.map_reason = REASON_BAD_PACKET_OUT;
            }
            hdr.packet_out.setInvalid();
        } else if (hdr.outer_ethernet.isValid()) {
            if (meta.tunnel_kind == TUNNEL_NONE) {
                meta.term_reason = REASON_UNDERLAY;
            } else {
                meta.resolve = 1;
                meta.by_tunnel = 1;
                meta.dest = meta.tunnel_key;
                if (hdr.outer_ipv4.isValid()) {
                    meta.frame_len = meta.frame_len - 34;
                    tunnel_term_v4.apply();
                    peer_list_v4.apply();
                } else {
                    meta.frame_len = meta.frame_len - 54;
                    tunnel_term_v6.apply();
                    peer_list_v6.apply();
                }
                if (hdr.gre.isValid()) {
                    meta.frame_len = meta.frame_len - 8;
                } else {
                    meta.frame_len = meta.frame_len - 16;
                }
                if (hdr.geneve_options.isValid()) {
                    meta.frame_len = meta.frame_len - ((bit<16>)hdr.geneve.opt_len << 2);
                }
                flow_hash();
            }
        } else if (hdr.ethernet.src[40:40] == 1 || hdr.ethernet.src == 0) {
            meta.map_reason = REASON_GROUP_SOURCE;
        } else if (hdr.ipv4.isValid() && hdr.ipv4.src == hdr.ipv4.dst || hdr.ipv6.isValid() && hdr.ipv6.src == hdr.ipv6.dst) {
            meta.map_reason = REASON_LAND;
        } else {
            // 2. A vport's frame, if its host is within its rate: class tables, then the flow tables.
            if (hdr.vlan.isValid() && meta.keep_tag == 0) {
                meta.frame_len = meta.frame_len - 4;
            }
            if (meta.map_reason == REASON_NONE) {
                METER(sends, (bit<32>)meta.vport, meta.color);
                if (meta.color == COLOR_RED) {
                    meta.map_reason = REASON_SEND_RATE;
                }
            }
            if (meta.map_reason == REASON_NONE) {
                src_class.apply();
                punt_class.apply();
                if (meta.src_reason == 0 && meta.class_reason == 0) {
                    dst_class.apply();
                }
                if (meta.scope != 0) {
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
                flow_hash();
            }
        }

        // 3. Guards of the flow that was hit.
        if (meta.l2_rewrite != 0) {
            l2_guard.apply();
            if (hdr.ipv4.isValid() && hdr.ipv4.total_len > meta.mtu && meta.guard_reason == 0) {
                meta.guard_reason = REASON_LENGTH;
            }
            if (hdr.ipv6.isValid() && (bit<17>)hdr.ipv6.payload_len + 40 > (bit<17>)meta.mtu && meta.guard_reason == 0) {
                meta.guard_reason = REASON_LENGTH;
            }
        }
        // What a router does not pass on; the sources need not be in a flow's mask: 0/8, 127/8, 224/4, 240/4, 169.254/16; ::, ::1, ff00::/8, fe80::/10.
        if (meta.ttl_dec != 0) {
            if (hdr.ipv4.isValid()) {
                if (hdr.ipv4.ttl <= (bit<8>)meta.ttl_dec) {
                    meta.guard_reason = REASON_TTL;
                }
                if (hdr.ipv4.src[31:24] == 0 || hdr.ipv4.src[31:24] == 127 || hdr.ipv4.src[31:29] == 7 || hdr.ipv4.src[31:16] == 0xa9fe) {
                    meta.guard_reason = REASON_MARTIAN;
                }
                if (standard_metadata.checksum_error == 1 || hdr.ipv4.total_len < (bit<16>)hdr.ipv4.ihl << 2) {
                    meta.guard_reason = REASON_HEADER;
                }
            }
            if (hdr.ipv6.isValid()) {
                if (hdr.ipv6.hop_limit <= (bit<8>)meta.ttl_dec) {
                    meta.guard_reason = REASON_TTL;
                }
                if (MARTIAN_V6) {
                    meta.guard_reason = REASON_MARTIAN;
                }
            }
        }
        if (meta.tracked == 1 && meta.tcp_flags & TCP_SYN != 0 && meta.guard_reason == 0) {
            meta.guard_reason = REASON_TRACKED_SYN;
        }

        // 4. Where it goes.
        if (meta.resolve == 1) {
            location.apply();
            if (meta.peer != 0) {
                meta.bucket = meta.hash[15:12];
                if (meta.tunnel_flags & TUNNEL_MOVED != 0) {
                    meta.peer_reason = REASON_TUNNEL_LOOP;
                } else {
                    peer.apply();
                }
                if (meta.by_tunnel == 1) {
                    meta.out_tunnel_flags = TUNNEL_MOVED;
                }
            }
        }

        // 5. The earliest reason counts.
        if (meta.map_reason != 0) { meta.reason = meta.map_reason; }
        else if (meta.term_reason != 0) { meta.reason = meta.term_reason; }
        else if (meta.peer_list_reason != 0) { meta.reason = meta.peer_list_reason; }
        else if (meta.class_reason != 0) { meta.reason = meta.class_reason; }
        else if (meta.src_reason != 0) { meta.reason = meta.src_reason; }
        else if (meta.dst_reason != 0) { meta.reason = meta.dst_reason; }
        else if (meta.flow_reason != 0) { meta.reason = meta.flow_reason; }
        else if (meta.guard_reason != 0) { meta.reason = meta.guard_reason; }
        else if (meta.location_reason != 0) { meta.reason = meta.location_reason; }
        else if (meta.peer_reason != 0) { meta.reason = meta.peer_reason; }

        // 6. What a vport says to all is metered, once: where it comes in, ahead of the punt meter, as a storm of ARP requests is one too; unknown unicast
        //    whose flow has no entry yet, where the engine floods it.
        if (meta.vport != 0 && !REASON_IS_DROP(meta.reason)
            && (meta.side == SIDE_ACCESS && (meta.to_group == 1 || hdr.ethernet.dst[40:40] == 1)
                || meta.side == SIDE_CPU && meta.to_group == 1 && hdr.ethernet.dst[40:40] == 0)) {
            METER(floods, (bit<32>)meta.vport, meta.color);
            if (meta.color == COLOR_RED) {
                meta.reason = REASON_FLOOD_RATE;
            }
        }

        // 7. Decapsulate; only what goes on is changed.
        if (meta.reason == 0 && hdr.outer_ethernet.isValid()) {
            if (hdr.outer_ipv4.isValid()) {
                decap_ecn(hdr.outer_ipv4.tos[1:0]);
            } else {
                decap_ecn(hdr.outer_ipv6.traffic_class[1:0]);
            }
            meta.reason = meta.guard_reason;
            decapsulate();
        }

        // 8. What vports ask of the engine is metered, so that none can keep it from the others.
        if (meta.tracked == 1 && meta.tcp_flags & (TCP_FIN | TCP_RST) != 0 && meta.reason == 0) {
            meta.copy_reason = REASON_TRACKED_END;
        }
        if ((meta.reason != 0 && !REASON_IS_DROP(meta.reason) || meta.copy_reason != 0) && meta.vport != 0 && meta.side == SIDE_ACCESS) {
            METER(punts, (bit<32>)meta.vport, meta.color);
            if (meta.color == COLOR_RED) {
                if (meta.copy_reason != 0) {
                    meta.copy_reason = REASON_PUNT_RATE;
                } else {
                    meta.reason = REASON_PUNT_RATE;
                }
            }
        }
        if (meta.copy_reason != 0) {
            copies.count((bit<32>)meta.copy_reason);
            if (meta.copy_reason != REASON_PUNT_RATE) {
                meta.copy_port = standard_metadata.ingress_port;
                clone_preserving_field_list(CloneType.I2E, COPY_SESSION, COPY_FIELDS);  // as it came in
            }
        }

        // 9. Every frame is counted once, by where it came from and what became of it.
        reasons.count((bit<32>)(meta.side ++ meta.reason));
        if (meta.reason != 0) {
            standard_metadata.mcast_grp = 0;
            if (meta.side == SIDE_CPU && !REASON_IS_DROP(meta.reason)) {
                meta.reason = REASON_BAD_PACKET_OUT;    // its destination does not resolve: the engine is told by the counters only, no loop
            }
            if (REASON_IS_DROP(meta.reason)) {
                if (meta.side == SIDE_ACCESS || meta.vport != 0) {
                    vport_drops.count((bit<32>)(meta.vport[11:0] ++ meta.reason[3:0]));
                }
                drop_now();
            } else {
                standard_metadata.egress_spec = PORT_CPU;
            }
        } else if (meta.raw == 0) {
            if (hdr.vlan.isValid() && meta.keep_tag == 0) {
                hdr.ethernet.ether_type = hdr.vlan.ether_type;
                hdr.vlan.setInvalid();
            }
            if (meta.ttl_dec != 0) {
                if (hdr.ipv4.isValid()) {
                    bit<16> m = hdr.ipv4.ttl ++ hdr.ipv4.protocol;
                    hdr.ipv4.ttl = hdr.ipv4.ttl - (bit<8>)meta.ttl_dec;
                    ipv4_checksum_update(m, hdr.ipv4.ttl ++ hdr.ipv4.protocol);
                }
                if (hdr.ipv6.isValid()) {
                    hdr.ipv6.hop_limit = hdr.ipv6.hop_limit - (bit<8>)meta.ttl_dec;
                }
            }
        }
    }
}
