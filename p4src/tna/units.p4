// The units of Tofino by the names under which the parser and the controls use them; emulation.p4 says how v1model does the same.
#define INGRESS_PARSER_METADATA out ingress_metadata_t meta, out ingress_intrinsic_metadata_t ig_intr_md
#define PARSER_START state start { \
        pkt.extract(ig_intr_md); \
        meta.port = port_metadata_unpack<port_t_metadata>(pkt); \
        transition parse_port; \
    }

#define CHECKSUM_UNIT(unit) Checksum() unit;
#define CHECKSUM_ADD(unit, header) unit.add(header);
#define CHECKSUM_VERIFY(wrong, unit) wrong = unit.verify();

#define COUNTER(width, index, cells, kind) Counter<bit<width>, bit<index>>(cells, CounterType_t.kind)
#define COUNT_AT(counter, cell) counter.count(cell);
#define CELL_UNIT(width, unit) Hash<bit<width>>(HashAlgorithm_t.IDENTITY) unit;
#define CELL(unit, high, low) unit.get({ high, low })

#define DIRECT_COUNTER DirectCounter<bit<32>>(CounterType_t.PACKETS_AND_BYTES) // two entries to a word of SRAM: the driver adds up what wraps
#define COUNT(counter) counter.count();
#define IDLE_TIMEOUT idle_timeout = true;
#define IDLE_BITS(n) @idletime_precision(n) // 3 if not said; 2 take half of the map RAM of 3
#define FIRST(n) @placement_priority(n)          // n above 0: ahead of what has none, whatever depends on that
#define STAGE(n) @stage(n)                       // not before that stage, and first there
#define STAGE_FOR(n, entries) @stage(n, entries) // the same for so many entries

// A meter answers with 0, or with the reason of what is beyond its rate.
#define METER(cells, red) Meter<bit<12>>(cells, MeterType_t.PACKETS, red, 0, 0)
#define RATE(answer, meter, index) bit<8> answer = meter.execute(index);
// The same of bytes, without those that are not the tenant's frame.
#define BYTE_METER(cells, red) Meter<bit<12>>(cells, MeterType_t.BYTES, red, 0, 0)
#define BYTE_RATE(answer, meter, cell, beyond) bit<8> answer = meter.execute(index = cell, adjust_byte_count = beyond);

#define HASH_UNIT(unit) Hash<bit<16>>(HashAlgorithm_t.CRC32) unit;
#define FLOW_HASH(result, unit, ...) result = unit.get({ __VA_ARGS__ });
