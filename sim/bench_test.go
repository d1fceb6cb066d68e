package sim

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// withRoutes adds n routes of the family to the provider's router, through its uplink, none of them over 10/8 or 2001:db8:1::/48.
func withRoutes(l *lab, n int, v6 bool) []netip.Addr {
	rng := rand.New(rand.NewPCG(1, 2))
	core := topology.DeviceID(l.id(topology.KindRouter, "isp", "core"))
	seen := map[netip.Prefix]bool{}
	var c topology.Changes
	var dst []netip.Addr
	for len(c.Routes) < n {
		bits := 24
		if x := rng.IntN(100); x < 45 {
			bits = 14 + rng.IntN(10)
		}
		addr := netip.AddrFrom4([4]byte{byte(20 + rng.IntN(100)), byte(rng.Uint32()), byte(rng.Uint32()), 0})
		next := "198.51.100.1"
		if v6 {
			addr = netip.AddrFrom16([16]byte{0x2a, byte(rng.IntN(16)), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
			bits = min(48, 20+2*(bits-10))
			next = "2001:db8:51::1"
		}
		p, _ := addr.Prefix(bits)
		if seen[p] {
			continue
		}
		seen[p] = true
		dst = append(dst, p.Addr().Next())
		c.Routes = append(c.Routes, topology.LearnedRoute{Router: core, Route: topology.Route{
			Dst: p, Via: ip(next), Port: l.port("uplink"), Origin: topology.OriginLearned, Weight: 1,
		}})
	}
	l.change(c)
	return dst
}

// walk is a packet that goes port → bridge → tenant router → provider router with 100,000 routes → outside. It is in the cache, as one that was just
// received is; its destination is one of 16k.
type walk struct {
	*lab
	frame *packet.Frame
	in    flow.VPortID
	dst   [][]byte
	at    int // of the destination in the frame
}

func newWalk(b *testing.B, v6 bool) *walk {
	l := newLab(b, strings.ReplaceAll(twoTiers, "mtu: 1300", "mtu: 1400"))
	withUplink(l)
	dst := withRoutes(l, 100_000, v6)
	w := &walk{lab: l, in: l.port("a1"), at: packet.EthernetLen + 16}
	src := "10.1.0.11"
	if v6 {
		src, w.at = "2001:db8:1::11", packet.EthernetLen+24
	}
	w.frame = parse(b, udp{from: mac("0a:01"), to: mac("ee:01"), src: src, dst: dst[0].String(), ttl: 64}.frame())
	for i := range destinations {
		w.dst = append(w.dst, dst[i*6%len(dst)].AsSlice())
	}
	return w
}

const destinations = 1 << 14

// run walks to destination i.
func (w *walk) run(i int) {
	copy(w.frame.Data[w.at:], w.dst[i])
	w.sim.Simulate(w.snap, w.frame, w.in, 0, &w.res)
}

func (w *walk) check() {
	w.t.Helper()
	if o := w.res.Outcomes; len(o) != 1 || o[0].Dest != w.port("uplink").Dest() || o[0].Rewrite.TTLDec != 2 {
		w.t.Fatalf("outcomes %+v", o)
	}
}

// BenchmarkSimulate makes the walk. Cold: to a different destination every time.
func BenchmarkSimulate(b *testing.B) {
	for _, fam := range []string{"v4", "v6"} {
		w := newWalk(b, fam == "v6")
		for _, mode := range []string{"hot", "cold"} {
			step := map[string]int{"hot": 0, "cold": 1}[mode]
			b.Run(fam+"/"+mode+"/100kRoutes", func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i += step {
					w.run(i % destinations)
				}
				w.check()
			})
		}
	}
}

// BenchmarkDecision reports sim_decision, sim_decision_cold and sim_allocs: time and allocations of one walk, those of the slower family. An operation is
// 16k walks per family, hot and cold; the time is the processor time of the median operation.
func BenchmarkDecision(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	walks := []*walk{newWalk(b, false), newWalk(b, true)}
	var times [2][2][]time.Duration // by hot, cold; by family
	allocs := 0.0
	for _, w := range walks {
		i := 0
		allocs = max(allocs, testing.AllocsPerRun(destinations-1, func() {
			w.run(i)
			i++
		}))
	}
	for b.Loop() {
		for cold := range times {
			for fam, w := range walks {
				begin := cpuTime(b)
				for i := range destinations {
					w.run(i * cold)
				}
				times[cold][fam] = append(times[cold][fam], (cpuTime(b)-begin)/destinations)
				w.check()
			}
		}
	}
	for cold, name := range []string{"sim_decision:ns", "sim_decision_cold:ns"} {
		worst := time.Duration(0)
		for _, passes := range times[cold] {
			slices.Sort(passes)
			worst = max(worst, passes[len(passes)/2])
		}
		b.ReportMetric(float64(worst.Nanoseconds()), name)
	}
	b.ReportMetric(allocs, "sim_allocs:allocs")
}

// TestNoAllocations: packets that forward, are dropped, answered or asked for allocate nothing once the result has grown.
func TestNoAllocations(t *testing.T) {
	l := newLab(t, twoTiers)
	withUplink(l)
	a1, gw := mac("0a:01"), mac("ee:01")
	for name, frame := range map[string][]byte{
		"bridged":  udp{from: a1, to: mac("0a:02"), src: "10.1.0.11", dst: "10.1.0.12", ttl: 64}.frame(),
		"routed":   udp{from: a1, to: gw, src: "10.1.0.11", dst: "203.0.113.9", ttl: 64}.frame(),
		"routed6":  udp{from: a1, to: gw, src: "2001:db8:1::11", dst: "2001:db8:113::9", ttl: 64}.frame(),
		"flooded":  udp{from: a1, to: packet.Broadcast(), src: "10.1.0.11", dst: "255.255.255.255", ttl: 64}.frame(),
		"rejected": udp{from: a1, to: gw, src: "10.1.0.11", dst: "8.8.8.8", ttl: 64}.frame(),
		"asked":    udp{from: a1, to: gw, src: "2001:db8:1::11", dst: "2001:db8:1::77", ttl: 64}.frame(),
		"arp":      packet.AppendARPRequest(nil, a1, ip("10.1.0.11"), ip("10.1.0.1")),
		"nd":       packet.AppendNS(nil, a1, ip("2001:db8:1::11"), ip("2001:db8:1::1")),
	} {
		f := parse(t, frame)
		var s Simulator
		var r Result
		in := l.port("a1")
		if n := testing.AllocsPerRun(100, func() { s.Simulate(l.snap, f, in, 0, &r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		for _, lost := range []Lost{{Dest: l.port("a2").Dest()}, {Dest: l.port("uplink").Dest()}, {Port: l.port("edge-web"), Addr: ip("2001:db8:1::77")}} {
			if n := testing.AllocsPerRun(100, func() { s.SimulateLost(l.snap, f, in, 0, lost, &r) }); n != 0 {
				t.Errorf("%s, %+v: %v allocations", name, lost, n)
			}
		}
	}
}
