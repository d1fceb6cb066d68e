package sim

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/randnet"
	"github.com/weft-sdn/weft/topology"
)

// loads are the devices that a result asks for.
func loads(r *Result) []topology.DeviceID {
	var ids []topology.DeviceID
	for _, e := range r.Effects {
		if e.Kind == Load {
			ids = append(ids, e.Device)
		}
	}
	return ids
}

// sameResult compares all that a caller sees.
func sameResult(a, b *Result) bool {
	return slices.Equal(a.Outcomes, b.Outcomes) && a.Mask == b.Mask && a.Guards == b.Guards && a.Installable == b.Installable &&
		a.NotInstallable == b.NotInstallable && slices.Equal(a.Deps, b.Deps) && slices.Equal(a.Effects, b.Effects) &&
		slices.EqualFunc(a.Originated, b.Originated, func(x, y Originated) bool {
			return bytes.Equal(x.Frame, y.Frame) && x.Dest == y.Dest && x.From == y.From && x.Kind == y.Kind
		})
}

// TestPartial: with a part of the network a simulation says what it says with the whole, or asks for a device that is not there; and when it is given
// what it asks for, it comes to the same end (E7, architecture §2). Devices that are forgotten again leave nothing behind.
func TestPartial(t *testing.T) {
	cases := envInt(t, "WEFT_SOUNDNESS_CASES", 20_000) / 2
	seed := uint64(envInt(t, "WEFT_SOUNDNESS_SEED", 1))
	const perWorld = 20
	rng := rand.New(rand.NewPCG(seed, 3))
	sim := Simulator{Exemplar: true} // what the frames have beside their keys is not made to fit
	var a, b Result
	var f packet.Frame
	incomplete, complete, twice := 0, 0, 0
	for n := 0; n < cases; n += perWorld {
		w := randnet.New(seed*3_000_017 + uint64(n))
		if sim.Conns = nil; n/perWorld%4 == 3 {
			w.Translate()
			sim.Conns = table{}
		}
		loaded := map[topology.DeviceID]bool{}
		partial := new(topology.Snapshot)
		for i := range perWorld {
			s := w.Shot()
			data := s.Frame(nil)
			if rng.IntN(4) == 0 { // a question by broadcast: floods, and what a router or bridge answers
				data = packet.AppendARPRequest(nil, s.Key.SrcMAC, randomAddr(rng, w), randomAddr(rng, w))
			}
			if err := packet.Parse(data, &f); err != nil {
				t.Fatal(err)
			}
			sim.Simulate(w.Snap, &f, s.Key.Ingress, 0, &a)
			for id := range maps.Clone(loaded) { // some go
				if rng.IntN(2) == 0 {
					partial, _ = partial.With(topology.Changes{Forget: []topology.DeviceID{id}})
					delete(loaded, id)
				}
			}
			if root := w.Snap.VPort(s.Key.Ingress).Device; !loaded[root] { // what a node hosts is there
				partial, _ = partial.With(w.Part(map[topology.DeviceID]bool{root: true}))
				loaded[root] = true
			}
			for steps := 0; ; steps++ {
				sim.Simulate(partial, &f, s.Key.Ingress, 0, &b)
				ids := loads(&b)
				if len(ids) == 0 {
					count(&complete, steps == 0)
					count(&twice, steps > 1)
					break
				}
				incomplete++
				if b.Installable || b.NotInstallable == "" {
					t.Fatalf("seed %d world %d packet %d: installs what is incomplete", seed, n, i)
				}
				for _, id := range ids {
					if loaded[id] || !w.Snap.Has(id) {
						t.Fatalf("seed %d world %d packet %d: asks for device %d, which is loaded or nothing", seed, n, i, id)
					}
					partial, _ = partial.With(w.Part(map[topology.DeviceID]bool{id: true}))
					loaded[id] = true
				}
			}
			for bridge := range partial.Bridges() {
				if missing := partial.MissingGroup(bridge.Group()); bridge.Zone != w.Snap.Zone(bridge.ID) && len(missing) == 0 || len(missing) > 0 && bridge.Zone != 0 {
					t.Fatalf("seed %d world %d packet %d: zone %d of bridge %d, want %d; not loaded %v", seed, n, i, bridge.Zone, bridge.ID, w.Snap.Zone(bridge.ID), missing)
				}
			}
			if !sameResult(&a, &b) {
				explain(t, w, &sim, s)
				w.Snap = partial
				explain(t, w, &sim, s)
				t.Fatalf("seed %d world %d packet %d: other result with devices %v", seed, n, i, loaded)
			}
		}
	}
	t.Logf("%d decided at once, %d times incomplete, %d needed more than one load", complete, incomplete, twice)
	if complete < cases/4 || incomplete < cases/10 || twice < cases/100 {
		t.Errorf("too dull: %d decided at once, %d times incomplete, %d needed more than one load", complete, incomplete, twice)
	}
}

// randomAddr is the IPv4 address of a router port, or near one.
func randomAddr(rng *rand.Rand, w *randnet.World) netip.Addr {
	var all []netip.Addr
	for p := range w.Snap.VPorts() {
		for _, a := range p.Addrs {
			if a.Addr().Is4() {
				all = append(all, a.Addr(), a.Addr().Next())
			}
		}
	}
	if len(all) == 0 {
		return netip.AddrFrom4([4]byte{10, 0, 0, 1})
	}
	return all[rng.IntN(len(all))]
}

// TestMissing: a bridge whose flood domain reaches one that is not loaded floods to nobody until it is; its group is not whole.
func TestMissing(t *testing.T) {
	var w *randnet.World
	for seed := uint64(2); ; seed++ { // two linked bridges
		if w = randnet.New(seed); len(w.Snap.Domain(1)) == 2 {
			break
		}
	}
	domain := w.Snap.Domain(1)
	partial, _ := new(topology.Snapshot).With(w.Part(map[topology.DeviceID]bool{domain[0]: true}))
	if got := partial.MissingGroup(flow.Dest(domain[0])); !slices.Equal(got, domain[1:]) {
		t.Errorf("missing of the group: %v, want %v", got, domain[1:])
	}
	whole, deps := partial.With(w.Part(map[topology.DeviceID]bool{domain[1]: true}))
	if got := whole.MissingGroup(flow.Dest(domain[0])); len(got) != 0 || !slices.Equal(whole.GroupMembers(flow.Dest(domain[0])), w.Snap.GroupMembers(flow.Dest(domain[0]))) {
		t.Errorf("missing of the group: %v; members %v", got, whole.GroupMembers(flow.Dest(domain[0])))
	}
	if !slices.Contains(deps, topology.GroupDep(domain[0])) {
		t.Errorf("the load tells %v, not that the group of the other bridge changed", deps)
	}
}
