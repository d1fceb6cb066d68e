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
		return ServeGNMI(ctx, l, store, known, secure, slog.New(slog.DiscardHandler))
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
