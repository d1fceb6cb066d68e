package offload_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/softswitch/pipeline"
)

var program = sync.OnceValues(func() (*pipeline.Program, error) {
	p, err := p4src.V1Model()
	if err != nil {
		return nil, err
	}
	return pipeline.Load(p.Device)
})

func newTables(t testing.TB) *offload.Tables {
	t.Helper()
	info, err := p4src.Info()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := p4rt.NewSchema(info)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := offload.NewTables(schema)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// sent is a frame that left a port of the machine.
type sent struct {
	port  uint16
	frame []byte
}

// machine runs the compiled pipeline and takes the updates that offload makes.
type machine struct {
	t testing.TB
	*pipeline.Machine
	out []sent
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	prog, err := program()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t}
	m.Machine = pipeline.New(prog, pipeline.Options{CPUPort: offload.CPUPort, Emit: func(port uint16, frame []byte) {
		m.out = append(m.out, sent{port, bytes.Clone(frame)})
	}})
	return m
}

func (m *machine) send(port uint16, frame []byte) []sent {
	m.out = nil
	m.Process(port, frame)
	return m.out
}

func canonical(v p4rt.Value) []byte { return v.AppendCanonical(nil) }

func (m *machine) apply(stages ...[]p4rt.Update) {
	m.t.Helper()
	for _, stage := range stages {
		for _, u := range stage {
			if err := m.one(u); err != nil {
				m.t.Fatalf("%v %v: %v", u.Op, u.Entity, err)
			}
		}
	}
}

func (m *machine) one(u p4rt.Update) error {
	if c, ok := u.Entity.(*p4rt.CloneSession); ok {
		var s pipeline.CloneSession
		for _, r := range c.Replicas {
			s.Replicas = append(s.Replicas, pipeline.Replica{Port: uint16(r.Port), RID: uint16(r.Instance)})
		}
		m.SetClone(c.ID, s)
		return nil
	}
	e, ok := u.Entity.(*p4rt.Entry)
	if !ok {
		return fmt.Errorf("unexpected %T", u.Entity)
	}
	t, ok := m.Table(e.Table.Name)
	if !ok {
		return fmt.Errorf("no table %s", e.Table.Name)
	}
	entry := pipeline.Entry{Priority: e.Priority, Action: e.Action.Name, IdleTimeout: e.IdleTimeout}
	for _, match := range e.Match {
		f := pipeline.FieldMatch{Value: canonical(match.Value)}
		if e.Table.NeedsPriority {
			f.Mask = canonical(match.Mask)
			f.Any = match.Mask.IsZero()
		}
		entry.Match = append(entry.Match, f)
	}
	for _, p := range e.Params {
		entry.Params = append(entry.Params, canonical(p))
	}
	if u.Op == p4rt.Delete {
		return t.Delete(entry.Match, entry.Priority)
	}
	return t.Insert(entry)
}

func inserts(es ...*p4rt.Entry) []p4rt.Update {
	var us []p4rt.Update
	for _, e := range es {
		us = append(us, p4rt.Update{Op: p4rt.Insert, Entity: e})
	}
	return us
}
