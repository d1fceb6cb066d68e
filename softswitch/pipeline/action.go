package pipeline

import (
	"fmt"
	"slices"
)

// action is a compiled action.
type action struct {
	name   string
	index  int // in Program.actions
	params []paramDef
	words  int // of the parameters
	ops    []op
	regs   []int // registers that it touches, ascending: locked while it runs
	plain  bool  // neither jumps nor registers
}

// maxSteps bounds the operations of one action, against endless loops.
const maxSteps = 1 << 16

// run executes the action with parameters p.
func (a *action) run(c *ctx, p []uint64) {
	c.p = p
	if a.plain {
		for _, o := range a.ops {
			o(c)
		}
		return
	}
	for _, r := range a.regs {
		c.m.registers[r].mu.Lock()
	}
	c.pc = 0
	for n := 0; c.pc < len(a.ops) && n < maxSteps; n++ {
		o := a.ops[c.pc]
		c.pc++
		o(c)
	}
	for _, r := range a.regs {
		c.m.registers[r].mu.Unlock()
	}
}

func (l *loader) loadActions() {
	for i, j := range l.j.Actions {
		l.at(fmt.Sprintf("actions[%d]", i), func() {
			a := &action{name: j.Name, index: len(l.p.actions)}
			for k, d := range j.RuntimeData {
				if d.Bitwidth < 1 || d.Bitwidth > maxWidth {
					l.fail("runtime_data[%d].bitwidth: %d", k, d.Bitwidth)
				}
				a.params = append(a.params, paramDef{name: d.Name, width: d.Bitwidth, off: a.words})
				a.words += limbs(d.Bitwidth)
			}
			l.params = a.params
			var jumps bool
			a.ops, jumps, a.regs = l.primitives(j.Primitives)
			a.plain = !jumps && len(a.regs) == 0
			l.params = nil
			if l.actByID[j.ID] != nil {
				l.fail("id %d used twice", j.ID)
			}
			l.actByID[j.ID] = a
			l.p.actions = append(l.p.actions, a)
		})
	}
}

// primitives compiles a list of primitive calls.
func (l *loader) primitives(list []jPrimitive) (ops []op, jumps bool, regs []int) {
	l.regs = map[int]bool{}
	for _, j := range list {
		jumps = jumps || j.Op == "_jump" || j.Op == "_jump_if_zero"
	}
	var moves []move
	for i := range list {
		j := &list[i]
		l.at(fmt.Sprintf("primitives[%d](%s)", i, j.Op), func() {
			l.last = nil
			o := l.primitive(j)
			if l.last != nil && !jumps {
				moves = append(moves, *l.last)
				return
			}
			ops = append(appendMoves(ops, moves), o)
			moves = nil
		})
	}
	ops = appendMoves(ops, moves)
	for r := range l.regs {
		regs = append(regs, r)
	}
	slices.Sort(regs)
	l.regs = nil
	return ops, jumps, regs
}

func (l *loader) actionID(id int) *action {
	a := l.actByID[id]
	if a == nil {
		l.fail("no action with id %d", id)
	}
	return a
}

// literals packs parameter values given as hexstrings.
func (l *loader) literals(a *action, data []string) []uint64 {
	if len(data) != len(a.params) {
		l.fail("action %s: %d parameters, want %d", a.name, len(data), len(a.params))
	}
	out := make([]uint64, a.words)
	for i, s := range data {
		d := a.params[i]
		copy(out[d.off:], limbsOf(l.hex(s), d.width))
	}
	return out
}
