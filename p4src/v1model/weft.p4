// The pipeline of a weft edge for v1model: bmv2 simple_switch_grpc and the softswitch.
//
// A frame of a vport: port_map -> src_class, dst_class, punt_class -> flow_exact_* -> flow_wild_* -> l2_guard -> location -> peer, then
// in egress: l2_rewrite -> underlay -> meters of the link and of who gets it. A frame from a tunnel goes straight from tunnel_term_* and peer_list_* to location.
// A flow names its destination (a vport or a group), never a port or a tunnel: location and peer resolve it (O1).
// Nothing in a frame is changed before it is certain that it is not punted, so that the engine sees what came in.
#include <core.p4>
#include <v1model.p4>

// What ../pna, which shares the parser and the controls, says otherwise.
#define PARSER_METADATA inout standard_metadata_t standard_metadata
#define PARSER_PORT standard_metadata.ingress_port
#define DEPARSER_METADATA
#define INGRESS_UNITS
#define EGRESS_UNITS
#define EGRESS_GUARD
#define TO_GROUP(group) standard_metadata.mcast_grp = group;
#define MARTIAN_V6 hdr.ipv6.src[127:1] == 0 || hdr.ipv6.src[127:120] == 0xff || hdr.ipv6.src[127:118] == 0x3fa
#define IDLE_TIMEOUT support_timeout = true;
#define DIRECT_COUNTER(id, counter) id direct_counter(CounterType.packets_and_bytes) counter;
#define COUNTED_BY(counter) counters = counter;
#define METER(meter, index, color) meter.execute_meter(index, color)
#define CRC32(result, ...) hash(result, HashAlgorithm.crc32, 16w0, { __VA_ARGS__ }, 32w0x10000)
#define SUM(result, ...) hash(result, HashAlgorithm.csum16, 16w0, { __VA_ARGS__ }, 32w0x10000)

#include "../shared/ids.p4"
#include "../shared/sizes.p4"
#include "../shared/reasons.p4"
#include "../shared/headers.p4"
#include "metadata.p4"
#include "parser.p4"
#include "ingress.p4"
#include "egress.p4"

control WeftVerifyChecksum(inout headers_t hdr, inout metadata_t meta) {
    // Of a vport's frame; ingress asks for the result only if a router passes it on. Few packets have options: they are summed by themselves.
    apply {
        verify_checksum(hdr.ipv4.isValid() && !hdr.ipv4_options.isValid() && !hdr.outer_ethernet.isValid(),
            { hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.tos, hdr.ipv4.total_len, hdr.ipv4.id,
              hdr.ipv4.reserved, hdr.ipv4.dont_fragment, hdr.ipv4.more_fragments, hdr.ipv4.frag_offset,
              hdr.ipv4.ttl, hdr.ipv4.protocol, hdr.ipv4.src, hdr.ipv4.dst },
            hdr.ipv4.checksum, HashAlgorithm.csum16);
        verify_checksum(hdr.ipv4_options.isValid() && !hdr.outer_ethernet.isValid(),
            { hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.tos, hdr.ipv4.total_len, hdr.ipv4.id,
              hdr.ipv4.reserved, hdr.ipv4.dont_fragment, hdr.ipv4.more_fragments, hdr.ipv4.frag_offset,
              hdr.ipv4.ttl, hdr.ipv4.protocol, hdr.ipv4.src, hdr.ipv4.dst, hdr.ipv4_options.options },
            hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control WeftComputeChecksum(inout headers_t hdr, inout metadata_t meta) {
    apply {
        update_checksum(meta.new_outer_ipv4 == 1,
            { hdr.outer_ipv4.version, hdr.outer_ipv4.ihl, hdr.outer_ipv4.tos, hdr.outer_ipv4.total_len, hdr.outer_ipv4.id,
              hdr.outer_ipv4.reserved, hdr.outer_ipv4.dont_fragment, hdr.outer_ipv4.more_fragments, hdr.outer_ipv4.frag_offset,
              hdr.outer_ipv4.ttl, hdr.outer_ipv4.protocol, hdr.outer_ipv4.src, hdr.outer_ipv4.dst },
            hdr.outer_ipv4.checksum, HashAlgorithm.csum16);
    }
}

V1Switch(WeftParser(), WeftVerifyChecksum(), ingress(), egress(), WeftComputeChecksum(), WeftDeparser()) main;
