package sim

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// randomChange changes one thing of the network.
func (w *world) randomChange() topology.Changes {
	objects := func(k topology.Kind) []*topology.Object {
		var of []*topology.Object
		for _, o := range w.objects {
			if o.Kind == k {
				of = append(of, o)
			}
		}
		return of
	}
	pick := func(k topology.Kind) *topology.Object {
		of := objects(k)
		o := *of[w.rng.IntN(len(of))]
		return &o
	}
	v6 := w.rng.IntN(2) == 0
	switch w.rng.IntN(8) {
	case 0, 1:
		b := w.snap.Bridge(topology.DeviceID(pick(topology.KindBridge).Status.ID))
		e := topology.FDBEntry{Bridge: b.ID, MAC: w.macs[w.rng.IntN(len(w.macs))]}
		if len(b.Ports) > 0 && w.rng.IntN(3) > 0 {
			e.Port = b.Ports[w.rng.IntN(len(b.Ports))]
		}
		return topology.Changes{FDB: []topology.FDBEntry{e}}
	case 2:
		return topology.Changes{BridgeNeighbours: []topology.BridgeNeighbour{{Bridge: topology.DeviceID(pick(topology.KindBridge).Status.ID), Addr: w.addr(v6), MAC: w.macs[w.rng.IntN(len(w.macs))]}}}
	case 3:
		p := flow.VPortID(pick(topology.KindVPort).Status.ID)
		return topology.Changes{Neighbours: []topology.Neighbour{{Port: p, Addr: w.addr(v6), MAC: w.mac(), State: topology.NeighbourState(w.rng.IntN(3))}}}
	case 4:
		o := pick(topology.KindVPort)
		s := *o.Spec.(*topology.VPortSpec)
		s.AdminDown = !s.AdminDown
		o.Spec = &s
		return topology.Changes{Put: []*topology.Object{o}}
	case 5:
		o := pick(topology.KindVPort)
		s := *o.Spec.(*topology.VPortSpec)
		if w.snap.VPort(flow.VPortID(o.Status.ID)).Kind == topology.DeviceRouter {
			s.MAC, s.MTU = w.mac(), uint16(1280+w.rng.IntN(200))
			s.Addresses = []netip.Prefix{netip.PrefixFrom(w.addr(false), 24), netip.PrefixFrom(w.addr(true), 120)}
		}
		o.Spec = &s
		return topology.Changes{Put: []*topology.Object{o}}
	case 6:
		o := pick(topology.KindBridge)
		s := *o.Spec.(*topology.BridgeSpec)
		s.UnknownUnicast = map[string]string{"drop": "flood", "flood": "drop"}[s.UnknownUnicast]
		o.Spec = &s
		return topology.Changes{Put: []*topology.Object{o}}
	}
	o := pick(topology.KindRouter)
	s := *o.Spec.(*topology.RouterSpec)
	if n := len(s.Routes); n > 0 && w.rng.IntN(2) == 0 {
		s.Routes = slices.Delete(slices.Clone(s.Routes), n-1, n)
	} else {
		s.Routes = append(slices.Clone(s.Routes), topology.RouteSpec{Dst: w.prefix(v6), Kind: []string{"reject", "blackhole"}[w.rng.IntN(2)]})
	}
	o.Spec = &s
	return topology.Changes{Put: []*topology.Object{o}}
}

// TestDependencies (E6): a change that affects no dependency of a result leaves it true: same outcomes, and no more bits read (fewer may now do). That dependencies are not needlessly wide is tested
// too: enough results are unaffected, and enough of the affected ones do change.
func TestDependencies(t *testing.T) {
	cases := envInt(t, "WEFT_SOUNDNESS_CASES", 20_000)
	seed := uint64(envInt(t, "WEFT_SOUNDNESS_SEED", 1))
	const perWorld, changes = 20, 6
	var sim Simulator
	var b Result
	affected, unaffected, differ := 0, 0, 0
	for n := 0; n < cases; n += perWorld * changes {
		w := newWorld(seed*2_000_003 + uint64(n))
		for step := range changes {
			shots := make([]shot, perWorld)
			results := make([]Result, perWorld)
			frames := make([]packet.Frame, perWorld)
			for i := range shots {
				shots[i] = w.shot()
				if err := packet.Parse(shots[i].frame(nil), &frames[i]); err != nil {
					t.Fatal(err)
				}
				sim.Simulate(w.snap, &frames[i], shots[i].key.Ingress, 0, &results[i])
			}
			c := w.randomChange()
			before := w.snap
			var deps []topology.Dep
			w.snap, deps = w.snap.With(c)
			for _, o := range c.Put {
				w.objects[slices.IndexFunc(w.objects, func(p *topology.Object) bool { return p.Ref() == o.Ref() })] = o
			}
			for i := range shots {
				a := &results[i]
				sim.Simulate(w.snap, &frames[i], shots[i].key.Ingress, 0, &b)
				same := slices.Equal(a.Outcomes, b.Outcomes) && a.Mask.Covers(b.Mask) && a.Guards == b.Guards && a.Installable == b.Installable
				if slices.ContainsFunc(deps, func(d topology.Dep) bool { return slices.ContainsFunc(a.Deps, d.Affects) }) {
					affected++
					count(&differ, !same)
					continue
				}
				unaffected++
				if !same {
					after := w.snap
					w.snap = before
					explain(t, w, &sim, shots[i])
					w.snap = after
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
