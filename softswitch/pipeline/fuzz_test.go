package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// full is a program with most features, for fuzzing: stacks, variable-length
// fields, checksums over the payload, clones, recirculation.
func full() *asm {
	a := newAsm()
	a.header("meta", true, "a", 33, "b", 128)
	a.header("x", false, "op", 8, "n", 8, "w", 128)
	a.header("v", false, "len", 8, "body", 0, "tail", 12, "rest", 4)
	a.header("e", false, "n", 8)
	a.instance("s0", "e_t", false)
	a.instance("s1", "e_t", false)
	a.stack("s", "e_t", "s0", "s1")
	a.calc("c", "csum16", fld("x", "n"), hdr("v"), fld("v", "tail"), fld("v", "body"), m{"type": "payload"})
	a.state("start", list(extractHeader("x")), list(fld("x", "op"), m{"type": "lookahead", "value": list(0, 4)}), to("0x0001", "var"), to("0x0102", "stack"), to(nil, nil))
	a.state("var", list(m{"op": "extract_VL", "parameters": list(m{"type": "regular", "value": "v"}, ex("<<", fld("x", "n"), hex("0x3")))},
		m{"op": "advance", "parameters": list(fld("x", "n"))}), list(), to(nil, nil))
	a.state("stack", list(m{"op": "extract", "parameters": list(m{"type": "stack", "value": "s"})}, m{"op": "set", "parameters": list(fld("meta", "b"), m{"type": "lookahead", "value": list(3, 90)})}),
		list(m{"type": "stack_field", "value": list("s", "n")}), to("0x01", "stack"), to(nil, nil))
	a.sums = list(m{"name": "u", "target": list("x", "w"), "type": "generic", "calculation": "c", "update": true, "verify": true})
	a.lists = list(m{"id": 1, "name": "l", "elements": list(fld("meta", "a"))})
	a.registers = list(m{"name": "r", "id": 0, "size": 4, "bitwidth": 100})
	st := m{"type": "header_stack", "value": "s"}
	a.action("act", nil,
		pr("register_read", fld("meta", "b"), object("register_array", "r"), fld("x", "n")),
		pr("register_write", object("register_array", "r"), fld("x", "n"), ex("+", fld("meta", "b"), fld("x", "w"))),
		pr("push", st, fld("x", "op")), pr("pop", st, fld("x", "n")), pr("add_header", ex("dereference_header_stack", st, fld("x", "op"))),
		set("x", "w", ex("<<", fld("x", "w"), fld("x", "n"))), pr("modify_field_with_hash_based_offset", fld("meta", "a"), fld("x", "n"), object("calculation", "c"), fld("x", "op")),
		set("standard_metadata", "egress_spec", fld("x", "op")), pr("clone_ingress_pkt_to_egress", hex("0x1"), hex("0x1")))
	a.action("eact", nil, pr("_jump_if_zero", ex("-", fld("x", "n"), hex("0x2")), hex("0x2")), pr("_jump", hex("0x4")),
		pr("recirculate", hex("0x1")), set("x", "n", ex("+", fld("x", "n"), hex("0x1"))), pr("truncate", fld("x", "n")))
	a.init, a.egressInit = "t", "e"
	a.table("t", nil, list(key("ternary", "x", "w")), "act", []string{"act"}, nil)
	a.egress = true
	a.table("e", nil, list(key("lpm", "meta", "b")), "eact", []string{"eact"}, nil)
	return a
}

func FuzzProcess(f *testing.F) {
	p, err := Load(full().json())
	if err != nil {
		f.Fatal(err)
	}
	var last []byte
	mc := New(p, Options{Emit: func(_ uint16, b []byte) { last = append(last[:0], b...) }})
	mc.SetClone(1, CloneSession{Replicas: []Replica{{Port: 1}, {Port: 2}}, Truncate: 20})
	f.Add([]byte{})
	f.Add(append([]byte{0, 3}, bytes.Repeat([]byte{0x10}, 40)...))
	f.Add(append([]byte{1, 2}, bytes.Repeat([]byte{0x20, 1}, 20)...))
	f.Fuzz(func(t *testing.T, frame []byte) {
		keep := bytes.Clone(frame)
		mc.Process(3, frame)
		if !bytes.Equal(keep, frame) {
			t.Error("frame changed")
		}
	})
}

func FuzzLoad(f *testing.F) {
	for _, a := range []*asm{full(), newAsm(), overlay(), matcher([2]string{"lpm", "range"}, nil)} {
		f.Add(a.json())
	}
	f.Add([]byte(`{"__meta__":{"version":[2,18]},"pipelines":[{"name":"ingress"}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := Load(in)
		if err != nil {
			return
		}
		mc := New(p, Options{})
		for n := 0; n < 100; n += 9 {
			mc.Process(1, bytes.Repeat([]byte{byte(n)}, n))
		}
		for tb := range mc.Tables() {
			for s := range tb.All() {
				_ = s
			}
		}
	})
}

// TestMutatedPrograms removes and replaces every part of programs in turn: Load
// must refuse them or what it accepts must run.
func TestMutatedPrograms(t *testing.T) {
	for _, a := range []*asm{full(), overlay()} {
		var root any
		if err := json.Unmarshal(a.json(), &root); err != nil {
			t.Fatal(err)
		}
		n := 0
		mutate(root, func() {
			n++
			b, err := json.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Load(b)
			if err != nil {
				return
			}
			mc := New(p, Options{})
			for n := 0; n < 60; n += 19 {
				mc.Process(1, bytes.Repeat([]byte{byte(n)}, n))
			}
		})
		if n < 500 {
			t.Errorf("only %d mutations", n)
		}
	}
}

// mutate calls f with every value in x in turn replaced by several others.
func mutate(x any, f func()) {
	odd := []any{nil, -1.0, "x", []any{}, map[string]any{}}
	switch v := x.(type) {
	case map[string]any:
		for k, old := range v {
			for _, o := range odd {
				v[k] = o
				f()
			}
			delete(v, k)
			f()
			v[k] = old
			mutate(old, f)
		}
	case []any:
		for i, old := range v {
			if i > 3 {
				break
			}
			for _, o := range odd {
				v[i] = o
				f()
			}
			v[i] = old
			mutate(old, f)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for _, tc := range []struct {
		name        string
		edit        func(map[string]any)
		want        string
		unsupported bool
	}{
		{"version", func(r m) { r["__meta__"] = m{"version": list(3, 0)} }, "version", true},
		{"extern", func(r m) { r["extern_instances"] = list(m{"name": "e", "type": "T"}) }, "extern instance e of type T", true},
		{"primitive", func(r m) { r["actions"].([]any)[1].(m)["primitives"] = list(pr("fancy")) }, `$.actions[1].primitives[0](fancy)`, true},
		{"operator", func(r m) {
			r["actions"].([]any)[1].(m)["primitives"] = list(set("x", "n", ex("@", hex("1"), hex("2"))))
		}, `operator "@"`, true},
		{"field", func(r m) { r["actions"].([]any)[1].(m)["primitives"] = list(set("x", "nope", hex("1"))) }, `no field ["x","nope"]`, false},
		{"hash", func(r m) { r["calculations"].([]any)[0].(m)["algo"] = "md5" }, `hash algorithm "md5"`, true},
		{"cycle", func(r m) {
			r["pipelines"].([]any)[0].(m)["tables"].([]any)[0].(m)["next_tables"].(m)["act"] = "t"
		}, "follows itself", false},
		{"state", func(r m) { r["parsers"].([]any)[0].(m)["init_state"] = "nowhere" }, `no parser state "nowhere"`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r map[string]any
			if err := json.Unmarshal(full().json(), &r); err != nil {
				t.Fatal(err)
			}
			tc.edit(r)
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(b)
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, ErrUnsupported) != tc.unsupported {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := Load([]byte("{")); err == nil {
		t.Error("syntax error accepted")
	}
}

// TestNoAllocation: a packet on its way allocates nothing.
func TestNoAllocation(t *testing.T) {
	if racing {
		t.Skip("pooled contexts are dropped under the race detector")
	}
	h := run(t, overlay(), Options{})
	fillOverlay(t, h, 10)
	h.Machine.o.Emit = func(uint16, []byte) {}
	frame := udpFrame(10<<24+1, 10<<24+1005, 4000, 53, 22)
	if n := testing.AllocsPerRun(1000, func() { h.Process(1, frame) }); n > 0.1 {
		t.Errorf("%v allocations per packet", n)
	}
}
