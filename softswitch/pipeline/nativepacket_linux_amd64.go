//go:build !race

package pipeline

import (
	"math/bits"
	"unsafe"
)

// Machine code for what reads packets and tables: extraction, transitions, lookups.

// register is a general-purpose register by number.
type register byte

const (
	regAX  register = 0
	regCX  register = 1
	regDX  register = 2
	regBX  register = 3
	regSI  register = 6
	regDI  register = 7
	regR8  register = 8
	regR9  register = 9
	regR10 register = 10
	regR11 register = 11
	regR13 register = 13
)

// rex is the prefix of an instruction on 64 bits, or 32 if not wide.
func rex(wide bool, reg, rm register) byte {
	r := byte(0x40) | byte(reg>>3)<<2 | byte(rm>>3)
	if wide {
		r |= 8
	}
	return r
}

// memory is an instruction on reg and [base+disp]. base is none of SP and R12.
func (a *assembler) memory(wide bool, reg, base register, disp int, op ...byte) {
	a.bytes(rex(wide, reg, base))
	a.bytes(op...)
	a.bytes(0x80 | byte(reg&7)<<3 | byte(base&7))
	a.imm32(uint32(disp))
}

// both is an instruction on two registers, of which rm is the one that changes.
func (a *assembler) both(op byte, reg, rm register) {
	a.bytes(rex(true, reg, rm), op, 0xc0|byte(reg&7)<<3|byte(rm&7))
}

const (
	opMove = 0x89 // MOV rm, reg
	opAdds = 0x01
	opOrs  = 0x09
	opAnds = 0x21
	opSubs = 0x29
	opXors = 0x31
	opCmps = 0x39
)

// get is MOV reg, [slot].
func (a *assembler) get(reg register, slot int) { a.memory(true, reg, regDI, 8*slot, 0x8b) }

// keep is MOV [slot], reg.
func (a *assembler) keep(slot int, reg register) { a.memory(true, reg, regDI, 8*slot, 0x89) }

// constant is MOV reg, v.
func (a *assembler) constant(reg register, v uint64) {
	if v <= 0xffffffff { // MOV r32, v
		if reg >= 8 {
			a.bytes(0x41)
		}
		a.bytes(0xb8 | byte(reg&7))
		a.imm32(uint32(v))
		return
	}
	a.bytes(rex(true, 0, reg), 0xb8|byte(reg&7))
	a.imm32(uint32(v))
	a.imm32(uint32(v >> 32))
}

func (a *assembler) swap(reg register) { a.bytes(rex(true, 0, reg), 0x0f, 0xc8|byte(reg&7)) } // BSWAP

// shifts is SHL or SHR reg, n.
func (a *assembler) shifts(left bool, reg register, n int) {
	if n == 0 {
		return
	}
	ext := byte(5)
	if left {
		ext = 4
	}
	a.bytes(rex(true, 0, reg), 0xc1, 0xc0|ext<<3|byte(reg&7), byte(n))
}

// mask is AND reg, m. R8 is scratch.
func (a *assembler) mask(reg register, m uint64) {
	switch {
	case m == allOnes:
	case m <= 0x7fffffff:
		a.bytes(rex(false, 0, reg), 0x81, 0xc0|4<<3|byte(reg&7))
		a.imm32(uint32(m))
	default:
		a.constant(regR8, m)
		a.both(opAnds, regR8, reg)
	}
}

// loadable tells whether the header's chunks can be loaded without reading behind it: eight
// bytes that end with the chunk, or begin with it, or two or four.
func (h *headCode) loadable() bool {
	for i := range h.load {
		c := &h.load[i]
		if int(c.n)+c.off < 8 && c.off+8 > h.n && c.n != 1 && c.n != 2 && c.n != 4 {
			return false
		}
	}
	return true
}

// extract takes a header from the frame; one that is cut is for the interpreter.
func (a *assembler) extract(pc uint32, h *headCode) {
	a.get(regDX, parsedSlot)
	a.memory(true, regCX, regDX, h.n, 0x8d)         // LEA CX, [DX+n]
	a.memory(true, regCX, regDI, 8*frameSlot, 0x3b) // CMP CX, [frame]
	a.bytes(0x76, giveSize)                         // JBE
	a.give(pc)                                      //
	a.keep(parsedSlot, regCX)                       //
	a.memory(true, regCX, regDX, 1, 0x8d)           // LEA CX, [DX+1]
	a.keep(int(h.off), regCX)                       //
	a.put(h.valid, 1)                               //
	a.both(opAdds, regSI, regDX)                    // where the header is
	for i := range h.load {
		a.loadChunk(&h.load[i], h.n)
	}
}

// loadChunk loads a chunk of the header at DX and takes it apart.
func (a *assembler) loadChunk(c *chunk, size int) {
	n := int(c.n)
	switch {
	case c.off+8 <= size:
		a.memory(true, regAX, regDX, c.off, 0x8b)
		a.swap(regAX)
		a.shifts(false, regAX, 64-8*n)
	case c.off+n >= 8: // what comes before it is masked
		a.memory(true, regAX, regDX, c.off+n-8, 0x8b)
		a.swap(regAX)
	case n == 1:
		a.memory(false, regAX, regDX, c.off, 0x0f, 0xb6) // MOVZX
	default:
		if n == 2 {
			a.memory(false, regAX, regDX, c.off, 0x0f, 0xb7)
		} else {
			a.memory(false, regAX, regDX, c.off, 0x8b)
		}
		a.swap(regAX)
		a.shifts(false, regAX, 64-8*n)
	}
	for i := range c.pieces {
		p := &c.pieces[i]
		a.both(opMove, regAX, regCX)
		a.shifts(false, regCX, int(p.cshift))
		a.mask(regCX, p.mask)
		a.shifts(true, regCX, int(p.lshift))
		if p.or {
			a.memory(true, regCX, regDI, 8*int(p.slot), 0x09) // OR [slot], CX
		} else {
			a.keep(int(p.slot), regCX)
		}
	}
}

// selection is a transition.
func (a *assembler) selection(s *selection) {
	a.constant(regAX, 0)
	for _, p := range s.parts {
		a.get(regCX, int(p.slot))
		a.shifts(true, regCX, int(p.shift))
		a.both(opOrs, regCX, regAX)
	}
	for i := range s.cases {
		k := &s.cases[i]
		a.both(opMove, regAX, regCX)
		a.mask(regCX, k.mask)
		a.constant(regDX, k.value)
		a.both(opCmps, regDX, regCX)
		a.unless(0x75, k.to) // JNE
	}
	a.leave(s.other)
}

// apply looks an exact table up and goes on with the action of the entry, if it is found
// and nothing is to be counted; else the interpreter goes on, with the entry in DX.
func (a *assembler) apply(pc uint32, t *tableDef) {
	a.key(t)
	found, missed := a.find(t)
	a.land(found)
	if t.profile < 0 && !t.counters && !t.timeout && t.meter == nil {
		a.act(t)
	}
	a.both(opMove, regR8, regDX)
	a.bytes(0xb8) // MOV EAX, pc; RET
	a.imm32(pc)
	a.bytes(0xc3)
	for _, from := range missed {
		a.land(from)
	}
	a.give(pc)
}

// act copies the parameters of the entry in R8 and goes on with its action.
func (a *assembler) act(t *tableDef) {
	actions := t.runnable(a.program)
	most := 0
	for _, act := range actions {
		most = max(most, act.words)
	}
	length := int(unsafe.Offsetof(entry{}.words) + unsafe.Sizeof(uintptr(0)))
	a.memory(true, regDX, regR8, length, 0x8b)
	var done []int
	for i := range most {
		a.bytes(0x48, 0x81, 0xfa) // CMP DX, the words so far
		a.imm32(uint32(t.words + i))
		done = append(done, a.ahead(0x0f, 0x84)) // JE
		a.memory(true, regAX, regR13, 8*(t.words+i), 0x8b)
		a.keep(a.program.slots+i, regAX)
	}
	for _, from := range done {
		a.land(from)
	}
	a.memory(false, regAX, regR8, int(unsafe.Offsetof(entry{}.act)), 0x8b)
	for _, act := range actions {
		a.bytes(0x3d) // CMP EAX, action
		a.imm32(uint32(act.index))
		a.unless(0x75, t.hitCode[act.index]) // JNE
	}
}

// find searches the table's index for the key in BX and R9 whose hash is in AX. It jumps to
// found with the entry in R8 and its words in R13.
func (a *assembler) find(t *tableDef) (found int, missed []int) {
	a.get(regR11, a.program.index0+t.index)
	a.memory(true, regR11, regR11, int(unsafe.Offsetof(index{}.cur)), 0x8b)
	a.both(0x85, regR11, regR11) // TEST
	missed = append(missed, a.ahead(0x0f, 0x84))
	a.memory(true, regDX, regR11, int(unsafe.Offsetof(slotArray{}.mask)), 0x8b)
	a.memory(true, regR11, regR11, int(unsafe.Offsetof(slotArray{}.slots)), 0x8b)
	a.both(opMove, regAX, regCX)
	loop := len(a.text)
	a.both(opAnds, regDX, regCX)
	a.both(opMove, regCX, regR8)
	a.shifts(true, regR8, bits.Len(uint(unsafe.Sizeof(hashSlot{})))-1)
	a.both(opAdds, regR11, regR8)
	a.memory(true, regAX, regR8, int(unsafe.Offsetof(hashSlot{}.hash)), 0x39) // CMP [hash], AX
	same := a.ahead(0x0f, 0x84)
	a.memory(true, 7, regR8, int(unsafe.Offsetof(hashSlot{}.hash)), 0x83) // CMP [hash], 0
	a.bytes(0)
	missed = append(missed, a.ahead(0x0f, 0x84))
	next := len(a.text)
	a.bytes(0x48, 0x83, 0xc1, 1) // ADD CX, 1
	a.back(loop, 0xe9)
	a.land(same)
	a.memory(true, regR8, regR8, int(unsafe.Offsetof(hashSlot{}.entry)), 0x8b)
	a.both(0x85, regR8, regR8)
	a.back(next, 0x0f, 0x84)
	a.memory(true, regR13, regR8, int(unsafe.Offsetof(entry{}.words)), 0x8b)
	for i, w := range []register{regBX, regR9}[:t.words] {
		a.memory(true, w, regR13, 8*i, 0x39)
		a.back(next, 0x0f, 0x85) // JNE
	}
	return a.ahead(0xe9), missed
}

// back is a jump to a place that is known.
func (a *assembler) back(to int, op ...byte) {
	a.bytes(op...)
	a.imm32(uint32(to - len(a.text) - 4))
}

// key packs a table's key of one or two words into BX and R9, and hashes it into AX as
// hash2 does.
func (a *assembler) key(t *tableDef) {
	words := [2]register{regBX, regR9}
	var begun [2]bool
	for i := range t.packs {
		p := &t.packs[i]
		a.get(regCX, p.slot)
		a.mask(regCX, p.mask)
		a.shifts(true, regCX, int(p.shift))
		if w := words[p.word]; begun[p.word] {
			a.both(opOrs, regCX, w)
		} else {
			a.both(opMove, regCX, w)
		}
		begun[p.word] = true
	}
	for i, w := range words {
		if !begun[i] {
			a.constant(w, 0)
		}
	}
	a.get(regAX, seedSlot)
	a.get(regCX, seedSlot+1)
	a.both(opXors, regBX, regAX)
	a.both(opXors, regR9, regCX)
	a.fold(regCX)
	a.constant(regCX, hashFactor)
	a.fold(regCX)
	a.bytes(0x48, 0x83, 0xf8, minHash) // CMP AX, minHash
	low := a.ahead(0x0f, 0x83)         // JAE
	a.bytes(0x48, 0x83, 0xc0, minHash) // ADD AX, minHash
	a.land(low)
}

// fold makes AX the product with reg, its halves combined.
func (a *assembler) fold(reg register) {
	a.bytes(rex(true, 0, reg), 0xf7, 0xe0|byte(reg&7)) // MUL reg
	a.both(opXors, regDX, regAX)
}
