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
	telemetryPairs  = 8
	telemetryFlows  = 10_000           // that are measured in a turn
	telemetryWarm   = 1_000            // and those before them
	telemetryQuiet  = 20_000           // that there are while none begins
	telemetryWindow = 256              // under way at once
	telemetryTime   = 20 * time.Second // of quiet
	telemetryScrape = 20               // scrapes that are measured
	scrapeEvery     = 15 * time.Second // as Prometheus does by convention
)

// BenchmarkTelemetryCost reports telemetry_cost, in percent of the rate of decisions: how much less an agent decides because of all that telemetry does. That is the sum of
//
//	decide    of turns in pairs, with telemetry and without, one after the other: processor time of a first packet that gets an entry, of all that takes part; the median of the pairs
//	quiet     what is asked for while no flow begins, with telemetry and without: of one processor
//	scrape    the metrics of an agent with so many flows, once each 15 s: of one processor
//	accounts  what is always counted: the share of the time of first packets in which they are accounted, by vport, rule and reason, as a profile tells
//	rounds    the same: entries that are read back each 10 s, of one processor, for so many flows
//
// With telemetry: a collector takes traces of one packet of a thousand, the switch tells of its ports by gNMI each 5 s and when something changes, and somebody is
// subscribed to the virtual network's statuses and counters, each 5 s. All of them are of this process, and what they take counts. The other figures are of processor time too, as other work on the
// machine changes that less than rates; telemetry_cost_noise is the standard error of decide.
func BenchmarkTelemetryCost(b *testing.B) {
	for b.Loop() {
		r := newRig(b, rigConfig{objects: bulk.Network(bulk.OddPorts(), ""), share: 100, frames: telemetryQuiet + 2*telemetryPairs*(telemetryFlows+telemetryWarm), reachable: true})
		t := &telemetryCost{rig: r, collector: r.collector()}
		t.quiet()
		for pair := range telemetryPairs {
			t.pair(pair)
		}
		t.report(b)
	}
}

// telemetryCost is what was measured, without telemetry and with it.
type telemetryCost struct {
	*rig
	collector string
	next      int // flow

	idle    [2]measured
	decided [2]measured // all turns
	percent []float64   // of each pair
	rates   []float64   // the same, by rate
}

// measured is what something took.
type measured struct {
	cpu, took time.Duration
	profiles  []*profile.Profile
}

// measure does something, and says what it took.
func (r *rig) measure(do func()) (m measured) {
	r.Helper()
	var file bytes.Buffer
	runtime.GC()
	if err := pprof.StartCPUProfile(&file); err != nil {
		r.Fatalf("this benchmark profiles itself: %v", err)
	}
	begun, used := time.Now(), bulk.CPUTime(r)
	do()
	m.cpu, m.took = bulk.CPUTime(r)-used, time.Since(begun)
	pprof.StopCPUProfile()
	p, err := profile.Parse(&file)
	if err != nil {
		r.Fatal(err)
	}
	m.profiles = []*profile.Profile{p}
	return m
}

func (m *measured) add(o measured) {
	m.cpu, m.took, m.profiles = m.cpu+o.cpu, m.took+o.took, append(m.profiles, o.profiles...)
}

// share is how much of the time was spent within functions, by the begins of their names behind the module's.
func (m *measured) share(of []string) float64 {
	var within, all int64
	for _, p := range m.profiles {
		for _, s := range p.Sample {
			all += s.Value[1]
			if slices.ContainsFunc(s.Location, func(l *profile.Location) bool {
				return slices.ContainsFunc(l.Line, func(line profile.Line) bool {
					name := strings.TrimPrefix(line.Function.Name, "github.com/weft-sdn/weft/")
					return slices.ContainsFunc(of, func(begin string) bool { return strings.HasPrefix(name, begin) })
				})
			}) {
				within += s.Value[1]
			}
		}
	}
	return float64(within) / float64(max(1, all))
}

// What accounts packets, and what reads entries back, with who answers that.
var (
	accountFuncs = []string{"engine.(*core).slow", "engine.(*usage).", "engine.ruleHits.", "engine.(*ruleStore).", "engine.passageOf", "engine.(*core).sweepUsage", "engine.(*core).dropped", "engine.(*core).lose"}
	roundFuncs   = append([]string{"engine.(*core).round", "engine.(*core).readAll", "engine.(*readback).", "engine.(*Agent).readFlows", "engine.(*core).count", "p4rt.(*link).read", "p4rt.(*link).query", "softswitch.(*Server).Read", "google.golang.org/grpc"}, accountFuncs...)
)

// begin begins flows, and returns how many first packets the agent got.
func (t *telemetryCost) begin(n int) int {
	t.Helper()
	arrived, again, _ := t.flows(bulk.Odd, t.next, t.next+n, telemetryWindow, 3*time.Minute)
	t.check(arrived == n, "%d of %d first packets arrived", arrived, n)
	t.next += n
	return n + again
}

// quiet measures what there is to do while no flow begins.
func (t *telemetryCost) quiet() {
	for _, on := range [...]int{1, 0} {
		stop := t.service(on == 1, t.collector)
		if on == 1 {
			t.begin(telemetryQuiet)
		}
		t.idle[on] = t.measure(func() { <-time.After(telemetryTime) })
		stop()
	}
}

// pair measures two turns. Which is first changes.
func (t *telemetryCost) pair(pair int) {
	var rate, cpu [2]float64
	for turn := range 2 {
		on := (turn + pair) % 2
		stop := t.service(on == 1, t.collector)
		t.begin(telemetryWarm)
		n := 0
		m := t.measure(func() { n = t.begin(telemetryFlows) })
		stop()
		t.decided[on].add(m)
		rate[on], cpu[on] = float64(n)/m.took.Seconds(), float64(m.cpu)/float64(n)
	}
	t.percent, t.rates = append(t.percent, 100*(1-cpu[0]/cpu[1])), append(t.rates, 100*(1-rate[1]/rate[0]))
	t.Logf("pair %d: off %.0f/s and %.1f us, on %.0f/s and %.1f us: %.1f %% by processor time, %.1f %% by rate", pair, rate[0], cpu[0]/1e3, rate[1], cpu[1]/1e3, t.percent[pair], t.rates[pair])
}

// report reports the figures.
func (t *telemetryCost) report(b *testing.B) {
	idle := [2]float64{100 * float64(t.idle[0].cpu) / float64(t.idle[0].took), 100 * float64(t.idle[1].cpu) / float64(t.idle[1].took)}
	decide, quiet := median(t.percent), idle[1]-idle[0]
	rounds, accounts := idle[0]*t.idle[0].share(roundFuncs), 100*t.decided[1].share(accountFuncs)
	scrape := t.scrapeCPU()
	b.Logf("quiet: off %.2f %% of a processor, on %.2f %%", idle[0], idle[1])
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
	stop := t.service(true, t.collector)
	defer stop()
	used := time.Duration(0)
	for range telemetryScrape {
		begun := bulk.CPUTime(t)
		t.scrape(t.Context())
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
