package pipeline

import (
	"fmt"
	"sync"
)

// Register is a register array. The lock is held for a whole action that
// touches the array, which makes such actions atomic, as in simple_switch.
type Register struct {
	d     arrayDef
	n     int // words per cell
	mu    sync.Mutex
	words []uint64
}

// cell returns the words of a cell, nil if the index is out of range.
func (x *Register) cell(i uint64) []uint64 {
	if i >= uint64(x.d.size) {
		return nil
	}
	return x.words[int(i)*x.n : int(i+1)*x.n]
}

// low is the low word of a cell, 0 if the index is out of range.
func (x *Register) low(i uint64) uint64 {
	if c := x.cell(i); c != nil {
		return c[0]
	}
	return 0
}

// Name is the fully qualified P4 name.
func (x *Register) Name() string { return x.d.name }

// Len is the number of cells.
func (x *Register) Len() int { return x.d.size }

// Width is that of a cell, in bits.
func (x *Register) Width() int { return x.d.width }

// Read returns a cell, big endian.
func (x *Register) Read(index int) ([]byte, error) {
	if index < 0 || index >= x.d.size {
		return nil, outOfRange(x.d.name, index, x.d.size)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return new(stateBuffer).format(x.cell(uint64(index)), x.d.width), nil
}

// Write sets a cell, big endian.
func (x *Register) Write(index int, v []byte) error {
	if index < 0 || index >= x.d.size {
		return outOfRange(x.d.name, index, x.d.size)
	}
	words, err := parseValue(v, x.d.width)
	if err != nil {
		return fmt.Errorf("register %s: %w", x.d.name, err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	copy(x.cell(uint64(index)), words)
	return nil
}
