//go:build unix

package lab

import (
	"testing"

	"github.com/weft-sdn/weft/testbed/bulk"
)

// BenchmarkStatelessFlows reports stateless_flows_per_s: flows of eight VMs through a filter of ports, each of an entry of its own, from the first packet on the
// wire to its arrival and the entry in the softswitch.
func BenchmarkStatelessFlows(b *testing.B) {
	const flows, window = 100_000, 1024
	for b.Loop() {
		r := newRig(b, rigConfig{objects: bulk.Network(bulk.OddPorts(), ""), share: 100, frames: flows})
		stop := r.start()
		rate, cpu := r.install(bulk.Odd, 0, flows, window)
		b.ReportMetric(rate, "stateless_flows_per_s:1/s")
		b.ReportMetric(float64(cpu)/1e3, "stateless_flow_cpu:us")
		stop()
	}
}

// hide translates the source of what leaves the router.
var hide = bulk.Object("Chain", "red", "hide", "rules: [{match: {outPorts: [gw-out]}, action: snat, nat: {addresses: [203.0.113.1-203.0.113.8]}}]")

// BenchmarkStatefulFlows reports stateful_flows_per_s: translated connections, both keys of each in an etcd that syncs to disk before its first packet leaves,
// and an entry in the softswitch; and first_packet_p99, from the wire of the VM to that of the host, of further connections that begin at half that rate:
// those that do not arrive took for ever.
func BenchmarkStatefulFlows(b *testing.B) {
	const flows, paced = 20_000, 10_000
	const window = 96 * bulk.VMs // less than the 128 first packets that may wait of one VM
	for b.Loop() {
		r := newRig(b, rigConfig{objects: bulk.Network(bulk.OddPorts(), "filters: {egress: hide}") + hide, share: 100, frames: flows + paced})
		stop := r.start()
		full, cpu := r.install(bulk.Odd, 0, flows, window)
		rate := full / 2
		first, lost, kept := r.paced(bulk.Odd, flows, flows+paced, rate)
		if kept < 0.95*rate {
			b.Errorf("%.0f flows a second were begun, %.0f were to be", kept, rate)
		}
		b.Logf("%.0f flows a second begun; agent %+v", kept, r.agent.Stats())
		b.ReportMetric(full, "stateful_flows_per_s:1/s")
		b.ReportMetric(float64(cpu)/1e3, "stateful_flow_cpu:us")
		b.ReportMetric(float64(first[len(first)/2])/1e6, "first_packet_p50:ms")
		b.ReportMetric(float64(first[len(first)*99/100])/1e6, "first_packet_p99:ms")
		b.ReportMetric(float64(lost), "first_packets_lost:packets")
		stop()
	}
}
