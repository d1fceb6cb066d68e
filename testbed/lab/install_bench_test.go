package lab

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/testbed/wire"
	"github.com/weft-sdn/weft/topology"
)

const (
	benchFlows  = 65536 // destinations with a route, and so a rule, of their own
	benchWindow = 256   // flows under way at once
)

// installBench is an edge whose target tells of each flow entry that it has installed.
type installBench struct {
	*Lab
	b         *testing.B
	v6        bool
	installed chan int // entries by one Write that was answered
	udp       packet.UDP
	frame     []byte
	vm        *wire.Member
	sent      int
}

// newInstallBench brings up one edge: a VM on a bridge, a router with a route for each destination, and its neighbour outside.
func newInstallBench(b *testing.B, v6 bool) *installBench {
	b.Helper()
	s, err := scenario.Parse("bench.txtar", []byte(benchScenario))
	if err != nil {
		b.Fatal(err)
	}
	t := &installBench{b: b, v6: v6, installed: make(chan int, 1<<16)}
	program, err := newProgram(Softswitch)
	if err != nil {
		b.Fatal(err)
	}
	observe := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		resp, err := handle(ctx, req)
		if write, ok := req.(*p4v1.WriteRequest); ok && err == nil {
			if n := flowInserts(program, write); n > 0 {
				t.installed <- n
			}
		}
		return resp, err
	}
	if t.Lab, err = New(Config{Scenario: s, VPortShare: 100, server: []grpc.ServerOption{grpc.UnaryInterceptor(observe)}}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- t.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	select {
	case <-t.Ready():
	case err := <-done:
		done <- nil
		b.Fatal(err)
	case <-time.After(time.Minute):
		b.Fatal("the lab was not ready within a minute")
	}
	t.prepare()
	return t
}

func flowInserts(p *program, write *p4v1.WriteRequest) (n int) {
	for _, u := range write.Updates {
		e := u.GetEntity().GetTableEntry()
		if u.Type == p4v1.Update_INSERT && slices.Contains(p.forward, e.GetAction().GetAction().GetActionId()) {
			n++
		}
	}
	return n
}

const benchScenario = `
-- network.yaml --
apiVersion: weft/v1
kind: Bridge
metadata: {name: lan, tenant: red}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm, tenant: red}
spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.0.0.1/24, "fd00::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: lan-gw, tenant: red}
spec: {device: bridge/lan, peer: gw-lan}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: gw-lan, tenant: red}
spec: {device: router/gw, peer: lan-gw, mac: "02:00:00:00:00:fe", addresses: [10.0.0.254/24, "fd00::fe/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: gw-up, tenant: red}
spec: {device: router/gw, mac: "02:00:00:00:01:fe", addresses: [198.51.100.2/24, "2001:db8:51::2/64"]}
---
apiVersion: weft/v1
kind: Router
metadata: {name: gw, tenant: red}
spec: {}
-- hosts --
vm vport=red/vm edge=e1 gw=10.0.0.254,fd00::fe
outside vport=red/gw-up edge=e1 mac=02:00:00:00:01:01 ip=198.51.100.1/24,2001:db8:51::1/64 gw=198.51.100.2,2001:db8:51::2
`

// routes gives the router a host route to each destination.
func (t *installBench) routes() error {
	via := netip.MustParseAddr("198.51.100.1")
	if t.v6 {
		via = netip.MustParseAddr("2001:db8:51::1")
	}
	spec := &topology.RouterSpec{}
	for i := range benchFlows {
		dst := destination(i, t.v6)
		spec.Routes = append(spec.Routes, topology.RouteSpec{Dst: netip.PrefixFrom(dst, dst.BitLen()), Via: via, Port: "gw-up"})
	}
	revision, err := t.store.Apply(t.b.Context(), []*topology.Object{{
		APIVersion: topology.APIVersion, Kind: topology.KindRouter, Metadata: topology.Metadata{Name: "gw", Tenant: "red"}, Spec: spec,
	}})
	if err != nil {
		return err
	}
	return t.waitApplied(t.b.Context(), revision)
}

func destination(i int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0: 0x2a, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
	}
	return netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)})
}

// prepare lets all be learnt that is not what is measured: the VM, the router's neighbour.
func (t *installBench) prepare() {
	if err := t.routes(); err != nil {
		t.b.Fatal(err)
	}
	src, neighbour := netip.MustParseAddr("10.0.0.1"), "198.51.100.1"
	if t.v6 {
		src, neighbour = netip.MustParseAddr("fd00::1"), "2001:db8:51::1"
	}
	target := scenario.Target{Addr: netip.MustParseAddr(neighbour)}
	if _, err := t.Ping(t.b.Context(), scenario.Ping{From: "vm", To: target, Count: 3, Within: 10 * time.Second}); err != nil {
		t.b.Fatal(err)
	}
	t.udp = packet.UDP{
		SrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 0xfe}, Src: src, SrcPort: 40000, DstPort: 53, TTL: 64, Payload: make([]byte, 18),
	}
	e := t.edges[0]
	port, _ := e.plan.port("vm")
	t.vm = e.access[port].trunk.Member(0)
	for { // the pings' own entries
		select {
		case <-t.installed:
		case <-time.After(200 * time.Millisecond):
			return
		}
	}
}

// next sends the first packet of the next flow.
func (t *installBench) next() {
	if t.sent == benchFlows {
		t.b.Fatalf("all %d flows are installed: use a shorter -benchtime", benchFlows)
	}
	t.udp.Dst = destination(t.sent, t.v6)
	t.sent++
	t.frame = packet.AppendUDP(t.frame[:0], &t.udp)
	t.vm.Send(t.frame)
}

// await waits until the target has installed at least one more flow, and tells how many.
func (t *installBench) await() int {
	select {
	case n := <-t.installed:
		return n
	case <-time.After(10 * time.Second):
		stats, err := t.edges[0].agent.stats(context.Background())
		t.b.Fatalf("no flow was installed for 10 s after %d were sent; agent %+v, %v", t.sent, stats, err)
		return 0
	}
}

// check makes sure that it was flows that were measured: one entry each, none refused.
func (t *installBench) check() {
	stats, err := t.edges[0].agent.stats(t.b.Context())
	if err = errors.Join(err, t.b.Context().Err()); err != nil {
		t.b.Fatal(err)
	}
	if stats.Installed < uint64(t.sent) || stats.NotInstalled+stats.WriteFails+stats.QueueDrops > 0 {
		t.b.Errorf("%d flows sent; agent %+v", t.sent, stats)
	}
}

// BenchmarkUpcallInstall: from the first packet of a flow on the wire to its entry in the target, one flow at a time.
func BenchmarkUpcallInstall(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		b.Run(map[bool]string{false: "v4", true: "v6"}[v6], func(b *testing.B) {
			t := newInstallBench(b, v6)
			var took []time.Duration
			for b.Loop() {
				begin := time.Now()
				t.next()
				t.await()
				took = append(took, time.Since(begin))
			}
			t.check()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2])/1e3, figure("upcall_install_p50", v6, "us"))
			b.ReportMetric(float64(took[len(took)*99/100])/1e3, figure("upcall_install_p99", v6, "us"))
		})
	}
}

// burst is how many flows BenchmarkNewFlows installs: less than the flow tables of IPv6 hold.
const burst = 30_000

// BenchmarkNewFlows: flows to destinations of their own, so many under way at once. An operation is a burst of them at an edge without flows.
func BenchmarkNewFlows(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		b.Run(map[bool]string{false: "v4", true: "v6"}[v6], func(b *testing.B) {
			bursts := 0
			for b.Loop() {
				b.StopTimer()
				t := newInstallBench(b, v6)
				b.StartTimer()
				for installed := 0; installed < burst; {
					if t.sent < burst && t.sent-installed < benchWindow {
						t.next()
					} else {
						installed += t.await()
					}
				}
				b.StopTimer()
				t.check()
				bursts++
				b.StartTimer()
			}
			b.ReportMetric(float64(bursts*burst)/b.Elapsed().Seconds(), figure("new_flows_per_s", v6, "1/s"))
		})
	}
}

// figure names a figure as .ci/figures.awk reads it; those of IPv4 have the plain name.
func figure(name string, v6 bool, unit string) string {
	if v6 {
		name += "_v6"
	}
	return name + ":" + unit
}
