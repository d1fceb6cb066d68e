package topology

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// publicsIn says which routers are to know of what, by which of their ports.
func publicsIn(t *testing.T, set *Set, refs ...Ref) (all []string) {
	t.Helper()
	names := map[uint32]string{}
	for _, o := range set.All() {
		names[o.Status.ID] = o.Metadata.Name
	}
	of := NewPublicsOf(set)
	for _, r := range refs {
		for _, p := range of.Of(r) {
			var ports []string
			for _, id := range p.Ports {
				ports = append(ports, names[uint32(id)])
			}
			all = append(all, fmt.Sprintf("%s at %s by %s: %v", p.Of.Name, names[uint32(p.Router)], strings.Join(ports, " "), p.Addrs))
		}
	}
	slices.Sort(all)
	return all
}

// TestPublicsOf: routers with exterior ports that are next to the owner by an outside port know of its addresses: across a link, across bridges and in the same VLAN; no others, and not those beyond.
func TestPublicsOf(t *testing.T) {
	objects, err := Decode("network.yaml", []byte(`
{apiVersion: weft/v1, kind: Router, metadata: {name: gw}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-out}, spec: {device: router/gw, peer: b-gw, addresses: [100.64.0.2/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-in}, spec: {device: router/gw, peer: inner-gw, addresses: [10.0.0.1/24]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: net}, spec: {vlans: [10, 20]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: far}, spec: {vlans: [10, 20]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: trunk}, spec: {device: bridge/net, peer: trunk2, vlans: [10, 20]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: trunk2}, spec: {device: bridge/far, peer: trunk, vlans: [10, 20]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: b-gw}, spec: {device: bridge/net, vlan: 10, peer: gw-out}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: inner}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: inner-gw}, spec: {device: bridge/inner, peer: gw-in}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: host}, spec: {device: bridge/inner, addresses: [10.0.0.9/24]}}
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: f}, spec: {addresses: [203.0.113.9], vport: host, router: gw, outside: [gw-out]}}
---
{apiVersion: weft/v1, kind: SNATGateway, metadata: {name: s}, spec: {router: gw, outside: [gw-out], sources: [10.0.0.0/24]}}
`+router("same", "net", 10, true)+router("behind", "far", 10, true)+router("other", "net", 20, true)+router("inside", "net", 10, false)))
	if err != nil {
		t.Fatal(err)
	}
	objects, _ = new(Set).Expand(objects, nil)
	AssignIDs(objects, 0)
	set, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := publicsIn(t, set, Ref{KindFloatingIP, DefaultTenant, "f"}, Ref{KindSNATGateway, DefaultTenant, "s"}, Ref{KindRouter, DefaultTenant, "gw"}, Ref{KindVPort, DefaultTenant, "host"})
	want := []string{"f at behind by behind-net: [{203.0.113.9/32 []}]", "f at same by same-net: [{203.0.113.9/32 []}]"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if p := NewPublicsOf(set).Of(Ref{KindFloatingIP, DefaultTenant, "f"}); !strings.Contains(p[0].Down, "bound nowhere") {
		t.Errorf("down: %q", p[0].Down)
	}
}

// router is one with a port in a VLAN of a bridge, and maybe one outside.
func router(name, bridge string, vlan int, border bool) string {
	text := fmt.Sprintf(`---
{apiVersion: weft/v1, kind: Router, metadata: {name: %[1]s}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: %[1]s-net}, spec: {device: router/%[1]s, peer: b-%[1]s, addresses: [100.64.0.%[4]d/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: b-%[1]s}, spec: {device: bridge/%[2]s, vlan: %[3]d, peer: %[1]s-net}}
`, name, bridge, vlan, 10+len(name))
	if border {
		text += fmt.Sprintf("---\n{apiVersion: weft/v1, kind: VPort, metadata: {name: %[1]s-up}, spec: {device: router/%[1]s, addresses: [192.0.2.1/24]}}\n", name)
	}
	return text
}
