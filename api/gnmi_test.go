package api

import (
	"context"
	"net"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"log/slog"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/testbed/certs"
)

// TestGNMI: the server of a configuration serves the network by gNMI over TLS, to tokens that the REST API takes, and to no others.
func TestGNMI(t *testing.T) {
	store := embedded(t)
	known, err := access.New(access.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	running(t, known.Run)
	token, err := known.First(t.Context())
	if err != nil || token == "" {
		t.Fatal(token, err)
	}
	ca, err := certs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue("server"); err != nil {
		t.Fatal(err)
	}
	cfg := Config{TLS: agent.TLS{Cert: ca.Cert("server"), Key: ca.Key("server")}}
	secure, err := cfg.serverTLS()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running(t, func(ctx context.Context) error {
		return ServeGNMI(ctx, l, GNMIOptions{Store: store, Guard: known, Secure: secure, Limits: Limits{Rate: 20, Burst: 10, Watches: 20}, Log: slog.New(slog.DiscardHandler)})
	})
	client, err := agent.TLS{CA: ca.Cert("ca")}.Client()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(client)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(authorization ...string) error {
		ctx := t.Context()
		for _, a := range authorization {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", a)
		}
		_, err := gpb.NewGNMIClient(conn).Get(ctx, &gpb.GetRequest{Encoding: gpb.Encoding_PROTO, Path: []*gpb.Path{{Elem: []*gpb.PathElem{{Name: "*"}}}}})
		return err
	}
	if err := ask("Bearer " + token); err != nil {
		t.Errorf("with the token: %v", err)
	}
	for _, bad := range [][]string{nil, {"Bearer " + token + "x"}, {token}, {"Bearer " + token, "Bearer " + token}} {
		if err := ask(bad...); status.Code(err) != codes.Unauthenticated {
			t.Errorf("with %d headers: %v", len(bad), err)
		}
	}
	_, err = gpb.NewGNMIClient(conn).Set(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token), &gpb.SetRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("set: %v", err)
	}
}

// TestGNMICertificate: a client certificate is who one is, as at the REST API; one of another authority is nobody's, and ends the connection. Who asks too often waits, and keeps nobody else from asking.
func TestGNMICertificate(t *testing.T) {
	store := embedded(t)
	known, err := access.New(access.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	running(t, known.Run)
	token, err := known.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	authorities := make([]*certs.Authority, 2)
	for i := range authorities {
		if authorities[i], err = certs.New(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"server", "nic1"} {
			if err := authorities[i].Issue(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	ca, other := authorities[0], authorities[1]
	cfg := Config{TLS: agent.TLS{CA: ca.Cert("ca"), Cert: ca.Cert("server"), Key: ca.Key("server")}}
	secure, err := cfg.serverTLS()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const burst, streams = 6, 2
	running(t, func(ctx context.Context) error {
		return ServeGNMI(ctx, l, GNMIOptions{Store: store, Guard: known, Secure: secure, Limits: Limits{Rate: 1, Burst: burst, Watches: streams}, Log: slog.New(slog.DiscardHandler)})
	})
	dial := func(with agent.TLS) gpb.GNMIClient {
		with.CA = ca.Cert("ca")
		c, err := with.Client()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(c)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return gpb.NewGNMIClient(conn)
	}
	capable := func(ctx context.Context, c gpb.GNMIClient) codes.Code {
		_, err := c.Capabilities(ctx, &gpb.CapabilityRequest{})
		return status.Code(err)
	}
	edge := dial(agent.TLS{Cert: ca.Cert("nic1"), Key: ca.Key("nic1")})
	if got := capable(t.Context(), edge); got != codes.OK {
		t.Errorf("with a certificate: %v", got)
	}
	if got := capable(t.Context(), dial(agent.TLS{})); got != codes.Unauthenticated {
		t.Errorf("with none: %v", got)
	}
	if got := capable(t.Context(), dial(agent.TLS{Cert: other.Cert("nic1"), Key: other.Key("nic1")})); got != codes.Unavailable {
		t.Errorf("with one of another authority: %v", got)
	}
	limited := false
	for range 2 * burst {
		limited = limited || capable(t.Context(), edge) == codes.ResourceExhausted
	}
	if !limited {
		t.Errorf("%d requests at once are taken", 2*burst)
	}
	as := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	if got := capable(as, edge); got != codes.OK {
		t.Errorf("of another caller meanwhile: %v", got)
	}
	list := &gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Subscribe{Subscribe: &gpb.SubscriptionList{
		Mode: gpb.SubscriptionList_POLL, Encoding: gpb.Encoding_PROTO, Subscription: []*gpb.Subscription{{Path: &gpb.Path{Elem: []*gpb.PathElem{{Name: "*"}}}}},
	}}}
	poll := &gpb.SubscribeRequest{Request: &gpb.SubscribeRequest_Poll{Poll: &gpb.Poll{}}}
	var open []gpb.GNMI_SubscribeClient
	for i := range streams + 1 {
		s, err := edge.Subscribe(as)
		if err == nil {
			err = s.Send(list)
		}
		if err == nil && i < streams {
			if err = s.Send(poll); err == nil {
				_, err = s.Recv()
			}
			if open = append(open, s); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err = s.Recv(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("subscription %d: %v", i, err)
		}
	}
	for status.Code(err) != codes.ResourceExhausted { // or the test's own end
		if err = open[0].Send(poll); err == nil {
			_, err = open[0].Recv()
		}
		if err != nil && status.Code(err) != codes.ResourceExhausted {
			t.Fatalf("polls: %v", err)
		}
	}
}
