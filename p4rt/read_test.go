package p4rt_test

import (
	"errors"
	"testing"
	"time"

	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
)

func TestReadEntries(t *testing.T) {
	for _, tc := range []struct {
		name   string
		quirks p4rttest.Quirks
		borrow bool
	}{
		{"strict", p4rttest.Quirks{}, false},
		{"padded values", p4rttest.Quirks{Pad: true}, false},
		{"one message", p4rttest.Quirks{OneMessage: true}, false},
		{"borrowed", p4rttest.Quirks{}, true},
		{"borrowed, one message", p4rttest.Quirks{OneMessage: true}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, nil)
			l.ready()
			const n = 300
			l.write(l.flows(p4rt.Insert, 0, n))
			l.write([]p4rt.Update{{Op: p4rt.Insert, Entity: l.rewrite(1)}})
			l.srv.Count(5, 500, time.Minute)
			l.srv.SetQuirks(tc.quirks)
			want := map[p4rt.Key]*p4rt.Entry{l.rewrite(1).Key(): l.rewrite(1)}
			for i := range n {
				e := l.flow(i, 7)
				want[e.Key()] = e
			}
			counted := 0
			err := l.session.ReadEntries(l.ctx, p4rt.ReadOptions{Counters: true, LastHit: true, Borrow: tc.borrow}, func(e *p4rt.Entry, c p4rt.Counter) error {
				w := want[e.Key()]
				if w == nil || !w.SameEffect(e) {
					t.Errorf("read %s, want %s", e, w)
				}
				delete(want, e.Key())
				if c.Counted {
					counted++
					if c.Packets != 5 || c.Bytes != 500 || !c.HitKnown || c.SinceHit != time.Minute {
						t.Errorf("counter is %+v", c)
					}
				}
				return nil
			})
			if err != nil || len(want) > 0 || counted != n {
				t.Errorf("%v; %d not read, %d of %d counted", err, len(want), counted, n)
			}
		})
	}
}

func TestReadStops(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	l.write(l.flows(p4rt.Insert, 0, 300))
	enough, n := errors.New("enough"), 0
	err := l.session.ReadEntries(l.ctx, p4rt.ReadOptions{}, func(*p4rt.Entry, p4rt.Counter) error {
		n++
		return enough
	})
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d entries, %v", n, err)
	}
}

// TestReadIsNotEndless: of a target that takes a Read and does not answer, or begins to and goes on no more, a read ends with an error, and the next one begins anew.
func TestReadIsNotEndless(t *testing.T) {
	l := newLab(t, func(c *p4rt.Config) { c.ReadTimeout = 20 * time.Millisecond })
	l.ready()
	l.write(l.flows(p4rt.Insert, 0, 300))
	for _, messages := range []int{0, 1} {
		l.srv.SetQuirks(p4rttest.Quirks{SilentRead: true, SilentAfter: messages})
		n := 0
		err := l.session.ReadEntries(l.ctx, p4rt.ReadOptions{}, func(*p4rt.Entry, p4rt.Counter) error { n++; return nil })
		if !errors.Is(err, p4rt.ErrSilent) || (n > 0) != (messages > 0) {
			t.Errorf("after %d messages: %d entries, %v", messages, n, err)
		}
	}
	l.srv.SetQuirks(p4rttest.Quirks{})
	n := 0
	if err := l.session.ReadEntries(l.ctx, p4rt.ReadOptions{}, func(*p4rt.Entry, p4rt.Counter) error { n++; return nil }); err != nil || n != 300 {
		t.Errorf("%d entries, %v, of a target that answers again", n, err)
	}
}

func TestReadCounter(t *testing.T) {
	l := newLab(t, nil)
	l.ready()
	c, err := l.schema.Counter("vport")
	if err != nil {
		t.Fatal(err)
	}
	l.srv.SetCell(c.ID, 0, 1, 10)
	l.srv.SetCell(c.ID, 7, 2, 20)
	got := map[int64]p4rt.Counter{}
	all := func(i int64, v p4rt.Counter) error { got[i] = v; return nil }
	if err := l.session.ReadCounter(l.ctx, c, -1, all); err != nil || len(got) != 2 || got[7].Bytes != 20 || got[0].Packets != 1 {
		t.Errorf("all: %v, %v", got, err)
	}
	clear(got)
	if err := l.session.ReadCounter(l.ctx, c, 7, all); err != nil || len(got) != 1 || got[7].Packets != 2 {
		t.Errorf("one: %v, %v", got, err)
	}
}
