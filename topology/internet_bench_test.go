package topology

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/testbed/internet"
)

// BenchmarkRouteLookup reports route_lookup: what a lookup takes in a router's table with all routes of the Internet, of destinations all over it, in turn: the median of rounds through 16k of them; of IPv4, with _v6 of IPv6.
func BenchmarkRouteLookup(b *testing.B) {
	prefixes, err := internet.Prefixes(1)
	if err != nil {
		b.Fatal(err)
	}
	families := map[bool][]flow.Addr{}
	routes := make([]Route, 0, len(prefixes))
	rng := rand.New(rand.NewPCG(1, 2))
	for i, p := range prefixes {
		v6 := p.Addr().Is6()
		via := netip.MustParseAddr("192.0.2.9")
		if v6 {
			via = netip.MustParseAddr("2001:db8::9")
		}
		routes = append(routes, Route{Dst: p, Via: via, Port: 7, Origin: OriginLearned, Weight: 1, Metric: uint64(i % 8)})
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
		name := map[bool]string{false: "route_lookup", true: "route_lookup_v6"}[v6]
		b.Run(fam, func(b *testing.B) {
			b.ReportAllocs()
			missed := 0
			var rounds []time.Duration // of a lookup of each
			for b.Loop() {
				for range 99 {
					began := time.Now()
					for i := range addrs {
						if m := l.Lookup(&addrs[i], &addrs[0], v6); len(m.Routes) == 0 {
							missed++
						}
					}
					rounds = append(rounds, time.Since(began))
				}
			}
			if missed > 0 {
				b.Errorf("%d destinations have no route", missed)
			}
			slices.Sort(rounds)
			b.ReportMetric(float64(rounds[len(rounds)/2].Nanoseconds())/float64(len(addrs)), name+":ns")
		})
	}
}
