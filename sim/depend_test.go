package sim

import (
	"slices"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/randnet"
	"github.com/weft-sdn/weft/topology"
)

// TestDependencies (E6): a change that affects no dependency of a result leaves it true: same outcomes, and no more bits read (fewer may now do). That dependencies are not needlessly wide is tested
// too: enough results are unaffected, and enough of the affected ones do change.
func TestDependencies(t *testing.T) {
	cases := envInt(t, "WEFT_SOUNDNESS_CASES", 20_000)
	seed := uint64(envInt(t, "WEFT_SOUNDNESS_SEED", 1))
	const perWorld, changes = 20, 6
	sim := Simulator{Exemplar: true} // what the frames have beside their keys is not made to fit
	var b Result
	affected, unaffected, differ := 0, 0, 0
	for n := 0; n < cases; n += perWorld * changes {
		w := randnet.New(seed*2_000_003 + uint64(n))
		if sim.Conns = nil; n/(perWorld*changes)%4 == 3 {
			w.Translate()
			sim.Conns = table{}
		}
		for step := range changes {
			shots := make([]randnet.Shot, perWorld)
			results := make([]Result, perWorld)
			frames := make([]packet.Frame, perWorld)
			for i := range shots {
				shots[i] = w.Shot()
				if err := packet.Parse(shots[i].Frame(nil), &frames[i]); err != nil {
					t.Fatal(err)
				}
				sim.Simulate(w.Snap, &frames[i], shots[i].Key.Ingress, 0, &results[i])
			}
			c := w.Change()
			before := w.Snap
			deps := w.Apply(c)
			for i := range shots {
				a := &results[i]
				sim.Simulate(w.Snap, &frames[i], shots[i].Key.Ingress, 0, &b)
				same := slices.Equal(a.Outcomes, b.Outcomes) && a.Mask.Covers(b.Mask) && a.Guards == b.Guards && a.Installable == b.Installable &&
					a.Track.Key == b.Track.Key && a.Track.New.RetZone == b.Track.New.RetZone
				if slices.ContainsFunc(deps, func(d topology.Dep) bool { return slices.ContainsFunc(a.Deps, d.Affects) }) {
					affected++
					count(&differ, !same)
					continue
				}
				unaffected++
				if !same {
					after := w.Snap
					w.Snap = before
					explain(t, w, &sim, shots[i])
					w.Snap = after
					explain(t, w, &sim, shots[i])
					t.Fatalf("seed %d world %d step %d: result changed, but depends on nothing of %v", seed, n, step, deps)
				}
			}
		}
	}
	t.Logf("%d affected, of which %d changed; %d unaffected", affected, differ, unaffected)
	if unaffected < cases/2 || affected < cases/50 || differ*10 < affected {
		t.Errorf("dependencies are too wide or the changes too dull: %d affected, %d changed, %d unaffected", affected, differ, unaffected)
	}
}
