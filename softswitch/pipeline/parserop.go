package pipeline

import (
	"encoding/json"
)

// stop ends parsing with an error of the core library.
func (c *ctx) stop(code uint64) { c.failed, c.perr = true, code }

// parserOp emits an operation; one that fails goes to fail.
func (g *coder) parserOp(j *jParserOp, fail label) {
	l := g.l
	param := func(i int) jValue {
		var v jValue
		if i >= len(j.Parameters) {
			l.fail("%d parameters", len(j.Parameters))
		}
		l.decode(j.Parameters[i], &v)
		return v
	}
	check := func(o op) {
		g.call(o)
		g.emit(ins{op: iFailed, c: uint32(fail)})
	}
	switch j.Op {
	case "extract":
		g.extract(param(0), fail)
	case "extract_VL":
		check(l.extractOp(param(0), l.data(param(1))))
	case "set":
		dst, src := param(0), param(1)
		if src.Type == "lookahead" {
			check(l.setLookahead(dst, src))
			return
		}
		d, e := l.data(dst), l.data(src)
		if l.plain || !g.assign(d, e) {
			g.call(l.assign(d, e))
		}
	case "verify":
		param(1)
		code := l.number(l.data(param(1)))
		ok := g.label()
		g.branch(l.boolean(j.Parameters[0]), true, ok)
		g.call(func(c *ctx) { c.stop(code(c)) })
		g.jump(fail)
		g.here(ok)
	case "advance":
		check(l.advance(l.index(l.data(param(0)))))
	case "shift":
		var n uint64
		if len(j.Parameters) == 0 || json.Unmarshal(j.Parameters[0], &n) != nil || n > maxWidth {
			l.fail("want a number of bytes")
		}
		check(l.advance(func(*ctx) uint64 { return 8 * n }))
	case "primitive":
		var p jPrimitive
		if len(j.Parameters) != 1 {
			l.fail("%d parameters", len(j.Parameters))
		}
		l.decode(j.Parameters[0], &p)
		if p.Op == "_jump" || p.Op == "_jump_if_zero" || p.Op == "exit" {
			l.unsupported("primitive %q in a parser", p.Op)
		}
		g.primitive(&p, 0, nil)
	default:
		l.unsupported("parser operation %q", j.Op)
	}
}

// extract emits the extraction of a header.
func (g *coder) extract(dst jValue, fail label) {
	l := g.l
	if dst.Type == "regular" && !l.plain {
		h := l.headerRef(l.str(dst.Value))
		l.extractable(h, nil)
		if h.vl == nil && h.union == nil {
			x := &l.p.code
			x.heads = append(x.heads, headCode{h: h})
			g.emit(ins{op: iExtract, c: uint32(fail), k: uint64(len(x.heads) - 1)})
			return
		}
	}
	g.call(l.extractOp(dst, nil))
	g.emit(ins{op: iFailed, c: uint32(fail)})
}

func (l *loader) advance(bits evalU) op {
	short, bad := l.p.errors["PacketTooShort"], l.p.errors["ParserInvalidArgument"]
	return func(c *ctx) {
		n := bits(c)
		switch {
		case n%8 != 0:
			c.stop(bad)
		case n/8 > uint64(len(c.ahead())):
			c.stop(short)
		default:
			c.f[parsedSlot] += n / 8
		}
	}
}

// setLookahead assigns what lies ahead in the packet.
func (l *loader) setLookahead(dst, src jValue) op {
	off, width := l.lookahead(src.Value)
	e := l.data(dst)
	l.lvalue(e)
	if e.op != opField || e.f.varlen {
		l.unsupported("lookahead into this destination")
	}
	f, short := e.f, l.p.errors["PacketTooShort"]
	return func(c *ctx) {
		d := c.f[f.slot : f.slot+f.n]
		if !c.peek(d, off, width) {
			c.stop(short)
			return
		}
		d[f.n-1] &= f.mask()
	}
}

// peek reads width bits at bit offset off of what is not yet parsed, as limbs
// (modulo the length of dst).
func (c *ctx) peek(dst []uint64, off, width int) bool {
	data := c.ahead()
	if off+width > 8*len(data) {
		return false
	}
	clear(dst)
	for i := 0; i < len(dst) && width > 0; i++ {
		n := min(64, width)
		dst[i] = bitsAt(data, off+width-n, n)
		width -= n
	}
	return true
}

// extractOp compiles extract (bits nil) and extract_VL.
func (l *loader) extractOp(dst jValue, bits *expr) op {
	switch dst.Type {
	case "regular":
		h := l.headerRef(l.str(dst.Value))
		l.extractable(h, bits)
		if bits == nil {
			return func(c *ctx) { c.extract(h, 0) }
		}
		vl := l.index(bits)
		return func(c *ctx) { c.extract(h, vl(c)) }
	case "stack":
		st := l.stackRef(l.str(dst.Value))
		return l.extractNext(len(st.elems), st.next, func(i int) *header { return st.elems[i] }, bits)
	case "union_stack":
		var ref []string
		l.decode(dst.Value, &ref)
		if len(ref) != 2 {
			l.fail("want [union stack, member]")
		}
		us, m := l.unionMember(ref[0], ref[1])
		return l.extractNext(len(us.elems), us.next, func(i int) *header { return us.elems[i].members[m] }, bits)
	}
	l.unsupported("extract of type %q", dst.Type)
	return nil
}

func (l *loader) extractable(h *header, bits *expr) {
	if h.metadata {
		l.fail("extract to metadata %s", h.name)
	}
	if bits != nil && h.vl == nil {
		l.fail("extract_VL to %s, which has no variable-length field", h.name)
	}
}

func (l *loader) extractNext(size, next int, elem func(int) *header, bits *expr) op {
	l.extractable(elem(0), bits)
	full := l.p.errors["StackOutOfBounds"]
	vl := evalU(func(*ctx) uint64 { return 0 })
	if bits != nil {
		vl = l.index(bits)
	}
	return func(c *ctx) {
		i := c.f[next]
		if i >= uint64(size) {
			c.stop(full)
			return
		}
		if c.extract(elem(int(i)), vl(c)); !c.failed {
			c.f[next]++
		}
	}
}

// extract reads h with a variable-length field of the given bits.
func (c *ctx) extract(h *header, bits uint64) {
	e := &c.m.perr
	data := c.ahead()
	if bits%8 != 0 {
		c.stop(e.badArgument)
		return
	}
	fixed := h.preLen + h.postLen
	n := bits / 8
	switch {
	case n > maxWidth || fixed+int(n) > len(data):
		c.stop(e.tooShort)
		return
	case h.vl != nil && int(n) > h.vl.max:
		c.stop(e.headerTooShort)
		return
	}
	extract(h.pre, c.f, data)
	if h.vl != nil {
		copy(c.vb[h.vl.off:], data[h.preLen:h.preLen+int(n)])
		c.f[h.vl.slot] = n
		extract(h.post, c.f, data[h.preLen+int(n):])
	}
	c.f[parsedSlot] += uint64(fixed) + n
	c.setValid(h)
	c.f[h.off] = 0
}

// emitHeader writes h to out, which has eight bytes to spare, and returns its length.
func (c *ctx) emitHeader(h *header, out []byte) int {
	if at := c.f[h.off]; at != 0 {
		from := c.frame[at-1:]
		copy(out[:h.preLen], from)
		patch(h.store, c.f, from, out)
		return h.preLen
	}
	deposit(h.pre, c.f, out)
	if h.vl == nil {
		return h.preLen
	}
	n := h.preLen + copy(out[h.preLen:], c.varBytes(h.vl))
	deposit(h.post, c.f, out[n:])
	return n + h.postLen
}

// parse runs the parser over the frame and verifies checksums.
func (c *ctx) parse() {
	c.failed, c.perr = false, c.m.perr.none
	c.loops = 0
	c.run(c.prog.code.parser)
	if c.failed {
		c.m.parserErrors.Add(1)
	}
	std := &c.prog.std
	c.set(&std.parserError, c.perr)
	c.set(&std.checksumError, 0)
	for _, k := range c.prog.verify {
		if !k.ok(c) {
			c.set(&std.checksumError, 1)
		}
	}
}

// choose is the index of the case that the packet matches, the number of cases
// if there is none.
func (s *parseState) choose(c *ctx) uint64 {
	for i := range s.key {
		k := &s.key[i]
		dst := c.key[k.at : k.at+k.n]
		switch {
		case k.field != nil:
			copy(dst, c.f[k.field.slot:k.field.slot+k.n])
		case k.dyn != nil:
			clear(dst)
			if h := k.h(c); h >= 0 {
				copy(dst, c.f[k.slots[h]:k.slots[h]+k.n])
			}
		case !c.peek(dst, k.look, k.width):
			c.stop(c.m.perr.tooShort)
		}
	}
	for i := range s.cases {
		if k := &s.cases[i]; k.matches(c, s.words) {
			return uint64(i)
		}
	}
	return uint64(len(s.cases))
}

func (k *parseCase) matches(c *ctx, words int) bool {
	if k.vset != nil {
		return c.m.vsets[k.vset.index].contains(c.key[:words], k.mask)
	}
	for i, v := range k.value {
		if c.key[i]&k.mask[i] != v {
			return false
		}
	}
	return true
}
