package pipeline

// branch emits: go to if e is want, else go on.
func (g *coder) branch(e *expr, want bool, to label) {
	if g.l.plain {
		g.branchClosure(e, want, to)
		return
	}
	switch e.op {
	case opBool:
		if e.b == want {
			g.jump(to)
		}
	case opLNot:
		g.branch(e.r, !want, to)
	case opLAnd, opLOr:
		if (e.op == opLOr) == want {
			g.branch(e.l, want, to)
			g.second(e.r, want, to)
			return
		}
		skip := g.label()
		g.branch(e.l, !want, skip)
		g.second(e.r, want, to)
		g.here(skip)
	case opD2B:
		g.notZero(e, want, to)
	case opValid:
		if e.r.op != opHeader {
			g.branchClosure(e, want, to)
			return
		}
		g.ifSlot(uint16(e.r.h.vslot), want, to)
	case opEq, opNe:
		g.ifEqual(e, want == (e.op == opEq), to)
	case opLt, opLe, opGt, opGe:
		g.ifLess(e, want, to)
	default:
		g.branchClosure(e, want, to)
	}
}

// second emits the second operand of && or ||, which may not run: nothing later
// may use what it computes.
func (g *coder) second(e *expr, want bool, to label) {
	g.branch(e, want, to)
	clear(g.memo)
}

func (g *coder) branchClosure(e *expr, want bool, to label) {
	x := &g.l.p.code
	x.bools = append(x.bools, g.l.truth(e))
	in := ins{op: iJumpNot, c: uint32(to), k: uint64(len(x.bools) - 1)}
	if want {
		in.op = iJumpIf
	}
	g.emit(in)
}

func (g *coder) notZero(e *expr, want bool, to label) {
	x := e.r
	switch {
	case x.op == opB2D:
		g.branch(x.r, want, to)
	case x.fitsU() || x.fitsS():
		g.ifConstant(x, 0, !want, to)
	default:
		g.branchClosure(e, want, to)
	}
}

// ifEqual emits: go to if (e.l == e.r) is want.
func (g *coder) ifEqual(e *expr, want bool, to label) {
	l, r := e.l, e.r
	if l.op == opConst {
		l, r = r, l
	}
	exact := l.fitsU() && r.fitsU() || l.fitsS() && r.fitsS()
	if l.kind == kData && !exact && g.ifSame(l, r, want, to) {
		return
	}
	if l.kind != kData || l.op == opField && l.f.varlen || !exact {
		g.branchClosure(e, want == (e.op == opEq), to)
		return
	}
	if r.op == opConst {
		g.ifConstant(l, low64(r.c), want, to)
		return
	}
	x := g.number(l)
	g.test(test{kind: testEqual, a: x, b: g.number(r), want: want}, to)
}

// ifConstant emits: go to if (e == v) is want.
func (g *coder) ifConstant(e *expr, v uint64, want bool, to label) {
	if e = strip(e); e.op == opAnd && e.r.op == opConst {
		g.ifEqualTo(g.number(e.l), low64(e.r.c), v, want, to)
		return
	}
	g.ifEqualTo(g.number(e), allOnes, v, want, to)
}

// ifLess emits < <= > >=.
func (g *coder) ifLess(e *expr, want bool, to label) {
	a, b := e.l, e.r
	if e.op == opGt || e.op == opGe {
		a, b = b, a
	}
	if e.op == opLe || e.op == opGe { // a <= b is not b < a
		a, b, want = b, a, !want
	}
	t := test{kind: testLess, want: want}
	switch {
	case a.fitsU() && b.fitsU():
	case a.fitsS() && b.fitsS():
		t.m = 1 << 63
	default:
		l := &expr{op: opLt, kind: kBool, l: a, r: b}
		g.branchClosure(l, want, to)
		return
	}
	t.a = g.number(a)
	t.b = g.number(b)
	g.test(t, to)
}
