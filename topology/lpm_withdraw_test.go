package topology

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weft-sdn/weft/flow"
)

// TestWithdraw: a table from which hops were withdrawn is, at once and while their routes leave it, for whoever asks it, the one without these routes.
func TestWithdraw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "v6")
		var routes []Route
		for range rapid.IntRange(0, 30).Draw(t, "routes") {
			r := Route{Dst: drawPrefix(t, v6, "dst"), Port: flow.VPortID(rapid.IntRange(1, 4).Draw(t, "port")), Origin: OriginLearned, Weight: 1, Metric: rapid.Uint64Range(0, 1).Draw(t, "metric")}
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0: // by the same hop, and stays
				r.Origin, r.Metric = OriginStatic, 0
			case 1:
				r.Origin, r.Metric, r.Src = OriginStatic, 0, drawPrefix(t, v6, "src")
				if r.Src.Bits() == 0 {
					r.Src = netip.Prefix{}
				}
			}
			routes = append(routes, r)
		}
		l := new(LPM).With(routes, nil)
		hops := []Hop{{Port: 1}, {Port: 2}}[:rapid.IntRange(1, 2).Draw(t, "hops")]
		var left, gone []Route
		for _, r := range routes {
			if r.Origin == OriginLearned && slices.Contains(hops, r.Hop()) {
				gone = append(gone, r)
			} else {
				left = append(left, r)
			}
		}
		want := new(LPM).With(left, nil)
		sweep := rapid.IntRange(0, len(gone)).Draw(t, "swept")
		first := l.withdraw(hops, nil, false)
		second := first.withdraw(hops, gone[:sweep], false)
		last := second.withdraw(hops, gone[sweep:], true)
		for step, got := range []*LPM{first, second, last} {
			sameTables(t, v6, got, want)
			for _, r := range gone {
				if got.Has(r) {
					t.Fatalf("step %d: has %v", step, r)
				}
			}
		}
		if last.Len() != want.Len() || last.gone != nil {
			t.Fatalf("%d routes are left, want %d", last.Len(), want.Len())
		}
		sameTables(t, v6, last.With(gone, nil), l)
		sameTables(t, v6, l, new(LPM).With(routes, nil)) // the first one is what it was
	})
}

// sameTables compares what two tables say of all addresses that are drawn from.
func sameTables(t *rapid.T, v6 bool, got, want *LPM) {
	if d := cmp.Diff(slices.Collect(want.All()), slices.Collect(got.All()), cmpRoutes...); d != "" {
		t.Fatalf("all routes: %s", d)
	}
	src := flow.AddrOf(narrow(v6, rapid.Byte().Draw(t, "from")))
	for x := range 256 {
		dst := flow.AddrOf(narrow(v6, uint8(x)))
		g, w := got.Lookup(&dst, &src, v6), want.Lookup(&dst, &src, v6)
		if d := cmp.Diff(slices.Clone(w.Routes), slices.Clone(g.Routes), cmpRoutes...); d != "" || g.Hop != w.Hop || g.DstBits < w.DstBits || g.SrcBits < w.SrcBits {
			t.Fatalf("%v: %+v, want %+v: %s", narrow(v6, uint8(x)), g, w, d)
		}
		if d := cmp.Diff(eachOf(want, &dst, &src, v6), eachOf(got, &dst, &src, v6), cmpRoutes...); d != "" {
			t.Fatalf("%v: %s", narrow(v6, uint8(x)), d)
		}
	}
}

func eachOf(l *LPM, dst, src *flow.Addr, v6 bool) (all [][]Route) {
	l.Each(dst, src, v6, func(routes []Route) bool {
		all = append(all, slices.Clone(routes))
		return true
	})
	return all
}

// TestWithdrawal: hops that are withdrawn change all destinations of their family, once, and the configuration goes on meanwhile.
func TestWithdrawal(t *testing.T) {
	objects, err := Decode("net.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	AssignIDs(objects, 0)
	s, _ := new(Snapshot).With(Changes{Put: objects})
	const r = DeviceID(2)
	before := slices.Collect(s.Router(r).Routes.All())
	hops := []Hop{{Via: netip.MustParseAddr("10.0.0.9"), Port: 5}, {Via: netip.MustParseAddr("2001:db8::9"), Port: 5}}
	var learned []LearnedRoute
	var routes []Route
	for i := range byte(10) {
		for k, p := range []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{20, i}), 16), netip.PrefixFrom(netip.AddrFrom16([16]byte{0x2a, i}), 16)} {
			routes = append(routes, Route{Dst: p, Via: hops[k].Via, Port: 5, Origin: OriginLearned, Weight: 1})
			learned = append(learned, LearnedRoute{Router: r, Route: routes[len(routes)-1]})
		}
	}
	s, _ = s.With(Changes{Routes: learned})
	all := slices.Collect(s.Router(r).Routes.All())
	s, deps := s.With(Changes{Withdrawn: []Withdrawal{{Router: r, Hops: hops}, {Router: 99, Hops: hops}}})
	if len(deps) != 2 || deps[0] != RouteDep(r, new(flow.Addr), false, 0) || deps[1] != RouteDep(r, new(flow.Addr), true, 0) {
		t.Errorf("deps %v", deps)
	}
	s, _ = s.With(Changes{Put: objects[:2]})
	if got := slices.Collect(s.Router(r).Routes.All()); !slices.Equal(got, before) {
		t.Errorf("withdrawn, and there are %v, want %v", got, before)
	}
	for _, w := range []Withdrawal{{Router: r, Hops: hops, Swept: routes[:7]}, {Router: r, Hops: hops, Swept: routes[7:], Done: true}} {
		if s, deps = s.With(Changes{Withdrawn: []Withdrawal{w}}); len(deps) > 0 {
			t.Errorf("what is swept changed %v", deps)
		}
	}
	if n := s.Router(r).Routes.Len(); n != len(before) {
		t.Errorf("swept, and there are %d routes, want %d", n, len(before))
	}
	if s, _ = s.With(Changes{Routes: learned}); !slices.Equal(slices.Collect(s.Router(r).Routes.All()), all) {
		t.Error("the routes do not come back")
	}
}
