package pipeline

import "math/bits"

type (
	evalU func(*ctx) uint64 // a number modulo 2^64
	evalB func(*ctx) bool
	evalH func(*ctx) int // index of a header, -1 if there is none
	op    func(*ctx)
)

// number compiles e to a closure that yields its value modulo 2^64. That is the
// exact value if e.fitsU or (as an int64) e.fitsS; and all that is needed to
// assign to a field of up to 64 bits.
func (l *loader) number(e *expr) evalU {
	switch e.op {
	case opField:
		return loadField(e.f)
	case opConst:
		v := low64(e.c)
		return func(*ctx) uint64 { return v }
	case opParam:
		i, s, mask := l.param0(e.idx), e.sh, topMask(min(64, e.w))
		return func(c *ctx) uint64 { return c.f[i] >> s & mask }
	case opDyn:
		return l.loadDyn(e)
	case opReg:
		i, idx := e.idx, l.index(e.l)
		return func(c *ctx) uint64 { return c.m.registers[i].low(idx(c)) }
	case opAdd, opSub, opMul, opAnd, opOr, opXor:
		return l.ring(e)
	case opNot:
		x := l.number(e.r)
		return func(c *ctx) uint64 { return ^x(c) }
	case opShl:
		x, n := l.number(e.l), l.index(e.r)
		if e.r.op == opConst {
			k := n(nil)
			return func(c *ctx) uint64 { return x(c) << k }
		}
		return func(c *ctx) uint64 { return x(c) << n(c) }
	case opShr:
		return l.shiftRight(e)
	case opDiv, opMod:
		return l.divide(e)
	case opTwoComp:
		if e.w <= 64 {
			x, s := l.number(e.l), 64-e.w
			return func(c *ctx) uint64 { return uint64(int64(x(c)<<s) >> s) }
		}
	case opUSat, opSat:
		return l.saturate(e)
	case opSelect:
		cond, x, y := l.truth(e.cond), l.number(e.l), l.number(e.r)
		return func(c *ctx) uint64 {
			if cond(c) {
				return x(c)
			}
			return y(c)
		}
	case opB2D:
		b := l.truth(e.r)
		return func(c *ctx) uint64 { return b2u(b(c)) }
	case opLastIndex:
		next := e.r.stackNext()
		return func(c *ctx) uint64 { return c.f[next] - 1 }
	case opStackSize:
		next := e.r.stackNext()
		return func(c *ctx) uint64 { return c.f[next] }
	}
	x := l.big(e)
	return func(c *ctx) uint64 { return low64(x(c)) }
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func loadField(f *field) evalU {
	s := f.slot
	if f.varlen { // only its length is a number
		return func(*ctx) uint64 { return 0 }
	}
	if f.signed && f.width < 64 {
		k := 64 - f.width
		return func(c *ctx) uint64 { return uint64(int64(c.f[s]<<k) >> k) }
	}
	return func(c *ctx) uint64 { return c.f[s] }
}

// loadDyn reads a field of a header that is known only at run time; 0 if there is none.
func (l *loader) loadDyn(e *expr) evalU {
	h, slots := l.header(e.l), l.dynSlots(e)
	k := 0
	if e.f.signed && e.f.width < 64 {
		k = 64 - e.f.width
	}
	signed := e.f.signed
	return func(c *ctx) uint64 {
		i := h(c)
		if i < 0 {
			return 0
		}
		v := c.f[slots[i]]
		if signed {
			return uint64(int64(v<<k) >> k)
		}
		return v
	}
}

// dynSlots maps a header index to the slot of field e.idx; 0 for headers that cannot come up.
func (l *loader) dynSlots(e *expr) []int {
	slots := make([]int, len(l.p.headers))
	for _, h := range e.l.candidates() {
		slots[h.index] = h.fields[e.idx].slot
	}
	return slots
}

// ring compiles the operations that are exact modulo 2^64 for any operands.
func (l *loader) ring(e *expr) evalU {
	if e.op == opAnd {
		for _, s := range [2][2]*expr{{e.l, e.r}, {e.r, e.l}} {
			x, k := s[0], s[1]
			if k.op != opConst {
				continue
			}
			mask := low64(k.c)
			v := l.number(x)
			if x.fitsU() && bits.Len64(x.hi.Uint64()) <= bits.TrailingZeros64(^mask) {
				return v // the mask changes nothing
			}
			if x.op == opField && !x.f.signed && !x.f.varlen {
				i := x.f.slot
				return func(c *ctx) uint64 { return c.f[i] & mask }
			}
			return func(c *ctx) uint64 { return v(c) & mask }
		}
	}
	x, y := l.number(e.l), l.number(e.r)
	if e.r.op == opConst {
		k := low64(e.r.c)
		switch e.op {
		case opAdd:
			return func(c *ctx) uint64 { return x(c) + k }
		case opSub:
			return func(c *ctx) uint64 { return x(c) - k }
		case opOr:
			return func(c *ctx) uint64 { return x(c) | k }
		}
	}
	switch e.op {
	case opAdd:
		return func(c *ctx) uint64 { return x(c) + y(c) }
	case opSub:
		return func(c *ctx) uint64 { return x(c) - y(c) }
	case opMul:
		return func(c *ctx) uint64 { return x(c) * y(c) }
	case opAnd:
		return func(c *ctx) uint64 { return x(c) & y(c) }
	case opOr:
		return func(c *ctx) uint64 { return x(c) | y(c) }
	}
	return func(c *ctx) uint64 { return x(c) ^ y(c) }
}

// index compiles e to a number that saturates: negative or too large values are
// all ones, which no index, shift or length is.
func (l *loader) index(e *expr) evalU {
	if e.fitsU() {
		return l.number(e)
	}
	if e.fitsS() {
		x := l.number(e)
		return func(c *ctx) uint64 {
			if v := x(c); int64(v) >= 0 {
				return v
			}
			return ^uint64(0)
		}
	}
	x := l.big(e)
	return func(c *ctx) uint64 {
		if v := x(c); v.IsUint64() {
			return v.Uint64()
		}
		return ^uint64(0)
	}
}

func (l *loader) shiftRight(e *expr) evalU {
	if e.r.op == opConst && e.l.op == opField && e.l.f.n > 1 && !e.l.f.signed && e.r.fitsU() {
		return wideShift(e.l.f, e.r.c.Uint64())
	}
	if !e.l.fitsU() && !e.l.fitsS() {
		x := l.big(e)
		return func(c *ctx) uint64 { return low64(x(c)) }
	}
	x, n := l.number(e.l), l.index(e.r)
	switch {
	case e.l.fitsU() && e.r.op == opConst:
		k := n(nil)
		return func(c *ctx) uint64 { return x(c) >> k }
	case e.l.fitsU():
		return func(c *ctx) uint64 { return x(c) >> n(c) }
	}
	return func(c *ctx) uint64 { return uint64(int64(x(c)) >> n(c)) }
}

// wideShift reads 64 bits out of the middle of a wide field.
func wideShift(f *field, by uint64) evalU {
	limb, k := int(min(by/64, uint64(f.n))), by%64
	lo, hi := f.slot+limb, f.slot+limb+1
	switch {
	case limb >= f.n:
		return func(*ctx) uint64 { return 0 }
	case k == 0 || limb+1 == f.n:
		return func(c *ctx) uint64 { return c.f[lo] >> k }
	}
	return func(c *ctx) uint64 { return c.f[lo]>>k | c.f[hi]<<(64-k) }
}

func (l *loader) divide(e *expr) evalU {
	if !e.l.fitsU() || !e.r.fitsU() {
		x := l.big(e)
		return func(c *ctx) uint64 { return low64(x(c)) }
	}
	x, y := l.number(e.l), l.number(e.r)
	if e.op == opDiv {
		return func(c *ctx) uint64 {
			if d := y(c); d != 0 {
				return x(c) / d
			}
			return 0
		}
	}
	return func(c *ctx) uint64 {
		if d := y(c); d != 0 {
			return x(c) % d
		}
		return 0
	}
}

func (l *loader) saturate(e *expr) evalU {
	if !e.l.fitsS() || !e.fitsS() {
		x := l.big(e)
		return func(c *ctx) uint64 { return low64(x(c)) }
	}
	x, lo, hi := l.number(e.l), e.lo.Int64(), e.hi.Int64()
	return func(c *ctx) uint64 { return uint64(min(max(int64(x(c)), lo), hi)) }
}

// truth compiles a boolean.
func (l *loader) truth(e *expr) evalB {
	switch e.op {
	case opBool:
		b := e.b
		return func(*ctx) bool { return b }
	case opD2B:
		if e.r.op == opB2D {
			return l.truth(e.r.r)
		}
		if e.r.op == opField && e.r.f.n == 1 && !e.r.f.varlen {
			s := e.r.f.slot
			return func(c *ctx) bool { return c.f[s] != 0 }
		}
		if e.r.fitsU() || e.r.fitsS() {
			x := l.number(e.r)
			return func(c *ctx) bool { return x(c) != 0 }
		}
		x := l.big(e.r)
		return func(c *ctx) bool { return x(c).Sign() != 0 }
	case opLAnd:
		x, y := l.truth(e.l), l.truth(e.r)
		return func(c *ctx) bool { return x(c) && y(c) }
	case opLOr:
		x, y := l.truth(e.l), l.truth(e.r)
		return func(c *ctx) bool { return x(c) || y(c) }
	case opLNot:
		x := l.truth(e.r)
		return func(c *ctx) bool { return !x(c) }
	case opSelect:
		cond, x, y := l.truth(e.cond), l.truth(e.l), l.truth(e.r)
		return func(c *ctx) bool {
			if cond(c) {
				return x(c)
			}
			return y(c)
		}
	case opValid:
		if e.r.op == opHeader {
			s := e.r.h.vslot
			return func(c *ctx) bool { return c.f[s] != 0 }
		}
		h := l.header(e.r)
		return func(c *ctx) bool { i := h(c); return i >= 0 && c.isValid(c.prog.headers[i]) }
	case opValidUnion:
		return l.validUnion(e.r)
	case opEq, opNe:
		return l.equal(e)
	}
	return l.compare(e)
}

func (l *loader) validUnion(e *expr) evalB {
	u := l.union(e)
	return func(c *ctx) bool {
		x := u(c)
		return x != nil && c.validMember(x) >= 0
	}
}

// header compiles a header expression to the header's index.
func (l *loader) header(e *expr) evalH {
	switch e.op {
	case opHeader:
		i := e.h.index
		return func(*ctx) int { return i }
	case opLast:
		elems, next := e.st.elems, e.st.next
		return func(c *ctx) int {
			if n := c.f[next]; n > 0 && n <= uint64(len(elems)) {
				return elems[n-1].index
			}
			return -1
		}
	case opElem:
		elems, idx := e.st.elems, l.index(e.l)
		return func(c *ctx) int {
			if i := idx(c); i < uint64(len(elems)) {
				return elems[i].index
			}
			return -1
		}
	case opMember:
		u, k := l.union(e.l), e.idx
		return func(c *ctx) int {
			if x := u(c); x != nil {
				return x.members[k].index
			}
			return -1
		}
	}
	l.fail("want a header")
	return nil
}

func (l *loader) union(e *expr) func(*ctx) *union {
	if e.op == opUnion {
		u := e.u
		return func(*ctx) *union { return u }
	}
	elems, idx := e.us.elems, l.index(e.l)
	return func(c *ctx) *union {
		if i := idx(c); i < uint64(len(elems)) {
			return elems[i]
		}
		return nil
	}
}
