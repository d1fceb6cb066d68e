package pipeline

import (
	"maps"
	"slices"
)

// body compiles an action; what jumps out of it goes to its end.
func (l *loader) body(list []jPrimitive) *coder {
	g := l.coder()
	at := make([]label, len(list)+1)
	for i := range at {
		at[i] = g.label()
	}
	lock := g.locked(func() {
		for i := range list {
			j := &list[i]
			g.here(at[i])
			l.at(primitivePath(i, j), func() { g.primitive(j, i, at) })
			g.statement()
		}
		g.here(at[len(list)])
	})
	if lock >= 0 {
		g.emit(ins{op: iUnlock, k: uint64(lock)})
	}
	if slices.ContainsFunc(list, func(j jPrimitive) bool { return j.Op == "exit" }) {
		g.emit(ins{op: iExit})
	}
	return g
}

// locked emits f, and ahead of it the locking of the registers that f uses. It
// returns the index of what to unlock, -1 if there is nothing.
func (g *coder) locked(f func()) int {
	l := g.l
	l.regs = map[int]bool{}
	at := len(g.code)
	g.emit(ins{op: iLock})
	f()
	regs := slices.Sorted(maps.Keys(l.regs))
	l.regs = nil
	if len(regs) == 0 {
		g.code = slices.Delete(g.code, at, at+1)
		for i := range g.place {
			if g.place[i] > int32(at) {
				g.place[i]--
			}
		}
		return -1
	}
	l.p.code.locks = append(l.p.code.locks, regs)
	g.code[at].k = uint64(len(l.p.code.locks) - 1)
	return len(l.p.code.locks) - 1
}

// primitive emits one call: as instructions where there are any, else as a closure.
func (g *coder) primitive(j *jPrimitive, i int, at []label) {
	a := g.l.arguments(j)
	switch j.Op {
	case "_jump":
		to := g.target(a[0], at)
		g.back(i, a[0], at)
		g.jump(to)
		return
	case "_jump_if_zero":
		cond := &expr{op: opD2B, kind: kBool, r: g.l.data(a[0])}
		to := g.target(a[1], at)
		g.back(i, a[1], at)
		g.branch(cond, false, to)
		return
	}
	if g.l.plain || !g.fast(j.Op, a) {
		g.call(g.l.primitive(j))
	}
}

// target is where a jump goes.
func (g *coder) target(v jValue, at []label) label {
	e := g.l.data(v)
	if e.op != opConst {
		g.l.unsupported("jump to a computed place")
	}
	if !e.fitsU() {
		g.l.fail("jump to %s", e.c)
	}
	return at[min(e.c.Uint64(), uint64(len(at)-1))]
}

// back bounds loops: a jump backwards counts.
func (g *coder) back(i int, v jValue, at []label) {
	if g.l.data(v).c.Uint64() <= uint64(i) {
		g.emit(ins{op: iLoop, c: uint32(at[len(at)-1]), k: maxLoops})
	}
}

// fast emits a primitive as instructions; false if there is no such form.
func (g *coder) fast(name string, a []jValue) bool {
	l := g.l
	if op, ok := p414[name]; ok {
		dst := l.data(a[0])
		if len(a) == 2 {
			return g.assign(dst, arith(op, dst, l.data(a[1])))
		}
		return g.assign(dst, arith(op, l.data(a[1]), l.data(a[2])))
	}
	switch name {
	case "assign", "modify_field":
		return g.assign(l.data(a[0]), l.data(a[1]))
	case "no_op":
		return true
	case "exit":
		g.emit(ins{op: iSetExit})
		return true
	case "drop":
		g.emit(ins{op: iDrop})
		return true
	case "mark_to_drop":
		l.object(a[0], "header")
		g.emit(ins{op: iDrop})
		return true
	case "add_header", "add_header_fast", "remove_header":
		return g.validity(name, l.headerOnly(a[0]))
	case "count":
		return g.count(a)
	case "modify_field_with_hash_based_offset":
		return g.hash(a)
	}
	return false
}

// assign emits dst = src; false if there is no such form.
func (g *coder) assign(dst, src *expr) bool {
	g.l.lvalue(dst)
	if dst.op != opField || dst.f.varlen || dst.f.sat || dst.f.valid || src.kind != kData {
		return false
	}
	if dst.f.n > 1 {
		return g.assignWide(dst.f, src)
	}
	g.into(uint16(dst.f.slot), dst.f.mask(), src)
	return true
}

// validity emits setValid and setInvalid of a header known at load.
func (g *coder) validity(name string, e *expr) bool {
	if e.op != opHeader || e.h.vl != nil || e.h.union != nil {
		return false
	}
	if name == "add_header_fast" {
		e.h.whole = true // it has fields that were never extracted
	}
	kind := map[string]stepKind{"add_header": stepAdd, "add_header_fast": stepKeep, "remove_header": stepDel}[name]
	g.step(step{kind: kind, a: uint16(e.h.first), b: uint16(e.h.vslot), c: uint16(e.h.off), k: uint64(e.h.wire())})
	return true
}

func (g *coder) count(a []jValue) bool {
	l := g.l
	n := l.object(a[0], "counter_array")
	i := find(l, "indirect counter array", n, l.p.counters, func(d arrayDef) string { return d.name })
	idx := l.data(a[1])
	if !idx.fitsU() {
		return false
	}
	g.emit(ins{op: iCount, b: g.number(idx), k: uint64(i)})
	return true
}

func (g *coder) hash(a []jValue) bool {
	l := g.l
	dst := l.data(a[0])
	l.lvalue(dst)
	calc := l.p.calcs[l.object(a[2], "calculation")]
	if calc == nil {
		l.fail("no calculation %s", a[2].Value)
	}
	if dst.op != opField || dst.f.n > 1 || dst.f.varlen || dst.f.valid {
		return false
	}
	h := hashCode{calc: calc, dst: uint16(dst.f.slot), mask: dst.f.mask()}
	h.base = g.number(l.data(a[1]))
	h.max = g.number(l.data(a[3]))
	l.p.code.hashes = append(l.p.code.hashes, h)
	g.emit(ins{op: iHash, k: uint64(len(l.p.code.hashes) - 1)})
	return true
}
