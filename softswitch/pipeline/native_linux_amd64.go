package pipeline

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Lines run as machine code: a step is a few instructions instead of an
// interpreter's thirty. The code has no calls, no stack and no loops (those of a
// program have an instruction that counts, which is not a line); it reads and
// writes nothing but slots, and so is over before anyone could want to stop it.
// Where memory cannot be made executable, lines are interpreted.
//
// Registers: DI is the slots, AX and CX are scratch; the result, where to go
// on, is in AX.

// callNative runs the code at entry.
func callNative(entry uintptr, f *slots) uint32

// native gives every line its machine code.
func (x *code) native() {
	a := &assembler{ins: x.ins}
	at := make([]int, len(x.lines))
	for i := range x.lines {
		at[i] = len(a.code)
		a.line(&x.lines[i])
	}
	if len(a.code) == 0 {
		return
	}
	for _, j := range a.jumps { // from line to line
		binary.LittleEndian.PutUint32(a.code[j.from:], uint32(at[j.line]-j.from-4))
	}
	memory, err := unix.Mmap(-1, 0, len(a.code), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return
	}
	copy(memory, a.code)
	if unix.Mprotect(memory, unix.PROT_READ|unix.PROT_EXEC) != nil {
		_ = unix.Munmap(memory) // what is left is an unused mapping
		return
	}
	base := uintptr(unsafe.Pointer(unsafe.SliceData(memory))) // not moved by the runtime
	for i := range x.lines {
		x.lines[i].entry = base + uintptr(at[i])
	}
	x.memory = &memory
	runtime.AddCleanup(x.memory, func(m []byte) { _ = unix.Munmap(m) }, memory)
}

type assembler struct {
	code  []byte
	ins   []ins
	jumps []nativeJump
}

// nativeJump is a displacement to be set.
type nativeJump struct {
	from int    // its place; it counts from what follows it
	line uint64 // where it leads
}

// jump is a jump with a 32-bit displacement to a line.
func (a *assembler) jump(line uint64, op ...byte) {
	a.bytes(op...)
	a.jumps = append(a.jumps, nativeJump{from: len(a.code), line: line})
	a.imm32(0)
}

func (a *assembler) bytes(b ...byte) { a.code = append(a.code, b...) }
func (a *assembler) imm32(v uint32)  { a.code = binary.LittleEndian.AppendUint32(a.code, v) }

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
	a.code = binary.LittleEndian.AppendUint64(a.code, v)
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

// leave goes on at to: straight to a line, else MOV EAX, to; RET, six bytes.
func (a *assembler) leave(to uint32) {
	if in := &a.ins[to]; in.op == iLine {
		a.jump(in.k, 0xe9) // JMP
		return
	}
	a.bytes(0xb8)
	a.imm32(to)
	a.bytes(0xc3)
}

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
	a.bytes(0x0f, jump)
	from := len(a.code)
	a.imm32(0)
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
	binary.LittleEndian.PutUint32(a.code[from:], uint32(len(a.code)-from-4))
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
	if in := &a.ins[t.to]; in.op == iLine {
		a.jump(in.k, 0x0f, (skip^1)+0x10) // the condition itself
		return
	}
	a.bytes(skip, 6)
	a.leave(t.to)
}
