package pipeline

import "math/bits"

// run executes instructions from pc to the next iEnd.
func (c *ctx) run(pc uint32) {
	x := &c.prog.code
	code, f := x.ins, c.f
	for {
		in := &code[pc]
		pc = in.next
		switch in.op {
		case iEnd:
			return
		case iBlock:
			c.block(x.blocks[in.k])
		case iTests:
			for _, t := range x.tests[in.k] {
				u, v := f[t.a]&t.m^f[t.b], uint64(1)
				if t.less {
					u, v = f[t.a]^t.flip, f[t.b]^t.flip
				}
				if (u < v) == t.want {
					pc = t.to
					break
				}
			}
		case iApply:
			pc = c.m.tables[in.k].apply(c)
		case iExtract:
			h := &x.heads[in.k]
			data := c.frame[c.parsed:]
			if len(data) < h.n {
				c.stop(c.m.perr.tooShort)
				pc = in.c
				continue
			}
			extract(h.chunks, f, data)
			f[h.valid] = 1
			c.parsed += h.n
		case iSelect:
			pc = x.selects[in.k].next(f)
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
				return
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
				pc = in.c
			}
		case iJumpNot:
			if !x.bools[in.k](c) {
				pc = in.c
			}
		case iFailed:
			if c.failed {
				pc = in.c
			}
		case iLoop:
			if c.loops++; c.loops > in.k {
				pc = in.c
			}
		default:
			in.compute(f)
		}
	}
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

// block executes steps.
func (c *ctx) block(steps []step) {
	f := c.f
	for i := range steps {
		p := &steps[i]
		if p.kind != stepMix {
			c.validity(p)
			continue
		}
		v := bits.RotateLeft64(f[p.b], int(p.s))&p.m ^ uint64(int64(p.pre))
		f[p.a] = (v + f[p.c] ^ uint64(int64(p.post))) & p.k
	}
}

// validity adds or removes a header.
func (c *ctx) validity(p *step) {
	valid := &c.f[p.b]
	switch {
	case p.kind == stepDel:
		if *valid != 0 {
			c.length -= int(p.k)
		}
		*valid = 0
		return
	case *valid != 0:
		return
	case p.kind == stepAdd:
		clear(c.f[p.a:p.b])
	}
	*valid = 1
	c.length += int(p.k)
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
