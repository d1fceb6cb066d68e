package topology

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gaissmai/bart"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/testbed/internet"
)

// BenchmarkRouteLookup reports route_lookup: what a lookup takes in a router's table with all routes of the Internet, of 16k destinations all over it, in turn: the median of rounds; of IPv4, with _v6 of IPv6. With
// _warm: of 256 of them, which the processor's caches hold. With _vs_bart: how many times as long as in a table of bart, which does not tell what decided, in the same run.
func BenchmarkRouteLookup(b *testing.B) {
	prefixes, err := internet.Prefixes(1)
	if err != nil {
		b.Fatal(err)
	}
	families := map[bool][]flow.Addr{}
	routes := make([]Route, 0, len(prefixes))
	var peer bart.Table[Hop]
	rng := rand.New(rand.NewPCG(1, 2))
	for i, p := range prefixes {
		v6 := p.Addr().Is6()
		via := netip.MustParseAddr("192.0.2.9")
		if v6 {
			via = netip.MustParseAddr("2001:db8::9")
		}
		r := Route{Dst: p, Via: via, Port: 7, Origin: OriginLearned, Weight: 1, Metric: uint64(i % 8)}
		routes = append(routes, r)
		peer.Insert(p, r.Hop())
		a := flow.AddrOf(p.Addr())
		for bit := 128 - p.Addr().BitLen() + p.Bits(); bit < 128; bit++ {
			a[bit/8] |= byte(rng.Uint32()) & (1 << (7 - bit%8))
		}
		families[v6] = append(families[v6], a)
	}
	l := new(LPM).With(routes, nil)
	for _, fam := range []string{"v4", "v6"} {
		v6 := fam == "v6"
		addrs := families[v6]
		rng.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
		addrs = addrs[:1<<14]
		ips := make([]netip.Addr, len(addrs))
		for i, a := range addrs {
			ips[i] = addrOfKey(binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:]), true)
			if !v6 {
				ips[i] = netip.AddrFrom4([4]byte(a[12:]))
			}
		}
		name := map[bool]string{false: "route_lookup", true: "route_lookup_v6"}[v6]
		b.Run(fam, func(b *testing.B) {
			b.ReportAllocs()
			ours := func(n int) float64 {
				return lookupTime(b, n, func(i int) bool { m := l.Lookup(&addrs[i], &addrs[0], v6); return len(m.Routes) > 0 })
			}
			var cold, warm, theirs float64
			for b.Loop() {
				cold, warm = ours(len(addrs)), ours(256)
				theirs = lookupTime(b, len(addrs), func(i int) bool { _, ok := peer.Lookup(ips[i]); return ok })
			}
			b.ReportMetric(cold, name+":ns")
			b.ReportMetric(warm, name+"_warm:ns")
			b.ReportMetric(cold/theirs, name+"_vs_bart:times")
		})
	}
}

// lookupTime returns nanoseconds of a lookup: the median of rounds through n destinations.
func lookupTime(b *testing.B, n int, has func(i int) bool) float64 {
	var rounds []time.Duration
	for range 99 * (1 << 14) / n {
		began := time.Now()
		for i := range n {
			if !has(i) {
				b.Fatalf("destination %d has no route", i)
			}
		}
		rounds = append(rounds, time.Since(began))
	}
	slices.Sort(rounds)
	return float64(rounds[len(rounds)/2].Nanoseconds()) / float64(n)
}
