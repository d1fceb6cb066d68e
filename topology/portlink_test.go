package topology

import (
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

// TestLinkDown: that a port's link is down is a change of the port, once, whatever comes first, and is forgotten with its device; an older snapshot stays as it was.
func TestLinkDown(t *testing.T) {
	s, err := Load("net.yaml", []byte(`
{apiVersion: weft/v1, kind: Router, metadata: {name: r, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: acme}, spec: {device: router/r, addresses: [192.0.2.1/24, "2001:db8::1/64"]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := s.ID(Ref{KindVPort, "acme", "up"})
	port := flow.VPortID(n)
	down, deps := s.With(Changes{Links: []PortLink{{Port: port, Down: true}, {Port: 999, Down: true}}})
	if !down.LinkDown(port) || !down.LinkDown(999) || s.LinkDown(port) || !slices.Contains(deps, VPortDep(port)) {
		t.Errorf("down %t, before %t, changed %v", down.LinkDown(port), s.LinkDown(port), deps)
	}
	if same, deps := down.With(Changes{Links: []PortLink{{Port: port, Down: true}}}); !same.LinkDown(port) || len(deps) != 0 {
		t.Errorf("told again: %t, changed %v", same.LinkDown(port), deps)
	}
	up, deps := down.With(Changes{Links: []PortLink{{Port: port}}})
	if up.LinkDown(port) || !slices.Equal(deps, []Dep{VPortDep(port)}) {
		t.Errorf("up: %t, changed %v", up.LinkDown(port), deps)
	}
	if gone, _ := down.With(Changes{Forget: []DeviceID{s.VPort(port).Device}}); gone.LinkDown(port) {
		t.Error("it outlives its device")
	}
}
