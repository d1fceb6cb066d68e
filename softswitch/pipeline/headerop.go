package pipeline

// headerPrimitive compiles the primitives on headers, stacks and unions; nil if
// name is none of them.
func (l *loader) headerPrimitive(name string, a []jValue) op {
	switch name {
	case "add_header", "add_header_fast", "remove_header":
		e := l.headerOnly(a[0])
		l.want(e, kHeader)
		return l.validity(name, e)
	case "assign_header", "copy_header":
		return l.assignHeaders(a)
	case "assign_union":
		x, y := l.value(a[0], 0), l.value(a[1], 0)
		l.want(x, kUnion)
		l.want(y, kUnion)
		if !sameShape(x.unionCandidates()[0], y.unionCandidates()[0]) {
			l.fail("unions of different types")
		}
		dst, src := l.union(x), l.union(y)
		return func(c *ctx) {
			if d, s := dst(c), src(c); d != nil && s != nil {
				c.assignUnion(d, s)
			}
		}
	case "assign_header_stack":
		dst, src := l.stackRef(l.object(a[0], "header_stack")), l.stackRef(l.object(a[1], "header_stack"))
		if len(dst.elems) != len(src.elems) || dst.elems[0].typ != src.elems[0].typ {
			l.fail("stacks of different types")
		}
		return func(c *ctx) {
			c.f[dst.next] = c.f[src.next]
			for i, d := range dst.elems {
				c.assignHeader(d, src.elems[i])
			}
		}
	case "assign_union_stack":
		x, y := l.value(a[0], 0), l.value(a[1], 0)
		l.want(x, kUnionStack)
		l.want(y, kUnionStack)
		dst, src := x.us, y.us
		if len(dst.elems) != len(src.elems) || !sameShape(dst.elems[0], src.elems[0]) {
			l.fail("stacks of different types")
		}
		return func(c *ctx) {
			c.f[dst.next] = c.f[src.next]
			for i, d := range dst.elems {
				c.assignUnion(d, src.elems[i])
			}
		}
	case "push", "pop":
		return l.shiftStack(name == "push", a)
	}
	return nil
}

func (l *loader) assignHeaders(a []jValue) op {
	x, y := l.value(a[0], 0), l.value(a[1], 0)
	l.want(x, kHeader)
	l.want(y, kHeader)
	if x.candidates()[0].typ != y.candidates()[0].typ {
		l.fail("headers of different types")
	}
	if x.op == opHeader && y.op == opHeader {
		d, s := x.h, y.h
		return func(c *ctx) { c.assignHeader(d, s) }
	}
	dst, src := l.header(x), l.header(y)
	return func(c *ctx) {
		if d, s := dst(c), src(c); d >= 0 && s >= 0 {
			c.assignHeader(c.prog.headers[d], c.prog.headers[s])
		}
	}
}

// validity compiles setValid and setInvalid, which keep the packet length.
func (l *loader) validity(name string, e *expr) op {
	add := name != "remove_header"
	zero := name == "add_header"
	if name == "add_header_fast" {
		for _, h := range e.candidates() {
			h.whole = true
		}
	}
	do := func(c *ctx, h *header) {
		switch {
		case add && !c.isValid(h):
			if zero {
				c.zero(h)
				c.f[h.off] = 0
			}
			c.setValid(h)
			c.f[lengthSlot] += uint64(c.size(h))
		case !add && c.isValid(h):
			c.f[lengthSlot] -= uint64(c.size(h))
			c.f[h.vslot] = 0
		}
	}
	if e.op == opHeader {
		h := e.h
		return func(c *ctx) { do(c, h) }
	}
	which := l.header(e)
	return func(c *ctx) {
		if i := which(c); i >= 0 {
			do(c, c.prog.headers[i])
		}
	}
}

func (c *ctx) assignUnion(dst, src *union) {
	if dst == src {
		return
	}
	for _, d := range dst.members {
		c.f[d.vslot] = 0
	}
	for i, s := range src.members {
		if c.isValid(s) {
			c.assignHeader(dst.members[i], s)
		}
	}
}

// shiftStack compiles push_front and pop_front.
func (l *loader) shiftStack(push bool, a []jValue) op {
	e, num := l.value(a[0], 0), l.index(l.data(a[1]))
	if e.kind != kStack && e.kind != kUnionStack {
		l.fail("want a stack")
	}
	size, next := e.stackLen(), e.stackNext()
	each := func(c *ctx, i, j int) { c.swap(e.st.elems[i], e.st.elems[j]) }
	drop := func(c *ctx, i int) { c.f[e.st.elems[i].valid.slot] = 0 }
	if e.us != nil {
		each = func(c *ctx, i, j int) {
			for k, h := range e.us.elems[i].members {
				c.swap(h, e.us.elems[j].members[k])
			}
		}
		drop = func(c *ctx, i int) {
			for _, h := range e.us.elems[i].members {
				c.f[h.vslot] = 0
			}
		}
	}
	if push {
		return func(c *ctx) {
			n := int(min(num(c), uint64(size)))
			c.f[next] = min(c.f[next]+uint64(n), uint64(size))
			for i := size - 1; i >= n; i-- {
				each(c, i, i-n)
			}
			for i := range n {
				drop(c, i)
			}
		}
	}
	return func(c *ctx) {
		n := int(min(num(c), uint64(size)))
		c.f[next] -= min(c.f[next], uint64(n))
		for i := range size - n {
			each(c, i, i+n)
		}
		for i := size - n; i < size; i++ {
			drop(c, i)
		}
	}
}
