package pipeline

import "encoding/binary"

// chunk is up to eight consecutive bytes of a packet and the pieces of fields
// in them: one load or store serves several small fields.
type chunk struct {
	off    int  // bytes from the start
	n      uint // bytes, 1…8
	whole  bool // every piece is all that is in its slot
	pieces []piece
}

// piece is the part of a field that lies both in one chunk and in one slot.
type piece struct {
	slot   int
	mask   uint64 // of the piece's width
	cshift uint8  // bits right of it in the chunk
	lshift uint8  // bits right of it in the slot
	or     bool   // the slot holds other pieces already
}

// chunksOf cuts a byte-aligned run of fields, the sum of whose widths is a
// multiple of 8, into chunks, at field boundaries where there are any.
func chunksOf(fields []*field) []chunk {
	total := 0
	ends := map[int]bool{}
	for _, f := range fields {
		total += f.width
		ends[total] = true
	}
	var out []chunk
	for start := 0; start < total; {
		end := min(start+64, total)
		for e := end; e > start; e -= 8 {
			if ends[e] {
				end = e
				break
			}
		}
		c := chunk{off: start / 8, n: uint(end-start) / 8, whole: true}
		pos := 0
		for _, f := range fields {
			c.add(f, pos, start, end)
			pos += f.width
		}
		out = append(out, c)
		start = end
	}
	return out
}

// add puts the pieces of f, which begins at bit pos, that lie in [start,end) into c.
func (c *chunk) add(f *field, pos, start, end int) {
	for limb := f.n - 1; limb >= 0; limb-- {
		// bits of this slot in packet order: [hi, lo)
		lo := pos + f.width - 64*limb
		hi := max(pos, lo-64)
		a, b := max(hi, start), min(lo, end)
		if a >= b {
			continue
		}
		c.whole = c.whole && a == hi && b == lo
		c.pieces = append(c.pieces, piece{slot: f.slot + limb, mask: topMask(b - a),
			cshift: uint8(end - b), lshift: uint8(lo - b), or: a > hi})
	}
}

// load reads the chunk from data, which must hold it.
func (c *chunk) load(data []byte) uint64 {
	if c.off+8 <= len(data) {
		return binary.BigEndian.Uint64(data[c.off:]) >> (64 - 8*c.n)
	}
	var w uint64
	for _, b := range data[c.off : c.off+int(c.n)] {
		w = w<<8 | uint64(b)
	}
	return w
}

// extract fills the slots from data.
func extract(chunks []chunk, f []uint64, data []byte) {
	for i := range chunks {
		c := &chunks[i]
		w := c.load(data)
		for j := range c.pieces {
			p := &c.pieces[j]
			v := w >> (p.cshift & 63) & p.mask // &63: shifts are smaller, the compiler need not check
			if p.or {
				f[p.slot] |= v << (p.lshift & 63)
			} else {
				f[p.slot] = v << (p.lshift & 63)
			}
		}
	}
}

// deposit writes the slots to out, which must have eight bytes to spare after
// the last chunk.
func deposit(chunks []chunk, f []uint64, out []byte) {
	for i := range chunks {
		c := &chunks[i]
		var w uint64
		if c.whole {
			for _, p := range c.pieces {
				w |= f[p.slot] << (p.cshift & 63)
			}
		} else {
			for j := range c.pieces {
				p := &c.pieces[j]
				w |= f[p.slot] >> (p.lshift & 63) & p.mask << (p.cshift & 63)
			}
		}
		binary.BigEndian.PutUint64(out[c.off:], w<<((64-8*c.n)&63))
	}
}

// bitsAt reads width ≤ 64 bits at bit offset off of data, which must hold them.
func bitsAt(data []byte, off, width int) uint64 {
	var w uint64
	for got := 0; got < width; {
		b := data[(off+got)/8]
		skip := (off + got) % 8
		take := min(8-skip, width-got)
		w = w<<take | uint64(b>>(8-skip-take))&(1<<take-1)
		got += take
	}
	return w
}

// bitWriter appends bit strings, most significant bit first.
type bitWriter struct {
	buf  []byte
	bits int
}

// put appends the width low bits of v.
func (w *bitWriter) put(v uint64, width int) {
	if w.bits%8 == 0 && width%8 == 0 {
		for s := width - 8; s >= 0; s -= 8 {
			w.buf = append(w.buf, byte(v>>s))
		}
		w.bits += width
		return
	}
	for width > 0 {
		if w.bits%8 == 0 {
			w.buf = append(w.buf, 0)
		}
		room := 8 - w.bits%8
		take := min(room, width)
		w.buf[len(w.buf)-1] |= byte(v>>(width-take)&(1<<take-1)) << (room - take)
		w.bits += take
		width -= take
	}
}

// putLimbs appends a value of any width, limbs least significant first.
func (w *bitWriter) putLimbs(v []uint64, width int) {
	for i := limbs(width) - 1; i >= 0; i-- {
		n := 64
		if i == limbs(width)-1 && width%64 != 0 {
			n = width % 64
		}
		w.put(v[i], n)
	}
}
