package state

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// ribMirror is a reader of sessions' blocks with the router that it makes, and what each session has.
type ribMirror struct {
	*testing.T
	reader reader
	topo   *topology.Snapshot
	own    int
	has    map[RIBSource]map[netip.Prefix]RIBRoute
	tables map[RIBSource]*ribTable
}

func newRIBMirror(t *testing.T) *ribMirror {
	objects := decode(t, ribNetwork)
	topology.AssignIDs(objects, 0)
	topo, _ := new(topology.Snapshot).With(topology.Changes{Put: objects})
	return &ribMirror{T: t, reader: reader{ribs: ribTables{}}, topo: topo, own: topo.Router(1).Routes.Len(), has: map[RIBSource]map[netip.Prefix]RIBRoute{}, tables: map[RIBSource]*ribTable{}}
}

// tell has a session tell routes, and be read; nil: it is lost.
func (m *ribMirror) tell(source RIBSource, updates []RIBRoute) []topology.Dep {
	m.Helper()
	table := m.tables[source]
	if table == nil {
		table = &ribTable{}
		m.tables[source], m.has[source] = table, map[netip.Prefix]RIBRoute{}
	}
	sweep := sweepNone
	if updates == nil {
		sweep = sweepAll
		clear(m.has[source])
	}
	for _, u := range updates {
		m.has[source][u.Dst] = u
	}
	table.change(sweep, updates)
	var changes []ribChange
	for _, step := range table.plan() {
		for i := range step {
			table.sent(&step[i])
			changes = append(changes, ribChange{source, ribPart(step[i])})
			table.done(&step[i])
		}
	}
	return m.read(changes)
}

func (m *ribMirror) read(changes []ribChange) (deps []topology.Dep) {
	var c topology.Changes
	c.Withdrawn, c.Routes = m.reader.learnRIBs(changes)
	m.topo, deps = m.topo.With(c)
	return deps
}

// check compares the routes in force with those that sessions have.
func (m *ribMirror) check(what string) {
	m.Helper()
	want := map[topology.Route]bool{}
	best := map[netip.Prefix]uint64{}
	for _, routes := range m.has {
		for dst, r := range routes {
			if b, is := best[dst]; !is || r.Metric < b {
				best[dst] = r.Metric
			}
		}
	}
	for source, routes := range m.has {
		for dst, r := range routes {
			if r.Metric == best[dst] {
				want[source.learned(&r, false).Route] = true
			}
		}
	}
	n := 0
	for r := range m.topo.Router(1).Routes.All() {
		if r.Origin == topology.OriginLearned {
			if n++; !want[r] {
				m.Fatalf("%s: %v is in force", what, r)
			}
		}
	}
	if n != len(want) {
		m.Fatalf("%s: %d routes are in force, want %d", what, n, len(want))
	}
}

// swept has the reader go on until nothing is left to do, and returns how many routes the table has.
func (m *ribMirror) swept() int {
	for len(m.reader.losses) > 0 {
		if deps := m.read(nil); len(deps) > 0 {
			m.Fatalf("what is swept changed %v", deps)
		}
	}
	return m.topo.Router(1).Routes.Len() - m.own
}

// TestRIBLoss: with a session that has many routes all of them go at once, but for those that another session has, and its table gets rid of them; until then, and behind it, the session may come back.
func TestRIBLoss(t *testing.T) {
	up1, up2 := flow.VPortID(2), flow.VPortID(3)
	a, b := RIBSource{1, up1, "e1", "a"}, RIBSource{1, up1, "e1", "b"}
	c := RIBSource{1, up2, "e2", "c"}
	rng := rand.New(rand.NewPCG(3, 4))
	draw := func(via4, via6 string, metric uint64) (routes []RIBRoute) {
		for i := range 30_000 {
			if rng.IntN(5) > 0 {
				routes = append(routes, RIBRoute{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0}), 24), Via: addr(via4), Metric: metric + rng.Uint64N(2)})
				routes = append(routes, RIBRoute{Dst: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x2a, 4: byte(i >> 8), byte(i)}), 48), Via: addr(via6), Metric: metric})
			}
		}
		slices.SortFunc(routes, func(a, b RIBRoute) int { return comparePrefixes(a.Dst, b.Dst) })
		return routes
	}
	m := newRIBMirror(t)
	first := draw("192.0.2.9", "2001:db8:1::9", 1)
	m.tell(a, first)
	m.tell(b, draw("192.0.2.8", "2001:db8:1::9", 1)) // by one gateway of a's
	m.tell(c, draw("198.51.100.9", "2001:db8:2::9", 5))
	m.check("all three")
	if n := m.topo.Router(1).Routes.Len() - m.own; n < 100_000 {
		t.Fatalf("%d routes", n)
	}
	if m.tell(a, nil); len(m.reader.losses) != 1 || len(m.reader.losses[0].hops) != 1 {
		t.Fatalf("losses: %d", len(m.reader.losses))
	}
	m.check("a is lost")
	m.read(nil)
	m.check("a is being swept")
	m.tell(a, first[:1000])
	m.check("a is back")
	if len(m.reader.losses) != 0 {
		t.Error("a loss is left, while its hop is back")
	}
	m.tell(a, first)
	m.check("a is back whole")
	whole := m.topo.Router(1).Routes.Len()
	deps := m.tell(c, nil)
	m.check("c is lost")
	if len(deps) != 2 {
		t.Errorf("a loss changed %d dependencies", len(deps))
	}
	m.tell(a, nil)
	m.check("a is lost, too")
	n := m.swept()
	m.check("both are swept")
	if n >= whole || n != len(m.has[b]) {
		t.Errorf("%d routes are left, want %d", n, len(m.has[b]))
	}
	m.tell(b, nil)
	m.check("b is lost")
	m.reader.forgetRIBs([]topology.DeviceID{1})
	if len(m.reader.losses) != 0 || len(m.reader.ribs) != 0 {
		t.Error("a router that is forgotten leaves something")
	}
}

// TestRIBLost: the loss of a session with many routes reaches all that follow the router, as does its return, in views without end or gap.
func TestRIBLost(t *testing.T) {
	l := newRIBLab(t)
	s, _ := l.edge("e1")
	o, _ := l.edge("e2")
	table := func(via4, via6 string, metric uint64) (routes []RIBRoute) {
		for i := range 20_000 {
			routes = append(routes, RIBRoute{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0}), 24), Via: addr(via4), Metric: metric})
			routes = append(routes, RIBRoute{Dst: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x2a, 4: byte(i >> 8), byte(i)}), 48), Via: addr(via6), Metric: metric})
		}
		return routes
	}
	near := table("192.0.2.9", "2001:db8:1::9", 1)
	r, _ := l.learn(s, l.up1, "e1", near...)
	l.learn(o, l.up2, "e2", table("198.51.100.9", "2001:db8:2::9", 5)...)
	own := func(v *View) int { return v.Topology.Router(l.router).Routes.Len() }
	untilView(t, l.all, "both tables", func(v *View) bool { return own(v) > 4*20_000 })
	l.leads(l.all, "20.1.2.3", "192.0.2.9")
	r.Clear()
	l.sync(r)
	if d := r.Stats(); d.Routes != 0 || d.Blocks != 0 {
		t.Errorf("after the loss: %+v", d)
	}
	for _, s := range []*Store{l.all, s, o} {
		l.leads(s, "20.1.2.3", "198.51.100.9")
		l.leads(s, "2a00:0:102::1", "2001:db8:2::9")
		untilView(t, s, "the loss swept", func(v *View) bool { return own(v) < 3*20_000 })
	}
	l.update(r, near...)
	for _, s := range []*Store{l.all, s, o} {
		l.leads(s, "20.1.2.3", "192.0.2.9")
		l.leads(s, "2a00:0:102::1", "2001:db8:1::9")
	}
}
