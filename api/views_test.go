package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

const routed = network + `---
apiVersion: weft/v1
kind: Router
metadata: {name: gw, tenant: acme}
spec: {routes: [{dst: 0.0.0.0/0, kind: blackhole}, {dst: "::/0", kind: reject}]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: gw-web, tenant: acme}
spec: {device: router/gw, peer: web-gw, addresses: [10.0.0.1/24, "2001:db8::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: web-gw, tenant: acme}
spec: {device: bridge/web, peer: gw-web}
---
apiVersion: weft/v1
kind: Binding
metadata: {name: vm1, tenant: acme}
spec: {vport: vm1, edge: nic1, interface: eth1}
`

func TestViews(t *testing.T) {
	store := embedded(t)
	c := clientOf(t, serve(t, store, nil))
	r, err := c.Apply(t.Context(), client.Change{Put: objects(t, routed)}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.WaitRevision(t.Context(), r.Revision); err != nil {
		t.Fatal(err)
	}
	places, err := client.View[client.Place](t.Context(), c, "places", nil)
	if err != nil || len(places.Items) != 1 || places.Items[0].VPort != "acme/vm1" || places.Items[0].Edge != "nic1" || places.Items[0].Live {
		t.Errorf("places %+v, %v", places, err)
	}
	routes, err := client.View[client.Route](t.Context(), c, "routes", url.Values{"of": {"acme/gw"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range routes.Items {
		if !x.InForce {
			t.Errorf("route %+v", x)
		}
		got = append(got, x.Dst.String()+" "+x.Origin)
	}
	for _, want := range []string{"0.0.0.0/0 static", "10.0.0.0/24 connected", "10.0.0.1/32 local", "::/0 static", "2001:db8::/64 connected"} {
		if !strings.Contains(strings.Join(got, ";"), want) {
			t.Errorf("routes %q, want %s", got, want)
		}
	}
	edges, err := client.View[client.Edge](t.Context(), c, "edges", nil)
	if err != nil || len(edges.Items) != 1 || edges.Items[0].State != client.EdgeAway {
		t.Errorf("edges %+v, %v", edges, err)
	}
	for _, name := range []string{"fdb", "neighbours", "leases", "connections", "members", "usage", "rulehits", "events", "sessions", "flows", "drops"} {
		if rows, err := client.View[any](t.Context(), c, name, nil); err != nil || rows.Items == nil {
			t.Errorf("%s: %+v, %v", name, rows, err)
		}
	}
	_, err = client.View[any](t.Context(), c, "fdb", url.Values{"of": {"acme/web"}, "tenant": {"globex"}})
	wants(t, err, http.StatusUnprocessableEntity)

	a, err := c.Applied(t.Context(), r.Revision, 0)
	if err != nil || !a.Applied || len(a.Away) != 1 {
		t.Errorf("applied %+v, %v", a, err)
	}
	for _, dst := range []string{"10.0.0.1", "2001:db8::1"} {
		tr, err := c.Trace(t.Context(), client.Packet{VPort: "acme/vm1", Dst: dst})
		if err != nil || len(tr.Outcomes) != 1 || tr.Outcomes[0].Verdict != "consumed" || len(tr.Assumed) == 0 {
			t.Errorf("trace to %s: %+v, %v", dst, tr, err)
		}
	}
	_, err = c.Trace(t.Context(), client.Packet{VPort: "acme/vm1", Dst: "10.0.0.300"})
	if p := wants(t, err, http.StatusUnprocessableEntity); len(p.Errors) != 1 || p.Errors[0].Pointer != "/dst" {
		t.Errorf("problem %+v", p)
	}
}

func TestAudit(t *testing.T) {
	c := clientOf(t, serve(t, embedded(t), nil))
	if _, err := c.Apply(t.Context(), client.Change{Put: objects(t, network)}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Patch(t.Context(), ref(topology.KindVPort, "vm2"), client.MergePatch, []byte(`{"spec":{"mtu":1300}}`), client.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Delete(t.Context(), ref(topology.KindVPort, "vm2"), client.Options{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	q := url.Values{"limit": {"2"}}
	for {
		page, err := client.View[client.AuditRecord](t.Context(), c, "audit", q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Items {
			got = append(got, r.Verb+" "+r.Object.Topology().String())
			if r.Subject != "local" || r.Request == "" || r.Revision == 0 || r.Time.IsZero() {
				t.Errorf("record %+v", r)
			}
			if (r.Before == nil) != (r.Verb == "apply") || (r.After == nil) != (r.Verb == "delete") {
				t.Errorf("%s: before %s, after %s", r.Verb, r.Before, r.After)
			}
		}
		if page.Continue == "" {
			break
		}
		q.Set("continue", page.Continue)
	}
	want := "delete vport acme/vm2;patch vport acme/vm2;apply bridge acme/web;apply vport acme/vm1;apply vport acme/vm2;apply bridge globex/web"
	if strings.Join(got, ";") != want {
		t.Errorf("audit log\n%s, want\n%s", strings.Join(got, ";"), want)
	}
	page, err := client.View[client.AuditRecord](t.Context(), c, "audit", url.Values{"tenant": {"globex"}})
	if err != nil || len(page.Items) != 1 {
		t.Errorf("of globex: %+v, %v", page, err)
	}
	_, err = client.View[any](t.Context(), c, "audit", url.Values{"continue": {"/weft/conf/"}})
	wants(t, err, http.StatusUnprocessableEntity)
}

// TestViewsOfTenants: no view tells a tenant of another, and those of another are as what is not there.
func TestViewsOfTenants(t *testing.T) {
	url, _ := guarded(t)
	for i := range 2 {
		path := []string{"/v1/vports/acme/vport", "/v1/vports/globex/vport"}[i]
		if a := ask(t, url, access.ProviderAdmin, http.MethodPatch, path, "application/merge-patch+json", `{"spec":{"mtu":1400}}`); a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
	}
	all := routes(t, url)
	n := 0
	for i := range all {
		r := &all[i]
		if !strings.HasPrefix(r.id, "view") || !slices.Contains(r.may, access.TenantAdmin) {
			continue
		}
		n++
		for _, query := range []string{"", "?tenant=acme"} {
			if a := ask(t, url, access.TenantAdmin, r.method, r.path+query, "", ""); a.status != http.StatusOK || strings.Contains(a.body, "globex") {
				t.Errorf("%s%s: %d %s", r.path, query, a.status, a.body)
			}
		}
		var told []string
		for _, tenant := range []string{"globex", "nobody"} {
			a := ask(t, url, access.TenantAdmin, r.method, r.path+"?tenant="+tenant, "", "")
			if told = append(told, a.body); a.status != http.StatusNotFound {
				t.Errorf("%s of %s: %d %s", r.path, tenant, a.status, a.body)
			}
		}
		if told[0] != told[1] {
			t.Errorf("%s: of another tenant %s, of none %s", r.path, told[0], told[1])
		}
		if a := ask(t, url, access.ProviderAdmin, r.method, r.path+"?tenant=globex", "", ""); a.status != http.StatusOK || (r.path == "/v1/places" || r.path == "/v1/audit") && !strings.Contains(a.body, "globex") {
			t.Errorf("%s of the provider: %d %s", r.path, a.status, a.body)
		}
	}
	if n < 10 {
		t.Errorf("%d views", n)
	}
	for _, name := range []string{"globex/vport", "nobody/vport"} {
		a := ask(t, url, access.TenantEditor, http.MethodPost, "/v1/trace", "application/json", `{"vport":"`+name+`","dst":"10.0.0.3"}`)
		if want := "vport " + name + ": is not there"; a.status != http.StatusNotFound || !strings.Contains(a.body, want) {
			t.Errorf("trace from %s: %d %s", name, a.status, a.body)
		}
		a = ask(t, url, access.TenantEditor, http.MethodPost, livePath, "application/json", `{"vport":"`+name+`"}`)
		if want := "vport " + name + ": is not there"; a.status != http.StatusNotFound || !strings.Contains(a.body, want) {
			t.Errorf("live trace from %s: %d %s", name, a.status, a.body)
		}
	}
}
