package sim

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
)

// stages are additions to a walk from a1 over the tenant's router to a host on its uplink, each one device or stage.
func stages() []stage {
	chain := func(name string, rules int, last string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "\n---\n{apiVersion: weft/v1, kind: Chain, metadata: {name: %s, tenant: acme}, spec: {rules: [", name)
		for i := range rules {
			fmt.Fprintf(&b, "{match: {protocols: [tcp], dstPorts: [%d], src: [10.9.%d.0/24, 'fd99:%x::/32']}, action: drop}, ", 3000+i, i%256, i)
		}
		return b.String() + last + "]}}\n"
	}
	onRouter := func(filters string) func(string) string {
		return func(s string) string {
			return strings.Replace(s, "metadata: {name: edge, tenant: acme}\nspec:\n", "metadata: {name: edge, tenant: acme}\nspec:\n  filters: {"+filters+"}\n", 1)
		}
	}
	same := func(s string) string { return s }
	return []stage{
		{"base", same, false},
		{"filter", func(s string) string { return onRouter("ingress: rules")(s) + chain("rules", 20, "{action: accept}") }, false},
		{"states", func(s string) string {
			return onRouter("ingress: rules")(s) + chain("rules", 0, "{match: {states: [established, related]}, action: accept}")
		}, true},
		{"nat", func(s string) string {
			return onRouter("egress: rules")(s) + chain("rules", 0, "{action: snat, nat: {addresses: [192.0.2.81, '2001:db8:64::81']}}")
		}, true},
	}
}

type stage struct {
	name    string
	network func(string) string
	tracks  bool
}

// staged is a lab with a stage, and its packet.
type staged struct {
	*lab
	f *packet.Frame
}

func newStaged(b *testing.B, s stage, v6 bool) *staged {
	l := newLab(b, s.network(strings.ReplaceAll(twoTiers, "mtu: 1300", "mtu: 1400")))
	withUplink(l)
	x := five{"10.1.0.11", "203.0.113.9", 4000, 53}
	if v6 {
		x = five{"2001:db8:1::11", "2001:db8:113::9", 4000, 53}
	}
	g := &staged{l, parse(b, x.udp(mac("0a:01"), mac("ee:01")))}
	conns := table{}
	l.sim.Conns = conns
	g.run()
	if s.tracks {
		conns.add(l.res.Track.New)
		g.run()
	}
	if o := l.res.Outcomes; len(o) != 1 || o[0].Dest != l.port("uplink").Dest() || !l.res.Installable || l.res.Track.Used != s.tracks {
		b.Fatalf("%s: %+v, %s", s.name, o, l.res.NotInstallable)
	}
	return g
}

func (g *staged) run() { g.sim.Simulate(g.snap, g.f, g.port("a1"), 0, &g.res) }

// BenchmarkDevices reports device_ns_max and device_allocs: what any one stage adds to a walk, in processor time of the median of many passes, and allocates.
func BenchmarkDevices(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const walks = 2000
	var labs [2][]*staged
	allocs := 0.0
	for fam := range labs {
		for _, s := range stages() {
			g := newStaged(b, s, fam == 1)
			in := g.port("a1")
			allocs = max(allocs, testing.AllocsPerRun(100, func() { g.sim.Simulate(g.snap, g.f, in, 0, &g.res) }))
			labs[fam] = append(labs[fam], g)
		}
	}
	times := map[*staged][]time.Duration{}
	for b.Loop() {
		for _, all := range labs {
			for _, g := range all {
				in := g.port("a1")
				begin := cpuTime(b)
				for range walks {
					g.sim.Simulate(g.snap, g.f, in, 0, &g.res)
				}
				times[g] = append(times[g], cpuTime(b)-begin)
			}
		}
	}
	median := func(g *staged) float64 {
		slices.Sort(times[g])
		return float64(times[g][len(times[g])/2]) / walks
	}
	worst := 0.0
	for fam, name := range []string{"v4", "v6"} {
		base := median(labs[fam][0])
		for i, s := range stages()[1:] {
			added := median(labs[fam][i+1]) - base
			worst = max(worst, added)
			b.ReportMetric(added, s.name+"_"+name+"_ns")
		}
	}
	b.ReportMetric(worst, "device_ns_max:ns")
	b.ReportMetric(allocs, "device_allocs:allocs")
	b.ReportMetric(0, "ns/op")
}
