package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// publicNetwork is a provider's router with an uplink, a tenant's router linked to it, and one that is behind a bridge.
const publicNetwork = `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {routes: [{dst: 203.0.113.0/25, port: to-acme, via: 169.254.1.2}, {dst: "2001:db8:113::/64", port: to-acme, via: "fd00:1::2"}, {dst: 203.0.113.128/25, port: to-ext, via: 100.64.0.2}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: isp}, spec: {device: router/core, addresses: [192.0.2.1/24, "2001:db8::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: to-acme, tenant: isp}, spec: {device: router/core, peer: acme/gw-up, addresses: [169.254.1.1/30, "fd00:1::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: to-ext, tenant: isp}, spec: {device: router/core, peer: ext-core, addresses: [100.64.0.1/24]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: ext, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: ext-core, tenant: isp}, spec: {device: bridge/ext, peer: to-ext}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: ext-globex, tenant: isp}, spec: {device: bridge/ext, peer: globex/gw-up}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: globex}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-up, tenant: globex}, spec: {device: router/gw, peer: isp/ext-globex, addresses: [100.64.0.2/24]}}
---
{apiVersion: weft/v1, kind: SNATGateway, metadata: {name: hide, tenant: globex}, spec: {router: gw, outside: [gw-up], sources: [10.0.0.0/8], addresses: [203.0.113.129-203.0.113.130]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {filters: {ingress: services}}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-up, tenant: acme}, spec: {device: router/gw, peer: isp/to-acme, addresses: [169.254.1.2/30, "fd00:1::2/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: acme}, spec: {device: router/gw, peer: lan-gw, addresses: [10.1.0.254/24, "fd01::ff/64"]}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: acme}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.1.0.1/24, "fd01::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/lan, mac: "02:00:00:00:00:02", addresses: [10.1.0.2/24]}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: vm1, tenant: acme}, spec: {vport: vm1, edge: e2, interface: "1"}}
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: web, tenant: acme}, spec: {addresses: [203.0.113.10, "2001:db8:113::10"], vport: vm1, router: gw, outside: [gw-up]}}
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: off, tenant: acme}, spec: {addresses: [203.0.113.11], vport: vm2, router: gw, outside: [gw-up]}}
---
{apiVersion: weft/v1, kind: Pool, metadata: {name: web, tenant: acme}, spec: {members: [{address: 10.1.0.1, port: 80}, {address: "fd01::1", port: 80}], monitor: {type: tcp, source: gw-lan}}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: services, tenant: acme}, spec: {rules: [{match: {protocols: [tcp], dst: [203.0.113.80, "2001:db8:113::80"], dstPorts: [80]}, action: dnat, nat: {pool: web}}, {action: jump, chain: more}]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: more, tenant: acme}, spec: {rules: [{match: {protocols: [tcp], dst: [203.0.113.81], dstPorts: [22]}, action: dnat, nat: {addresses: ["10.1.0.1-10.1.0.1"]}}]}}
---
{apiVersion: weft/v1, kind: BGPSession, metadata: {name: upstream, tenant: isp}, spec: {vport: up, localAS: 64500, peerAS: 64501, peerAddress: 192.0.2.9, families: [ipv4, ipv6],
  redistribute: [{sources: [floatingIPs, snatGateways, virtualAddresses], within: [203.0.113.0/24, "2001:db8:113::/48"]}]}}
`

// publicLab is that network, and the store of an edge that has the provider's router and nothing of the tenants.
type publicLab struct {
	*testing.T
	all, border *Store
	core        topology.DeviceID
}

func newPublicLab(t *testing.T) *publicLab {
	all := embeddedStore(t)
	apply(t, all, publicNetwork)
	border := lazyStore(t, all, 50*time.Millisecond, "e9")
	l := &publicLab{t, all, border, idOf(t, all, topology.KindRouter, "isp", "core")}
	border.Load(l.core)
	return l
}

// tells waits until the session tells these prefixes, and of others says this.
func (l *publicLab) tells(want ...string) {
	l.Helper()
	got := ""
	session := idOf(l.T, l.all, topology.KindVPort, "isp", "up")
	untilView(l.T, l.border, strings.Join(want, ", "), func(v *View) bool {
		own := v.Topology.Own(l.core, nil)
		if own == nil || len(v.Topology.BGPSessions(flow.VPortID(session))) == 0 {
			return false
		}
		for _, p := range own.Pools {
			l.border.Load(p)
		}
		var list []string
		told := own.Tell(v.Topology.BGPSessions(flow.VPortID(session))[0])
		for _, prefix := range slices.SortedFunc(maps.Keys(told), netip.Prefix.Compare) {
			x := told[prefix]
			text := x.Prefix.String()
			if x.Why != "" {
				text += ": " + x.Why
			}
			list = append(list, text)
		}
		now := strings.Join(list, "\n")
		if now != got {
			l.Logf("told now:\n%s", now)
			got = now
		}
		return slices.Equal(list, want)
	})
}

// TestPublicsAreTold: an edge that has a provider's router loaded, and nothing of the tenants linked to it, knows what public addresses they have, whether anybody is there, and which object has
// each; a change of one is one write.
func TestPublicsAreTold(t *testing.T) {
	l := newPublicLab(t)
	const acme = "203.0.113.80/32"
	down := "203.0.113.11/32: vport acme/vm2 is bound nowhere"
	l.tells("203.0.113.10/32", down, acme, "203.0.113.81/32", "203.0.113.129/32", "203.0.113.130/32", "2001:db8:113::10/128", "2001:db8:113::80/128")
	for _, d := range []string{"acme", "globex"} {
		if l.border.View().Topology.Router(idOf(t, l.all, topology.KindRouter, d, "gw")) != nil {
			t.Errorf("the router of %s is loaded", d)
		}
	}

	// One more floating IP: one record of the provider's router, and none other of it changes.
	before, _ := contents(t, l.all.client, recordPrefix(l.core, recordPublic))
	rev := apply(t, l.all, `
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm3, tenant: acme}, spec: {device: bridge/lan, addresses: [10.1.0.3/24]}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: vm3, tenant: acme}, spec: {vport: vm3, edge: e2, interface: "3"}}
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: third, tenant: acme}, spec: {addresses: [203.0.113.12], vport: vm3, router: gw, outside: [gw-up]}}`)
	l.tells("203.0.113.10/32", down, "203.0.113.12/32", acme, "203.0.113.81/32", "203.0.113.129/32", "203.0.113.130/32", "2001:db8:113::10/128", "2001:db8:113::80/128")
	resp, err := l.all.client.Get(t.Context(), devicePrefix(l.core), clientv3.WithPrefix(), clientv3.WithMinModRev(rev))
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := contents(t, l.all.client, recordPrefix(l.core, recordPublic)); len(resp.Kvs) != 1 || len(after) != len(before)+1 {
		t.Errorf("one more floating IP: %d records of the provider's router written, %d public ones, before %d", len(resp.Kvs), len(after), len(before))
	}
	if bad := l.all.BadValues() + l.border.BadValues(); bad != 0 {
		t.Errorf("%d values were not understood", bad)
	}
	for _, leaf := range []string{"", "1", "1/", "x/floatingip/a/b", "1/floatingip/a", "1/nothing/a/b", "1/floatingip/a/b/c", "01/floatingip/a/b"} {
		if _, err := parseDeviceKey(recordPrefix(1, recordPublic) + leaf); err == nil {
			t.Errorf("key with %q is taken", leaf)
		}
	}
}

// TestPublicHealth: what nobody answers for is withdrawn, and told again: a pool without a member that is up, by IP version; a host that is bound nowhere; a link that is down; an owner that no
// route leads to.
func TestPublicHealth(t *testing.T) {
	l := newPublicLab(t)
	others := []string{"203.0.113.81/32", "203.0.113.129/32", "203.0.113.130/32", "2001:db8:113::10/128"}
	list := func(head []string, tail ...string) []string { return slices.Concat(head, others, tail) }
	off := "203.0.113.11/32: vport acme/vm2 is bound nowhere"
	l.tells(list([]string{"203.0.113.10/32", off, "203.0.113.80/32"}, "2001:db8:113::80/128")...)

	pool := idOf(t, l.all, topology.KindPool, "acme", "web")
	lease, claimed, err := l.all.ClaimMonitor(t.Context(), pool, "e2", 10*time.Second)
	if err != nil || !claimed {
		t.Fatalf("claim: %v, %v", claimed, err)
	}
	health := func(member string, down bool) {
		t.Helper()
		if _, err := l.all.SetHealth(t.Context(), pool, lease, topology.MemberAt(netip.MustParseAddr(member), 80), Health{Down: down}); err != nil {
			t.Fatal(err)
		}
	}
	const none = ": no member of its pool is up"
	health("10.1.0.1", true)
	l.tells(list([]string{"203.0.113.10/32", off, "203.0.113.80/32" + none}, "2001:db8:113::80/128")...)
	health("fd01::1", true)
	l.tells(list([]string{"203.0.113.10/32", off, "203.0.113.80/32" + none}, "2001:db8:113::80/128"+none)...)
	health("10.1.0.1", false)
	health("fd01::1", false)
	l.tells(list([]string{"203.0.113.10/32", off, "203.0.113.80/32"}, "2001:db8:113::80/128")...)

	vm := func(name string) topology.Ref {
		return topology.Ref{Kind: topology.KindVPort, Tenant: "acme", Name: name}
	}
	if _, err := l.all.Unbind(t.Context(), vm("vm1")); err != nil {
		t.Fatal(err)
	}
	others[3] = "2001:db8:113::10/128: vport acme/vm1 is bound nowhere"
	l.tells(list([]string{"203.0.113.10/32: vport acme/vm1 is bound nowhere", off, "203.0.113.80/32"}, "2001:db8:113::80/128")...)
	for _, name := range []string{"vm1", "vm2"} {
		if _, err := l.all.Bind(t.Context(), vm(name), "e2", name, 0); err != nil {
			t.Fatal(err)
		}
	}
	others[3] = "2001:db8:113::10/128"
	l.tells(list([]string{"203.0.113.10/32", "203.0.113.11/32", "203.0.113.80/32"}, "2001:db8:113::80/128")...)

	// A move changes no record.
	before, _ := contents(t, l.all.client, recordPrefix(l.core, recordPublic))
	rev := modified(t, l.all, recordPrefix(l.core, recordPublic))
	if _, err := l.all.Bind(t.Context(), vm("vm1"), "e3", "7", 0); err != nil {
		t.Fatal(err)
	}
	if after, _ := contents(t, l.all.client, recordPrefix(l.core, recordPublic)); !maps.Equal(before, after) || rev != modified(t, l.all, recordPrefix(l.core, recordPublic)) {
		t.Error("a host that moves changes what is public")
	}

	apply(t, l.all, `{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-up, tenant: globex}, spec: {device: router/gw, peer: isp/ext-globex, addresses: [100.64.0.2/24], adminDown: true}}`)
	apply(t, l.all, `{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-up, tenant: acme}, spec: {device: router/gw, peer: isp/to-acme, addresses: [169.254.1.2/30, "fd00:1::2/64"], adminDown: true}}`)
	const link = ": the other end of vport isp/to-acme is administratively down"
	l.tells("203.0.113.10/32"+link, "203.0.113.11/32"+link, "203.0.113.80/32"+link, "203.0.113.81/32"+link, "203.0.113.129/32", "203.0.113.130/32", "2001:db8:113::10/128"+link, "2001:db8:113::80/128"+link)

	// Nothing is told that the router has no route to.
	apply(t, l.all, `{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {}}`)
	const no = ": no static or connected route of the router leads to its owner"
	l.tells("203.0.113.10/32"+no, "203.0.113.11/32"+no, "203.0.113.80/32"+no, "203.0.113.81/32"+no, "203.0.113.129/32"+no, "203.0.113.130/32"+no, "2001:db8:113::10/128"+no, "2001:db8:113::80/128"+no)
}

// modified is the last revision at which a key with a prefix was written.
func modified(t *testing.T, s *Store, prefix string) (rev int64) {
	t.Helper()
	for key := range must(contents(t, s.client, prefix)) {
		resp, err := s.client.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		rev = max(rev, resp.Kvs[0].ModRevision)
	}
	return rev
}

func must(m map[string]string, _ int64) map[string]string { return m }

// TestPublicsFollowFromTheSet: whatever changes one by one, what is stored of public addresses is what the outcome alone would have stored.
func TestPublicsFollowFromTheSet(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	s := embeddedStore(t)
	apply(t, s, publicNetwork)
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	change := func() (put, del string) {
		switch r.IntN(9) {
		case 0:
			return `{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-up, tenant: acme}, spec: {device: router/gw, peer: isp/to-acme, addresses: [169.254.1.2/30, "fd00:1::2/64"], adminDown: ` + pick("true", "false") + `}}`, ""
		case 1:
			return `{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.1.0.1/24, "fd01::1/64"], adminDown: ` + pick("true", "false") + `}}`, ""
		case 2:
			name := pick("a", "b", "c")
			return `{apiVersion: weft/v1, kind: VPort, metadata: {name: vm-` + name + `, tenant: acme}, spec: {device: bridge/lan, addresses: [10.1.0.3` + name[:0] + fmt.Sprint(name[0]-'a') + `/24]}}
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: ` + name + `, tenant: acme}, spec: {addresses: [203.0.113.4` + fmt.Sprint(name[0]-'a') + `], vport: vm-` + name + `, router: gw, outside: [gw-up]}}`, ""
		case 3:
			return "", pick("FloatingIP acme/a", "FloatingIP acme/b", "FloatingIP acme/c", "Binding acme/vm1", "VPort isp/up2", "VPort isp/up3")
		case 4:
			return `{apiVersion: weft/v1, kind: Chain, metadata: {name: more, tenant: acme}, spec: {rules: [{match: {protocols: [tcp], dst: [203.0.113.8` + fmt.Sprint(r.IntN(5)) + `], dstPorts: [22]}, action: dnat, nat: {addresses: ["10.1.0.1-10.1.0.1"]}}]}}`, ""
		case 5:
			return `{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {filters: {ingress: ` + pick("services", "more", `""`) + `}}}`, ""
		case 6: // the other border
			return `{apiVersion: weft/v1, kind: Router, metadata: {name: core2, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: to-ext2, tenant: isp}, spec: {device: router/core2, peer: ext-core2, addresses: [100.64.0.9/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: ext-core2, tenant: isp}, spec: {device: bridge/` + pick("ext", "ext2") + `, peer: to-ext2}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: ext2, tenant: isp}, spec: {}}`, ""
		case 7:
			return `{apiVersion: weft/v1, kind: VPort, metadata: {name: ` + pick("up2", "up3") + `, tenant: isp}, spec: {device: router/` + pick("core", "core2") + `, addresses: [198.51.100.1/24]}}`, ""
		}
		return `{apiVersion: weft/v1, kind: Binding, metadata: {name: vm1, tenant: acme}, spec: {vport: vm1, edge: ` + pick("e2", "e3") + `, interface: "1"}}`, ""
	}
	done := 0
	for range 120 {
		put, del := change()
		var err error
		if put != "" {
			_, err = s.Apply(t.Context(), decode(t, put))
		} else {
			kind, rest, _ := strings.Cut(del, " ")
			tenant, name, _ := strings.Cut(rest, "/")
			_, err = s.Delete(t.Context(), topology.Ref{Kind: topology.Kind(kind), Tenant: tenant, Name: name})
		}
		if err == nil {
			done++
		}
		if _, err := s.load(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		of := topology.NewPublicsOf(s.desired.catalogue.Set)
		for _, o := range s.desired.catalogue.Set.All() {
			for _, p := range of.Of(o.Ref()) {
				value, err := json.Marshal(p)
				if err != nil {
					t.Fatal(err)
				}
				want[publicKey(p.Router, p.Key())] = string(value)
			}
		}
		got := map[string]string{}
		for key, value := range must(contents(t, s.client, devPrefix)) {
			if k, err := parseDeviceKey(key); err == nil && k.record == recordPublic {
				got[key] = value
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("seed %d: after %s%s stored is\n%v\nwant\n%v", seed, put, del, got, want)
		}
	}
	if done < 50 {
		t.Errorf("%d changes were taken", done)
	}
}
