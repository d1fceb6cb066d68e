package pipeline

import "math"

// equal compiles == and != of numbers, booleans, headers and unions.
func (l *loader) equal(e *expr) evalB {
	ne := e.op == opNe
	var eq evalB
	switch e.l.kind {
	case kBool:
		x, y := l.truth(e.l), l.truth(e.r)
		return func(c *ctx) bool { return (x(c) == y(c)) != ne }
	case kHeader:
		x, y := l.header(e.l), l.header(e.r)
		eq = func(c *ctx) bool { return c.sameHeader(x(c), y(c)) }
	case kUnion:
		x, y := l.union(e.l), l.union(e.r)
		eq = func(c *ctx) bool { return c.sameUnion(x(c), y(c)) }
	default:
		return l.equalData(e, ne)
	}
	return func(c *ctx) bool { return eq(c) != ne }
}

func (l *loader) equalData(e *expr, ne bool) evalB {
	if e.l.op == opField && e.l.f.varlen && e.r.op == opField && e.r.f.varlen {
		a, b := e.l.f, e.r.f
		return func(c *ctx) bool { return c.sameVar(a, b) != ne }
	}
	bothU, bothS := e.l.fitsU() && e.r.fitsU(), e.l.fitsS() && e.r.fitsS()
	if bothU || bothS {
		x, y := l.number(e.l), l.number(e.r)
		if e.r.op == opConst {
			k := low64(e.r.c)
			if e.l.op == opField && !e.l.f.signed && !e.l.f.varlen {
				s := e.l.f.slot
				if ne {
					return func(c *ctx) bool { return c.f[s] != k }
				}
				return func(c *ctx) bool { return c.f[s] == k }
			}
			return func(c *ctx) bool { return (x(c) == k) != ne }
		}
		if ne {
			return func(c *ctx) bool { return x(c) != y(c) }
		}
		return func(c *ctx) bool { return x(c) == y(c) }
	}
	if a, ok := l.wideOf(e.l); ok {
		if b, ok := l.wideOf(e.r); ok {
			return func(c *ctx) bool { return sameLimbs(a.get(c), b.get(c)) != ne }
		}
	}
	x, y := l.big(e.l), l.big(e.r)
	return func(c *ctx) bool { return (x(c).Cmp(y(c)) == 0) != ne }
}

// wide is a number that lies somewhere as limbs: an unsigned field, a
// parameter or a constant.
type wide struct {
	lit    []uint64
	off, n int
}

func (l *loader) wideOf(e *expr) (wide, bool) {
	switch {
	case e.op == opField && !e.f.signed && !e.f.varlen:
		return wide{off: e.f.slot, n: e.f.n}, true
	case e.op == opParam && e.w > 64:
		l.param0(e.idx + limbs(e.w) - 1)
		return wide{off: int(l.param0(e.idx)), n: limbs(e.w)}, true
	case e.op == opConst && e.c.Sign() >= 0:
		return wide{lit: limbsOf(e.c, max(64, e.c.BitLen()))}, true
	}
	return wide{}, false
}

func (w *wide) get(c *ctx) []uint64 {
	switch {
	case w.lit != nil:
		return w.lit
	}
	return c.f[w.off : w.off+w.n]
}

func sameLimbs(a, b []uint64) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	var d uint64
	for i, v := range a {
		if i < len(b) {
			d |= v ^ b[i]
		} else {
			d |= v
		}
	}
	return d == 0
}

// compare compiles < <= > >=.
func (l *loader) compare(e *expr) evalB {
	a, b, or := e.l, e.r, e.op == opLe || e.op == opGe
	if e.op == opGt || e.op == opGe {
		a, b = b, a
	}
	switch {
	case a.fitsU() && b.fitsU():
		x, y := l.number(a), l.number(b)
		if or {
			return func(c *ctx) bool { return x(c) <= y(c) }
		}
		return func(c *ctx) bool { return x(c) < y(c) }
	case a.fitsS() && b.fitsS():
		x, y := l.number(a), l.number(b)
		if or {
			return func(c *ctx) bool { return int64(x(c)) <= int64(y(c)) }
		}
		return func(c *ctx) bool { return int64(x(c)) < int64(y(c)) }
	}
	x, y := l.big(a), l.big(b)
	limit := 0
	if or {
		limit = 1
	}
	return func(c *ctx) bool { return x(c).Cmp(y(c)) < limit }
}

// clampInt converts an index to an int without overflow.
func clampInt(v uint64) int { return int(min(v, math.MaxInt32)) }
