package pipeline

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// switchProgram has header x {op, v, n}; table ops (exact on op) runs one of
// the given actions; egress table eops (exact on op and instance type) too.
func switchProgram(actions, eactions map[string][]any) *asm {
	a := newAsm()
	a.header("x", false, "op", 8, "v", 8, "n", 16)
	a.header("meta", true, "keep", 16, "lost", 16, "colour", 8)
	a.state("start", list(extractHeader("x")), list(), to(nil, nil))
	var names, enames []string
	for n, prims := range actions {
		a.action(n, nil, prims...)
		names = append(names, n)
	}
	for n, prims := range eactions {
		a.action(n, nil, prims...)
		enames = append(enames, n)
	}
	a.lists = list(m{"id": 1, "name": "l", "elements": list(fld("meta", "keep"))})
	a.init = "ops"
	a.table("ops", nil, list(key("exact", "x", "op"), key("exact", "standard_metadata", "instance_type")), "NoAction", append(names, "NoAction"), nil)
	a.egress, a.egressInit = true, "eops"
	a.table("eops", nil, list(key("exact", "x", "op"), key("exact", "standard_metadata", "instance_type")), "NoAction", append(enames, "NoAction"), nil)
	return a
}

func (h *harness) when(t testing.TB, table string, op, instance int, action string) {
	t.Helper()
	insert(t, h, table, Entry{Match: exact(be(1, uint64(op)), be(4, uint64(instance))), Action: action})
}

func frames(out []emission) []string {
	var s []string
	for _, e := range out {
		s = append(s, fmt.Sprintf("%d:%x", e.Port, e.Frame))
	}
	return s
}

func check(t *testing.T, what string, got []emission, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, frames(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func meta(f string) m { return fld("standard_metadata", f) }

func TestReplication(t *testing.T) {
	h := run(t, switchProgram(map[string][]any{
		"unicast":  {set("standard_metadata", "egress_spec", hex("0x5"))},
		"drop":     {pr("mark_to_drop", hdr("standard_metadata"))},
		"flood":    {set("standard_metadata", "egress_spec", hex("0x1ff")), set("standard_metadata", "mcast_grp", hex("0x7"))},
		"unflood":  {set("standard_metadata", "mcast_grp", hex("0x7")), pr("mark_to_drop", hdr("standard_metadata"))},
		"clone":    {set("x", "v", hex("0xee")), set("meta", "keep", hex("0x1234")), set("meta", "lost", hex("0x99")), set("standard_metadata", "egress_spec", hex("0x3")), pr("clone_ingress_pkt_to_egress", hex("0x64"), hex("0x1"))},
		"resubmit": {set("meta", "keep", hex("0x55")), set("x", "v", hex("0xaa")), pr("resubmit", hex("0x1"))},
		"after":    {set("x", "n", ex("+", fld("meta", "keep"), fld("standard_metadata", "packet_length"))), set("standard_metadata", "egress_spec", fld("standard_metadata", "ingress_port"))},
	}, map[string][]any{
		"rid":    {set("x", "n", meta("egress_rid"))},
		"kept":   {set("x", "n", fld("meta", "keep")), set("x", "v", ex("|", fld("x", "v"), ex("&", fld("meta", "lost"), hex("0xff"))))},
		"edrop":  {pr("mark_to_drop", hdr("standard_metadata"))},
		"eclone": {set("x", "v", hex("0x77")), set("meta", "keep", hex("0xbeef")), pr("clone_egress_pkt_to_egress", hex("0x64"), hex("0x1"))},
		"recirc": {set("x", "op", hex("0x0a")), set("meta", "keep", hex("0x0100")), pr("recirculate", hex("0x1"))},
	}), Options{})
	h.SetMulticast(7, []Replica{{Port: 1, RID: 11}, {Port: 2, RID: 12}, {Port: 2, RID: 13}})
	h.SetClone(100, CloneSession{Replicas: []Replica{{Port: 9, RID: 1}}})
	for op, act := range map[int]string{1: "unicast", 2: "drop", 3: "flood", 4: "unflood", 5: "clone", 6: "resubmit", 7: "unicast", 8: "unicast", 9: "unicast"} {
		h.when(t, "ops", op, instNormal, act)
	}
	h.when(t, "ops", 6, instResubmit, "after")
	h.when(t, "ops", 10, instRecirc, "after")
	h.when(t, "eops", 3, instReplication, "rid")
	h.when(t, "eops", 5, instIngressClone, "kept")
	h.when(t, "eops", 7, instNormal, "edrop")
	h.when(t, "eops", 8, instNormal, "eclone")
	h.when(t, "eops", 8, instEgressClone, "kept")
	h.when(t, "eops", 9, instNormal, "recirc")
	in := func(op byte) []emission { return h.send(4, []byte{op, 0xcc, 0, 0, 0xff}) }
	check(t, "unicast", in(1), "5:01cc0000ff")
	check(t, "drop", in(2))
	check(t, "multicast", in(3), "1:03cc000bff", "2:03cc000cff", "2:03cc000dff")
	check(t, "drop after multicast", in(4))
	check(t, "ingress clone", in(5), "9:05cc1234ff", "3:05ee0000ff")
	check(t, "resubmit", in(6), "4:06cc005aff")
	check(t, "egress drop", in(7))
	check(t, "egress clone", in(8), "5:08770000ff", "9:0877beefff")
	check(t, "recirculate", in(9), "4:0acc0105ff")
	h.SetClone(100, CloneSession{Replicas: []Replica{{Port: 9}}, Truncate: 4})
	check(t, "truncated clone", in(5), "9:05cc1234", "3:05ee0000ff")
	h.SetMulticast(7, nil)
	check(t, "empty group", in(3))
	if !h.DeleteMulticast(7) || h.DeleteMulticast(7) || !h.DeleteClone(100) {
		t.Error("delete")
	}
	check(t, "no session", in(5), "3:05ee0000ff")
	in(3)
	if s := h.Stats(); s.NoClone != 1 || s.NoGroup != 1 || s.Dropped != 3 {
		t.Errorf("stats %+v", s)
	}
}

// TestLoops: packets that resubmit, recirculate or clone themselves forever are given up.
func TestLoops(t *testing.T) {
	h := run(t, switchProgram(map[string][]any{"resubmit": {pr("resubmit", hex("0x0"))}},
		map[string][]any{"recirc": {pr("recirculate", hex("0x0"))}, "eclone": {pr("clone_egress_pkt_to_egress", hex("0x1"), hex("0x0"))}}), Options{})
	h.SetClone(1, CloneSession{Replicas: []Replica{{Port: 1}, {Port: 2}}})
	h.when(t, "ops", 1, instNormal, "resubmit")
	h.when(t, "ops", 1, instResubmit, "resubmit")
	h.when(t, "eops", 2, instNormal, "recirc")
	h.when(t, "eops", 3, instNormal, "eclone")
	h.when(t, "eops", 3, instEgressClone, "eclone")
	for op := range 4 {
		h.send(1, []byte{byte(op), 0, 0, 0})
	}
	if s := h.Stats(); s.Loops == 0 || s.Received != 4 {
		t.Errorf("stats %+v", s)
	}
	if n := len(h.out); n > maxCopies+1 {
		t.Errorf("%d frames out of one", n)
	}
}

func TestParserErrors(t *testing.T) {
	a := newAsm()
	a.header("e", false, "code", 8, "csum", 8)
	a.header("x", false, "n", 8)
	a.header("v", false, "len", 8, "body", 0, "tail", 8)
	a.instance("s0", "x_t", false)
	a.instance("s1", "x_t", false)
	a.stack("s", "x_t", "s0", "s1")
	length := ex("<<", fld("x", "n"), hex("0x3"))
	a.state("start", list(extractHeader("x")), list(fld("x", "n")), to("0xf0", "stack"), to("0xf1", "bad"), to("0xf2", "adv"), to("0xf3", "loop"), to(nil, "var"))
	a.state("var", list(m{"op": "extract_VL", "parameters": list(m{"type": "regular", "value": "v"}, length)}), list(), to(nil, nil))
	a.state("stack", list(m{"op": "extract", "parameters": list(m{"type": "stack", "value": "s"})}), list(m{"type": "stack_field", "value": list("s", "n")}),
		to("0x01", "stack"), to(nil, nil))
	a.state("bad", list(m{"op": "verify", "parameters": list(ex("==", fld("x", "n"), hex("0x0")), hex("0x4"))}), list(), to(nil, nil))
	a.state("adv", list(m{"op": "advance", "parameters": list(hex("0x18"))}, m{"op": "advance", "parameters": list(hex("0x3"))}), list(), to(nil, nil))
	a.state("loop", list(), list(m{"type": "lookahead", "value": list(4, 8)}), to("0xab", "loop"), to(nil, nil))
	a.action("out", nil, pr("add_header", hdr("e")), set("e", "code", meta("parser_error")), set("standard_metadata", "egress_spec", hex("0x1")))
	a.init = "t"
	a.table("t", nil, list(), "out", []string{"out"}, nil)
	h := run(t, a, Options{})
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "0100"},
		{"varbit", "02" + "02aabbcc", "0000" + "02" + "02aabbcc"},
		{"empty varbit", "00" + "02cc", "0000" + "00" + "02cc"},
		{"varbit and payload", "01" + "02aabbccdd", "0000" + "01" + "02aabbccdd"},
		{"varbit too short", "03" + "02aabb", "0100" + "03" + "02aabb"},
		{"varbit too long", "29" + strings.Repeat("00", 60), "0400" + "29" + strings.Repeat("00", 60)},
		{"stack", "f0" + "010299", "0000" + "f0" + "010299"},
		{"stack overflow", "f0" + "0101010101", "0300" + "f0" + "0101010101"},
		{"verify", "f1" + "55", "0400" + "f1" + "55"},
		{"advance is lost", "f2" + "01020304", "0600" + "f2" + "04"},
		{"advance too far", "f2" + "0102", "0100" + "f2" + "0102"},
		{"timeout", "f3" + "0ab0", "0500" + "f3" + "0ab0"},
		{"lookahead too short", "f3" + "0a", "0100" + "f3" + "0a"},
	} {
		var in []byte
		if _, err := fmt.Sscanf(tc.in+" ", "%x", &in); err != nil && tc.in != "" {
			t.Fatal(err)
		}
		want := "1:" + tc.want
		check(t, tc.name, h.send(3, in), want)
	}
}

func TestStacks(t *testing.T) {
	a := newAsm()
	a.header("c", false, "op", 8, "i", 8)
	a.header("x", false, "n", 8)
	for i := range 4 {
		a.instance(fmt.Sprintf("s%d", i), "x_t", false)
	}
	a.stack("s", "x_t", "s0", "s1", "s2", "s3")
	a.state("start", list(extractHeader("c")), list(m{"type": "lookahead", "value": list(0, 8)}), to("0x00", nil), to(nil, "next"))
	a.state("next", list(m{"op": "extract", "parameters": list(m{"type": "stack", "value": "s"})}), list(m{"type": "lookahead", "value": list(0, 8)}), to("0x00", nil), to(nil, "next"))
	st := m{"type": "header_stack", "value": "s"}
	elem := func(i any) m { return ex("dereference_header_stack", st, i) }
	field := func(h any) m { return m{"type": "expression", "value": m{"op": "access_field", "left": h, "right": 0}} }
	acts := [][]any{
		{pr("push", st, hex("0x1")), pr("add_header", hdr("s0")), set("s0", "n", hex("0xee"))},
		{pr("pop", st, hex("0x2"))},
		{pr("assign", field(elem(fld("c", "i"))), ex("+", field(elem(fld("c", "i"))), hex("0x10")))},
		{set("c", "i", ex("last_stack_index", nil, st)), pr("remove_header", elem(fld("c", "i")))},
		{set("c", "i", ex("size_stack", nil, st)), pr("assign", m{"type": "stack_field", "value": list("s", "n")}, hex("0x77"))},
		{pr("push", st, hex("0x9"))},
		{pr("assign_header", hdr("s3"), hdr("s0")), set("c", "i", ex("b2d", nil, ex("==", hdr("s3"), hdr("s0"))))},
	}
	var names []string
	for i, p := range acts {
		names = append(names, fmt.Sprintf("a%d", i))
		a.action(names[i], nil, append(p, set("standard_metadata", "egress_spec", hex("0x1")))...)
	}
	a.init = "t"
	a.table("t", nil, list(key("exact", "c", "op")), "NoAction", append(names, "NoAction"), nil)
	h := run(t, a, Options{})
	for i, n := range names {
		insert(t, h, "t", Entry{Match: exact([]byte{byte(i)}), Action: n})
	}
	for _, tc := range []struct{ name, in, want string }{
		{"push", "00aa010200ff", "00aaee010200ff"},
		{"pop", "010001020300ff", "01000300ff"},
		{"indexed", "020101020300ff", "020101120300ff"},
		{"index of an absent element", "020301020300ff", "020301020300ff"},
		{"index out of range", "02ff01020300ff", "02ff01020300ff"},
		{"last index, remove", "030001020300ff", "0302010200ff"},
		{"size, last field", "040001020300ff", "040301027700ff"},
		{"push more than there is", "050001020300ff", "050000ff"},
		{"copy", "060001020300ff", "06010102030100ff"},
		{"copy of an invalid header", "060000ff", "060000ff"},
	} {
		var in []byte
		fmt.Sscanf(tc.in, "%x", &in)
		check(t, tc.name, h.send(3, in), "1:"+tc.want)
	}
}

func TestChecksums(t *testing.T) {
	a := newAsm()
	a.header("h", false, "a", 4, "b", 12, "sum", 16, "v", 16, "bad", 8, "pad", 8)
	in := list(fld("h", "a"), fld("h", "b"), fld("h", "v"))
	a.calc("plain", "csum16", in...)
	a.calc("full", "csum16", append(in, m{"type": "hexstr", "value": "0x11", "bitwidth": 16}, m{"type": "payload"})...)
	a.state("start", list(extractHeader("h")), list(), to(nil, nil))
	a.sums = list(
		m{"name": "v", "target": list("h", "sum"), "type": "generic", "calculation": "plain", "verify": true, "update": false},
		m{"name": "u", "target": list("h", "sum"), "type": "generic", "calculation": "full", "verify": false, "update": true, "if_cond": ex("==", fld("h", "bad"), hex("0x0"))})
	a.action("out", nil, set("h", "bad", meta("checksum_error")))
	a.init = "t"
	a.table("t", nil, list(), "out", []string{"out"}, nil)
	h := run(t, a, Options{})
	sum := func(words ...uint32) uint16 {
		s := uint32(0)
		for _, w := range words {
			s += w
		}
		return ^uint16(s + s>>16)
	}
	frame := func(sum uint16, bad byte) []byte {
		f := binary.BigEndian.AppendUint16([]byte{0x12, 0x34}, sum)
		return append(f, 0xab, 0xcd, bad, 0, 0x80, 0x01, 0x05)
	}
	good, full := sum(0x1234, 0xabcd), sum(0x1234, 0xabcd, 0x11, 0x8001, 0x0500)
	check(t, "good", h.send(1, frame(good, 0)), fmt.Sprintf("0:%x", frame(full, 0)))
	check(t, "bad", h.send(1, frame(good+1, 0)), fmt.Sprintf("0:%x", frame(good+1, 1)))
}

func TestHashes(t *testing.T) {
	data := []byte("123456789")
	for name, want := range map[string]uint64{"crc32": 0xcbf43926, "crc32_custom": 0xcbf43926, "crc16": 0xbb3d, "crcCCITT": 0x29b1,
		"xor16": 0x3132 ^ 0x3334 ^ 0x3536 ^ 0x3738 ^ 0x3900, "identity": 0x3132333435363738, "csum16": 0 /* computed below */} {
		if name == "csum16" {
			s := 0x3132 + 0x3334 + 0x3536 + 0x3738 + 0x3900
			want = uint64(^uint16(s + s>>16))
		}
		if got := algorithm(name)(data); got != want {
			t.Errorf("%s: %#x, want %#x", name, got, want)
		}
	}
	if algorithm("no such") != nil {
		t.Error("unknown algorithm found")
	}
}

func TestExterns(t *testing.T) {
	a := switchProgram(map[string][]any{
		"reg": {pr("register_read", fld("meta", "keep"), object("register_array", "r"), fld("x", "v")), set("x", "n", fld("meta", "keep")),
			pr("register_write", object("register_array", "r"), fld("x", "v"), ex("+", fld("meta", "keep"), hex("0x3")))},
		"count":  {pr("count", object("counter_array", "c"), fld("x", "v"))},
		"meter":  {pr("execute_meter", object("meter_array", "m"), fld("x", "v"), fld("meta", "colour")), set("x", "n", fld("meta", "colour"))},
		"log":    {pr("log_msg", object("string", `v={} \{x\} n={}`), m{"type": "parameters_vector", "value": list(fld("x", "v"), fld("x", "n"))})},
		"assert": {pr("assert", m{"type": "expression", "value": ex("b2d", nil, ex("==", fld("x", "v"), hex("0x1")))})},
		"digest": {pr("generate_digest", hex("0x1"), hex("0x2"))},
		"trunc":  {pr("truncate", hex("0x3"))},
		"exit":   {pr("exit"), set("x", "v", hex("0x9"))},
		"jump": {pr("_jump_if_zero", fld("x", "v"), hex("0x3")), set("x", "n", hex("0x1")), pr("_jump", hex("0x4")), set("x", "n", hex("0x2")),
			set("x", "v", hex("0xff"))},
		"loop": {pr("_jump", hex("0x0"))},
		"rand": {pr("modify_field_rng_uniform", fld("x", "n"), hex("0x10"), hex("0x12"))},
	}, nil)
	a.registers = list(m{"name": "r", "id": 0, "size": 4, "bitwidth": 16})
	a.counters = list(m{"name": "c", "id": 0, "size": 4, "is_direct": false})
	a.meters = list(m{"name": "m", "id": 0, "size": 4, "is_direct": false, "type": "packets", "rate_count": 2})
	a.learn = list(m{"id": 2, "name": "learn_t", "elements": list(fld("x", "n"), meta("ingress_port"))})
	var logged, digests []string
	h := run(t, a, Options{Log: func(s string) { logged = append(logged, s) },
		Digest: func(n string, f [][]byte) { digests = append(digests, fmt.Sprintf("%s %x", n, f)) }})
	for i, n := range []string{"reg", "count", "meter", "log", "assert", "digest", "trunc", "exit", "jump", "loop", "rand"} {
		h.when(t, "ops", i, instNormal, n)
	}
	r, _ := h.Register("r")
	if err := r.Write(2, []byte{0xff, 0xfe}); err != nil {
		t.Fatal(err)
	}
	check(t, "register", h.send(1, []byte{0, 2, 0, 0}), "0:0002fffe")
	check(t, "register again", h.send(1, []byte{0, 2, 0, 0}), "0:00020001")
	check(t, "register out of range", h.send(1, []byte{0, 4, 0, 0}), "0:00040000")
	if v, err := r.Read(2); err != nil || v[1] != 4 {
		t.Errorf("register %x %v", v, err)
	}
	h.send(1, []byte{1, 3, 0, 0, 9})
	h.send(1, []byte{1, 4, 0, 0, 9})
	c, _ := h.Counter("c")
	if n, err := c.Read(3); err != nil || n != (Count{1, 5}) {
		t.Errorf("counter %+v %v", n, err)
	}
	if _, err := c.Read(4); err == nil {
		t.Error("counter read out of range")
	}
	mt, _ := h.Meter("m")
	if err := mt.Write(1, MeterConfig{CIR: 1, CBurst: 1, PIR: 1, PBurst: 2}); err != nil {
		t.Fatal(err)
	}
	check(t, "green", h.send(1, []byte{2, 1, 0, 0}), "0:02010000")
	check(t, "yellow", h.send(1, []byte{2, 1, 0, 0}), "0:02010001")
	check(t, "red", h.send(1, []byte{2, 1, 0, 0}), "0:02010002")
	h.send(1, []byte{3, 7, 1, 0})
	h.send(1, []byte{4, 1, 0, 0})
	h.send(1, []byte{4, 2, 0, 0})
	if d := cmp.Diff([]string{"v=7 {x} n=256", "assert failed:  (:0)"}, logged); d != "" || h.Stats().Asserts != 1 {
		t.Error(d)
	}
	h.send(6, []byte{5, 0, 0xab, 0xcd})
	if d := cmp.Diff([]string{"learn_t [abcd 0006]"}, digests); d != "" {
		t.Error(d)
	}
	check(t, "truncate", h.send(1, []byte{6, 1, 2, 3, 4, 5}), "0:060102")
	check(t, "exit ends the control after the action", h.send(1, []byte{7, 1, 0, 0}), "0:07090000")
	check(t, "jump over else", h.send(1, []byte{8, 1, 0, 0}), "0:08ff0001")
	check(t, "jump to else", h.send(1, []byte{8, 0, 0, 0}), "0:08ff0002")
	check(t, "endless action", h.send(1, []byte{9, 0, 0, 0}), "0:09000000")
	seen := map[byte]bool{}
	for range 200 {
		seen[h.send(1, []byte{10, 0, 0, 0})[0].Frame[3]] = true
	}
	if len(seen) != 3 || !seen[0x10] || !seen[0x12] {
		t.Errorf("random values %v", seen)
	}
}

func TestSelector(t *testing.T) {
	a := matcher([2]string{"exact", "exact"}, m{"type": "indirect_ws", "action_profile": "p"})
	delete(a.tables[0].(m), "default_entry")
	a.profiles = list(m{"name": "p", "id": 0, "max_size": 4, "selector": m{"algo": "identity", "input": list(fld("x", "b"))}})
	h := run(t, a, Options{})
	p, ok := h.Profile("p")
	if !ok || !p.IsSelector() {
		t.Fatal("no selector")
	}
	for id := uint32(1); id <= 3; id++ {
		act, params := mark(int(id) * 10)
		if err := p.InsertMember(Member{ID: id, Action: act, Params: params}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.InsertGroup(Group{ID: 5, Members: []GroupMember{{1, 2}, {2, 1}}}); err != nil {
		t.Fatal(err)
	}
	insert(t, h, "t", Entry{Match: exact(be(4, 1), []byte{0}), Group: 5})
	insert(t, h, "t", Entry{Match: exact(be(4, 1), []byte{1}), Group: 5})
	insert(t, h, "t", Entry{Match: exact(be(4, 1), []byte{2}), Group: 5})
	insert(t, h, "t", Entry{Match: exact(be(4, 2), []byte{0}), Member: 3})
	got := []int{markOf(h, 1, 0), markOf(h, 1, 1), markOf(h, 1, 2), markOf(h, 2, 0)}
	if d := cmp.Diff([]int{10, 10, 20, 30}, got); d != "" {
		t.Error(d)
	}
	for what, err := range map[string]error{
		"member in a group":    p.DeleteMember(1),
		"member of an entry":   p.DeleteMember(3),
		"group of an entry":    p.DeleteGroup(5),
		"second member":        p.InsertMember(Member{ID: 1, Action: "NoAction"}),
		"unknown member":       p.ModifyGroup(Group{ID: 5, Members: []GroupMember{{9, 1}}}),
		"entry with an action": h.tbl(t, "t").Insert(Entry{Match: exact(be(4, 3), []byte{0}), Action: "NoAction"}),
		"entry, unknown group": h.tbl(t, "t").Insert(Entry{Match: exact(be(4, 3), []byte{0}), Group: 6}),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	act, params := mark(99)
	if err := p.ModifyMember(Member{ID: 3, Action: act, Params: params}); err != nil || markOf(h, 2, 0) != 99 {
		t.Errorf("modified member: %v", err)
	}
	if err := p.ModifyGroup(Group{ID: 5}); err != nil || markOf(h, 1, 0) != 0 {
		t.Errorf("empty group: %v", err)
	}
	if err := p.DeleteMember(1); err != nil {
		t.Errorf("member no longer used: %v", err)
	}
	s, _ := h.tbl(t, "t").Read(exact(be(4, 1), []byte{0}), 0)
	if s.Group != 5 || s.Action != "" {
		t.Errorf("read %+v", s)
	}
	h.tbl(t, "t").Clear()
	if err := p.DeleteGroup(5); err != nil {
		t.Errorf("group no longer used: %v", err)
	}
}

func TestValueSet(t *testing.T) {
	a := newAsm()
	a.header("x", false, "a", 16, "b", 8)
	a.header("y", false, "n", 8)
	a.vsets = list(m{"name": "vs", "id": 0, "compressed_bitwidth": 24, "max_size": 4})
	a.state("start", list(extractHeader("x")), list(fld("x", "a"), fld("x", "b")), m{"type": "parse_vset", "value": "vs", "mask": nil, "next_state": "y"}, to(nil, nil))
	a.state("y", list(extractHeader("y")), list(), to(nil, nil))
	a.action("seen", nil, set("y", "n", hex("0xee")))
	a.init = "c"
	a.cond("c", ex("valid", nil, hdr("y")), "t", nil)
	a.table("t", nil, list(), "seen", []string{"seen"}, nil)
	h := run(t, a, Options{})
	v, _ := h.ValueSet("vs")
	if d := cmp.Diff([]int{16, 8}, v.Widths()); d != "" {
		t.Error(d)
	}
	in := []byte{0x12, 0x34, 5, 0}
	check(t, "empty set", h.send(1, in), "0:12340500")
	for _, tc := range []struct {
		name  string
		match []FieldMatch
		want  string
	}{
		{"exact", exact([]byte{0x12, 0x34}, []byte{5}), "ee"},
		{"other", exact([]byte{0x12, 0x34}, []byte{6}), "00"},
		{"any", []FieldMatch{{Any: true}, {Value: []byte{5}}}, "ee"},
		{"ternary", []FieldMatch{{Value: []byte{0x10, 0}, Mask: []byte{0xf0, 0}}, {Any: true}}, "ee"},
		{"prefix", []FieldMatch{{Value: []byte{0x12, 0xff}, PrefixLen: 8}, {Any: true}}, "ee"},
		{"range", []FieldMatch{{Any: true}, {Value: []byte{4}, High: []byte{5}}}, "ee"},
		{"outside range", []FieldMatch{{Any: true}, {Value: []byte{6}, High: []byte{9}}}, "00"},
	} {
		if err := v.Set([][]FieldMatch{exact([]byte{0, 0}, []byte{0}), tc.match}); err != nil {
			t.Fatal(err)
		}
		check(t, tc.name, h.send(1, in), "0:123405"+tc.want)
	}
	if v.Set([][]FieldMatch{exact([]byte{1})}) == nil {
		t.Error("member with one match accepted")
	}
}
