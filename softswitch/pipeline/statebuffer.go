package pipeline

import "slices"

// stateBuffer is the memory of an EntryState, used again for the next one.
type stateBuffer struct {
	match  []FieldMatch
	params [][]byte
	bytes  []byte
}

func (b *stateBuffer) reset() { b.bytes = b.bytes[:0] }

// fields is room for the fields of a match.
func (b *stateBuffer) fields(n int) []FieldMatch {
	b.match = slices.Grow(b.match[:0], n)[:n]
	clear(b.match)
	return b.match
}

// values is room for the parameters of an action.
func (b *stateBuffer) values(n int) [][]byte {
	b.params = slices.Grow(b.params[:0], n)[:n]
	return b.params
}

// format converts limbs to ⌈width/8⌉ big-endian bytes.
func (b *stateBuffer) format(v []uint64, width int) []byte {
	at, n := len(b.bytes), (width+7)/8
	b.bytes = slices.Grow(b.bytes, n)[:at+n] // what was formatted before stays where it is if this moves
	out := b.bytes[at : at+n : at+n]
	putValue(out, v)
	return out
}
