package pipeline

import "fmt"

// action is a compiled action.
type action struct {
	name   string
	index  int // in Program.actions
	params []paramDef
	words  int // of the parameters
	body   *coder
}

// maxLoops bounds the jumps backwards of one packet, against endless loops.
const maxLoops = 1 << 16

func (l *loader) loadActions() {
	for i, j := range l.j.Actions {
		l.at(fmt.Sprintf("actions[%d]", i), func() {
			a := &action{name: j.Name, index: len(l.p.actions)}
			for k, d := range j.RuntimeData {
				if d.Bitwidth < 1 || d.Bitwidth > maxWidth {
					l.fail("runtime_data[%d].bitwidth: %d", k, d.Bitwidth)
				}
				a.params = append(a.params, paramDef{name: d.Name, width: d.Bitwidth})
			}
			a.layParams()
			l.params = a.params
			a.body = l.body(j.Primitives)
			l.params = nil
			if l.actByID[j.ID] != nil {
				l.fail("id %d used twice", j.ID)
			}
			l.actByID[j.ID] = a
			l.p.actions = append(l.p.actions, a)
		})
	}
}

func primitivePath(i int, j *jPrimitive) string { return fmt.Sprintf("primitives[%d](%s)", i, j.Op) }

// layParams packs the parameters into as few words as first fit finds.
func (a *action) layParams() {
	var used []int // bits per word; wide ones have words of their own
	for i := range a.params {
		p := &a.params[i]
		if p.width > 64 {
			p.off = len(used)
			for range limbs(p.width) {
				used = append(used, 64)
			}
			continue
		}
		for p.off = 0; p.off < len(used) && used[p.off]+p.width > 64; {
			p.off++
		}
		if p.off == len(used) {
			used = append(used, 0)
		}
		p.shift = uint8(used[p.off])
		used[p.off] += p.width
	}
	a.words = len(used)
}

// pack stores a parameter's limbs.
func (p *paramDef) pack(dst, v []uint64) {
	for i, w := range v {
		dst[p.off+i] |= w << p.shift
	}
}

// unpack is the inverse of pack.
func (p *paramDef) unpack(dst, src []uint64) []uint64 {
	for i := range limbs(p.width) {
		dst = append(dst, src[p.off+i]>>p.shift&limbMask(p.width, i))
	}
	return dst
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
		d := &a.params[i]
		d.pack(out, limbsOf(l.hex(s), d.width))
	}
	return out
}
