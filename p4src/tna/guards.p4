// Tables of constants that the control plane does not see: a part of control ingress. What v1model says with nested conditions is said here by rows,
// as a row is one stage however many conditions it has. The first row that matches counts.

    // --- the frame alone: whole, of a station; a tunnel packet; a known packet-out
    @hidden action entry_is(reason_t reason) { meta.in_port = (bit<16>)ig_intr_md.ingress_port; meta.entry_reason = reason; }
    @hidden action entry_ok() { meta.in_port = (bit<16>)ig_intr_md.ingress_port; }
    @hidden action packet_out_raw() { meta.in_port = (bit<16>)ig_intr_md.ingress_port; meta.raw = 1; }
    @hidden table entry {
        key = {
            ig_prsr_md.parser_err: ternary;
            meta.malformed: ternary;
            meta.port.side: ternary;
            hdr.packet_out.mode: ternary;
            meta.tunnel_kind: ternary;
            hdr.ethernet.src: ternary;
        }
        actions = { entry_is; entry_ok; packet_out_raw; }
        const default_action = entry_is(REASON_PARSER_ERROR);
        const entries = {
            (0, 0, SIDE_CPU, OUT_PORT, _, _): packet_out_raw();
            (0, 0, SIDE_CPU, OUT_DEST, _, _): entry_ok();
            (0, 0, SIDE_CPU, _, _, _): entry_is(REASON_BAD_PACKET_OUT);
            (0, 0, SIDE_UNDERLAY, _, TUNNEL_NONE, _): entry_is(REASON_UNDERLAY);
            (0, 0, SIDE_UNDERLAY, _, _, _): entry_ok();
            (0, 0, SIDE_ACCESS, _, _, 0x010000000000 &&& 0x010000000000): entry_is(REASON_GROUP_SOURCE);
            (0, 0, SIDE_ACCESS, _, _, 0): entry_is(REASON_GROUP_SOURCE);
            (0, 0, SIDE_ACCESS, _, _, _): entry_ok();
        }
    }

    // --- a vport's IP packet to itself
    @hidden action is_land() { meta.land = 1; }
    @hidden action is_no_land() { }
    @hidden table land {
        key = {
            hdr.ipv4.isValid(): ternary;
            hdr.ipv6.isValid(): ternary;
            meta.differ0: ternary;
            meta.differ1: ternary;
            meta.differ2: ternary;
            meta.differ3: ternary;
        }
        actions = { is_land; is_no_land; }
        const default_action = is_no_land();
        const entries = {
            (true, _, 0, _, _, _): is_land();
            (_, true, 0, 0, 0, 0): is_land();
        }
    }

    // --- the earliest reason ahead of the flow tables
    @hidden action early_is_entry() { meta.early_reason = meta.entry_reason; }
    @hidden action early_is(reason_t reason) { meta.early_reason = reason; }
    @hidden action early_is_class() { meta.early_reason = meta.class_reason; }
    @hidden action early_is_dst() { meta.early_reason = meta.dst_reason; }
    FIRST(2)
    @hidden table early {
        key = {
            meta.entry_reason: ternary;
            meta.land: ternary;
            meta.unknown_port: ternary;
            meta.keep_tag: ternary;
            meta.unknown_vtep: ternary;
            meta.unknown_peer: ternary;
            meta.rate_reason: ternary;
            meta.class_reason: ternary;
            meta.unknown_source: ternary;
        }
        actions = { early_is_entry; early_is; early_is_class; early_is_dst; }
        const default_action = early_is_entry();
        const entries = {
            (0, 1, _, _, _, _, _, _, _): early_is(REASON_LAND);
            (0, _, 1, 0, _, _, _, _, _): early_is(REASON_UNKNOWN_PORT);
            (0, _, _, _, 0, 0, 0, 0, 0): early_is_dst();
            (0, _, _, _, 0, 0, 0, 0, 1): early_is(REASON_MISS_SOURCE);
            (0, _, _, _, 0, 0, 0, _, _): early_is_class();
            (0, _, _, _, 0, 0, _, _, _): early_is(REASON_SEND_RATE);
            (0, _, _, _, 0, 1, _, _, _): early_is(REASON_UNKNOWN_PEER);
            (0, _, _, _, 1, _, _, _, _): early_is(REASON_UNKNOWN_VTEP);
        }
    }

    // --- an IP header alone: a checksum of IPv4 that is wrong; a total length that does not cover the header, by its length in words (RFC 1812 section 5.2.2);
    // sources that no router forwards from: 0/8, 127/8, 224/3, 169.254/16; ::, ::1, ff00::/8, fe80::/10. What is computed of it comes with that.
    @hidden action header_is_wrong() { differ_v4(); hdr.bridge.wrong = 1; meta.bad_header = 1; }
    @hidden action header_is_short() { differ_v4(); meta.bad_header = 1; }
    @hidden action source_is_martian_v4() { differ_v4(); meta.martian = 1; }
    @hidden action source_is_good_v4() { differ_v4(); }
    FIRST(9)
    @hidden table frame_v4 {
        key = { meta.checksum_error: ternary; hdr.ipv4.ihl: ternary; hdr.ipv4.total_len: ternary; hdr.ipv4.src: ternary; }
        actions = { header_is_wrong; header_is_short; source_is_martian_v4; source_is_good_v4; }
        const default_action = source_is_good_v4();
        const entries = {
            (true, _, _, _): header_is_wrong();
            (_, _, 0 &&& 0xfff0, _): header_is_short();
            (_, 5, 16 &&& 0xfffc, _): header_is_short();
            (_, 6, 16 &&& 0xfff8, _): header_is_short();
            (_, 7, 16 &&& 0xfff8, _): header_is_short();
            (_, 7, 24 &&& 0xfffc, _): header_is_short();
            (_, 8 &&& 8, 16 &&& 0xfff0, _): header_is_short();
            (_, 9, 32 &&& 0xfffc, _): header_is_short();
            (_, 10, 32 &&& 0xfff8, _): header_is_short();
            (_, 11, 32 &&& 0xfff8, _): header_is_short();
            (_, 11, 40 &&& 0xfffc, _): header_is_short();
            (_, 12 &&& 12, 32 &&& 0xfff0, _): header_is_short();
            (_, 13, 48 &&& 0xfffc, _): header_is_short();
            (_, 14, 48 &&& 0xfff8, _): header_is_short();
            (_, 15, 48 &&& 0xfff8, _): header_is_short();
            (_, 15, 56 &&& 0xfffc, _): header_is_short();
            (_, _, _, 0x00000000 &&& 0xff000000): source_is_martian_v4();
            (_, _, _, 0x7f000000 &&& 0xff000000): source_is_martian_v4();
            (_, _, _, 0xe0000000 &&& 0xe0000000): source_is_martian_v4();
            (_, _, _, 0xa9fe0000 &&& 0xffff0000): source_is_martian_v4();
        }
    }
    @hidden action source_is_martian_v6() { differ_v6(); meta.martian = 1; }
    @hidden action source_is_good_v6() { differ_v6(); }
    FIRST(9)
    @hidden table frame_v6 {
        key = { hdr.ipv6.src: ternary; }
        actions = { source_is_martian_v6; source_is_good_v6; }
        const default_action = source_is_good_v6();
        const entries = {
            0 &&& 0xfffffffffffffffffffffffffffffffe: source_is_martian_v6();
            0xff000000000000000000000000000000 &&& 0xff000000000000000000000000000000: source_is_martian_v6();
            0xfe800000000000000000000000000000 &&& 0xffc00000000000000000000000000000: source_is_martian_v6();
        }
    }

    // --- what a router does not pass on: a TTL that the routers of the flow use up is one of a range for each number of them
    @hidden action router_stops(reason_t reason) { meta.router_reason = reason; }
    @hidden action router_passes() { }
    FIRST(2)
    @hidden table router_guard {
        key = {
            hdr.bridge.ttl_dec: ternary;
            hdr.ipv4.isValid(): ternary;
            hdr.ipv6.isValid(): ternary;
            meta.bad_header: ternary;
            meta.martian: ternary;
            meta.ttl: ternary;
        }
        actions = { router_stops; router_passes; }
        const default_action = router_passes();
        const entries = {
            (0, _, _, _, _, _): router_passes();
            (_, false, false, _, _, _): router_passes();
            (_, _, _, 1, _, _): router_stops(REASON_HEADER);
            (_, _, _, _, 1, _): router_stops(REASON_MARTIAN);
            (1, _, _, _, _, 0 &&& 0xfe): router_stops(REASON_TTL);
            (2, _, _, _, _, 0 &&& 0xfe): router_stops(REASON_TTL);
            (2, _, _, _, _, 2): router_stops(REASON_TTL);
            (3, _, _, _, _, 0 &&& 0xfc): router_stops(REASON_TTL);
            (4, _, _, _, _, 0 &&& 0xfc): router_stops(REASON_TTL);
            (4, _, _, _, _, 4): router_stops(REASON_TTL);
            (5, _, _, _, _, 0 &&& 0xfc): router_stops(REASON_TTL);
            (5, _, _, _, _, 4 &&& 0xfe): router_stops(REASON_TTL);
            (6, _, _, _, _, 0 &&& 0xfc): router_stops(REASON_TTL);
            (6, _, _, _, _, 4 &&& 0xfe): router_stops(REASON_TTL);
            (6, _, _, _, _, 6): router_stops(REASON_TTL);
            (7, _, _, _, _, 0 &&& 0xf8): router_stops(REASON_TTL);
            (8, _, _, _, _, 0 &&& 0xf8): router_stops(REASON_TTL);
            (8, _, _, _, _, 8): router_stops(REASON_TTL);
            (9, _, _, _, _, 0 &&& 0xf8): router_stops(REASON_TTL);
            (9, _, _, _, _, 8 &&& 0xfe): router_stops(REASON_TTL);
            (10, _, _, _, _, 0 &&& 0xf8): router_stops(REASON_TTL);
            (10, _, _, _, _, 8 &&& 0xfe): router_stops(REASON_TTL);
            (10, _, _, _, _, 10): router_stops(REASON_TTL);
            (11, _, _, _, _, 0 &&& 0xf8): router_stops(REASON_TTL);
            (11, _, _, _, _, 8 &&& 0xfc): router_stops(REASON_TTL);
            (12, _, _, _, _, 0 &&& 0xf8): router_stops(REASON_TTL);
            (12, _, _, _, _, 8 &&& 0xfc): router_stops(REASON_TTL);
            (12, _, _, _, _, 12): router_stops(REASON_TTL);
            (13, _, _, _, _, 0 &&& 0xf8): router_stops(REASON_TTL);
            (13, _, _, _, _, 8 &&& 0xfc): router_stops(REASON_TTL);
            (13, _, _, _, _, 12 &&& 0xfe): router_stops(REASON_TTL);
            (14, _, _, _, _, 0 &&& 0xf8): router_stops(REASON_TTL);
            (14, _, _, _, _, 8 &&& 0xfc): router_stops(REASON_TTL);
            (14, _, _, _, _, 12 &&& 0xfe): router_stops(REASON_TTL);
            (14, _, _, _, _, 14): router_stops(REASON_TTL);
            (15, _, _, _, _, 0 &&& 0xf0): router_stops(REASON_TTL);
        }
    }

    // --- the earliest reason of all but peer, whose table is in the same stage. syn: of a tracked flow.
    @hidden action reason_none() { }
    @hidden action reason_is(reason_t reason) { meta.reason = reason; meta.counted_reason = reason; }
    @hidden action reason_is_early() { meta.reason = meta.early_reason; meta.counted_reason = meta.early_reason; }
    @hidden action reason_is_flow() { meta.reason = meta.flow_reason; meta.counted_reason = meta.flow_reason; }
    @hidden action reason_is_router() { meta.reason = meta.router_reason; meta.counted_reason = meta.router_reason; }
    @hidden action reason_is_location() { meta.reason = meta.location_reason; meta.counted_reason = meta.location_reason; }
    FIRST(1)
    @hidden table earliest {
        key = {
            meta.early_reason: ternary;
            meta.flow_reason: ternary;
            meta.router_reason: ternary;
            meta.no_rewrite: ternary;
            meta.room: ternary;
            meta.tracked: ternary;
            meta.tcp_flags[1:1]: ternary @name("syn");
            meta.location_reason: ternary;
        }
        actions = { reason_none; reason_is; reason_is_early; reason_is_flow; reason_is_router; reason_is_location; }
        const default_action = reason_is_early();
        const entries = {
            (0, 0, 0, 0, 0, _, _, _): reason_is(REASON_LENGTH);
            (0, 0, 0, 0, _, 1, 1, _): reason_is(REASON_TRACKED_SYN);
            (0, 0, 0, 0, _, _, _, 0): reason_none();
            (0, 0, 0, 0, _, _, _, _): reason_is_location();
            (0, 0, 0, 1, _, _, _, _): reason_is(REASON_NO_REWRITE);
            (0, 0, _, _, _, _, _, _): reason_is_router();
            (0, _, _, _, _, _, _, _): reason_is_flow();
        }
    }

    // --- what a host may send: its frame without the check sequence of Ethernet, which is 4 bytes
    @hidden action meter_send() { BYTE_RATE(rate, sends, hdr.bridge.vport[11:0], 4) meta.rate_reason = rate; }

    // --- what a vport says to all is metered, unless it is dropped: where it comes in; and unknown unicast where the engine floods it
    @hidden action meter_flood() { RATE(rate, floods, hdr.bridge.vport[11:0]) meta.flood_reason = rate; }
    @hidden action no_flood() { }
    FIRST(1)
    @hidden table flood_gate {
        key = {
            meta.port.side: ternary;
            hdr.bridge.vport: ternary;
            hdr.bridge.to_group: ternary;
            hdr.ethernet.dst[40:40]: ternary @name("group");
            meta.early_reason: ternary;
            meta.flow_reason: ternary;
            meta.router_reason: ternary;
            meta.no_rewrite: ternary;
            meta.room: ternary;
            meta.location_reason: ternary;
        }
        actions = { meter_flood; no_flood; }
        const default_action = no_flood();
        const entries = {
            (_, 0, _, _, _, _, _, _, _, _): no_flood();
            (_, _, _, _, 0x40 &&& 0x40, _, _, _, _, _): no_flood();
            (_, _, _, _, 0, 0x40 &&& 0x40, _, _, _, _): no_flood();
            (SIDE_ACCESS, _, 1, _, _, _, _, _, 0, _): meter_flood();
            (SIDE_ACCESS, _, _, 1, _, _, _, _, 0, _): meter_flood();
            (SIDE_CPU, _, 1, 0, _, _, _, _, 0, _): meter_flood();
            (_, _, _, _, 0, 0, 0, 0, _, 0x40 &&& 0x40): no_flood();
            (SIDE_ACCESS, _, 1, _, _, _, _, _, _, _): meter_flood();
            (SIDE_ACCESS, _, _, 1, _, _, _, _, _, _): meter_flood();
            (SIDE_CPU, _, 1, 0, _, _, _, _, _, _): meter_flood();
        }
    }

    // --- the last word: flood rate, peer, ECN of the tunnel (RFC 6040 section 4.2), punt rate, copies.
    // The meter answers with 0, or with REASON_PUNT_RATE, which is above all reasons of punts.
    @hidden action police_keep() { }
    @hidden action police_flood() { meta.reason = REASON_FLOOD_RATE; meta.counted_reason = REASON_FLOOD_RATE; }
    @hidden action police_ecn() { meta.reason = REASON_ECN; meta.counted_reason = REASON_ECN; }
    @hidden action police_peer() { meta.reason = meta.peer_reason; meta.counted_reason = meta.peer_reason; }
    @hidden action police_packet_out() { meta.reason = REASON_BAD_PACKET_OUT; }
    @hidden action police_packet_out_peer() { meta.reason = REASON_BAD_PACKET_OUT; meta.counted_reason = meta.peer_reason; }
    @hidden action police_punt() {
        RATE(rate, punts, hdr.bridge.vport[11:0])
        meta.reason = max(meta.reason, rate);
        meta.counted_reason = max(meta.counted_reason, rate);
    }
    @hidden action police_peer_punt() {
        RATE(rate, punts, hdr.bridge.vport[11:0])
        meta.reason = max(meta.peer_reason, rate);
        meta.counted_reason = max(meta.peer_reason, rate);
    }
    @hidden action police_copy() {
        RATE(rate, punts, hdr.bridge.vport[11:0])
        meta.copy_reason = max(meta.tracked_end, rate);
    }
    FIRST(1)
    @hidden table police {
        key = {
            meta.flood_reason: ternary;
            meta.reason: ternary;
            meta.peer_reason: ternary;
            meta.port.side: ternary;
            meta.tracked: ternary;
            meta.tcp_flags: ternary;
            hdr.bridge.outer_ecn[1:0]: ternary @name("outer_ecn");
            hdr.ipv4.isValid(): ternary;
            hdr.ipv4.tos[1:0]: ternary @name("ecn4");
            hdr.ipv6.isValid(): ternary;
            hdr.ipv6.traffic_class[1:0]: ternary @name("ecn6");
        }
        actions = { police_keep; police_flood; police_ecn; police_peer; police_packet_out; police_packet_out_peer; police_punt; police_peer_punt; police_copy; }
        const default_action = police_keep();
        const entries = {
            (REASON_FLOOD_RATE, _, _, _, _, _, _, _, _, _, _): police_flood();
            (_, 0, 0, _, _, _, 3, true, 0, _, _): police_ecn();
            (_, 0, 0, _, _, _, 3, _, _, true, 0): police_ecn();
            (_, 0, 0, SIDE_ACCESS, 1, 0x01 &&& 0x01, _, _, _, _, _): police_copy();
            (_, 0, 0, SIDE_ACCESS, 1, 0x04 &&& 0x04, _, _, _, _, _): police_copy();
            (_, 0, 0, _, _, _, _, _, _, _, _): police_keep();
            (_, 0, _, SIDE_ACCESS, _, _, _, _, _, _, _): police_peer_punt();
            (_, 0, _, SIDE_CPU, _, _, _, _, _, _, _): police_packet_out_peer();
            (_, 0, _, _, _, _, _, _, _, _, _): police_peer();
            (_, 0x40 &&& 0x40, _, _, _, _, _, _, _, _, _): police_keep();
            (_, _, _, SIDE_ACCESS, _, _, _, _, _, _, _): police_punt();
            (_, _, _, SIDE_CPU, _, _, _, _, _, _, _): police_packet_out();
        }
    }
