//go:build unix

package engine

import (
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/bulk"
)

// BenchmarkDecisions reports decisions_per_s: first packets that the agent decided, placed, wrote and sent on, each a flow of its own, from packet-in to
// packet-out and entry. decisions_known_per_s is the same for packets that come again before their entries do: what a decision costs by itself.
// decision_cpu and decision_known_cpu are the processor time of each, which other work on the machine changes less: two processors that do nothing else could
// do 2 s divided by it.
func BenchmarkDecisions(b *testing.B) {
	const flows = 100_000
	for _, v6 := range []bool{false, true} {
		b.Run(map[bool]string{false: "v4", true: "v6"}[v6], func(b *testing.B) {
			t := newNullBench(b, bulk.Network(bulk.OddPorts(), ""), v6)
			var wall, cpu [2]time.Duration // of new flows, of known ones
			n := 0
			for b.Loop() {
				for i, fresh := range []bool{true, false} {
					began := bulk.CPUTime(b)
					wall[i] += t.decide(bulk.Odd, n, n+flows, fresh)
					cpu[i] += bulk.CPUTime(b) - began
				}
				n += flows
			}
			if n > bulk.OddFlows {
				b.Fatalf("%d flows, and there are %d: use a shorter -benchtime", n, bulk.OddFlows)
			}
			for i, name := range []string{"decision", "decision_known"} {
				b.ReportMetric(float64(cpu[i])/float64(n)/1e3, figure(name+"_cpu", v6, "us"))
			}
			b.ReportMetric(float64(n)/wall[0].Seconds(), figure("decisions_per_s", v6, "1/s"))
			b.ReportMetric(float64(n)/wall[1].Seconds(), figure("decisions_known_per_s", v6, "1/s"))
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
