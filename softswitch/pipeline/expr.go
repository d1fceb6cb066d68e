package pipeline

import (
	"encoding/json"
	"math/big"
)

// kind is the type of an expression.
type kind uint8

const (
	kData kind = iota
	kBool
	kHeader
	kStack
	kUnion
	kUnionStack
)

// opcode is what an expression does with its operands.
type opcode uint8

const (
	opField opcode = iota // f
	opDyn                 // field number idx of header l; f is that field of any of its candidates
	opConst               // c
	opParam               // action parameter idx
	opReg                 // register array idx, cell l
	opAdd
	opSub
	opMul
	opDiv
	opMod
	opShl
	opShr
	opAnd
	opOr
	opXor
	opNot
	opTwoComp // l modulo 2^w, signed
	opUSat    // l clamped to w unsigned bits
	opSat     // l clamped to w signed bits
	opSelect  // cond ? l : r
	opB2D
	opLastIndex
	opStackSize
	opBool // b
	opD2B
	opEq
	opNe
	opLt
	opLe
	opGt
	opGe
	opLAnd
	opLOr
	opLNot
	opValid
	opValidUnion
	opHeader // h
	opElem   // element l of stack st, or of union stack us
	opLast   // last element of stack st
	opMember // member idx of union l
	opStack
	opUnion
	opUnionStack
)

// expr is a typed expression. Data is arithmetic over the integers, as in bmv2;
// lo and hi bound every value that it can take, which decides whether 64-bit
// machine arithmetic is exact. Nil bounds mean unbounded.
type expr struct {
	op     opcode
	kind   kind
	l, r   *expr
	cond   *expr
	lo, hi *big.Int
	f      *field
	c      *big.Int
	idx    int
	w      int   // width of a cast, or of a parameter or register
	sh     uint8 // shift of a parameter in its word
	b      bool
	h      *header
	st     *stack
	u      *union
	us     *unionStack
}

// paramDef is one action parameter: the bits from shift on of word off; a
// parameter of more than 64 bits has words of its own, least significant first.
type paramDef struct {
	name  string
	width int
	off   int
	shift uint8
}

const depthLimit = 200 // nesting of expressions

func bigInt(v int64) *big.Int { return big.NewInt(v) }

// pow2 is 2^w.
func pow2(w int) *big.Int { return new(big.Int).Lsh(bigInt(1), uint(w)) }

func (e *expr) bounds(lo, hi *big.Int) *expr { e.lo, e.hi = lo, hi; return e }

func (e *expr) unsigned(w int) *expr {
	return e.bounds(bigInt(0), new(big.Int).Sub(pow2(w), bigInt(1)))
}

func (e *expr) signed(w int) *expr {
	h := pow2(max(0, w-1))
	return e.bounds(new(big.Int).Neg(h), new(big.Int).Sub(h, bigInt(1)))
}

// fitsU and fitsS: every value is a uint64, an int64.
func (e *expr) fitsU() bool { return e.lo != nil && e.hi != nil && e.lo.Sign() >= 0 && e.hi.IsUint64() }
func (e *expr) fitsS() bool { return e.lo != nil && e.hi != nil && e.lo.IsInt64() && e.hi.IsInt64() }

func (e *expr) nonNegative() bool { return e.lo != nil && e.lo.Sign() >= 0 }

func fieldExpr(f *field) *expr {
	e := &expr{op: opField, f: f}
	if f.varlen { // not a number
		return e.unsigned(0)
	}
	if f.signed {
		return e.signed(f.width)
	}
	return e.unsigned(f.width)
}

func constExpr(v *big.Int) *expr { return (&expr{op: opConst, c: v}).bounds(v, v) }

// data parses an expression that must yield a number; an empty one is 0.
func (l *loader) data(v jValue) *expr {
	e := l.value(v, 0)
	switch e.kind {
	case kData:
		return e
	case kBool: // a primitive parameter may be a boolean
		return (&expr{op: opB2D, r: e}).unsigned(1)
	}
	l.fail("want a number")
	return nil
}

// boolean parses an expression that must yield a boolean.
func (l *loader) boolean(raw json.RawMessage) *expr {
	e := l.rawValue(raw, 0)
	if e.kind == kData {
		return &expr{op: opD2B, kind: kBool, r: e}
	}
	l.want(e, kBool)
	return e
}

func (l *loader) want(e *expr, k kind) {
	if e.kind != k {
		l.fail("operand of the wrong type")
	}
}

func (l *loader) rawValue(raw json.RawMessage, depth int) *expr {
	var v jValue
	l.decode(raw, &v)
	return l.value(v, depth)
}

// headerOnly parses a header of which only the validity matters.
func (l *loader) headerOnly(v jValue) *expr {
	if v.Type != "header" {
		return l.value(v, 0)
	}
	return &expr{op: opHeader, kind: kHeader, h: l.headerRef(l.str(v.Value))}
}

// value parses a type/value object.
func (l *loader) value(v jValue, depth int) *expr {
	if depth > depthLimit {
		l.fail("expression nested deeper than %d", depthLimit)
	}
	switch v.Type {
	case "field":
		if e := l.dynValid(v.Value, depth); e != nil {
			return e
		}
		return fieldExpr(l.fieldRef(v.Value).use())
	case "hexstr":
		return constExpr(l.hex(l.str(v.Value)))
	case "bool":
		e := &expr{op: opBool, kind: kBool}
		l.decode(v.Value, &e.b)
		return e
	case "local", "runtime_data":
		return l.param(v.Value)
	case "expression":
		return l.expression(v.Value, depth+1)
	case "register":
		return l.register(v.Value, depth+1)
	case "stack_field":
		return l.lastField(v.Value)
	case "header":
		e := l.headerOnly(v)
		e.h.whole = true
		return e
	case "header_stack":
		return &expr{op: opStack, kind: kStack, st: l.stackRef(l.str(v.Value))}
	case "header_union":
		u := l.p.unions[l.str(v.Value)]
		if u == nil {
			l.fail("no header union %s", v.Value)
		}
		return &expr{op: opUnion, kind: kUnion, u: u}
	case "header_union_stack":
		us := l.p.unionStack[l.str(v.Value)]
		if us == nil {
			l.fail("no header union stack %s", v.Value)
		}
		return &expr{op: opUnionStack, kind: kUnionStack, us: us}
	}
	l.unsupported("value of type %q", v.Type)
	return nil
}

func (l *loader) param(raw json.RawMessage) *expr {
	var i int
	l.decode(raw, &i)
	if i < 0 || i >= len(l.params) {
		l.fail("no action parameter %d", i)
	}
	d := &l.params[i]
	return (&expr{op: opParam, idx: d.off, w: d.width, sh: d.shift}).unsigned(d.width)
}

func (l *loader) register(raw json.RawMessage, depth int) *expr {
	var v []json.RawMessage
	l.decode(raw, &v)
	if len(v) != 2 {
		l.fail("want [register, index]")
	}
	i := find(l, "register array", l.str(v[0]), l.p.registers, func(a arrayDef) string { return a.name })
	idx := l.rawValue(v[1], depth)
	l.want(idx, kData)
	if l.regs == nil {
		l.unsupported("register outside of actions and parser states")
	}
	l.regs[i] = true
	w := l.p.registers[i].width
	return (&expr{op: opReg, idx: i, l: idx, w: w}).unsigned(w)
}

// lastField is a field of the last element of a stack.
func (l *loader) lastField(raw json.RawMessage) *expr {
	var ref []string
	l.decode(raw, &ref)
	if len(ref) != 2 {
		l.fail("want [stack, field]")
	}
	st := l.stackRef(ref[0])
	for i, d := range st.elems[0].typ.fields {
		if d.name == ref[1] {
			return l.dynField(&expr{op: opLast, kind: kHeader, st: st}, i)
		}
	}
	if ref[1] == "last" { // the header itself
		return &expr{op: opLast, kind: kHeader, st: st}
	}
	l.fail("no field %q in stack %s", ref[1], ref[0])
	return nil
}

// dynValid is the validity of a header reached through an index, which p4c
// writes as a field of an operator; nil if raw is an ordinary field.
func (l *loader) dynValid(raw json.RawMessage, depth int) *expr {
	var ref []json.RawMessage
	if json.Unmarshal(raw, &ref) != nil || len(ref) != 2 || string(ref[1]) != `"$valid$"` || ref[0][0] != '{' {
		return nil
	}
	h := l.expression(ref[0], depth+1)
	l.want(h, kHeader)
	valid := &expr{op: opValid, kind: kBool, r: h}
	return (&expr{op: opB2D, r: valid}).unsigned(1)
}

// dynField is field number i of header expression h.
func (l *loader) dynField(h *expr, i int) *expr {
	c := h.candidates()
	if len(c) == 0 || i < 0 || i >= len(c[0].fields) {
		l.fail("no field number %d", i)
	}
	f := c[0].fields[i]
	if len(c) == 1 && h.op == opHeader {
		return fieldExpr(f.use())
	}
	if f.varlen {
		l.unsupported("variable-length field %s reached through an index", f.name)
	}
	for _, x := range c {
		x.fields[i].use()
	}
	e := &expr{op: opDyn, f: f, l: h, idx: i}
	if f.signed {
		return e.signed(f.width)
	}
	return e.unsigned(f.width)
}

// candidates are the headers that a header expression can name; all are of one
// type. Their order is that of the index.
func (e *expr) candidates() []*header {
	switch e.op {
	case opHeader:
		return []*header{e.h}
	case opElem, opLast:
		return e.st.elems
	case opMember:
		var hs []*header
		for _, u := range e.l.unionCandidates() {
			hs = append(hs, u.members[e.idx])
		}
		return hs
	}
	return nil
}

func (e *expr) unionCandidates() []*union {
	if e.op == opUnion {
		return []*union{e.u}
	}
	return e.us.elems
}

var binaryOps = map[string]opcode{
	"+": opAdd, "-": opSub, "*": opMul, "/": opDiv, "%": opMod, "<<": opShl, ">>": opShr,
	"&": opAnd, "|": opOr, "^": opXor, "<": opLt, "<=": opLe, ">": opGt, ">=": opGe,
}

// expression parses the value of an expression object.
func (l *loader) expression(raw json.RawMessage, depth int) *expr {
	var probe jValue
	if json.Unmarshal(raw, &probe) == nil && probe.Type != "" {
		return l.value(probe, depth) // an expression in an expression
	}
	var j jExpr
	l.decode(raw, &j)
	right := func(k kind) *expr { e := l.rawValue(j.Right, depth); l.want(e, k); return e }
	left := func(k kind) *expr { e := l.rawValue(j.Left, depth); l.want(e, k); return e }
	if op, ok := binaryOps[j.Op]; ok {
		var a *expr
		if len(j.Left) == 0 || string(j.Left) == "null" {
			a = constExpr(bigInt(0)) // unary + and -
		} else {
			a = left(kData)
		}
		return arith(op, a, right(kData))
	}
	switch j.Op {
	case "~":
		return notExpr(right(kData))
	case "and", "or":
		op := opLAnd
		if j.Op == "or" {
			op = opLOr
		}
		return &expr{op: op, kind: kBool, l: left(kBool), r: right(kBool)}
	case "not":
		return &expr{op: opLNot, kind: kBool, r: right(kBool)}
	case "==", "!=":
		a, b := l.rawValue(j.Left, depth), l.rawValue(j.Right, depth)
		if a.kind != b.kind || a.kind == kStack || a.kind == kUnionStack {
			l.fail("%s of different types", j.Op)
		}
		op := opEq
		if j.Op == "!=" {
			op = opNe
		}
		return &expr{op: op, kind: kBool, l: a, r: b}
	case "?":
		return l.selectExpr(&j, depth)
	case "two_comp_mod", "usat_cast", "sat_cast":
		return l.cast(j.Op, left(kData), right(kData))
	case "d2b":
		return &expr{op: opD2B, kind: kBool, r: right(kData)}
	case "b2d":
		return (&expr{op: opB2D, r: right(kBool)}).unsigned(1)
	}
	return l.headerOp(&j, depth)
}

// headerOp parses the operators on headers, stacks and unions.
func (l *loader) headerOp(j *jExpr, depth int) *expr {
	right := func(k kind) *expr { e := l.rawValue(j.Right, depth); l.want(e, k); return e }
	left := func(k kind) *expr { e := l.rawValue(j.Left, depth); l.want(e, k); return e }
	index := func() int {
		var i int
		l.decode(j.Right, &i)
		return i
	}
	switch j.Op {
	case "valid":
		var v jValue
		l.decode(j.Right, &v)
		if v.Type == "header" {
			return &expr{op: opValid, kind: kBool, r: l.headerOnly(v)}
		}
		return &expr{op: opValid, kind: kBool, r: right(kHeader)}
	case "valid_union":
		return &expr{op: opValidUnion, kind: kBool, r: right(kUnion)}
	case "last_stack_index":
		s := l.anyStack(j.Right, depth)
		n := int64(s.stackLen())
		return (&expr{op: opLastIndex, r: s}).bounds(bigInt(-1), bigInt(n-1))
	case "size_stack":
		s := l.anyStack(j.Right, depth)
		return (&expr{op: opStackSize, r: s}).bounds(bigInt(0), bigInt(int64(s.stackLen())))
	case "dereference_header_stack", "dereference_stack":
		s, i := left(kStack), right(kData)
		if i.op == opConst && i.c.IsInt64() && i.c.Int64() >= 0 && i.c.Int64() < int64(len(s.st.elems)) {
			return &expr{op: opHeader, kind: kHeader, h: s.st.elems[i.c.Int64()]}
		}
		return &expr{op: opElem, kind: kHeader, st: s.st, l: i}
	case "dereference_union_stack":
		return &expr{op: opElem, kind: kUnion, us: left(kUnionStack).us, l: right(kData)}
	case "access_field":
		return l.dynField(left(kHeader), index())
	case "access_union_header":
		u, i := left(kUnion), index()
		if c := u.unionCandidates(); i < 0 || i >= len(c[0].members) {
			l.fail("no union member number %d", i)
		}
		if u.op == opUnion {
			return &expr{op: opHeader, kind: kHeader, h: u.u.members[i]}
		}
		return &expr{op: opMember, kind: kHeader, l: u, idx: i}
	}
	l.unsupported("operator %q", j.Op)
	return nil
}

func (l *loader) anyStack(raw json.RawMessage, depth int) *expr {
	e := l.rawValue(raw, depth)
	if e.kind != kStack && e.kind != kUnionStack {
		l.fail("want a stack")
	}
	return e
}

func (e *expr) stackLen() int {
	if e.st != nil {
		return len(e.st.elems)
	}
	return len(e.us.elems)
}

func (e *expr) stackNext() int {
	if e.st != nil {
		return e.st.next
	}
	return e.us.next
}

func (l *loader) selectExpr(j *jExpr, depth int) *expr {
	a, b := l.rawValue(j.Left, depth), l.rawValue(j.Right, depth)
	cond := l.boolean(j.Cond)
	if a.kind != b.kind || a.kind > kBool {
		l.unsupported("operator ? on headers or different types")
	}
	e := &expr{op: opSelect, kind: a.kind, cond: cond, l: a, r: b}
	if a.lo != nil && b.lo != nil {
		e.lo = minBig(a.lo, b.lo)
	}
	if a.hi != nil && b.hi != nil {
		e.hi = maxBig(a.hi, b.hi)
	}
	return e
}

func (l *loader) cast(op string, v, width *expr) *expr {
	if width.op != opConst || !width.c.IsInt64() || width.c.Int64() < 1 || width.c.Int64() > maxWidth {
		l.fail("%s: width must be a constant in 1…%d", op, maxWidth)
	}
	w := int(width.c.Int64())
	switch op {
	case "two_comp_mod":
		return (&expr{op: opTwoComp, l: v, w: w}).signed(w)
	case "usat_cast":
		return (&expr{op: opUSat, l: v, w: w}).unsigned(w)
	default:
		return (&expr{op: opSat, l: v, w: w}).signed(w)
	}
}
