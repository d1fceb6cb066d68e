package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

// TestPatchTellsNothing: whether a patch fits an object of another's, and what is made of it, is not told.
func TestPatchTellsNothing(t *testing.T) {
	url, _ := guarded(t)
	for _, tc := range []struct{ media, patch string }{
		{"application/json-patch+json", `[{"op":"test","path":"/metadata/name","value":"vport"}]`},
		{"application/json-patch+json", `[{"op":"test","path":"/metadata/name","value":"other"}]`},
		{"application/json-patch+json", `[{"op":"remove","path":"/spec/nothing"}]`},
		{"application/merge-patch+json", `{"spec":{"nothing":1}}`},
		{"application/merge-patch+json", `{"metadata":{"tenant":"acme"}}`},
		{"application/merge-patch+json", `{"revision":-1}`},
	} {
		is := ask(t, url, access.TenantEditor, http.MethodPatch, "/v1/vports/globex/vport", tc.media, tc.patch)
		not := ask(t, url, access.TenantEditor, http.MethodPatch, "/v1/vports/globex/nobody", tc.media, tc.patch)
		not.body = strings.ReplaceAll(not.body, "globex/nobody", "globex/vport")
		if is != not || is.status != http.StatusNotFound {
			t.Errorf("%s: of another's: %+v, of none: %+v", tc.patch, is, not)
		}
	}
}

// TestKeyOfAnotherDelete: a delete of another object is not answered with what became of the first.
func TestKeyOfAnotherDelete(t *testing.T) {
	store := embedded(t)
	c := clientOf(t, serve(t, store, nil))
	for _, name := range []string{"a", "b"} {
		o := objects(t, `{apiVersion: weft/v1, kind: Bridge, metadata: {name: `+name+`, tenant: acme}, spec: {}}`)[0]
		if _, err := c.Put(t.Context(), &o, client.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Delete(t.Context(), ref(topology.KindBridge, "a"), client.Options{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Delete(t.Context(), ref(topology.KindBridge, "b"), client.Options{Key: "k"})
	wants(t, err, http.StatusUnprocessableEntity)
}

// TestOpenToThisMachine: a server that is open does nothing for a page of another site, nor answers to a name of another's.
func TestOpenToThisMachine(t *testing.T) {
	for _, tc := range []struct {
		method, host string
		header       map[string]string
		in           bool
	}{
		{"POST", "127.0.0.1:9580", nil, true},
		{"POST", "[::1]:9580", nil, true},
		{"POST", "localhost", map[string]string{"Sec-Fetch-Site": "same-origin"}, true},
		{"POST", "127.0.0.1:9580", map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		{"DELETE", "127.0.0.1:9580", map[string]string{"Origin": "https://evil.example"}, false},
		{"GET", "evil.example:9580", nil, false},
		{"GET", "192.0.2.1:9580", nil, false},
	} {
		r := httptest.NewRequest(tc.method, "/v1/vports", nil)
		r.Host = tc.host
		for k, v := range tc.header {
			r.Header.Set(k, v)
		}
		if _, err := (Open{}).Authenticate(r); (err == nil) != tc.in {
			t.Errorf("%s at %s, %v: %v", tc.method, tc.host, tc.header, err)
		}
	}
}

// TestWatchPlaces: one tenant does not take the places of all.
func TestWatchPlaces(t *testing.T) {
	p := newPlaces(100)
	acme := placeOf(access.Identity{Subject: "user:acme/a", Tenant: "acme"})
	for range 10 {
		if why := p.take(acme); why != "" {
			t.Fatal(why)
		}
	}
	if p.take(placeOf(access.Identity{Subject: "user:acme/b", Tenant: "acme"})) == "" {
		t.Error("another user of a tenant gets more places")
	}
	if why := p.take(placeOf(access.Identity{Subject: "user:acme"})); why != "" {
		t.Errorf("others have none: %s", why)
	}
	p.give(acme)
	if why := p.take(acme); why != "" || p.count() != 11 {
		t.Errorf("a place that was given back: %q, %d taken", why, p.count())
	}
}

// TestAuditOfAccounts: who may not see users and tokens does not read in the audit log of them.
func TestAuditOfAccounts(t *testing.T) {
	url, _ := guarded(t)
	for role, sees := range map[access.Role]bool{access.ProviderAdmin: true, access.ProviderViewer: false, access.TenantAdmin: true} {
		a := ask(t, url, role, http.MethodGet, "/v1/audit", "", "")
		if a.status != http.StatusOK || strings.Contains(a.body, `"kind":"User"`) != sees {
			t.Errorf("%s: %d %s", role, a.status, a.body)
		}
	}
}

// TestTraceThroughAnother: of another's device on the way a tenant is not told what it reads, nor what it makes of the packet.
func TestTraceThroughAnother(t *testing.T) {
	store := embedded(t)
	serve(t, store, nil)
	put := []*topology.Object{}
	list := objects(t, `{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: globex}, spec: {}}`)
	for i := range list {
		put = append(put, &list[i])
	}
	if _, err := store.Apply(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	if err := store.WaitCatalogue(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	tr := client.Trace{
		Steps:    []client.TraceStep{{Device: "bridge acme/lan", What: "forwards"}, {Device: "router globex/gw", What: "route 10.0.0.0/24"}},
		Outcomes: []client.TraceEnd{{Verdict: "forward", To: "globex/gw", Text: "forward to globex/gw", Rewrite: "dst_mac=02:00:00:00:00:09"}},
		Match:    "dst=10.0.0.0/25", Guards: "ttl > 1", Read: "dst/25",
	}
	concealTrace(&tr, "acme", store.Catalogue().Set)
	text := string(mustJSON(tr))
	for _, secret := range []string{"globex", "02:00:00:00:00:09", "/25", "ttl"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is told: %s", secret, text)
		}
	}
}
