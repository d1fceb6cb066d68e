package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/state"
)

// TestWaitBehind: apply --wait of what a live edge does not take says that the change is stored, which edge is behind, and has a status of its own; one that the edge has taken, but can't do, too.
func TestWaitBehind(t *testing.T) {
	endpoint, stop, err := startDatabase(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	store, err := state.Open(t.Context(), state.Config{Client: state.ClientConfig{Endpoints: []string{endpoint}}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	live := make(chan struct{}, 1)
	r, err := store.RegisterEdge(state.EdgeInfo{ID: "nic1", Encaps: []string{"vxlan"}, MTU: 1600, VTEPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}, state.EdgeConfig{Live: func() {
		select {
		case live <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	defer func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-live
	t.Setenv("WEFT_ETCD", endpoint)
	t.Setenv("WEFT_CONFIG", filepath.Join(t.TempDir(), "config.yaml"))
	net := filepath.Join(t.TempDir(), "net.yaml")
	if err := os.WriteFile(net, []byte("{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr buffer
	if code := run(t.Context(), []string{"apply", "-f", net, "--wait", "--timeout", "300ms"}, &stdout, &stderr); code != exitBehind || !strings.Contains(stderr.String(), "is stored, but after 300ms not applied by nic1 (at 0)") {
		t.Errorf("status %d: %s%s", code, stdout.String(), stderr.String())
	}
	r.Ack(1<<40, []state.Lack{{Tenant: "acme", Why: "the target has no such table"}})
	until(t, func() (bool, string) {
		var stdout, stderr buffer
		code := run(t.Context(), []string{"apply", "-f", net, "--wait"}, &stdout, &stderr)
		return code == exitBehind && strings.Contains(stderr.String(), "not all of it can be done:\n  edge nic1: "), stdout.String() + stderr.String()
	})
}
