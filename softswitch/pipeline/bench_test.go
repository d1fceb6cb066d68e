package pipeline

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// overlay is a 15-table pipeline: classification, an exact flow table of 122
// bits, location, VXLAN encapsulation with checksums.
func overlay() *asm {
	a := newAsm()
	eth := []any{"dst", 48, "src", 48, "type", 16}
	ip := []any{"version", 4, "ihl", 4, "tos", 8, "len", 16, "id", 16, "flags", 3, "frag", 13, "ttl", 8, "proto", 8, "sum", 16, "src", 32, "dst", 32}
	l4 := []any{"sport", 16, "dport", 16, "len", 16, "sum", 16}
	a.header("meta", true, "vport", 16, "scope", 16, "class", 2, "dest", 24, "vni", 24, "peer", 16, "rw", 16, "tunnel", 1, "hash", 16, "flag", 8, "sip", 32, "dip", 32)
	a.header("outer_eth", false, eth...)
	a.header("outer_ip", false, ip...)
	a.header("outer_udp", false, l4...)
	a.header("vxlan", false, "flags", 8, "r1", 24, "vni", 24, "r2", 8)
	a.header("eth", false, eth...)
	a.header("ip", false, ip...)
	a.header("l4", false, l4...)
	a.state("start", list(extractHeader("eth")), list(fld("eth", "type")), to("0x0800", "ip"), to(nil, nil))
	a.state("ip", list(extractHeader("ip"), m{"op": "verify", "parameters": list(
		ex("and", ex("==", fld("ip", "version"), hex("0x4")), ex(">=", fld("ip", "ihl"), hex("0x5"))), hex("0x4"))}),
		list(fld("ip", "proto")), to("0x11", "l4"), to("0x06", "l4"), to(nil, nil))
	a.state("l4", list(extractHeader("l4")), list(), to(nil, nil))

	a.action("drop", nil, pr("mark_to_drop", hdr("standard_metadata")))
	one := func(name, h, f string, w int) { a.action(name, []int{w}, set(h, f, arg(0))) }
	one("set_vport", "meta", "vport", 16)
	one("set_scope", "meta", "scope", 16)
	one("set_class", "meta", "class", 2)
	one("set_flag", "meta", "flag", 8)
	one("set_peer", "meta", "peer", 16)
	a.action("forward", []int{24, 16, 1}, set("meta", "dest", arg(0)), set("meta", "rw", arg(1)),
		set("ip", "ttl", ex("&", ex("-", fld("ip", "ttl"), m{"type": "local", "value": 2}), hex("0xff"))))
	a.action("tunnel", []int{16, 24, 9}, set("meta", "peer", arg(0)), set("meta", "vni", arg(1)), set("meta", "tunnel", hex("0x1")),
		set("standard_metadata", "egress_spec", arg(2)))
	a.action("underlay", []int{32, 32}, set("meta", "sip", arg(0)), set("meta", "dip", arg(1)))
	a.action("l2", []int{48, 48}, set("eth", "dst", arg(0)), set("eth", "src", arg(1)))
	a.action("hash", nil, pr("modify_field_with_hash_based_offset", fld("meta", "hash"), hex("0xc000"), m{"type": "calculation", "value": "h"}, hex("0x3fff")))
	a.action("encap", nil,
		pr("add_header", hdr("outer_eth")), pr("add_header", hdr("outer_ip")), pr("add_header", hdr("outer_udp")), pr("add_header", hdr("vxlan")),
		set("outer_eth", "dst", hex("0x020000000001")), set("outer_eth", "src", hex("0x020000000002")), set("outer_eth", "type", hex("0x0800")),
		set("outer_ip", "version", hex("0x4")), set("outer_ip", "ihl", hex("0x5")), set("outer_ip", "tos", fld("ip", "tos")),
		set("outer_ip", "len", ex("&", ex("+", fld("standard_metadata", "packet_length"), hex("0x32")), hex("0xffff"))),
		set("outer_ip", "flags", hex("0x2")), set("outer_ip", "ttl", hex("0x40")), set("outer_ip", "proto", hex("0x11")),
		set("outer_ip", "src", fld("meta", "sip")), set("outer_ip", "dst", fld("meta", "dip")),
		set("outer_udp", "sport", fld("meta", "hash")), set("outer_udp", "dport", hex("0x12b5")),
		set("outer_udp", "len", ex("&", ex("+", fld("standard_metadata", "packet_length"), hex("0x1e")), hex("0xffff"))),
		set("vxlan", "flags", hex("0x8")), set("vxlan", "vni", fld("meta", "vni")))
	var hf []any
	for _, f := range ip {
		if s, ok := f.(string); ok && s != "sum" {
			hf = append(hf, fld("outer_ip", s))
		}
	}
	a.calc("h", "crc32", fld("ip", "src"), fld("ip", "dst"), fld("ip", "proto"), fld("l4", "sport"), fld("l4", "dport"))
	a.calc("c", "csum16", hf...)
	a.sums = list(m{"name": "cs", "id": 0, "target": list("outer_ip", "sum"), "type": "generic", "calculation": "c", "verify": false, "update": true,
		"if_cond": ex("valid", nil, hdr("outer_ip"))})

	tern := m{"match_type": "ternary"}
	flow := list(key("exact", "meta", "scope"), key("exact", "ip", "src"), key("exact", "ip", "dst"), key("exact", "ip", "proto"),
		key("exact", "l4", "sport"), key("exact", "l4", "dport"), key("exact", "meta", "class"))
	a.init = "port_map"
	a.table("port_map", "src_class", list(key("exact", "standard_metadata", "ingress_port")), "drop", []string{"set_vport", "drop"}, nil)
	a.table("src_class", "dst_class", list(key("exact", "meta", "vport"), key("exact", "eth", "src")), "NoAction", []string{"set_flag", "NoAction"}, nil)
	a.table("dst_class", "punt_class", list(key("exact", "meta", "vport"), key("exact", "eth", "dst")), "NoAction", []string{"set_scope", "NoAction"}, nil)
	a.table("punt_class", "acl", list(key("ternary", "eth", "type"), key("ternary", "ip", "proto"), key("ternary", "l4", "dport")), "NoAction", []string{"set_class", "NoAction"}, tern)
	a.table("acl", "is_ip", list(key("ternary", "ip", "src"), key("ternary", "ip", "dst")), "NoAction", []string{"set_flag", "NoAction"}, tern)
	a.cond("is_ip", ex("and", ex("valid", nil, hdr("ip")), ex("valid", nil, hdr("l4"))), "flow", "location")
	a.table("flow", "location", flow, "drop", []string{"forward", "drop"}, m{"with_counters": true, "support_timeout": true})
	a.table("location", "route", list(key("exact", "meta", "dest")), "drop", []string{"tunnel", "drop"}, nil)
	a.table("route", "hash", list(key("lpm", "ip", "dst")), "NoAction", []string{"set_flag", "NoAction"}, m{"match_type": "lpm"})
	a.table("hash", nil, list(), "hash", []string{"hash"}, nil)
	a.egress = true
	a.egressInit = "replica"
	a.table("replica", "peer", list(key("exact", "standard_metadata", "egress_rid")), "NoAction", []string{"set_flag", "NoAction"}, nil)
	a.table("peer", "l2_rewrite", list(key("exact", "meta", "peer")), "drop", []string{"underlay", "drop"}, nil)
	a.table("l2_rewrite", "meter", list(key("exact", "meta", "rw")), "NoAction", []string{"l2", "NoAction"}, nil)
	a.table("meter", "tunnelled", list(key("exact", "meta", "dest")), "NoAction", []string{"set_flag", "NoAction"}, nil)
	a.cond("tunnelled", ex("==", fld("meta", "tunnel"), hex("0x1")), "encap", "final")
	a.table("encap", "final", list(), "encap", []string{"encap"}, nil)
	a.table("final", nil, list(key("exact", "standard_metadata", "egress_port")), "NoAction", []string{"set_flag", "NoAction"}, nil)
	return a
}

func be(width int, v uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return b[8-width:]
}

func exact(vs ...[]byte) []FieldMatch {
	var out []FieldMatch
	for _, v := range vs {
		out = append(out, FieldMatch{Value: v})
	}
	return out
}

func insert(t testing.TB, h *harness, table string, e Entry) {
	t.Helper()
	if err := h.tbl(t, table).Insert(e); err != nil {
		t.Fatal(err)
	}
}

func udpFrame(src, dst uint32, sport, dport uint16, payload int) []byte {
	f := append(be(6, 0x0a0000000002), be(6, 0x0a0000000001)...)
	f = append(f, 8, 0, 0x45, 0)
	f = binary.BigEndian.AppendUint16(f, uint16(28+payload))
	f = append(f, 0, 1, 0, 0, 64, 17, 0, 0)
	f = binary.BigEndian.AppendUint32(f, src)
	f = binary.BigEndian.AppendUint32(f, dst)
	f = binary.BigEndian.AppendUint16(f, sport)
	f = binary.BigEndian.AppendUint16(f, dport)
	f = binary.BigEndian.AppendUint16(f, uint16(8+payload))
	f = append(f, 0, 0)
	binary.BigEndian.PutUint16(f[24:], ^uint16(onesSum(string(f[14:34]))))
	return append(f, make([]byte, payload)...)
}

// fillOverlay adds flows exact entries and what they lead to.
func fillOverlay(t testing.TB, h *harness, flows int) {
	insert(t, h, "port_map", Entry{Match: exact(be(2, 1)), Action: "set_vport", Params: [][]byte{be(2, 7)}})
	insert(t, h, "src_class", Entry{Match: exact(be(2, 7), be(6, 0x0a0000000001)), Action: "set_flag", Params: [][]byte{{1}}})
	insert(t, h, "dst_class", Entry{Match: exact(be(2, 7), be(6, 0x0a0000000002)), Action: "set_scope", Params: [][]byte{be(2, 9)}})
	insert(t, h, "punt_class", Entry{Match: []FieldMatch{{Value: be(2, 0x800), Mask: be(2, 0xffff)}, {Value: be(1, 17), Mask: be(1, 0xff)}, {Any: true}},
		Priority: 1, Action: "set_class", Params: [][]byte{{2}}})
	insert(t, h, "acl", Entry{Match: []FieldMatch{{Value: be(4, 10<<24), Mask: be(4, 0xff<<24)}, {Any: true}}, Priority: 2, Action: "set_flag", Params: [][]byte{{3}}})
	insert(t, h, "acl", Entry{Match: []FieldMatch{{Any: true}, {Any: true}}, Priority: 1, Action: "NoAction"})
	for i := range flows {
		insert(t, h, "flow", Entry{Match: exact(be(2, 9), be(4, 10<<24+1), be(4, uint64(10<<24+1000+i)), be(1, 17), be(2, 4000), be(2, 53), be(1, 2)),
			Action: "forward", Params: [][]byte{be(3, 500), be(2, 5), be(1, 1)}})
	}
	insert(t, h, "location", Entry{Match: exact(be(3, 500)), Action: "tunnel", Params: [][]byte{be(2, 3), be(3, 0x123456), be(2, 4)}})
	for p := 8; p <= 24; p += 8 {
		insert(t, h, "route", Entry{Match: []FieldMatch{{Value: be(4, 10<<24), PrefixLen: p}}, Action: "set_flag", Params: [][]byte{be(1, uint64(p))}})
	}
	insert(t, h, "peer", Entry{Match: exact(be(2, 3)), Action: "underlay", Params: [][]byte{be(4, 0xc0a80001), be(4, 0xc0a80002)}})
	insert(t, h, "l2_rewrite", Entry{Match: exact(be(2, 5)), Action: "l2", Params: [][]byte{be(6, 0xaabbccddee01), be(6, 0xaabbccddee02)}})
}

// BenchmarkProcess is one packet through overlay: hit in the flow table, VXLAN out.
func BenchmarkProcess(b *testing.B) {
	for _, size := range []int{64, 1400} {
		b.Run(fmt.Sprintf("overlay/10kFlows/%dB", size), func(b *testing.B) {
			h := run(b, overlay(), Options{})
			fillOverlay(b, h, 10000)
			out := 0
			h.Machine.o.Emit = func(_ uint16, f []byte) { out += len(f) }
			frames := make([][]byte, 1024)
			for i := range frames {
				frames[i] = udpFrame(10<<24+1, uint32(10<<24+1000+i*9), 4000, 53, size-42)
			}
			h.Process(1, frames[0])
			if out != size+50 {
				b.Fatalf("%d bytes out", out)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				h.Process(1, frames[i&1023])
			}
		})
	}
}

// BenchmarkParallel is BenchmarkProcess on all cores.
func BenchmarkParallel(b *testing.B) {
	h := run(b, overlay(), Options{})
	fillOverlay(b, h, 10000)
	h.Machine.o.Emit = func(uint16, []byte) {}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		frame := udpFrame(10<<24+1, 10<<24+1005, 4000, 53, 22)
		for pb.Next() {
			h.Process(1, frame)
		}
	})
}

// BenchmarkInsert adds distinct exact entries of 122 bits.
func BenchmarkInsert(b *testing.B) {
	h := run(b, overlay(), Options{})
	t := h.tbl(b, "flow")
	t.d.size = 1 << 40
	e := Entry{Match: exact(be(2, 9), be(4, 1), be(4, 2), be(1, 17), be(2, 4000), be(2, 53), be(1, 2)), Action: "forward", Params: [][]byte{be(3, 500), be(2, 5), be(1, 1)}}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		e.Match[2].Value = be(4, uint64(i))
		if err := t.Insert(e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTernaryInsert adds entries of distinct priorities under 16 masks.
func BenchmarkTernaryInsert(b *testing.B) {
	h := run(b, overlay(), Options{})
	t := h.tbl(b, "acl")
	t.d.size = 1 << 40
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		mask := uint64(0xffffffff) << (i % 16) & 0xffffffff
		if err := t.Insert(Entry{Match: []FieldMatch{{Value: be(4, uint64(i)), Mask: be(4, mask)}, {Value: be(4, uint64(i)), Mask: be(4, 0xffffffff)}},
			Priority: int32(i + 1), Action: "set_flag", Params: [][]byte{{3}}}); err != nil {
			b.Fatal(err)
		}
	}
}
