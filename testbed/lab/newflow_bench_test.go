package lab

import (
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/bulk"
)

// BenchmarkStatelessFlows reports stateless_flows_per_s: flows of four VMs through a filter of ports, each of an entry of its own, from the first packet on the
// wire to its arrival and the entry in the softswitch.
func BenchmarkStatelessFlows(b *testing.B) {
	const flows, window = 100_000, 1024
	var took time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		r := newRig(b, rigConfig{objects: bulk.Network(bulk.OddPorts(), ""), share: 100, frames: flows})
		stop := r.start()
		b.StartTimer()
		took += r.flows(bulk.Odd, 0, flows, window)
		b.StopTimer()
		n += flows
		stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(n)/took.Seconds(), "stateless_flows_per_s:1/s")
}

// hide translates the source of what leaves the router.
var hide = bulk.Object("Chain", "red", "hide", "rules: [{match: {outPorts: [gw-out]}, action: snat, nat: {addresses: [203.0.113.1-203.0.113.8]}}]")

// BenchmarkStatefulFlows reports stateful_flows_per_s: translated connections, both keys of each in an etcd that syncs to disk before its first packet leaves,
// and an entry in the softswitch; and first_packet_p99, from the wire of the VM to that of the host, of further connections that begin at half that rate.
func BenchmarkStatefulFlows(b *testing.B) {
	const flows, paced, window = 35_000, 25_000, 2048
	var took time.Duration
	var n int
	var first []time.Duration
	for b.Loop() {
		b.StopTimer()
		r := newRig(b, rigConfig{objects: bulk.Network(bulk.OddPorts(), "filters: {egress: hide}") + hide, share: 100, frames: flows + paced})
		stop := r.start()
		b.StartTimer()
		full := r.flows(bulk.Odd, 0, flows, window)
		took, n = took+full, n+flows
		rate := flows / full.Seconds() / 2
		all, kept := r.paced(bulk.Odd, flows, flows+paced, rate)
		b.StopTimer()
		if kept < 0.95*rate {
			b.Errorf("%.0f flows a second were begun, %.0f were to be", kept, rate)
		}
		first = append(first, all[len(all)*99/100])
		b.ReportMetric(float64(all[len(all)/2])/1e6, "first_packet_p50:ms")
		stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(n)/took.Seconds(), "stateful_flows_per_s:1/s")
	var sum time.Duration
	for _, d := range first {
		sum += d
	}
	b.ReportMetric(float64(sum)/float64(len(first))/1e6, "first_packet_p99:ms")
}
