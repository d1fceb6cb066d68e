package cli

import (
	"context"
	"io"
	"path/filepath"
	"testing"
	"time"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/weft-sdn/weft/softswitch/impair"
)

func TestParseImpairment(t *testing.T) {
	number, got, err := ParseImpairment("3:loss=0.25,delay=5ms,jitter=1ms,reorder=0.5,rate=1000000,limit=10,seed=7")
	want := impair.Config{Loss: 0.25, Delay: 5 * time.Millisecond, Jitter: time.Millisecond, Reorder: 0.5, Rate: 1e6, Limit: 10, Seed: 7}
	if err != nil || number != 3 || got != want {
		t.Errorf("port %d, %+v, %v; want 3, %+v", number, got, err, want)
	}
	for _, text := range []string{"", "3", "3:", "x:loss=1", "70000:loss=1", "3:loss", "3:loss=2", "3:loss=x", "3:delay=5", "3:delay=-1s", "3:speed=1", "3:loss=0.1,,", "3:limit=-1"} {
		if _, _, err := ParseImpairment(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestProfile: bmv2 takes writes without an election id while no controller is there.
func TestProfile(t *testing.T) {
	for profile, want := range map[string]codes.Code{"strict": codes.PermissionDenied, "bmv2": codes.OK} {
		t.Run(profile, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "grpc")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			cmd := NewCommand()
			cmd.SetErr(io.Discard)
			cmd.SetArgs([]string{"--profile", profile, "--grpc-server-addr", "unix:" + socket, "--p4info", "../testdata/probe.p4info.txtpb", "../testdata/probe.json"})
			done := make(chan error, 1)
			go func() { done <- cmd.ExecuteContext(ctx) }()
			conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = p4v1.NewP4RuntimeClient(conn).Write(ctx, &p4v1.WriteRequest{DeviceId: 1}, grpc.WaitForReady(true))
			if status.Code(err) != want {
				t.Errorf("Write: %v, want %v", err, want)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
