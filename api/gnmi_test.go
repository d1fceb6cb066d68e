package api

import (
	"context"
	"log/slog"
	"net"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/testbed/certs"
)

// gnmiLab is a gNMI server with TLS, to which nobody has access yet but by its first token, or a certificate.
type gnmiLab struct {
	at, token string
	ca        *certs.Authority
}

func authority(t *testing.T) *certs.Authority {
	t.Helper()
	ca, err := certs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server", "nic1"} {
		if err := ca.Issue(name); err != nil {
			t.Fatal(err)
		}
	}
	return ca
}

func newGNMILab(t *testing.T, limits Limits) *gnmiLab {
	t.Helper()
	store, ca := embedded(t), authority(t)
	known, err := access.New(access.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	running(t, known.Run)
	token, err := known.First(t.Context())
	if err != nil || token == "" {
		t.Fatal(token, err)
	}
	cfg := Config{TLS: agent.TLS{CA: ca.Cert("ca"), Cert: ca.Cert("server"), Key: ca.Key("server")}}
	secure, err := cfg.serverTLS()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running(t, func(ctx context.Context) error {
		return ServeGNMI(ctx, l, GNMIOptions{Store: store, Guard: known, Secure: secure, Limits: limits, Log: slog.New(slog.DiscardHandler)})
	})
	return &gnmiLab{l.Addr().String(), token, ca}
}

// dial makes a client that has a certificate, or none.
func (l *gnmiLab) dial(t *testing.T, with agent.TLS) gpb.GNMIClient {
	t.Helper()
	with.CA = l.ca.Cert("ca")
	c, err := with.Client()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(l.at, grpc.WithTransportCredentials(credentials.NewTLS(c)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return gpb.NewGNMIClient(conn)
}

// capable asks for the capabilities.
func capable(ctx context.Context, c gpb.GNMIClient) codes.Code {
	_, err := c.Capabilities(ctx, &gpb.CapabilityRequest{})
	return status.Code(err)
}

// TestGNMI: the server of a configuration serves the network by gNMI over TLS, to tokens that the REST API takes, and to no others.
func TestGNMI(t *testing.T) {
	l := newGNMILab(t, Limits{Rate: 20, Burst: 10, Watches: 20})
	client := l.dial(t, agent.TLS{})
	ask := func(authorization ...string) error {
		ctx := t.Context()
		for _, a := range authorization {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", a)
		}
		_, err := client.Get(ctx, &gpb.GetRequest{Encoding: gpb.Encoding_PROTO, Path: []*gpb.Path{{Elem: []*gpb.PathElem{{Name: "*"}}}}})
		return err
	}
	if err := ask("Bearer " + l.token); err != nil {
		t.Errorf("with the token: %v", err)
	}
	for _, bad := range [][]string{nil, {"Bearer " + l.token + "x"}, {l.token}, {"Bearer " + l.token, "Bearer " + l.token}} {
		if err := ask(bad...); status.Code(err) != codes.Unauthenticated {
			t.Errorf("with %d headers: %v", len(bad), err)
		}
	}
	_, err := client.Set(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+l.token), &gpb.SetRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("set: %v", err)
	}
}

// TestGNMICertificate: a client certificate is who one is, as at the REST API; one of another authority is nobody's, and ends the connection.
func TestGNMICertificate(t *testing.T) {
	l, other := newGNMILab(t, Limits{Rate: 20, Burst: 10, Watches: 20}), authority(t)
	for _, c := range []struct {
		what string
		with agent.TLS
		want codes.Code
	}{
		{"a certificate", agent.TLS{Cert: l.ca.Cert("nic1"), Key: l.ca.Key("nic1")}, codes.OK},
		{"none", agent.TLS{}, codes.Unauthenticated},
		{"one of another authority", agent.TLS{Cert: other.Cert("nic1"), Key: other.Key("nic1")}, codes.Unavailable},
	} {
		if got := capable(t.Context(), l.dial(t, c.with)); got != c.want {
			t.Errorf("with %s: %v", c.what, got)
		}
	}
}

// TestGNMILimits: who asks too often waits, and keeps nobody else from asking.
func TestGNMILimits(t *testing.T) {
	const burst, streams = 6, 2
	l := newGNMILab(t, Limits{Rate: 1, Burst: burst, Watches: streams})
	edge := l.dial(t, agent.TLS{Cert: l.ca.Cert("nic1"), Key: l.ca.Key("nic1")})
	limited := false
	for range 2 * burst {
		limited = limited || capable(t.Context(), edge) == codes.ResourceExhausted
	}
	if !limited {
		t.Errorf("%d requests at once are taken", 2*burst)
	}
	as := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+l.token)
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
	for err := error(nil); status.Code(err) != codes.ResourceExhausted; { // or the test's own end
		if err = open[0].Send(poll); err == nil {
			_, err = open[0].Recv()
		}
		if err != nil && status.Code(err) != codes.ResourceExhausted {
			t.Fatalf("polls: %v", err)
		}
	}
}
