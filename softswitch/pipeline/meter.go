package pipeline

import (
	"fmt"
	"sync"
)

// Colours of a meter, as v1model numbers them.
const (
	green = iota
	yellow
	red
)

// Meter is an indirect meter array.
type Meter struct {
	d     meterDef
	m     *Machine
	cells []meterCell
}

// meterCell is a two-rate three-colour marker, colour-blind (RFC 2698 section 3).
type meterCell struct {
	mu   sync.Mutex
	conf MeterConfig
	on   bool
	c, p float64 // tokens
	last int64   // when they were filled, machine time
}

func (c MeterConfig) check() error {
	if c.PIR < c.CIR {
		return fmt.Errorf("%w: peak rate %d below committed rate %d", ErrInvalid, c.PIR, c.CIR)
	}
	return nil
}

func (k *meterCell) configure(c MeterConfig, now int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conf, k.on = c, c != MeterConfig{}
	k.c, k.p, k.last = float64(c.CBurst), float64(c.PBurst), now
}

func (k *meterCell) config() MeterConfig {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.conf
}

// execute marks a packet of n bytes or packets.
func (k *meterCell) execute(n float64, now int64) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.on {
		return green
	}
	if dt := float64(now-k.last) / 1e9; dt > 0 {
		k.c = min(k.c+dt*float64(k.conf.CIR), float64(k.conf.CBurst))
		k.p = min(k.p+dt*float64(k.conf.PIR), float64(k.conf.PBurst))
		k.last = now
	}
	switch {
	case k.p < n:
		return red
	case k.c < n:
		k.p -= n
		return yellow
	}
	k.p -= n
	k.c -= n
	return green
}

// amount is what a packet of length bytes costs.
func amount(bytes bool, length int) float64 {
	if bytes {
		return float64(length)
	}
	return 1
}

// execute runs a direct meter into its result field.
func (d *directMeter) execute(c *ctx, s *stats) {
	colour := uint64(green)
	if k := s.meter(); k != nil {
		colour = k.execute(amount(d.bytes, c.arrive), c.now)
	}
	c.set(d.result, colour)
}

// execute is false if the index is out of range.
func (x *Meter) execute(i uint64, length int, now int64) (uint64, bool) {
	if i >= uint64(len(x.cells)) {
		return 0, false
	}
	return x.cells[i].execute(amount(x.d.bytes, length), now), true
}

// Name is the fully qualified P4 name.
func (x *Meter) Name() string { return x.d.name }

// Len is the number of cells.
func (x *Meter) Len() int { return len(x.cells) }

// Read returns the configuration of a cell.
func (x *Meter) Read(index int) (MeterConfig, error) {
	if index < 0 || index >= len(x.cells) {
		return MeterConfig{}, outOfRange(x.d.name, index, len(x.cells))
	}
	return x.cells[index].config(), nil
}

// Write configures a cell and fills its buckets.
func (x *Meter) Write(index int, c MeterConfig) error {
	if index < 0 || index >= len(x.cells) {
		return outOfRange(x.d.name, index, len(x.cells))
	}
	if err := c.check(); err != nil {
		return err
	}
	x.cells[index].configure(c, x.m.clock())
	return nil
}

func outOfRange(name string, i, n int) error {
	return fmt.Errorf("%s: %w: %d of %d", name, ErrOutOfRange, i, n)
}
