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
	telemetryScrape = 200              // scrapes that are measured
	telemetryRounds = 10               // seconds between two rounds: the default
	telemetryNever  = 3600             // none while decisions are measured
	scrapeEvery     = 15 * time.Second // as Prometheus does by convention
)

// BenchmarkTelemetryCost reports telemetry_cost, in percent of the rate of decisions: how much less an agent decides because of all that telemetry does. That is the sum of
//
//	decide    of the processor time of first packets, of all that takes part, the share of what is done for telemetry
//	quiet     the same while no flow begins: of the processors' time
//	scrape    the metrics of an agent with so many flows, once each 15 s: of the processors' time
//	accounts  what is always counted: the share of the time of first packets in which they are accounted, by vport, rule and reason
//	rounds    the same: entries that are read back each 10 s, of the processors' time, for so many flows; of that _target is what the switch takes to answer
//
// Processors are those that the process may use: decisions take all of them, so what something else takes is missing to them. Each is by a profile. _pairs is decide and accounts' allocations measured otherwise: the processor time of a first packet with telemetry and without, the median of pairs of turns; _noise is the
// standard error of their mean, which is some percent on a shared machine, more than what is looked for. _wall is that by rate.
//
// With telemetry: a collector takes traces of one packet of a thousand, the switch tells of its ports by gNMI each 5 s and when something changes, and somebody is
// subscribed to the virtual network's statuses and counters, each 5 s. All of them are of this process, and what they take counts, on both sides. Two edges run beside each other, one of them with telemetry, the other
// one in the second half; their turns come one after the other, without rounds, and of _pairs what else there is to do while nothing is decided is taken off.
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

	idle    [2]measured // without rounds
	resting measured    // with them, and without telemetry
	decided [2]measured // turns of both halves
	percent []float64   // of each pair
	rates   []float64   // the same, by rate
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
type measured struct {
	cpu, took time.Duration
	profiles  profiles
}

// measure does something, and says what it took.
func (t *telemetryCost) measure(do func()) (m measured) {
	t.Helper()
	runtime.GC()
	var file bytes.Buffer
	if err := pprof.StartCPUProfile(&file); err != nil {
		t.Fatalf("this benchmark profiles itself: %v", err)
	}
	begun, used := time.Now(), bulk.CPUTime(t)
	do()
	m.cpu, m.took = bulk.CPUTime(t)-used, time.Since(begun)
	pprof.StopCPUProfile()
	p, err := profile.Parse(&file)
	if err != nil {
		t.Fatal(err)
	}
	m.profiles = profiles{p}
	return m
}

// add adds what something else took.
func (m *measured) add(x measured) {
	m.cpu, m.took, m.profiles = m.cpu+x.cpu, m.took+x.took, append(m.profiles, x.profiles...)
}

// share is the part of the processor time that was spent within functions, in percent.
func (m *measured) share(of []string) float64 {
	return 100 * float64(m.profiles.within(of)) / float64(m.cpu)
}

// occupied is the part of the processors' time that functions took, in percent.
func (m *measured) occupied(by []string) float64 {
	return ofProcessors(m.profiles.within(by), m.took)
}

func ofProcessors(used, took time.Duration) float64 {
	return 100 * float64(used) / float64(took) / float64(runtime.GOMAXPROCS(0))
}

// busy is what was taken of one processor.
func (m *measured) busy() float64 { return float64(m.cpu) / float64(m.took) }

// profiles are of processor time.
type profiles []*profile.Profile

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

// What is only done for telemetry, at both ends; what accounts a packet as it is decided; what reads entries back, and stores what is accounted; what of that is the target's; and who answers Prometheus.
var (
	telemetryFuncs = []string{
		"engine.(*sampler).", "engine.(*Life).", "engine.(*lives).", "engine.due.", "engine.(*core).over", "otlp.", "go.opentelemetry.io/",
		"telemetry.", "openconfig.", "gnmi.", "softswitch/gnmi.", "github.com/openconfig/",
	}
	accountFuncs = []string{"engine.(*core).slow", "engine.(*core).dropped", "engine.(*core).lose"}
	roundFuncs   = []string{
		"engine.(*core).round", "engine.(*core).readAll", "engine.(*readback).", "engine.(*Agent).readFlows", "engine.(*core).count", "engine.(*core).sweepUsage", "engine.(*usage).", "engine.(*ruleStore).",
		"p4rt.(*link).read", "p4rt.(*link).query", "softswitch.(*Server).Read", "google.golang.org/grpc",
	}
	targetFuncs = []string{"softswitch.(*Server).Read"}
	scrapeFuncs = []string{"net/http.", "github.com/prometheus/"}
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
	rest := func() measured { return t.measure(func() { <-time.After(telemetryTime) }) }
	stop := t.edges[0].service(false, t.collector, telemetryRounds)
	t.edges[0].begin(telemetryQuiet)
	t.resting = rest() // while none of them is idle for long enough to end
	stop()
	for on := range t.idle {
		stop := t.edges[0].service(on == 1, t.collector, telemetryNever)
		t.idle[on] = rest()
		stop()
	}
}

// half measures pairs of turns: of an edge with telemetry, and of the other one without. Which is first changes.
func (t *telemetryCost) half(with int) {
	edges := [2]*telemetryEdge{t.edges[1-with], t.edges[with]} // without, with
	for on, e := range edges {
		defer e.service(on == 1, t.collector, telemetryNever)()
		e.begin(telemetryWarm)
	}
	both := t.idle[0].busy() + t.idle[1].busy()
	for pair := range telemetryPairs {
		var rate, cpu [2]float64
		for turn := range 2 {
			on, n := (turn+pair)%2, 0
			m := t.measure(func() { n = edges[on].begin(telemetryFlows) })
			t.decided[on].add(m)
			rate[on], cpu[on] = float64(n)/m.took.Seconds(), (float64(m.cpu)-both*float64(m.took))/float64(n)
		}
		t.percent, t.rates = append(t.percent, 100*(1-cpu[0]/cpu[1])), append(t.rates, 100*(1-rate[1]/rate[0]))
		t.Logf("half %d, pair %d: without %.0f/s and %.1f us, with %.0f/s and %.1f us: %.1f %%, %.1f %% by rate",
			with, pair, rate[0], cpu[0]/1e3, rate[1], cpu[1]/1e3, t.percent[len(t.percent)-1], t.rates[len(t.rates)-1])
	}
}

// report reports the figures.
func (t *telemetryCost) report(b *testing.B) {
	all := t.decided[0]
	all.add(t.decided[1])
	parts := []struct {
		name    string
		percent float64
	}{
		{"decide", t.decided[1].share(telemetryFuncs)}, {"quiet", t.idle[1].occupied(telemetryFuncs)}, {"scrape", t.scrape()},
		{"accounts", all.share(accountFuncs)}, {"rounds", t.resting.occupied(roundFuncs)},
	}
	sum := 0.0
	for _, x := range parts {
		b.ReportMetric(x.percent, "telemetry_cost_"+x.name+":%")
		sum += x.percent
	}
	b.ReportMetric(sum, "telemetry_cost:%")
	b.ReportMetric(t.resting.occupied(targetFuncs), "telemetry_cost_target:%")
	b.ReportMetric(median(t.percent), "telemetry_cost_pairs:%")
	b.ReportMetric(noise(t.percent), "telemetry_cost_noise:%")
	b.ReportMetric(median(t.rates), "telemetry_cost_wall:%")
	b.Logf("quiet: without %.2f %% of a processor, with %.2f %%", 100*t.idle[0].busy(), 100*t.idle[1].busy())
}

// scrape is what scrapes take of an agent with all flows that there are, in percent of the processors' time.
func (t *telemetryCost) scrape() float64 {
	defer t.edges[0].service(true, t.collector, telemetryNever)()
	m := t.measure(func() {
		for range telemetryScrape {
			t.edges[0].scrape(t.Context())
		}
	})
	return ofProcessors(m.profiles.within(scrapeFuncs)/telemetryScrape, scrapeEvery)
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
