package pipeline

import "math"

// label names a place in code that is not there yet.
type label uint32

// coder collects instructions; the targets of jumps are labels until link.
type coder struct {
	l     *loader
	code  []ins
	tests []test
	steps []step
	place []int32 // of each label, -1 = not yet
	temps int     // temporaries in use
	memo  map[string]uint16
}

const (
	allOnes  = math.MaxUint64
	maxTemps = 256     // slots for intermediate results
	maxCode  = 1 << 20 // instructions of a program
)

func (l *loader) coder() *coder { return &coder{l: l, memo: map[string]uint16{}} }

func (g *coder) label() label {
	g.place = append(g.place, -1)
	return label(len(g.place) - 1)
}

// here places a label at the next instruction.
func (g *coder) here(x label) { g.place[x] = int32(len(g.code)) }

// statement begins a statement: what earlier ones left in temporaries is void.
func (g *coder) statement() {
	g.temps = 0
	clear(g.memo)
}

func (g *coder) emit(in ins) {
	if len(g.code) >= maxCode {
		g.l.fail("more than %d instructions", maxCode)
	}
	g.code = append(g.code, in)
}

func (g *coder) jump(to label) { g.emit(ins{op: iJump, c: uint32(to)}) }

// call emits a closure.
func (g *coder) call(o op) {
	x := &g.l.p.code
	x.ops = append(x.ops, o)
	g.emit(ins{op: iCall, k: uint64(len(x.ops) - 1)})
}

func (g *coder) step(p step) {
	g.steps = append(g.steps, p)
	g.emit(ins{op: iStep, k: uint64(len(g.steps) - 1)})
}

// move emits a = rotate(b, s) & m.
func (g *coder) move(a, b uint16, s uint8, m uint64) {
	g.step(step{a: a, b: b, s: s, m: m})
}

// set emits a = v.
func (g *coder) set(a uint16, v uint64) {
	g.step(step{a: a, b: g.l.literal(v), m: allOnes})
}

// test emits: go to if t holds.
func (g *coder) test(t test, to label) {
	g.tests = append(g.tests, t)
	g.emit(ins{op: iTest, c: uint32(to), k: uint64(len(g.tests) - 1)})
}

// ifEqualTo emits: go to if (slot & m == v) is want.
func (g *coder) ifEqualTo(slot uint16, m, v uint64, want bool, to label) {
	g.test(test{a: slot, v: v, m: m, want: want}, to)
}

// ifSlot emits: go to if (slot != 0) is want.
func (g *coder) ifSlot(slot uint16, want bool, to label) { g.ifEqualTo(slot, allOnes, 0, !want, to) }

// temp is a slot for an intermediate result; it is free again when the statement ends.
func (g *coder) temp() uint16 {
	if g.temps == maxTemps {
		g.l.fail("expression too large")
	}
	g.temps++
	return uint16(g.l.p.temp0 + g.temps - 1)
}

// literal is a slot that always holds v.
func (l *loader) literal(v uint64) uint16 {
	if s, ok := l.pool[v]; ok {
		return s
	}
	at := l.p.temp0 + maxTemps + len(l.p.consts)
	if at >= seedSlot {
		l.fail("more than %d words of fields and constants", maxFrameSlots)
	}
	s := uint16(at)
	l.p.consts = append(l.p.consts, v)
	l.pool[v] = s
	return s
}

// append adds finished code of another coder and returns what its labels are
// now numbered from; those that it has not placed are still to be placed.
func (g *coder) append(o *coder) uint32 {
	base, tests, steps := uint32(len(g.place)), uint64(len(g.tests)), uint64(len(g.steps))
	for _, at := range o.place {
		if at >= 0 {
			at += int32(len(g.code))
		}
		g.place = append(g.place, at)
	}
	for _, in := range o.code {
		if in.op.jumps() {
			in.c += base
		}
		switch in.op {
		case iTest:
			in.k += tests
		case iStep:
			in.k += steps
		}
		g.emit(in)
	}
	g.tests = append(g.tests, o.tests...)
	g.steps = append(g.steps, o.steps...)
	return base
}
