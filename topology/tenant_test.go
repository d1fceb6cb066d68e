package topology

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// provided is a network in which a provider has two tenants.
const provided = `
{apiVersion: weft/v1, kind: Router, metadata: {name: core, tenant: isp}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: up, tenant: isp}, spec: {device: router/core}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Tenant, metadata: {name: acme, tenant: acme}, spec: {ports: [isp/up], prefixes: [203.0.113.0/28, "2001:db8:1::/48"], quota: {VPort: 3, total: 9}}}
---
{apiVersion: weft/v1, kind: Tenant, metadata: {name: globex, tenant: globex}, spec: {prefixes: [203.0.113.16/28]}}
`

// TestTenantMistakes: what a tenant is said to have is there, is another's, and is leased to nobody else.
func TestTenantMistakes(t *testing.T) {
	for _, m := range []mistake{
		{"{name: acme,", "{name: acme2,", `metadata.name: "acme2" is not the name of its tenant, acme; give metadata.tenant and metadata.name the name of the tenant that is meant`},
		{"ports: [isp/up]", "ports: [isp/dn]", `spec.ports[0]: "isp/dn" is no vport; define vport isp/dn or name an existing one`},
		{"ports: [isp/up]", "ports: [up]", `spec.ports[0]: "up" is the tenant's own; name a port of another, as TENANT/NAME`},
		{"ports: [isp/up]", "ports: [isp/up, isp/up]", `spec.ports[1]: "isp/up" is listed twice; list each port once`},
		{"203.0.113.16/28", "203.0.113.17/28", `spec.prefixes[0]: "203.0.113.17/28" has bits set behind its length; use 203.0.113.16/28`},
		{"203.0.113.16/28", "203.0.113.8/29", `spec.prefixes[0]: "203.0.113.8/29" overlaps with 203.0.113.0/28, which tenant acme/acme has; lease each address to one tenant`},
		{`"2001:db8:1::/48"`, "203.0.113.4/30", `spec.prefixes[1]: "203.0.113.4/30" overlaps with 203.0.113.0/28; list each address once`},
		{"VPort: 3", "Port: 3", `spec.quota.Port: "Port" is no kind of a tenant's objects; use a kind such as VPort, or total`},
		{"VPort: 3", "Tenant: 3", `spec.quota.Tenant: "Tenant" is no kind of a tenant's objects; use a kind such as VPort, or total`},
	} {
		if strings.Count(provided, m.old) != 1 {
			t.Fatalf("%q is not in the network once", m.old)
		}
		objects, err := Decode("net.yaml", []byte(strings.Replace(provided, m.old, m.new, 1)))
		if err == nil {
			_, err = new(Set).Apply(objects, nil)
		}
		if err == nil {
			t.Errorf("%s: no error", m.new)
			continue
		}
		if !slices.ContainsFunc(err.(Errors), func(e *FieldError) bool { return strings.HasSuffix(e.Error(), ": "+m.want) }) {
			t.Errorf("%s:\n got %s\nwant %s", m.new, err, m.want)
		}
	}
}

// TestTenantUses: a port that a tenant may link to does not go behind its back.
func TestTenantUses(t *testing.T) {
	set := tenantSet(t)
	if _, err := set.Apply(nil, []Ref{{KindVPort, "isp", "up"}}); err == nil || !strings.Contains(err.Error(), "is used by tenant acme/acme") {
		t.Errorf("delete: %v", err)
	}
	spec := set.Tenant("acme")
	if a, b := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.15"); !spec.Leased(a, b) || spec.Leased(a, b.Next()) || !spec.Leased(netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:1::2")) {
		t.Error("leases")
	}
	if set.Tenant("other") == nil || len(set.Tenant("other").Prefixes) != 0 {
		t.Error("a tenant of whom nothing is said has something")
	}
}

// TestCounts: objects are counted as they come, are replaced and go; parts are not.
func TestCounts(t *testing.T) {
	set := tenantSet(t)
	want := func(kind Kind, n int) {
		t.Helper()
		if got := set.Count("acme", kind); got != n {
			t.Errorf("%q: %d, want %d", kind, got, n)
		}
	}
	change := func(text string, del ...Ref) {
		t.Helper()
		objects, err := Decode("net.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if set, err = set.Apply(objects, del); err != nil {
			t.Fatal(err)
		}
	}
	want("", 1)
	want(KindTenant, 0)
	change(`{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {vlans: [10-19]}}`)
	want("", 2)
	want(KindBridge, 1)
	change(`{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}`)
	want(KindBridge, 1)
	change(`{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}`, Ref{KindBridge, "acme", "lan"})
	want(KindBridge, 1)
	change("", Ref{KindBridge, "acme", "lan"})
	want(KindBridge, 0)
	want(KindRouter, 1)
	want("", 1)
	if set.Count("isp", "") != 2 || set.Count("globex", "") != 0 {
		t.Error("others")
	}
}

func tenantSet(t *testing.T) *Set {
	t.Helper()
	objects, err := Decode("net.yaml", []byte(provided))
	if err != nil {
		t.Fatal(err)
	}
	set, err := new(Set).Apply(objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
