package border

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/bgp"
	"github.com/weft-sdn/weft/testbed/peer"
)

// tenant is a router behind the provider's, with hosts that are bound to an edge that is away: their addresses are told all the same.
const tenant = `---
{apiVersion: weft/v1, kind: VPort, metadata: {name: to-acme, tenant: isp}, spec: {device: router/core, peer: acme/gw-up, addresses: [100.64.0.1/30, "fd00::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-up, tenant: acme}, spec: {device: router/gw, peer: isp/to-acme, addresses: [100.64.0.2/30, "fd00::2/64"]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {routes: [{dst: 0.0.0.0/0, port: gw-up, via: 100.64.0.1}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: acme}, spec: {device: router/gw, peer: lan-gw, addresses: [10.1.255.254/16, "fd01::ff/64"]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: acme}, spec: {device: bridge/lan, peer: gw-lan}}
`

// routed is the provider's router with routes to the tenant's addresses.
const routed = `{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {routes: [{dst: 203.0.112.0/24, port: to-acme, via: 100.64.0.2}, {dst: "2001:db8:112::/48", port: to-acme, via: "fd00::2"}]}}`

// floating is the Nth host of the tenant, with a floating IP of each IP version.
func floating(n int) string {
	return fmt.Sprintf(`---
{apiVersion: weft/v1, kind: VPort, metadata: {name: h%[1]d, tenant: acme}, spec: {device: bridge/lan, addresses: [10.1.0.%[1]d/16, "fd01::%[1]x/64"]}}
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: h%[1]d, tenant: acme}, spec: {addresses: [203.0.112.%[1]d, "2001:db8:112::%[1]x"], vport: h%[1]d, router: gw, outside: [gw-up]}}
`, n)
}

// bound is the host's binding.
func bound(n int) string {
	return fmt.Sprintf("---\n{apiVersion: weft/v1, kind: Binding, metadata: {name: h%[1]d, tenant: acme}, spec: {vport: h%[1]d, edge: away, interface: \"1%[1]d\"}}\n", n)
}

// TestRedistribute: a neighbour sees floating IPs, and the networks of the router's own ports, come and go while the session stays up; those of hosts that are bound nowhere it is not told; of an
// aggregate it is told the whole as long as anything is there.
func TestRedistribute(t *testing.T) {
	t.Parallel()
	makers(t, func(t *testing.T, maker peer.Maker) {
		const rules = `advertise: [], redistribute: [{sources: [floatingIPs], within: [203.0.112.0/24, "2001:db8:112::/48"], med: 5, communities: ["64500:7"], prepend: 1}, {sources: [connected], within: [203.0.113.0/24, "2001:db8:113::/48"]}%s]`
		b := newBorder(t, testConfig{
			stack:    bgp.Kernel,
			sessions: tenant + floating(1) + bound(1) + session("first", "up1", 64501, isp1v4, fmt.Sprintf(rules, "")) + session("second", "up2", 64502, isp2v6, fmt.Sprintf(rules, "")),
			peers:    map[string]peer.Config{"isp1": upstream(maker, 64501, nil, up1v4), "isp2": upstream(maker, 64502, nil, up2v6)},
		})
		links := prefixes("203.0.113.0/24", "2001:db8:113::/64")
		hosts := func(numbers ...int) (all []string) {
			for _, n := range numbers {
				all = append(all, fmt.Sprintf("203.0.112.%d/32", n), fmt.Sprintf("2001:db8:112::%x/128", n))
			}
			return all
		}
		began := b.await("e1", "first", "up", func(st *bgp.Status) bool { return st.State == bgp.Established })
		learn := func(numbers ...int) {
			t.Helper()
			for _, isp := range []string{"isp1", "isp2"} {
				b.learns(isp, slices.Concat(links, prefixes(hosts(numbers...)...))...)
			}
		}
		learn()
		b.apply(routed)
		learn(1)
		b.apply(floating(2)) // bound nowhere
		b.apply(floating(3) + bound(3))
		learn(1, 3)
		b.apply(bound(2))
		learn(1, 2, 3)
		b.apply(`{apiVersion: weft/v1, kind: VPort, metadata: {name: h1, tenant: acme}, spec: {device: bridge/lan, addresses: [10.1.0.1/16, "fd01::1/64"], adminDown: true}}`)
		learn(2, 3)
		speaker, err := b.Speaker("e1")
		b.must(err)
		from := map[string]string{}
		for _, rejected := range []bool{false, true} {
			routes, err := speaker.Routes("isp/first", true, bgp.Choice{Rejected: rejected})
			b.must(err)
			for _, r := range routes {
				from[r.Prefix.String()] = r.From + " " + r.Why
			}
		}
		for prefix, want := range map[string]string{
			"203.0.112.1/32": "redistribute[0] floatingip/acme/h1 vport acme/h1 is administratively down", "2001:db8:112::2/128": "redistribute[0] floatingip/acme/h2 ", "203.0.113.0/24": "redistribute[1] connected ",
		} {
			if from[prefix] != want {
				t.Errorf("%s is told from %q, want %q", prefix, from[prefix], want)
			}
		}
		b.apply(`{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {}}`) // no route to the tenant
		learn()
		b.apply(routed)
		learn(2, 3)

		// In place of each address the whole.
		b.apply(session("first", "up1", 64501, isp1v4, `advertise: [], redistribute: [{sources: [floatingIPs], within: [203.0.112.0/24, "2001:db8:112::/48"], aggregate: true}]`))
		whole := prefixes("203.0.112.0/24", "2001:db8:112::/48")
		b.learns("isp1", whole...)
		for n := range 2 {
			b.apply(fmt.Sprintf(`{apiVersion: weft/v1, kind: VPort, metadata: {name: h%[1]d, tenant: acme}, spec: {device: bridge/lan, addresses: [10.1.0.%[1]d/16, "fd01::%[1]d/64"], adminDown: true}}`, n+2))
			if n == 0 {
				b.learns("isp1", whole...)
			}
		}
		b.learns("isp1")
		if st, err := b.status("e1", "first"); err != nil || st.Flaps != 0 || !st.Since.Equal(began.Since) {
			t.Errorf("the session did not stay up: %+v, %v", st, err)
		}
	})
}
