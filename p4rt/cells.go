package p4rt

import (
	"fmt"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// AllCells as the Index of a cell means every cell of the array (Spec 9.3, 9.4, 9.7).
const AllCells = -1

// MeterConfig is the configuration of a meter; rates are per second, in bytes or packets as the
// program says (RFC 2698; EBurst: RFC 2697).
type MeterConfig struct{ CIR, CBurst, PIR, PBurst, EBurst int64 }

func (m *MeterConfig) validate() error {
	for _, v := range [...]int64{m.CIR, m.CBurst, m.PIR, m.PBurst, m.EBurst} {
		if v < 0 {
			return fmt.Errorf("%w: rate or burst %d is negative", ErrOverflow, v)
		}
	}
	return nil
}

// sameMeter compares configurations; nil is the default.
func sameMeter(a, b *MeterConfig) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func (m *MeterConfig) append(b []byte, field byte) []byte {
	b, at := open(b, field)
	for i, v := range [...]int64{m.CIR, m.CBurst, m.PIR, m.PBurst, m.EBurst} {
		b = appendUint(b, byte(i+1), uint64(v))
	}
	return closeAt(b, at)
}

func (m *MeterConfig) proto() *p4.MeterConfig {
	if m == nil {
		return nil
	}
	return &p4.MeterConfig{Cir: m.CIR, Cburst: m.CBurst, Pir: m.PIR, Pburst: m.PBurst, Eburst: m.EBurst}
}

func meterOf(m *p4.MeterConfig) *MeterConfig {
	if m == nil {
		return nil
	}
	return &MeterConfig{CIR: m.GetCir(), CBurst: m.GetCburst(), PIR: m.GetPir(), PBurst: m.GetPburst(), EBurst: m.GetEburst()}
}

// index is the wire form of a cell's index.
func index(i int64) *p4.Index {
	if i < 0 {
		return nil
	}
	return &p4.Index{Index: i}
}

// onlyModify refuses other updates of what is always there.
func onlyModify(what fmt.Stringer, op Op) error {
	if op != Modify {
		return fmt.Errorf("%s: %w: %s: it can only be modified", what, ErrUnsupported, op)
	}
	return nil
}

// checkIndex checks an index against the array's size.
func checkIndex(array string, i, size int64) error {
	if i < AllCells || size > 0 && i >= size {
		return fmt.Errorf("%s: %w: index %d of %d cells", array, ErrOverflow, i, size)
	}
	return nil
}

// appendMessage appends an Entity in its generated form: what follows is rare.
func appendMessage(b []byte, e *p4.Entity) []byte {
	out, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, e)
	if err != nil { // nothing here has required fields, or text that isn't checked before
		return b
	}
	return out
}

func showIndex(i int64) string {
	if i < 0 {
		return "[*]"
	}
	return fmt.Sprintf("[%d]", i)
}

// CounterCell sets one cell of an indirect counter, or all.
type CounterCell struct {
	Array          *CounterArray
	Index          int64 // or [AllCells]
	Packets, Bytes int64
}

// Key is the identity of the cell.
func (c *CounterCell) Key() Key { return Key{Kind: KindCounterCell, ID: c.Array.ID, Index: c.Index} }

func (c *CounterCell) String() string {
	return fmt.Sprintf("counter %s%s %d packets, %d bytes", c.Array, showIndex(c.Index), c.Packets, c.Bytes)
}

func (c *CounterCell) validate(op Op) error {
	if c.Array == nil {
		return fmt.Errorf("counter: %w", ErrNoSuchCounter)
	}
	if c.Packets < 0 || c.Bytes < 0 {
		return fmt.Errorf("%s: %w: negative", c, ErrOverflow)
	}
	if err := checkIndex("counter "+c.Array.Alias, c.Index, c.Array.Size); err != nil {
		return err
	}
	return onlyModify(c, op)
}

func (c *CounterCell) same(o Entity) bool {
	x, ok := o.(*CounterCell)
	return ok && c.Packets == x.Packets && c.Bytes == x.Bytes
}

func (c *CounterCell) appendWire(b []byte, _ Op) []byte {
	return appendMessage(b, &p4.Entity{Entity: &p4.Entity_CounterEntry{CounterEntry: &p4.CounterEntry{
		CounterId: c.Array.ID, Index: index(c.Index), Data: &p4.CounterData{PacketCount: c.Packets, ByteCount: c.Bytes}}}})
}

// MeterCell configures one cell of an indirect meter, or all.
type MeterCell struct {
	Array  *MeterArray
	Index  int64        // or [AllCells]
	Config *MeterConfig // nil: the default, which marks all packets green
}

// Key is the identity of the cell.
func (c *MeterCell) Key() Key { return Key{Kind: KindMeterCell, ID: c.Array.ID, Index: c.Index} }

func (c *MeterCell) String() string {
	if c.Config == nil {
		return fmt.Sprintf("meter %s%s default", c.Array, showIndex(c.Index))
	}
	return fmt.Sprintf("meter %s%s %+v", c.Array, showIndex(c.Index), *c.Config)
}

func (c *MeterCell) validate(op Op) error {
	if c.Array == nil {
		return fmt.Errorf("meter: %w", ErrNoSuchMeter)
	}
	if c.Config != nil {
		if err := c.Config.validate(); err != nil {
			return fmt.Errorf("meter %s: %w", c.Array, err)
		}
	}
	if err := checkIndex("meter "+c.Array.Alias, c.Index, c.Array.Size); err != nil {
		return err
	}
	return onlyModify(c, op)
}

func (c *MeterCell) same(o Entity) bool {
	x, ok := o.(*MeterCell)
	return ok && sameMeter(c.Config, x.Config)
}

func (c *MeterCell) appendWire(b []byte, _ Op) []byte {
	return appendMessage(b, &p4.Entity{Entity: &p4.Entity_MeterEntry{MeterEntry: &p4.MeterEntry{
		MeterId: c.Array.ID, Index: index(c.Index), Config: c.Config.proto()}}})
}

// RegisterCell sets one cell of a register of bit strings, or all.
type RegisterCell struct {
	Array *RegisterArray
	Index int64 // or [AllCells]
	Value Value
}

// Key is the identity of the cell.
func (c *RegisterCell) Key() Key { return Key{Kind: KindRegisterCell, ID: c.Array.ID, Index: c.Index} }

func (c *RegisterCell) String() string {
	return fmt.Sprintf("register %s%s = %s", c.Array, showIndex(c.Index), c.Array.Cell.text(c.Value))
}

func (c *RegisterCell) validate(op Op) error {
	if c.Array == nil {
		return fmt.Errorf("register: %w", ErrNoSuchRegister)
	}
	if c.Array.Cell.Width == 0 {
		return fmt.Errorf("register %s: %w: not a bit string of up to %d bits", c.Array, ErrUnsupported, MaxWidth)
	}
	if err := c.Array.Cell.check(c.Value); err != nil {
		return fmt.Errorf("register %s: %w", c.Array, err)
	}
	if err := checkIndex("register "+c.Array.Alias, c.Index, c.Array.Size); err != nil {
		return err
	}
	return onlyModify(c, op)
}

func (c *RegisterCell) same(o Entity) bool {
	x, ok := o.(*RegisterCell)
	return ok && c.Value == x.Value
}

func (c *RegisterCell) appendWire(b []byte, _ Op) []byte {
	value := c.Array.Cell.bytes(c.Value)
	return appendMessage(b, &p4.Entity{Entity: &p4.Entity_RegisterEntry{RegisterEntry: &p4.RegisterEntry{
		RegisterId: c.Array.ID, Index: index(c.Index), Data: &p4.P4Data{Data: &p4.P4Data_Bitstring{Bitstring: value}}}}})
}

// DirectCounter sets the counter of a table entry.
type DirectCounter struct {
	Entry          *Entry // its key counts
	Packets, Bytes int64
}

// Key is the identity of the counter.
func (c *DirectCounter) Key() Key { return ofEntry(KindDirectCounter, c.Entry) }

func ofEntry(kind Kind, e *Entry) Key {
	k := e.Key()
	k.Kind = kind
	return k
}

func (c *DirectCounter) String() string {
	return fmt.Sprintf("counter of %s: %d packets, %d bytes", c.Entry, c.Packets, c.Bytes)
}

func (c *DirectCounter) validate(op Op) error {
	if err := checkOwner(c.Entry); err != nil {
		return err
	}
	if !c.Entry.Table.DirectCounter {
		return fmt.Errorf("table %s: %w: it has no direct counter", c.Entry.Table, ErrUnsupported)
	}
	if c.Packets < 0 || c.Bytes < 0 {
		return fmt.Errorf("%s: %w: negative", c, ErrOverflow)
	}
	return onlyModify(c, op)
}

// checkOwner checks the key of the entry that a direct resource belongs to.
func checkOwner(e *Entry) error {
	if e == nil || e.Table == nil {
		return fmt.Errorf("direct resource: %w", ErrNoSuchTable)
	}
	if e.Default {
		return nil
	}
	return e.validate(Delete)
}

func (c *DirectCounter) same(o Entity) bool {
	x, ok := o.(*DirectCounter)
	return ok && c.Packets == x.Packets && c.Bytes == x.Bytes
}

func (c *DirectCounter) appendWire(b []byte, _ Op) []byte {
	b, at := open(b, 8)
	b = c.Entry.appendOwner(b)
	b, data := open(b, 2)
	b = appendUint(appendUint(b, 1, uint64(c.Bytes)), 2, uint64(c.Packets))
	return closeAt(closeAt(b, data), at)
}

// DirectMeter configures the meter of a table entry.
type DirectMeter struct {
	Entry  *Entry       // its key counts
	Config *MeterConfig // nil: the default
}

// Key is the identity of the meter.
func (c *DirectMeter) Key() Key { return ofEntry(KindDirectMeter, c.Entry) }

func (c *DirectMeter) String() string { return fmt.Sprintf("meter of %s", c.Entry) }

func (c *DirectMeter) validate(op Op) error {
	if err := checkOwner(c.Entry); err != nil {
		return err
	}
	if !c.Entry.Table.DirectMeter {
		return fmt.Errorf("table %s: %w: it has no direct meter", c.Entry.Table, ErrUnsupported)
	}
	if c.Config != nil {
		if err := c.Config.validate(); err != nil {
			return err
		}
	}
	return onlyModify(c, op)
}

func (c *DirectMeter) same(o Entity) bool {
	x, ok := o.(*DirectMeter)
	return ok && sameMeter(c.Config, x.Config)
}

func (c *DirectMeter) appendWire(b []byte, _ Op) []byte {
	b, at := open(b, 6)
	b = c.Entry.appendOwner(b)
	if c.Config != nil {
		b = c.Config.append(b, 2)
	}
	return closeAt(b, at)
}

// appendOwner appends the key of an entry as field 1.
func (e *Entry) appendOwner(b []byte) []byte {
	b, at := open(b, 1)
	return closeAt(e.appendBody(b, Delete), at)
}
