// The program for TNA on v1model, for tests: parser of ingress, both controls and all their tables are those of weft.p4, the units of the device are played by
// v1model's. So packets run through what is written there; what the device does with it is not known by that. Not emulated: egress's parser and both
// deparsers (the headers are handed over), and the checksum units, whose sums are those of ../v1model.
#include <core.p4>
#include <v1model.p4>

#include "../shared/ids.p4"
#include "../shared/sizes.p4"
#include "../shared/reasons.p4"
#include "../shared/headers.p4"

typedef bit<9> PortId_t;
typedef bit<10> MirrorId_t;
typedef bit<3> MirrorType_t;

struct ingress_intrinsic_metadata_t { PortId_t ingress_port; }
struct ingress_intrinsic_metadata_from_parser_t { bit<16> parser_err; }
struct ingress_intrinsic_metadata_for_deparser_t { bit<3> drop_ctl; MirrorType_t mirror_type; }
struct ingress_intrinsic_metadata_for_tm_t { PortId_t ucast_egress_port; bit<1> bypass_egress; bit<16> mcast_grp_a; }
struct egress_intrinsic_metadata_t { PortId_t egress_port; bit<16> egress_rid; bit<16> pkt_length; }
struct egress_intrinsic_metadata_from_parser_t { bit<16> parser_err; }
struct egress_intrinsic_metadata_for_deparser_t { bit<3> drop_ctl; }
struct egress_intrinsic_metadata_for_output_port_t { bit<1> unused; }

#define CPU_DEVICE_PORT 510
#include "metadata.p4"

#define COPY_FIELDS 1
struct headers_both_t {
    ingress_headers_t ig;
    egress_headers_t  eg;
}
struct metadata_both_t {
    ingress_metadata_t ig;
    egress_metadata_t  eg;
    ingress_intrinsic_metadata_for_tm_t tm;
    @field_list(COPY_FIELDS) bit<8>  copy_reason;
    @field_list(COPY_FIELDS) bit<16> copy_port;
    @field_list(COPY_FIELDS) bit<16> copy_vport;
    bit<1>  tagged;          // as it came in
    bit<16> length;
    bit<16> outer_bytes;     // of the headers of a tunnel
    bit<16> old_sum;         // over what a translation changes, before and after it
    bit<16> new_sum;
    bit<16> old_icmp;
    bit<16> new_icmp;
}

#define INGRESS_PARSER_METADATA inout ingress_metadata_t meta, in standard_metadata_t standard_metadata
#define PARSER_START state start { \
        transition select(standard_metadata.ingress_port) { \
            PORT_CPU: start_cpu; \
            PORT_UNDERLAY &&& PORT_UNDERLAY_BIT: start_underlay; \
            default: parse_port; \
        } \
    } \
    state start_cpu { meta.port.side = SIDE_CPU; transition parse_port; } \
    state start_underlay { meta.port.side = SIDE_UNDERLAY; transition parse_port; }
#define CHECKSUM_UNIT(unit)
#define CHECKSUM_ADD(unit, header)
#define CHECKSUM_VERIFY(wrong, unit)
#define COUNTER(width, index, cells, kind) counter(cells, CounterType.kind)
#define PACKETS packets
#define PACKETS_AND_BYTES packets_and_bytes
#define COUNT_AT(counter, cell) counter.count((bit<32>)(cell));
#define CELL_UNIT(width, unit)
#define CELL(unit, high, low) (high ++ low)
#define DIRECT_COUNTER direct_counter(CounterType.packets_and_bytes)
#define COUNT(counter)
#define IDLE_TIMEOUT support_timeout = true;
#define IDLE_BITS(n)
#define FIRST(n)
#define STAGE(n)
#define STAGE_FOR(n, entries)
#define METER(cells, red) meter(cells, MeterType.packets)
#define RATE(answer, meter, index) bit<2> color = 0; meter.execute_meter((bit<32>)(index), color); bit<8> answer = (color == COLOR_RED ? REASON_OF_##meter : 0);
#define BYTE_METER(cells, red) meter(cells, MeterType.bytes)
#define BYTE_RATE(answer, meter, index, beyond) RATE(answer, meter, index)
#define REASON_OF_sends REASON_SEND_RATE
#define REASON_OF_links REASON_LINK_RATE
#define REASON_OF_receives REASON_RECEIVE_RATE
#define REASON_OF_punts REASON_PUNT_RATE
#define REASON_OF_floods REASON_FLOOD_RATE
#define max(a, b) ((a) > (b) ? (a) : (b))
#define HASH_UNIT(unit)
#define FLOW_HASH(result, unit, ...) hash(result, HashAlgorithm.crc32, 16w0, { __VA_ARGS__ }, 32w0x10000);

#include "parser.p4"
#include "ingress.p4"
#include "egress.p4"

parser BothParser(packet_in pkt, out headers_both_t hdr, inout metadata_both_t meta, inout standard_metadata_t standard_metadata) {
    IngressParser() ingress_parser;
    state start {
        ingress_parser.apply(pkt, hdr.ig, meta.ig, standard_metadata);
        transition accept;
    }
}

// A list has no header that is not there: one for each length of an IPv4 header.
#define OF_ALL_LENGTHS(SUM) \
        SUM(5) \
        SUM(6, OPTIONS.options_1.words) \
        SUM(7, OPTIONS.options_2.words) \
        SUM(8, OPTIONS.options_2.words, OPTIONS.options_1.words) \
        SUM(9, OPTIONS.options_4.words) \
        SUM(10, OPTIONS.options_4.words, OPTIONS.options_1.words) \
        SUM(11, OPTIONS.options_4.words, OPTIONS.options_2.words) \
        SUM(12, OPTIONS.options_4.words, OPTIONS.options_2.words, OPTIONS.options_1.words) \
        SUM(13, OPTIONS.options_8.words) \
        SUM(14, OPTIONS.options_8.words, OPTIONS.options_1.words) \
        SUM(15, OPTIONS.options_8.words, OPTIONS.options_2.words)
#define IPV4_FIELDS(h) h.version, h.ihl, h.tos, h.total_len, h.id, h.reserved, h.dont_fragment, h.more_fragments, h.frag_offset, h.ttl, h.protocol, h.src, h.dst
#define VERIFY(words, ...) verify_checksum(hdr.ig.ipv4.isValid() && hdr.ig.ipv4.ihl == words, \
            { IPV4_FIELDS(hdr.ig.ipv4) __VA_OPT__(,) __VA_ARGS__ }, hdr.ig.ipv4.checksum, HashAlgorithm.csum16);
#define UPDATE(words, ...) update_checksum(meta.eg.fix_ipv4 == 1 && hdr.eg.ipv4.ihl == words, \
            { IPV4_FIELDS(hdr.eg.ipv4) __VA_OPT__(,) __VA_ARGS__ }, hdr.eg.ipv4.checksum, HashAlgorithm.csum16);

control BothVerifyChecksum(inout headers_both_t hdr, inout metadata_both_t meta) {
    apply {
#define OPTIONS hdr.ig
        OF_ALL_LENGTHS(VERIFY)
#undef OPTIONS
    }
}

control BothIngress(inout headers_both_t hdr, inout metadata_both_t meta, inout standard_metadata_t standard_metadata) {
    @name(".ingress") ingress() program;
    ingress_intrinsic_metadata_t intrinsic;
    ingress_intrinsic_metadata_from_parser_t from_parser;
    ingress_intrinsic_metadata_for_deparser_t for_deparser;

    apply {
        intrinsic.ingress_port = standard_metadata.ingress_port;
        from_parser.parser_err = 0;
        if (standard_metadata.parser_error != error.NoError) { from_parser.parser_err = 2; }
        meta.ig.checksum_error = standard_metadata.checksum_error == 1;
        if (hdr.ig.vlan.isValid()) { meta.tagged = 1; }
        meta.length = (bit<16>)standard_metadata.packet_length;
        if (hdr.ig.outer_ipv4.isValid()) { meta.outer_bytes = 34; }
        if (hdr.ig.outer_ipv6.isValid()) { meta.outer_bytes = 54; }
        if (hdr.ig.gre.isValid()) { meta.outer_bytes = meta.outer_bytes + 8; } else if (hdr.ig.outer_udp.isValid()) { meta.outer_bytes = meta.outer_bytes + 16; }
        for_deparser.drop_ctl = 0;
        for_deparser.mirror_type = 0;
        program.apply(hdr.ig, meta.ig, intrinsic, from_parser, for_deparser, meta.tm);
        standard_metadata.egress_spec = meta.tm.ucast_egress_port;
        standard_metadata.mcast_grp = meta.tm.mcast_grp_a;
        if (for_deparser.mirror_type == COPY_MIRROR) {
            meta.copy_reason = meta.ig.copy_reason;
            meta.copy_port = meta.ig.in_port;
            meta.copy_vport = hdr.ig.bridge.vport;
            clone_preserving_field_list(CloneType.I2E, (bit<32>)meta.ig.copy_session, COPY_FIELDS);
        }
        if (for_deparser.drop_ctl != 0) {
            standard_metadata.mcast_grp = 0;
            mark_to_drop(standard_metadata);
        }
    }
}

control BothEgress(inout headers_both_t hdr, inout metadata_both_t meta, inout standard_metadata_t standard_metadata) {
    @name(".egress") egress() program;
    egress_intrinsic_metadata_t intrinsic;
    egress_intrinsic_metadata_from_parser_t from_parser;
    egress_intrinsic_metadata_for_deparser_t for_deparser;
    egress_intrinsic_metadata_for_output_port_t for_port;
    bit<16> length;

    // The frame as ingress would have put it out: what was parsed, less what ingress has taken away.
    action handed_over() {
        hdr.eg.bridge = hdr.ig.bridge;
        hdr.eg.ethernet = hdr.ig.ethernet;
        hdr.ig.bridge.setInvalid();
        hdr.ig.ethernet.setInvalid();
    }
    action handed_over_ip() {
        hdr.eg.ipv4 = hdr.ig.ipv4;
        hdr.eg.options_8 = hdr.ig.options_8;
        hdr.eg.options_4 = hdr.ig.options_4;
        hdr.eg.options_2 = hdr.ig.options_2;
        hdr.eg.options_1 = hdr.ig.options_1;
        hdr.eg.ipv6 = hdr.ig.ipv6;
        hdr.eg.ipv6_fragment = hdr.ig.ipv6_fragment;
        hdr.ig.ipv4.setInvalid();
        hdr.ig.options_8.setInvalid();
        hdr.ig.options_4.setInvalid();
        hdr.ig.options_2.setInvalid();
        hdr.ig.options_1.setInvalid();
        hdr.ig.ipv6.setInvalid();
        hdr.ig.ipv6_fragment.setInvalid();
    }
    action handed_over_l4() {
        hdr.eg.ports = hdr.ig.ports;
        hdr.eg.tcp_rest = hdr.ig.tcp_rest;
        hdr.eg.udp_rest = hdr.ig.udp_rest;
        hdr.ig.ports.setInvalid();
        hdr.ig.tcp_rest.setInvalid();
        hdr.ig.udp_rest.setInvalid();
    }
    action handed_over_icmp() {
        hdr.eg.icmp = hdr.ig.icmp;
        hdr.ig.icmp.setInvalid();
    }

    action update_checksum_by(inout bit<16> checksum, in bit<16> before, in bit<16> after) {
        bit<32> sum = (bit<32>)(~checksum) + (bit<32>)before + (bit<32>)(~after);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        checksum = ~sum[15:0];
    }

    apply {
        intrinsic.egress_port = standard_metadata.egress_port;
        intrinsic.egress_rid = standard_metadata.egress_rid;
        for_deparser.drop_ctl = 0;
        if (standard_metadata.instance_type == 1) {
            hdr.ig.bridge.setInvalid();
            hdr.eg.copy.setValid();
            hdr.eg.copy.reason = meta.copy_reason;
            hdr.eg.copy.port = meta.copy_port;
            hdr.eg.copy.vport = meta.copy_vport;
        } else if (meta.tm.bypass_egress == 0) {
            length = meta.length + BEYOND_FRAME;
            if (meta.ig.port.side == SIDE_CPU) { length = length - 12; }
            if (meta.tagged == 1 && !hdr.ig.vlan.isValid()) { length = length - 4; }
            length = length - meta.outer_bytes;
            intrinsic.pkt_length = length;
            handed_over();
            if (hdr.eg.ethernet.ether_type == ETHERTYPE_IPV4 || hdr.eg.ethernet.ether_type == ETHERTYPE_IPV6) {
                handed_over_ip();
                if (meta.ig.ip_proto == PROTO_TCP || meta.ig.ip_proto == PROTO_UDP) {
                    handed_over_l4();
                }
                if (hdr.ig.icmp.isValid() && (hdr.ig.icmp.type == 0 || hdr.ig.icmp.type == 8 || hdr.ig.icmp.type == 128 || hdr.ig.icmp.type == 129)) { meta.eg.echo = 1; }
                if (hdr.ig.icmp.isValid() && (hdr.eg.ipv4.isValid() && meta.ig.ip_proto == PROTO_ICMP && meta.eg.echo == 1
                    || hdr.eg.ipv6.isValid() && meta.ig.ip_proto == PROTO_ICMPV6)) {
                    handed_over_icmp();
                }
            }
            hash(meta.old_sum, HashAlgorithm.csum16, 16w0, { hdr.eg.ipv4.src, hdr.eg.ipv4.dst, hdr.eg.ipv6.src, hdr.eg.ipv6.dst, hdr.eg.ports.src, hdr.eg.ports.dst }, 32w0x10000);
            hash(meta.old_icmp, HashAlgorithm.csum16, 16w0, { hdr.eg.ipv6.src, hdr.eg.ipv6.dst, hdr.eg.icmp.id }, 32w0x10000);
        }
        if (standard_metadata.instance_type == 1 || meta.tm.bypass_egress == 0) {
            program.apply(hdr.eg, meta.eg, intrinsic, from_parser, for_deparser, for_port);
            hash(meta.new_sum, HashAlgorithm.csum16, 16w0, { hdr.eg.ipv4.src, hdr.eg.ipv4.dst, hdr.eg.ipv6.src, hdr.eg.ipv6.dst, hdr.eg.ports.src, hdr.eg.ports.dst }, 32w0x10000);
            hash(meta.new_icmp, HashAlgorithm.csum16, 16w0, { hdr.eg.ipv6.src, hdr.eg.ipv6.dst, hdr.eg.icmp.id }, 32w0x10000);
            if (meta.eg.fix_tcp == 1) { update_checksum_by(hdr.eg.tcp_rest.checksum, meta.old_sum, meta.new_sum); }
            if (meta.eg.fix_udp == 1) {
                update_checksum_by(hdr.eg.udp_rest.checksum, meta.old_sum, meta.new_sum);
                if (hdr.eg.udp_rest.checksum == 0) { hdr.eg.udp_rest.checksum = 0xffff; }
            }
            if (meta.eg.fix_icmp == 1 || meta.eg.fix_icmpv6 == 1) { update_checksum_by(hdr.eg.icmp.checksum, meta.old_icmp, meta.new_icmp); }
            hdr.eg.bridge.setInvalid();
        }
        if (for_deparser.drop_ctl != 0) { mark_to_drop(standard_metadata); }
    }
}

control BothComputeChecksum(inout headers_both_t hdr, inout metadata_both_t meta) {
    apply {
        update_checksum(meta.eg.new_outer_ipv4 == 1, { IPV4_FIELDS(hdr.eg.outer_ipv4) }, hdr.eg.outer_ipv4.checksum, HashAlgorithm.csum16);
#define OPTIONS hdr.eg
        OF_ALL_LENGTHS(UPDATE)
    }
}

control BothDeparser(packet_out pkt, in headers_both_t hdr) {
    apply {
        pkt.emit(hdr.eg.packet_in);
        pkt.emit(hdr.eg.outer_ethernet);
        pkt.emit(hdr.eg.outer_ipv4);
        pkt.emit(hdr.eg.outer_ipv6);
        pkt.emit(hdr.eg.outer_udp);
        pkt.emit(hdr.eg.vxlan);
        pkt.emit(hdr.eg.geneve);
        pkt.emit(hdr.eg.gre);
        pkt.emit(hdr.eg.ethernet);
        pkt.emit(hdr.eg.port_tag);
        pkt.emit(hdr.eg.ipv4);
        pkt.emit(hdr.eg.options_8);
        pkt.emit(hdr.eg.options_4);
        pkt.emit(hdr.eg.options_2);
        pkt.emit(hdr.eg.options_1);
        pkt.emit(hdr.eg.ipv6);
        pkt.emit(hdr.eg.ipv6_fragment);
        pkt.emit(hdr.eg.ports);
        pkt.emit(hdr.eg.tcp_rest);
        pkt.emit(hdr.eg.udp_rest);
        pkt.emit(hdr.eg.icmp);
        pkt.emit(hdr.ig);
    }
}

V1Switch(BothParser(), BothVerifyChecksum(), BothIngress(), BothEgress(), BothComputeChecksum(), BothDeparser()) main;
