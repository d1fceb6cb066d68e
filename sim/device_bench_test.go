package sim

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// routerChain is a number of routers in a row between two exterior ports, the last of them with an extra: several links to the outside, or policies.
func routerChain(b testing.TB, n int, extra string) *lab {
	var y strings.Builder
	port := func(name, rest string, args ...any) {
		fmt.Fprintf(&y, "---\n{apiVersion: weft/v1, kind: VPort, metadata: {name: %s, tenant: acme}, spec: {%s}}\n", name, fmt.Sprintf(rest, args...))
	}
	links := 1
	if extra == "spread" {
		links = 4
	}
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&y, "---\napiVersion: weft/v1\nkind: Router\nmetadata: {name: r%d, tenant: acme}\nspec:\n  routes:\n", i)
		if i < n {
			fmt.Fprintf(&y, "  - {dst: 0.0.0.0/0, via: 100.64.%d.2, port: down%d}\n  - {dst: \"::/0\", via: \"2001:db8:64:%d::2\", port: down%d}\n", i, i, i, i)
			port(fmt.Sprintf("down%d", i), "device: router/r%d, peer: up%d, addresses: [100.64.%d.1/24, \"2001:db8:64:%d::1/64\"]", i, i+1, i, i)
		}
		if i > 1 {
			port(fmt.Sprintf("up%d", i), "device: router/r%d, peer: down%d, addresses: [100.64.%d.2/24, \"2001:db8:64:%d::2/64\"]", i, i-1, i-1, i-1)
		}
	}
	head := y.String()
	y.Reset()
	for l := range links {
		fmt.Fprintf(&y, "  - {dst: 0.0.0.0/0, via: 198.51.%d.1, port: out%d}\n  - {dst: \"::/0\", via: \"2001:db8:51:%d::1\", port: out%d}\n", l, l, l, l)
	}
	if extra == "policies" {
		y.WriteString("  tables:\n  - name: other\n    routes:\n    - {dst: 203.0.113.0/24, via: 198.51.0.1, port: out0}\n    - {dst: \"2001:db8:113::/48\", via: \"2001:db8:51:0::1\", port: out0}\n  policies:\n")
		for i := range 100 {
			fmt.Fprintf(&y, "  - {match: {src: [10.%d.0.0/16, \"2001:db8:%x::/48\"], protocols: [udp], dstPorts: [2000]}, action: table, table: other}\n", i+1, 1+i)
		}
	}
	at := fmt.Sprintf("{name: r%d, tenant: acme}\nspec:\n  routes:\n", n)
	all := strings.Replace(head, at, at+y.String(), 1)
	y.Reset()
	port("in", "device: router/r1, mac: \"02:00:00:00:ee:01\", addresses: [10.0.0.1/24, \"2001:db8:1::1/64\"]")
	for l := range links {
		port(fmt.Sprintf("out%d", l), "device: router/r%d, addresses: [198.51.%d.2/24, \"2001:db8:51:%d::2/64\"]", n, l, l)
	}
	l := newLab(b, all+y.String())
	for i := range links {
		for _, a := range []string{fmt.Sprintf("198.51.%d.1", i), fmt.Sprintf("2001:db8:51:%d::1", i)} {
			l.change(topology.Changes{Neighbours: []topology.Neighbour{{Port: l.port(fmt.Sprintf("out%d", i)), Addr: ip(a), MAC: mac("ff:01"), State: topology.NeighbourOK}}})
		}
	}
	return l
}

// BenchmarkRouter reports device_router, device_router_spread and device_router_policies: what the second of two routers adds to a walk, plain, with four
// equal routes, and with 100 policies, of which the packet meets the hundredth; and device_router_allocs. The time is processor time of the median
// operation, of the slower family.
func BenchmarkRouter(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const walks = 4096
	type rig struct {
		*lab
		frame *packet.Frame
		in    flow.VPortID
		times []time.Duration
	}
	extras := []string{"", "spread", "policies"}
	var rigs []*rig
	allocs := 0.0
	for _, v6 := range []bool{false, true} {
		src, dst := "10.100.0.11", "203.0.113.9"
		if v6 {
			src, dst = "2001:db8:64::11", "2001:db8:113::9"
		}
		frame := parse(b, udp{from: mac("0a:01"), to: mac("ee:01"), src: src, dst: dst, ttl: 64}.frame())
		add := func(n int, extra string) {
			r := &rig{lab: routerChain(b, n, extra), frame: frame}
			r.in = r.port("in")
			rigs = append(rigs, r)
			allocs = max(allocs, testing.AllocsPerRun(100, func() { r.sim.Simulate(r.snap, frame, r.in, 0, &r.res) }))
			if o := r.res.Outcomes; len(o) != 1 || o[0].Verdict != Forward || int(o[0].Rewrite.TTLDec) != n {
				b.Fatalf("%d routers %s: %+v", n, extra, o)
			}
		}
		add(1, "")
		for _, extra := range extras {
			add(2, extra)
		}
	}
	for b.Loop() {
		for _, r := range rigs {
			begin := cpuTime(b)
			for range walks {
				r.sim.Simulate(r.snap, r.frame, r.in, 0, &r.res)
			}
			r.times = append(r.times, cpuTime(b)-begin)
		}
	}
	median := func(r *rig) float64 {
		slices.Sort(r.times)
		return float64(r.times[len(r.times)/2].Nanoseconds()) / walks
	}
	for i, name := range []string{"device_router:ns", "device_router_spread:ns", "device_router_policies:ns"} {
		b.ReportMetric(max(median(rigs[1+i])-median(rigs[0]), median(rigs[5+i])-median(rigs[4])), name)
	}
	b.ReportMetric(allocs, "device_router_allocs:allocs")
}
