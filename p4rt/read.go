package p4rt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

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
	return l.readAs(ctx, &p4.ReadRequest{DeviceId: l.s.cfg.DeviceID, Role: l.s.cfg.Role, Entities: entities}, yield)
}

// readAs is read with a ReadRequest, decoded or as a frame.
func (l *link) readAs(ctx context.Context, req any, yield func(kind int, b []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := l.s.cfg.ReadTimeout
	silence := time.AfterFunc(patience, func() { cancel(fmt.Errorf("%w: not within %s", ErrSilent, patience)) })
	defer silence.Stop()
	stream, err := l.conn.NewStream(ctx, &readDesc, methodRead, l.opts...)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := stream.SendMsg(req); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read: %w", err)
	}
	if err := stream.CloseSend(); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	for {
		var f frame
		silence.Reset(patience)
		err := stream.RecvMsg(&f)
		silence.Stop() // what yield takes is not the target's
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && errors.Is(context.Cause(ctx), ErrSilent):
			return fmt.Errorf("read: %w", context.Cause(ctx))
		case err != nil:
			return fmt.Errorf("read: %w", err)
		}
		err = eachEntity(f.in.ReadOnlyData(), yield)
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
	Borrow   bool     // an entry is valid during the call of yield: all have the same memory
}

// ask adds what is wanted of an entry beside itself.
func (o *ReadOptions) ask(e *p4.TableEntry, t *Table) {
	if o.Counters && t.DirectCounter {
		e.CounterData = &p4.CounterData{}
	}
	if o.LastHit && t.SupportsIdle {
		e.TimeSinceLastHit = &p4.TableEntry_IdleTimeout{}
	}
}

// appendAsk is ask in wire form.
func (o *ReadOptions) appendAsk(b []byte, t *Table) []byte {
	if o.Counters && t.DirectCounter {
		b = append(b, 7<<3|tagBytes, 0)
	}
	if o.LastHit && t.SupportsIdle {
		b = append(b, 10<<3|tagBytes, 0)
	}
	return b
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
		switch {
		case t.Const, t.Err != nil && o.Tables == nil:
			continue
		case t.Err != nil:
			return t.Err
		}
		e := &p4.TableEntry{TableId: t.ID}
		if t.DirectMeter {
			e.MeterConfig = &p4.MeterConfig{}
		}
		o.ask(e, t)
		want = append(want, &p4.Entity{Entity: &p4.Entity_TableEntry{TableEntry: e}})
	}
	wanted := map[uint32]bool{}
	all := l.s.cfg.Profile.ReadsAllOnly
	if all {
		want = widen(want, wanted)
	}
	dec := l.decoder()
	dec.borrow = o.Borrow
	return l.read(ctx, want, func(kind int, b []byte) error {
		if kind != kindTable {
			return nil
		}
		if all {
			if id, err := idOf(b); err != nil || !wanted[id] {
				return err
			}
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
	return s.Read(ctx, func(e Entity) error {
		x, ok := e.(*CounterCell)
		if !ok {
			return nil
		}
		return yield(x.Index, Counter{Packets: x.Packets, Bytes: x.Bytes, Counted: true})
	}, CounterCells(c, index))
}

// ReadGroups yields the multicast groups that the target holds.
func (s *Session) ReadGroups(ctx context.Context, yield func(*MulticastGroup) error) error {
	return s.Read(ctx, func(e Entity) error {
		if g, ok := e.(*MulticastGroup); ok {
			return yield(g)
		}
		return nil
	}, AllGroups())
}

// ReadClones yields the clone sessions that the target holds.
func (s *Session) ReadClones(ctx context.Context, yield func(*CloneSession) error) error {
	return s.Read(ctx, func(e Entity) error {
		if c, ok := e.(*CloneSession); ok {
			return yield(c)
		}
		return nil
	}, AllClones())
}
