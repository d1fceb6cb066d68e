package pipeline

// lvalue checks that e can be assigned to.
func (l *loader) lvalue(e *expr) {
	if e.op != opField && e.op != opDyn && e.op != opReg {
		l.fail("cannot assign to this expression")
	}
	if e.op == opField && e.f.valid {
		l.unsupported("assignment to %s", e.f.name)
	}
	if e.op == opField {
		e.f.set = true
	}
}

// assign compiles dst = src: the value modulo 2^width, or clamped to the field's
// range if the field saturates.
func (l *loader) assign(dst, src *expr) op {
	l.lvalue(dst)
	if dst.op == opReg {
		return l.assignReg(dst, src)
	}
	f := dst.f
	if f.varlen {
		if src.op != opField || !src.f.varlen {
			l.fail("%s: assigned from something that is not of variable length", f.name)
		}
		a, b := f, src.f
		return func(c *ctx) { c.copyVar(a, b) }
	}
	if f.sat {
		o := opUSat
		e := &expr{op: o, l: src, w: f.width}
		if f.signed {
			e.op = opSat
			e.signed(f.width)
		} else {
			e.unsigned(f.width)
		}
		src = e
	}
	if dst.op == opDyn {
		return l.assignDyn(dst, src)
	}
	if f.n > 1 {
		return l.assignWide(f, src)
	}
	return l.assignNarrow(f, src)
}

func (l *loader) assignNarrow(f *field, src *expr) op {
	s, mask := f.slot, f.mask()
	if src.op == opAnd && src.r.op == opConst && low64(src.r.c)&mask == mask {
		src = src.l // p4c masks what the assignment masks anyway
	}
	if src.op == opConst {
		k := low64(src.c) & mask
		return func(c *ctx) { c.f[s] = k }
	}
	x := l.number(src)
	return func(c *ctx) { c.f[s] = x(c) & mask }
}

func (l *loader) assignWide(f *field, src *expr) op {
	s, n, width := f.slot, f.n, f.width
	top := topMask(width)
	if w, ok := l.wideOf(src); ok {
		return func(c *ctx) {
			d := c.f[s : s+n]
			k := copy(d, w.get(c))
			clear(d[k:])
			d[n-1] &= top
		}
	}
	x := l.big(src)
	return func(c *ctx) { putLimbs(c.f[s:s+n], x(c), width) }
}

// assignDyn writes to a header that is known only at run time; to none, if the
// index is out of range.
func (l *loader) assignDyn(dst, src *expr) op {
	h, slots, f := l.header(dst.l), l.dynSlots(dst), dst.f
	if f.n > 1 {
		x := l.big(src)
		return func(c *ctx) {
			if i := h(c); i >= 0 {
				putLimbs(c.f[slots[i]:slots[i]+f.n], x(c), f.width)
			}
		}
	}
	x, mask := l.number(src), f.mask()
	return func(c *ctx) {
		if i := h(c); i >= 0 {
			c.f[slots[i]] = x(c) & mask
		}
	}
}

func (l *loader) assignReg(dst, src *expr) op {
	i, idx, w := dst.idx, l.index(dst.l), dst.w
	if w <= 64 {
		x, mask := l.number(src), topMask(w)
		return func(c *ctx) {
			if cell := c.m.registers[i].cell(idx(c)); cell != nil {
				cell[0] = x(c) & mask
			}
		}
	}
	x := l.big(src)
	return func(c *ctx) {
		if cell := c.m.registers[i].cell(idx(c)); cell != nil {
			putLimbs(cell, x(c), w)
		}
	}
}
