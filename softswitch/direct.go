package softswitch

import (
	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// check checks a meter configuration for the meter's type; nil is the default, green.
func (m *meterSchema) check(c *p4v1.MeterConfig) error {
	if c == nil {
		return nil
	}
	for _, v := range []int64{c.GetCir(), c.GetCburst(), c.GetPir(), c.GetPburst(), c.GetEburst()} {
		if v < 0 {
			return invalidf("meter %s: rate or burst %d is negative", m.name, v)
		}
	}
	if m.kind != configv1.MeterSpec_TWO_RATE_THREE_COLOR && (c.GetPir() != c.GetCir() || c.GetPburst() != c.GetCburst()) {
		return invalidf("meter %s has a single rate: pir and pburst must equal cir and cburst", m.name)
	}
	switch {
	case c.GetEburst() != 0 && m.kind == configv1.MeterSpec_SINGLE_RATE_THREE_COLOR:
		return faultf(codes.Unimplemented, "meter %s: this target has no excess burst", m.name)
	case c.GetEburst() != 0:
		return invalidf("meter %s has no excess burst", m.name)
	case c.GetPir() < c.GetCir():
		return invalidf("meter %s: peak rate %d is below committed rate %d", m.name, c.GetPir(), c.GetCir())
	case meterOf(c) == pipeline.MeterConfig{}:
		return faultf(codes.Unimplemented, "meter %s: this target has no meter that marks every packet red", m.name)
	}
	return nil
}

func meterOf(c *p4v1.MeterConfig) pipeline.MeterConfig {
	return pipeline.MeterConfig{CIR: uint64(c.GetCir()), CBurst: uint64(c.GetCburst()), PIR: uint64(c.GetPir()), PBurst: uint64(c.GetPburst())}
}

// meterProto is nil for the default configuration.
func meterProto(c pipeline.MeterConfig) *p4v1.MeterConfig {
	if c == (pipeline.MeterConfig{}) {
		return nil
	}
	return &p4v1.MeterConfig{Cir: int64(c.CIR), Cburst: int64(c.CBurst), Pir: int64(c.PIR), Pburst: int64(c.PBurst)}
}

func countOf(c *p4v1.CounterData) pipeline.Count {
	return pipeline.Count{Packets: uint64(c.GetPacketCount()), Bytes: uint64(c.GetByteCount())}
}

func countProto(c pipeline.Count) *p4v1.CounterData {
	return &p4v1.CounterData{PacketCount: int64(c.Packets), ByteCount: int64(c.Bytes)}
}

// onlyModify refuses other updates of things that are always there.
func onlyModify(kind p4v1.Update_Type) error {
	if kind != p4v1.Update_MODIFY {
		return invalidf("can only be modified")
	}
	return nil
}

// directEntry finds the entry that a direct resource belongs to.
func (t *target) directEntry(e *p4v1.TableEntry) (*boundTable, []pipeline.FieldMatch, error) {
	b, err := t.table(e.GetTableId())
	if err != nil {
		return nil, nil, err
	}
	if e.GetIsDefaultAction() {
		if len(e.GetMatch()) > 0 || e.GetPriority() != 0 {
			return nil, nil, invalidf("the default entry has neither match nor priority")
		}
		return b, nil, nil
	}
	match, err := t.decodeKey(b, e)
	return b, match, err
}

// writeDirectCounter sets the counter of a table entry.
func (t *target) writeDirectCounter(kind p4v1.Update_Type, e *p4v1.DirectCounterEntry) error {
	if err := onlyModify(kind); err != nil {
		return err
	}
	b, match, err := t.directEntry(e.GetTableEntry())
	if err != nil {
		return err
	}
	switch d := e.GetData(); {
	case !b.counter:
		return invalidf("table %s has no direct counter", b.name)
	case d.GetPacketCount() < 0 || d.GetByteCount() < 0:
		return invalidf("counter value is negative")
	case match != nil && !present(b, match, e.GetTableEntry().GetPriority()):
		return faultf(codes.NotFound, "table %s has no such entry", b.name)
	case d == nil:
		return nil
	case match == nil:
		return b.core.SetDefaultCounter(countOf(d))
	default:
		return b.core.SetCounter(match, e.GetTableEntry().GetPriority(), countOf(d))
	}
}

func present(b *boundTable, match []pipeline.FieldMatch, priority int32) bool {
	_, ok := b.core.Read(match, priority)
	return ok
}

// writeDirectMeter configures the meter of a table entry.
func (t *target) writeDirectMeter(kind p4v1.Update_Type, e *p4v1.DirectMeterEntry) error {
	if err := onlyModify(kind); err != nil {
		return err
	}
	if e.GetCounterData() != nil {
		return faultf(codes.Unimplemented, "this target has no counters per meter colour")
	}
	b, match, err := t.directEntry(e.GetTableEntry())
	if err != nil {
		return err
	}
	if b.meter == nil {
		return invalidf("table %s has no direct meter", b.name)
	}
	if err := b.meter.check(e.GetConfig()); err != nil {
		return err
	}
	if match == nil {
		return b.core.SetDefaultMeter(meterOf(e.GetConfig()))
	}
	return b.core.SetMeter(match, e.GetTableEntry().GetPriority(), meterOf(e.GetConfig()))
}

// cells is the range of cells that an index names: one, or all if it is unset.
func cells(index *p4v1.Index, n int) (from, to int, err error) {
	switch {
	case index == nil:
		return 0, n, nil
	case index.GetIndex() < 0:
		return 0, 0, invalidf("index %d is negative", index.GetIndex())
	case index.GetIndex() >= int64(n):
		return 0, 0, faultf(codes.OutOfRange, "index %d is beyond %d", index.GetIndex(), n-1)
	}
	return int(index.GetIndex()), int(index.GetIndex()) + 1, nil
}

// writeCounter sets cells of an indirect counter.
func (t *target) writeCounter(kind p4v1.Update_Type, e *p4v1.CounterEntry) error {
	if err := onlyModify(kind); err != nil {
		return err
	}
	c, core, err := t.counter(e.GetCounterId())
	if err != nil {
		return err
	}
	from, to, err := cells(e.GetIndex(), core.Len())
	if err != nil {
		return err
	}
	d := e.GetData()
	if d == nil {
		return nil
	}
	if d.GetPacketCount() < 0 || d.GetByteCount() < 0 {
		return invalidf("counter %s: value is negative", c.name)
	}
	for i := from; i < to; i++ {
		if err := core.Write(i, countOf(d)); err != nil {
			return err
		}
	}
	return nil
}

func (t *target) counter(id uint32) (*arraySchema, *pipeline.Counter, error) {
	c := t.schema.counters[id]
	if c == nil {
		return nil, nil, unknownID("counter", id)
	}
	core, _ := t.machine.Counter(c.name) // bind has checked it
	return c, core, nil
}

// writeMeter configures cells of an indirect meter.
func (t *target) writeMeter(kind p4v1.Update_Type, e *p4v1.MeterEntry) error {
	if err := onlyModify(kind); err != nil {
		return err
	}
	if e.GetCounterData() != nil {
		return faultf(codes.Unimplemented, "this target has no counters per meter colour")
	}
	m, core, err := t.meter(e.GetMeterId())
	if err != nil {
		return err
	}
	if err := m.check(e.GetConfig()); err != nil {
		return err
	}
	from, to, err := cells(e.GetIndex(), core.Len())
	if err != nil {
		return err
	}
	for i := from; i < to; i++ {
		if err := core.Write(i, meterOf(e.GetConfig())); err != nil {
			return err
		}
	}
	return nil
}

func (t *target) meter(id uint32) (*meterSchema, *pipeline.Meter, error) {
	m := t.schema.meters[id]
	if m == nil {
		return nil, nil, unknownID("meter", id)
	}
	core, _ := t.machine.Meter(m.name)
	return m, core, nil
}

// writeRegister sets cells of a register array of bit strings.
func (t *target) writeRegister(kind p4v1.Update_Type, e *p4v1.RegisterEntry) error {
	if err := onlyModify(kind); err != nil {
		return err
	}
	r, core, err := t.register(e.GetRegisterId())
	if err != nil {
		return err
	}
	from, to, err := cells(e.GetIndex(), core.Len())
	if err != nil {
		return err
	}
	if e.GetData() == nil {
		return nil
	}
	value, ok := e.GetData().GetData().(*p4v1.P4Data_Bitstring)
	if !ok {
		return invalidf("register %s: want a bit string", r.name)
	}
	if err := checkWidth(value.Bitstring, r.width); err != nil {
		return invalidf("register %s: %v", r.name, err)
	}
	for i := from; i < to; i++ {
		if err := core.Write(i, value.Bitstring); err != nil {
			return err
		}
	}
	return nil
}

func (t *target) register(id uint32) (*registerSchema, *pipeline.Register, error) {
	r := t.schema.registers[id]
	if r == nil {
		return nil, nil, unknownID("register", id)
	}
	if r.width == 0 {
		return nil, nil, faultf(codes.Unimplemented, "register %s is not of bit strings", r.name)
	}
	core, _ := t.machine.Register(r.name)
	return r, core, nil
}

// writeValueSet replaces the members of a parser value set.
func (t *target) writeValueSet(kind p4v1.Update_Type, e *p4v1.ValueSetEntry) error {
	if err := onlyModify(kind); err != nil {
		return err
	}
	v, core, err := t.valueSet(e.GetValueSetId())
	if err != nil {
		return err
	}
	if v.size > 0 && len(e.GetMembers()) > int(v.size) {
		return faultf(codes.ResourceExhausted, "value set %s: %d members, capacity %d", v.name, len(e.GetMembers()), v.size)
	}
	members := make([][]pipeline.FieldMatch, 0, len(e.GetMembers()))
	for i, m := range e.GetMembers() {
		match, err := t.decodeMatch(v.fields, m.GetMatch())
		if err != nil {
			return invalidf("value set %s, member %d: %v", v.name, i, err)
		}
		for k := range members {
			if sameMatch(v.fields, members[k], match) {
				return faultf(codes.AlreadyExists, "value set %s: members %d and %d are the same", v.name, k, i)
			}
		}
		members = append(members, append([]pipeline.FieldMatch(nil), match...))
	}
	return core.Set(members)
}

func (t *target) valueSet(id uint32) (*valueSetSchema, *pipeline.ValueSet, error) {
	v := t.schema.valueSets[id]
	if v == nil {
		return nil, nil, unknownID("value set", id)
	}
	core, ok := t.machine.ValueSet(v.name)
	if !ok {
		return nil, nil, faultf(codes.Unimplemented, "value set %s is not in the program", v.name)
	}
	return v, core, nil
}
