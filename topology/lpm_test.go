package topology

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/gaissmai/bart"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// narrow draws addresses from few bits, so that small tables have much nesting: v4 10.0.0.0/24, v6 2001:db8::/120.
func narrow(v6 bool, x uint8) netip.Addr {
	if v6 {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[15] = x
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, x})
}

func drawPrefix(t *rapid.T, v6 bool, label string) netip.Prefix {
	base := 24
	if v6 {
		base = 120
	}
	n := rapid.IntRange(0, 10).Draw(t, label+" bits") // 0–1: short ones
	size := base + n - 2
	if n < 2 {
		size = n * 5
	}
	p, err := narrow(v6, rapid.Byte().Draw(t, label)).Prefix(size)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// bruteForce is what Lookup means: of the routes that match both, longest destination, then longest source, then best origin, then least metric.
func bruteForce(routes []Route, dst, src netip.Addr) []Route {
	best, origin, metric := [2]int{-1, -1}, OriginBuiltin, uint64(0)
	var found []Route
	for _, r := range routes {
		s := 0
		if r.Src.IsValid() {
			if s = r.Src.Bits(); !r.Src.Contains(src) {
				continue
			}
		}
		if !r.Dst.Contains(dst) {
			continue
		}
		k := [2]int{r.Dst.Bits(), s}
		switch c := slices.Compare(k[:], best[:]); {
		case c > 0 || c == 0 && r.Origin < origin || c == 0 && r.Origin == origin && r.Metric < metric:
			best, origin, metric, found = k, r.Origin, r.Metric, []Route{r}
		case c == 0 && r.Origin == origin && r.Metric == metric:
			found = append(found, r)
		}
	}
	slices.SortFunc(found, compareRoutes)
	return found
}

func samePrefix(a, b netip.Addr, n uint8) bool {
	p, _ := a.Prefix(int(n))
	return p.Contains(b)
}

// TestLPMAgainstBruteForce: route, soundness of the deciding bits, and, without source prefixes, that they are the least.
func TestLPMAgainstBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "v6")
		sourced := rapid.Bool().Draw(t, "sourced")
		var routes []Route
		for i := range rapid.IntRange(0, 14).Draw(t, "routes") {
			r := Route{Dst: drawPrefix(t, v6, "dst"), Port: flow.VPortID(i + 1), Origin: RouteOrigin(rapid.IntRange(0, 2).Draw(t, "origin")), Weight: 1, Metric: rapid.Uint64Range(0, 2).Draw(t, "metric")}
			if sourced && rapid.Bool().Draw(t, "has src") {
				if r.Src = drawPrefix(t, v6, "src"); r.Src.Bits() == 0 {
					r.Src = netip.Prefix{}
				}
			}
			routes = append(routes, r)
		}
		// By way of a detour: some are there first and go again.
		gone := rapid.IntRange(0, len(routes)).Draw(t, "gone")
		l := new(LPM).With(routes[:gone], nil)
		l = l.With(routes[gone:], routes[:gone/2])
		routes = routes[gone/2:]
		if l.Len() != len(routes) {
			t.Fatalf("%d routes, want %d", l.Len(), len(routes))
		}
		for _, r := range routes {
			other := r
			other.Metric += 3
			if !l.Has(r) || l.Has(other) {
				t.Fatalf("has %v: %v; with another metric: %v", r, l.Has(r), l.Has(other))
			}
		}
		src := narrow(v6, rapid.Byte().Draw(t, "from"))
		dst := narrow(v6, rapid.Byte().Draw(t, "to"))
		fs, fd := flow.AddrOf(src), flow.AddrOf(dst)
		m := l.Lookup(&fd, &fs, v6)
		want := bruteForce(routes, dst, src)
		if d := cmp.Diff(want, slices.Clone(m.Routes), cmpRoutes...); d != "" {
			t.Fatalf("%v from %v: %s", dst, src, d)
		}
		least := uint8(0) // fewest bits of dst that decide, by trial of all 256 neighbours
		for x := range 256 {
			d, s := narrow(v6, uint8(x)), narrow(v6, uint8(x))
			if samePrefix(d, dst, m.DstBits) && !sameRoutes(bruteForce(routes, d, src), want) {
				t.Fatalf("%v has other routes than %v, but shares %d bits", d, dst, m.DstBits)
			}
			if samePrefix(s, src, m.SrcBits) && !sameRoutes(bruteForce(routes, dst, s), want) {
				t.Fatalf("source %v gives other routes than %v, but shares %d bits", s, src, m.SrcBits)
			}
			if !sourced && !sameRoutes(bruteForce(routes, d, src), want) {
				fx := flow.AddrOf(d)
				ah, al := lpmKey(&fx, v6)
				bh, bl := lpmKey(&fd, v6)
				least = max(least, commonBits(ah, al, bh, bl)+1)
			}
		}
		if sourced {
			return
		}
		if m.SrcBits != 0 {
			t.Fatalf("read %d bits of the source", m.SrcBits)
		}
		// Addresses outside the narrow range differ in an early bit; bits below the route's own length are always needed.
		if len(want) > 0 {
			least = max(least, uint8(want[0].Dst.Bits()))
		}
		base := uint8(24)
		if v6 {
			base = 120
		}
		if m.DstBits != least && (m.DstBits > base || least > base) {
			t.Fatalf("%v: %d bits decided, %d would do", dst, m.DstBits, least)
		}
	})
}

var cmpRoutes = []cmp.Option{cmp.Comparer(func(a, b Route) bool { return a == b }), cmp.Transformer("empty", func(r []Route) []Route {
	if r == nil {
		return []Route{}
	}
	return r
})}

func sameRoutes(a, b []Route) bool { return slices.Equal(a, b) }

func randomRoutes(n int, rng *rand.Rand) []Route {
	seen := map[netip.Prefix]bool{}
	routes := make([]Route, 0, n)
	for len(routes) < n {
		size := 24
		if x := rng.IntN(100); x < 45 {
			size = 12 + rng.IntN(12)
		}
		p, _ := netip.AddrFrom4([4]byte{byte(1 + rng.IntN(222)), byte(rng.Uint32()), byte(rng.Uint32()), 0}).Prefix(size)
		if !seen[p] {
			seen[p] = true
			routes = append(routes, Route{Dst: p, Port: flow.VPortID(len(routes) + 1), Origin: OriginLearned, Weight: 1})
		}
	}
	return routes
}

// TestLPMAgainstBart compares big tables with an independent implementation, while routes come and go.
func TestLPMAgainstBart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	routes := randomRoutes(30_000, rng)
	ref := new(bart.Table[flow.VPortID])
	l := new(LPM)
	for step := 0; step < 3; step++ {
		part := routes[step*10_000 : (step+1)*10_000]
		var del []Route
		if step > 0 {
			del = routes[(step-1)*10_000 : (step-1)*10_000+5_000]
		}
		before := l
		l = l.With(part, del)
		for _, r := range part {
			ref.Insert(r.Dst, r.Port)
		}
		for _, r := range del {
			ref.Delete(r.Dst)
		}
		if l.Len() != ref.Size() {
			t.Fatalf("%d routes, want %d", l.Len(), ref.Size())
		}
		if step > 0 && before.Len() == l.Len() {
			t.Fatal("edit changed the table before it")
		}
		for range 20_000 {
			r := routes[rng.IntN(len(routes))]
			a := r.Dst.Addr().As4()
			a[3] = byte(rng.Uint32())
			a[2] ^= byte(rng.IntN(4))
			dst := netip.AddrFrom4(a)
			fd := flow.AddrOf(dst)
			m := l.Lookup(&fd, &fd, false)
			port, ok := ref.Lookup(dst)
			if ok != (len(m.Routes) == 1) || ok && m.Routes[0].Port != port {
				t.Fatalf("%v: %v, want %v %v", dst, m.Routes, port, ok)
			}
		}
	}
}

// nested draws prefixes of all lengths that lie in one another and side by side, with bits from few places of the address.
func nested(rng *rand.Rand, v6 bool) netip.Prefix {
	size := 4
	if v6 {
		size = 16
	}
	b := make([]byte, size)
	for range rng.IntN(4) {
		b[rng.IntN(size)] = 1 << rng.IntN(8)
	}
	a, _ := netip.AddrFromSlice(b)
	p, _ := a.Prefix(rng.IntN(size*8 + 1))
	return p
}

// linear is what Lookup gives, by looking at all routes: those in force, and the fewest bits of dst and src that decide if only destination prefixes count.
func linear(routes map[Route]bool, dst, src netip.Addr) (want []Route, bits uint8) {
	all := slices.Collect(maps.Keys(routes))
	want = bruteForce(all, dst, src)
	d := flow.AddrOf(dst)
	dh, dl := lpmKey(&d, dst.Is6())
	for _, r := range all {
		if r.Dst.Addr().Is6() != dst.Is6() {
			continue
		}
		ph, pl, n, _ := prefixKey(r.Dst)
		if r.Dst.Contains(dst) {
			bits = max(bits, n)
		} else {
			bits = max(bits, commonBits(dh, dl, ph, pl)+1)
		}
	}
	return want, bits
}

// TestLPMEdits: through many edits, of one route and of many, a table is what a linear search says, and the one before it stays as it was.
func TestLPMEdits(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	lookups, sourced, whole := 0, 0, 0
	for range 30 {
		l, in := new(LPM), map[Route]bool{}
		for step := range 40 {
			var add, del []Route
			next := maps.Clone(in)
			for range 1 + rng.IntN(30)/(1+step%5*6) {
				r := Route{Dst: nested(rng, rng.IntN(2) == 0), Port: flow.VPortID(1 + rng.IntN(3)), Weight: 1}
				if rng.IntN(4) == 0 {
					if r.Src = nested(rng, r.Dst.Addr().Is6()); r.Src.Bits() == 0 {
						r.Src = netip.Prefix{}
					}
				}
				add, next[r] = append(add, r), true
			}
			for r := range in {
				if rng.IntN(4) == 0 || step%13 == 12 {
					del = append(del, r)
					if !slices.Contains(add, r) {
						delete(next, r)
					}
				}
			}
			count(&whole, len(next) == len(add))
			before := *l
			l = l.With(add, del)
			if l.Len() != len(next) {
				t.Fatalf("step %d: %d routes, want %d", step, l.Len(), len(next))
			}
			for _, v := range []struct {
				l  *LPM
				in map[Route]bool
			}{{&before, in}, {l, next}} {
				if n := len(slices.Collect(v.l.All())); n != len(v.in) {
					t.Fatalf("step %d: %d routes in all, want %d", step, n, len(v.in))
				}
				for range 30 {
					v6 := rng.IntN(2) == 0
					dst, src := nested(rng, v6).Addr(), nested(rng, v6).Addr()
					d, s := flow.AddrOf(dst), flow.AddrOf(src)
					m := v.l.Lookup(&d, &s, v6)
					want, bits := linear(v.in, dst, src)
					if !sameRoutes(want, m.Routes) || m.DstBits != bits || len(want) > 0 && m.Hop != want[0].Hop() {
						t.Fatalf("step %d: %v from %v: %v by %d bits, want %v by %d", step, dst, src, m.Routes, m.DstBits, want, bits)
					}
					lookups++
					count(&sourced, m.SrcBits > 0)
				}
			}
			in = next
		}
	}
	t.Logf("%d lookups, %d by source, %d tables replaced whole", lookups, sourced, whole)
	if sourced < lookups/20 || whole < 30 {
		t.Errorf("of %d lookups %d read the source; %d tables were replaced whole", lookups, sourced, whole)
	}
}

func count(n *int, b bool) {
	if b {
		*n++
	}
}

// TestLPMOrder: All gives routes by destination, the shorter prefix first.
func TestLPMOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	seen := map[netip.Prefix]bool{}
	for range 2_000 {
		seen[nested(rng, rng.IntN(2) == 0)] = true
	}
	var routes []Route
	for p := range seen {
		routes = append(routes, Route{Dst: p, Port: 1, Weight: 1})
	}
	got := slices.Collect(new(LPM).With(routes, nil).All())
	slices.SortFunc(routes, compareStatic)
	if !slices.Equal(got, routes) {
		t.Errorf("%d routes are not in order", len(got))
	}
}

// randomRoutes6 is randomRoutes for IPv6: allocations of /28 to /48 in a few regions.
func randomRoutes6(n int, rng *rand.Rand) []Route {
	seen := map[netip.Prefix]bool{}
	routes := make([]Route, 0, n)
	for len(routes) < n {
		size := 48
		if x := rng.IntN(100); x < 50 {
			size = 28 + rng.IntN(20)
		}
		p, _ := netip.AddrFrom16([16]byte{0x20 | byte(rng.IntN(16)), byte(rng.IntN(32)), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())}).Prefix(size)
		if !seen[p] {
			seen[p] = true
			routes = append(routes, Route{Dst: p, Port: flow.VPortID(len(routes) + 1), Origin: OriginLearned, Weight: 1})
		}
	}
	return routes
}

// BenchmarkLPM looks up 16k destinations in turn, beside bart, which gives the route but not the bits that decided.
func BenchmarkLPM(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		for _, fam := range []string{"v4", "v6"} {
			rng := rand.New(rand.NewPCG(1, 2))
			routes := randomRoutes(n, rng)
			if fam == "v6" {
				routes = randomRoutes6(n, rng)
			}
			l := new(LPM).With(routes, nil)
			ref := new(bart.Table[flow.VPortID])
			for _, r := range routes {
				ref.Insert(r.Dst, r.Port)
			}
			addrs := make([]flow.Addr, 1<<14)
			ips := make([]netip.Addr, len(addrs))
			for i := range addrs {
				addrs[i] = flow.AddrOf(routes[rng.IntN(n)].Dst.Addr())
				addrs[i][15] = byte(rng.Uint32())
				ips[i] = addrs[i].Netip(map[string]uint16{"v4": packet.EtherTypeIPv4, "v6": packet.EtherTypeIPv6}[fam])
			}
			name := fmt.Sprintf("/%s/%dkRoutes", fam, n/1000)
			b.Run("Lookup"+name, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					l.Lookup(&addrs[i%len(addrs)], &addrs[0], fam == "v6")
				}
			})
			b.Run("LookupBart"+name, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					ref.Lookup(ips[i%len(ips)])
				}
			})
			b.Run("ReplaceOne"+name, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					r := routes[i%n]
					l.With([]Route{r}, []Route{r})
				}
			})
		}
	}
}

// TestReaches: whether there is a route to exactly a prefix, whatever others there are to what covers it, or is within it.
func TestReaches(t *testing.T) {
	var all []Route
	for _, p := range []string{"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.0/32", "10.0.0.128/25", "2001:db8::/32", "2001:db8::/128"} {
		all = append(all, Route{Dst: netip.MustParsePrefix(p), Port: 1, Origin: OriginStatic, Weight: 1})
	}
	all[2].Src = netip.MustParsePrefix("192.0.2.0/24")
	for _, l := range []*LPM{new(LPM).With(all, nil), new(LPM).Aggregated().With(all, nil).Whole()} {
		for _, r := range all {
			if l.Reaches(r.Dst) == r.Src.IsValid() {
				t.Errorf("a route to %s: %v", r.Dst, l.Reaches(r.Dst))
			}
		}
		for _, p := range []string{"10.0.0.0/16", "10.0.0.0/25", "11.0.0.0/8", "::/0", "2001:db8::/48", "2001:db8::1/128", "0.0.0.0/1"} {
			if l.Reaches(netip.MustParsePrefix(p)) {
				t.Errorf("a route to %s", p)
			}
		}
	}
	if new(LPM).Reaches(netip.MustParsePrefix("0.0.0.0/0")) {
		t.Error("an empty table has a route")
	}
}
