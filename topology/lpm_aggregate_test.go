package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weft-sdn/weft/flow"
)

// drawGateway draws a route by one of few gateways, so that prefixes often lead the same ways.
func drawGateway(t *rapid.T, v6, sourced bool) Route {
	port := rapid.IntRange(1, 3).Draw(t, "port")
	r := Route{Dst: drawPrefix(t, v6, "dst"), Port: flow.VPortID(port), Origin: OriginLearned, Weight: 1, Metric: rapid.Uint64Range(0, 1).Draw(t, "metric"), Via: netip.AddrFrom4([4]byte{192, 0, 2, byte(port)})}
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		r.Kind, r.Port, r.Via, r.Origin, r.Metric = RouteBlackhole, 0, netip.Addr{}, OriginStatic, 0
	case 1:
		r.Via, r.Origin, r.Metric = netip.Addr{}, OriginConnected, 0
	case 2:
		r.Origin, r.Metric, r.Weight = OriginStatic, 0, uint8(rapid.IntRange(1, 2).Draw(t, "weight"))
	}
	if sourced && rapid.IntRange(0, 5).Draw(t, "has src") == 0 && r.Origin != OriginLearned {
		if r.Src = drawPrefix(t, v6, "src"); r.Src.Bits() == 0 {
			r.Src = netip.Prefix{}
		}
	}
	return r
}

// forwarded is where a packet may go while some ports are down, as the simulation chooses; and what of the destination decided.
func forwarded(l *LPM, dst, src *flow.Addr, v6 bool, down map[flow.VPortID]bool) (ways []string, m Match) {
	m = l.Lookup(dst, src, v6)
	usable := func(routes []Route) bool {
		for i := range routes {
			if r := &routes[i]; r.Kind != RoutePort || !down[r.Port] {
				way := fmt.Sprint(r.Hop(), r.Weight)
				if !r.Via.IsValid() { // the broadcast address of its prefix is another's
					way += r.Dst.String()
				}
				ways = append(ways, way)
			}
		}
		return len(ways) > 0
	}
	if len(m.Routes) > 0 && !usable(m.Routes) {
		l.Each(dst, src, v6, func(routes []Route) bool { return !usable(routes) })
	}
	return ways, m
}

// TestAggregated: whatever routes come and go, in turn and many at once, and whichever hops and links are lost, an aggregated table forwards each packet as the table of all routes does; what decided is told by the same
// bits or fewer, all addresses that share them go the same ways, and what it leaves out follows from the routes alone, not from how they came.
func TestAggregated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "v6")
		sourced := rapid.Bool().Draw(t, "sourced")
		plain, own := new(LPM), new(LPM).Aggregated()
		var have []Route
		withdrawn := map[Hop]bool{}
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			var add, del []Route
			for range rapid.IntRange(0, 6).Draw(t, "add") {
				if r := drawGateway(t, v6, sourced); !(r.Origin == OriginLearned && withdrawn[r.Hop()]) {
					add = append(add, r)
				}
			}
			for range rapid.IntRange(0, 3).Draw(t, "del") {
				if len(have) > 0 {
					del = append(del, have[rapid.IntRange(0, len(have)-1).Draw(t, "which")])
				}
			}
			before := own.Len()
			plain, own = plain.With(add, del), own.With(add, del)
			have = slices.Collect(plain.All())
			switch rapid.IntRange(0, 5).Draw(t, "lost") {
			case 0: // a session is lost: its hop goes at once, of its routes some
				hop := Route{Port: 1, Via: netip.AddrFrom4([4]byte{192, 0, 2, 1})}.hopped()
				var swept []Route
				for _, r := range have {
					if r.Origin == OriginLearned && r.Hop() == hop && rapid.Bool().Draw(t, "swept") {
						swept = append(swept, r)
					}
				}
				withdrawn[hop] = true
				plain, own = plain.withdraw([]Hop{hop}, swept, false), own.withdraw([]Hop{hop}, swept, false)
			case 1: // what is left is swept
				for hop := range withdrawn {
					var left []Route
					plain.Whole().root(v6).each(func(g *routeGroup) bool {
						for _, r := range g.all {
							if r.Origin == OriginLearned && r.Hop() == hop {
								left = append(left, r)
							}
						}
						return true
					})
					plain, own = plain.withdraw([]Hop{hop}, left, true), own.withdraw([]Hop{hop}, left, true)
					delete(withdrawn, hop)
				}
			}
			have = slices.Collect(plain.All())
			if own.Len() != plain.Len() || !slices.Equal(slices.Collect(own.All()), have) {
				t.Fatalf("%d routes %v, before %d, want %v", own.Len(), slices.Collect(own.All()), before, have)
			}
			compareTables(t, plain, own, v6)
			if len(withdrawn) == 0 {
				if fresh := plain.Aggregated(); fresh.prefixes(v6) != own.prefixes(v6) {
					t.Fatalf("left are %s, made anew %s", own.prefixes(v6), fresh.prefixes(v6))
				}
			}
		}
		if own.Whole().Aggregated().Whole() != own.Whole() {
			t.Fatal("the whole is not kept")
		}
	})
}

// hopped is Hop of a value.
func (r Route) hopped() Hop { return r.Hop() }

// prefixes names what is in a table.
func (l *LPM) prefixes(v6 bool) (s string) {
	l.root(v6).eachEntry(func(en *lpmEntry) bool {
		s += en.dst().String() + " "
		return true
	})
	return s
}

func compareTables(t *rapid.T, plain, own *LPM, v6 bool) {
	sources := []flow.Addr{flow.AddrOf(narrow(v6, rapid.Byte().Draw(t, "from"))), flow.AddrOf(narrow(v6, rapid.Byte().Draw(t, "from too")))}
	down := map[flow.VPortID]bool{}
	for port := range flow.VPortID(4) {
		down[port] = rapid.IntRange(0, 2).Draw(t, "down") == 0
	}
	for _, src := range sources {
		for _, down := range []map[flow.VPortID]bool{nil, down} {
			byBits := map[netip.Prefix]string{}
			for x := range 256 {
				at := narrow(v6, uint8(x))
				dst := flow.AddrOf(at)
				want, p := forwarded(plain, &dst, &src, v6, down)
				got, m := forwarded(own, &dst, &src, v6, down)
				if !slices.Equal(got, want) {
					t.Fatalf("%v from %v, down %v: %v, want %v, of\n%v\nleft\n%v", at, src, down, got, want, slices.Collect(plain.All()), own.prefixes(v6))
				}
				if m.DstBits > p.DstBits {
					t.Fatalf("%v: %d bits decided, of all routes %d", at, m.DstBits, p.DstBits)
				}
				shared, _ := at.Prefix(int(m.DstBits))
				if text := fmt.Sprint(got); byBits[shared] == "" {
					byBits[shared] = text
				} else if byBits[shared] != text {
					t.Fatalf("%v goes %s, others of %v %s", at, text, shared, byBits[shared])
				}
			}
		}
	}
}

// TestAggregateRoutes: a router's object turns it on and off; static and learned routes are left out alike, come back when what is above them goes elsewhere, and what depends on a route is told as ever.
func TestAggregateRoutes(t *testing.T) {
	s, err := Load("network.yaml", []byte(`
{apiVersion: weft/v1, kind: Router, metadata: {name: r}, spec: {aggregateRoutes: true, routes: [{dst: 10.0.0.0/8, via: 192.0.2.9, port: a}, {dst: 10.1.0.0/16, via: 192.0.2.9, port: a}, {dst: "2001:db8::/32", via: "fd00::9", port: a}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a}, spec: {device: router/r, addresses: [192.0.2.1/24, "fd00::1/64"]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := s.ID(Ref{KindRouter, DefaultTenant, "r"})
	port, _ := s.ID(Ref{KindVPort, DefaultTenant, "a"})
	left := func(s *Snapshot) (n int) {
		l := s.Router(DeviceID(id)).Routes
		for _, v6 := range []bool{false, true} {
			l.root(v6).eachEntry(func(*lpmEntry) bool {
				n++
				return true
			})
		}
		return n
	}
	learned := func(dst, via string, gone bool) Changes {
		r := Route{Dst: netip.MustParsePrefix(dst), Via: netip.MustParseAddr(via), Port: flow.VPortID(port), Origin: OriginLearned, Weight: 1}
		return Changes{Routes: []LearnedRoute{{DeviceID(id), r, gone}}}
	}
	object := func(aggregate bool, via string) Changes {
		return Changes{Put: []*Object{{APIVersion: APIVersion, Kind: KindRouter, Metadata: Metadata{Name: "r"}, Status: Status{ID: id}, Spec: &RouterSpec{AggregateRoutes: aggregate, Routes: []RouteSpec{
			{Dst: netip.MustParsePrefix("10.0.0.0/8"), Via: netip.MustParseAddr(via), Port: "a"}, {Dst: netip.MustParsePrefix("10.1.0.0/16"), Via: netip.MustParseAddr("192.0.2.9"), Port: "a"},
			{Dst: netip.MustParsePrefix("2001:db8::/32"), Via: netip.MustParseAddr("fd00::9"), Port: "a"},
		}}}}}
	}
	routes := s.Router(DeviceID(id)).Routes.Len()
	whole := left(s) + 1 // 10.1.0.0/16 is left out
	step := func(what string, c Changes, more, out int, dep string) {
		t.Helper()
		next, deps := s.With(c)
		s = next
		if n := s.Router(DeviceID(id)).Routes.Len(); n != routes+more {
			t.Errorf("%s: %d routes, want %d more than %d", what, n, more, routes)
		}
		if n := left(s); n != whole+more-out {
			t.Errorf("%s: %d prefixes, want %d, without %d", what, n, whole+more-out, out)
		}
		p := netip.MustParsePrefix(dep)
		a := flow.AddrOf(p.Addr())
		if !slices.ContainsFunc(deps, func(d Dep) bool { return d.Affects(RouteDep(DeviceID(id), &a, p.Addr().Is6(), uint8(p.Bits()))) }) {
			t.Errorf("%s: what depends on %s is not told: %v", what, dep, deps)
		}
	}
	step("learned, the same way", learned("10.2.0.0/16", "192.0.2.9", false), 1, 2, "10.2.0.0/16")
	step("learned, the same way, IPv6", learned("2001:db8:1::/48", "fd00::9", false), 2, 3, "2001:db8:1::/48")
	step("learned, another way", learned("10.3.0.0/16", "192.0.2.8", false), 3, 3, "10.3.0.0/16")
	step("what is above goes elsewhere", object(true, "192.0.2.8"), 3, 2, "10.2.0.0/16")
	step("off", Changes{Put: object(false, "192.0.2.9").Put}, 3, 0, "10.2.0.0/16")
	step("on", Changes{Put: object(true, "192.0.2.7").Put}, 3, 1, "10.2.0.0/16")
	step("gone", learned("2001:db8:1::/48", "fd00::9", true), 2, 0, "2001:db8:1::/48")
}
