package sim

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/randnet"
	"github.com/weft-sdn/weft/topology"
)

// TestOrderOfCreation: whatever the order in which a network's objects come, one by one, some of them twice or gone in between, packets find the same network:
// bridges, routers, vports, chains with what they name, pools.
func TestOrderOfCreation(t *testing.T) {
	cases := envInt(t, "WEFT_CASES", 20_000) / 100
	seed := uint64(envInt(t, "WEFT_SOUNDNESS_SEED", 1))
	var sims [2]Simulator
	var results [2]Result
	var f packet.Frame
	chained, translated := 0, 0
	for n := range cases {
		w := randnet.New(seed*7_000_003 + uint64(n))
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		snap := built(rng, w)
		for range 40 {
			shot := w.Shot()
			if packet.Parse(shot.Frame(nil), &f) != nil {
				continue
			}
			for i, s := range []*topology.Snapshot{w.Snap, snap} {
				sims[i].Conns = table{}
				sims[i].Simulate(s, &f, shot.Key.Ingress, 0, &results[i])
			}
			a, b := &results[0], &results[1]
			if !slices.Equal(a.Outcomes, b.Outcomes) || a.Mask != b.Mask || a.Guards != b.Guards || !slices.Equal(a.Deps, b.Deps) || a.Track.Commit != b.Track.Commit || a.Track.New != b.Track.New || a.Installable != b.Installable {
				explain(t, w, &sims[0], shot)
				r := Result{Trace: new(Trace)}
				sims[1].Simulate(snap, &f, shot.Key.Ingress, 0, &r)
				t.Fatalf("network %d: in another order\n%v", n, r.Trace)
			}
			count(&chained, a.Outcomes[0].Drop == DropFiltered)
			count(&translated, a.Track.New.Translates())
		}
	}
	t.Logf("%d filtered, %d translated in %d networks", chained, translated, cases)
	if chained*2 < cases || translated*10 < cases {
		t.Errorf("too few packets met chains: %d filtered, %d translated in %d networks", chained, translated, cases)
	}
}

// built makes a world's snapshot anew, object by object in a random order, and then what was learnt.
func built(rng *rand.Rand, w *randnet.World) *topology.Snapshot {
	objects := slices.Clone(w.Objects())
	rng.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
	snap := new(topology.Snapshot)
	put := func(o *topology.Object) { snap, _ = snap.With(topology.Changes{Put: []*topology.Object{o}}) }
	for i, o := range objects {
		put(o)
		if again := objects[rng.IntN(i+1)]; rng.IntN(3) == 0 {
			if rng.IntN(2) == 0 {
				snap, _ = snap.With(topology.Changes{Delete: []topology.Ref{again.Ref()}})
			}
			put(again)
		}
	}
	devices := map[topology.DeviceID]bool{}
	for _, o := range objects {
		devices[topology.DeviceID(o.Status.ID)] = true
	}
	learnt := w.Part(devices)
	learnt.Put = nil
	snap, _ = snap.With(learnt)
	return snap
}
