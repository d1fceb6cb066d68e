package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	otlpserver "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch/cli"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/certs"
)

// receiver is an OTLP receiver.
type receiver struct {
	otlpserver.UnimplementedTraceServiceServer
	mu    sync.Mutex
	lives map[string]*traced // by trace id
	all   strings.Builder    // all that came
}

// traced is a trace.
type traced struct {
	attrs map[string]string // of its root
	steps map[string]*otlptrace.Span
}

func (r *receiver) Export(_ context.Context, req *otlpserver.ExportTraceServiceRequest) (*otlpserver.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, _ := protojson.Marshal(req)
	r.all.Write(text)
	for _, x := range req.GetResourceSpans() {
		for _, y := range x.GetScopeSpans() {
			for _, s := range y.GetSpans() {
				t := r.lives[string(s.GetTraceId())]
				if t == nil {
					t = &traced{map[string]string{}, map[string]*otlptrace.Span{}}
					r.lives[string(s.GetTraceId())] = t
				}
				t.steps[s.GetName()] = s
				if len(s.GetParentSpanId()) == 0 {
					for _, a := range s.GetAttributes() {
						t.attrs[a.GetKey()] = a.GetValue().GetStringValue()
					}
				}
			}
		}
	}
	return &otlpserver.ExportTraceServiceResponse{}, nil
}

// find returns a trace that has such attributes and steps, nil if there is none.
func (r *receiver) find(attrs map[string]string, steps ...string) *traced {
	r.mu.Lock()
	defer r.mu.Unlock()
next:
	for _, t := range r.lives {
		for k, v := range attrs {
			if !strings.Contains(t.attrs[k], v) {
				continue next
			}
		}
		for _, s := range steps {
			if t.steps[s] == nil {
				continue next
			}
		}
		return t
	}
	return nil
}

// String lists the traces.
func (r *receiver) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, t := range r.lives {
		fmt.Fprintln(&b, t.attrs, slices.Sorted(maps.Keys(t.steps)))
	}
	return b.String()
}

// startReceiver serves over TLS, and returns where.
func startReceiver(t *testing.T, ca *certs.Authority) (*receiver, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	creds, err := credentials.NewServerTLSFromFile(ca.Cert("otel"), ca.Key("otel"))
	if err != nil {
		t.Fatal(err)
	}
	r, server := &receiver{lives: map[string]*traced{}}, grpc.NewServer(grpc.Creds(creds))
	otlpserver.RegisterTraceServiceServer(server, r)
	running(t, func(ctx context.Context) error {
		context.AfterFunc(ctx, server.Stop)
		if err := server.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	})
	return r, l.Addr().String()
}

// remembering has connections be remembered, and lets nobody send to UDP port 9.
const remembering = `
{apiVersion: weft/v1, kind: Chain, metadata: {name: rules, tenant: acme}, spec: {default: accept, rules: [{match: {protocols: [udp], dstPorts: [9]}, action: drop}, {match: {states: [established]}, action: accept}, {match: {states: [new], protocols: [udp], dstPorts: [53]}, action: accept}]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {filters: {ingress: rules}}}
`

// TestTracing: what becomes of packet-ins comes to an OTLP receiver step by step: of one that begins a connection and is forwarded, and of one that is dropped, in both families; with names and
// fields of headers, and nothing of what the packets carry.
func TestTracing(t *testing.T) {
	dir := shortDir(t)
	ca, err := certs.New(dir)
	if err == nil {
		err = ca.Issue("otel")
	}
	if err != nil {
		t.Fatal(err)
	}
	r, address := startReceiver(t, ca)
	endpoint, _ := startDatabase(t, state.EmbeddedConfig{})
	c := oneEdge(t, dir, fmt.Sprintf(`{endpoints: [%q]}`, endpoint), "{}")
	c.Tracing = Tracing{Address: address, TLS: TLS{CA: ca.Cert("ca")}, Every: 1}
	store := openStore(t, c.Etcd)
	startSwitch(t, dir, "unix:"+dir+"/sw", cli.TLS{})
	client, stop := startAgent(t, c)
	untilState(t, client, "nic1", Serving)
	if err := store.WaitApplied(t.Context(), apply(t, store, network)); err != nil {
		t.Fatal(err)
	}
	if err := store.WaitApplied(t.Context(), apply(t, store, remembering)); err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2 hunter2"
	vm1 := plug(t, dir+"/p1")
	for _, prefix := range []string{"10.0.0.", "fd00::"} {
		src, dst := netip.MustParseAddr(prefix+"1"), netip.MustParseAddr(prefix+"2")
		for port, test := range map[uint16]struct {
			attrs map[string]string
			steps []string
		}{
			53: {map[string]string{"verdict": "forward"}, []string{"packet-in", "queue", "simulate", "turn", "commit", "install", "packet-out"}},
			9:  {map[string]string{"verdict": "drop", "drop": "filtered"}, []string{"packet-in", "queue", "simulate", "turn", "install"}},
		} {
			frame := packet.AppendUDP(nil, &packet.UDP{SrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 2}, Src: src, Dst: dst, SrcPort: 40000, DstPort: port, Payload: []byte(secret)})
			test.attrs["edge"], test.attrs["vport"], test.attrs["tenant"], test.attrs["flow"], test.attrs["reason"] = "nic1", "acme/vm1", "acme", fmt.Sprintf("dport=%d", port), "miss"
			until(t, func() string {
				if _, err := vm1.port.Send([][]byte{frame}); err != nil { // again: the switch may not have seen yet that the cable is plugged in
					t.Fatal(err)
				}
				if r.find(test.attrs, test.steps...) == nil {
					return fmt.Sprintf("no trace of %v with %v: %s", test.attrs, test.steps, r)
				}
				return ""
			})
			x := r.find(test.attrs, test.steps...)
			root := x.steps["packet-in"]
			for name, s := range x.steps {
				if s.GetStartTimeUnixNano() < root.GetStartTimeUnixNano() || s.GetEndTimeUnixNano() > root.GetEndTimeUnixNano() || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() || name != "packet-in" && string(s.GetParentSpanId()) != string(root.GetSpanId()) || s.GetStatus().GetMessage() != "" {
					t.Errorf("%s: %v in %v", name, s, root)
				}
			}
		}
	}
	_, body := read(t, client, pathMetrics)
	for _, name := range []string{"weft_trace_spans_total", "weft_trace_spans_failed_total 0", "weft_trace_drops_total 0"} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("no metric %s", name)
		}
	}
	stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range []string{secret, json64(secret)} {
		if strings.Contains(r.all.String(), s) {
			t.Errorf("the collector was told %q", s)
		}
	}
}

// json64 is how bytes come in JSON.
func json64(s string) string {
	b, _ := json.Marshal([]byte(s))
	return strings.Trim(string(b), `"=`)
}

// TestTracingConfig: what is wrong with it is told by field.
func TestTracingConfig(t *testing.T) {
	for text, want := range map[string]string{
		"{every: 5}":                           "tracing.address",
		"{address: x}":                         "tracing.address",
		`{address: "unix:/x"}`:                 "tracing.address",
		`{address: "x:4317", every: -1}`:       "tracing.every",
		`{address: "x:4317", tls: {ca: none}}`: "tracing.tls.ca",
	} {
		_, err := Decode("agent.yaml", "", []byte("etcd: {endpoints: [\"http://127.0.0.1:1\"]}\ntracing: "+text+"\nedges: []\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	c := Tracing{Address: "x:4317"}
	c.fill("")
	if c.Every != defaultEvery {
		t.Errorf("one of %d by default", c.Every)
	}
}
