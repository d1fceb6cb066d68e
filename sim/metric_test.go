package sim

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// TestLearnedMetric (G2): of what several sessions learnt the least metric is in force, spread over all that have it; where the links of these are down, the next
// best is, at once, before a session is known to be lost.
func TestLearnedMetric(t *testing.T) {
	l, _ := uplinks(t, 1, 1, 1)
	const router = topology.DeviceID(1)
	a, b, c := flow.VPortID(2), flow.VPortID(3), flow.VPortID(4)
	var learnt []topology.LearnedRoute
	for i, port := range []flow.VPortID{a, b, c} {
		for dst, via := range map[string]string{"0.0.0.0/0": "192.0.2.1", "::/0": "fe80::1"} {
			learnt = append(learnt, topology.LearnedRoute{Router: router, Route: topology.Route{
				Dst: prefix(dst), Via: ip(via), Port: port, Origin: topology.OriginLearned, Weight: 1, Metric: uint64(10 + i/2),
			}})
		}
	}
	l.change(topology.Changes{Routes: learnt})
	l.sim.snap = l.snap
	rng := rand.New(rand.NewPCG(9, 9))
	ports := func() (used []flow.VPortID) {
		for range 200 {
			k := randomKey(rng)
			k.Dst[0], k.Dst[12] = 0x20, 20 // forwardable, in both families
			l.res.reset()
			table := l.snap.Router(router).Routes
			m := table.Lookup(&k.Dst, &k.Src, k.Is6())
			var w way
			if l.sim.choose(table, &m, &k, k.Is6(), &w) != DropNone {
				continue
			}
			if !slices.Contains(used, w.hop.Port) {
				used = append(used, w.hop.Port)
			}
		}
		slices.Sort(used)
		return used
	}
	want := func(when string, want ...flow.VPortID) {
		t.Helper()
		if got := ports(); !slices.Equal(got, want) {
			t.Errorf("%s: flows leave by %v, want %v", when, got, want)
		}
	}
	want("all are up", a, b)
	l.setDown(a, true)
	want("a is down", b)
	l.setDown(b, true)
	want("a and b are down", c)
	l.setDown(c, true)
	want("all are down")
	for _, p := range []flow.VPortID{a, b, c} {
		l.setDown(p, false)
	}
	for i := range learnt {
		learnt[i].Delete = true
	}
	l.change(topology.Changes{Routes: learnt[:4]})
	l.sim.snap = l.snap
	want("the sessions of a and b are lost", c)
}
