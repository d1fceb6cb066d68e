// The flow tables: a part of control ingress.

    @id(0x0100000e) action flow_miss() { }
    DIRECT_COUNTER flow_exact_v4_counter;
    EXACT_FLOW_ACTIONS(flow_exact_v4, 1)
    @id(0x02000009) FIRST(5) table flow_exact_v4 {
        key = {
            meta.scope: exact @name("scope") @id(1);
            hdr.ipv4.src: exact @name("src") @id(2);
            hdr.ipv4.dst: exact @name("dst") @id(3);
            meta.ip_proto: exact @name("ip_proto") @id(4);
            meta.sport: exact @name("sport") @id(5);
            meta.dport: exact @name("dport") @id(6);
            meta.frag: exact @name("frag") @id(7);
        }
        actions = { forward_flow_exact_v4; drop_flow_exact_v4; punt_flow_exact_v4; @defaultonly flow_miss; }
        const default_action = flow_miss();
        size = SIZE_FLOW_EXACT_V4;
        IDLE_TIMEOUT
        counters = flow_exact_v4_counter;
    }
    DIRECT_COUNTER flow_exact_v6_counter;
    EXACT_FLOW_ACTIONS(flow_exact_v6, 2)
    @id(0x0200000a) FIRST(4) table flow_exact_v6 {
        key = {
            meta.scope: exact @name("scope") @id(1);
            hdr.ipv6.src: exact @name("src") @id(2);
            hdr.ipv6.dst: exact @name("dst") @id(3);
            meta.ip_proto: exact @name("ip_proto") @id(4);
            meta.sport: exact @name("sport") @id(5);
            meta.dport: exact @name("dport") @id(6);
            meta.frag: exact @name("frag") @id(7);
        }
        actions = { forward_flow_exact_v6; drop_flow_exact_v6; punt_flow_exact_v6; @defaultonly flow_miss; }
        const default_action = flow_miss();
        size = SIZE_FLOW_EXACT_V6;
        IDLE_TIMEOUT
        counters = flow_exact_v6_counter;
    }
    @id(0x0100000f) action wild_miss() { meta.flow_reason = REASON_MISS_FLOW; }
    DIRECT_COUNTER flow_wild_v4_counter;
    FLOW_ACTIONS(flow_wild_v4, 3)
    @id(0x0200000b) FIRST(5) table flow_wild_v4 {
        key = {
            meta.scope: ternary @name("scope") @id(1);
            hdr.ipv4.src: ternary @name("src") @id(2);
            hdr.ipv4.dst: ternary @name("dst") @id(3);
            meta.ip_proto: ternary @name("ip_proto") @id(4);
            meta.sport: ternary @name("sport") @id(5);
            meta.dport: ternary @name("dport") @id(6);
            meta.frag: ternary @name("frag") @id(7);
        }
        actions = { forward_flow_wild_v4; drop_flow_wild_v4; punt_flow_wild_v4; @defaultonly wild_miss; }
        const default_action = wild_miss();
        size = SIZE_FLOW_WILD_V4;
        IDLE_TIMEOUT
        counters = flow_wild_v4_counter;
    }
    DIRECT_COUNTER flow_wild_v6_counter;
    FLOW_ACTIONS(flow_wild_v6, 4)
    @id(0x0200000c) FIRST(4) table flow_wild_v6 {
        key = {
            meta.scope: ternary @name("scope") @id(1);
            hdr.ipv6.src: ternary @name("src") @id(2);
            hdr.ipv6.dst: ternary @name("dst") @id(3);
            meta.ip_proto: ternary @name("ip_proto") @id(4);
            meta.sport: ternary @name("sport") @id(5);
            meta.dport: ternary @name("dport") @id(6);
            meta.frag: ternary @name("frag") @id(7);
        }
        actions = { forward_flow_wild_v6; drop_flow_wild_v6; punt_flow_wild_v6; @defaultonly wild_miss; }
        const default_action = wild_miss();
        size = SIZE_FLOW_WILD_V6;
        IDLE_TIMEOUT
        counters = flow_wild_v6_counter;
    }
    // Frames that are neither IPv4 nor IPv6, or whose fate needs the source MAC.
    DIRECT_COUNTER flow_wild_l2_counter;
    FLOW_ACTIONS(flow_wild_l2, 5)
    @id(0x0200000d) FIRST(3) table flow_wild_l2 {
        key = {
            meta.scope: ternary @name("scope") @id(1);
            hdr.ethernet.src: ternary @name("src_mac") @id(2);
            hdr.ethernet.dst: ternary @name("dst_mac") @id(3);
            meta.ether_type: ternary @name("ether_type") @id(4);
        }
        actions = { forward_flow_wild_l2; drop_flow_wild_l2; punt_flow_wild_l2; @defaultonly wild_miss; }
        const default_action = wild_miss();
        size = SIZE_FLOW_WILD_L2;
        IDLE_TIMEOUT
        counters = flow_wild_l2_counter;
    }
