package p4rt_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

func TestWriteOutcomes(t *testing.T) {
	for _, full := range []struct {
		name    string
		profile p4rt.Profile
		code    codes.Code
	}{
		{"strict", p4rt.Strict(), codes.ResourceExhausted},
		{"bmv2", p4rt.BMv2(), codes.Unknown},
	} {
		t.Run(full.name, func(t *testing.T) {
			l := newLab(t, func(c *p4rt.Config) { c.Profile = full.profile })
			l.srv.SetQuirks(p4rttest.Quirks{FullCode: full.code})
			l.ready()
			l.write([]p4rt.Update{{Op: p4rt.Insert, Entity: l.rewrite(1)}, {Op: p4rt.Insert, Entity: l.rewrite(2)}})
			wide := l.flow(1, 1)
			wide.Set(0, p4rt.U64(1<<20))
			us := []p4rt.Update{
				{Op: p4rt.Insert, Entity: l.rewrite(1)},
				{Op: p4rt.Insert, Entity: l.rewrite(3)},
				{Op: p4rt.Insert, Entity: wide},
				{Op: p4rt.Insert, Entity: l.rewrite(4)},
				{Op: p4rt.Modify, Entity: l.flow(5, 1)},
				{Op: p4rt.Insert, Entity: l.rewrite(5)},
				{Op: p4rt.Delete, Entity: l.flow(6, 1)},
				{Op: p4rt.Modify, Entity: l.rewrite(2)},
			}
			res, err := l.session.Write(l.ctx, us)
			if err != nil {
				t.Fatal(err)
			}
			want := []p4rt.Outcome{p4rt.Duplicate, p4rt.Applied, p4rt.Invalid, p4rt.Applied, p4rt.NotFound, p4rt.Full, p4rt.NotFound, p4rt.Applied}
			if d := cmp.Diff(want, outcomes(res)); d != "" {
				t.Fatalf("-want +got:\n%s", d)
			}
			err = p4rt.Failures(us, res)
			var we *p4rt.WriteError
			if !errors.As(err, &we) || len(we.Updates) != 5 {
				t.Fatalf("Failures: %v", err)
			}
			if msg := we.Updates[3].Error(); we.Updates[3].Index != 5 || !strings.Contains(msg, "rewrite id=0x5") || !strings.Contains(msg, "full") {
				t.Errorf("update %d says %q", we.Updates[3].Index, msg)
			}
		})
	}
}

// One key never comes twice in a batch, and its updates take effect in their order.
func TestWriteSplitsByKey(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	l.srv.ForgetLog()
	us := []p4rt.Update{
		{Op: p4rt.Insert, Entity: l.flow(1, 1)},
		{Op: p4rt.Insert, Entity: l.flow(2, 1)},
		{Op: p4rt.Modify, Entity: l.flow(1, 2)},
		{Op: p4rt.Delete, Entity: l.flow(1, 2)},
	}
	l.write(us)
	if d := cmp.Diff([]int{2, 1, 1}, sizes(l.srv.View())); d != "" {
		t.Errorf("batches: -want +got:\n%s", d)
	}
}

func TestWriteSplitsByCountAndBytes(t *testing.T) {
	l := newLab(t, func(c *p4rt.Config) { c.Profile.MaxBatch = 100; c.Profile.MaxBytes = 5000 })
	l.ready()
	l.srv.ForgetLog()
	l.write(l.flows(p4rt.Insert, 0, 250))
	v := l.srv.View()
	total := 0
	for i, w := range v.Writes {
		n := len(w.GetUpdates())
		total += n
		if n > 100 {
			t.Errorf("write %d has %d updates", i, n)
		}
	}
	if total != 250 || len(v.Writes) < 4 {
		t.Errorf("%d updates in %d writes", total, len(v.Writes))
	}
}

func TestWriteWithoutDetails(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	l.write(l.flows(p4rt.Insert, 0, 1))
	l.srv.SetQuirks(p4rttest.Quirks{NoDetails: true})
	res, err := l.session.Write(l.ctx, l.flows(p4rt.Insert, 0, 2))
	if !errors.Is(err, p4rt.ErrNoDetails) {
		t.Errorf("got %v", err)
	}
	if d := cmp.Diff([]p4rt.Outcome{p4rt.Unknown, p4rt.Unknown}, outcomes(res)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// Details of a large batch outgrow gRPC's usual limits: none may be lost.
func TestWriteManyDetails(t *testing.T) {
	l := newLab(t, func(c *p4rt.Config) { c.Profile.MaxBatch = 4096 })
	l.ready()
	l.write(l.flows(p4rt.Insert, 0, 4096))
	res, err := l.session.Write(l.ctx, l.flows(p4rt.Insert, 0, 4096))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range res {
		if r.Outcome != p4rt.Duplicate {
			t.Fatalf("update %d: %s", i, r.Outcome)
		}
	}
}

func TestGroups(t *testing.T) {
	l := newLab(t, func(c *p4rt.Config) { c.Profile = p4rt.BMv2() })
	l.ready()
	g := &p4rt.MulticastGroup{ID: 3, Replicas: []p4rt.Replica{{Port: 1, Instance: 1}, {Port: 2, Instance: 1}}}
	cl := &p4rt.CloneSession{ID: 4, Replicas: []p4rt.Replica{{Port: 255}}, Truncate: 128}
	res, err := l.session.Write(l.ctx, []p4rt.Update{
		{Op: p4rt.Insert, Entity: g}, {Op: p4rt.Insert, Entity: cl},
		{Op: p4rt.Insert, Entity: &p4rt.MulticastGroup{ID: 32768}},
		{Op: p4rt.Insert, Entity: &p4rt.MulticastGroup{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]p4rt.Outcome{p4rt.Applied, p4rt.Applied, p4rt.Invalid, p4rt.Invalid}, outcomes(res)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	var groups []*p4rt.MulticastGroup
	if err := l.session.ReadGroups(l.ctx, func(g *p4rt.MulticastGroup) error { groups = append(groups, g); return nil }); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]*p4rt.MulticastGroup{g}, groups); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	var clones []*p4rt.CloneSession
	if err := l.session.ReadClones(l.ctx, func(c *p4rt.CloneSession) error { clones = append(clones, c); return nil }); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]*p4rt.CloneSession{cl}, clones); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
