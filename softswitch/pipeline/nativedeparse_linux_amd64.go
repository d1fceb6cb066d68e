//go:build !race

package pipeline

import "math/bits"

// Machine code that writes bytes: the deparser, and what calculations are over.

// deparser writes the headers to R10 and returns their length; stopped if one is valid
// that has no fixed length.
func (a *assembler) deparser(order []emitted) {
	a.both(opMove, regR10, regR9)
	for _, e := range order {
		a.slot(e.valid, 0x48, 0x83, 0xbf) // CMP [valid], 0
		a.bytes(0)
		next := a.ahead(0x0f, 0x84) // JE
		a.emit(e.h)
		a.land(next)
	}
	a.both(opMove, regR10, regAX)
	a.both(opSubs, regR9, regAX)
	a.bytes(0xc3)
}

// input writes the input of a calculation to R10 and returns its length.
func (a *assembler) input(k *calc) {
	a.both(opMove, regR10, regR9)
	for i := range k.items {
		it := &k.items[i]
		absent := -1
		if it.guard != nil {
			a.slot(uint16(it.guard.vslot), 0x48, 0x83, 0xbf) // CMP [valid], 0
			a.bytes(0)
			absent = a.ahead(0x0f, 0x84) // JE
		}
		a.deposit(it.chunks, it.n)
		k.most += it.n
		if absent >= 0 {
			a.land(absent)
		}
	}
	a.both(opMove, regR10, regAX)
	a.both(opSubs, regR9, regAX)
	a.bytes(0xc3)
}

// deposit writes chunks, n bytes in all, to R10, and moves it.
func (a *assembler) deposit(chunks []chunk, n int) {
	for i := range chunks {
		c := &chunks[i]
		a.gather(c)
		a.shifts(true, regCX, int(64-8*c.n))
		a.swap(regCX)
		a.memory(true, regCX, regR10, c.off, 0x89)
	}
	a.advance(n)
}

// advance moves R10.
func (a *assembler) advance(n int) {
	a.bytes(rex(true, 0, regR10), 0x81, 0xc0|byte(regR10&7)) // ADD R10, n
	a.imm32(uint32(n))
}

// emit writes one header that is valid.
func (a *assembler) emit(h *header) {
	if h.vl != nil {
		a.give(stopped)
		return
	}
	end := -1
	if !h.whole {
		a.get(regR11, h.off)
		a.both(0x85, regR11, regR11) // TEST
		fresh := a.ahead(0x0f, 0x84) // JE
		a.both(opAdds, regSI, regR11)
		a.copy(h.preLen)
		for i := range h.store {
			a.patch(&h.store[i])
		}
		a.advance(h.preLen)
		end = a.ahead(0xe9)
		a.land(fresh)
	}
	a.deposit(h.pre, h.preLen)
	if end >= 0 {
		a.land(end)
	}
}

// gather makes CX the chunk's pieces.
func (a *assembler) gather(c *chunk) {
	for i := range c.pieces {
		p := &c.pieces[i]
		to := regAX
		if i == 0 {
			to = regCX
		}
		a.get(to, int(p.slot))
		if !c.whole {
			a.shifts(false, to, int(p.lshift))
			a.mask(to, p.mask)
		}
		a.shifts(true, to, int(p.cshift))
		if i > 0 {
			a.both(opOrs, regAX, regCX)
		}
	}
	if len(c.pieces) == 0 {
		a.constant(regCX, 0)
	}
}

// copy copies n bytes of the header, whose first is at R11-1.
func (a *assembler) copy(n int) {
	at := 0
	for ; n-at >= 8; at += 8 {
		a.memory(true, regAX, regR11, at-1, 0x8b)
		a.memory(true, regAX, regR10, at, 0x89)
	}
	if n >= 8 && at < n { // the last eight, some of them again
		at = n - 8
		a.memory(true, regAX, regR11, at-1, 0x8b)
		a.memory(true, regAX, regR10, at, 0x89)
		return
	}
	for at < n {
		switch {
		case n-at >= 4:
			a.memory(false, regAX, regR11, at-1, 0x8b)
			a.memory(false, regAX, regR10, at, 0x89)
			at += 4
		default:
			a.memory(false, regAX, regR11, at-1, 0x0f, 0xb6)
			a.memory(false, regAX, regR10, at, 0x88)
			at++
		}
	}
}

// patch writes the pieces of a chunk over the copy of a header.
func (a *assembler) patch(c *chunk) {
	bytes := true
	for i := range c.pieces {
		p := &c.pieces[i]
		bytes = bytes && p.cshift%8 == 0 && p.mask&(p.mask+1) == 0 && bitsOf(p.mask)%8 == 0
	}
	if !bytes {
		a.gather(c)
		a.shifts(true, regCX, int(64-8*c.n))
		a.memory(true, regAX, regR10, c.off, 0x8b)
		a.swap(regAX)
		a.mask(regAX, c.keep)
		a.both(opOrs, regCX, regAX)
		a.swap(regAX)
		a.memory(true, regAX, regR10, c.off, 0x89)
		return
	}
	for i := range c.pieces {
		p := &c.pieces[i]
		n := bitsOf(p.mask) / 8
		at := c.off + int(c.n) - int(p.cshift)/8 - n
		a.get(regAX, int(p.slot))
		a.shifts(false, regAX, int(p.lshift))
		a.swap(regAX)
		a.shifts(false, regAX, 64-8*n)
		a.storeBytes(at, n)
	}
}

// storeBytes writes the n low bytes of AX, the lowest first.
func (a *assembler) storeBytes(at, n int) {
	for n > 0 {
		k := 1
		switch {
		case n >= 8:
			k = 8
			a.memory(true, regAX, regR10, at, 0x89)
		case n >= 4:
			k = 4
			a.memory(false, regAX, regR10, at, 0x89)
		case n >= 2:
			k = 2
			a.bytes(0x66)
			a.memory(false, regAX, regR10, at, 0x89)
		default:
			a.memory(false, regAX, regR10, at, 0x88)
		}
		at, n = at+k, n-k
		if n > 0 {
			a.shifts(false, regAX, 8*k)
		}
	}
}

func bitsOf(mask uint64) int { return bits.OnesCount64(mask) }
