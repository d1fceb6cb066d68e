package pipeline

// linker makes a program of a coder's instructions: labels become places, jumps
// disappear, steps and tests become lines.
// What is never reached is left out.
type linker struct {
	*coder
	x     *code
	where []int32  // new place by old place, -1 = none yet
	todo  []uint32 // old places that have a new one but no instruction there
}

// Bounds of what one instruction does; longer runs are cut.
const (
	maxSteps = 64
	maxTests = 64
)

func (g *coder) link() {
	k := &linker{coder: g, x: &g.l.p.code, where: make([]int32, len(g.code))}
	for i := range k.where {
		k.where[i] = -1
	}
	for _, e := range []*uint32{&k.x.parser, &k.x.ingress, &k.x.egress} {
		*e = k.at(label(*e))
	}
	for i := range k.x.selects {
		s := &k.x.selects[i]
		s.other = k.at(label(s.other))
		for j := range s.cases {
			s.cases[j].to = k.at(label(s.cases[j].to))
		}
	}
	for _, t := range g.l.p.tables {
		for _, list := range [][]uint32{t.hitCode, t.missCode} {
			for i, l := range list {
				list[i] = k.at(label(l))
			}
		}
		t.hitNone, t.missNone = k.at(label(t.hitNone)), k.at(label(t.missNone))
	}
	for len(k.todo) > 0 {
		old := k.todo[len(k.todo)-1]
		k.todo = k.todo[:len(k.todo)-1]
		in := k.finish(old)
		k.x.ins[k.where[old]] = in
	}
}

// past follows jumps from an old place. A loop of nothing but jumps does not
// come up: every loop counts.
func (k *linker) past(p uint32) uint32 {
	for k.code[p].op == iJump {
		p = uint32(k.place[k.code[p].c])
	}
	return p
}

// at is the new place of a label.
func (k *linker) at(l label) uint32 { return k.to(uint32(k.place[l])) }

// to is the new place of what is at an old place.
func (k *linker) to(p uint32) uint32 {
	p = k.past(p)
	if k.where[p] < 0 {
		k.where[p] = int32(len(k.x.ins))
		k.x.ins = append(k.x.ins, ins{})
		k.todo = append(k.todo, p)
	}
	return uint32(k.where[p])
}

// finish makes the final form of the instruction at an old place.
func (k *linker) finish(i uint32) ins {
	in := k.code[i]
	switch in.op {
	case iEnd:
		return in
	case iStep, iTest:
		return k.line(i)
	}
	if in.op.jumps() {
		in.c = k.at(label(in.c))
	}
	in.next = k.to(i + 1)
	return in
}

// line gathers the steps from i on, also those behind jumps, and the tests
// behind them.
func (k *linker) line(i uint32) ins {
	var l line
	for ; k.code[i].op == iStep && len(l.steps) < maxSteps; i = k.past(i + 1) {
		l.steps = append(l.steps, k.steps[k.code[i].k])
	}
	for ; k.code[i].op == iTest && len(l.tests) < maxTests; i = k.past(i + 1) {
		t := k.tests[k.code[i].k]
		t.to = k.at(label(k.code[i].c))
		l.tests = append(l.tests, t)
	}
	k.x.lines = append(k.x.lines, l)
	at := len(k.x.lines) - 1
	k.x.lines[at].next = k.to(i)
	return ins{op: iLine, k: uint64(at)}
}
