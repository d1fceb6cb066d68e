package p4rt

import (
	"context"
	"fmt"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// Numbers of the fields of Entity.
const (
	kindTable         = 2
	kindMember        = 3
	kindActionGroup   = 4
	kindMeter         = 5
	kindDirectMeter   = 6
	kindCounter       = 7
	kindDirectCounter = 8
	kindReplication   = 9
	kindValueSet      = 10
	kindRegister      = 11
	kindDigest        = 12
)

func ns(n int64) time.Duration { return time.Duration(n) }

// Query asks for entities of one sort. The functions below make queries.
type Query struct {
	ask *p4.Entity
	err error
}

// AllMembers asks for the members of an action profile.
func AllMembers(p *ActionProfile) Query {
	return Query{ask: &p4.Entity{Entity: &p4.Entity_ActionProfileMember{ActionProfileMember: &p4.ActionProfileMember{ActionProfileId: p.ID}}}}
}

// AllActionGroups asks for the groups of an action selector.
func AllActionGroups(p *ActionProfile) Query {
	return Query{ask: &p4.Entity{Entity: &p4.Entity_ActionProfileGroup{ActionProfileGroup: &p4.ActionProfileGroup{ActionProfileId: p.ID}}}}
}

// MeterCells asks for one cell of an indirect meter, or [AllCells].
func MeterCells(a *MeterArray, i int64) Query {
	return Query{ask: &p4.Entity{Entity: &p4.Entity_MeterEntry{MeterEntry: &p4.MeterEntry{MeterId: a.ID, Index: index(i)}}}}
}

// CounterCells asks for one cell of an indirect counter, or [AllCells].
func CounterCells(a *CounterArray, i int64) Query {
	return Query{ask: &p4.Entity{Entity: &p4.Entity_CounterEntry{CounterEntry: &p4.CounterEntry{CounterId: a.ID, Index: index(i)}}}}
}

// RegisterCells asks for one cell of a register, or [AllCells].
func RegisterCells(a *RegisterArray, i int64) Query {
	return Query{ask: &p4.Entity{Entity: &p4.Entity_RegisterEntry{RegisterEntry: &p4.RegisterEntry{RegisterId: a.ID, Index: index(i)}}}}
}

// MembersOf asks for the members of a parser value set.
func MembersOf(v *ValueSet) Query {
	return Query{ask: &p4.Entity{Entity: &p4.Entity_ValueSetEntry{ValueSetEntry: &p4.ValueSetEntry{ValueSetId: v.ID}}}}
}

// DigestConfigs asks for the digests that are enabled.
func DigestConfigs() Query {
	return Query{ask: &p4.Entity{Entity: &p4.Entity_DigestEntry{DigestEntry: &p4.DigestEntry{}}}}
}

// AllEntries asks for the entries of a table, with their direct meters, without the default entry.
func AllEntries(t *Table) Query {
	e := &p4.TableEntry{TableId: t.ID}
	if t.DirectMeter {
		e.MeterConfig = &p4.MeterConfig{}
	}
	return Query{ask: &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: e}}, err: t.Err}
}

// AllGroups asks for the multicast groups.
func AllGroups() Query {
	return replicationQuery(&p4.PacketReplicationEngineEntry{Type: &p4.PacketReplicationEngineEntry_MulticastGroupEntry{
		MulticastGroupEntry: &p4.MulticastGroupEntry{}}})
}

// AllClones asks for the clone sessions.
func AllClones() Query {
	return replicationQuery(&p4.PacketReplicationEngineEntry{Type: &p4.PacketReplicationEngineEntry_CloneSessionEntry{
		CloneSessionEntry: &p4.CloneSessionEntry{}}})
}

func replicationQuery(e *p4.PacketReplicationEngineEntry) Query {
	return Query{ask: &p4.Entity{Entity: &p4.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: e}}}
}

// Read yields what the queries ask for, in no order. An error of yield ends the read and is
// returned. Backups may read too.
func (s *Session) Read(ctx context.Context, yield func(Entity) error, queries ...Query) error {
	l, err := s.current()
	if err != nil {
		return err
	}
	return l.query(ctx, queries, func(e Entity, _ Counter) error { return yield(e) })
}

// query yields entities, entries of tables with what was asked for beside.
func (l *link) query(ctx context.Context, queries []Query, yield func(Entity, Counter) error) error {
	want := make([]*p4.Entity, 0, len(queries))
	for _, q := range queries {
		if q.err != nil {
			return q.err
		}
		want = append(want, q.ask)
	}
	tables := map[uint32]bool{}
	all := l.s.cfg.Profile.ReadsAllOnly
	if all {
		want = widen(want, tables)
	}
	dec := l.decoder()
	return l.read(ctx, want, func(kind int, b []byte) error {
		if all && kind == kindTable {
			if id, err := idOf(b); err != nil || !tables[id] {
				return err
			}
		}
		var e Entity
		var n Counter
		var err error
		if kind == kindTable {
			var x *Entry
			if x, n, err = dec.entry(b); err == nil && !x.Default {
				e = x
			}
		} else {
			e, err = dec.entity(kind, b)
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if e == nil {
			return nil
		}
		return yield(e, n)
	})
}

// widen turns queries of tables and of groups and sessions by id into one each of all of them, and
// notes the tables. Other queries stay.
func widen(queries []*p4.Entity, tables map[uint32]bool) []*p4.Entity {
	var out []*p4.Entity
	all := &p4.TableEntry{}
	groups, clones := false, false
	for _, q := range queries {
		switch x := q.GetEntity().(type) {
		case *p4.Entity_TableEntry:
			tables[x.TableEntry.GetTableId()] = true
			merge(all, x.TableEntry)
		case *p4.Entity_PacketReplicationEngineEntry:
			groups = groups || x.PacketReplicationEngineEntry.GetMulticastGroupEntry() != nil
			clones = clones || x.PacketReplicationEngineEntry.GetCloneSessionEntry() != nil
		default:
			out = append(out, q)
		}
	}
	if len(tables) > 0 {
		out = append(out, &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: all}})
	}
	if groups {
		out = append(out, AllGroups().ask)
	}
	if clones {
		out = append(out, AllClones().ask)
	}
	return out
}

// merge adds to all what q wants read of direct resources.
func merge(all, q *p4.TableEntry) {
	if q.CounterData != nil {
		all.CounterData = &p4.CounterData{}
	}
	if q.MeterConfig != nil {
		all.MeterConfig = &p4.MeterConfig{}
	}
	if q.TimeSinceLastHit != nil {
		all.TimeSinceLastHit = &p4.TableEntry_IdleTimeout{}
	}
}

func (l *link) decoder() decoder {
	return decoder{schema: l.s.cfg.Schema, named: l.s.cfg.Profile.NamedPorts}
}

// ReadDirectMeters yields the meters of a table's entries.
func (s *Session) ReadDirectMeters(ctx context.Context, t *Table, yield func(*Entry, *MeterConfig) error) error {
	q := &p4.Entity{Entity: &p4.Entity_DirectMeterEntry{DirectMeterEntry: &p4.DirectMeterEntry{TableEntry: &p4.TableEntry{TableId: t.ID}}}}
	return s.readDirect(ctx, []*p4.Entity{q}, kindDirectMeter, func(e *Entry, data []byte) error {
		if data == nil {
			return yield(e, nil)
		}
		m, err := meterConfig(data)
		if err != nil {
			return err
		}
		return yield(e, m)
	})
}

// ReadDirectCounters yields the counters of a table's entries: less to carry than [Session.ReadEntries].
func (s *Session) ReadDirectCounters(ctx context.Context, t *Table, yield func(*Entry, Counter) error) error {
	q := &p4.Entity{Entity: &p4.Entity_DirectCounterEntry{DirectCounterEntry: &p4.DirectCounterEntry{TableEntry: &p4.TableEntry{TableId: t.ID}}}}
	return s.readDirect(ctx, []*p4.Entity{q}, kindDirectCounter, countsOf(yield))
}

// ReadCountersOf yields the counters of some entries. One that the target does not have may be an error for all.
func (s *Session) ReadCountersOf(ctx context.Context, entries []*Entry, yield func(*Entry, Counter) error) error {
	if len(entries) == 0 {
		return nil
	}
	asks := make([]*p4.Entity, len(entries))
	for i, e := range entries {
		key := new(p4.TableEntry)
		if err := proto.Unmarshal(e.appendBody(nil, Delete), key); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		asks[i] = &p4.Entity{Entity: &p4.Entity_DirectCounterEntry{DirectCounterEntry: &p4.DirectCounterEntry{TableEntry: key}}}
	}
	return s.readDirect(ctx, asks, kindDirectCounter, countsOf(yield))
}

// ReadEntriesOf yields some entries as the target has them, with what o asks for beside; its Tables do not count. One that the target does not have may be an error for all.
func (s *Session) ReadEntriesOf(ctx context.Context, entries []*Entry, o ReadOptions, yield func(*Entry, Counter) error) error {
	l, err := s.current()
	if err != nil || len(entries) == 0 {
		return err
	}
	dec := l.decoder()
	dec.borrow = o.Borrow
	return l.readAs(ctx, s.askEntries(entries, &o), func(kind int, b []byte) error {
		if kind != kindTable {
			return nil
		}
		e, c, err := dec.entry(b)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		return yield(e, c)
	})
}

// askEntries encodes a ReadRequest.
func (s *Session) askEntries(entries []*Entry, o *ReadOptions) *frame {
	buf := s.pool.Get(0)
	b := appendUint(*buf, 1, s.cfg.DeviceID)
	for _, e := range entries {
		var entity, entry int
		b, entity = open(b, 2)
		b, entry = open(b, kindTable)
		b = o.appendAsk(e.appendBody(b, Delete), e.Table)
		b = closeAt(closeAt(b, entry), entity)
	}
	if s.cfg.Role != "" {
		b = appendText(b, 3, s.cfg.Role)
	}
	*buf = b
	return &frame{out: mem.NewBuffer(buf, s.pool)}
}

func countsOf(yield func(*Entry, Counter) error) func(*Entry, []byte) error {
	return func(e *Entry, data []byte) error {
		bytes, packets, err := counterData(data)
		if err != nil {
			return err
		}
		return yield(e, Counter{Packets: packets, Bytes: bytes, Counted: true})
	}
}

// readDirect reads a direct resource: the entry in field 1, the data in field 2.
func (s *Session) readDirect(ctx context.Context, asks []*p4.Entity, kind int, yield func(*Entry, []byte) error) error {
	l, err := s.current()
	if err != nil {
		return err
	}
	dec := l.decoder()
	return l.read(ctx, asks, func(k int, b []byte) error {
		if k != kind {
			return nil
		}
		var key, data []byte
		f := fields{rest: b}
		for f.next() {
			switch f.num {
			case 1:
				key = f.b
			case 2:
				data = f.b
			}
		}
		if f.err != nil {
			return f.err
		}
		e, _, err := dec.entry(key)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		return yield(e, data)
	})
}

// Capabilities asks which version of the P4Runtime API the target implements; "1.0" if it has no
// answer (Spec 17).
func (s *Session) Capabilities(ctx context.Context) (version string, err error) {
	l, err := s.current()
	if err != nil {
		return "", err
	}
	r, err := p4.NewP4RuntimeClient(l.conn).Capabilities(ctx, &p4.CapabilitiesRequest{}, l.opts...)
	if err != nil {
		if unimplemented(err) {
			return "1.0", nil
		}
		return "", fmt.Errorf("capabilities: %w", err)
	}
	return r.GetP4RuntimeApiVersion(), nil
}
