// Package otlp tells an OpenTelemetry collector the lives of packet-ins that an agent sampled: a trace for each, with a span for each step.
//
// A life's way: Take, which does not wait → Run → span.go (what a span says) → OTLP over gRPC. A collector that is away, or slow, costs what it would have been told, counted.
package otlp

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/credentials"

	"github.com/weft-sdn/weft/engine"
)

// Bounds of what waits for the collector.
const (
	maxWaiting  = 1024 // lives
	maxBatch    = 512  // spans in a request, about
	exportTime  = 5 * time.Second
	exportEvery = time.Second // at least, if there is something
)

// Config describes an exporter.
type Config struct {
	Address string                           // HOST:PORT of the collector's OTLP receiver
	TLS     credentials.TransportCredentials // nil: in the clear
	Version string                           // of this program
	Log     *slog.Logger                     // may be nil
}

// Exporter tells a collector of lives. Run does.
type Exporter struct {
	cfg   Config
	lives chan taken
	stats struct{ spans, dropped, failed atomic.Uint64 }
}

type taken struct {
	edge string
	life *engine.Life
}

// Stats are what became of what was taken.
type Stats struct {
	Spans   uint64 // that the collector has
	Dropped uint64 // lives for which there was no room, since the collector is too slow, or away
	Failed  uint64 // spans that it did not take
}

// New returns an exporter that does nothing until Run.
func New(cfg Config) *Exporter {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Exporter{cfg: cfg, lives: make(chan taken, maxWaiting)}
}

// Take returns what takes the lives at an edge. It does not wait.
func (x *Exporter) Take(edge string) func(*engine.Life) {
	return func(l *engine.Life) {
		select {
		case x.lives <- taken{edge, l}:
		default:
			x.stats.dropped.Add(1)
		}
	}
}

// Stats tells what became of what was taken.
func (x *Exporter) Stats() Stats {
	return Stats{x.stats.spans.Load(), x.stats.dropped.Load(), x.stats.failed.Load()}
}

// Run exports until ctx ends (nil). It waits for a collector that is away, however long.
func (x *Exporter) Run(ctx context.Context) error {
	options := []otlptracegrpc.Option{
		otlptracegrpc.WithEndpoint(x.cfg.Address), otlptracegrpc.WithTimeout(exportTime), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}),
	}
	if x.cfg.TLS == nil {
		options = append(options, otlptracegrpc.WithInsecure())
	} else {
		options = append(options, otlptracegrpc.WithTLSCredentials(x.cfg.TLS))
	}
	client, err := otlptracegrpc.New(ctx, options...) // it does not wait for the connection
	if err != nil {
		return err
	}
	b := batch{x: x, client: client}
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(&b), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithResource(resource.NewSchemaless(
		attribute.String("service.name", "weft-agent"), attribute.String("service.version", x.cfg.Version),
	)))
	tracer := provider.Tracer("github.com/weft-sdn/weft/otlp")
	tick := time.NewTicker(exportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), exportTime)
			defer stop()
			b.export(last)
			return client.Shutdown(last)
		case t := <-x.lives:
			record(tracer, t.edge, t.life)
			if len(b.spans) >= maxBatch {
				b.export(ctx)
			}
		case <-tick.C:
			b.export(ctx)
		}
	}
}

// batch gathers spans that have ended. It is of Run's goroutine.
type batch struct {
	x      *Exporter
	client sdk.SpanExporter
	spans  []sdk.ReadOnlySpan
	away   bool // the last export failed
}

// export sends what has gathered, and forgets it.
func (b *batch) export(ctx context.Context) {
	if len(b.spans) == 0 {
		return
	}
	n := uint64(len(b.spans))
	err := b.client.ExportSpans(ctx, b.spans)
	clear(b.spans)
	b.spans = b.spans[:0]
	if err != nil {
		b.x.stats.failed.Add(n)
		if !b.away && ctx.Err() == nil {
			b.x.cfg.Log.Warn("traces do not reach the collector", "address", b.x.cfg.Address, "err", err)
		}
	} else {
		b.x.stats.spans.Add(n)
		if b.away {
			b.x.cfg.Log.Info("traces reach the collector again", "address", b.x.cfg.Address)
		}
	}
	b.away = err != nil
}

// OnStart implements sdk.SpanProcessor.
func (b *batch) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements sdk.SpanProcessor.
func (b *batch) OnEnd(s sdk.ReadOnlySpan) { b.spans = append(b.spans, s) }

// Shutdown implements sdk.SpanProcessor.
func (b *batch) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdk.SpanProcessor.
func (b *batch) ForceFlush(context.Context) error { return nil }
