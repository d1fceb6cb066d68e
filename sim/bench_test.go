package sim

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

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

// newWalk returns a lab and n frames that go port → bridge → tenant router → provider router with 100,000 routes → outside, each to a destination of its own.
func newWalk(b *testing.B, v6 bool, n int) (*lab, []packet.Frame) {
	l := newLab(b, strings.ReplaceAll(twoTiers, "mtu: 1300", "mtu: 1400"))
	withUplink(l)
	dst := withRoutes(l, 100_000, v6)
	src := "10.1.0.11"
	if v6 {
		src = "2001:db8:1::11"
	}
	frames := make([]packet.Frame, n)
	for i := range frames {
		frames[i] = *parse(b, udp{from: mac("0a:01"), to: mac("ee:01"), src: src, dst: dst[i*6%len(dst)].String(), ttl: 64}.frame())
	}
	return l, frames
}

func (l *lab) checkWalk() {
	l.t.Helper()
	if o := l.res.Outcomes; len(o) != 1 || o[0].Dest != l.port("uplink").Dest() || o[0].Rewrite.TTLDec != 2 {
		l.t.Fatalf("outcomes %+v", o)
	}
}

const coldFrames = 1 << 14

// BenchmarkSimulate makes the walk of newWalk. Cold: a different destination every time, of 16k.
func BenchmarkSimulate(b *testing.B) {
	for _, fam := range []string{"v4", "v6"} {
		for mode, n := range map[string]int{"hot": 1, "cold": coldFrames} {
			b.Run(fam+"/"+mode+"/100kRoutes", func(b *testing.B) {
				l, frames := newWalk(b, fam == "v6", n)
				in := l.port("a1")
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					l.sim.Simulate(l.snap, &frames[i%n], in, 0, &l.res)
				}
				l.checkWalk()
			})
		}
	}
}

// BenchmarkDecision reports sim_decision, sim_decision_cold and sim_allocs: time and allocations of one walk, those of the slower family. An operation is
// 16k walks per family, hot and cold; the time is the processor time of the median operation.
func BenchmarkDecision(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	times := map[string]*[2][]time.Duration{"sim_decision:ns": {}, "sim_decision_cold:ns": {}}
	var labs [2]*lab
	var frames [2][]packet.Frame
	allocs := 0.0
	for fam := range labs {
		l, f := newWalk(b, fam == 1, coldFrames)
		labs[fam], frames[fam] = l, f
		in, i := l.port("a1"), 0
		allocs = max(allocs, testing.AllocsPerRun(coldFrames, func() {
			l.sim.Simulate(l.snap, &f[i%coldFrames], in, 0, &l.res)
			i++
		}))
	}
	for b.Loop() {
		for name, of := range times {
			for fam, l := range labs {
				in, begin := l.port("a1"), cpuTime(b)
				for i := range coldFrames {
					f := &frames[fam][0]
					if name == "sim_decision_cold:ns" {
						f = &frames[fam][i]
					}
					l.sim.Simulate(l.snap, f, in, 0, &l.res)
				}
				of[fam] = append(of[fam], (cpuTime(b)-begin)/coldFrames)
				l.checkWalk()
			}
		}
	}
	for name, of := range times {
		worst := time.Duration(0)
		for _, passes := range of {
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
