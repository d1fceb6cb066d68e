package telemetry_test

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/telemetry"
	"github.com/weft-sdn/weft/testbed/wait"
)

func TestMain(m *testing.M) {
	code := m.Run()
	// The fakes of openconfig/gnmi log by glog, which flushes for ever.
	if err := goleak.Find(goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon")); err != nil && code == 0 {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	wait.Until(t, what, holds)
}

// target is a gNMI server that does what a test says.
type target struct {
	gpb.UnimplementedGNMIServer
	encodings []gpb.Encoding
	subscribe func(*gpb.SubscriptionList, gpb.GNMI_SubscribeServer) error
	get       func(*gpb.GetRequest) (*gpb.GetResponse, error)
	hangs     bool // in Capabilities

	mu    sync.Mutex
	lists []*gpb.SubscriptionList
}

func (s *target) Capabilities(ctx context.Context, _ *gpb.CapabilityRequest) (*gpb.CapabilityResponse, error) {
	if s.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if s.encodings == nil {
		return nil, status.Error(codes.Unimplemented, "not here")
	}
	return &gpb.CapabilityResponse{SupportedEncodings: s.encodings, GNMIVersion: "0.10.0"}, nil
}

func (s *target) Get(_ context.Context, r *gpb.GetRequest) (*gpb.GetResponse, error) {
	if s.get == nil {
		return nil, status.Error(codes.Unimplemented, "not here")
	}
	return s.get(r)
}

func (s *target) Subscribe(stream gpb.GNMI_SubscribeServer) error {
	r, err := stream.Recv()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.lists = append(s.lists, r.GetSubscribe())
	s.mu.Unlock()
	return s.subscribe(r.GetSubscribe(), stream)
}

func (s *target) asked() []*gpb.SubscriptionList {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists
}

// serve runs a gRPC server with a gNMI service on it. It returns its address.
func serve(t *testing.T, service gpb.GNMIServer, options ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	gpb.RegisterGNMIServer(server, service)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// links are what a collector told, by name.
type links struct {
	mu  sync.Mutex
	now map[string]telemetry.State
}

func (l *links) take(x telemetry.Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now[x.Name] = x.State
}

func (l *links) of(name string) telemetry.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now[name]
}

// collect runs a collector until the test ends.
func collect(t *testing.T, cfg telemetry.Config) (*telemetry.Collector, *links) {
	t.Helper()
	l := &links{now: map[string]telemetry.State{}}
	cfg.OnLink = l.take
	if cfg.Options == nil {
		cfg.Options = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	c := telemetry.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c, l
}

func ifaceOf(c *telemetry.Collector, name string) telemetry.Interface {
	for _, i := range c.Interfaces() {
		if i.Name == name {
			return i
		}
	}
	return telemetry.Interface{}
}
