package pipeline

import (
	"math/big"
	"math/bits"
	"unsafe"
)

// ctx is the state of one packet on its way through the program. Contexts are
// pooled; a running context belongs to one goroutine.
type ctx struct {
	m    *Machine
	prog *Program
	f    []uint64  // slots, see layout
	vb   []byte    // contents of variable-length fields
	key  []uint64  // key of the table being applied, parser keys
	mkey []uint64  // the key under a mask
	big  []big.Int // scratch of wide arithmetic

	frame  []byte // the packet as it entered the parser
	own    []byte // memory for frame, used if owned: of this context or the one that it is a copy of
	owned  bool
	arrive int   // length on arrival, for meters and counters
	limit  int   // truncate: largest frame on output
	trim   int   // bytes cut off the payload's end (truncated clones)
	now    int64 // nanoseconds since the machine's start

	perr   uint64 // parser error code
	failed bool   // a parser operation failed
	exit   bool   // exit statement
	loops  uint64 // jumps backwards
	rng    uint64

	// what the primitives asked for; ids of field lists, 0 is none
	clone, cloneList    uint64
	cloneSet            bool
	resubmit, recirc    uint64
	digest              uint64
	recircSet, resubSet bool

	out  []byte // deparsed frame
	calc bitWriter
	args [][]byte // digest fields
	pass int      // resubmits, recirculations and clones that led here

	root  *ctx       // the context that received the frame; what follows is the root's
	made  int        // copies that the frame caused
	later []deferred // what is to run, in order, when the packet is through
}

// deferred is a copy of a packet that waits for the packets ahead of it.
type deferred struct {
	c        *ctx
	replicas []Replica // of an egress clone; nil: a packet that is recirculated
}

func newCtx(m *Machine) *ctx {
	p := m.prog
	f := make([]uint64, maxFrameSlots)
	copy(f[p.temp0+maxTemps:], p.consts)
	for i, t := range m.tables {
		if t.only != nil && p.index0 != 0 {
			f[p.index0+i] = uint64(uintptr(unsafe.Pointer(&t.only.index))) // the machine keeps it
		}
	}
	f[seedSlot], f[seedSlot+1] = m.hashSeed, secondSeed(m.hashSeed)
	return &ctx{m: m, prog: p, f: f, vb: make([]byte, p.varBytes),
		key: make([]uint64, max(8, p.maxKey)), mkey: make([]uint64, max(8, p.maxKey)),
		big: make([]big.Int, p.nbig),
		out: make([]byte, p.maxHeaders+2048),
		rng: m.seed.Add(0x9e3779b97f4a7c15),
	}
}

// start makes c ready for a frame that enters the parser: no metadata, no
// valid header.
func (c *ctx) start(frame []byte) {
	clear(c.f[:c.prog.slots])
	c.frame, c.trim, c.arrive = frame, 0, len(frame)
	c.f[lengthSlot], c.f[frameSlot], c.f[parsedSlot] = uint64(len(frame)), uint64(len(frame)), 0
	c.limit = maxFrame
	c.request()
}

// hold gives c a copy of its frame, which may outlast the packet that it is from.
func (c *ctx) hold() {
	c.own = append(c.own[:0], c.frame...)
	c.frame, c.owned = c.own, true
}

// ahead is what the parser has not consumed.
func (c *ctx) ahead() []byte { return c.frame[c.f[parsedSlot]:] }

// request forgets what primitives asked for.
func (c *ctx) request() {
	c.exit, c.cloneSet, c.resubSet, c.recircSet = false, false, false, false
	c.digest = 0
}

// maxFrame is the largest frame; truncation beyond it means none.
const maxFrame = 1 << 30

// copyFrom makes c the same packet as o.
func (c *ctx) copyFrom(o *ctx) {
	copy(c.f[:c.prog.slots], o.f)
	copy(c.vb, o.vb)
	c.frame, c.trim, c.owned = o.frame, o.trim, o.owned
	copy(c.f[parsedSlot:], o.f[parsedSlot:])
	c.arrive, c.limit, c.now = o.arrive, o.limit, o.now
	c.request()
}

// set writes a standard metadata field.
func (c *ctx) set(f *field, v uint64) { c.f[f.slot] = v & f.mask() }

// rand is xorshift64*; not for secrets.
func (c *ctx) rand() uint64 {
	x := c.rng
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	c.rng = x
	return x * 0x2545f4914f6cdd1d
}

func (c *ctx) isValid(h *header) bool { return c.f[h.vslot] != 0 }

// validMember is the index of the union's valid header, -1 if there is none.
func (c *ctx) validMember(u *union) int {
	for i, h := range u.members {
		if c.isValid(h) {
			return i
		}
	}
	return -1
}

// setValid makes h valid; the other headers of its union become invalid.
func (c *ctx) setValid(h *header) {
	if h.union != nil {
		for _, o := range h.union.members {
			c.f[o.vslot] = 0
		}
	}
	c.f[h.vslot] = 1
}

// size is the header's length in bytes.
func (c *ctx) size(h *header) int {
	n := h.preLen + h.postLen
	if h.vl != nil {
		n += int(c.f[h.vl.slot])
	}
	return n
}

func (c *ctx) varBytes(f *field) []byte { return c.vb[f.off : f.off+int(c.f[f.slot])] }

func (c *ctx) sameVar(a, b *field) bool { return string(c.varBytes(a)) == string(c.varBytes(b)) }

// copyVar copies a variable-length field, cut to what the destination holds.
func (c *ctx) copyVar(dst, src *field) {
	n := min(int(c.f[src.slot]), dst.max)
	c.f[dst.slot] = uint64(n)
	copy(c.vb[dst.off:dst.off+n], c.vb[src.off:])
}

// zero resets a header's fields.
func (c *ctx) zero(h *header) {
	clear(c.f[h.first:h.vslot])
}

// copyFields copies the fields of src; both are of one type, and so laid out alike.
func (c *ctx) copyFields(dst, src *header) {
	copy(c.f[dst.first:dst.vslot], c.f[src.first:src.vslot])
	if dst.vl != nil {
		c.copyVar(dst.vl, src.vl)
	}
}

// assignHeader is the assignment of headers: validity, then fields.
func (c *ctx) assignHeader(dst, src *header) {
	if dst == src {
		return
	}
	if !c.isValid(src) {
		c.f[dst.vslot] = 0
		return
	}
	c.setValid(dst)
	c.copyFields(dst, src)
}

// swap exchanges two headers of one type, validity included. Unions stay as
// they are: their members swap together.
func (c *ctx) swap(a, b *header) {
	x, y := c.f[a.first:a.vslot+1], c.f[b.first:b.vslot+1]
	for i := range x {
		x[i], y[i] = y[i], x[i]
	}
	if f, g := a.vl, b.vl; f != nil {
		for k := range f.max {
			c.vb[f.off+k], c.vb[g.off+k] = c.vb[g.off+k], c.vb[f.off+k]
		}
	}
}

// sameHeader: both valid and every field equal.
func (c *ctx) sameHeader(a, b int) bool {
	if a < 0 || b < 0 {
		return false
	}
	x, y := c.prog.headers[a], c.prog.headers[b]
	if x.typ != y.typ || !c.isValid(x) || !c.isValid(y) {
		return false
	}
	if x.vl != nil && !c.sameVar(x.vl, y.vl) {
		return false
	}
	return sameLimbs(c.f[x.first:x.vslot], c.f[y.first:y.vslot])
}

func (c *ctx) sameUnion(a, b *union) bool {
	if a == nil || b == nil {
		return false
	}
	i := c.validMember(a)
	return i >= 0 && i == c.validMember(b) && c.sameHeader(a.members[i].index, b.members[i].index)
}

// uniform draws from [lo,hi].
func (c *ctx) uniform(lo, hi uint64) uint64 {
	n := hi - lo + 1
	if n == 0 {
		return c.rand()
	}
	h, _ := bits.Mul64(c.rand(), n)
	return lo + h
}
