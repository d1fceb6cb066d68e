package state

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/topology"
)

// ribReplica is a reader of one session's blocks: the routes that its router has.
type ribReplica struct {
	tables ribTables
	routes map[topology.Route]bool
}

func newRIBReplica() *ribReplica { return &ribReplica{ribTables{}, map[topology.Route]bool{}} }

// see takes writes that become visible together, and returns the routes that go.
func (r *ribReplica) see(source RIBSource, writes ...ribWrite) (gone []topology.Route) {
	var changes []ribChange
	for _, w := range writes {
		changes = append(changes, ribChange{source, ribPart(w)})
	}
	for _, l := range r.tables.take(changes) {
		if l.Delete {
			delete(r.routes, l.Route)
			gone = append(gone, l.Route)
		} else {
			r.routes[l.Route] = true
		}
	}
	return gone
}

// ribKey is what a table has one route of.
type ribKey struct {
	dst netip.Prefix
	via netip.Addr
}

func (r *RIBRoute) key() ribKey { return ribKey{r.Dst, r.Via} }

func routesOf(source RIBSource, model map[ribKey]RIBRoute) map[topology.Route]bool {
	routes := map[topology.Route]bool{}
	for _, r := range model {
		routes[source.learned(&r, false).Route] = true
	}
	return routes
}

// TestRIBTable compares tables of both families with a plain map, while routes come, change and go in small and big lots, and lets a reader see each write by itself: it has each route
// that is there before and after all the time.
func TestRIBTable(t *testing.T) {
	source := RIBSource{Router: 1, Port: 2, Edge: "e1", Session: "s"}
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var table ribTable
		model, reader := map[ribKey]RIBRoute{}, newRIBReplica()
		most := 0
		for round := range 40 {
			before := routesOf(source, model)
			updates := drawUpdates(rng, model, round)
			sweep := sweepNone
			if rng.IntN(12) == 0 {
				sweep = ribSweep(1 + rng.IntN(3))
			}
			sweepModel(sweep, model)
			replaced := map[netip.Prefix]bool{}
			for _, u := range updates {
				replaced[u.Dst] = true
			}
			maps.DeleteFunc(model, func(k ribKey, _ RIBRoute) bool { return replaced[k.dst] })
			for _, u := range updates {
				if u.Via.IsValid() {
					model[u.key()] = u
				}
			}
			table.change(sweep, updates)
			if got := tableRoutes(t, &table); !maps.Equal(got, model) {
				t.Fatalf("seed %d round %d: %d routes, want %d", seed, round, len(got), len(model))
			}
			most = max(most, len(table.blocks))
			after := routesOf(source, model)
			for _, step := range table.plan() {
				rng.Shuffle(len(step), func(i, j int) { step[i], step[j] = step[j], step[i] })
				for i := range step {
					table.sent(&step[i])
					gone := reader.see(source, step[i])
					table.done(&step[i])
					for _, r := range gone {
						if before[r] && after[r] {
							t.Fatalf("seed %d round %d: %v is not seen, and is there all the time", seed, round, r)
						}
					}
				}
			}
			if !maps.Equal(reader.routes, after) {
				t.Fatalf("seed %d round %d: a reader has %d routes, want %d", seed, round, len(reader.routes), len(after))
			}
		}
		if most < 8 {
			t.Errorf("seed %d: never more than %d blocks", seed, most)
		}
	}
}

func sweepModel(sweep ribSweep, model map[ribKey]RIBRoute) {
	for key, r := range model {
		switch {
		case sweep == sweepMark:
			r.Stale = true
			model[key] = r
		case sweep == sweepAll, sweep == sweepDropStale && r.Stale:
			delete(model, key)
		}
	}
}

// drawUpdates returns sorted updates: in some rounds thousands of new routes, in some many that go, else a few of either.
func drawUpdates(rng *rand.Rand, model map[ribKey]RIBRoute, round int) []RIBRoute {
	lot := randomSets(rng, round%2 == 1, []int{3, 40, 3000}[rng.IntN(3)], 3)
	share := []int{0, 2, 60, 100}[rng.IntN(4)] // percent of a family that goes
	gone := map[netip.Prefix]RIBRoute{}
	for key := range model {
		if key.dst.Addr().Is6() == (round%2 == 1) && rng.IntN(100) < share {
			gone[key.dst] = RIBRoute{Dst: key.dst}
		}
	}
	lot = slices.DeleteFunc(lot, func(r RIBRoute) bool { _, goes := gone[r.Dst]; return goes })
	return sortedRoutes(slices.Values(slices.AppendSeq(lot, maps.Values(gone))))
}

// tableRoutes returns all routes of a table, and checks how they are packed.
func tableRoutes(t *testing.T, table *ribTable) map[ribKey]RIBRoute {
	t.Helper()
	all := map[ribKey]RIBRoute{}
	for i := range table.blocks {
		b := &table.blocks[i]
		routes := b.routes(nil)
		if len(routes) == 0 || len(routes) != b.n || len(routes) > ribSplit {
			t.Fatalf("block %v of %d routes, said to be %d", b.bound, len(routes), b.n)
		}
		if i > 0 && comparePrefixes(table.blocks[i-1].bound, b.bound) >= 0 {
			t.Fatalf("block %v follows %v", b.bound, table.blocks[i-1].bound)
		}
		if comparePrefixes(routes[0].Dst, b.bound) < 0 || i+1 < len(table.blocks) && comparePrefixes(routes[len(routes)-1].Dst, table.blocks[i+1].bound) >= 0 {
			t.Fatalf("block %v has %v to %v", b.bound, routes[0].Dst, routes[len(routes)-1].Dst)
		}
		for _, r := range routes {
			all[r.key()] = r
		}
	}
	return all
}

// TestRIBTwoSessions: what two sessions through one port bring alike is one route, there until neither has it.
func TestRIBTwoSessions(t *testing.T) {
	a, b := RIBSource{1, 2, "e1", "a"}, RIBSource{1, 2, "e2", "b"}
	routes := randomRIB(rand.New(rand.NewPCG(5, 5)), true, 50, 1)
	bound := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	all, none := ribWrite{bound, appendRIB(nil, routes)}, ribWrite{bound: bound}
	reader := newRIBReplica()
	reader.see(a, all)
	reader.see(b, all)
	reader.see(a, none)
	if len(reader.routes) != len(routes) {
		t.Errorf("%d routes of %d are left, while the other session has them", len(reader.routes), len(routes))
	}
	reader.see(b, none)
	if len(reader.routes) != 0 {
		t.Errorf("%d routes are left", len(reader.routes))
	}
	if len(reader.tables[1]) != 0 {
		t.Errorf("sessions are left: %v", slices.Collect(maps.Keys(reader.tables[1])))
	}
}

// TestRIBOneChange: of a full table, a change of one prefix concerns one small block.
func TestRIBOneChange(t *testing.T) {
	var table ribTable
	var routes []RIBRoute
	for i := range 50_000 {
		routes = append(routes, RIBRoute{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(i>>16), byte(i >> 8), byte(i), 0}), 24), Via: addr("10.0.0.1"), Metric: uint64(i % 7)})
	}
	table.change(sweepNone, routes)
	for _, step := range table.plan() {
		for i := range step {
			table.sent(&step[i])
			table.done(&step[i])
		}
	}
	if _, blocks, bytes := table.size(); blocks > 250 || bytes > 5*len(routes) {
		t.Errorf("%d routes are in %d blocks of %d bytes", len(routes), blocks, bytes)
	}
	for _, u := range []RIBRoute{{Dst: routes[77].Dst, Via: addr("10.0.0.2")}, {Dst: routes[40_000].Dst}} {
		table.change(sweepNone, []RIBRoute{u})
		p := table.plan()
		if n := len(p[0]) + len(p[2]); n != 0 || len(p[1]) != 1 || len(p[1][0].value) > 2500 {
			t.Fatalf("a change of %v: %d new or removed blocks, %d changed", u.Dst, n, len(p[1]))
		}
		table.done(&p[1][0])
	}
	table.change(sweepNone, []RIBRoute{routes[9]}) // as it is
	if !table.clean() {
		t.Error("an update without news has a block written")
	}
}
