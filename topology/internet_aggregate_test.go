package topology

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/testbed/internet"
)

// BenchmarkAggregate reports, of a router's table with all routes of the Internet by some number of next hops, how many prefixes are left of it when routes are aggregated, how many bits of an address decide, what a lookup
// takes, and what a change does. Hops are given in two ways: at random to each prefix, which leaves the least to be aggregated; and by origin, as nearby prefixes are often of one network: prefixes of one /16 (IPv6: /32) have one hop, but for one in ten.
func BenchmarkAggregate(b *testing.B) {
	prefixes, err := internet.Prefixes(1)
	if err != nil {
		b.Fatal(err)
	}
	for _, hops := range []int{1, 2, 20} {
		for _, by := range []string{"random", "origin"} {
			if hops == 1 && by == "origin" {
				continue
			}
			b.Run(fmt.Sprintf("%d hops %s", hops, by), func(b *testing.B) {
				for b.Loop() {
					aggregate(b, prefixes, hops, by == "origin")
				}
			})
		}
	}
}

// aggregated is a table of routes, and an address that each of them has.
type aggregated struct {
	hops   int
	routes []Route
	addrs  []flow.Addr
	order  []int // of them, at random
}

// way is the route to a prefix by a hop.
func way(p netip.Prefix, hop int) Route {
	r := Route{Dst: p, Port: flow.VPortID(1 + hop), Origin: OriginLearned, Weight: 1, Via: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + hop)})}
	if p.Addr().Is6() {
		r.Via = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(1 + hop)})
	}
	return r
}

func newAggregated(prefixes []netip.Prefix, hops int, byOrigin bool) *aggregated {
	rng := rand.New(rand.NewPCG(1, 2))
	origins := map[netip.Prefix]int{}
	choose := func(p netip.Prefix) int {
		if !byOrigin || rng.IntN(10) == 0 {
			return rng.IntN(hops)
		}
		of, _ := p.Addr().Prefix(map[bool]int{true: 16, false: 32}[p.Addr().Is4()])
		hop, known := origins[of]
		if !known {
			hop = rng.IntN(hops)
			origins[of] = hop
		}
		return hop
	}
	t := &aggregated{hops: hops}
	for _, p := range prefixes {
		t.routes = append(t.routes, way(p, choose(p)))
		a := flow.AddrOf(p.Addr())
		for bit := 128 - p.Addr().BitLen() + p.Bits(); bit < 128; bit++ {
			a[bit/8] |= byte(rng.Uint32()) & (1 << (7 - bit%8))
		}
		t.addrs = append(t.addrs, a)
	}
	t.order = rng.Perm(len(t.addrs))
	return t
}

// lookup is how long one takes, in ns.
func (t *aggregated) lookup(l *LPM) float64 {
	var rounds []time.Duration
	for range 21 {
		began := time.Now()
		for _, i := range t.order[:1<<14] {
			l.Lookup(&t.addrs[i], &t.addrs[0], t.routes[i].Dst.Addr().Is6())
		}
		rounds = append(rounds, time.Since(began))
	}
	slices.Sort(rounds)
	return float64(rounds[len(rounds)/2].Nanoseconds()) / (1 << 14)
}

// bits is how many of an address decide.
func (t *aggregated) bits(l *LPM) float64 {
	n := 0
	for i := range t.addrs {
		n += int(l.Lookup(&t.addrs[i], &t.addrs[0], t.routes[i].Dst.Addr().Is6()).DstBits)
	}
	return float64(n) / float64(len(t.addrs))
}

// update is how long a change takes: a route comes by another hop, in batches of one.
func (t *aggregated) update(l *LPM) (each, worst time.Duration) {
	const n = 4096
	began := time.Now()
	for _, i := range t.order[:n] {
		one := time.Now()
		l = l.With([]Route{way(t.routes[i].Dst, (int(t.routes[i].Port)-1+1)%max(t.hops, 2))}, t.routes[i:i+1])
		worst = max(worst, time.Since(one))
	}
	return time.Since(began) / n, worst
}

// announced is how long a route takes in µs of a table that is announced, some hundred at a time.
func (t *aggregated) announced(l *LPM) float64 {
	began := time.Now()
	for some := range slices.Chunk(t.routes, 512) {
		l = l.With(some, nil)
	}
	return float64(time.Since(began).Nanoseconds()) / 1000 / float64(len(t.routes))
}

func aggregate(b *testing.B, prefixes []netip.Prefix, hops int, byOrigin bool) {
	t := newAggregated(prefixes, hops, byOrigin)
	plain := new(LPM).With(t.routes, nil)
	runtime.GC()
	before := heap()
	began := time.Now()
	own := plain.Aggregated()
	made := time.Since(began)
	runtime.GC()
	extra := int64(heap()) - int64(before)
	for _, i := range t.order[:1<<16] {
		if v6 := t.routes[i].Dst.Addr().Is6(); plain.Lookup(&t.addrs[i], &t.addrs[0], v6).Hop != own.Lookup(&t.addrs[i], &t.addrs[0], v6).Hop {
			b.Fatalf("address %v goes another way", t.addrs[i])
		}
	}
	b.ReportMetric(float64(len(t.routes)), "routes")
	b.ReportMetric(float64(own.routes), "left")
	b.ReportMetric(100*float64(own.routes)/float64(len(t.routes)), "left_%")
	b.ReportMetric(t.bits(plain), "bits")
	b.ReportMetric(t.bits(own), "bits_left")
	b.ReportMetric(t.lookup(plain), "lookup_ns")
	b.ReportMetric(t.lookup(own), "lookup_left_ns")
	each, _ := t.update(plain)
	b.ReportMetric(float64(each.Nanoseconds())/1000, "update_µs")
	each, worst := t.update(own)
	b.ReportMetric(float64(each.Nanoseconds())/1000, "update_left_µs")
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst_ms")
	b.ReportMetric(float64(made.Milliseconds()), "made_ms")
	b.ReportMetric(float64(extra)/float64(len(t.routes)), "B/route")
	b.ReportMetric(t.announced(new(LPM)), "announced_µs")
	b.ReportMetric(t.announced(new(LPM).Aggregated()), "announced_left_µs")
	began = time.Now()
	own = own.With([]Route{way(netip.MustParsePrefix("0.0.0.0/0"), 0)}, nil)
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "default_ms")
	b.ReportMetric(float64(own.routes), "left_with_default")
	b.ReportMetric(0, "ns/op")
	runtime.KeepAlive(plain)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
