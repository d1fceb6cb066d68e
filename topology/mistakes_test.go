package topology

import (
	"strings"
	"testing"
)

// mistaken is a network to make mistakes in.
const mistaken = `
{apiVersion: weft/v1, kind: PortGroup, metadata: {name: up, tenant: acme}, spec: {ports: [wan]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: inner, tenant: acme}, spec: {rules: [{match: {outPorts: [wan]}, action: drop}]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: hook, tenant: acme}, spec: {rules: [{name: on, action: jump, chain: inner}]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {filters: {egress: hook}}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: wan, tenant: acme}, spec: {device: router/gw, addresses: [192.0.2.1/24, "2001:db8::1/64", "2001:db8::9/128"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: four, tenant: acme}, spec: {device: router/gw, addresses: [10.0.0.1/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: alone, tenant: acme}, spec: {device: router/gw, addresses: ["2001:db8:1::1/128"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/lan}}
`

// mistake is a change of the network, and the first line of what it is refused with, but for the file; empty: it is none.
type mistake struct{ old, new, want string }

// TestMistakes: what means something else than its writer thinks, or nothing, is refused.
func TestMistakes(t *testing.T) {
	for name, mistakes := range map[string][]mistake{"out ports": outPortMistakes, "advertisements": advertiseMistakes, "gateways": viaMistakes} {
		t.Run(name, func(t *testing.T) {
			for _, m := range mistakes {
				text := mistaken
				olds, news := strings.Split(m.old, " & "), strings.Split(m.new, " & ")
				for i, old := range olds {
					if strings.Count(text, old) != 1 {
						t.Fatalf("%q is not in the network once", old)
					}
					text = strings.Replace(text, old, news[i], 1)
				}
				objects, err := Decode("net.yaml", []byte(text))
				if err == nil {
					_, err = new(Set).Apply(objects, nil)
				}
				got := ""
				if err != nil {
					first, _, _ := strings.Cut(err.Error(), "\n")
					_, got, _ = strings.Cut(first, ": ")
				}
				if got != m.want {
					t.Errorf("%s:\n got %s\nwant %s", m.new, got, m.want)
				}
			}
		})
	}
}

// outPortMistakes: on the way in the port by which a packet leaves is not known.
var outPortMistakes = []mistake{
	{"metadata: {name: lan,", "metadata: {name: lan,", ""},
	{"{egress: hook}", "{ingress: hook}", `router acme/gw: spec.filters.ingress: "hook" has outPorts in rule #1 of chain acme/inner; ask for it in an egress chain: on the way in it is not known by which port a packet will leave`},
	{"{egress: hook}", "{ingress: inner}", `router acme/gw: spec.filters.ingress: "inner" has outPorts in rule #1 of chain acme/inner; ask for it in an egress chain: on the way in it is not known by which port a packet will leave`},
	{"{egress: hook} & {match: {outPorts: [wan]}", "{ingress: hook} & {not: {outPortGroups: [up]}", `router acme/gw: spec.filters.ingress: "hook" has outPortGroups in rule #1 of chain acme/inner; ask for it in an egress chain: on the way in it is not known by which port a packet will leave`},
	{"device: bridge/lan", "device: bridge/lan, filters: {ingress: inner}", `vport acme/vm: spec.filters.ingress: "inner" has outPorts in rule #1 of chain acme/inner; ask for it in an egress chain: on the way in it is not known by which port a packet will leave`},
	{"{egress: hook} & {match: {outPorts: [wan]}", "{ingress: hook} & {match: {inPorts: [wan]}", ""},
}

// advertiseMistakes: hosts make addresses from a /64 alone, and want a prefix at all.
var advertiseMistakes = []mistake{
	{`"2001:db8::9/128"]`, `"2001:db8::9/128"], advertise: {mode: slaac}`, ""},
	{`"2001:db8::1/64", "2001:db8::9/128"]`, `"2001:db8::1/112", "2001:db8::9/128"], advertise: {mode: dhcp}`, ""},
	{`"2001:db8::1/64", "2001:db8::9/128"]`, `"2001:db8::1/112"], advertise: {mode: slaac}`, `vport acme/wan: spec.advertise.mode: "slaac" needs a /64, and 2001:db8::/112 is none: hosts would make no addresses; use a /64, or mode dhcp`},
	{`"2001:db8::1/64", "2001:db8::9/128"]`, `"2001:db8::1/48"], advertise: {mode: stateless}`, `vport acme/wan: spec.advertise.mode: "stateless" needs a /64, and 2001:db8::/48 is none: hosts would make no addresses; use a /64, or mode dhcp`},
	{`"2001:db8::9/128"]`, `"2001:db8::9/128"], advertise: {mode: slaac, prefixes: ["fd00::/64", "fd01::/63"]}`, `vport acme/wan: spec.advertise.prefixes[1]: "fd01::/63" is no /64, from which alone hosts make addresses; use a /64, or mode dhcp`},
	{`[10.0.0.1/24]`, `[10.0.0.1/24], advertise: {mode: slaac}`, `vport acme/four: spec.advertise: is of a port without IPv6 prefix; give the port an IPv6 address such as 2001:db8::1/64, or list spec.advertise.prefixes`},
	{`["2001:db8:1::1/128"]`, `["2001:db8:1::1/128"], advertise: {mode: dhcp}`, `vport acme/alone: spec.advertise: is of a port without IPv6 prefix; give the port an IPv6 address such as 2001:db8::1/64, or list spec.advertise.prefixes`},
	{`[10.0.0.1/24]`, `[10.0.0.1/24], advertise: {mode: slaac, prefixes: ["fd00::/64"]}`, ""},
}

// viaMistakes: a gateway is on the link of the route's port, and not the router itself.
var viaMistakes = []mistake{
	{"{egress: hook}", "{egress: hook}, routes: [{dst: 0.0.0.0/0, via: 192.0.2.2, port: wan}]", ""},
	{"{egress: hook}", "{egress: hook}, routes: [{dst: 0.0.0.0/0, via: 192.0.2.1, port: wan}]", `router acme/gw: spec.routes[0].via: "192.0.2.1" is the address of port wan itself; give that of the next router`},
	{"{egress: hook}", `{egress: hook}, routes: [{dst: "::/0", via: "2001:db8::9", port: wan}]`, `router acme/gw: spec.routes[0].via: "2001:db8::9" is the address of port wan itself; give that of the next router`},
	{"{egress: hook}", "{egress: hook}, routes: [{dst: 0.0.0.0/0, via: 192.0.3.2, port: wan}]", `router acme/gw: spec.routes[0].via: "192.0.3.2" is not on the link of port wan; use an address in 192.0.2.0/24, or another port`},
	{"{egress: hook}", "{egress: hook}, routes: [{dst: 0.0.0.0/0, via: 192.0.2.255, port: wan}]", `router acme/gw: spec.routes[0].via: "192.0.2.255" is the broadcast address of 192.0.2.0/24; give that of the next router`},
	{"{egress: hook}", "{egress: hook}, policies: [{action: reroute, nextHops: [{via: 192.0.2.0, port: wan}]}]", `router acme/gw: spec.policies[0].nextHops[0].via: "192.0.2.0" is the network address of 192.0.2.0/24; give that of the next router`},
	{"{egress: hook}", `{egress: hook}, tables: [{name: t, routes: [{dst: "::/0", via: "2001:db8:7::2", port: wan}]}]`, `router acme/gw: spec.tables[0].routes[0].via: "2001:db8:7::2" is not on the link of port wan; use an address in 2001:db8::/64, or another port`},
	{"{egress: hook}", `{egress: hook}, routes: [{dst: "::/0", via: "fe80::1", port: wan}]`, ""},
	{"{egress: hook}", `{egress: hook}, routes: [{dst: "::/0", via: "fd00::1", port: four}, {dst: fd01::/64, via: "fd00::1", port: alone}]`, ""},
	{"{egress: hook}", "{egress: hook}, policies: [{action: reroute, nextHops: [{via: 192.0.3.2, port: wan}]}]", `router acme/gw: spec.policies[0].nextHops[0].via: "192.0.3.2" is not on the link of port wan; use an address in 192.0.2.0/24, or another port`},
	{"addresses: [10.0.0.1/24]} & {egress: hook}", "singleHost: true, addresses: [10.0.0.5/24]} & {egress: hook}, routes: [{dst: 10.7.0.0/16, via: 10.0.0.1, port: four}]", `router acme/gw: spec.routes[0].via: "10.0.0.1" is the address of port four itself; give that of the next router`},
}

// TestGatewayMoves: a port that has other addresses than the routes by it need is refused, as the routes would be.
func TestGatewayMoves(t *testing.T) {
	objects, err := Decode("net.yaml", []byte(strings.Replace(mistaken, "{egress: hook}", "{egress: hook}, routes: [{dst: 0.0.0.0/0, via: 192.0.2.2, port: wan}]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	set, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	wan, err := Decode("wan.yaml", []byte("{apiVersion: weft/v1, kind: VPort, metadata: {name: wan, tenant: acme}, spec: {device: router/gw, addresses: [198.51.100.1/24]}}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Apply(wan, nil); err == nil || !strings.Contains(err.Error(), `"192.0.2.2" is not on the link of port wan`) {
		t.Errorf("got %v", err)
	}
}
