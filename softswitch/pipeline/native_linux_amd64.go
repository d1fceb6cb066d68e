//go:build !race

package pipeline

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Most instructions run as machine code: a step is a few instructions instead of
// an interpreter's thirty. The code has no calls, no stack and no loops but the
// search of an exact table (those of a program have an instruction that counts,
// which stays with the interpreter); it reads slots, the frame and tables, writes
// slots and the frame that leaves, and so is over before anyone could want to stop
// it: no collection of garbage begins or ends meanwhile, so that what it finds in a
// table stays. Where memory cannot be made executable,
// everything is interpreted.
//
// Registers: DI is the slots, SI the frame, R10 where the frame that leaves is
// written; the others but SP and BP are scratch. The result in AX is the
// instruction that the interpreter is to go on with, even if it has machine code:
// that has prepared it, or met what is not for it.

// callNative runs the code at entry. If what it comes to is the application of a table, e
// is the entry that was found, nil if there is none.
//
//go:noescape
func callNative(entry uintptr, f *slots, frame *byte) (pc uint32, e *entry)

// writeNative runs code that writes to out and returns how many bytes.
//
//go:noescape
func writeNative(entry uintptr, f *slots, frame, out *byte) uint32

// native gives the instructions their machine code.
func (x *code) native(p *Program) {
	p.index0 = p.temp0 + maxTemps + len(p.consts)
	if p.index0+len(p.tables) > seedSlot {
		return // it is a program beyond reason
	}
	a := &assembler{code: x, program: p, at: make([]int, len(x.ins)+1)}
	for i := range x.ins {
		if a.does(&x.ins[i]) {
			a.at[i] = len(a.text)
			a.instruction(uint32(i))
		} else {
			a.at[i] = -1
		}
	}
	a.at[len(x.ins)] = len(a.text)
	a.deparser(p.deparse)
	calcs := map[*calc]int{}
	for _, k := range p.calcs {
		if k.chunked() {
			calcs[k] = len(a.text)
			a.input(k)
		}
	}
	for _, j := range a.jumps {
		binary.LittleEndian.PutUint32(a.text[j.from:], uint32(a.at[j.to]-j.from-4))
	}
	memory, err := unix.Mmap(-1, 0, len(a.text), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return
	}
	copy(memory, a.text)
	if unix.Mprotect(memory, unix.PROT_READ|unix.PROT_EXEC) != nil {
		_ = unix.Munmap(memory) // what is left is an unused mapping
		return
	}
	base := uintptr(unsafe.Pointer(unsafe.SliceData(memory))) // not moved by the runtime
	for i := range x.ins {
		if a.at[i] >= 0 {
			x.ins[i].entry = base + uintptr(a.at[i])
		}
	}
	x.deparse = base + uintptr(a.at[len(x.ins)])
	for k, at := range calcs {
		k.entry = base + uintptr(at)
	}
	x.memory = &memory
	runtime.AddCleanup(x.memory, func(m []byte) { _ = unix.Munmap(m) }, memory)
}

type assembler struct {
	*code
	program *Program
	text    []byte
	at      []int // of each instruction, -1: it has none
	jumps   []nativeJump
}

// nativeJump is a displacement to be set.
type nativeJump struct {
	from int    // its place; it counts from what follows it
	to   uint32 // instruction
}

// does tells whether an instruction has machine code.
func (a *assembler) does(in *ins) bool {
	switch in.op {
	case iLine, iSelect:
		return true
	case iExtract:
		return a.heads[in.k].loadable()
	case iApply:
		t := a.program.tables[in.k]
		return t.class == classExact && (t.words == 1 || t.words == 2)
	}
	return false
}

func (a *assembler) instruction(pc uint32) {
	in := &a.ins[pc]
	switch in.op {
	case iLine:
		a.line(&a.lines[in.k])
	case iSelect:
		a.selection(&a.selects[in.k])
	case iExtract:
		a.extract(pc, &a.heads[in.k])
		a.leave(in.next)
	case iApply:
		a.apply(pc, a.program.tables[in.k])
	}
}

// jump is a jump with a 32-bit displacement to an instruction's machine code.
func (a *assembler) jump(to uint32, op ...byte) {
	a.bytes(op...)
	a.jumps = append(a.jumps, nativeJump{from: len(a.text), to: to})
	a.imm32(0)
}

// ahead is a jump to what follows, to be set by land.
func (a *assembler) ahead(op ...byte) (from int) {
	a.bytes(op...)
	a.imm32(0)
	return len(a.text) - 4
}

func (a *assembler) land(from int) {
	binary.LittleEndian.PutUint32(a.text[from:], uint32(len(a.text)-from-4))
}

func (a *assembler) bytes(b ...byte) { a.text = append(a.text, b...) }
func (a *assembler) imm32(v uint32)  { a.text = binary.LittleEndian.AppendUint32(a.text, v) }

// slot is an instruction with the operand [DI + 8*slot].
func (a *assembler) slot(s uint16, op ...byte) {
	a.bytes(op...)
	a.imm32(8 * uint32(s))
}

func small(v uint64) bool { return int64(v) == int64(int32(v)) }

func (a *assembler) load(s uint16)  { a.slot(s, 0x48, 0x8b, 0x87) } // MOV AX, [s]
func (a *assembler) store(s uint16) { a.slot(s, 0x48, 0x89, 0x87) } // MOV [s], AX
func (a *assembler) complement()    { a.bytes(0x48, 0xf7, 0xd0) }   // NOT AX
func (a *assembler) literal(v uint64) { // MOV CX, v
	a.bytes(0x48, 0xb9)
	a.text = binary.LittleEndian.AppendUint64(a.text, v)
}

// put is MOV [s], v, for a small v.
func (a *assembler) put(s uint16, v uint64) {
	a.slot(s, 0x48, 0xc7, 0x87)
	a.imm32(uint32(v))
}

// and masks AX.
func (a *assembler) and(m uint64) {
	switch {
	case m == allOnes:
	case m == 0xffffffff:
		a.bytes(0x89, 0xc0) // MOV EAX, EAX
	case small(m):
		a.bytes(0x48, 0x25) // AND AX, m
		a.imm32(uint32(m))
	default:
		a.literal(m)
		a.bytes(0x48, 0x21, 0xc8) // AND AX, CX
	}
}

func (a *assembler) line(l *line) {
	for i := range l.steps {
		a.step(&l.steps[i])
	}
	for i := range l.tests {
		a.test(&l.tests[i])
	}
	a.leave(l.next)
}

// leave goes on at to: straight to its machine code, else to the interpreter.
func (a *assembler) leave(to uint32) {
	if a.does(&a.ins[to]) {
		a.jump(to, 0xe9) // JMP
		return
	}
	a.give(to)
}

// give leaves an instruction to the interpreter: XOR EDX, EDX; MOV EAX, pc; RET.
func (a *assembler) give(pc uint32) {
	a.bytes(0x31, 0xd2, 0xb8)
	a.imm32(pc)
	a.bytes(0xc3)
}

const giveSize = 8

func (a *assembler) step(p *step) {
	switch p.kind {
	case stepMove, stepMix:
	default:
		a.validity(p)
		return
	}
	a.load(p.b)
	if p.s != 0 {
		a.bytes(0x48, 0xc1, 0xc0, p.s) // ROL AX, s
	}
	a.and(p.m)
	if p.kind == stepMix {
		if p.pre != 0 {
			a.complement()
		}
		a.slot(p.c, 0x48, 0x03, 0x87) // ADD AX, [c]
		if p.post != 0 {
			a.complement()
		}
		a.and(p.k)
	}
	a.store(p.a)
}

// validity adds or removes a header.
func (a *assembler) validity(p *step) {
	a.slot(p.b, 0x48, 0x83, 0xbf) // CMP [b], 0
	a.bytes(0)
	jump := byte(0x85) // JNE: it is valid already
	if p.kind == stepDel {
		jump = 0x84 // JE: it is invalid already
	}
	from := a.ahead(0x0f, jump)
	length := uint32(p.k)
	switch p.kind {
	case stepDel:
		a.put(p.b, 0)
		length = -length
	case stepAdd:
		for s := p.a; s < p.b; s++ {
			a.put(s, 0)
		}
		a.put(p.c, 0)
		fallthrough
	default:
		a.put(p.b, 1)
	}
	a.slot(lengthSlot, 0x48, 0x81, 0x87) // ADD [length], k
	a.imm32(length)
	a.land(from)
}

// test leaves the line if it holds.
func (a *assembler) test(t *test) {
	skip := byte(0x75) // JNE: unless equal
	switch {
	case t.kind == testValue && t.m == allOnes && small(t.v):
		a.slot(t.a, 0x48, 0x81, 0xbf) // CMP [a], v
		a.imm32(uint32(t.v))
	case t.kind == testValue:
		a.load(t.a)
		a.and(t.m)
		a.literal(t.v)
		a.bytes(0x48, 0x39, 0xc8) // CMP AX, CX
	case t.kind == testEqual || t.m == 0:
		a.load(t.a)
		a.slot(t.b, 0x48, 0x3b, 0x87) // CMP AX, [b]
	default: // signed: compare numbers, not bits
		a.load(t.a)
		a.slot(t.b, 0x48, 0x3b, 0x87)
	}
	if t.kind == testLess {
		skip = 0x73 // JAE: unless below
		if t.m != 0 {
			skip = 0x7d // JGE
		}
	}
	if !t.want {
		skip ^= 1 // the opposite condition
	}
	a.unless(skip, t.to)
}

// unless goes on at to, but not if the short conditional jump skip would be taken.
func (a *assembler) unless(skip byte, to uint32) {
	if a.does(&a.ins[to]) {
		a.jump(to, 0x0f, (skip^1)+0x10) // the condition itself
		return
	}
	a.bytes(skip, giveSize)
	a.give(to)
}
