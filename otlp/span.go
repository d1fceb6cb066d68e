package otlp

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/weft-sdn/weft/engine"
)

// maxText bounds the texts of attributes, in bytes.
const maxText = 256

// record makes a life a trace: the packet-in, and in it a span for each step. A step that has not ended by then is not told.
func record(t trace.Tracer, edge string, l *engine.Life) {
	ctx, root := t.Start(context.Background(), "packet-in", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(l.Came), trace.WithAttributes(attributes(edge, l)...))
	for i := range l.Steps {
		s := &l.Steps[i]
		if s.Ended.IsZero() {
			continue
		}
		_, span := t.Start(ctx, string(s.Kind), trace.WithTimestamp(s.Began), trace.WithSpanKind(kindOf(s.Kind)))
		if s.Err != "" {
			span.SetStatus(codes.Error, short(s.Err))
		}
		span.End(trace.WithTimestamp(s.Ended))
	}
	root.End(trace.WithTimestamp(l.Ended))
}

// kindOf tells steps in which somebody else is asked from those within the agent.
func kindOf(k engine.StepKind) trace.SpanKind {
	switch k {
	case engine.StepCommit, engine.StepLookUp, engine.StepInstall:
		return trace.SpanKindClient
	case engine.StepPacketOut:
		return trace.SpanKindProducer
	}
	return trace.SpanKindInternal
}

// attributes are what a packet-in was about: fields that the pipeline matches on, and names of the network's objects.
func attributes(edge string, l *engine.Life) []attribute.KeyValue {
	list := []attribute.KeyValue{attribute.String("edge", edge), attribute.String("reason", l.Reason.String())}
	if l.Port != "" {
		tenant, _, _ := strings.Cut(l.Port, "/")
		list = append(list, attribute.String("vport", l.Port), attribute.String("tenant", tenant), attribute.Int("vport.id", int(l.VPort)))
	}
	if l.Keyed {
		list = append(list, attribute.String("flow", short(l.Flow.String())))
	}
	if l.Verdict != "" {
		list = append(list, attribute.String("verdict", l.Verdict))
	}
	if l.Drop != "" {
		list = append(list, attribute.String("drop", l.Drop))
	}
	if l.Dest != 0 {
		list = append(list, attribute.Int("dest.id", int(l.Dest)))
	}
	return list
}

// short bounds a text, whole runes of it.
func short(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}
