package pipeline

import (
	"encoding/json"
	"testing"
)

// asm assembles bmv2 JSON programs for tests.
type asm struct {
	types, headers, stacks, unions, unionTypes  []any
	states, actions, tables, conds, calcs, sums []any
	unionStacks                                 []any
	counters, meters, registers, lists, learn   []any
	profiles, vsets, egressTables, egressConds  []any
	order                                       []string
	ids                                         map[string]int
	init, egressInit                            any
	egress                                      bool // tables and conditions go to egress
}

type m = map[string]any

// list is a JSON array.
func list(v ...any) []any {
	if v == nil {
		return []any{}
	}
	return v
}

func newAsm() *asm {
	a := &asm{ids: map[string]int{}}
	a.header("standard_metadata", true, "ingress_port", 9, "egress_spec", 9, "egress_port", 9, "instance_type", 32,
		"packet_length", 32, "enq_timestamp", 32, "enq_qdepth", 19, "deq_timedelta", 32, "deq_qdepth", 19,
		"ingress_global_timestamp", 48, "egress_global_timestamp", 48, "mcast_grp", 16, "egress_rid", 16,
		"checksum_error", 1, "parser_error", 32, "priority", 3, "_pad", 3)
	a.action("NoAction", nil)
	return a
}

// header declares a header with a type of its own; width 0 is a varbit of up to 40 bytes.
func (a *asm) header(name string, metadata bool, fields ...any) {
	var fs []any
	total := 0
	t := m{"name": name + "_t", "id": len(a.types)}
	for i := 0; i < len(fields); i += 2 {
		w := fields[i+1].(int)
		total += w
		if w == 0 {
			fs = append(fs, list(fields[i], "*"))
			continue
		}
		fs = append(fs, list(fields[i], w))
	}
	t["fields"], t["max_length"] = fs, total/8+40
	a.types = append(a.types, t)
	a.instance(name, name+"_t", metadata)
}

func (a *asm) instance(name, typ string, metadata bool) {
	a.ids[name] = len(a.headers)
	a.headers = append(a.headers, m{"name": name, "id": len(a.headers), "header_type": typ, "metadata": metadata})
	if !metadata {
		a.order = append(a.order, name)
	}
}

func (a *asm) stack(name, typ string, headers ...string) {
	var ids []any
	for _, h := range headers {
		ids = append(ids, a.ids[h])
	}
	a.stacks = append(a.stacks, m{"name": name, "id": len(a.stacks), "header_type": typ, "header_ids": ids})
}

func fld(h, f string) m    { return m{"type": "field", "value": list(h, f)} }
func hex(s string) m       { return m{"type": "hexstr", "value": s} }
func hdr(h string) m       { return m{"type": "header", "value": h} }
func arg(i int) m          { return m{"type": "runtime_data", "value": i} }
func object(t, n string) m { return m{"type": t, "value": n} }

// ex is an expression; l may be nil.
func ex(op string, l, r any) m {
	return m{"type": "expression", "value": m{"op": op, "left": l, "right": r}}
}

func pr(op string, params ...any) m { return m{"op": op, "parameters": list(params...)} }
func set(h, f string, v any) m      { return pr("assign", fld(h, f), v) }

// action adds an action; params are widths.
func (a *asm) action(name string, params []int, prims ...any) {
	rd := list()
	for i, w := range params {
		rd = append(rd, m{"name": string(rune('a' + i)), "bitwidth": w})
	}
	a.ids["action "+name] = len(a.actions)
	a.actions = append(a.actions, m{"name": name, "id": len(a.actions), "runtime_data": rd, "primitives": list(prims...)})
}

func key(kind, h, f string) m {
	return m{"match_type": kind, "name": h + "." + f, "target": list(h, f), "mask": nil}
}

// table adds a table that goes on to next whatever happens.
func (a *asm) table(name string, next any, keys []any, def string, actions []string, extra m) {
	nt, ids := m{}, list()
	for _, x := range actions {
		nt[x] = next
		ids = append(ids, a.ids["action "+x])
	}
	kind := "exact"
	t := m{"name": name, "id": len(a.tables), "key": keys, "match_type": kind, "type": "simple", "max_size": 1 << 20,
		"with_counters": false, "support_timeout": false, "direct_meters": nil, "action_ids": ids, "actions": actions,
		"base_default_next": next, "next_tables": nt}
	if def != "" {
		t["default_entry"] = m{"action_id": a.ids["action "+def], "action_data": list()}
	}
	for k, v := range extra {
		t[k] = v
	}
	if a.egress {
		a.egressTables = append(a.egressTables, t)
	} else {
		a.tables = append(a.tables, t)
	}
}

func (a *asm) cond(name string, e, yes, no any) {
	c := m{"name": name, "id": len(a.conds), "expression": e, "true_next": yes, "false_next": no}
	if a.egress {
		a.egressConds = append(a.egressConds, c)
	} else {
		a.conds = append(a.conds, c)
	}
}

func (a *asm) calc(name, algo string, input ...any) {
	a.calcs = append(a.calcs, m{"name": name, "id": len(a.calcs), "algo": algo, "input": input})
}

func (a *asm) state(name string, ops, key []any, transitions ...any) {
	a.states = append(a.states, m{"name": name, "id": len(a.states), "parser_ops": ops, "transition_key": key, "transitions": transitions})
}

func to(value, next any) m {
	if value == nil {
		return m{"type": "default", "value": nil, "mask": nil, "next_state": next}
	}
	return m{"type": "hexstr", "value": value, "mask": nil, "next_state": next}
}

func extractHeader(h string) m {
	return m{"op": "extract", "parameters": list(m{"type": "regular", "value": h})}
}

func (a *asm) json() []byte {
	b, err := json.Marshal(m{
		"__meta__": m{"version": list(2, 23)}, "header_types": a.types, "headers": a.headers, "header_stacks": a.stacks,
		"header_unions": a.unions, "header_union_types": a.unionTypes, "header_union_stacks": a.unionStacks,
		"errors": list(list("NoError", 0), list("PacketTooShort", 1), list("NoMatch", 2), list("StackOutOfBounds", 3),
			list("HeaderTooShort", 4), list("ParserTimeout", 5), list("ParserInvalidArgument", 6)),
		"parsers":   list(m{"name": "parser", "id": 0, "init_state": "start", "parse_states": a.states}),
		"deparsers": list(m{"name": "deparser", "id": 0, "order": a.order}),
		"actions":   a.actions, "calculations": a.calcs, "checksums": a.sums, "counter_arrays": a.counters,
		"meter_arrays": a.meters, "register_arrays": a.registers, "field_lists": a.lists, "learn_lists": a.learn,
		"parse_vsets": a.vsets,
		"pipelines": list(
			m{"name": "ingress", "id": 0, "init_table": a.init, "tables": a.tables, "conditionals": a.conds, "action_profiles": a.profiles},
			m{"name": "egress", "id": 1, "init_table": a.egressInit, "tables": a.egressTables, "conditionals": a.egressConds}),
		"field_aliases": list(
			list("queueing_metadata.enq_timestamp", list("standard_metadata", "enq_timestamp")),
			list("intrinsic_metadata.ingress_global_timestamp", list("standard_metadata", "ingress_global_timestamp")),
			list("intrinsic_metadata.mcast_grp", list("standard_metadata", "mcast_grp")),
			list("intrinsic_metadata.egress_rid", list("standard_metadata", "egress_rid")),
			list("intrinsic_metadata.lf_field_list", list("standard_metadata", "lf_field_list"))),
	})
	if err != nil {
		panic(err)
	}
	return b
}

// emission is a frame that left a machine.
type emission struct {
	Port  uint16
	Frame string
}

// bench runs a machine and remembers what it emits.
type harness struct {
	*Machine
	out []emission
}

func run(t testing.TB, a *asm, o Options) *harness {
	t.Helper()
	coverage.note(t.Name(), a.json())
	p, err := Load(a.json())
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{}
	o.Emit = func(port uint16, frame []byte) { h.out = append(h.out, emission{port, string(frame)}) }
	h.Machine = New(p, o)
	return h
}

// send processes a frame and returns what it caused.
func (h *harness) send(port uint16, frame []byte) []emission {
	h.out = nil
	h.Process(port, frame)
	return h.out
}

func (h *harness) tbl(t testing.TB, name string) *Table {
	t.Helper()
	x, ok := h.Table(name)
	if !ok {
		t.Fatalf("no table %s", name)
	}
	return x
}
