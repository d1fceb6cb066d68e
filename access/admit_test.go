package access

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/topology"
)

// stored is a provider with three customers' ports, and two tenants.
const stored = `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: isp}, spec: {device: router/core, addresses: [100.64.0.1/30, "fd00:1::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up2, tenant: isp}, spec: {device: router/core, addresses: [100.64.0.5/30]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: bound, tenant: isp}, spec: {device: router/core}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: bound, tenant: isp}, spec: {vport: bound, edge: e1, interface: "1"}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: spare, tenant: isp}, spec: {device: router/core}}
---
{apiVersion: weft/v1, kind: Tenant, metadata: {name: acme, tenant: acme}, spec: {ports: [isp/up, isp/up2, isp/bound], prefixes: [203.0.113.0/28, "2001:db8:1::/48"], quota: {Bridge: 2, total: 9}}}
---
{apiVersion: weft/v1, kind: Tenant, metadata: {name: globex, tenant: globex}, spec: {ports: [isp/up2], prefixes: [203.0.113.16/28]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/lan, addresses: [10.0.0.2/24, "fd00:a::2/64"]}}
---
{apiVersion: weft/v1, kind: Binding, metadata: {name: vm, tenant: isp}, spec: {vport: acme/vm, edge: e1, interface: "2"}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: r, tenant: globex}, spec: {}}
---
{apiVersion: weft/v1, kind: AddressGroup, metadata: {name: secret, tenant: globex}, spec: {addresses: [10.9.9.9]}}
`

var (
	acme   = Identity{Subject: "user:acme/ann", Role: TenantEditor, Tenant: "acme"}
	globex = Identity{Subject: "user:globex/bob", Role: TenantEditor, Tenant: "globex"}
	root   = Identity{Subject: "user:root", Role: ProviderAdmin}
)

func objects(t *testing.T, text string) []*topology.Object {
	t.Helper()
	all, err := topology.Decode("net.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// net is a set that changes as the API changes it.
type net struct {
	t   *testing.T
	g   *Guard
	set *topology.Set
}

func newNet(t *testing.T) *net {
	t.Helper()
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	n := &net{t, g, new(topology.Set)}
	n.must(root, stored)
	return n
}

// change does what an API server does within the attempt that writes.
func (n *net) change(id Identity, text string, del ...topology.Ref) error {
	n.t.Helper()
	put, gone, err := n.g.Admit(n.t.Context(), id, n.set, objects(n.t, text), del)
	if err != nil {
		return n.g.Conceal(id, n.set, err)
	}
	after, err := n.set.Apply(put, gone)
	if err != nil {
		return n.g.Conceal(id, n.set, err)
	}
	n.set = after
	return nil
}

func (n *net) must(id Identity, text string, del ...topology.Ref) {
	n.t.Helper()
	if err := n.change(id, text, del...); err != nil {
		n.t.Fatal(err)
	}
}

// refused wants a change to be refused with one error, which begins and ends like that.
func (n *net) refused(id Identity, want, text string, del ...topology.Ref) {
	n.t.Helper()
	err := n.change(id, text, del...)
	if err == nil {
		n.t.Fatalf("no error; want %s", want)
	}
	var all topology.Errors
	if !errors.As(err, &all) || len(all) != 1 || !strings.HasSuffix(all[0].Error(), want) {
		n.t.Errorf("\n got %v\nwant %s", err, want)
	}
}

func (n *net) peer(tenant, name string) string {
	n.t.Helper()
	o := n.set.Get(topology.Ref{Kind: topology.KindVPort, Tenant: tenant, Name: name})
	if o == nil {
		n.t.Fatalf("no vport %s/%s", tenant, name)
	}
	return o.Spec.(*topology.VPortSpec).Peer
}

func vport(tenant, name string) topology.Ref {
	return topology.Ref{Kind: topology.KindVPort, Tenant: tenant, Name: name}
}

func link(name, peer, addresses string) string {
	return "{apiVersion: weft/v1, kind: VPort, metadata: {name: " + name + ", tenant: acme}, spec: {device: router/gw, peer: " + peer + ", addresses: [" + addresses + "]}}"
}

// TestLink: a tenant links to a port that it was granted, and lets go of it; the other end follows.
func TestLink(t *testing.T) {
	n := newNet(t)
	n.must(acme, link("wan", "isp/up", `100.64.0.2/30, "fd00:1::2/64"`))
	if n.peer("isp", "up") != "acme/wan" {
		t.Errorf("peer of the provider's port is %q", n.peer("isp", "up"))
	}
	n.must(acme, link("wan", "isp/up", `100.64.0.2/30`)) // changed, and linked still
	n.refused(acme, `spec.peer: "isp/up" is linked to already, by vport acme/wan; name another port, or remove that link`, link("wan2", "isp/up", ""))
	n.must(acme, link("wan", "isp/up2", "100.64.0.6/30")) // to another port
	if n.peer("isp", "up") != "" || n.peer("isp", "up2") != "acme/wan" {
		t.Errorf("peers are %q and %q", n.peer("isp", "up"), n.peer("isp", "up2"))
	}
	other := strings.ReplaceAll(strings.ReplaceAll(link("wan", "isp/up2", ""), "acme", "globex"), "router/gw", "router/r")
	n.refused(globex, `spec.peer: "isp/up2" is linked to already, by another; name another port, or remove that link`, other)
	n.must(acme, link("wan2", "isp/up2", "100.64.0.6/30"), vport("acme", "wan")) // in one change
	if n.peer("isp", "up2") != "acme/wan2" {
		t.Errorf("peer is %q", n.peer("isp", "up2"))
	}
	n.must(acme, "", vport("acme", "wan2"))
	if n.peer("isp", "up2") != "" {
		t.Errorf("peer is %q once the link is gone", n.peer("isp", "up2"))
	}
	n.must(globex, other)
	n.refused(acme, `spec.peer: "isp/bound" is at an interface of an edge, and no link; ask the provider for another port`, link("wan", "isp/bound", ""))
}

// TestForeignReferences: what a tenant may not use reads the same whether it is there or not, in whatever field.
func TestForeignReferences(t *testing.T) {
	n := newNet(t)
	for _, text := range []string{
		link("wan", "isp/X", ""),
		`{apiVersion: weft/v1, kind: VPort, metadata: {name: in, tenant: acme}, spec: {device: router/isp/X}}`,
		`{apiVersion: weft/v1, kind: VPort, metadata: {name: in, tenant: acme}, spec: {device: bridge/lan, dhcp: isp/X}}`,
		`{apiVersion: weft/v1, kind: VPort, metadata: {name: in, tenant: acme}, spec: {device: bridge/lan, securityGroups: [isp/X]}}`,
		`{apiVersion: weft/v1, kind: Chain, metadata: {name: c, tenant: acme}, spec: {rules: [{match: {srcGroups: [isp/X]}, action: drop}]}}`,
		`{apiVersion: weft/v1, kind: PortGroup, metadata: {name: g, tenant: acme}, spec: {ports: [isp/X]}}`,
		`{apiVersion: weft/v1, kind: Router, metadata: {name: q, tenant: acme}, spec: {filters: {ingress: isp/X}}}`,
	} {
		answers := map[string]bool{}
		for _, other := range []string{"isp/core", "isp/spare", "globex/secret", "globex/r", "isp/nothing"} {
			err := n.change(acme, strings.ReplaceAll(text, "isp/X", other))
			if err == nil {
				t.Fatalf("%s: no error", strings.ReplaceAll(text, "isp/X", other))
			}
			answers[strings.ReplaceAll(err.Error(), other, "X")] = true
		}
		if len(answers) != 1 {
			t.Errorf("%s: answers differ: %v", text, answers)
		}
		for a := range answers {
			if !strings.Contains(a, "spec.") || !strings.Contains(a, "is not there, or not for tenant acme to use") {
				t.Errorf("%s: %s", text, a)
			}
		}
	}
}

// TestProviderRelies: what the provider relies on is not taken from under it, and the answer does not say by what.
func TestProviderRelies(t *testing.T) {
	n := newNet(t)
	n.refused(acme, "vport acme/vm: is used by the provider; ask for it to be let go of", "", vport("acme", "vm"))
	err := n.change(acme, `{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan2, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan2, tenant: acme}, spec: {device: bridge/lan2, peer: vm}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm, tenant: acme}, spec: {device: bridge/lan, peer: lan2}}`)
	if err == nil || strings.Contains(err.Error(), "isp") || !strings.Contains(err.Error(), "the provider relies on something that this would change") {
		t.Errorf("the error is %v", err)
	}
	if err = n.change(root, "", vport("isp", "up")); err == nil || !strings.Contains(err.Error(), "is used by tenant acme/acme") {
		t.Errorf("a port that is granted: %v", err)
	}
}

// TestLeases: outside addresses are of what the tenant leased, in whatever object.
func TestLeases(t *testing.T) {
	n := newNet(t)
	n.must(acme, link("wan", "isp/up", `100.64.0.2/30`))
	const floating = `{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: f, tenant: acme}, spec: {addresses: [ADDR], vport: vm, router: gw, outside: [wan]}}`
	const gateway = `{apiVersion: weft/v1, kind: SNATGateway, metadata: {name: s, tenant: acme}, spec: {sources: [10.0.0.0/24], addresses: [ADDR], router: gw, outside: [wan]}}`
	const chain = `{apiVersion: weft/v1, kind: Chain, metadata: {name: c, tenant: acme}, spec: {rules: [{match: {outPorts: [wan]}, action: snat, nat: {addresses: [ADDR]}}]}}`
	const balance = `{apiVersion: weft/v1, kind: Chain, metadata: {name: c, tenant: acme}, spec: {rules: [{match: {dst: [ADDR]}, action: dnat, nat: {addresses: [10.0.0.2]}}]}}`
	const groups = `{apiVersion: weft/v1, kind: AddressGroup, metadata: {name: vips, tenant: acme}, spec: {addresses: [ADDR]}}
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: c, tenant: acme}, spec: {rules: [{match: {dstGroups: [vips]}, action: dnat, nat: {addresses: [10.0.0.2]}}]}}`
	const uplink = `{apiVersion: weft/v1, kind: VPort, metadata: {name: uplink, tenant: acme}, spec: {device: router/gw, addresses: [ADDR/24]}}`
	wan := link("wan", "isp/up", "100.64.0.2/30, ADDR/32")
	for _, tc := range []struct{ text, addr, want string }{
		{floating, "203.0.113.3", ""},
		{floating, "203.0.113.17", `spec.addresses[0]: "203.0.113.17" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
		{floating, "10.0.0.77", `spec.addresses[0]: "10.0.0.77" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
		{gateway, "203.0.113.4-203.0.113.5", ""},
		{gateway, "203.0.113.4-203.0.113.16", `spec.addresses[0]: "203.0.113.4-203.0.113.16" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
		{chain, "203.0.113.4", ""},
		{chain, "10.7.7.7", ""},
		{chain, "8.8.8.8", `spec.rules[0].nat.addresses[0]: "8.8.8.8" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
		{chain, `"2001:db8:2::1"`, `spec.rules[0].nat.addresses[0]: "2001:db8:2::1" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
		{balance, "203.0.113.5", ""},
		{balance, "203.0.113.0/27", `spec.rules[0].match.dst[0]: "203.0.113.0-203.0.113.31" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
		{balance, "10.5.5.5", ""},
		{strings.Replace(chain, "match: {outPorts: [wan]}, action: snat, nat: {addresses: [ADDR]}", "action: dnat, nat: {from: ADDR, to: 10.0.0.2}", 1), "198.51.100.9",
			`spec.rules[0].nat.from: "198.51.100.9" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
		{groups, "203.0.113.6", ""},
		{groups, "198.51.100.9", `spec.rules[0].match.dstGroups[0]: "198.51.100.9" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
		{strings.Replace(chain, "addresses: [ADDR]", "from: 10.0.0.0/28, to: ADDR", 1), "203.0.113.0/28", ""},
		{strings.Replace(chain, "addresses: [ADDR]", "from: 10.0.0.0/27, to: ADDR", 1), "203.0.113.0/27", `spec.rules[0].nat.to: "203.0.113.0-203.0.113.31" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
		{wan, "203.0.113.9", ""},
		{uplink, "203.0.113.9", ""},
		{uplink, "10.8.0.1", ""},
		{uplink, "198.51.100.1", `spec.addresses[0]: "198.51.100.1" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
		{wan, "203.0.113.20", `spec.addresses[1]: "203.0.113.20" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`},
	} {
		text := strings.Replace(tc.text, "ADDR", tc.addr, 1)
		if tc.want != "" {
			n.refused(acme, tc.want, text)
			continue
		}
		next := *n
		if err := next.change(acme, text); err != nil {
			t.Errorf("%s: %v", tc.addr, err)
		}
	}
	n.must(acme, strings.Replace(groups, "ADDR", "203.0.113.6", 1))
	n.refused(acme, `addressgroup acme/vips: spec.addresses[0]: "8.8.4.4" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`, `{apiVersion: weft/v1, kind: AddressGroup, metadata: {name: vips, tenant: acme}, spec: {addresses: [8.8.4.4]}}`)
	n.refused(acme, `spec.addresses[0]: "100.64.0.1" is not leased to tenant acme; use one of 203.0.113.0/28, 2001:db8:1::/48`, link("wan", "isp/up", "100.64.0.1/32"))
}

// TestNotTakenAway: what a tenant uses of the provider stays its own, until it is let go of.
func TestNotTakenAway(t *testing.T) {
	n := newNet(t)
	n.must(acme, link("wan", "isp/up", `100.64.0.2/30, 203.0.113.9/32`))
	without := func(ports, prefixes string) string {
		return `{apiVersion: weft/v1, kind: Tenant, metadata: {name: acme, tenant: acme}, spec: {ports: [` + ports + `], prefixes: [` + prefixes + `]}}`
	}
	n.refused(root, `spec.ports: "isp/up" can't be taken away: vport acme/wan is linked to it; remove that link in the same command`, without("isp/up2", "203.0.113.0/28"))
	n.refused(root, `spec.prefixes: "203.0.113.9" can't be taken away: vport acme/wan has it; change that in the same command`, without("isp/up", "203.0.113.0/29"))
	if err := n.change(root, "", topology.TenantRef("acme")); err == nil {
		t.Error("all was taken away")
	}
	n.must(root, without("isp/up", "203.0.113.8/29"))
	n.must(root, without("", "")+"\n---\n"+`{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: isp}, spec: {device: router/core}}`, vport("acme", "wan"))
}

// TestQuota: a tenant has no more than it may, one change at a time or many; what is deleted makes room; who has more already can come back within.
func TestQuota(t *testing.T) {
	n := newNet(t)
	bridge := func(name string) string {
		return `{apiVersion: weft/v1, kind: Bridge, metadata: {name: ` + name + `, tenant: acme}, spec: {}}`
	}
	lan := topology.Ref{Kind: topology.KindBridge, Tenant: "acme", Name: "b2"}
	exceeded := func(has, would string) string {
		return `tenant acme/acme: spec.quota.Bridge: "2" is exceeded: the tenant has ` + has + ` objects of kind Bridge, and would have ` + would + `; delete some, or ask the provider for more`
	}
	n.refused(acme, exceeded("1", "3"), bridge("b2")+"\n---\n"+bridge("b3"))
	n.must(acme, bridge("b2"))
	n.refused(acme, exceeded("2", "3"), bridge("b3"))
	n.must(acme, bridge("b2")) // again
	n.must(acme, bridge("b3"), lan)
	chain := func(name string) string {
		return `{apiVersion: weft/v1, kind: Chain, metadata: {name: ` + name + `, tenant: acme}, spec: {}}`
	}
	all := []string{}
	for _, c := range []string{"c1", "c2", "c3", "c4", "c5"} {
		all = append(all, chain(c))
	}
	n.must(acme, strings.Join(all, "\n---\n")) // 9 in all
	n.refused(acme, `tenant acme/acme: spec.quota.total: "9" is exceeded: the tenant has 9 objects, and would have 10; delete some, or ask the provider for more`, chain("c6"))
	n.must(root, chain("c6")) // the provider may
	n.must(acme, chain("c6")) // and it may be changed
	n.must(acme, "", topology.Ref{Kind: topology.KindChain, Tenant: "acme", Name: "c6"})
	n.refused(acme, `tenant acme/acme: spec.quota.total: "9" is exceeded: the tenant has 9 objects, and would have 10; delete some, or ask the provider for more`, chain("c6"))
}

// FuzzAdmit: whatever a tenant asks for, what is admitted and valid changes nothing of others but the peers of ports that it was granted, and refers to nothing else of theirs.
func FuzzAdmit(f *testing.F) {
	f.Add(link("wan", "isp/up", `100.64.0.2/30`), "vm")
	f.Add(link("wan", "isp/spare", ""), "")
	f.Add(`{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: isp}, spec: {device: router/core, peer: acme/wan}}`, "")
	f.Add(`{apiVersion: weft/v1, kind: Chain, metadata: {name: c, tenant: acme}, spec: {rules: [{match: {dstGroups: [globex/secret]}, action: dnat, nat: {addresses: [10.0.0.2]}}]}}`, "lan")
	f.Add(`{apiVersion: weft/v1, kind: Tenant, metadata: {name: acme, tenant: acme}, spec: {prefixes: [0.0.0.0/0]}}`, "")
	f.Add(`{apiVersion: weft/v1, kind: AddressGroup, metadata: {name: vips, tenant: acme}}`, "gw")
	g, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	all, err := topology.Decode("stored", []byte(stored))
	if err != nil {
		f.Fatal(err)
	}
	set, err := new(topology.Set).Apply(all, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, del string) {
		put, err := topology.Decode("net.yaml", []byte(text))
		if err != nil {
			return
		}
		var gone []topology.Ref
		for _, k := range topology.Kinds() {
			if r := (topology.Ref{Kind: k, Tenant: "acme", Name: del}); set.Get(r) != nil {
				gone = append(gone, r)
			}
		}
		for _, o := range put { // as an API server does
			if err := g.Allow(t.Context(), acme, Action{Verb: Update, Kind: o.Kind, Tenant: o.Tenant(), Name: o.Metadata.Name, After: o}); err != nil {
				return
			}
		}
		put, gone, err = g.Admit(t.Context(), acme, set, put, gone)
		if err != nil {
			if told := g.Conceal(acme, set, err).Error(); strings.Contains(told, "globex/secret ") || strings.Contains(told, "isp/core") && !strings.Contains(text, "isp/core") {
				t.Errorf("told: %s", told)
			}
			return
		}
		after, err := set.Apply(put, gone)
		if err != nil {
			return
		}
		for _, o := range set.All() {
			is := after.Get(o.Ref())
			if o.Tenant() == "acme" || is == o {
				continue
			}
			was, ok := o.Spec.(*topology.VPortSpec)
			if is == nil || !ok {
				t.Fatalf("%v was changed", o.Ref())
			}
			next := *is.Spec.(*topology.VPortSpec)
			next.Peer, next.Exterior = was.Peer, was.Exterior
			if !reflect.DeepEqual(&next, was) || !slices.Contains(set.Tenant("acme").Ports, o.Tenant()+"/"+o.Metadata.Name) {
				t.Errorf("%v was changed", o.Ref())
			}
		}
		for _, o := range after.All() {
			if o.Tenant() != "acme" || o.Kind == topology.KindTenant {
				continue
			}
			for _, r := range o.Uses() {
				if r.Tenant != "acme" && !slices.Contains(set.Tenant("acme").Ports, r.Tenant+"/"+r.Name) {
					t.Errorf("%v refers to %v", o.Ref(), r)
				}
			}
		}
	})
}
