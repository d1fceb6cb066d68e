package pipeline

import "fmt"

// arity of the primitives, -1 for any.
var arity = map[string]int{
	"assign": 2, "modify_field": 2, "assign_VL": 2, "assign_header": 2, "copy_header": 2, "assign_union": 2,
	"assign_header_stack": 2, "assign_union_stack": 2, "push": 2, "pop": 2,
	"_jump": 1, "_jump_if_zero": 2, "exit": 0, "assume": 1, "assert": 1, "log_msg": 2, "no_op": 0, "drop": 0,
	"mark_to_drop": 1, "add_header": 1, "add_header_fast": 1, "remove_header": 1, "generate_digest": 2,
	"clone_ingress_pkt_to_egress": 2, "clone_egress_pkt_to_egress": 2, "resubmit": 1, "recirculate": 1,
	"modify_field_with_hash_based_offset": 4, "modify_field_rng_uniform": 3, "execute_meter": 3, "count": 2,
	"register_read": 3, "register_write": 3, "truncate": 1,
	"add_to_field": 2, "subtract_from_field": 2, "add": 3, "subtract": 3,
	"bit_xor": 3, "bit_or": 3, "bit_and": 3, "shift_left": 3, "shift_right": 3,
}

// p414 are the arithmetic primitives: dst = a op b.
var p414 = map[string]opcode{
	"add": opAdd, "subtract": opSub, "bit_xor": opXor, "bit_or": opOr, "bit_and": opAnd,
	"shift_left": opShl, "shift_right": opShr, "add_to_field": opAdd, "subtract_from_field": opSub,
}

// arguments checks that a call is of a known primitive and complete.
func (l *loader) arguments(j *jPrimitive) []jValue {
	n, ok := arity[j.Op]
	if !ok {
		l.unsupported("primitive %q", j.Op)
	}
	if len(j.Parameters) != n {
		l.fail("%d parameters, want %d", len(j.Parameters), n)
	}
	return j.Parameters
}

// primitive compiles one call to a closure; jumps have none.
func (l *loader) primitive(j *jPrimitive) op {
	a := l.arguments(j)
	if op, ok := p414[j.Op]; ok {
		dst := l.data(a[0])
		if len(a) == 2 {
			return l.assign(dst, arith(op, dst, l.data(a[1])))
		}
		return l.assign(dst, arith(op, l.data(a[1]), l.data(a[2])))
	}
	switch j.Op {
	case "assign", "modify_field", "assign_VL":
		return l.assign(l.data(a[0]), l.data(a[1]))
	case "no_op":
		return func(*ctx) {}
	case "exit":
		return func(c *ctx) { c.exit = true }
	case "assert", "assume":
		return l.assertion(j)
	case "log_msg":
		return l.logMessage(j)
	case "drop":
		return l.drop()
	case "mark_to_drop":
		l.object(a[0], "header")
		return l.drop()
	case "truncate":
		x := l.index(l.data(a[0]))
		return func(c *ctx) { c.limit = min(c.limit, clampInt(x(c))) }
	}
	if o := l.headerPrimitive(j.Op, a); o != nil {
		return o
	}
	if o := l.packetPrimitive(j.Op, a); o != nil {
		return o
	}
	return l.externPrimitive(j.Op, a)
}

// object reads the name of an object parameter.
func (l *loader) object(v jValue, typ string) string {
	if v.Type != typ {
		l.fail("parameter of type %q, want %q", v.Type, typ)
	}
	return l.str(v.Value)
}

// drop marks the packet to be dropped at the end of the control.
func (l *loader) drop() op {
	return (*ctx).drop
}

func (l *loader) assertion(j *jPrimitive) op {
	v := j.Parameters[0]
	cond := l.truth(&expr{op: opD2B, kind: kBool, r: l.data(v)})
	text := fmt.Sprintf("%s failed: %s (%s:%d)", j.Op, j.SourceInfo.Fragment, j.SourceInfo.Filename, j.SourceInfo.Line)
	return func(c *ctx) {
		if !cond(c) {
			c.m.asserts.Add(1)
			c.m.log(text)
		}
	}
}

// packetPrimitive compiles what asks for something at the end of the control.
func (l *loader) packetPrimitive(name string, a []jValue) op {
	switch name {
	case "clone_ingress_pkt_to_egress", "clone_egress_pkt_to_egress":
		session, list := l.number(l.data(a[0])), l.number(l.data(a[1]))
		return func(c *ctx) { c.clone, c.cloneList, c.cloneSet = session(c), list(c), true }
	case "resubmit":
		list := l.number(l.data(a[0]))
		return func(c *ctx) { c.resubmit, c.resubSet = list(c), true }
	case "recirculate":
		list := l.number(l.data(a[0]))
		return func(c *ctx) { c.recirc, c.recircSet = list(c), true }
	case "generate_digest":
		l.data(a[0])
		id := l.number(l.data(a[1]))
		return func(c *ctx) { c.digest = id(c) }
	}
	return nil
}

// externPrimitive compiles hashes, random numbers and stateful objects.
func (l *loader) externPrimitive(name string, a []jValue) op {
	switch name {
	case "modify_field_with_hash_based_offset":
		return l.hash(a)
	case "modify_field_rng_uniform":
		return l.random(a)
	case "count":
		n := l.object(a[0], "counter_array")
		i := find(l, "indirect counter array", n, l.p.counters, func(d arrayDef) string { return d.name })
		idx := l.index(l.data(a[1]))
		return func(c *ctx) { c.m.counters[i].count(idx(c), c.arrive) }
	case "execute_meter":
		n := l.object(a[0], "meter_array")
		i := find(l, "indirect meter array", n, l.p.meters, func(d meterDef) string { return d.name })
		idx, dst := l.index(l.data(a[1])), l.data(a[2])
		return l.store(dst, func(c *ctx) (uint64, bool) { return c.m.meters[i].execute(idx(c), c.arrive, c.now) })
	case "register_read":
		return l.assignIf(a[0], l.registerCell(a[1], a[2]), true)
	case "register_write":
		return l.assignIf(jValue{}, l.registerCell(a[0], a[1]), false, a[2])
	}
	l.unsupported("primitive %q", name)
	return nil
}

func (l *loader) registerCell(array, index jValue) *expr {
	n := l.object(array, "register_array")
	i := find(l, "register array", n, l.p.registers, func(d arrayDef) string { return d.name })
	if l.regs == nil {
		l.unsupported("register outside of actions and parser states")
	}
	l.regs[i] = true
	w := l.p.registers[i].width
	return (&expr{op: opReg, idx: i, l: l.data(index), w: w}).unsigned(w)
}

// assignIf assigns from (read) or to a register cell, if the index is in range.
func (l *loader) assignIf(dst jValue, cell *expr, read bool, src ...jValue) op {
	var o op
	if read {
		o = l.assign(l.data(dst), cell)
	} else {
		o = l.assign(cell, l.data(src[0]))
	}
	i, idx := cell.idx, l.index(cell.l)
	return func(c *ctx) {
		if c.m.registers[i].cell(idx(c)) != nil {
			o(c)
		}
	}
}

// store assigns what f yields to a field of up to 64 bits, if f yields something.
func (l *loader) store(dst *expr, f func(*ctx) (uint64, bool)) op {
	l.lvalue(dst)
	if dst.op == opReg || dst.f.varlen {
		l.unsupported("result stored in something that is not a field")
	}
	mask, n := dst.f.mask(), dst.f.n
	if n > 1 {
		mask = ^uint64(0)
	}
	if dst.op == opField {
		s := dst.f.slot
		return func(c *ctx) {
			if v, ok := f(c); ok {
				clear(c.f[s : s+n])
				c.f[s] = v & mask
			}
		}
	}
	h, slots := l.header(dst.l), l.dynSlots(dst)
	return func(c *ctx) {
		if i := h(c); i >= 0 {
			if v, ok := f(c); ok {
				clear(c.f[slots[i] : slots[i]+n])
				c.f[slots[i]] = v & mask
			}
		}
	}
}

func (l *loader) hash(a []jValue) op {
	dst, base, max := l.data(a[0]), l.number(l.data(a[1])), l.number(l.data(a[3]))
	calc := l.p.calcs[l.object(a[2], "calculation")]
	if calc == nil {
		l.fail("no calculation %s", a[2].Value)
	}
	return l.store(dst, func(c *ctx) (uint64, bool) {
		h := calc.compute(c)
		if n := max(c); n > 0 {
			return h%n + base(c), true
		}
		return base(c), true
	})
}

func (l *loader) random(a []jValue) op {
	lo, hi := l.number(l.data(a[1])), l.number(l.data(a[2]))
	return l.store(l.data(a[0]), func(c *ctx) (uint64, bool) {
		x, y := lo(c), hi(c)
		return c.uniform(x, y), x <= y
	})
}
