package topology

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
)

// peering is a router with an uplink and a port inside.
const peering = `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: isp}, spec: {device: router/core, addresses: [192.0.2.1/24, "2001:db8::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: four, tenant: isp}, spec: {device: router/core, addresses: [198.51.100.1/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: in, tenant: isp}, spec: {device: router/core, peer: out, addresses: [10.0.0.1/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: out, tenant: isp}, spec: {device: bridge/lan, peer: in}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: isp}, spec: {device: bridge/lan}}
---
{apiVersion: weft/v1, kind: BGPSession, metadata: {name: a, tenant: isp}, spec: {vport: up, localAS: 64500, peerAS: 64501, peerAddress: 192.0.2.9, `

// speaksTo is how the session's spec begins.
const speaksTo = "vport: up, localAS: 64500, peerAS: 64501, peerAddress: 192.0.2.9, "

// bgpMistakes are what is made of the spec: new in place of old, and more behind it; and what is said of that.
var bgpMistakes = []struct{ old, new, more, want string }{
	{more: ``},
	{more: `families: [ipv4, ipv6], holdTime: 9, keepalive: 3, connectRetry: 5, passwordSecret: up-md5, maxPrefixes: 1000, maxPrefixesAction: warn, localAddress: 192.0.2.1,
		import: [{action: deny, prefix: 10.0.0.0/8, le: 32}, {action: permit, prefix: 0.0.0.0/0, le: 24}, {action: permit, prefix: "::/0", ge: 16, le: 48}],
		export: [{action: permit, prefix: 203.0.113.0/24}], advertise: [{prefix: 203.0.113.0/24, med: 10}, {prefix: "2001:db8:f::/48"}]`},
	{more: `import: [{action: deny, prefix: 0.0.0.0/0, le: 32, rpki: invalid}, {action: permit, prefix: 0.0.0.0/0, le: 24, rpki: valid, localPref: 200}, {action: permit, prefix: 0.0.0.0/0, le: 24, rpki: notFound}]`},
	{more: `import: [{action: deny, prefix: 0.0.0.0/0, rpki: unknown}]`, want: `spec.import[0].rpki: "unknown" is nothing that RPKI caches say; use valid, invalid or notFound`},
	{more: `export: [{action: permit, prefix: 0.0.0.0/0, rpki: valid}]`, want: `spec.export[0].rpki: "valid" is for import; leave it out: what is told is what advertise has`},
	{more: `addPaths: true, defaultOriginate: true, advertise: [{prefix: 0.0.0.0/0, ifRoute: "2001:db8::/32"}]`},
	{more: `advertise: [{prefix: 0.0.0.0/0, ifRoute: 192.0.2.1/24}]`, want: `spec.advertise[0].ifRoute: "192.0.2.1/24" has bits set behind its length; use 192.0.2.0/24`},
	{more: `maxPrefixes: 10, maxPrefixesAction: restart, maxPrefixesIdle: 60`},
	{more: `restartTime: 4095`},
	{more: `noGracefulRestart: true`},
	{more: `restartTime: 4096`, want: `spec.restartTime: "4096" is more than an OPEN can say (RFC 4724); use 4095 at most`},
	{more: `restartTime: 9, noGracefulRestart: true`, want: `spec.restartTime: "9" does not go with noGracefulRestart; leave one of them out`},
	{more: `maxPrefixes: 10, maxPrefixesIdle: 60`, want: `spec.maxPrefixesIdle: "60" goes with maxPrefixesAction: restart; give that, or leave this out`},
	{"192.0.2.9", `"2001:db8::9"`, ``, ``},
	{"192.0.2.9", `"fe80::9"`, ``, ``},
	{"192.0.2.9", "203.0.113.9", `multihop: 3`, ``},
	{"64501", "64500", ``, ``},
	{"vport: up, ", "", ``, `spec.vport: is missing; name the exterior port of a router through which the session goes`},
	{"vport: up", "vport: none", ``, `spec.vport: "none" is no vport; define vport isp/none or name an existing one`},
	{"vport: up", "vport: vm", ``, `spec.vport: "vm" is a port of bridge isp/lan; name a port of a router`},
	{"vport: up", "vport: in", ``, `spec.vport: "in" is an interior port; name an exterior one: the neighbour is outside`},
	{"localAS: 64500, ", "", ``, `spec.localAS: is missing; give the number of the AS, 1 to 4294967294`},
	{"64501", "23456", ``, `spec.peerAS: "23456" is reserved; use the number of an AS`},
	{"peerAddress: 192.0.2.9, ", "", ``, `spec.peerAddress: is missing; use the neighbour's, such as 192.0.2.1 or 2001:db8::1`},
	{"192.0.2.9", "224.0.0.5", ``, `spec.peerAddress: "224.0.0.5" is not the address of one host; use the neighbour's, such as 192.0.2.1 or 2001:db8::1`},
	{"192.0.2.9", "192.0.2.1", ``, `spec.peerAddress: "192.0.2.1" is the address of port up itself; give that of the next router`},
	{"192.0.2.9", "203.0.113.9", ``, `spec.peerAddress: "203.0.113.9" is not on the link of port up; use an address in 192.0.2.0/24, or another port`},
	{"vport: up", "vport: four", `families: [ipv6]`, `spec.families[0]: "ipv6" is a family of which port four has no address: it would be the next hop; give the port one, or leave the family out`},
	{more: `families: [ipv5]`, want: `spec.families[0]: "ipv5" is no family; use ipv4 or ipv6`},
	{more: `families: [ipv4, ipv4]`, want: `spec.families[1]: "ipv4" is listed twice; list each family once`},
	{more: `localAddress: 192.0.2.2`, want: `spec.localAddress: "192.0.2.2" is no address of port up; use one of them, or leave it out`},
	{more: `localAddress: "2001:db8::1"`, want: `spec.localAddress: "2001:db8::1" is of another IP version than peerAddress 192.0.2.9; use one of the same`},
	{more: `holdTime: 2`, want: `spec.holdTime: "2" is out of range; use 3 to 65535 seconds`},
	{more: `keepalive: 40`, want: `spec.keepalive: "40" is more than a third of the hold time of 90 seconds; use 30 at most`},
	{more: `bfd: {}`},
	{more: `bfd: {minTx: 50, minRx: 10000, multiplier: 50, strict: true}`},
	{more: `bfd: {minTx: 49}`, want: `spec.bfd.minTx: "49" is out of range; use 50 to 10000 milliseconds`},
	{more: `bfd: {minRx: 10001}`, want: `spec.bfd.minRx: "10001" is out of range; use 50 to 10000 milliseconds`},
	{more: `bfd: {multiplier: 1}`, want: `spec.bfd.multiplier: "1" is out of range; use 2 to 50`},
	{more: `multihop: 1`, want: `spec.multihop: "1" is out of range; use 2 to 255, or leave it out for a neighbour on the link`},
	{"64501", "64500", `multihop: 3`, `spec.multihop: "3" is for external sessions: an internal one may go any number of hops; leave it out`},
	{more: `passwordSecret: "s3cr3t word"`, want: `spec.passwordSecret: is not the name of a secret; use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first; the password itself is kept at the edges`},
	{more: `maxPrefixes: 5, maxPrefixesAction: drop`, want: `spec.maxPrefixesAction: "drop" is no action; use stop, restart or warn`},
	{more: `maxPrefixesAction: stop`, want: `spec.maxPrefixesAction: "stop" goes with maxPrefixes; give that, or leave this out`},
	{more: `import: [{action: allow, prefix: 10.0.0.0/8}]`, want: `spec.import[0].action: "allow" is no action; use permit or deny`},
	{more: `import: [{action: permit, prefix: 10.0.0.1/8}]`, want: `spec.import[0].prefix: "10.0.0.1/8" has bits set behind its length; use 10.0.0.0/8`},
	{more: `export: [{action: permit, prefix: "2001:db8::/32"}]`, want: `spec.export[0].prefix: "2001:db8::/32" is of a family that the session does not exchange; add the family to families`},
	{more: `import: [{action: permit, prefix: 10.0.0.0/8, le: 33}]`, want: `spec.import[0].le: "33" is no length of a prefix within 10.0.0.0/8; use 8 to 32`},
	{more: `import: [{action: permit, prefix: 10.0.0.0/8, ge: 4}]`, want: `spec.import[0].ge: "4" is no length of a prefix within 10.0.0.0/8; use 8 to 32`},
	{more: `import: [{action: permit, prefix: 10.0.0.0/8, ge: 24, le: 16}]`, want: `spec.import[0].ge: "24" is more than le, 16; no prefix would fit`},
	{more: `ttlSecurity: true, import: [{action: permit, prefix: 0.0.0.0/0, le: 32, community: "64501:7", localPref: 200}], advertise: [{prefix: 10.0.0.0/8, prepend: 3, communities: [no-export, "64500:1", "64500:1:2"]}]`},
	{"64501", "64500", `ttlSecurity: true`, `spec.ttlSecurity: "true" is for external sessions; leave it out`},
	{more: `import: [{action: permit, prefix: 10.0.0.0/8, community: "70000:1"}]`, want: `spec.import[0].community: "70000:1" is no community; use AS:VALUE such as 64500:100, AS:VALUE:VALUE, no-export, no-advertise, no-peer or blackhole`},
	{more: `import: [{action: deny, prefix: 10.0.0.0/8, localPref: 5}]`, want: `spec.import[0].localPref: "5" is for what import permits; leave it out`},
	{more: `export: [{action: permit, prefix: 10.0.0.0/8, community: "1:1"}]`, want: `spec.export[0].community: "1:1" is for import; leave it out: what is told is what advertise has`},
	{more: `advertise: [{prefix: 10.0.0.0/8, communities: ["1:2:3:4"]}]`, want: `spec.advertise[0].communities[0]: "1:2:3:4" is no community; use AS:VALUE such as 64500:100, AS:VALUE:VALUE, no-export, no-advertise, no-peer or blackhole`},
	{more: `advertise: [{prefix: 10.0.0.0/8, prepend: 11}]`, want: `spec.advertise[0].prepend: "11" is out of range; use 10 at most`},
	{more: `advertise: [{prefix: 10.0.0.0/8}, {prefix: 10.0.0.0/8}]`, want: `spec.advertise[1].prefix: "10.0.0.0/8" is that of spec.advertise[0] too; list each prefix once`},
	{more: `families: [ipv4, ipv6], redistribute: [{sources: [connected, static, floatingIPs, snatGateways, virtualAddresses], within: [203.0.113.0/24, "2001:db8:f::/48"], aggregate: true, whenDown: keep, med: 5, communities: ["64500:1"], prepend: 2}]`},
	{more: `redistribute: [{within: [203.0.113.0/24]}]`, want: `spec.redistribute[0].sources: is missing; use some of connected, static, floatingIPs, snatGateways and virtualAddresses`},
	{more: `redistribute: [{sources: [floatingIPs]}]`, want: `spec.redistribute[0].within: is missing; give the prefixes that are yours to advertise: nothing else is told, whatever tenants have`},
	{more: `redistribute: [{sources: [nat], within: [203.0.113.0/24]}]`, want: `spec.redistribute[0].sources[0]: "nat" is no source; use connected, static, floatingIPs, snatGateways or virtualAddresses`},
	{more: `redistribute: [{sources: [static, static], within: [203.0.113.0/24]}]`, want: `spec.redistribute[0].sources[1]: "static" is listed twice; list each source once`},
	{more: `redistribute: [{sources: [static], within: [203.0.113.1/24]}]`, want: `spec.redistribute[0].within[0]: "203.0.113.1/24" has bits set behind its length; use 203.0.113.0/24`},
	{more: `redistribute: [{sources: [static], within: ["2001:db8::/32"]}]`, want: `spec.redistribute[0].within[0]: "2001:db8::/32" is of a family that the session does not exchange; add the family to families`},
	{more: `redistribute: [{sources: [static], within: [203.0.113.0/24], whenDown: stay}]`, want: `spec.redistribute[0].whenDown: "stay" is unknown; use withdraw or keep`},
	{more: `redistribute: [{sources: [static], within: [203.0.113.0/24], prepend: 11}]`, want: `spec.redistribute[0].prepend: "11" is out of range; use 10 at most`},
	{more: `redistribute: [{sources: [static], within: [203.0.113.0/24], communities: [x]}]`, want: `spec.redistribute[0].communities[0]: "x" is no community; use AS:VALUE such as 64500:100, AS:VALUE:VALUE, no-export, no-advertise, no-peer or blackhole`},
	{more: `advertise: [{prefix: "2001:db8::/32"}]`, want: `spec.advertise[0].prefix: "2001:db8::/32" is of a family that the session does not exchange; add the family to families`},
	{more: `}}
---
{apiVersion: weft/v1, kind: BGPSession, metadata: {name: b, tenant: isp}, spec: {` + speaksTo, want: `with the other`},
}

func TestBGPSessionMistakes(t *testing.T) {
	for _, m := range bgpMistakes {
		text := strings.Replace(peering, speaksTo, strings.Replace(speaksTo, m.old, m.new, 1), 1) + m.more + "}}"
		objects, err := Decode("net.yaml", []byte(text))
		if err == nil {
			_, err = new(Set).Apply(objects, nil)
		}
		got := ""
		if err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			_, got, _ = strings.Cut(first, "session isp/a: ")
			if strings.Contains(first, "session isp/b: spec.peerAddress: \"192.0.2.9\" has a session through that port already, bgpsession isp/a") {
				got = `with the other`
			}
		}
		if got != m.want {
			t.Errorf("%s %s:\n got %s\nwant %s", m.new, m.more, got, m.want)
		}
	}
}

func TestBGPFilter(t *testing.T) {
	f := newBGPFilter([]BGPRuleSpec{
		{Action: "deny", Prefix: netip.MustParsePrefix("10.0.0.0/8"), LE: 32},
		{Action: "permit", Prefix: netip.MustParsePrefix("0.0.0.0/0"), GE: 8, LE: 24},
		{Action: "permit", Prefix: netip.MustParsePrefix("2001:db8::/32"), GE: 48},
		{Action: "permit", Prefix: netip.MustParsePrefix("2001:db8::/32")},
	})
	for p, want := range map[string]struct {
		yes  bool
		rule int
	}{
		"10.1.0.0/16": {false, 0}, "10.0.0.0/8": {false, 0}, "192.0.2.0/24": {true, 1}, "192.0.2.0/25": {false, -1}, "0.0.0.0/0": {false, -1},
		"2001:db8::/32": {true, 3}, "2001:db8:1::/40": {false, -1}, "2001:db8:1::/48": {true, 2}, "2001:db8::1/128": {true, 2}, "2001:db9::/48": {false, -1},
	} {
		if yes, rule := f.Permits(netip.MustParsePrefix(p), nil); yes != want.yes || rule != want.rule {
			t.Errorf("%s: %v by rule %d, want %v by %d", p, yes, rule, want.yes, want.rule)
		}
	}
	f = newBGPFilter([]BGPRuleSpec{
		{Action: "deny", Prefix: netip.MustParsePrefix("::/0"), LE: 128, RPKI: "invalid"},
		{Action: "permit", Prefix: netip.MustParsePrefix("::/0"), LE: 48, RPKI: "valid", Community: "64500:1"},
		{Action: "permit", Prefix: netip.MustParsePrefix("::/0"), LE: 32},
	})
	marked, _ := BGPCommunity("64500:1").Parse()
	for _, x := range []struct {
		prefix string
		told   *Told
		rule   int
	}{
		{"2001:db8::/32", nil, 2}, {"2001:db8::/32", &Told{RPKI: "invalid"}, 0}, {"2001:db8::/32", &Told{RPKI: "valid"}, 2}, {"2001:db8::/48", &Told{RPKI: "valid"}, -1},
		{"2001:db8::/48", &Told{[]Community{marked}, "valid"}, 1}, {"2001:db8::/48", &Told{[]Community{marked}, "notFound"}, -1}, {"2001:db8::/48", &Told{[]Community{marked}, "invalid"}, 0},
	} {
		if _, rule := f.Permits(netip.MustParsePrefix(x.prefix), x.told); rule != x.rule {
			t.Errorf("%s of which %+v is told: rule %d, want %d", x.prefix, x.told, rule, x.rule)
		}
	}
	if yes, _ := BGPFilter(nil).Permits(netip.MustParsePrefix("::/0"), nil); !yes {
		t.Error("no rules permit nothing")
	}
}

// TestBGPSessions: snapshots have the sessions of a port with their defaults, and tell who hosts the port when they change.
func TestBGPSessions(t *testing.T) {
	load := func(more string) []*Object {
		objects, err := Decode("net.yaml", []byte(peering+more+"}}"))
		if err != nil {
			t.Fatal(err)
		}
		AssignIDs(objects, 0)
		set, err := new(Set).Apply(objects, nil)
		if err != nil {
			t.Fatal(err)
		}
		return set.ResolvedAll(objects)
	}
	s, _ := new(Snapshot).With(Changes{Put: load("")})
	id, _ := s.ID(Ref{KindVPort, "isp", "up"})
	router, _ := s.ID(Ref{KindRouter, "isp", "core"})
	port := flow.VPortID(id)
	told := BindingDep(port)
	found := s.BGPSessions(port)
	if len(found) != 1 {
		t.Fatalf("sessions %v", found)
	}
	if b := found[0]; b.Name != "isp/a" || b.HoldTime != 90*time.Second || b.Keepalive != 30*time.Second || b.ConnectRetry != 10*time.Second || !b.V4 || b.V6 || b.Internal() {
		t.Errorf("session %+v", b)
	}
	for peer, want := range map[string]string{"192.0.2.9": "192.0.2.1", "2001:db8::9": "2001:db8::1", "fe80::9": s.VPort(port).LinkLocal.String()} {
		b := *found[0]
		if b.PeerAddress = netip.MustParseAddr(peer); b.Local(s.VPort(port)) != netip.MustParseAddr(want) {
			t.Errorf("to %s from %v, want %s", peer, b.Local(s.VPort(port)), want)
		}
		b.LocalAddress = netip.MustParseAddr("192.0.2.7")
		if b.Local(s.VPort(port)) != b.LocalAddress {
			t.Errorf("to %s from %v, want what is given", peer, b.Local(s.VPort(port)))
		}
	}
	if _, deps := s.With(Changes{Put: load("")}); slices.Contains(deps, told) {
		t.Error("the same session again is a change")
	}
	next, deps := s.With(Changes{Put: load("families: [ipv4, ipv6], holdTime: 30")})
	if b := next.BGPSessions(port); len(b) != 1 || !b[0].V6 || b[0].Keepalive != 10*time.Second || !slices.Contains(deps, told) {
		t.Errorf("changed session %+v, deps %v", b, deps)
	}
	if b := s.BGPSessions(port); b[0].V6 {
		t.Error("the snapshot before has changed")
	}
	if gone, deps := next.With(Changes{Delete: []Ref{{KindBGPSession, "isp", "a"}}}); len(gone.BGPSessions(port)) != 0 || !slices.Contains(deps, told) {
		t.Errorf("deleted, deps %v", deps)
	}
	if gone, _ := next.With(Changes{Forget: []DeviceID{DeviceID(router)}}); len(gone.BGPSessions(port)) != 0 {
		t.Error("a session of a router that is not loaded is left")
	}
}
