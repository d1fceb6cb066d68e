package agent

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"

	"github.com/weft-sdn/weft/engine"
	"github.com/weft-sdn/weft/otlp"
)

// Tracing is who is told the lives of a sample of packet-ins, as OpenTelemetry traces (O2). The zero Tracing: nobody.
type Tracing struct {
	Address string `json:"address"` // HOST:PORT of a collector's OTLP receiver, gRPC
	TLS     TLS    `json:"tls"`
	Every   uint32 `json:"every"` // one of how many packet-ins, on the average
}

const defaultEvery = 1000

func (t *Tracing) isZero() bool { return t.Address == "" && t.TLS.IsZero() && t.Every == 0 }

func (t *Tracing) fill(dir string) {
	if t.isZero() {
		return
	}
	t.TLS.within(dir)
	if t.Every == 0 {
		t.Every = defaultEvery
	}
}

func (c *checker) tracing(t *Tracing) {
	if t.isZero() {
		return
	}
	const use = "use the HOST:PORT of a collector's OTLP receiver for gRPC, such as otel.example.net:4317"
	if t.Address == "" {
		c.fail("tracing.address", "", "is missing", use)
	} else if problem, _ := addressProblem(t.Address); problem != "" || isUnix(t.Address) {
		c.fail("tracing.address", t.Address, "is not HOST:PORT", use)
	}
	c.all("tracing.tls", t.TLS.problems())
}

// exporter makes what tells the collector; nil: there is none.
func (t *Tracing) exporter(version string, log *slog.Logger) (*otlp.Exporter, error) {
	if t.isZero() {
		return nil, nil
	}
	c := otlp.Config{Address: t.Address, Version: version, Log: log}
	if !t.TLS.IsZero() {
		cfg, err := t.TLS.Client()
		if err != nil {
			return nil, err
		}
		c.TLS = credentials.NewTLS(cfg)
	}
	return otlp.New(c), nil
}

// traced has an agent's packet-ins traced, if the process does that.
func (r *runner) traced(c *engine.Config) {
	if r.traces != nil {
		c.TraceShare, c.Trace = 1/float64(r.traceEvery), r.traces.Take(r.cfg.ID)
	}
}

// traceMetrics gives what became of traces.
func (s *service) traceMetrics(out chan<- prometheus.Metric) {
	if s.traces == nil {
		return
	}
	n := s.traces.Stats()
	for _, x := range []struct {
		name, help string
		value      uint64
	}{
		{"trace_spans_total", "Spans that the collector of traces took.", n.Spans},
		{"trace_spans_failed_total", "Spans that it did not take.", n.Failed},
		{"trace_drops_total", "Packet-ins that were sampled and not told: the collector is too slow, or away.", n.Dropped},
	} {
		out <- prometheus.MustNewConstMetric(desc(x.name, x.help), prometheus.CounterValue, float64(x.value))
	}
}
