package pipeline

import "math/big"

// limbwise reports whether every limb of e can be computed by itself: bit
// operations over unsigned fields, parameters and constants.
func limbwise(e *expr) bool {
	switch e.op {
	case opField:
		return !e.f.signed && !e.f.varlen
	case opParam:
		return true
	case opConst:
		return e.c.Sign() >= 0
	case opAnd, opOr, opXor:
		return limbwise(e.l) && limbwise(e.r)
	}
	return e.fitsU()
}

// limb returns a slot with limb i of a limbwise expression.
func (g *coder) limb(e *expr, i int) uint16 {
	switch {
	case e.op == opField && i < e.f.n:
		return uint16(e.f.slot + i)
	case e.op == opConst:
		v := new(big.Int).Rsh(e.c, uint(64*i))
		return g.l.literal(low64(v))
	case e.op == opField, e.op == opParam && i >= limbs(e.w), e.fitsU() && i > 0:
		return g.l.literal(0)
	case e.op == opParam, e.op == opAnd, e.op == opOr, e.op == opXor:
		t := g.temp()
		g.limbInto(t, allOnes, e, i)
		return t
	}
	return g.number(e)
}

// limbInto emits a = limb i of e & k.
func (g *coder) limbInto(a uint16, k uint64, e *expr, i int) {
	switch {
	case e.fitsU() && i == 0:
		g.into(a, k, e)
	case e.op == opParam && i < limbs(e.w):
		g.move(a, g.l.param0(e.idx+i), -e.sh&63, k&limbMask(e.w, i))
	case e.op == opAnd || e.op == opOr || e.op == opXor:
		x := g.limb(e.l, i)
		op := map[opcode]opc{opAnd: iAnd, opOr: iOr, opXor: iXor}[e.op]
		g.emit(ins{op: op, a: a, b: x, c: uint32(g.limb(e.r, i)), k: k})
	default:
		g.move(a, g.limb(e, i), 0, k)
	}
}

// limbMask is what limb i of a number of width bits can hold.
func limbMask(width, i int) uint64 {
	if i == limbs(width)-1 {
		return topMask(width)
	}
	return allOnes
}

// assignWide emits f = e limb by limb; false if there is no such form.
func (g *coder) assignWide(f *field, e *expr) bool {
	if !limbwise(e) || f.n > 8 {
		return false
	}
	for i := range f.n {
		g.limbInto(uint16(f.slot+i), limbMask(f.width, i), e, i)
	}
	return true
}

// ifSame emits: go to if (l == r) is want, for limbwise operands.
func (g *coder) ifSame(l, r *expr, want bool, to label) bool {
	n := max(width(l), width(r))
	if !limbwise(l) || !limbwise(r) || n > 8 {
		return false
	}
	differ := to
	if want {
		differ = g.label()
	}
	for i := range n {
		x := g.limb(l, i)
		g.test(test{kind: testEqual, a: x, b: g.limb(r, i)}, differ)
	}
	if want {
		g.jump(to)
		g.here(differ)
	}
	return true
}

// width is that of a non-negative expression, in limbs.
func width(e *expr) int {
	if e.hi == nil {
		return maxWidth
	}
	return max(1, limbs(e.hi.BitLen()))
}
