//go:build unix

package lab

import (
	"bytes"
	"math"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/weft-sdn/weft/testbed/bulk"
)

// Sizes of BenchmarkTelemetryCost.
const (
	telemetryPairs  = 12               // in each half
	telemetryFlows  = 5_000            // that are measured in a turn
	telemetryWarm   = 20_000           // before the first turn: agents have what there is to do after they took flows over
	telemetryQuiet  = 20_000           // that there are while none begins
	telemetryWindow = 256              // under way at once
	telemetryTime   = 20 * time.Second // of quiet
	telemetryScrape = 20               // scrapes that are measured
	scrapeEvery     = 15 * time.Second // as Prometheus does by convention
)

// BenchmarkTelemetryCost reports telemetry_cost, in percent of the rate of decisions: how much less an agent decides because of all that telemetry does. That is the sum of
//
//	decide    processor time of a first packet that gets an entry, of all that takes part, with telemetry and without: the median of pairs of turns
//	quiet     what is asked for while no flow begins, with telemetry and without: of one processor
//	scrape    the metrics of an agent with so many flows, once each 15 s: of one processor
//	accounts  what is always counted: the share of the time of first packets in which they are accounted, by vport, rule and reason, as a profile tells
//	rounds    the same: entries that are read back each 10 s, of one processor, for so many flows
//
// With telemetry: a collector takes traces of one packet of a thousand, the switch tells of its ports by gNMI each 5 s and when something changes, and somebody is
// subscribed to the virtual network's statuses and counters, each 5 s. All of them are of this process, and what they take counts. Two edges run beside each other, one of them with telemetry, the other
// one in the second half; their turns come one after the other, and what there is to do while nothing is decided is taken off. All but _wall is of processor time, as other work on the machine changes that
// less than rates; _noise is the standard error of decide's mean.
func BenchmarkTelemetryCost(b *testing.B) {
	for b.Loop() {
		t := &telemetryCost{TB: b}
		t.edges[0] = t.edge()
		t.collector = t.edges[0].collector()
		t.quiet()
		t.edges[1] = t.edge()
		for half := range t.edges {
			t.half(half)
		}
		t.report(b)
	}
}

// telemetryCost is what was measured, without telemetry and with it.
type telemetryCost struct {
	testing.TB
	edges     [2]*telemetryEdge
	collector string

	idle     [2]measured
	resting  profiles // of idle, without
	deciding profiles // of both halves
	decided  time.Duration
	percent  []float64 // of each pair
	rates    []float64 // the same, by rate
}

// telemetryEdge is an edge, and which flow is its next.
type telemetryEdge struct {
	*rig
	next int
}

func (t *telemetryCost) edge() *telemetryEdge {
	t.Helper()
	const flows = telemetryQuiet + 2*(telemetryWarm+telemetryPairs*telemetryFlows)
	return &telemetryEdge{rig: newRig(t, rigConfig{objects: bulk.Network(bulk.OddPorts(), ""), share: 100, frames: flows, reachable: true})}
}

// measured is what something took.
type measured struct{ cpu, took time.Duration }

// measure does something, and says what it took.
func (t *telemetryCost) measure(do func()) measured {
	t.Helper()
	runtime.GC()
	begun, used := time.Now(), bulk.CPUTime(t)
	do()
	return measured{bulk.CPUTime(t) - used, time.Since(begun)}
}

// busy is what was taken of one processor.
func (m *measured) busy() float64 { return float64(m.cpu) / float64(m.took) }

// profiles are of processor time.
type profiles []*profile.Profile

// profiled does something, and adds a profile of it.
func (t *telemetryCost) profiled(to *profiles, do func()) {
	t.Helper()
	var file bytes.Buffer
	if err := pprof.StartCPUProfile(&file); err != nil {
		t.Fatalf("this benchmark profiles itself: %v", err)
	}
	do()
	pprof.StopCPUProfile()
	p, err := profile.Parse(&file)
	if err != nil {
		t.Fatal(err)
	}
	*to = append(*to, p)
}

// within is the time that was spent within functions, by the begins of their names, those of the module without its name.
func (all profiles) within(of []string) (sum time.Duration) {
	is := func(line profile.Line) bool {
		name := strings.TrimPrefix(line.Function.Name, "github.com/weft-sdn/weft/")
		return slices.ContainsFunc(of, func(begin string) bool { return strings.HasPrefix(name, begin) })
	}
	for _, p := range all {
		for _, s := range p.Sample {
			if slices.ContainsFunc(s.Location, func(l *profile.Location) bool { return slices.ContainsFunc(l.Line, is) }) {
				sum += time.Duration(s.Value[1])
			}
		}
	}
	return sum
}

// What accounts a packet as it is decided; and what reads entries back, with who answers that, and stores what is accounted.
var (
	accountFuncs = []string{"engine.(*core).slow", "engine.(*core).dropped", "engine.(*core).lose"}
	roundFuncs   = []string{
		"engine.(*core).round", "engine.(*core).readAll", "engine.(*readback).", "engine.(*Agent).readFlows", "engine.(*core).count", "engine.(*core).sweepUsage", "engine.(*usage).", "engine.(*ruleStore).",
		"p4rt.(*link).read", "p4rt.(*link).query", "softswitch.(*Server).Read", "google.golang.org/grpc",
	}
)

// begin begins flows, and returns how many first packets the agent got.
func (e *telemetryEdge) begin(n int) int {
	e.Helper()
	arrived, again, _ := e.flows(bulk.Odd, e.next, e.next+n, telemetryWindow, 5*time.Minute)
	e.check(arrived == n, "%d of %d first packets arrived", arrived, n)
	e.next += n
	return n + again
}

// quiet measures what there is to do while no flow begins.
func (t *telemetryCost) quiet() {
	for _, on := range [...]int{1, 0} {
		stop := t.edges[0].service(on == 1, t.collector)
		if on == 1 {
			t.edges[0].begin(telemetryQuiet)
		}
		rest := func() { t.idle[on] = t.measure(func() { <-time.After(telemetryTime) }) }
		if on == 0 {
			t.profiled(&t.resting, rest)
		} else {
			rest()
		}
		stop()
	}
}

// half measures pairs of turns: of an edge with telemetry, and of the other one without. Which is first changes.
func (t *telemetryCost) half(with int) {
	edges := [2]*telemetryEdge{t.edges[1-with], t.edges[with]} // without, with
	for on, e := range edges {
		defer e.service(on == 1, t.collector)()
		e.begin(telemetryWarm)
	}
	both := t.idle[0].busy() + t.idle[1].busy()
	t.profiled(&t.deciding, func() {
		for pair := range telemetryPairs {
			var rate, cpu [2]float64
			for turn := range 2 {
				on, n := (turn+pair)%2, 0
				m := t.measure(func() { n = edges[on].begin(telemetryFlows) })
				m.cpu -= time.Duration(both * float64(m.took))
				t.decided += m.cpu
				rate[on], cpu[on] = float64(n)/m.took.Seconds(), float64(m.cpu)/float64(n)
			}
			t.percent, t.rates = append(t.percent, 100*(1-cpu[0]/cpu[1])), append(t.rates, 100*(1-rate[1]/rate[0]))
			t.Logf("half %d, pair %d: without %.0f/s and %.1f us, with %.0f/s and %.1f us: %.1f %%, %.1f %% by rate",
				with, pair, rate[0], cpu[0]/1e3, rate[1], cpu[1]/1e3, t.percent[len(t.percent)-1], t.rates[len(t.rates)-1])
		}
	})
}

// report reports the figures.
func (t *telemetryCost) report(b *testing.B) {
	idle := [2]float64{100 * t.idle[0].busy(), 100 * t.idle[1].busy()}
	decide, quiet := median(t.percent), idle[1]-idle[0]
	rounds, accounts := 100*float64(t.resting.within(roundFuncs))/float64(t.idle[0].took), 100*float64(t.deciding.within(accountFuncs))/float64(t.decided)
	scrape := t.scrapeCPU()
	b.Logf("quiet: without %.2f %% of a processor, with %.2f %%", idle[0], idle[1])
	b.ReportMetric(decide+quiet+100*float64(scrape)/float64(scrapeEvery)+accounts+rounds, "telemetry_cost:%")
	b.ReportMetric(decide, "telemetry_cost_decide:%")
	b.ReportMetric(noise(t.percent), "telemetry_cost_noise:%")
	b.ReportMetric(quiet, "telemetry_cost_quiet:%")
	b.ReportMetric(accounts, "telemetry_cost_accounts:%")
	b.ReportMetric(rounds, "telemetry_cost_rounds:%")
	b.ReportMetric(median(t.rates), "telemetry_cost_wall:%")
	b.ReportMetric(float64(scrape)/1e6, "scrape_cpu:ms")
}

// scrapeCPU is what one scrape takes, of an agent with all flows that there are.
func (t *telemetryCost) scrapeCPU() time.Duration {
	defer t.edges[0].service(true, t.collector)()
	used := time.Duration(0)
	for range telemetryScrape {
		begun := bulk.CPUTime(t)
		t.edges[0].scrape(t.Context())
		used += bulk.CPUTime(t) - begun
	}
	return used / telemetryScrape
}

func median(all []float64) float64 {
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// noise is the standard error of a mean.
func noise(all []float64) float64 {
	var sum, squares float64
	for _, x := range all {
		sum += x
	}
	n := float64(len(all))
	for _, x := range all {
		squares += (x - sum/n) * (x - sum/n)
	}
	return math.Sqrt(squares / (n - 1) / n)
}
