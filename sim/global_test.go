package sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// twoWays: a tenant behind two routers of a provider; a packet leaves by one, and answers come in by the other. A third router, and another tenant's, say nothing of addresses.
const twoWays = `
{apiVersion: weft/v1, kind: AddressGroup, metadata: {name: internet, tenant: isp}, spec: {addresses: [GROUP]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: guard, tenant: isp}, spec: {rules: [{match: {inPorts: [r1-gw, r2-gw, r3-gw]}, action: accept}, {match: {states: [established, related]}, action: accept}], default: drop}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: r1, tenant: isp}, spec: {globalAddresses: internet, filters: {ingress: guard}, routes: [{dst: INSIDE, via: 100.64.1.2, port: r1-gw}, {dst: INSIDE6, via: "2001:db8:64:1::2", port: r1-gw}]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: r2, tenant: isp}, spec: {globalAddresses: internet, filters: {ingress: guard}, routes: [{dst: INSIDE, via: 100.64.2.2, port: r2-gw}, {dst: INSIDE6, via: "2001:db8:64:2::2", port: r2-gw}]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: r3, tenant: isp}, spec: {filters: {ingress: guard}, routes: [{dst: INSIDE, via: 100.64.3.2, port: r3-gw}, {dst: INSIDE6, via: "2001:db8:64:3::2", port: r3-gw}]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {routes: [{dst: 0.0.0.0/0, via: 100.64.1.1, port: gw-r1}, {dst: "::/0", via: "2001:db8:64:1::1", port: gw-r1}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan, tenant: acme}, spec: {device: router/gw, mac: "02:00:00:00:01:01", addresses: [LAN, LAN6]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up1, tenant: isp}, spec: {device: router/r1, mac: "02:00:00:00:99:11", addresses: [OUTSIDE, OUTSIDE6]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up2, tenant: isp}, spec: {device: router/r2, mac: "02:00:00:00:99:12", addresses: [192.0.2.1/30, "2001:db8:52::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up3, tenant: isp}, spec: {device: router/r3, mac: "02:00:00:00:99:13", addresses: [192.0.2.9/30, "2001:db8:53::1/64"]}}
LINKS`

func twoWaysLab(t *testing.T, replace ...string) (*lab, table) {
	links := ""
	for n := 1; n <= 3; n++ {
		links += fmt.Sprintf(`---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-r%[1]d, tenant: acme}, spec: {device: router/gw, peer: isp/r%[1]d-gw, addresses: [100.64.%[1]d.2/30, "2001:db8:64:%[1]d::2/126"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: r%[1]d-gw, tenant: isp}, spec: {device: router/r%[1]d, peer: acme/gw-r%[1]d, addresses: [100.64.%[1]d.1/30, "2001:db8:64:%[1]d::1/126"]}}
`, n)
	}
	defaults := []string{
		"GROUP", `0.0.0.0/0, "::/0"`, "INSIDE6", `"2001:db8:113::/64"`, "INSIDE", "203.0.113.0/24", "LAN6", `"2001:db8:113::1/64"`, "LAN", "203.0.113.1/24",
		"OUTSIDE6", `"2001:db8:51::1/64"`, "OUTSIDE", "198.51.100.1/24", "LINKS", links,
	}
	l := newLab(t, strings.NewReplacer(append(replace, defaults...)...).Replace(twoWays))
	var known []topology.Neighbour
	for _, a := range []string{"198.51.100.9", "2001:db8:51::9", "10.9.0.9"} {
		known = append(known, topology.Neighbour{Port: l.port("up1"), Addr: ip(a), MAC: mac("99:01"), State: topology.NeighbourOK})
	}
	for _, a := range []string{"203.0.113.10", "2001:db8:113::10", "10.1.0.10"} {
		known = append(known, topology.Neighbour{Port: l.port("lan"), Addr: ip(a), MAC: mac("00:10"), State: topology.NeighbourOK})
	}
	l.change(topology.Changes{Neighbours: known})
	conns := table{}
	l.sim.Conns = conns
	return l, conns
}

// TestGlobalAddresses (C1): between addresses that are globally unique a connection has no device in its keys: answers, and errors, are known where they come in by another router
// that says so, and nowhere else; nor between private addresses, nor others than the group's.
func TestGlobalAddresses(t *testing.T) {
	private := []string{"INSIDE6", `"fd01::/64"`, "INSIDE", "10.1.0.0/24", "LAN6", `"fd01::1/64"`, "LAN", "10.1.0.1/24", "OUTSIDE6", `"fd09::1/64"`, "OUTSIDE", "10.9.0.1/24"}
	for _, tt := range []struct {
		name, vm, far string
		replace       []string
		global        bool
	}{
		{"IPv4", "203.0.113.10", "198.51.100.9", nil, true},
		{"IPv6", "2001:db8:113::10", "2001:db8:51::9", nil, true},
		{"both in the group", "203.0.113.10", "198.51.100.9", []string{"GROUP", "203.0.113.0/24, 198.51.100.8/29"}, true},
		{"one in the group", "203.0.113.10", "198.51.100.9", []string{"GROUP", "203.0.113.0/24"}, false},
		{"one of IPv6 in the group", "2001:db8:113::10", "2001:db8:51::9", []string{"GROUP", `0.0.0.0/0, "2001:db8:51::/64"`}, false},
		{"private", "10.1.0.10", "10.9.0.9", private, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, conns := twoWaysLab(t, tt.replace...)
			ask, answer := five{tt.vm, tt.far, 4000, 53}, five{tt.far, tt.vm, 53, 4000}
			passes := func(at string, frame []byte) bool {
				t.Helper()
				r := l.run(at, frame)
				if len(r.Outcomes) != 1 || r.Outcomes[0].Verdict == Incomplete {
					t.Fatalf("%+v\n%v", r.Outcomes, r.Trace)
				}
				return r.Outcomes[0].Verdict == Forward
			}
			in := map[string][]byte{}
			for n, at := range []string{"up1", "up2", "up3"} {
				in[at] = answer.udp(mac("99:01"), mac(fmt.Sprintf("99:1%d", n+1)))
				if passes(at, in[at]) {
					t.Errorf("%s: an answer to nothing passes", at)
				}
			}
			if !passes("lan", ask.udp(mac("00:10"), mac("01:01"))) || !l.res.Track.Commit {
				t.Fatalf("the first packet: %+v", l.res.Track)
			}
			if c := l.commit(conns); (topology.DeviceID(c.RetZone) != topology.DeviceID(l.id(topology.KindRouter, "isp", "r1"))) != tt.global || c.Forward.Zone != l.id(topology.KindRouter, "acme", "gw") {
				t.Errorf("keys %v, return %v", c.Forward, c.Return())
			}
			for at, want := range map[string]bool{"up1": true, "up2": tt.global, "up3": false} {
				if got := passes(at, in[at]); got != want {
					t.Errorf("%s: an answer passes: %v, want %v\n%v", at, got, want, l.res.Trace)
				}
			}
			for n, at := range []string{"up1", "up2", "up3"} { // the far end complains about the first packet
				about := parse(t, ask.udp(mac(fmt.Sprintf("99:1%d", n+1)), mac("99:01")))
				frame, err := packet.AppendICMPError(nil, about, &packet.ICMPError{Kind: packet.HostUnreachable, Src: ip(tt.far)})
				if err != nil {
					t.Fatal(err)
				}
				if got, want := passes(at, frame), at == "up1" || at == "up2" && tt.global; got != want {
					t.Errorf("%s: an error passes: %v, want %v\n%v", at, got, want, l.res.Trace)
				}
			}
		})
	}
}
