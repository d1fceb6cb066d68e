package pipeline

import (
	"fmt"
	"testing"
)

// choice is a program that parses header c {op, i} and what follows, runs the
// action that op selects, and sends the packet out by port 1.
func choice(t *testing.T, a *asm, actions ...[]any) *harness {
	t.Helper()
	var names []string
	for i, p := range actions {
		names = append(names, fmt.Sprintf("a%d", i))
		a.action(names[i], nil, append(list(set("standard_metadata", "egress_spec", hex("0x1"))), p...)...)
	}
	a.init = "t"
	a.table("t", nil, list(key("exact", "c", "op")), "NoAction", append(names, "NoAction"), nil)
	h := run(t, a, Options{})
	for i, n := range names {
		insert(t, h, "t", Entry{Match: exact([]byte{byte(i)}), Action: n})
	}
	return h
}

// want sends hexadecimal bytes and compares what leaves by port 1.
func want(t *testing.T, h *harness, name, in, out string) {
	t.Helper()
	var frame []byte
	fmt.Sscanf(in, "%x", &frame)
	if out != "" {
		check(t, name, h.send(3, frame), "1:"+out)
		return
	}
	check(t, name, h.send(3, frame))
}

func TestOldPrimitives(t *testing.T) {
	a := newAsm()
	a.header("c", false, "op", 8, "i", 8, "x", 8, "y", 8)
	a.state("start", list(extractHeader("c")), list(), to(nil, nil))
	i, x, y := fld("c", "i"), fld("c", "x"), fld("c", "y")
	h := choice(t, a, list(pr("add", i, x, y)), list(pr("subtract", i, x, y)), list(pr("bit_and", i, x, y)), list(pr("bit_or", i, x, y)),
		list(pr("bit_xor", i, x, y)), list(pr("shift_left", i, x, y)), list(pr("shift_right", i, x, y)), list(pr("add_to_field", i, x)),
		list(pr("subtract_from_field", i, x)), list(pr("modify_field", i, x), pr("no_op")), list(pr("drop")), list(pr("assume", ex("d2b", nil, i))))
	for _, tc := range [][2]string{
		{"00fff003", "00f3f003"}, {"01ff0305", "01fe0305"}, {"0200f03c", "0230f03c"}, {"0300f00c", "03fcf00c"}, {"0400f03c", "04ccf03c"},
		{"05000f02", "053c0f02"}, {"0600f003", "061ef003"}, {"07f02000", "07102000"}, {"08f02000", "08d02000"}, {"09f02000", "09202000"},
		{"0a000000", ""}, {"0b010000", "0b010000"},
	} {
		want(t, h, tc[0], tc[0], tc[1])
	}
	if s := h.Stats(); s.Asserts != 0 || s.Dropped != 1 {
		t.Errorf("%+v", s)
	}
	want(t, h, "assumption that does not hold", "0b000000", "0b000000")
	if s := h.Stats(); s.Asserts != 1 {
		t.Errorf("%+v", s)
	}
}

func TestOperators(t *testing.T) {
	a := newAsm()
	a.header("c", false, "op", 8, "i", 8, "x", 8, "y", 8)
	a.state("start", list(extractHeader("c")), list(), to(nil, nil))
	i, x, y := fld("c", "i"), fld("c", "x"), fld("c", "y")
	b := func(e any) []any { return list(pr("assign", i, ex("b2d", nil, e))) }
	odd := ex("d2b", nil, ex("&", x, hex("0x1")))
	same := ex("==", x, y)
	h := choice(t, a, list(pr("assign", i, ex("/", x, y))), list(pr("assign", i, ex("%", x, y))), b(ex("or", odd, same)), b(ex("not", nil, odd)),
		list(pr("assign", i, m{"type": "expression", "value": m{"op": "?", "left": x, "right": y, "cond": odd}})), b(ex("and", odd, ex("not", nil, same))))
	for _, tc := range [][2]string{
		{"00001103", "00051103"}, {"01001103", "01021103"}, {"01001100", "01001100"}, {"02000404", "02010404"}, {"02000405", "02000405"}, {"02000500", "02010500"},
		{"03000500", "03000500"}, {"03000400", "03010400"}, {"04000577", "04050577"}, {"04000477", "04770477"}, {"05000505", "05000505"}, {"05000504", "05010504"},
	} {
		want(t, h, tc[0], tc[0], tc[1])
	}
}

// TestHashPrograms runs every algorithm in a program, over the nine digits whose
// checks the catalogues of CRCs list.
func TestHashPrograms(t *testing.T) {
	a := newAsm()
	a.header("c", false, "op", 8, "i", 8, "d", 72, "r", 64)
	a.state("start", list(extractHeader("c")), list(), to(nil, nil))
	sums := []struct {
		algo string
		want uint64
	}{{"crc32", 0xcbf43926}, {"crc32_custom", 0xcbf43926}, {"crc16", 0xbb3d}, {"crc16_custom", 0xbb3d}, {"crcCCITT", 0x29b1},
		{"xor16", 0x3132 ^ 0x3334 ^ 0x3536 ^ 0x3738 ^ 0x3900}, {"xor32", 0x31323334 ^ 0x35363738 ^ 0x39000000},
		{"csum16", 0xf62a}, {"cksum16", 0xf62a}, {"identity", 0x3132333435363738}}
	var actions [][]any
	for _, s := range sums {
		a.calc(s.algo, s.algo, fld("c", "d"))
		actions = append(actions, list(pr("modify_field_with_hash_based_offset", fld("c", "r"), hex("0x1"), object("calculation", s.algo), hex("0x7fffffffffffffff"))))
	}
	h := choice(t, a, actions...)
	for i, s := range sums {
		in := fmt.Sprintf("%02x00%x", i, "123456789")
		want(t, h, s.algo, in+"0000000000000000", fmt.Sprintf("%s%016x", in, s.want+1))
	}
}

// union adds a header union of an 8-bit and a 16-bit header.
func (a *asm) union(name string, id int, members ...string) {
	var ids []any
	for _, h := range members {
		ids = append(ids, a.ids[h])
	}
	a.unions = append(a.unions, m{"name": name, "id": id, "union_type": "u_t", "header_ids": ids})
}

func TestUnions(t *testing.T) {
	a := newAsm()
	a.header("c", false, "op", 8, "i", 8)
	a.header("p", false, "tag", 8)
	a.header("q", false, "tag", 8, "v", 8)
	a.unionTypes = list(m{"name": "u_t", "id": 0, "headers": list(list("p", "p_t"), list("q", "q_t"))})
	var ids []any
	for i := range 3 {
		p, q := fmt.Sprintf("p%d", i), fmt.Sprintf("q%d", i)
		a.instance(p, "p_t", false)
		a.instance(q, "q_t", false)
		a.union(fmt.Sprintf("u%d", i), i, p, q)
		ids = append(ids, i)
	}
	a.instance("k", "p_t", false)
	a.instance("l", "q_t", false)
	a.union("single", 3, "k", "l")
	a.unionStacks = list(m{"name": "us", "id": 0, "union_type": "u_t", "header_union_ids": ids})
	take := func(member string) any {
		return m{"op": "extract", "parameters": list(m{"type": "union_stack", "value": list("us", member)})}
	}
	ahead := list(m{"type": "lookahead", "value": list(0, 8)})
	a.state("start", list(extractHeader("c")), ahead, to("0x01", "p"), to("0x02", "q"), to(nil, nil))
	last := func(member string) []any {
		return list(m{"type": "union_stack_field", "value": list("us", member, "tag")}, ahead[0])
	}
	a.state("p", list(take("p")), last("p"), to("0x0101", "p"), to("0x0102", "q"), to(nil, nil))
	a.state("q", list(take("q")), last("q"), to("0x0201", "p"), to("0x0202", "q"), to(nil, nil))

	us, single := m{"type": "header_union_stack", "value": "us"}, object("header_union", "single")
	elem := ex("dereference_union_stack", us, fld("c", "i"))
	member := func(u any, i int) m {
		return m{"type": "expression", "value": m{"op": "access_union_header", "left": u, "right": i}}
	}
	field := func(h any, i int) m {
		return m{"type": "expression", "value": m{"op": "access_field", "left": h, "right": i}}
	}
	h := choice(t, a,
		list(pr("assign", fld("c", "i"), ex("b2d", nil, ex("valid_union", nil, elem)))),
		list(pr("assign", field(member(elem, 1), 1), hex("0x77"))),
		list(pr("assign_union", single, elem)),
		list(pr("add_header", member(elem, 0)), pr("assign", field(member(elem, 0), 0), hex("0xee"))),
		list(pr("pop", us, hex("0x1"))),
		list(pr("add_header", member(single, 1)), pr("assign_union", elem, single)),
		list(pr("assign_union_stack", us, us)))
	for _, tc := range []struct{ name, in, want string }{
		{"valid", "0001010255ff", "0001010255ff"},
		{"invalid", "0002010255ff", "0000010255ff"},
		{"field of a member", "0101010255ff", "0101010277ff"},
		{"of a member that is not valid", "0100010255ff", "0100010255ff"},
		{"copy", "0201010255ff", "020101025502" + "55ff"},
		{"copy of nothing", "0202010255ff", "0202010255ff"},
		{"the other member", "0301010255ff", "030101eeff"},
		{"pop", "0400010255ff", "04000255ff"},
		{"into an element", "0500010255ff", "05000000" + "0255" + "0000ff"},
		{"onto itself", "0600010255ff", "0600010255ff"},
	} {
		want(t, h, tc.name, tc.in, tc.want)
	}
}

func TestWholeHeaders(t *testing.T) {
	a := newAsm()
	a.header("c", false, "op", 8, "i", 8)
	a.header("v", false, "len", 8, "body", 0)
	a.instance("w", "v_t", false)
	a.header("x", false, "n", 8)
	for _, n := range []string{"x1", "y0", "y1"} {
		a.instance(n, "x_t", false)
	}
	a.stack("xs", "x_t", "x", "x1")
	a.stack("ys", "x_t", "y0", "y1")
	a.state("start", list(extractHeader("c"), m{"op": "primitive", "parameters": list(pr("add_header", hdr("y1")))}), list(fld("c", "op")), to("0x00", "v"), to("0x01", "v"), to("0x05", nil), to(nil, "x"))
	a.state("v", list(m{"op": "extract_VL", "parameters": list(m{"type": "regular", "value": "v"}, hex("0x10"))}), list(), to(nil, nil))
	a.state("x", list(m{"op": "extract", "parameters": list(m{"type": "stack", "value": "xs"})}, m{"op": "shift", "parameters": list(1)},
		m{"op": "set", "parameters": list(fld("c", "i"), hex("0x9"))}), list(), to(nil, nil))
	h := choice(t, a,
		list(pr("remove_header", hdr("y1")), pr("copy_header", hdr("w"), hdr("v"))),
		list(pr("remove_header", hdr("y1")), pr("add_header", hdr("w")), pr("assign_VL", fld("w", "body"), fld("v", "body"))),
		list(pr("assign_header_stack", m{"type": "header_stack", "value": "ys"}, m{"type": "header_stack", "value": "xs"})),
		list(pr("remove_header", hdr("x")), pr("add_header_fast", hdr("x"))),
		list(pr("remove_header", hdr("y1"))))
	for _, tc := range []struct{ name, in, want string }{
		{"copy with a variable part", "000002abcdff", "000002abcd02abcdff"},
		{"variable part alone", "010002abcdff", "010002abcd00abcdff"},
		{"stack", "020044ffee", "02094444ee"},
		{"header with what it had", "030044ffee", "03094400ee"},
		{"shift in the parser", "040044ffee", "040944ee"},
	} {
		want(t, h, tc.name, tc.in, tc.want)
	}
}

func TestValidKey(t *testing.T) {
	a := newAsm()
	a.header("c", false, "op", 8, "i", 8)
	a.header("x", false, "n", 8)
	a.state("start", list(extractHeader("c")), list(fld("c", "op")), to("0x01", "x"), to(nil, nil))
	a.state("x", list(extractHeader("x")), list(), to(nil, nil))
	a.action("with", []int{8}, set("c", "i", arg(0)), set("standard_metadata", "egress_spec", hex("0x1")))
	a.init = "t"
	a.table("t", nil, list(m{"match_type": "valid", "name": "x.$valid$", "target": "x"}), "NoAction", []string{"with", "NoAction"}, nil)
	h := run(t, a, Options{})
	insert(t, h, "t", Entry{Match: exact([]byte{1}), Action: "with", Params: [][]byte{{0xaa}}})
	insert(t, h, "t", Entry{Match: exact([]byte{0}), Action: "with", Params: [][]byte{{0xbb}}})
	want(t, h, "valid", "010044", "01aa44")
	want(t, h, "invalid", "000044", "00bb44")
}

func TestActionProfile(t *testing.T) {
	a := newAsm()
	a.header("c", false, "op", 8, "i", 8)
	a.state("start", list(extractHeader("c")), list(), to(nil, nil))
	a.action("with", []int{8}, set("c", "i", arg(0)), set("standard_metadata", "egress_spec", hex("0x1")))
	a.profiles = list(m{"name": "p", "id": 0, "max_size": 4})
	a.init = "t"
	a.table("t", nil, list(key("exact", "c", "op")), "", []string{"with", "NoAction"}, m{"type": "indirect", "action_profile": "p"})
	h := run(t, a, Options{})
	p, ok := h.Profile("p")
	if !ok || p.IsSelector() {
		t.Fatal("no action profile, or one with groups")
	}
	if err := p.InsertMember(Member{ID: 7, Action: "with", Params: [][]byte{{0xcc}}}); err != nil {
		t.Fatal(err)
	}
	insert(t, h, "t", Entry{Match: exact([]byte{1}), Member: 7})
	want(t, h, "member", "0100", "01cc")
}
