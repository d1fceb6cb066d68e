package pipeline

import (
	"encoding/json"
	"fmt"
	"unsafe"
)

// calc is a hash or checksum over fields, constants, headers and the payload.
type calc struct {
	items   []calcItem
	payload bool
	sum     func([]byte) uint64
	entry   uintptr // machine code that writes the items, 0: none
	most    int     // bytes that it writes
}

// calcItem is a run of consecutive input that is present if guard is valid. A
// run of whole bytes is written by chunks; what remains, bit by bit.
type calcItem struct {
	guard  *header // nil: always present
	chunks []chunk
	n      int // bytes of chunks
	fields []*field
	lit    []uint64 // constant
	width  int      // of the constant, bits
	header *header  // a whole header
}

func (l *loader) loadCalculations() {
	l.p.calcs = map[string]*calc{}
	for i, j := range l.j.Calculations {
		l.at(fmt.Sprintf("calculations[%d]", i), func() { l.p.calcs[j.Name] = l.calculation(j.Algo, j.Input) })
	}
}

func (l *loader) calculation(algo string, input []jValue) *calc {
	c := &calc{sum: algorithm(algo)}
	if c.sum == nil {
		l.unsupported("hash algorithm %q", algo)
	}
	var run []*field
	flush := func() {
		if len(run) > 0 {
			c.items = append(c.items, runItem(run))
			run = nil
		}
	}
	for _, v := range input {
		if v.Type != "field" {
			flush()
		}
		switch v.Type {
		case "field":
			f := l.fieldRef(v.Value).use()
			if len(run) > 0 && (run[0].header != f.header || f.varlen) {
				flush()
			}
			run = append(run, f)
			if f.varlen {
				flush()
			}
		case "hexstr":
			if v.Bitwidth < 1 || v.Bitwidth > maxWidth {
				l.fail("bitwidth %d", v.Bitwidth)
			}
			c.items = append(c.items, calcItem{lit: limbsOf(l.hex(l.str(v.Value)), v.Bitwidth), width: v.Bitwidth})
		case "header":
			h := l.headerRef(l.str(v.Value))
			h.whole = true
			for _, f := range h.fields {
				f.use()
			}
			c.items = append(c.items, calcItem{guard: h, header: h})
		case "payload":
			c.payload = true
		default:
			l.unsupported("calculation input of type %q", v.Type)
		}
	}
	flush()
	return c
}

// runItem makes an item of fields of one header.
func runItem(run []*field) calcItem {
	it := calcItem{fields: run}
	if !run[0].header.metadata {
		it.guard = run[0].header
	}
	width := 0
	for _, f := range run {
		if f.varlen {
			return it
		}
		width += f.width
	}
	if width%8 == 0 {
		it.chunks, it.n = chunksOf(run), width/8
	}
	return it
}

// chunked tells whether everything but the payload is written by chunks.
func (k *calc) chunked() bool {
	for i := range k.items {
		if k.items[i].n == 0 {
			return false
		}
	}
	return len(k.items) > 0
}

// compute evaluates the calculation on the packet.
func (k *calc) compute(c *ctx) uint64 {
	w := &c.calc
	if k.entry != 0 {
		w.buf = grow(w.buf[:0], k.most+8)
		n := writeNative(k.entry, (*slots)(c.f), nil, unsafe.SliceData(w.buf))
		w.buf = w.buf[:n]
		if k.payload {
			w.buf = append(w.buf, c.payload()...)
		}
		return k.sum(w.buf)
	}
	w.buf, w.bits = w.buf[:0], 0
	for i := range k.items {
		it := &k.items[i]
		if it.guard != nil && !c.isValid(it.guard) {
			continue
		}
		switch {
		case it.header != nil:
			w.align()
			w.buf = grow(w.buf, c.size(it.header)+8)
			n := c.emitHeader(it.header, w.buf[w.bits/8:])
			w.bits += 8 * n
			w.buf = w.buf[:w.bits/8]
		case it.lit != nil:
			w.putLimbs(it.lit, it.width)
		case it.n > 0 && w.bits%8 == 0:
			at := len(w.buf)
			w.buf = grow(w.buf, it.n+8)
			deposit(it.chunks, c.f, w.buf[at:])
			w.buf = w.buf[:at+it.n]
			w.bits += 8 * it.n
		default:
			for _, f := range it.fields {
				w.putField(c, f)
			}
		}
	}
	if k.payload {
		w.align()
		p := c.payload()
		w.buf = append(w.buf, p...)
	}
	return k.sum(w.buf)
}

// align pads to a byte boundary with zeros.
func (w *bitWriter) align() { w.bits = 8 * len(w.buf) }

func (w *bitWriter) putField(c *ctx, f *field) {
	if !f.varlen {
		w.putLimbs(c.f[f.slot:f.slot+f.n], f.width)
		return
	}
	for _, b := range c.varBytes(f) {
		w.put(uint64(b), 8)
	}
}

// grow appends n bytes of any value.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	return append(b, make([]byte, n)...)
}

// checksum verifies or updates a field.
type checksum struct {
	field *field
	calc  *calc
	cond  evalB // nil: always
}

func (l *loader) loadChecksums() {
	for i, j := range l.j.Checksums {
		l.at(fmt.Sprintf("checksums[%d]", i), func() {
			if j.Type != "generic" {
				l.unsupported("checksum type %q", j.Type)
			}
			target, err := json.Marshal(j.Target)
			if err != nil {
				l.fail("target: %v", err)
			}
			k := &checksum{field: l.fieldRef(target), calc: l.p.calcs[j.Calculation]}
			if k.calc == nil {
				l.fail("no calculation %q", j.Calculation)
			}
			if k.field.varlen || k.field.valid {
				l.unsupported("checksum in %s", k.field.name)
			}
			if len(j.IfCond) > 0 && string(j.IfCond) != "null" {
				k.cond = l.truth(l.boolean(j.IfCond))
			}
			if j.Verify == nil || *j.Verify {
				k.field.use()
				l.p.verify = append(l.p.verify, k)
			}
			if j.Update == nil || *j.Update {
				k.field.set = true
				l.p.update = append(l.p.update, k)
			}
		})
	}
}

// ok verifies the checksum; one whose header is absent is fine.
func (k *checksum) ok(c *ctx) bool {
	if !c.isValid(k.field.header) && !k.field.header.metadata || k.cond != nil && !k.cond(c) {
		return true
	}
	return k.calc.compute(c) == c.f[k.field.slot]
}

func (k *checksum) store(c *ctx) {
	if k.cond != nil && !k.cond(c) {
		return
	}
	v := k.calc.compute(c)
	clear(c.f[k.field.slot : k.field.slot+k.field.n])
	c.f[k.field.slot] = v
	if k.field.n == 1 {
		c.f[k.field.slot] &= k.field.mask()
	}
}
