package p4rt

import (
	"fmt"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/protobuf/proto"
)

// meterConfig decodes a MeterConfig.
func meterConfig(b []byte) (*MeterConfig, error) {
	m := &MeterConfig{}
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			m.CIR = int64(f.u)
		case 2:
			m.CBurst = int64(f.u)
		case 3:
			m.PIR = int64(f.u)
		case 4:
			m.PBurst = int64(f.u)
		case 5:
			m.EBurst = int64(f.u)
		}
	}
	return m, f.err
}

// profileOf finds the action profile of a member or group.
func (d *decoder) profileOf(b []byte) (*ActionProfile, error) {
	id, err := idOf(b)
	if err != nil {
		return nil, err
	}
	if p := d.schema.profiles.byID[id]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%w: id %d", ErrNoSuchProfile, id)
}

// member decodes an ActionProfileMember.
func (d *decoder) member(b []byte) (*ActionMember, error) {
	p, err := d.profileOf(b)
	if err != nil {
		return nil, err
	}
	m := &ActionMember{Profile: p}
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 2:
			m.ID = uint32(f.u)
		case 3:
			if m.Action, m.Params, err = d.action(p.actions, f.b); err != nil {
				return nil, fmt.Errorf("action profile %s: %w", p, err)
			}
		}
	}
	return m, f.err
}

// group decodes an ActionProfileGroup.
func (d *decoder) group(b []byte) (*ActionGroup, error) {
	p, err := d.profileOf(b)
	if err != nil {
		return nil, err
	}
	g := &ActionGroup{Profile: p}
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 2:
			g.ID = uint32(f.u)
		case 3:
			var m GroupMember
			x := fields{rest: f.b}
			for x.next() {
				switch x.num {
				case 1:
					m.ID = uint32(x.u)
				case 2:
					m.Weight = int32(x.u)
				case 3:
					m.Watch = WatchPort(uint32(x.u))
				case 4:
					m.Watch = watchOf(x.b)
				}
			}
			if x.err != nil {
				return nil, x.err
			}
			g.Members = append(g.Members, m)
		case 4:
			g.MaxSize = int32(f.u)
		}
	}
	return g, f.err
}

// cell decodes a CounterEntry, MeterEntry or RegisterEntry by its number in Entity.
func (d *decoder) cell(kind int, b []byte) (Entity, error) {
	switch kind {
	case kindCounter:
		var m p4.CounterEntry
		if err := proto.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		c := d.schema.counters.byID[m.GetCounterId()]
		if c == nil {
			return nil, fmt.Errorf("%w: id %d", ErrNoSuchCounter, m.GetCounterId())
		}
		return &CounterCell{c, m.GetIndex().GetIndex(), m.GetData().GetPacketCount(), m.GetData().GetByteCount()}, nil
	case kindMeter:
		var m p4.MeterEntry
		if err := proto.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		c := d.schema.meters.byID[m.GetMeterId()]
		if c == nil {
			return nil, fmt.Errorf("%w: id %d", ErrNoSuchMeter, m.GetMeterId())
		}
		return &MeterCell{c, m.GetIndex().GetIndex(), meterOf(m.GetConfig())}, nil
	}
	var m p4.RegisterEntry
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	c := d.schema.registers.byID[m.GetRegisterId()]
	if c == nil {
		return nil, fmt.Errorf("%w: id %d", ErrNoSuchRegister, m.GetRegisterId())
	}
	x, ok := m.GetData().GetData().(*p4.P4Data_Bitstring)
	if !ok || c.Cell.Width == 0 {
		return nil, fmt.Errorf("register %s: %w: not a bit string", c, ErrUnsupported)
	}
	v, err := c.Cell.parse(x.Bitstring)
	if err == nil {
		err = c.Cell.check(v)
	}
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", c, err)
	}
	return &RegisterCell{c, m.GetIndex().GetIndex(), v}, nil
}

// digestConfig decodes a DigestEntry.
func (d *decoder) digestConfig(b []byte) (*DigestConfig, error) {
	var m p4.DigestEntry
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	x := d.schema.digests.byID[m.GetDigestId()]
	if x == nil {
		return nil, fmt.Errorf("%w: id %d", ErrNoSuchDigest, m.GetDigestId())
	}
	c := m.GetConfig()
	return &DigestConfig{x, ns(c.GetMaxTimeoutNs()), c.GetMaxListSize(), ns(c.GetAckTimeoutNs())}, nil
}

// entity decodes any entity by its number in Entity. Default entries and what this package knows
// nothing of are nil.
func (d *decoder) entity(kind int, b []byte) (Entity, error) {
	switch kind {
	case kindTable:
		e, _, err := d.entry(b)
		if err != nil || e.Default {
			return nil, err
		}
		return e, nil
	case kindMember:
		return entityOr(d.member(b))
	case kindActionGroup:
		return entityOr(d.group(b))
	case kindCounter, kindMeter, kindRegister:
		return d.cell(kind, b)
	case kindReplication:
		f := fields{rest: b}
		for f.next() {
			switch f.num {
			case 1:
				return entityOr(decodeGroup(f.b, d.named))
			case 2:
				return entityOr(decodeClone(f.b, d.named))
			}
		}
		return nil, f.err
	case kindValueSet:
		return entityOr(d.valueSet(b))
	case kindDigest:
		return entityOr(d.digestConfig(b))
	}
	return nil, nil
}

// entityOr keeps a failed result from becoming an Entity that is not nil.
func entityOr[T Entity](e T, err error) (Entity, error) {
	if err != nil {
		return nil, err
	}
	return e, nil
}
