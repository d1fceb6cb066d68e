package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/topology"
)

// places checks that both directions of the bindings agree in etcd, and returns them.
func places(t *testing.T, s *Store) map[string]string {
	t.Helper()
	all, _ := contents(t, s.client, devPrefix, ifacePrefix)
	forward, reverse := map[string]string{}, map[string]string{}
	for key, value := range all {
		k, _ := parseDeviceKey(key)
		if byPlace := strings.HasPrefix(key, ifacePrefix); byPlace || k.record == recordBind {
			b, err := decodeBinding(key, []byte(value))
			if err != nil {
				t.Fatal(err)
			}
			if byPlace {
				reverse[strings.TrimPrefix(key, ifacePrefix)] = b.VPort.String()
			} else {
				forward[strings.TrimPrefix(b.iface(), ifacePrefix)] = b.VPort.String()
			}
		}
	}
	if d := cmp.Diff(forward, reverse); d != "" {
		t.Errorf("the two directions differ: %s", d)
	}
	return forward
}

func TestBindMovesAtomically(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, network)
	vm1, vm2 := ref(topology.KindVPort, "vm1"), ref(topology.KindVPort, "vm2")
	if _, err := s.Bind(t.Context(), vm2, "e1", "eth1", 0); err == nil || !strings.Contains(err.Error(), "eth1") || !strings.Contains(err.Error(), "binding acme/vm1") {
		t.Errorf("second bind of eth1: %v; want an error that names the interface and who has it", err)
	}
	if _, err := s.Bind(t.Context(), ref(topology.KindVPort, "nobody"), "e1", "eth2", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("bind of nothing: %v", err)
	}
	if _, err := s.Bind(t.Context(), vm2, "e1", "eth1", 30); err != nil {
		t.Errorf("another VLAN of eth1: %v", err)
	}

	// Every view along the moves has vm1 at exactly one place.
	n := id(t, s, topology.KindVPort, "vm1")
	var mu sync.Mutex
	seen := map[string]bool{}
	stopWatch := running(t, func(ctx context.Context) error {
		return s.Watch(ctx, func(c Change) {
			mu.Lock()
			defer mu.Unlock()
			b, ok := c.View.Bindings.Get(5)
			if !ok {
				t.Error("vm1 is bound nowhere for a moment")
			}
			seen[b.Edge] = true
		})
	})
	var rev int64
	for i := range 10 {
		var err error
		if rev, err = s.Bind(t.Context(), vm1, fmt.Sprintf("e%d", i%3+1), "Ethernet1/1", 0); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := wait(t, s, rev).Bindings.Get(5); n != 5 || b.Edge != "e1" || b.Name != "vm1" {
		t.Errorf("vm1 (%d) is at %+v", n, b)
	}
	want := map[string]string{"e1/Ethernet1%2F1/0": "5", "e1/eth1/30": "6"}
	if d := cmp.Diff(want, places(t, s)); d != "" {
		t.Error(d)
	}
	// Two ports swap places in one change.
	swap := func(vm, iface, vlan string) string {
		return fmt.Sprintf("---\napiVersion: weft/v1\nkind: Binding\nmetadata: {name: %s, tenant: acme}\nspec: {vport: %s, edge: e1, interface: %s, vlan: %s}\n", vm, vm, iface, vlan)
	}
	apply(t, s, swap("vm1", "eth1", "30")+swap("vm2", "Ethernet1/1", "0"))
	want = map[string]string{"e1/Ethernet1%2F1/0": "6", "e1/eth1/30": "5"}
	if d := cmp.Diff(want, places(t, s)); d != "" {
		t.Error(d)
	}
	if got := s.View().Bindings.Edge("e1"); len(got) != 2 || got[0].VPort != 5 || got[1].VPort != 6 {
		t.Errorf("bindings of e1: %+v", got)
	}
	stopWatch()
	if len(seen) == 0 || seen[""] {
		t.Errorf("edges seen: %v", seen)
	}
	for _, vm := range []topology.Ref{vm1, vm2} {
		if rev, err := s.Unbind(t.Context(), vm); err != nil {
			t.Error(err)
		} else {
			wait(t, s, rev)
		}
		if _, err := s.Unbind(t.Context(), vm); !errors.Is(err, ErrNotFound) {
			t.Errorf("unbind twice: %v", err)
		}
	}
	if p := places(t, s); len(p) != 0 {
		t.Errorf("left: %v", p)
	}
}
