package pipeline

import "encoding/binary"

// chunk is up to eight consecutive bytes of a packet and the pieces of fields
// in them: one load or store serves several small fields.
type chunk struct {
	off    int  // bytes from the start
	n      uint // bytes, 1…8
	whole  bool // every piece is all that is in its slot
	pieces []piece
	keep   uint64 // bits of the eight bytes from off on that patch leaves alone
}

// piece is the part of a field that lies both in one chunk and in one slot.
type piece struct {
	mask   uint64 // of the piece's width
	slot   uint16
	cshift uint8 // bits right of it in the chunk
	lshift uint8 // bits right of it in the slot
	or     bool  // the slot holds other pieces already
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
		c.pieces = append(c.pieces, piece{slot: uint16(f.slot + limb), mask: topMask(b - a),
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
func extract(chunks []chunk, slot []uint64, data []byte) {
	f := (*slots)(slot)
	for i := range chunks {
		c := &chunks[i]
		w := c.load(data)
		for list := c.pieces; len(list) > 0; list = list[1:] {
			p := &list[0]
			v := w >> (p.cshift & 63) & p.mask // &63: shifts are smaller, the compiler need not check
			if p.or {
				v = f[p.slot&slotMask] | v<<(p.lshift&63)
			} else {
				v <<= p.lshift & 63
			}
			f[p.slot&slotMask] = v
		}
	}
}

// deposit writes the slots to out, which must have eight bytes to spare after
// the last chunk.
func deposit(chunks []chunk, slot []uint64, out []byte) {
	f := (*slots)(slot)
	for i := range chunks {
		c := &chunks[i]
		var w uint64
		list := c.pieces
		if c.whole {
			for ; len(list) > 0; list = list[1:] {
				w |= f[list[0].slot&slotMask] << (list[0].cshift & 63)
			}
		} else {
			for ; len(list) > 0; list = list[1:] {
				p := &list[0]
				w |= f[p.slot&slotMask] >> (p.lshift & 63) & p.mask << (p.cshift & 63)
			}
		}
		binary.BigEndian.PutUint64(out[c.off:], w<<((64-8*c.n)&63))
	}
}

// only are the chunks with nothing but the pieces of some of the fields.
func only(chunks []chunk, fields []*field, want func(*field) bool) []chunk {
	wanted := map[int]bool{}
	for _, f := range fields {
		for i := range f.n {
			wanted[f.slot+i] = want(f)
		}
	}
	var out []chunk
	for _, c := range chunks {
		x := c
		x.pieces = nil
		var mask uint64
		for _, p := range c.pieces {
			if wanted[int(p.slot)] {
				x.pieces = append(x.pieces, p)
				mask |= p.mask << p.cshift
			}
		}
		x.keep = ^(mask << (64 - 8*c.n))
		if len(x.pieces) > 0 {
			out = append(out, x)
		}
	}
	return out
}

// patch writes the slots over a header that was copied from from to out, which
// must have eight bytes to spare after the last chunk.
func patch(chunks []chunk, slot []uint64, from, out []byte) {
	f := (*slots)(slot)
	for i := range chunks {
		c := &chunks[i]
		var w uint64
		for list := c.pieces; len(list) > 0; list = list[1:] {
			p := &list[0]
			w |= f[p.slot&slotMask] >> (p.lshift & 63) & p.mask << (p.cshift & 63)
		}
		at := out[c.off:]
		old := from[c.off:]
		if len(old) < 8 { // what was copied is all there is
			old = at
		}
		binary.BigEndian.PutUint64(at, binary.BigEndian.Uint64(old)&c.keep|w<<((64-8*c.n)&63))
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
