package pipeline

// A program runs as instructions over the slots of a context: one graph for
// parser, ingress and egress. Few instructions do much each, since going from
// one to the next is a jump that processors guess badly: straight-line
// arithmetic and a series of conditions are one instruction, a line.
// What has no instruction of its own is a closure that an instruction calls.

// opc is what an instruction does.
type opc uint8

const (
	iEnd     opc = iota // return
	iLine               // lines[k]
	iApply              // table k; goes on where its action is
	iExtract            // heads[k] from the packet; to c if it is too short
	iSelect             // selects[k]
	iHash               // hashes[k]
	iCount              // counter array k, cell b
	iDrop               // egress_spec = drop
	iSetExit            // exit
	iExit               // return if exit
	iLock               // registers locks[k]
	iUnlock
	iCall    // ops[k]
	iNum     // a = nums[k]
	iJumpIf  // to c if bools[k]
	iJumpNot // to c unless bools[k]
	iFailed  // to c if the parser failed
	iLoop    // counts; to c after k
	// slot a = slot b with slot c, & k; shifts of 64 and more yield 0
	iMul
	iAnd
	iOr
	iXor
	iShl
	iShr
	iSar  // arithmetic
	iSarK // b >> s, arithmetic
	iCatK // b >> s | c << (64-s): the middle of a wide field
	iSext // b << s >> s, arithmetic
	// Only until link:
	iJump // to c
	iTest // to c if test k of coder.tests holds
	iStep // step k of coder.steps
)

// jumps reports whether c is a target.
func (o opc) jumps() bool {
	switch o {
	case iExtract, iJumpIf, iJumpNot, iFailed, iLoop, iJump, iTest:
		return true
	}
	return false
}

// ins is one instruction: a is the slot that it writes, b and c are slots that
// it reads, or c the target of a jump; s is a shift and k a constant, a mask or
// an index. What follows it is at next.
type ins struct {
	op    opc
	s     uint8
	a, b  uint16
	c     uint32
	next  uint32
	k     uint64
	entry uintptr // of its machine code, 0: none
}

// code is a program's instructions and what they refer to.
type code struct {
	ins     []ins
	lines   []line
	heads   []headCode
	selects []selection
	hashes  []hashCode
	ops     []op
	nums    []evalU
	bools   []evalB
	locks   [][]int
	memory  *[]byte // of machine code
	deparse uintptr // machine code of the deparser, 0: none
	parser  uint32  // entry points
	ingress uint32
	egress  uint32
}

// line is a series of steps, then a series of tests: the target of the first
// that holds is where to go on.
type line struct {
	steps []step
	tests []test
	next  uint32 // if no test holds
}

// step is one operation. One formula is a move, a shift and a mask, another
// also a sum, a difference or a complement, without a branch.
type step struct {
	m, k      uint64
	a, b, c   uint16
	s         uint8 // bits to the left
	pre, post int8  // 0 or -1
	kind      stepKind
}

type stepKind uint8

const (
	stepMove stepKind = iota // a = rotate(b, s) & m
	stepMix                  // a = ((rotate(b, s) & m ^ pre) + c ^ post) & k
	stepAdd                  // the header at a (its first slot), with valid slot b, of k bytes, zeroed, becomes valid; c = 0
	stepKeep                 // the same, fields kept
	stepDel                  // becomes invalid
)

// test compares slots; it holds if the outcome is want.
type test struct {
	m, v uint64
	a, b uint16
	to   uint32
	kind testKind
	want bool
	_    [6]uint8 // 32 bytes
}

type testKind uint8

const (
	testValue testKind = iota // a & m == v
	testEqual                 // a == b
	testLess                  // a < b, unsigned once m has been added to both
)

// headCode extracts a header of fixed length.
type headCode struct {
	h     *header
	load  []chunk
	n     int // bytes
	valid uint16
	off   uint16 // slot for its place in the packet
}

// selection is a transition over key parts that fit one word.
type selection struct {
	parts []selectPart
	cases []selectCase
	other uint32
}

type selectPart struct {
	slot  uint16
	shift uint8
}

type selectCase struct {
	value, mask uint64
	to          uint32
}

// hashCode is base + calc modulo max, for slots base and max.
type hashCode struct {
	calc           *calc
	dst, base, max uint16
	mask           uint64
}
