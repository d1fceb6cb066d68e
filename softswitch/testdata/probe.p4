// A program that has one of everything a P4Runtime server must handle.
#include <core.p4>
#include <v1model.p4>

const bit<9> CPU = 510;

@controller_header("packet_in")
header packet_in_h {
    bit<9>  ingress_port;
    bit<7>  reason;
    bit<12> mark;
    bit<4>  rid;
}

@controller_header("packet_out")
header packet_out_h {
    bit<9>  egress_port;
    bit<7>  mode;
}

header ethernet_h {
    bit<48> dst;
    bit<48> src;
    bit<16> type;
}

header ipv4_h {
    bit<4>  version;
    bit<4>  ihl;
    bit<8>  tos;
    bit<16> len;
    bit<32> id_frag;
    bit<8>  ttl;
    bit<8>  proto;
    bit<16> checksum;
    bit<32> src;
    bit<32> dst;
}

struct headers {
    packet_in_h  packet_in;
    packet_out_h packet_out;
    ethernet_h   ethernet;
    ipv4_h       ipv4;
}

struct learn_t {
    bit<48> src;
    bit<9>  port;
}

struct meta_t {
    bit<7>  reason;
    bit<12> mark;
    bit<2>  color;
}

parser Parse(packet_in p, out headers h, inout meta_t m, inout standard_metadata_t s) {
    value_set<bit<16>>(4) ip_types;
    state start {
        transition select(s.ingress_port) {
            CPU: from_cpu;
            default: ethernet;
        }
    }
    state from_cpu {
        p.extract(h.packet_out);
        transition ethernet;
    }
    state ethernet {
        p.extract(h.ethernet);
        transition select(h.ethernet.type) {
            0x0800: ipv4;
            ip_types: ipv4;
            default: accept;
        }
    }
    state ipv4 {
        p.extract(h.ipv4);
        transition accept;
    }
}

control Verify(inout headers h, inout meta_t m) { apply {} }
control Compute(inout headers h, inout meta_t m) { apply {} }

control ingress(inout headers h, inout meta_t m, inout standard_metadata_t s) {
    direct_counter(CounterType.packets_and_bytes) mac_counter;
    direct_meter<bit<2>>(MeterType.packets) acl_meter;
    counter(16, CounterType.packets_and_bytes) port_counter;
    meter(8, MeterType.bytes) port_meter;
    register<bit<20>>(8) last;
    @max_group_size(16) action_selector(HashAlgorithm.crc16, 64, 16) ecmp_selector;
    action_profile(16) profile;

    action drop() { mark_to_drop(s); }
    action forward(bit<9> port) { s.egress_spec = port; }
    action flood(bit<16> group) { s.mcast_grp = group; }
    action punt(bit<7> reason, bit<12> mark) {
        m.reason = reason;
        m.mark = mark;
        s.egress_spec = CPU;
    }
    action mirror(bit<9> port, bit<32> session) {
        s.egress_spec = port;
        clone(CloneType.I2E, session);
    }
    action allow() {}
    action learn() { digest<learn_t>(1, { h.ethernet.src, s.ingress_port }); }
    action metered() { acl_meter.read(m.color); }

    table acl {
        key = {
            h.ethernet.src: ternary;
            s.ingress_port: range;
            h.ethernet.type: optional;
        }
        actions = { drop; metered; allow; }
        default_action = allow();
        meters = acl_meter;
        size = 64;
    }
    table smac {
        key = { h.ethernet.src: exact; }
        actions = { allow; @defaultonly learn; }
        default_action = learn();
        size = 64;
    }
    table mac {
        key = { h.ethernet.dst: exact; }
        actions = { forward; flood; punt; mirror; drop; @tableonly allow; }
        default_action = drop();
        counters = mac_counter;
        support_timeout = true;
        size = 1024;
    }
    table route {
        key = { h.ipv4.dst: lpm; }
        actions = { forward; drop; NoAction; }
        const default_action = NoAction();
        size = 128;
    }
    table ecmp {
        key = {
            h.ethernet.type: exact;
            h.ethernet.src: selector;
        }
        actions = { forward; drop; NoAction; }
        implementation = ecmp_selector;
        size = 16;
    }
    table indirect {
        key = { h.ethernet.type: exact; }
        actions = { forward; NoAction; }
        implementation = profile;
        size = 16;
    }
    table fixed {
        key = { h.ethernet.type: exact; }
        actions = { drop; NoAction; }
        const entries = { 0x88cc: drop(); }
    }
    table keyless {
        actions = { allow; NoAction; }
        default_action = NoAction();
    }

    apply {
        if (h.packet_out.isValid()) {
            s.egress_spec = h.packet_out.egress_port;
            h.packet_out.setInvalid();
        } else {
            port_counter.count((bit<32>)s.ingress_port);
            port_meter.execute_meter((bit<32>)s.ingress_port, m.color);
            last.write(0, (bit<20>)h.ethernet.type);
            acl.apply();
            smac.apply();
            fixed.apply();
            keyless.apply();
            mac.apply();
            if (h.ipv4.isValid()) { route.apply(); }
            ecmp.apply();
            indirect.apply();
        }
    }
}

control egress(inout headers h, inout meta_t m, inout standard_metadata_t s) {
    apply {
        if (s.egress_port == CPU) {
            h.packet_in.setValid();
            h.packet_in.ingress_port = s.ingress_port;
            h.packet_in.reason = m.reason;
            h.packet_in.mark = m.mark;
            h.packet_in.rid = (bit<4>)s.egress_rid;
        }
    }
}

control Deparse(packet_out p, in headers h) {
    apply {
        p.emit(h.packet_in);
        p.emit(h.ethernet);
        p.emit(h.ipv4);
    }
}

V1Switch(Parse(), Verify(), ingress(), egress(), Compute(), Deparse()) main;
