package state

import (
	"testing"
	"time"
)

// TestUsageIsKept (O4): what an edge has accounted is stored if nothing newer is; else the answer is what stands in the way. Edges have their own, whatever their names.
func TestUsageIsKept(t *testing.T) {
	s := embeddedStore(t)
	save := func(all ...Usage) map[int]Usage {
		t.Helper()
		type answer struct {
			i      int
			stored Usage
			err    error
		}
		answers := make(chan answer, len(all))
		s.SaveUsage(t.Context(), all, func(i int, stored Usage, err error) { answers <- answer{i, stored, err} })
		got := map[int]Usage{}
		for range all {
			x := <-answers
			if x.err != nil {
				t.Fatal(x.err)
			}
			got[x.i] = x.stored
		}
		return got
	}
	in := func(edge string, n uint64, run int64, revision int64) Usage {
		return Usage{Edge: edge, ID: 7, Tenant: "red", Name: "vm1", UsageTotals: UsageTotals{In: Tally{n, 10 * n}}, From: time.Unix(5, 0).UTC(), Run: run, Revision: revision}
	}
	first := save(in("e1", 5, 1, 0), in("e/2", 6, 1, 0))
	if first[0].Revision == 0 || first[0].In.Packets != 5 || first[1].Edge != "e/2" {
		t.Fatalf("%+v was stored", first)
	}
	if got := save(in("e1", 9, 2, 0))[0]; got.Run != 1 || got.In.Packets != 5 || got.Revision != first[0].Revision {
		t.Errorf("in the way is %+v, want what was stored first", got)
	}
	if got := save(in("e1", 14, 2, first[0].Revision))[0]; got.Run != 2 || got.Revision <= first[0].Revision {
		t.Errorf("%+v was stored", got)
	}
	for edge, want := range map[string][]uint64{"": {6, 14}, "e1": {14}, "e/2": {6}, "e": nil} {
		all, err := s.Usage(t.Context(), edge)
		if err != nil || len(all) != len(want) {
			t.Fatalf("edge %q: %+v, %v", edge, all, err)
		}
		for i, u := range all {
			if u.In.Packets != want[i] || u.ID != 7 || u.From.Unix() != 5 {
				t.Errorf("edge %q: %+v, want %d packets", edge, u, want[i])
			}
		}
	}
}

// TestTally: a counter that began anew counts from nothing, and nothing is taken away that is not there.
func TestTally(t *testing.T) {
	at := func(n uint64) Tally { return Tally{n, 100 * n} }
	if got := at(7).Since(at(5)); got != at(2) {
		t.Errorf("since 5: %v", got)
	}
	if got := at(3).Since(at(5)); got != at(3) {
		t.Errorf("since 5, anew: %v", got)
	}
	n := at(3)
	if n.Sub(at(5)); n != at(0) {
		t.Errorf("3 less 5: %v", n)
	}
}
