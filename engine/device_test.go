package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

const elsewhere = `
apiVersion: weft/v1
kind: Bridge
metadata: {name: lan, tenant: red}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm, tenant: red}
spec: {device: bridge/lan}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: vm, tenant: red}
spec: {vport: vm, edge: e1, interface: "1"}
`

// runStore runs a store until the test ends.
func runStore(t testing.TB, cfg state.Config) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = s.Close()
	})
	return s
}

// TestUnknownKey: a frame by tunnel for a vport or group that this edge has nothing to do with has the device loaded, which is forgotten after a while
// (E10); one for an id that nobody has does nothing, and is not looked up for each frame.
func TestUnknownKey(t *testing.T) {
	all := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	objects, err := topology.Decode("test.yaml", []byte(elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	rev, err := all.Apply(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	if err := all.WaitRevision(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	id := func(kind topology.Kind, name string) flow.Dest {
		n, ok := all.View().Topology.ID(topology.Ref{Kind: kind, Tenant: "red", Name: name})
		if !ok {
			t.Fatalf("no %s %s", kind, name)
		}
		return flow.Dest(n)
	}
	lan, vm := id(topology.KindBridge, "lan"), id(topology.KindVPort, "vm")
	lazy := runStore(t, state.Config{Client: state.ClientConfig{Endpoints: all.Endpoints()}, Edges: []string{"e9"}, Linger: 100 * time.Millisecond})
	a, err := NewAgent(Config{
		Store: lazy, Self: Edge{ID: "e9"}, Dial: func(context.Context) (p4rt.Conn, error) { return nil, errors.New("no target") },
	})
	if err != nil {
		t.Fatal(err)
	}
	a.core.start(t.Context(), func(int64, []state.Lack) {})
	is := func(loaded bool) func(*topology.Snapshot) bool {
		return func(s *topology.Snapshot) bool { return (s.Bridge(topology.DeviceID(lan)) != nil) == loaded }
	}
	for _, key := range []flow.Dest{vm, lan} {
		if !is(false)(lazy.View().Topology) {
			t.Fatal("loaded before anybody needs it")
		}
		a.core.unknownKey(key)
		a.core.unknownKey(key)
		<-a.mail.wake
		a.mail.deliver()
		for _, loaded := range []bool{true, false} {
			if err := lazy.Wait(t.Context(), is(loaded)); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.core.unknownKey(flow.MaxID)
	<-a.mail.wake
	a.mail.deliver()
	if s := a.Stats(); s.UnknownKeys != 5 || len(a.core.devices.looked) != 3 || len(a.core.devices.reasons) != 0 {
		t.Errorf("%d frames counted, %d keys looked up, kept %v; want 5, 3 and nothing", s.UnknownKeys, len(a.core.devices.looked), a.core.devices.reasons)
	}
	a.core.devices.sweep(a.core.now() + refusedFor)
	if n := len(a.core.devices.looked); n != 0 {
		t.Errorf("%d questions are remembered for ever", n)
	}
	a.core.effects.wait()
}
