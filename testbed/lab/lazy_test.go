package lab_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// site is a tenant with one VM behind its own router, which is linked to the provider's. n tells the addresses: those of the VM are 10.n.0.2
// and fd00:n::2.
func site(name string, n int) string {
	var b strings.Builder
	add := func(kind, tenant, object, spec string) {
		fmt.Fprintf(&b, "---\napiVersion: weft/v1\nkind: %s\nmetadata: {name: %s, tenant: %s}\nspec: {%s}\n", kind, object, tenant, spec)
	}
	add("Router", name, "gw", fmt.Sprintf(`routes: [{dst: 0.0.0.0/0, via: 100.64.%d.1, port: up}, {dst: "::/0", via: "2001:db8:%d::1", port: up}]`, n, n))
	add("Bridge", name, "lan", "")
	add("VPort", name, "gw-lan", fmt.Sprintf(`device: router/gw, peer: lan-gw, addresses: [10.%d.0.1/24, "fd00:%d::1/64"]`, n, n))
	add("VPort", name, "lan-gw", "device: bridge/lan, peer: gw-lan")
	add("VPort", name, "up", fmt.Sprintf(`device: router/gw, peer: isp/%s, addresses: [100.64.%d.2/30, "2001:db8:%d::2/64"]`, name, n, n))
	add("VPort", "isp", name, fmt.Sprintf(`device: router/core, peer: %s/up, addresses: [100.64.%d.1/30, "2001:db8:%d::1/64"]`, name, n, n))
	add("VPort", name, "vm", "device: bridge/lan")
	return b.String()
}

// core is the provider's router, with routes to the sites 1 … n.
func core(n int) string {
	var routes []string
	for i := 1; i <= n; i++ {
		name := []string{"", "red", "blue", "green"}[i]
		routes = append(routes, fmt.Sprintf(`{dst: 10.%d.0.0/24, via: 100.64.%d.2, port: %s}, {dst: "fd00:%d::/64", via: "2001:db8:%d::2", port: %s}`, i, i, name, i, i, name))
	}
	return "---\napiVersion: weft/v1\nkind: Router\nmetadata: {name: core, tenant: isp}\nspec: {routes: [" + strings.Join(routes, ", ") + "]}\n"
}

// siteVM is the line of the VM of site n: red1 at e1, blue1 at e2, …
func siteVM(tenant, edge string, n int) string {
	return fmt.Sprintf("%s1 vport=%s/vm edge=%s mac=02:00:00:00:00:%02x ip=10.%d.0.2/24,fd00:%d::2/64 gw=10.%d.0.1,fd00:%d::1 mtu=1400\n", tenant, tenant, edge, n, n, n, n, n)
}

// tenants are those of whom a snapshot holds anything.
func tenants(s *topology.Snapshot) []string {
	var out []string
	for p := range s.VPorts() {
		if p.Tenant != "isp" { // the provider's ports bear the tenants' names
			out = append(out, p.Tenant)
		}
	}
	for b := range s.Bridges() {
		out = append(out, b.Tenant)
	}
	for r := range s.Routers() {
		out = append(out, r.Tenant)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestLazy: an edge that hosts one tenant holds nothing of another's network. The first packet to that tenant waits until what it passes through is
// loaded, in both directions and families; the flows keep it loaded; when they have gone it is forgotten (E7). A third tenant, to whom nobody speaks, is
// never loaded.
func TestLazy(t *testing.T) {
	text := "-- network.yaml --\n" + core(3) + site("red", 1) + site("blue", 2) + site("green", 3) +
		"-- hosts --\n" + siteVM("red", "e1", 1) + siteVM("blue", "e2", 2) + siteVM("green", "e3", 3)
	file, err := scenario.Parse("lazy.txtar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	l := start(t, lab.Config{Scenario: file, IdleTimeout: 4 * time.Second, AgeTime: time.Second, Linger: 200 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	stores := map[string]*state.Store{}
	own := map[string]string{"e1": "red", "e2": "blue", "e3": "green"}
	for edge, tenant := range own {
		if stores[edge], err = l.Store(edge); err != nil {
			t.Fatal(err)
		}
		if got := tenants(stores[edge].View().Topology); !slices.Equal(got, sorted("isp", tenant)) {
			t.Errorf("%s holds networks of %v, want its own, %s, and the provider's", edge, got, tenant)
		}
	}
	for range 2 {
		for range 2 {
			ping(t, l, scenario.Target{Host: "blue1"}, 3, scenario.Outcome{})
		}
		for _, edge := range []string{"e1", "e2"} {
			if got := tenants(stores[edge].View().Topology); !slices.Equal(got, sorted("isp", "red", "blue")) {
				t.Errorf("%s holds networks of %v while red and blue speak", edge, got)
			}
		}
		for _, edge := range []string{"e1", "e2"} {
			if err := stores[edge].Wait(ctx, func(s *topology.Snapshot) bool { return slices.Equal(tenants(s), sorted("isp", own[edge])) }); err != nil {
				t.Fatalf("%s does not forget: %v; it holds networks of %v", edge, err, tenants(stores[edge].View().Topology))
			}
			if flows, err := l.Flows(ctx, edge); err != nil || len(flows) != 0 {
				t.Errorf("%s forgot while it has flows: %v, %v", edge, flows, err)
			}
		}
	}
	if got := tenants(stores["e3"].View().Topology); !slices.Equal(got, sorted("isp", "green")) {
		t.Errorf("e3, where nothing happened, holds networks of %v", got)
	}
}

func sorted(names ...string) []string {
	slices.Sort(names)
	return names
}
