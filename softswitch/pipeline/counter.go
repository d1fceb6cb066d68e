package pipeline

import "sync/atomic"

// Counter is an indirect counter array; every cell counts packets and bytes.
type Counter struct {
	d     arrayDef
	cells []counterCell
}

type counterCell struct{ packets, bytes atomic.Uint64 }

// count ignores an index out of range.
func (x *Counter) count(i uint64, length int) {
	if i < uint64(len(x.cells)) {
		x.cells[i].packets.Add(1)
		x.cells[i].bytes.Add(uint64(length))
	}
}

// Name is the fully qualified P4 name.
func (x *Counter) Name() string { return x.d.name }

// Len is the number of cells.
func (x *Counter) Len() int { return len(x.cells) }

// Read returns a cell.
func (x *Counter) Read(index int) (Count, error) {
	if index < 0 || index >= len(x.cells) {
		return Count{}, outOfRange(x.d.name, index, len(x.cells))
	}
	k := &x.cells[index]
	return Count{Packets: k.packets.Load(), Bytes: k.bytes.Load()}, nil
}

// Write sets a cell.
func (x *Counter) Write(index int, v Count) error {
	if index < 0 || index >= len(x.cells) {
		return outOfRange(x.d.name, index, len(x.cells))
	}
	x.cells[index].packets.Store(v.Packets)
	x.cells[index].bytes.Store(v.Bytes)
	return nil
}
