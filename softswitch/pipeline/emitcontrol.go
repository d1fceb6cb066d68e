package pipeline

import "slices"

// generate emits the program once all its parts are known.
func (l *loader) generate() {
	g := l.coder()
	for _, h := range l.p.headers {
		h.settle()
	}
	x := &l.p.code
	for i := range x.heads {
		k := &x.heads[i]
		k.load, k.n, k.valid, k.off = k.h.load, k.h.preLen, uint16(k.h.vslot), uint16(k.h.off)
		if k.h.whole {
			k.off = uint16(l.p.temp0) // to be ignored
		}
	}
	x.parser = uint32(g.parser(l.p.parser))
	x.ingress = uint32(g.control(l.p.ingress))
	x.egress = uint32(g.control(l.p.egress))
	g.link()
	if !l.interpret {
		x.native(l.p)
	}
	for _, a := range l.p.actions {
		a.body = nil
	}
}

// flow emits one control.
type flow struct {
	*coder
	at  map[*node]label
	end label
}

// control emits a control and returns where it begins.
func (g *coder) control(first *node) label {
	f := &flow{coder: g, at: map[*node]label{}, end: g.label()}
	start := g.label()
	g.here(start)
	f.follow(first)
	g.here(f.end)
	g.emit(ins{op: iEnd})
	return start
}

// label is that of a node, made when first asked for.
func (f *flow) to(n *node) label {
	if n == nil {
		return f.end
	}
	x, ok := f.at[n]
	if !ok {
		x = f.label()
		f.at[n] = x
	}
	return x
}

func (f *flow) placed(n *node) bool { return n == nil || f.place[f.to(n)] >= 0 }

// follow goes on with n: in place if it is not there yet, else by a jump.
func (f *flow) follow(n *node) {
	if f.placed(n) {
		f.jump(f.to(n))
		return
	}
	f.here(f.to(n))
	switch {
	case n.table != nil:
		f.table(n.table)
	case n.cond != nil:
		f.condition(n)
	default:
		f.action(n.act, n.args)
		f.follow(n.yes)
	}
}

// condition falls through to the branch that is a condition itself, so that
// series of tests can become one instruction.
func (f *flow) condition(n *node) {
	first, second := n.yes, n.no
	if n.no != nil && n.no.cond != nil && (n.yes == nil || n.yes.cond == nil) {
		first, second = n.no, n.yes
	}
	f.statement()
	f.branch(n.cond, second == n.yes && n.yes != n.no, f.to(second))
	f.follow(first)
	if !f.placed(second) {
		f.follow(second)
	}
}

// action emits an action called with constant parameters.
func (f *flow) action(a *action, args []uint64) {
	for i, v := range args {
		f.set(f.l.param0(i), v)
	}
	f.append(a.body)
}

// table emits a table, a copy of each action that it may run, each going on to
// what follows, and what follows.
func (f *flow) table(t *tableDef) {
	f.emit(ins{op: iApply, k: uint64(t.index)})
	n := len(f.l.p.actions)
	t.hitCode, t.missCode = make([]uint32, n), make([]uint32, n)
	var after []*node
	copies := func(code []uint32, next func(*action) *node) {
		for _, a := range t.runnable(f.l.p) {
			x := f.label()
			f.here(x)
			code[a.index] = uint32(x)
			f.append(a.body)
			f.jump(f.to(next(a)))
			after = append(after, next(a))
		}
	}
	t.hitNone, t.missNone = uint32(f.to(t.miss)), uint32(f.to(t.miss))
	after = append(after, t.miss)
	if t.hitMiss {
		copies(t.hitCode, func(*action) *node { return t.hit })
		copies(t.missCode, func(*action) *node { return t.miss })
		t.hitNone = uint32(f.to(t.hit))
		after = append(after, t.hit)
	} else {
		copies(t.hitCode, func(a *action) *node { return t.next[a] })
		copy(t.missCode, t.hitCode)
	}
	for _, n := range after {
		if !f.placed(n) {
			f.follow(n)
		}
	}
}

// runnable are the actions that an entry of the table can have.
func (t *tableDef) runnable(p *Program) []*action {
	out := slices.Clone(t.actions)
	if t.def != nil {
		out = append(out, t.def.act)
	}
	for i := range t.entries {
		out = append(out, t.entries[i].bind.act)
	}
	if t.profile >= 0 {
		out = append(out, p.profiles[t.profile].actions...)
	}
	slices.SortFunc(out, func(a, b *action) int { return a.index - b.index })
	return slices.Compact(out)
}
