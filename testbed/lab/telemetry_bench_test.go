//go:build unix

package lab

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	otlpserver "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	weftagent "github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/testbed/bulk"
)

// How telemetry is asked for while it is measured: three times as often as Prometheus does by default, and as gNMI is by default. A turn begins with both.
const (
	scrapeEvery = 5 * time.Second
	gnmiEvery   = 5 // seconds
)

// BenchmarkTelemetryCost reports telemetry_cost, in percent of the rate of decisions: what an agent decides less, of first packets that get an entry each, while its metrics are scraped each five
// seconds, a collector takes traces of one packet of a thousand, and its switch tells of its ports by gNMI, than one of which nothing is asked. Entries' counters are read in rounds in both. It is
// the median of pairs, in turns, of processor time per packet, of all that takes part, as other work on the machine changes that less than the rate: telemetry_cost_wall is by that. scrape_cpu is what
// one scrape costs of an agent with so many flows.
func BenchmarkTelemetryCost(b *testing.B) {
	const flows, pairs, window, scrapes = 10_000, 6, 256, 20
	for b.Loop() {
		r := newRig(b, rigConfig{objects: bulk.Network(bulk.OddPorts(), ""), share: 100, frames: 2 * pairs * flows, reachable: true})
		collector := r.collector()
		var byCPU, byRate []float64
		for pair := range pairs {
			var rate, cpu [2]float64
			for turn := range 2 {
				on := (turn + pair) % 2
				stop := r.service(map[int]string{1: collector}[on])
				from := (2*pair + turn) * flows
				begun, used := time.Now(), bulk.CPUTime(b)
				arrived, again, _ := r.flows(bulk.Odd, from, from+flows, window, 3*time.Minute)
				took, spent := time.Since(begun), bulk.CPUTime(b)-used
				r.check(arrived == flows, "%d of %d first packets arrived", arrived, flows)
				rate[on], cpu[on] = float64(flows+again)/took.Seconds(), float64(spent)/float64(flows+again)
				stop()
			}
			byCPU, byRate = append(byCPU, 100*(1-cpu[0]/cpu[1])), append(byRate, 100*(1-rate[1]/rate[0]))
			b.Logf("pair %d: off %.0f/s and %.1f us, on %.0f/s and %.1f us: %.1f %% by processor time, %.1f %% by rate", pair, rate[0], cpu[0]/1e3, rate[1], cpu[1]/1e3, byCPU[pair], byRate[pair])
		}
		stop, used := r.service(collector), time.Duration(0)
		for range scrapes {
			begun := bulk.CPUTime(b)
			if status, err := r.get(b.Context(), "/metrics"); err != nil || status != http.StatusOK {
				b.Fatalf("metrics: status %d, %v", status, err)
			}
			used += bulk.CPUTime(b) - begun
		}
		stop()
		b.ReportMetric(float64(used)/scrapes/1e6, "scrape_cpu:ms")
		b.ReportMetric(median(byCPU), "telemetry_cost:%")
		b.ReportMetric(median(byRate), "telemetry_cost_wall:%")
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// sink takes traces.
type sink struct {
	otlpserver.UnimplementedTraceServiceServer
}

func (sink) Export(context.Context, *otlpserver.ExportTraceServiceRequest) (*otlpserver.ExportTraceServiceResponse, error) {
	return &otlpserver.ExportTraceServiceResponse{}, nil
}

// collector starts an OTLP receiver, and returns where.
func (r *rig) collector() string {
	r.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	server := grpc.NewServer()
	otlpserver.RegisterTraceServiceServer(server, sink{})
	r.background(func(ctx context.Context) error {
		context.AfterFunc(ctx, server.Stop)
		return server.Serve(l)
	})
	return l.Addr().String()
}

// service runs an agent as weft agent does, and returns when its target holds what it is to. With a collector of traces, all telemetry is on.
func (r *rig) service(collector string) (stop func()) {
	r.Helper()
	telemetry := ""
	tracing := ""
	if collector != "" {
		telemetry, tracing = fmt.Sprintf("gnmi: {address: %q, interval: %d}", r.target.address(), gnmiEvery), fmt.Sprintf("tracing: {address: %q}", collector)
	}
	cfg, err := weftagent.Decode("agent.yaml", r.dir, fmt.Appendf(nil, `
etcd: {endpoints: [%q]}
listen: "unix:%s/status"
%s
edges:
- id: %s
  target: {address: %q, profile: softswitch}
  vportShare: 100
  vteps: [%v]
  uplinks: [{port: 256, mac: 02:ed:00:00:00:01, addresses: [192.0.2.2], gateways: [192.0.2.1], mtu: 1600}]
  %s
`, r.etcd.Endpoints()[0], r.dir, tracing, bulk.Edge, r.target.address(), vtep(1, 4), telemetry))
	if err != nil {
		r.Fatal(err)
	}
	ends := []func(){r.run(func(ctx context.Context) error { return weftagent.Run(ctx, cfg, slog.New(slog.DiscardHandler)) })}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Minute)
	defer cancel()
	for !r.ready(ctx) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			r.Fatal("the agent does not serve")
		}
	}
	if err := r.store.WaitApplied(ctx, r.revision); err != nil {
		r.Fatal(err)
	}
	if collector != "" {
		ends = append(ends, r.run(func(ctx context.Context) error { return r.scrape(ctx) }))
	}
	return func() {
		for _, end := range slices.Backward(ends) {
			end()
		}
	}
}

// ready asks whether the agent serves all its edges.
func (r *rig) ready(ctx context.Context) bool {
	status, err := r.get(ctx, "/readyz")
	return err == nil && status == http.StatusOK
}

// get asks the agent's status server.
func (r *rig) get(ctx context.Context, path string) (status int, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.dir+"/status")
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// scrape reads the agent's metrics again and again.
func (r *rig) scrape(ctx context.Context) error {
	tick := time.NewTicker(scrapeEvery)
	defer tick.Stop()
	for {
		if status, err := r.get(ctx, "/metrics"); ctx.Err() == nil && (err != nil || status != http.StatusOK) {
			return fmt.Errorf("metrics: status %d, %w", status, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
