//go:build unix

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnmic/pkg/api"
	otlpserver "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/weft-sdn/weft/access"
	weftagent "github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/openconfig"
	"github.com/weft-sdn/weft/testbed/bulk"
)

// gnmiEvery is how often counters are told by gNMI, in seconds: the default of agents.
const gnmiEvery = 5

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

// service runs an agent as weft agent does, which reads counters back each so many seconds, and returns when its target holds what it is to, and everybody who asks has got his first answers. on: with all telemetry, and those who ask for it, but for Prometheus.
func (r *rig) service(on bool, collector string, counters int) (stop func()) {
	r.Helper()
	gnmi, tracing := "", ""
	if on {
		gnmi, tracing = fmt.Sprintf("gnmi: {address: %q, interval: %d}", r.target.address(), gnmiEvery), fmt.Sprintf("tracing: {address: %q}", collector)
	}
	cfg, err := weftagent.Decode("agent.yaml", r.dir, fmt.Appendf(nil, `
etcd: {endpoints: [%q]}
listen: "unix:%s/status"
%s
edges:
- id: %s
  target: {address: %q, profile: softswitch}
  vportShare: 100
  counterInterval: %d
  vteps: [%v]
  uplinks: [{port: 256, mac: 02:ed:00:00:00:01, addresses: [192.0.2.2], gateways: [192.0.2.1], mtu: 1600}]
  %s
`, r.etcd.Endpoints()[0], r.dir, tracing, bulk.Edge, r.target.address(), counters, vtep(1, 4), gnmi))
	if err != nil {
		r.Fatal(err)
	}
	ends := []func(){r.run(func(ctx context.Context) error { return weftagent.Run(ctx, cfg, slog.New(slog.DiscardHandler)) })}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Minute)
	defer cancel()
	r.until("the agent serves", func() bool {
		status, _, err := r.get(ctx, "/readyz")
		return err == nil && status == http.StatusOK
	})
	if err := r.store.WaitApplied(ctx, r.revision); err != nil {
		r.Fatal(err)
	}
	if on {
		r.until("the switch has told of its ports", func() bool { return r.synced(ctx) })
		ends = append(ends, r.subscriber())
	}
	return func() {
		for _, end := range slices.Backward(ends) {
			end()
		}
	}
}

// synced asks the agent whether its switch has told of its ports.
func (r *rig) synced(ctx context.Context) bool {
	_, body, err := r.get(ctx, "/v1/interfaces")
	var list weftagent.InterfaceList
	return err == nil && json.Unmarshal(body, &list) == nil && len(list.Telemetry) == 1 && list.Telemetry[0].Synced
}

// get asks the agent's status server.
func (r *rig) get(ctx context.Context, path string) (status int, body []byte, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.dir+"/status")
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// scrape reads the agent's metrics.
func (r *rig) scrape(ctx context.Context) {
	r.Helper()
	if status, body, err := r.get(ctx, "/metrics"); err != nil || status != http.StatusOK || len(body) == 0 {
		r.Fatalf("metrics: status %d, %v", status, err)
	}
}

// everybody may see all.
type everybody struct{}

func (everybody) Authenticate(*http.Request) (access.Identity, error) {
	return access.Identity{Subject: "monitoring", Role: access.ProviderAdmin}, nil
}

func (everybody) Allow(context.Context, access.Identity, access.Action) error { return nil }

// subscriber serves the virtual network by gNMI, and has somebody follow it: statuses as they change, counters each gnmiEvery seconds. He has all that there is when it returns.
func (r *rig) subscriber() (stop func()) {
	r.Helper()
	must := func(err error) {
		r.Helper()
		if err != nil {
			r.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	network, server := openconfig.New(r.store, everybody{}), grpc.NewServer()
	network.Register(server)
	ends := []func(){r.run(network.Run), r.run(func(ctx context.Context) error {
		context.AfterFunc(ctx, server.Stop)
		return server.Serve(l)
	})}
	req, err := api.NewSubscribeRequest(api.SubscriptionListModeSTREAM(), api.EncodingPROTO(),
		api.Subscription(api.Path("/interfaces/interface[name=*]/state/oper-status"), api.SubscriptionModeON_CHANGE()),
		api.Subscription(api.Path("/interfaces/interface[name=*]/state/counters"), api.SubscriptionModeSAMPLE(), api.SampleInterval(gnmiEvery*time.Second)))
	must(err)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := gpb.NewGNMIClient(conn).Subscribe(ctx)
	must(err)
	must(stream.Send(req))
	for synced := false; !synced; {
		answer, err := stream.Recv()
		must(err)
		synced = answer.GetSyncResponse()
	}
	ends = append(ends, r.run(func(end context.Context) error {
		context.AfterFunc(end, cancel)
		for {
			if _, err := stream.Recv(); err != nil {
				return errors.Join(conn.Close(), end.Err())
			}
		}
	}))
	return func() {
		for _, end := range slices.Backward(ends) {
			end()
		}
	}
}
