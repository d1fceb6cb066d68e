package sim

import (
	"testing"

	"github.com/weft-sdn/weft/topology"
)

// nestNet has a VPN whose public port is at the router that leads its packets back to its private port; and one whose private port is at a bridge behind the same router.
const nestNet = `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: acme}, spec: {routes: [{dst: 192.168.50.0/24, port: office}, {dst: "fd50::/64", port: office}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: office, tenant: acme}, spec: {device: router/core, addresses: [10.9.0.1/30, "fd09::1/64"], mtu: 1300}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: out, tenant: acme}, spec: {device: router/core, singleHost: true, addresses: [100.64.0.10/24, "fd64::10/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: router/core, addresses: [10.1.0.1/24, "fd01::1/64"]}}
---
{apiVersion: weft/v1, kind: VPN, metadata: {name: office, tenant: acme}, spec: {vport: office, publicPort: out, mtu: 1300, peers: [{name: p, endpoint: "192.168.50.2:51820", allowedIPs: [192.168.50.0/24, "fd50::/64"]}]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-core, tenant: acme}, spec: {device: bridge/lan, peer: core-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: core-lan, tenant: acme}, spec: {device: router/core, peer: lan-core, mac: "02:00:00:00:cc:01", addresses: [10.2.0.1/24, "fd02::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: cable, tenant: acme}, spec: {device: bridge/lan, mtu: 1300}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: near, tenant: acme}, spec: {device: bridge/lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: out2, tenant: acme}, spec: {device: router/core, singleHost: true, addresses: [100.64.0.11/24, "fd64::11/64"]}}
---
{apiVersion: weft/v1, kind: VPN, metadata: {name: cable, tenant: acme}, spec: {vport: cable, publicPort: out2, mtu: 1350, ethernet: {local: 10.255.0.1, remote: 10.255.0.2}, peers: [{name: p, endpoint: "10.2.0.9:51820", allowedIPs: [10.255.0.2/32]}]}}
`

// TestNested: what a VPN encrypted does not get into the same VPN again, by a route, to a known MAC, or in a flood; what others send does.
func TestNested(t *testing.T) {
	l := newLab(t, nestNet)
	far := mac("77:01")
	l.change(topology.Changes{Neighbours: []topology.Neighbour{
		{Port: l.port("office"), Addr: ip("192.168.50.2"), MAC: far, State: topology.NeighbourOK}, {Port: l.port("office"), Addr: ip("fd50::2"), MAC: far, State: topology.NeighbourOK},
		{Port: l.port("core-lan"), Addr: ip("10.2.0.9"), MAC: far, State: topology.NeighbourOK}, {Port: l.port("core-lan"), Addr: ip("fd02::9"), MAC: far, State: topology.NeighbourOK},
	}})
	to := func(from, src, dst string) *Result {
		return l.run(from, udp{from: mac("00:01"), to: topology.GeneratedMAC(l.port(from)), src: src, dst: dst}.frame())
	}
	for _, tc := range []struct{ from, src, dst string }{{"out", "100.64.0.10", "192.168.50.2"}, {"out", "fd64::10", "fd50::2"}} {
		if r := to(tc.from, tc.src, tc.dst); r.Outcomes[0].Verdict != Drop || r.Outcomes[0].Drop != DropNested || !r.Installable {
			t.Errorf("%+v: %+v %s", tc, r.Outcomes, r.NotInstallable)
		}
	}
	for _, tc := range []struct{ from, src, dst, at string }{
		{"vm", "10.1.0.5", "192.168.50.2", "office"}, {"vm", "fd01::5", "fd50::2", "office"}, {"out2", "100.64.0.11", "192.168.50.2", "office"}, {"out2", "fd64::11", "fd50::2", "office"},
	} {
		if r := to(tc.from, tc.src, tc.dst); r.Outcomes[0].Verdict != Forward || r.Outcomes[0].Dest != l.port(tc.at).Dest() {
			t.Errorf("%+v: %+v", tc, r.Outcomes)
		}
	}
	for _, dst := range []string{"10.2.0.9", "fd02::9"} { // an unknown MAC is flooded, not to the cable
		src := map[bool]string{true: "100.64.0.11", false: "fd64::11"}[ip(dst).Is4()]
		r := to("out2", src, dst)
		if len(r.Outcomes) != 1 || r.Outcomes[0].Verdict != Forward || r.Outcomes[0].Dest != l.port("near").Dest() {
			t.Errorf("flood of %s: %+v", dst, r.Outcomes)
		}
		other := map[bool]string{true: "100.64.0.10", false: "fd64::10"}[ip(dst).Is4()]
		if r := to("out", other, dst); len(r.Outcomes) != 1 || r.Outcomes[0].Dest != l.snap.Bridge(l.bridge("lan")).Group() {
			t.Errorf("flood of %s of another VPN: %+v", dst, r.Outcomes)
		}
	}
	l.change(topology.Changes{FDB: []topology.FDBEntry{{Bridge: l.bridge("lan"), MAC: far, Port: l.port("cable")}}})
	if r := to("out2", "100.64.0.11", "10.2.0.9"); r.Outcomes[0].Drop != DropNested {
		t.Errorf("to a known MAC: %+v", r.Outcomes)
	}
}
