package pipeline

import (
	"math/bits"
	"unsafe"
)

// slots are those of a context, in a form that spares checks of bounds.
type slots [maxFrameSlots]uint64

const slotMask = maxFrameSlots - 1

// Slots of the machine, behind all of the program's.
const (
	lengthSlot = maxFrameSlots - 1 // packet length register: frame plus added less removed headers
	frameSlot  = maxFrameSlots - 2 // bytes of the frame
	parsedSlot = maxFrameSlots - 3 // bytes of it that the parser consumed; those three are the packet's
	seedSlot   = maxFrameSlots - 5 // two words; they never change
)

// run executes instructions from pc to the next iEnd. Only what every packet
// meets is here: a small loop keeps its state in registers.
func (c *ctx) run(pc uint32) {
	x := &c.prog.code
	code, f := x.ins, (*slots)(c.f)
	frame := c.bytes()
	for {
		in := &code[pc]
		var found *entry
		if in.entry != 0 {
			pc, found = callNative(in.entry, f, frame)
			in = &code[pc]
		}
		switch in.op {
		case iEnd:
			return
		case iLine:
			pc = x.lines[in.k].run(c)
		case iApply:
			t := c.m.tables[in.k]
			if in.entry == 0 {
				found = t.lookup(c)
			}
			pc = t.apply(c, found)
		case iExtract:
			pc = x.heads[in.k].extract(c, in)
		default:
			if pc = c.other(in); pc == stopped {
				return
			}
		}
	}
}

const stopped = ^uint32(0)

// bytes is where the frame is.
func (c *ctx) bytes() *byte { return unsafe.SliceData(c.frame) }

// other executes the rarer instructions and returns where to go on.
func (c *ctx) other(in *ins) uint32 {
	x, f := &c.prog.code, c.f
	switch in.op {
	case iSelect:
		return x.selects[in.k].next(f)
	case iHash:
		x.hashes[in.k].run(c)
	case iCount:
		c.m.counters[in.k].count(f[in.b], c.arrive)
	case iDrop:
		c.drop()
	case iSetExit:
		c.exit = true
	case iExit:
		if c.exit {
			return stopped
		}
	case iLock:
		c.lock(x.locks[in.k])
	case iUnlock:
		c.unlock(x.locks[in.k])
	case iCall:
		x.ops[in.k](c)
	case iNum:
		f[in.a] = x.nums[in.k](c)
	case iJumpIf:
		if x.bools[in.k](c) {
			return in.c
		}
	case iJumpNot:
		if !x.bools[in.k](c) {
			return in.c
		}
	case iFailed:
		if c.failed {
			return in.c
		}
	case iLoop:
		if c.loops++; c.loops > in.k {
			return in.c
		}
	default:
		in.compute(f)
	}
	return in.next
}

// run executes steps and tests and returns where to go on.
func (l *line) run(c *ctx) uint32 {
	f := (*slots)(c.f)
	for i := range l.steps {
		p := &l.steps[i]
		v := bits.RotateLeft64(f[p.b&slotMask], int(p.s)) & p.m
		if p.kind == stepMove {
			f[p.a&slotMask] = v
			continue
		}
		c.mix(p, v)
	}
	for i := range l.tests {
		t := &l.tests[i]
		holds := f[t.a&slotMask]&t.m == t.v
		if t.kind != testValue {
			holds = t.compare(f)
		}
		if holds == t.want {
			return t.to
		}
	}
	return l.next
}

// extract takes a header from the packet.
func (h *headCode) extract(c *ctx, in *ins) uint32 {
	data := c.ahead()
	if len(data) < h.n {
		c.stop(c.m.perr.tooShort)
		return in.c
	}
	extract(h.load, c.f, data)
	c.f[h.valid] = 1
	c.f[h.off] = c.f[parsedSlot] + 1
	c.f[parsedSlot] += uint64(h.n)
	return in.next
}

// compute executes the rarer arithmetic.
func (in *ins) compute(f []uint64) {
	switch in.op {
	case iMul:
		f[in.a] = f[in.b] * f[in.c] & in.k
	case iAnd:
		f[in.a] = f[in.b] & f[in.c] & in.k
	case iOr:
		f[in.a] = (f[in.b] | f[in.c]) & in.k
	case iXor:
		f[in.a] = (f[in.b] ^ f[in.c]) & in.k
	case iShl:
		f[in.a] = f[in.b] << f[in.c] & in.k
	case iShr:
		f[in.a] = f[in.b] >> f[in.c] & in.k
	case iSar:
		f[in.a] = uint64(int64(f[in.b])>>f[in.c]) & in.k
	case iSarK:
		f[in.a] = uint64(int64(f[in.b])>>in.s) & in.k
	case iCatK:
		f[in.a] = (f[in.b]>>in.s | f[in.c]<<(64-in.s)) & in.k
	case iSext:
		f[in.a] = uint64(int64(f[in.b]<<in.s)>>in.s) & in.k
	default:
		panic("pipeline: no such instruction")
	}
}

// compare evaluates the rarer tests.
func (t *test) compare(f *slots) bool {
	u, v := f[t.a&slotMask], f[t.b&slotMask]
	if t.kind == testEqual {
		return u == v
	}
	return u+t.m < v+t.m
}

// mix executes the rarer steps; v is rotate(b, s) & m.
//
//go:noinline
func (c *ctx) mix(p *step, v uint64) {
	if p.kind == stepMix {
		v ^= uint64(int64(p.pre))
		c.f[p.a] = (v + c.f[p.c] ^ uint64(int64(p.post))) & p.k
		return
	}
	valid := &c.f[p.b]
	switch {
	case p.kind == stepDel:
		if *valid != 0 {
			c.f[lengthSlot] -= p.k
		}
		*valid = 0
		return
	case *valid != 0:
		return
	case p.kind == stepAdd:
		clear(c.f[p.a:p.b])
		c.f[p.c] = 0
	}
	*valid = 1
	c.f[lengthSlot] += p.k
}

// drop marks the packet to be dropped at the end of the control.
func (c *ctx) drop() {
	std := &c.prog.std
	c.set(&std.egressSpec, uint64(c.m.dropPort))
	c.f[std.mcast.slot] = 0
}

// next is where the transition goes.
func (s *selection) next(f []uint64) uint32 {
	var v uint64
	for _, p := range s.parts {
		v |= f[p.slot] << (p.shift & 63)
	}
	for i := range s.cases {
		if k := &s.cases[i]; v&k.mask == k.value {
			return k.to
		}
	}
	return s.other
}

// run stores the hash.
func (h *hashCode) run(c *ctx) {
	v := c.f[h.base]
	if n := c.f[h.max]; n > 0 {
		if s := h.calc.compute(c); n&(n-1) == 0 {
			v += s & (n - 1)
		} else {
			v += s % n
		}
	}
	c.f[h.dst] = v & h.mask
}

func (c *ctx) lock(regs []int) {
	for _, r := range regs {
		c.m.registers[r].mu.Lock()
	}
}

func (c *ctx) unlock(regs []int) {
	for _, r := range regs {
		c.m.registers[r].mu.Unlock()
	}
}
