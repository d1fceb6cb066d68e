package topology

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/gaissmai/bart"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weft-sdn/weft/flow"
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

// bruteForce is what Lookup means: of the routes that match both, longest destination, then longest source, then best origin.
func bruteForce(routes []Route, dst, src netip.Addr) []Route {
	best, origin := [2]int{-1, -1}, OriginBuiltin
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
		case c > 0 || c == 0 && r.Origin < origin:
			best, origin, found = k, r.Origin, []Route{r}
		case c == 0 && r.Origin == origin:
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
			r := Route{Dst: drawPrefix(t, v6, "dst"), Port: flow.VPortID(i + 1), Origin: RouteOrigin(rapid.IntRange(0, 2).Draw(t, "origin")), Weight: 1}
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

// TestLPMIndex: with the index a lookup gives what it gives without, through small and big edits, short prefixes and source prefixes.
func TestLPMIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	pool := randomRoutes(indexMin*3, rng)
	for i := range 400 { // clusters and short ones
		a := [4]byte{60, byte(rng.IntN(4)), byte(rng.Uint32()), 0}
		p, _ := netip.AddrFrom4(a).Prefix(1 + rng.IntN(28))
		r := Route{Dst: p, Port: flow.VPortID(i + 1), Weight: 1}
		if rng.IntN(4) == 0 {
			r.Src = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(rng.IntN(2)) << 7}), 1)
		}
		pool = append(pool, r)
	}
	in := make([]bool, len(pool))
	l := new(LPM)
	withIndex := 0
	for step := range 120 {
		var add, del []Route
		n := 1 + rng.IntN(8)
		if step%40 == 0 {
			n = len(pool) // the table grows past the threshold, and falls below it in the end
		}
		for range n {
			i := rng.IntN(len(pool))
			if step == 80 {
				i = len(pool) - 1 - rng.IntN(500)
			}
			if in[i] = !in[i]; in[i] {
				add = append(add, pool[i])
			} else {
				l = l.With(nil, []Route{pool[i]})
			}
		}
		before := *l
		l = l.With(add, del)
		if l.index != nil {
			withIndex++
		}
		for _, v := range []*LPM{&before, l} {
			plain := *v
			plain.index = nil
			for range 400 {
				a := pool[rng.IntN(len(pool))].Dst.Addr().As4()
				a[rng.IntN(4)] ^= 1 << rng.IntN(8)
				dst, src := flow.AddrOf(netip.AddrFrom4(a)), flow.AddrOf(netip.AddrFrom4([4]byte{byte(rng.Uint32())}))
				x, y := v.Lookup(&dst, &src, false), plain.Lookup(&dst, &src, false)
				if !slices.Equal(x.Routes, y.Routes) || x.DstBits != y.DstBits || x.SrcBits != y.SrcBits {
					t.Fatalf("step %d %v: %+v, without index %+v", step, a, x, y)
				}
			}
		}
	}
	if withIndex < 30 {
		t.Errorf("index used in %d steps only", withIndex)
	}
}

func BenchmarkLPM(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		rng := rand.New(rand.NewPCG(1, 2))
		routes := randomRoutes(n, rng)
		l := new(LPM).With(routes, nil)
		ref := new(bart.Table[flow.VPortID])
		for _, r := range routes {
			ref.Insert(r.Dst, r.Port)
		}
		addrs := make([]flow.Addr, 1<<14)
		ips := make([]netip.Addr, len(addrs))
		for i := range addrs {
			a := routes[rng.IntN(n)].Dst.Addr().As4()
			a[3] = byte(rng.Uint32())
			ips[i] = netip.AddrFrom4(a)
			addrs[i] = flow.AddrOf(ips[i])
		}
		name := fmt.Sprintf("%dkRoutes", n/1000)
		b.Run("Lookup/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l.Lookup(&addrs[i%len(addrs)], &addrs[0], false)
			}
		})
		b.Run("LookupBart/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				ref.Lookup(ips[i%len(ips)])
			}
		})
		b.Run("ReplaceOne/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r := routes[i%n]
				l.With([]Route{r}, []Route{r})
			}
		})
	}
}
