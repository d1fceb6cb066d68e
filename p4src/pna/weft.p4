// The pipeline of a weft edge for PNA, as p4c-dpdk compiles it for the software switch of DPDK: the parser and the controls of ../v1model, one behind the other in
// the one main control that there is, between the adapters below. What the architecture can't do is listed in docs/hardware.md.
#include <core.p4>
#include <dpdk/pna.p4>

#include "../shared/ids.p4"
#include "../shared/sizes.p4"
#include "../shared/reasons.p4"
#include "../shared/headers.p4"
#include "../v1model/metadata.p4"

// What the controls know of v1model's standard metadata. Lengths are those of the IP packet: the architecture tells no other.
struct standard_metadata_t {
    port_t  ingress_port;
    port_t  egress_spec;
    port_t  egress_port;
    bit<16> mcast_grp;
    bit<16> egress_rid;
    bit<32> packet_length;
    error   parser_error;
    bit<1>  checksum_error;
}

#define counter(cells, kind) Counter<bit<64>, bit<32>>(cells, kind)
#define meter(cells, kind) Meter<bit<32>>(cells, kind)
#define CounterType PNA_CounterType_t
#define MeterType PNA_MeterType_t
#define packets_and_bytes PACKETS_AND_BYTES
#define packets PACKETS
#define bytes BYTES
// Tables whose keys are of headers and metadata are all searched with masks, and such have no counters of their own.
#define DIRECT_COUNTER(id, counter)
#define COUNTED_BY(counter)
#define count(cell) count(cell, standard_metadata.packet_length)
#define IDLE_TIMEOUT pna_idle_timeout = PNA_IdleTimeout_t.NOTIFY_CONTROL;
#define METER(meter, index, color) if (meter.dpdk_execute(index, standard_metadata.packet_length) == PNA_MeterColor_t.RED) { color = COLOR_RED; } else { color = 0; }
#define CRC32(result, ...) result = (bit<16>)crc32.get_hash({ __VA_ARGS__ })
#define SUM(result, ...) addresses_sum.clear(); addresses_sum.add({ __VA_ARGS__ }); result = addresses_sum.get()
#define mark_to_drop(metadata) metadata.egress_spec = PORT_DROP
#define clone_preserving_field_list(kind, session, fields)
#define PARSER_METADATA in pna_main_parser_input_metadata_t istd
#define PARSER_PORT (port_t)(PortIdUint_t)istd.input_port
#define DEPARSER_METADATA , in metadata_t meta, in pna_main_output_metadata_t ostd
// Neither slices nor constants of 128 bits.
#define MARTIAN_V6 false
#define INGRESS_UNITS Hash<bit<32>>(PNA_HashAlgorithm_t.CRC32) crc32;
#define EGRESS_UNITS InternetChecksum() addresses_sum;
// There is no replication: the engine sends the copies.
#define TO_GROUP(group) meta.location_reason = REASON_NO_LOCATION;
// The outer header needs a length, which only IP packets tell.
#define EGRESS_GUARD if (meta.path != 0) { if (hdr.ipv4.isValid() || hdr.ipv6.isValid()) { } else { meta.egress_reason = REASON_FRAME_LENGTH; } }

#include "../v1model/parser.p4"
#include "../v1model/ingress.p4"
#include "../v1model/egress.p4"

#define PORTS_1(n) (n): send((PortId_t)(n));
#define PORTS_8(n) PORTS_1(n) PORTS_1(n + 1) PORTS_1(n + 2) PORTS_1(n + 3) PORTS_1(n + 4) PORTS_1(n + 5) PORTS_1(n + 6) PORTS_1(n + 7)
#define PORTS_64(n) PORTS_8(n) PORTS_8(n + 8) PORTS_8(n + 16) PORTS_8(n + 24) PORTS_8(n + 32) PORTS_8(n + 40) PORTS_8(n + 48) PORTS_8(n + 56)

control WeftPreControl(in headers_t hdr, inout metadata_t meta, in pna_pre_input_metadata_t istd, inout pna_pre_output_metadata_t ostd) {
    apply { }
}

control WeftControl(inout headers_t hdr, inout metadata_t meta, in pna_main_input_metadata_t istd, inout pna_main_output_metadata_t ostd) {
    @name(".ingress") ingress() first;
    @name(".egress") egress() then;
    InternetChecksum() header_sum;
    standard_metadata_t standard_metadata;

    // A packet is sent to a port that an action is told, not to one that is in a field: to get there takes a table of all ports.
    @hidden action send(PortId_t port) { send_to_port(port); }
    @hidden action drop() { drop_packet(); }
    @hidden table out_port {
        key = { standard_metadata.egress_spec: exact; }
        actions = { send; drop; }
        const default_action = drop();
        const entries = {
            PORTS_64(0) PORTS_64(64) PORTS_64(128) PORTS_64(192) PORTS_64(256) PORTS_64(320) PORTS_64(384)
            PORTS_8(448) PORTS_8(456) PORTS_8(464) PORTS_8(472) PORTS_8(480) PORTS_8(488) PORTS_8(496)
            PORTS_1(504) PORTS_1(505) PORTS_1(506) PORTS_1(507) PORTS_1(508) PORTS_1(509) PORTS_1(510)
        }
    }

    // Length of the frame as far as its IP header tells; of others that of the shortest.
    @hidden action length() {
        standard_metadata.packet_length = 60;
        if (hdr.ipv4.isValid()) { standard_metadata.packet_length = (bit<32>)hdr.ipv4.total_len + 14; }
        if (hdr.ipv6.isValid()) { standard_metadata.packet_length = (bit<32>)hdr.ipv6.payload_len + 54; }
        if (hdr.vlan.isValid()) { standard_metadata.packet_length = standard_metadata.packet_length + 4; }
        if (hdr.packet_out.isValid()) { standard_metadata.packet_length = standard_metadata.packet_length + 12; }
        if (hdr.outer_ipv4.isValid()) { standard_metadata.packet_length = standard_metadata.packet_length + 34; }
        if (hdr.outer_ipv6.isValid()) { standard_metadata.packet_length = standard_metadata.packet_length + 54; }
        if (hdr.outer_udp.isValid()) { standard_metadata.packet_length = standard_metadata.packet_length + 16; }
        if (hdr.gre.isValid()) { standard_metadata.packet_length = standard_metadata.packet_length + 8; }
        if (hdr.geneve_options.isValid()) { standard_metadata.packet_length = standard_metadata.packet_length + ((bit<32>)hdr.geneve.opt_len << 2); }
    }

    apply {
        standard_metadata.ingress_port = (port_t)(PortIdUint_t)istd.input_port;
        standard_metadata.egress_spec = 0;
        standard_metadata.mcast_grp = 0;
        standard_metadata.egress_rid = 0;
        standard_metadata.parser_error = istd.parser_error;
        standard_metadata.checksum_error = 0;
        length();
        if (hdr.ipv4.isValid() && !hdr.ipv4_options.isValid()) {
            header_sum.clear();
            header_sum.add({ hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.tos, hdr.ipv4.total_len, hdr.ipv4.id,
                hdr.ipv4.reserved, hdr.ipv4.dont_fragment, hdr.ipv4.more_fragments, hdr.ipv4.frag_offset,
                hdr.ipv4.ttl, hdr.ipv4.protocol, hdr.ipv4.checksum, hdr.ipv4.src, hdr.ipv4.dst });
            if (header_sum.get() != 0) { standard_metadata.checksum_error = 1; }
        }
        first.apply(hdr, meta, standard_metadata);
        if (standard_metadata.egress_spec != PORT_DROP) {
            standard_metadata.egress_port = standard_metadata.egress_spec;
            then.apply(hdr, meta, standard_metadata);
        }
        if (meta.new_outer_ipv4 == 1) {
            header_sum.clear();
            header_sum.add({ hdr.outer_ipv4.version, hdr.outer_ipv4.ihl, hdr.outer_ipv4.tos, hdr.outer_ipv4.total_len, hdr.outer_ipv4.id,
                hdr.outer_ipv4.reserved, hdr.outer_ipv4.dont_fragment, hdr.outer_ipv4.more_fragments, hdr.outer_ipv4.frag_offset,
                hdr.outer_ipv4.ttl, hdr.outer_ipv4.protocol, hdr.outer_ipv4.src, hdr.outer_ipv4.dst });
            hdr.outer_ipv4.checksum = header_sum.get();
        }
        out_port.apply();
    }
}

PNA_NIC(WeftParser(), WeftPreControl(), WeftControl(), WeftDeparser()) main;
