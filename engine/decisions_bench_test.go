//go:build unix

package engine

import (
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/bulk"
)

// BenchmarkDecisions reports decisions_per_s: from packet-in to result, of packets that are dropped and whose entries are there already, so that nothing follows from
// the result; and installs_per_s, of first packets that the agent decided, placed, wrote and sent on, each a flow of its own, from packet-in to packet-out and entry.
// decision_cpu and install_cpu are the processor time of each, which other work on the machine changes less: two processors that do nothing else could do 2 s divided
// by it.
func BenchmarkDecisions(b *testing.B) {
	const flows, times = 100_000, 4
	for _, v6 := range []bool{false, true} {
		b.Run(map[bool]string{false: "v4", true: "v6"}[v6], func(b *testing.B) {
			t := newNullBench(b, bulk.Network(bulk.OddPorts(), ""), v6)
			t.decide(bulk.Even, 0, flows, false)
			var installs, decisions work
			for n := 0; b.Loop(); n += flows {
				if n+flows > bulk.OddFlows {
					b.Fatalf("%d flows, and there are %d: use a shorter -benchtime", n+flows, bulk.OddFlows)
				}
				installs.add(b, flows, func() time.Duration { return t.decide(bulk.Odd, n, n+flows, true) })
				for range times {
					decisions.add(b, flows, func() time.Duration { return t.decide(bulk.Even, 0, flows, false) })
				}
			}
			installs.report(b, "install", v6)
			decisions.report(b, "decision", v6)
		})
	}
}

// work is what some packets took.
type work struct {
	n         int
	wall, cpu time.Duration
}

func (w *work) add(b *testing.B, n int, do func() time.Duration) {
	began := bulk.CPUTime(b)
	w.n += n
	w.wall += do()
	w.cpu += bulk.CPUTime(b) - began
}

func (w *work) report(b *testing.B, name string, v6 bool) {
	b.ReportMetric(float64(w.cpu)/float64(w.n)/1e3, figure(name+"_cpu", v6, "us"))
	b.ReportMetric(float64(w.n)/w.wall.Seconds(), figure(name+"s_per_s", v6, "1/s"))
}

// figure names a figure as .ci/figures.awk reads it; those of IPv4 have the plain name.
func figure(name string, v6 bool, unit string) string {
	if v6 {
		name += "_v6"
	}
	return name + ":" + unit
}
