package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/lab"
)

// tenant is a network of one tenant: two bridges with a VM each, at edges e1 and e2, joined by a router. All tenants have the same addresses and MACs.
func tenant(name string, port int) string {
	var b strings.Builder
	add := func(kind, object, spec string) {
		fmt.Fprintf(&b, "---\napiVersion: weft/v1\nkind: %s\nmetadata: {name: %s, tenant: %s}\nspec: {%s}\n", kind, object, name, spec)
	}
	add("Router", "gw", "")
	for n := 1; n <= 2; n++ {
		add("Bridge", fmt.Sprintf("lan%d", n), "")
		add("VPort", fmt.Sprintf("gw-lan%d", n), fmt.Sprintf(`device: router/gw, peer: lan%d-gw, mac: "02:00:00:00:01:0%d", addresses: [10.0.%d.1/24, "fd00:%d::1/64"]`, n, n, n, n))
		add("VPort", fmt.Sprintf("lan%d-gw", n), fmt.Sprintf("device: bridge/lan%d, peer: gw-lan%d", n, n))
		add("VPort", fmt.Sprintf("vm%d", n), fmt.Sprintf("device: bridge/lan%d", n))
		add("Binding", fmt.Sprintf("vm%d", n), fmt.Sprintf(`vport: vm%d, edge: e%d, interface: "%d"`, n, n, port))
	}
	return b.String()
}

// vm starts a tenant's VM n (1 or 2) at an access port of its edge.
func vm(t *testing.T, e *lab.Edge, n, port int) *host.Host {
	t.Helper()
	h, err := host.New(host.Config{
		Name: fmt.Sprintf("vm%d:%d", n, port), MAC: [6]byte{2, 0, 0, 0, 0, byte(n)}, MTU: 1400,
		Addrs:    []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.0.%d.2/24", n)), netip.MustParsePrefix(fmt.Sprintf("fd00:%d::2/64", n))},
		Gateways: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", n)), netip.MustParseAddr(fmt.Sprintf("fd00:%d::1", n))},
	}, e.Access(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// TestRoutedTenants: two tenants with the same addresses and MACs on the same two edges: ping and a transfer through each one's router, IPv4 and IPv6,
// over GRE on an IPv6 underlay; ping of the router; TTL; and neither tenant sees a frame of the other.
func TestRoutedTenants(t *testing.T) {
	l := start(t, lab.EdgeConfig{ID: "e1", N: 1, Tunnel: offload.GRE, V6: true, Access: 2}, lab.EdgeConfig{ID: "e2", N: 2, Tunnel: offload.GRE, V6: true, Access: 2})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := l.Apply(ctx, "network.yaml", []byte(tenant("red", 1)+tenant("blue", 2))); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	vms := map[int][2]*host.Host{}
	for port := 1; port <= 2; port++ {
		vms[port] = [2]*host.Host{vm(t, l.Edges[0], 1, port), vm(t, l.Edges[1], 2, port)}
		if err := vms[port][1].ServeHTTP(80); err != nil {
			t.Fatal(err)
		}
	}
	red, blue := vms[1], vms[2]
	quiet := [2]*host.Tap{blue[0].Tap(64), blue[1].Tap(64)}
	for _, to := range []netip.Addr{red[1].Addr4(), red[1].Addr6()} {
		if result, err := red[0].Ping(ctx, to, 5); err != nil {
			t.Errorf("ping %s: %d of 5 answers, %v; e1 %+v; e2 %+v", to, result.Received(), err, l.Edges[0].Agent.Stats(), l.Edges[1].Agent.Stats())
		}
		hops, err := red[0].Trace(ctx, to, 4)
		if err != nil || len(hops) != 2 {
			t.Errorf("trace %s: %+v, %v; want the router, then the VM", to, hops, err)
		}
		before := l.Edges[0].Agent.Stats().Upcalls
		if _, err := red[0].Fetch(ctx, netip.AddrPortFrom(to, 80), 2<<20); err != nil {
			t.Errorf("fetch from %s: %v", to, err)
		}
		if upcalls := l.Edges[0].Agent.Stats().Upcalls - before; upcalls > 20 {
			t.Errorf("a transfer of 2 MiB made %d upcalls at its client's edge: it does not run on flow entries", upcalls)
		}
	}
	for _, gateway := range []string{"10.0.1.1", "fd00:1::1", "10.0.2.1", "fd00:2::1"} {
		if _, err := red[0].Ping(ctx, netip.MustParseAddr(gateway), 1); err != nil {
			t.Errorf("ping of the router: %v", err)
		}
	}
	for i, tap := range quiet {
		for _, frame := range tap.Frames() {
			t.Errorf("blue's VM %d, to which nobody spoke, saw a frame: %x", i+1, frame)
		}
	}
	if _, err := blue[0].Ping(ctx, blue[1].Addr4(), 2); err != nil {
		t.Errorf("blue: %v", err)
	}
	if len(quiet[0].Frames()) == 0 || len(quiet[1].Frames()) == 0 {
		t.Error("the taps recorded nothing of blue's own ping: their silence before meant nothing")
	}
	for _, e := range l.Edges {
		t.Logf("%s: %+v", e.ID, e.Agent.Stats())
	}
}
