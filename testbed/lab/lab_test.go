package lab_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/lab"
)

// start runs a lab until the test ends, and waits until every agent has its target.
func start(t *testing.T, edges ...lab.EdgeConfig) *lab.Lab {
	t.Helper()
	l, err := lab.New(slog.New(slog.NewTextHandler(t.Output(), nil)), edges...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("lab: %v", err)
		}
	})
	for _, e := range l.Edges {
		select {
		case <-e.Agent.Ready():
		case err := <-done:
			t.Fatalf("lab ended: %v", err)
		case <-time.After(30 * time.Second):
			t.Fatalf("edge %s was not ready within 30 s", e.ID)
		}
	}
	return l
}

// TestUnderlay: an agent answers ping for its edge's VTEP over the fabric, by ARP and ND, from packet-in to packet-out.
func TestUnderlay(t *testing.T) {
	l := start(t, lab.EdgeConfig{ID: "e1", N: 1, Tunnel: offload.VXLAN, Access: 1}, lab.EdgeConfig{ID: "e2", N: 2, Tunnel: offload.GRE, V6: true, Access: 1})
	link, err := l.Fabric.Plug(9, 0)
	if err != nil {
		t.Fatal(err)
	}
	prober, err := host.New(host.Config{Name: "prober", MAC: [6]byte{2, 9, 9, 9, 9, 9}, MTU: 1500,
		Addrs: []netip.Prefix{link.Edge4, link.Edge6}, Gateways: []netip.Addr{link.Gateway4, link.Gateway6}}, link.Edge())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(prober.Close)
	for _, e := range l.Edges {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		result, err := prober.Ping(ctx, e.VTEPs[0], 6)
		if err != nil || result.Received() != 6 {
			t.Errorf("ping %s (%s): %d of 6 answers, %v; agent %+v", e.VTEPs[0], e.ID, result.Received(), err, e.Agent.Stats())
			t.Logf("%+v", result)
			t.Logf("switch %+v %+v; fabric %+v; prober %+v", e.Switch.Stats(), e.Switch.PortStatus(), l.Fabric.Counters(), prober.Counters())
		}
	}
}

const bridgeNetwork = `
apiVersion: weft/v1
kind: Bridge
metadata: {name: lan, tenant: red}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm1, tenant: red}
spec: {device: bridge/lan}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm2, tenant: red}
spec: {device: bridge/lan}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: vm1, tenant: red}
spec: {vport: vm1, edge: e1, interface: "1"}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: vm2, tenant: red}
spec: {vport: vm2, edge: e2, interface: "1"}
`

// TestBridgeAcrossEdges: two hosts with real TCP/IP stacks on one bridge, at two edges: ping and a transfer, IPv4 and IPv6, by flow entries after the first packets.
func TestBridgeAcrossEdges(t *testing.T) {
	l := start(t, lab.EdgeConfig{ID: "e1", N: 1, Tunnel: offload.VXLAN, Access: 1}, lab.EdgeConfig{ID: "e2", N: 2, Tunnel: offload.VXLAN, Access: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.Apply(ctx, "network.yaml", []byte(bridgeNetwork)); err != nil {
		t.Fatal(err)
	}
	var hosts []*host.Host
	for i, e := range l.Edges {
		n := byte(i + 1)
		h, err := host.New(host.Config{Name: e.ID, MAC: [6]byte{2, 0, 0, 0, 0, n}, MTU: 1400,
			Addrs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 24), netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 15: n}), 64)}}, e.Access(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		hosts = append(hosts, h)
	}
	if err := hosts[1].ServeHTTP(80); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	for _, to := range []netip.Addr{hosts[1].Addr4(), hosts[1].Addr6()} {
		result, err := hosts[0].Ping(ctx, to, 5)
		if err != nil {
			t.Errorf("ping %s: %d of 5 answers, %v; e1 %+v; e2 %+v", to, result.Received(), err, l.Edges[0].Agent.Stats(), l.Edges[1].Agent.Stats())
		}
		before := l.Edges[0].Agent.Stats().Upcalls
		transfer, err := hosts[0].Fetch(ctx, netip.AddrPortFrom(to, 80), 2<<20)
		if err != nil {
			t.Errorf("fetch from %s: %v", to, err)
		}
		if upcalls := l.Edges[0].Agent.Stats().Upcalls - before; upcalls > 20 {
			t.Errorf("a transfer of 2 MiB made %d upcalls at its client's edge: it does not run on flow entries", upcalls)
		}
		t.Logf("%s: ping %v, %+v", to, result.RTTs(), transfer)
	}
	for _, e := range l.Edges {
		t.Logf("%s: %+v", e.ID, e.Agent.Stats())
	}
}
