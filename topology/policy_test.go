package topology

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

const routerNet = `
apiVersion: weft/v1
kind: Router
metadata: {name: r}
spec:
  SPEC
---
{apiVersion: weft/v1, kind: Router, metadata: {name: other}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: foreign}, spec: {device: router/other}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a}, spec: {device: router/r, PORT}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: b}, spec: {device: router/r, addresses: [10.0.1.1/24, "fd00:1::1/64"]}}
`

// TestRouterRefused: what contradicts itself in a router is refused, with the reason (R1, R5).
func TestRouterRefused(t *testing.T) {
	for _, tt := range []struct{ spec, port, want string }{
		{spec: "tables: [{name: main}]", want: "is not a name for a table"},
		{spec: "tables: [{name: x}, {name: x}]", want: "is the name of an earlier table"},
		{spec: "tables: [{name: x, routes: [{dst: 10.0.0.0/8, port: foreign}]}]", want: "is a port of router default/other"},
		{spec: "routes: [{dst: 10.0.0.0/8, via: 10.0.1.9, port: b}, {dst: 10.0.0.0/8, via: 10.0.1.9, port: b, kind: port, weight: 3}]", want: "is the same way as spec.routes[0]"},
		{spec: "policies: [{action: table, table: x}]", want: "is no table of this router"},
		{spec: "policies: [{action: reroute}]", want: "spec.policies[0].nextHops: is missing"},
		{spec: "policies: [{action: reroute, nextHops: [{via: 224.0.0.1, port: b}]}]", want: "is not the address of a gateway"},
		{spec: "policies: [{action: reroute, nextHops: [{via: 10.0.1.9, port: b}, {via: 10.0.1.9, port: b, weight: 9}]}]", want: "is listed twice"},
		{spec: "policies: [{action: reroute, nextHops: [{via: 10.0.1.9, port: foreign}]}]", want: "is a port of router default/other"},
		{spec: "policies: [{action: jump}]", want: "is no action of a policy"},
		{spec: "policies: [{action: drop, table: x}]", want: "goes with action table alone"},
		{spec: "policies: [{action: drop, nextHops: [{via: 10.0.1.9, port: b}]}]", want: "goes with action reroute alone"},
		{spec: "policies: [{name: x, action: drop}, {name: x, action: drop}]", want: "is that of an earlier policy"},
		{spec: "policies: [{match: {inPorts: [foreign]}, action: drop}]", want: "is a port of router default/other"},
		{spec: "policies: [{match: {states: [new]}, action: drop}]", want: "mark the packet there"},
		{spec: "policies: [{match: {dstPorts: [80]}, action: drop}]", want: "needs a protocol"},
		{port: "addresses: [10.0.1.2/24]", want: "overlaps 10.0.1."},
		{port: "addresses: [10.0.1.129/25]", want: "overlaps 10.0.1."},
		{port: "addresses: [10.0.0.1/16]", want: "overlaps 10.0."},
		{port: "addresses: [\"fd00:1::2/64\"]", want: "overlaps fd00:1::"},
		{port: "singleHost: true, addresses: [10.0.1.5/24]", want: "overlaps 10.0.1."},
		{port: "singleHost: true, addresses: [10.0.2.1/24]", want: "is the gateway"},
		{port: "singleHost: true, addresses: [10.0.2.5/31]", want: "leaves no room"},
		{port: "singleHost: true, addresses: [10.0.2.255/24]", want: "between the first and the last"},
		{port: "singleHost: true, addresses: [\"fd00:2::/64\"]", want: "between the first and the last"},
		{port: "singleHost: true", want: "spec.addresses: is missing"},
	} {
		net := strings.ReplaceAll(routerNet, "SPEC", tt.spec)
		if tt.spec == "" {
			net = strings.ReplaceAll(net, "  \n---", "  routes: []\n---")
		}
		if tt.port == "" {
			tt.port = "addresses: [10.0.9.1/24]"
		}
		_, err := Load("net.yaml", []byte(strings.Replace(net, "PORT", tt.port, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s: %v, want %q", tt.spec, tt.port, err, tt.want)
		}
	}
}

// TestRouterAccepted: what looks like a contradiction and is none.
func TestRouterAccepted(t *testing.T) {
	for _, port := range []string{
		"addresses: [10.0.1.9/32]", // an address more, at another port
		"addresses: [10.0.3.1/24, 10.0.3.2/24]",
		"singleHost: true, addresses: [10.0.2.5/24, 10.0.2.6/24]",
	} {
		net := strings.Replace(routerNet, "SPEC", "routes: []", 1) + `---
{apiVersion: weft/v1, kind: VPort, metadata: {name: c}, spec: {device: router/r, singleHost: true, addresses: [10.0.2.7/24, "fd00:2::7/64"]}}
`
		if _, err := Load("net.yaml", []byte(strings.Replace(net, "PORT", port, 1))); err != nil {
			t.Errorf("%s: %v", port, err)
		}
	}
}

func singleHostNet(t *testing.T) *Snapshot {
	net := strings.Replace(routerNet, "SPEC", "routes: []", 1) + `---
{apiVersion: weft/v1, kind: VPort, metadata: {name: c}, spec: {device: router/r, singleHost: true, addresses: [10.0.2.7/24, "fd00:2::7/64"]}}
`
	s, err := Load("net.yaml", []byte(strings.Replace(net, "PORT", `singleHost: true, addresses: [10.0.2.5/24, "fd00:2::5/64"]`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSingleHost (R5): the gateway is the first address of the prefix; the router stands in for the other hosts and for nobody else.
func TestSingleHost(t *testing.T) {
	s := singleHostNet(t)
	id := func(name string) flow.VPortID {
		n, _ := s.ID(Ref{KindVPort, DefaultTenant, name})
		return flow.VPortID(n)
	}
	a, b, c := s.VPort(id("a")), s.VPort(id("b")), s.VPort(id("c"))
	if !slices.Equal(a.Addrs, prefixList("10.0.2.1/24", "fd00:2::1/64")) || !a.HasAddr(addr("10.0.2.1")) || a.HasAddr(addr("10.0.2.5")) {
		t.Errorf("own addresses %v", a.Addrs)
	}
	for _, tt := range []struct {
		at   *VPort
		addr string
		want flow.VPortID
	}{
		{a, "10.0.2.7", c.ID}, {a, "fd00:2::7", c.ID}, {c, "10.0.2.5", a.ID}, {a, "10.0.2.5", 0}, {a, "10.0.2.1", 0}, {a, "10.0.2.8", 0}, {a, "10.0.1.1", 0}, {b, "10.0.2.7", 0},
	} {
		if got := s.StandIn(tt.at, addr(tt.addr)); got != tt.want {
			t.Errorf("port %s stands in for %s: vport %v, want %v", tt.at.Name, tt.addr, got, tt.want)
		}
	}
	r := s.Router(a.Device)
	for dst, want := range map[string]RouteKind{"10.0.2.1": RouteLocal, "10.0.2.5": RoutePort, "10.0.2.8": RouteNoHost, "fd00:2::7": RoutePort, "fd00:2::8": RouteNoHost} {
		d := flow.AddrOf(addr(dst))
		if m := r.Routes.Lookup(&d, &d, addr(dst).Is6()); len(m.Routes) != 1 || m.Hop.Kind != want {
			t.Errorf("%s: %v, want one of kind %v", dst, m.Routes, want)
		}
	}
	next, deps := s.With(Changes{Delete: []Ref{{KindVPort, DefaultTenant, "c"}}})
	x := flow.AddrOf(addr("10.0.2.7"))
	on := RouteDep(r.ID, &x, false, 32)
	if next.StandIn(next.VPort(a.ID), addr("10.0.2.7")) != 0 || !slices.ContainsFunc(deps, func(d Dep) bool { return d.Affects(on) }) {
		t.Errorf("port c is gone, and so are %v", deps)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefixList(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}
