package p4rt

import (
	"context"
	"errors"
	"fmt"
	"io"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
)

var readDesc = grpc.StreamDesc{StreamName: "Read", ServerStreams: true}

// read sends a ReadRequest and yields each entity of the answer as its field number and bytes,
// which are valid during the call.
func (l *link) read(ctx context.Context, entities []*p4.Entity, yield func(kind int, b []byte) error) error {
	if len(entities) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.conn.NewStream(ctx, &readDesc, methodRead, l.opts...)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	req := &p4.ReadRequest{DeviceId: l.s.cfg.DeviceID, Role: l.s.cfg.Role, Entities: entities}
	if err := stream.SendMsg(req); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read: %w", err)
	}
	if err := stream.CloseSend(); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	for {
		var f frame
		switch err := stream.RecvMsg(&f); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read: %w", err)
		}
		err := eachEntity(f.in.ReadOnlyData(), yield)
		f.free()
		if err != nil {
			return err
		}
	}
}

func eachEntity(b []byte, yield func(kind int, b []byte) error) error {
	f := fields{rest: b}
	for f.next() {
		if f.num != 1 {
			continue
		}
		e := fields{rest: f.b}
		for e.next() {
			if e.b == nil {
				continue
			}
			if err := yield(int(e.num), e.b); err != nil {
				return err
			}
		}
		if e.err != nil {
			return e.err
		}
	}
	return f.err
}

// ReadOptions narrows a read.
type ReadOptions struct {
	Tables   []*Table // nil: all that the program does not fix
	Counters bool     // read direct counters too
	LastHit  bool     // read the time since the last hit too, where the table supports it
}

// ReadEntries yields the entries of tables in no order, default entries left out. An error of
// yield ends the read and is returned. Backups may read too.
func (s *Session) ReadEntries(ctx context.Context, o ReadOptions, yield func(*Entry, Counter) error) error {
	l, err := s.current()
	if err != nil {
		return err
	}
	return l.readEntries(ctx, o, yield)
}

func (l *link) readEntries(ctx context.Context, o ReadOptions, yield func(*Entry, Counter) error) error {
	tables := o.Tables
	if tables == nil {
		tables = l.s.cfg.Schema.tables
	}
	var want []*p4.Entity
	for _, t := range tables {
		if t.Const {
			continue
		}
		e := &p4.TableEntry{TableId: t.ID}
		if o.Counters && t.DirectCounter {
			e.CounterData = &p4.CounterData{}
		}
		if o.LastHit && t.SupportsIdle {
			e.TimeSinceLastHit = &p4.TableEntry_IdleTimeout{}
		}
		want = append(want, &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: e}})
	}
	dec := decoder{schema: l.s.cfg.Schema}
	return l.read(ctx, want, func(kind int, b []byte) error {
		if kind != 2 {
			return nil
		}
		e, c, err := dec.entry(b)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if e.Default {
			return nil
		}
		return yield(e, c)
	})
}

// ReadCounter yields the cells of an indirect counter: one, or all if index is negative.
func (s *Session) ReadCounter(ctx context.Context, c *CounterArray, index int64, yield func(int64, Counter) error) error {
	l, err := s.current()
	if err != nil {
		return err
	}
	e := &p4.CounterEntry{CounterId: c.ID}
	if index >= 0 {
		e.Index = &p4.Index{Index: index}
	}
	want := []*p4.Entity{{Entity: &p4.Entity_CounterEntry{CounterEntry: e}}}
	return l.read(ctx, want, func(kind int, b []byte) error {
		if kind != 7 {
			return nil
		}
		i, v, err := counterCell(b)
		if err != nil {
			return fmt.Errorf("counter %s: %w", c.Alias, err)
		}
		return yield(i, v)
	})
}

func counterCell(b []byte) (index int64, c Counter, err error) {
	f := fields{rest: b}
	for f.next() && err == nil {
		switch f.num {
		case 2:
			i := fields{rest: f.b}
			for i.next() {
				if i.num == 1 {
					index = int64(i.u)
				}
			}
			err = i.err
		case 3:
			c.Counted = true
			c.Bytes, c.Packets, err = counterData(f.b)
		}
	}
	if err == nil {
		err = f.err
	}
	return index, c, err
}

// ReadGroups yields the multicast groups that the target holds.
func (s *Session) ReadGroups(ctx context.Context, yield func(*MulticastGroup) error) error {
	l, err := s.current()
	if err != nil {
		return err
	}
	return l.readGroups(ctx, yield)
}

func (l *link) readGroups(ctx context.Context, yield func(*MulticastGroup) error) error {
	want := &p4.PacketReplicationEngineEntry{Type: &p4.PacketReplicationEngineEntry_MulticastGroupEntry{
		MulticastGroupEntry: &p4.MulticastGroupEntry{}}}
	return l.readPRE(ctx, want, 1, func(b []byte) error {
		g, err := decodeGroup(b)
		if err != nil {
			return err
		}
		return yield(g)
	})
}

// ReadClones yields the clone sessions that the target holds.
func (s *Session) ReadClones(ctx context.Context, yield func(*CloneSession) error) error {
	l, err := s.current()
	if err != nil {
		return err
	}
	return l.readClones(ctx, yield)
}

func (l *link) readClones(ctx context.Context, yield func(*CloneSession) error) error {
	want := &p4.PacketReplicationEngineEntry{Type: &p4.PacketReplicationEngineEntry_CloneSessionEntry{
		CloneSessionEntry: &p4.CloneSessionEntry{}}}
	return l.readPRE(ctx, want, 2, func(b []byte) error {
		c, err := decodeClone(b)
		if err != nil {
			return err
		}
		return yield(c)
	})
}

func (l *link) readPRE(ctx context.Context, want *p4.PacketReplicationEngineEntry, kind int, yield func(b []byte) error) error {
	entities := []*p4.Entity{{Entity: &p4.Entity_PacketReplicationEngineEntry{PacketReplicationEngineEntry: want}}}
	return l.read(ctx, entities, func(k int, b []byte) error {
		if k != 9 {
			return nil
		}
		f := fields{rest: b}
		for f.next() {
			if int(f.num) == kind {
				if err := yield(f.b); err != nil {
					return err
				}
			}
		}
		return f.err
	})
}
