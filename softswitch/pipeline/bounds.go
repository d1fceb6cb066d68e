package pipeline

import "math/big"

func minBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

func maxBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) > 0 {
		return a
	}
	return b
}

// tooWide caps bounds: beyond it a value counts as unbounded.
const tooWide = 4 * maxWidth

// arith makes a binary operation and bounds its result by interval arithmetic.
func arith(op opcode, a, b *expr) *expr {
	e := &expr{op: op, l: a, r: b}
	if op >= opEq {
		e.kind = kBool
		return e
	}
	if a.lo == nil || a.hi == nil || b.lo == nil || b.hi == nil {
		if op == opAnd { // a bounded non-negative side bounds the result
			for _, x := range []*expr{a, b} {
				if x.nonNegative() && x.hi != nil {
					return e.bounds(bigInt(0), x.hi)
				}
			}
		}
		return e
	}
	var lo, hi big.Int
	switch op {
	case opAdd:
		lo.Add(a.lo, b.lo)
		hi.Add(a.hi, b.hi)
	case opSub:
		lo.Sub(a.lo, b.hi)
		hi.Sub(a.hi, b.lo)
	case opMul:
		mulBounds(&lo, &hi, a, b)
	case opDiv, opMod:
		return e.divBounds()
	case opShl:
		if !b.nonNegative() || !b.hi.IsInt64() || b.hi.Int64() > tooWide {
			return e
		}
		lo.Lsh(a.lo, uint(b.hi.Int64()))
		hi.Lsh(a.hi, uint(b.hi.Int64()))
		lo.Set(minBig(&lo, a.lo))
		hi.Set(maxBig(&hi, a.hi))
	case opShr:
		lo.Set(minBig(a.lo, bigInt(0)))
		hi.Set(maxBig(a.hi, bigInt(0)))
		if b.op == opConst && b.c.IsInt64() && b.c.Int64() >= 0 && b.c.Int64() < tooWide {
			lo.Rsh(a.lo, uint(b.c.Int64()))
			hi.Rsh(a.hi, uint(b.c.Int64()))
		}
	default:
		return e.bitBounds()
	}
	if lo.BitLen() > tooWide || hi.BitLen() > tooWide {
		return e
	}
	return e.bounds(&lo, &hi)
}

func mulBounds(lo, hi *big.Int, a, b *expr) {
	for i, x := range []*big.Int{a.lo, a.hi} {
		for j, y := range []*big.Int{b.lo, b.hi} {
			p := new(big.Int).Mul(x, y)
			if i == 0 && j == 0 {
				lo.Set(p)
				hi.Set(p)
				continue
			}
			lo.Set(minBig(lo, p))
			hi.Set(maxBig(hi, p))
		}
	}
}

// divBounds: bmv2 divides non-negative numbers only; x/0 and x%0 are 0 here.
func (e *expr) divBounds() *expr {
	if !e.l.nonNegative() || !e.r.nonNegative() {
		return e
	}
	if e.op == opMod {
		return e.bounds(bigInt(0), minBig(e.l.hi, e.r.hi))
	}
	return e.bounds(bigInt(0), e.l.hi)
}

// bitBounds bounds &, | and ^ by the bits involved.
func (e *expr) bitBounds() *expr {
	a, b := e.l, e.r
	if e.op == opAnd {
		switch {
		case a.nonNegative() && b.nonNegative():
			return e.bounds(bigInt(0), minBig(a.hi, b.hi))
		case a.nonNegative():
			return e.bounds(bigInt(0), a.hi)
		case b.nonNegative():
			return e.bounds(bigInt(0), b.hi)
		}
	}
	w := 0
	for _, x := range []*big.Int{a.lo, a.hi, b.lo, b.hi} {
		w = max(w, x.BitLen())
	}
	if a.nonNegative() && b.nonNegative() {
		return e.unsigned(w)
	}
	return e.signed(w + 1)
}

func notExpr(x *expr) *expr {
	e := &expr{op: opNot, r: x}
	if x.lo == nil || x.hi == nil {
		return e
	}
	return e.bounds(new(big.Int).Not(x.hi), new(big.Int).Not(x.lo))
}
