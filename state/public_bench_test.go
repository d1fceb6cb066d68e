package state

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/topology"
)

// BenchmarkPublics is one floating IP more of 10,000, of 1,000 tenants on one outside bridge with a provider's router: what is derived of it, in one transaction.
func BenchmarkPublics(b *testing.B) {
	const tenants, each = 1_000, 10
	text := `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: isp}, spec: {device: router/core, addresses: [192.0.2.1/24]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: ext, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: to-ext, tenant: isp}, spec: {device: router/core, peer: ext-core, addresses: [100.64.0.1/16]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: ext-core, tenant: isp}, spec: {device: bridge/ext, peer: to-ext}}
`
	host := func(tenant, n int, public netip.Addr) string {
		return fmt.Sprintf(`---
{apiVersion: weft/v1, kind: VPort, metadata: {name: h%[2]d, tenant: t%[1]d}, spec: {device: bridge/lan, addresses: [10.1.0.%[2]d/24]}}
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: f%[2]d, tenant: t%[1]d}, spec: {addresses: [%[3]v], vport: h%[2]d, router: gw, outside: [up]}}
`, tenant, n, public)
	}
	public := netip.MustParseAddr("203.0.0.1")
	for i := range tenants {
		text += fmt.Sprintf(`---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: t%[1]d}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: t%[1]d}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: t%[1]d}, spec: {device: router/gw, peer: isp/e%[1]d, addresses: [100.64.%[2]d.%[3]d/16]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: e%[1]d, tenant: isp}, spec: {device: bridge/ext, peer: t%[1]d/up}}
`, i, 1+i/200, 1+i%200)
		for n := range each {
			text += host(i, n+1, public)
			public = public.Next()
		}
	}
	objects, err := topology.Decode("network.yaml", []byte(text))
	if err != nil {
		b.Fatal(err)
	}
	objects, _ = new(topology.Set).Expand(objects, nil)
	last := topology.AssignIDs(objects, 0)
	before, err := new(topology.Set).Apply(objects, nil)
	if err != nil {
		b.Fatal(err)
	}
	one, err := topology.Decode("one.yaml", []byte(host(7, each+1, public)))
	if err != nil {
		b.Fatal(err)
	}
	one, _ = before.Expand(one, nil)
	topology.AssignIDs(one, last)
	after, err := before.Apply(one, nil)
	if err != nil {
		b.Fatal(err)
	}
	var changed []topology.Ref
	for _, o := range one {
		changed = append(changed, o.Ref())
	}
	b.ReportAllocs()
	written := 0
	for b.Loop() {
		w := writes{}
		if err := recompile(before, after, changed, w); err != nil {
			b.Fatal(err)
		}
		written = 0
		for key := range w {
			if k, err := parseDeviceKey(key); err == nil && k.record == recordPublic {
				written++
			}
		}
	}
	if written != 1 {
		b.Errorf("%d records of public addresses are written", written)
	}
	b.ReportMetric(float64(len(changed)), "objects")
}
