package pipeline

import (
	"math/big"
	"math/bits"
)

// evalBig yields a number of any size. The result is scratch of the context and
// valid until the same node is evaluated again.
type evalBig func(*ctx) *big.Int

// scratch reserves a big integer in every context.
func (l *loader) scratch() int {
	l.p.nbig++
	return l.p.nbig - 1
}

// low64 is v modulo 2^64, in two's complement.
func low64(v *big.Int) uint64 {
	var lo uint64
	for i, w := range v.Bits() {
		if s := i * bits.UintSize; s < 64 {
			lo |= uint64(w) << s
		}
	}
	if v.Sign() < 0 {
		return -lo
	}
	return lo
}

// limbsOf is v modulo 2^width as limbs.
func limbsOf(v *big.Int, width int) []uint64 {
	out := make([]uint64, max(1, limbs(width)))
	putLimbs(out, v, width)
	return out
}

// putLimbs stores v modulo 2^width in out.
func putLimbs(out []uint64, v *big.Int, width int) {
	clear(out)
	for i, w := range v.Bits() {
		if s := i * bits.UintSize; s/64 < len(out) {
			out[s/64] |= uint64(w) << (s % 64)
		}
	}
	if v.Sign() < 0 { // negate
		carry := uint64(1)
		for i := range out {
			out[i], carry = bits.Add64(^out[i], 0, carry)
		}
	}
	if width > 0 {
		out[len(out)-1] &= topMask(width)
	}
}

// setLimbs sets z to a non-negative number, reusing its storage.
func setLimbs(z *big.Int, in []uint64) *big.Int {
	w := z.Bits()[:0]
	for _, v := range in {
		w = append(w, big.Word(v))
		if bits.UintSize == 32 {
			w = append(w, big.Word(v>>32))
		}
	}
	return z.SetBits(w)
}

// big compiles e to exact arithmetic.
func (l *loader) big(e *expr) evalBig {
	z := l.scratch()
	if narrow(e) {
		x := l.number(e)
		if e.fitsU() {
			return func(c *ctx) *big.Int { return c.big[z].SetUint64(x(c)) }
		}
		return func(c *ctx) *big.Int { return c.big[z].SetInt64(int64(x(c))) }
	}
	switch e.op {
	case opConst:
		v := e.c
		return func(*ctx) *big.Int { return v }
	case opField:
		return l.bigField(z, e.f.signed, e.f.width, func(c *ctx) []uint64 { return c.f[e.f.slot : e.f.slot+e.f.n] })
	case opParam:
		i := l.param0(e.idx)
		n := l.param0(e.idx+limbs(e.w)-1) + 1
		return func(c *ctx) *big.Int { return setLimbs(&c.big[z], c.f[i:n]) }
	case opDyn:
		h, slots, n := l.header(e.l), l.dynSlots(e), e.f.n
		return l.bigField(z, e.f.signed, e.f.width, func(c *ctx) []uint64 {
			if i := h(c); i >= 0 {
				return c.f[slots[i] : slots[i]+n]
			}
			return nil
		})
	case opReg:
		i, idx := e.idx, l.index(e.l)
		return func(c *ctx) *big.Int { return setLimbs(&c.big[z], c.m.registers[i].cell(idx(c))) }
	case opSelect:
		cond, x, y := l.truth(e.cond), l.big(e.l), l.big(e.r)
		return func(c *ctx) *big.Int {
			if cond(c) {
				return x(c)
			}
			return y(c)
		}
	case opNot:
		x := l.big(e.r)
		return func(c *ctx) *big.Int { return c.big[z].Not(x(c)) }
	case opTwoComp:
		return l.bigTwoComp(z, e)
	case opUSat, opSat:
		x, lo, hi := l.big(e.l), e.lo, e.hi
		return func(c *ctx) *big.Int { return maxBig(lo, minBig(hi, x(c))) }
	case opShl, opShr:
		return l.bigShift(z, e)
	}
	return l.bigBinary(z, e)
}

// narrow reports whether number yields e exactly without coming back to big.
func narrow(e *expr) bool {
	if !e.fitsU() && !e.fitsS() {
		return false
	}
	switch e.op {
	case opShr:
		return e.l.fitsU() || e.l.fitsS() ||
			e.r.op == opConst && e.l.op == opField && e.l.f.n > 1 && !e.l.f.signed && e.r.fitsU()
	case opDiv, opMod:
		return e.l.fitsU() && e.r.fitsU()
	case opUSat, opSat:
		return e.l.fitsS() && e.fitsS()
	}
	return true
}

func (l *loader) bigField(z int, signed bool, width int, get func(*ctx) []uint64) evalBig {
	if !signed {
		return func(c *ctx) *big.Int { return setLimbs(&c.big[z], get(c)) }
	}
	full := pow2(width)
	return func(c *ctx) *big.Int {
		v := setLimbs(&c.big[z], get(c))
		if v.Bit(width-1) != 0 {
			v.Sub(v, full)
		}
		return v
	}
}

func (l *loader) bigTwoComp(z int, e *expr) evalBig {
	x, w, full := l.big(e.l), e.w, pow2(e.w)
	mask := new(big.Int).Sub(full, bigInt(1))
	return func(c *ctx) *big.Int {
		v := c.big[z].And(x(c), mask)
		if v.Bit(w-1) != 0 {
			v.Sub(v, full)
		}
		return v
	}
}

// bigShift: a left shift by more than tooWide bits yields 0, since no field is
// that wide and whatever is left of the value is cut off.
func (l *loader) bigShift(z int, e *expr) evalBig {
	x, n := l.big(e.l), l.index(e.r)
	if e.op == opShl {
		return func(c *ctx) *big.Int {
			k := n(c)
			if k > tooWide {
				return c.big[z].SetUint64(0)
			}
			return c.big[z].Lsh(x(c), uint(k))
		}
	}
	return func(c *ctx) *big.Int { return c.big[z].Rsh(x(c), uint(min(n(c), 1<<30))) }
}

func (l *loader) bigBinary(z int, e *expr) evalBig {
	x, y := l.big(e.l), l.big(e.r)
	var f func(z, x, y *big.Int) *big.Int
	switch e.op {
	case opAdd:
		f = (*big.Int).Add
	case opSub:
		f = (*big.Int).Sub
	case opMul:
		f = (*big.Int).Mul
	case opAnd:
		f = (*big.Int).And
	case opOr:
		f = (*big.Int).Or
	case opXor:
		f = (*big.Int).Xor
	case opDiv, opMod:
		return l.bigDivide(z, e.op, x, y)
	default:
		l.fail("operator %d does not yield a number", e.op)
	}
	return func(c *ctx) *big.Int { return f(&c.big[z], x(c), y(c)) }
}

func (l *loader) bigDivide(z int, op opcode, x, y evalBig) evalBig {
	spare := l.scratch()
	return func(c *ctx) *big.Int {
		d := y(c)
		if d.Sign() == 0 {
			return c.big[z].SetUint64(0)
		}
		q, r := &c.big[z], &c.big[spare]
		q.QuoRem(x(c), d, r)
		if op == opDiv {
			return q
		}
		return r
	}
}
