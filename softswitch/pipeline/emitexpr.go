package pipeline

import (
	"fmt"
	"math/bits"
)

// operand is a number as a step reads it: rotate(slot, s) & m, complemented if not.
type operand struct {
	slot uint16
	s    uint8
	m    uint64
	not  bool
}

// strip removes what does not change the value modulo 2^64: masks of bits that
// are 0 anyway.
func strip(e *expr) *expr {
	for e.op == opAnd {
		x, k := e.l, e.r
		if k.op != opConst {
			x, k = k, x
		}
		if k.op != opConst || mayBe(x)&^low64(k.c) != 0 {
			return e
		}
		e = x
	}
	return e
}

// mayBe are the bits that can be other than 0 in e modulo 2^64.
func mayBe(e *expr) uint64 {
	switch e.op {
	case opConst:
		return low64(e.c)
	case opAnd:
		return mayBe(e.l) & mayBe(e.r)
	case opOr, opXor:
		return mayBe(e.l) | mayBe(e.r)
	case opShl:
		if e.r.op == opConst && e.r.fitsU() {
			return mayBe(e.l) << e.r.c.Uint64()
		}
	}
	if e.fitsU() {
		return 1<<bits.Len64(e.hi.Uint64()) - 1
	}
	return allOnes
}

// operand makes e something that a step can read, with as few steps ahead of it
// as possible.
func (g *coder) operand(e *expr) operand {
	e = strip(e)
	switch {
	case e.op == opParam:
		return operand{slot: g.l.param0(e.idx), s: -e.sh & 63, m: topMask(min(64, e.w))}
	case e.op == opNot:
		if o := g.operand(e.r); !o.not {
			o.not = true
			return o
		}
	case e.op == opAnd && e.r.op == opConst:
		if o := g.operand(e.l); !o.not {
			o.m &= low64(e.r.c)
			return o
		}
	case (e.op == opShl || e.op == opShr && e.l.fitsU()) && e.r.op == opConst && e.r.fitsU() && e.r.c.Uint64() < 64:
		if o := g.operand(e.l); !o.not {
			return o.shift(e.op == opShl, uint8(e.r.c.Uint64()))
		}
	}
	return operand{slot: g.number(e), m: allOnes}
}

// shift is an operand shifted by n < 64 bits.
func (o operand) shift(left bool, n uint8) operand {
	if left {
		o.m = bits.RotateLeft64(o.m, int(n)) &^ (1<<n - 1)
		o.s = (o.s + n) & 63
		return o
	}
	o.m >>= n
	o.s = (o.s - n) & 63
	return o
}

// param0 is the slot of a word of the running action's parameters.
func (l *loader) param0(word int) uint16 {
	if word >= maxParams {
		l.unsupported("more than %d words of action parameters", maxParams)
	}
	return uint16(l.p.temp0 - maxParams + word)
}

// number emits e and returns the slot that then holds it modulo 2^64, with the
// exactness of loader.number.
func (g *coder) number(e *expr) uint16 {
	e = strip(e)
	switch {
	case e.op == opConst:
		return g.l.literal(low64(e.c))
	case e.op == opField && !e.f.signed && !e.f.varlen:
		return uint16(e.f.slot)
	case e.op == opB2D && e.r.op == opValid && e.r.r.op == opHeader:
		return uint16(e.r.r.h.vslot)
	}
	key, ok := e.key()
	if t, seen := g.memo[key]; ok && seen {
		return t
	}
	t := g.temp()
	g.into(t, allOnes, e)
	if ok {
		g.memo[key] = t
	}
	return t
}

// key names an expression, if it is simple enough for its value to be used
// again in the same statement.
func (e *expr) key() (string, bool) {
	switch e.op {
	case opConst:
		return e.c.String(), true
	case opField:
		return fmt.Sprintf("f%d", e.f.slot), !e.f.varlen
	case opParam:
		return fmt.Sprintf("p%d.%d", e.idx, e.sh), true
	case opAdd, opSub, opMul, opAnd, opOr, opXor, opShl, opShr:
		l, ok := e.l.key()
		r, also := e.r.key()
		return fmt.Sprintf("(%s %d %s)", l, e.op, r), ok && also && len(l)+len(r) < 1000
	case opNot:
		r, ok := e.r.key()
		return fmt.Sprintf("(%d %s)", e.op, r), ok
	case opTwoComp:
		l, ok := e.l.key()
		return fmt.Sprintf("(%s %d %d)", l, e.op, e.w), ok
	}
	return "", false
}

// into emits a = e & k.
func (g *coder) into(a uint16, k uint64, e *expr) {
	if g.l.plain {
		g.closure(a, k, e)
		return
	}
	e = strip(e)
	switch e.op {
	case opConst:
		g.set(a, low64(e.c)&k)
	case opField:
		g.field(a, k, e.f)
	case opAdd, opSub:
		g.sum(a, k, e.l, e.r, e.op == opSub)
	case opMul, opAnd, opOr, opXor:
		g.bitwise(a, k, e)
	case opParam:
		o := g.operand(e)
		g.move(a, o.slot, o.s, o.m&k)
	case opNot:
		o := g.operand(e.r)
		p := step{kind: stepMix, a: a, b: o.slot, c: g.l.literal(0), s: o.s, m: o.m, k: k}
		if !o.not {
			p.pre = -1
		}
		g.step(p)
	case opShl, opShr:
		g.shift(a, k, e)
	case opTwoComp:
		if e.w > 64 {
			g.closure(a, k, e)
			return
		}
		g.emit(ins{op: iSext, s: uint8(64 - e.w), a: a, b: g.number(e.l), k: k})
	case opSelect:
		g.choice(a, k, e)
	case opB2D:
		g.bit(a, k, e.r)
	case opLastIndex:
		g.step(step{kind: stepMix, a: a, b: uint16(e.r.stackNext()), c: g.l.literal(allOnes), m: allOnes, k: k})
	case opStackSize:
		g.move(a, uint16(e.r.stackNext()), 0, k)
	default:
		g.closure(a, k, e)
	}
}

// choice emits a = cond ? l : r. What one arm computes the other may not use.
func (g *coder) choice(a uint16, k uint64, e *expr) {
	no, end := g.label(), g.label()
	g.branch(e.cond, false, no)
	clear(g.memo)
	g.into(a, k, e.l)
	g.jump(end)
	g.here(no)
	clear(g.memo)
	g.into(a, k, e.r)
	g.here(end)
	clear(g.memo)
}

// closure emits the general form.
func (g *coder) closure(a uint16, k uint64, e *expr) {
	x := &g.l.p.code
	x.nums = append(x.nums, g.l.number(e))
	g.emit(ins{op: iNum, a: a, k: uint64(len(x.nums) - 1)})
	if k != allOnes {
		g.move(a, a, 0, k)
	}
}

func (g *coder) field(a uint16, k uint64, f *field) {
	switch {
	case f.varlen: // not a number
		g.set(a, 0)
	case f.signed && f.width < 64:
		g.emit(ins{op: iSext, s: uint8(64 - f.width), a: a, b: uint16(f.slot), k: k})
	default:
		g.move(a, uint16(f.slot), 0, k)
	}
}

// bit emits a = the boolean e.
func (g *coder) bit(a uint16, k uint64, e *expr) {
	if e.op == opValid && e.r.op == opHeader {
		g.move(a, uint16(e.r.h.vslot), 0, k)
		return
	}
	no, end := g.label(), g.label()
	g.branch(e, false, no)
	g.set(a, 1&k)
	g.jump(end)
	g.here(no)
	g.set(a, 0)
	g.here(end)
	clear(g.memo)
}

// sum emits a = (l ± r) & k.
func (g *coder) sum(a uint16, k uint64, l, r *expr, minus bool) {
	p := step{kind: stepMix, a: a, k: k}
	switch {
	case minus && r.op == opConst:
		p.c = g.l.literal(-low64(r.c))
	case minus: // l - r = ~(~l + r)
		p.pre, p.post = -1, -1
		p.c = g.number(r)
	default:
		p.c = g.number(r)
	}
	o := g.operand(l)
	if o.not {
		p.pre = ^p.pre
	}
	p.b, p.s, p.m = o.slot, o.s, o.m
	g.step(p)
}

// bitwise emits & | ^ and *.
func (g *coder) bitwise(a uint16, k uint64, e *expr) {
	switch {
	case e.op == opAnd && (e.l.op == opConst || e.r.op == opConst):
		x, mask := e.l, e.r
		if mask.op != opConst {
			x, mask = mask, x
		}
		g.into(a, k&low64(mask.c), x)
		return
	case (e.op == opOr || e.op == opXor) && mayBe(e.l)&mayBe(e.r) == 0:
		g.sum(a, k, e.l, e.r, false)
		return
	}
	op := map[opcode]opc{opMul: iMul, opAnd: iAnd, opOr: iOr, opXor: iXor}[e.op]
	x := g.number(e.l)
	g.emit(ins{op: op, a: a, b: x, c: uint32(g.number(e.r)), k: k})
}

func (g *coder) shift(a uint16, k uint64, e *expr) {
	constant := e.r.op == opConst && e.r.fitsU()
	if e.op == opShr && constant && e.l.op == opField && e.l.f.n > 1 && !e.l.f.signed {
		g.wideShift(a, k, e.l.f, e.r.c.Uint64())
		return
	}
	if e.op == opShr && !e.l.fitsU() && !e.l.fitsS() || !e.r.fitsU() {
		g.closure(a, k, e)
		return
	}
	small := constant && e.r.c.Uint64() < 64
	if small && (e.op == opShl || e.l.fitsU()) {
		o := g.operand(e.l)
		if o.not {
			o = operand{slot: g.number(e.l), m: allOnes}
		}
		o = o.shift(e.op == opShl, uint8(e.r.c.Uint64()))
		g.move(a, o.slot, o.s, o.m&k)
		return
	}
	x := g.number(e.l)
	switch {
	case small:
		g.emit(ins{op: iSarK, a: a, b: x, s: uint8(e.r.c.Uint64()), k: k})
	case e.op == opShl:
		g.emit(ins{op: iShl, a: a, b: x, c: uint32(g.number(e.r)), k: k})
	case e.l.fitsU():
		g.emit(ins{op: iShr, a: a, b: x, c: uint32(g.number(e.r)), k: k})
	default:
		g.emit(ins{op: iSar, a: a, b: x, c: uint32(g.number(e.r)), k: k})
	}
}

// wideShift emits 64 bits out of the middle of a wide field.
func (g *coder) wideShift(a uint16, k uint64, f *field, by uint64) {
	limb, s := int(min(by/64, uint64(f.n))), uint8(by%64)
	lo := uint16(f.slot + limb)
	switch {
	case limb >= f.n:
		g.set(a, 0)
	case s == 0 || limb+1 == f.n:
		g.move(a, lo, -s&63, k&(allOnes>>s))
	default:
		g.emit(ins{op: iCatK, s: s, a: a, b: lo, c: uint32(lo + 1), k: k})
	}
}
