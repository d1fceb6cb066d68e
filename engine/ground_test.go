package engine

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// TestAffected (E6): which flows a change concerns is what comparing it with each dependency of each flow would find, absent routes among them; and nothing is left of flows that went.
func TestAffected(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	addr := func(v6 bool) flow.Addr {
		b := [16]byte{12: 10, 13: byte(r.IntN(2)), 14: byte(r.IntN(2)), 15: byte(r.IntN(4))}
		if v6 {
			b = [16]byte{0: 0x20, 1: 1, 7: byte(r.IntN(2)), 15: byte(r.IntN(4))}
		}
		return b
	}
	dep := func() topology.Dep {
		v6, id := r.IntN(2) == 0, uint32(1+r.IntN(3))
		a := addr(v6)
		n := r.IntN(33)
		if v6 {
			n = r.IntN(129)
		}
		etherType := map[bool]uint16{false: packet.EtherTypeIPv4, true: packet.EtherTypeIPv6}[v6]
		switch r.IntN(5) {
		case 0:
			return topology.DeviceDep(topology.DeviceID(id))
		case 1:
			return topology.FDBDep(topology.DeviceID(id), packet.MAC{2, byte(r.IntN(3))})
		case 2:
			return topology.NeighbourDep(flow.VPortID(id), a.Netip(etherType))
		}
		return topology.RouteDep(topology.DeviceID(id), &a, v6, uint8(n))
	}
	table, placer := newFlowTable(), offload.NewPlacer(detached(t, idleStore(t)).a.tables, 90)
	type relying struct {
		f    *installedFlow
		deps []topology.Dep
	}
	var all []relying
	for i := range 3000 {
		switch {
		case i%3 != 2 || len(all) == 0:
			deps := make([]topology.Dep, 1+r.IntN(3))
			for j := range deps {
				deps[j] = dep()
			}
			if r.IntN(4) == 0 {
				deps = slices.Insert(deps, r.IntN(len(deps)), topology.ConnDep(1, r.Uint64N(9)))
			}
			m := flow.ExactMask(packet.EtherTypeIPv4)
			m.SrcMAC = packet.MAC{}
			placed, _, err := placer.Place(offload.Megaflow{Key: flow.Key{Ingress: 1, EtherType: packet.EtherTypeIPv4, SrcPort: uint16(i)}, Mask: m, Guards: flow.Guards{KnownSource: true}}, 1)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, relying{table.add(placed, deps, 0, passage{}), deps})
		default:
			n := r.IntN(len(all))
			table.remove(all[n].f)
			all = slices.Delete(all, n, n+1)
		}
		if i%20 != 0 {
			continue
		}
		changed := []topology.Dep{dep(), dep()}
		got := map[*installedFlow]bool{}
		for g := range table.grounds.affected(changed) {
			for f := range g.all() {
				got[f] = true
			}
		}
		for _, x := range all {
			want := slices.ContainsFunc(changed, func(c topology.Dep) bool { return slices.ContainsFunc(x.deps, c.Affects) })
			if got[x.f] != want || !x.f.reliesOn(x.deps, passage{}) || x.f.reliesOn(append(x.deps, dep()), passage{}) {
				t.Fatalf("%v changed: a flow that relies on %v: %v, want %v", changed, x.deps, got[x.f], want)
			}
			delete(got, x.f)
		}
		if len(got) != 0 {
			t.Fatalf("%d flows that are gone", len(got))
		}
		conn := topology.ConnDep(1, r.Uint64N(9))
		want := 0
		for _, x := range all {
			if slices.Contains(x.deps, conn) {
				want++
			}
		}
		if n := len(table.ofConnection(conn)); n != want {
			t.Fatalf("%d flows rely on a connection, want %d", n, want)
		}
	}
	for _, x := range all {
		table.remove(x.f)
	}
	if g := &table.grounds; table.len()+len(table.byEntry)+len(table.byConn)+len(g.byHash)+len(g.byDep)+len(g.byRoute) != 0 {
		t.Errorf("left: %d flows, %d entries, %d connections, grounds by hash %d, by dependency %d, by route %d", table.len(), len(table.byEntry), len(table.byConn), len(g.byHash), len(g.byDep), len(g.byRoute))
	}
}
