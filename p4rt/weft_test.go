package p4rt_test

import (
	"os"
	"testing"

	p4config "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

// The project's own program compiles, and one entry of each table that takes any goes to a target
// and comes back the same.
func TestWeftProgram(t *testing.T) {
	b, err := os.ReadFile("../p4src/build/weft.p4info.txtpb")
	if err != nil {
		t.Fatal(err)
	}
	info := &p4config.P4Info{}
	if err := prototext.Unmarshal(b, info); err != nil {
		t.Fatal(err)
	}
	schema, err := p4rt.NewSchema(info)
	if err != nil {
		t.Fatal(err)
	}
	srv := p4rttest.NewServer()
	defer srv.Close()
	l := newLabOn(t, srv, func(c *p4rt.Config) { c.Schema = schema })
	l.ready()
	want := map[p4rt.Key]*p4rt.Entry{}
	var updates []p4rt.Update
	for _, table := range schema.Tables() {
		if table.Const || table.ActionProfile != 0 || len(table.Keys) == 0 {
			continue
		}
		e := table.NewEntry()
		for i, f := range table.Keys {
			e.Set(i, p4rt.Ones(f.Width))
		}
		if table.NeedsPriority {
			e.Priority = 1 << 20
		}
		for _, a := range info.GetActions() {
			action, err := table.Action(a.GetPreamble().GetName())
			if err != nil {
				continue
			}
			var params []p4rt.Value
			for _, p := range action.Params {
				params = append(params, p4rt.Ones(p.Width))
			}
			e.Do(action, params...)
		}
		want[e.Key()] = e
		updates = append(updates, p4rt.Update{Op: p4rt.Insert, Entity: e})
	}
	t.Logf("%d of %d tables", len(updates), len(schema.Tables()))
	l.write(updates)
	err = l.session.ReadEntries(l.ctx, p4rt.ReadOptions{Counters: true, LastHit: true}, func(e *p4rt.Entry, _ p4rt.Counter) error {
		if w := want[e.Key()]; w == nil || !w.SameEffect(e) {
			t.Errorf("read %s, want %s", e, w)
		}
		delete(want, e.Key())
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%v; not read: %v", err, want)
	}
}
