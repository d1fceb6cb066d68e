package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
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
	text := string(mustJSON(tenantTrace(&tr, "acme", access.Concealed(callers[access.TenantViewer], store.Catalogue().Set))))
	for _, secret := range []string{"globex", "02:00:00:00:00:09", "/25", "ttl"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is told: %s", secret, text)
		}
	}
}

// switched is a guard that lets nobody change anything from some time on.
type switched struct {
	Open
	off atomic.Bool
}

// Allow implements Guard.
func (g *switched) Allow(_ context.Context, _ access.Identity, a access.Action) error {
	if g.off.Load() && a.Verb != access.Get && a.Verb != access.List {
		return access.ErrForbidden
	}
	return nil
}

// TestReplayAsksAgain: who may not do something any more is not told either what became of it when he might.
func TestReplayAsksAgain(t *testing.T) {
	g := new(switched)
	c := clientOf(t, serve(t, embedded(t), func(o *Options) { o.Guard = g }))
	bridge := objects(t, "{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}")
	changes := map[string]func() error{
		"put": func() error { _, err := c.Put(t.Context(), &bridge[0], client.Options{Key: "put"}); return err },
		"apply": func() error {
			_, err := c.Apply(t.Context(), client.Change{Put: bridge}, client.Options{Key: "apply"})
			return err
		},
		"patch": func() error {
			_, err := c.Patch(t.Context(), ref(topology.KindBridge, "lan"), client.MergePatch, []byte(`{"spec":{"unknownUnicast":"drop"}}`), client.Options{Key: "patch"})
			return err
		},
		"delete": func() error {
			_, err := c.Delete(t.Context(), ref(topology.KindBridge, "lan"), client.Options{Key: "delete"})
			return err
		},
	}
	order := []string{"put", "apply", "patch", "delete"}
	for range 2 { // the second time they are answered again
		for _, verb := range order {
			if err := changes[verb](); err != nil {
				t.Fatalf("%s: %v", verb, err)
			}
		}
	}
	g.off.Store(true)
	for _, verb := range order {
		wants(t, changes[verb](), http.StatusForbidden)
	}
}

// TestFutureRevision: of changes since a revision that is still to come nobody waits in silence.
func TestFutureRevision(t *testing.T) {
	url := serve(t, embedded(t), nil)
	for _, path := range []string{"/v1/watch?since=9999999999", "/v1/vports?watch=true&revision=9999999999", "/v1/events?watch=true&revision=9999999999"} {
		if got := ask(t, url, "", http.MethodGet, path, "", ""); got.status != http.StatusGone || !strings.Contains(got.body, "there is no such revision yet: the database is at ") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := ask(t, url, "", http.MethodGet, "/v1/vports?revision=7", "", ""); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, "watch=true") {
		t.Errorf("a list of a revision: %d %s", got.status, got.body)
	}
}

// TestRefusedAreCounted: those that are not let in are in the metrics, by the route that they asked for.
func TestRefusedAreCounted(t *testing.T) {
	store := embedded(t)
	guard, err := access.New(access.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Store: store, Guard: guard, Rate: 1, Burst: 1})
	if err != nil {
		t.Fatal(err)
	}
	open, err := New(Options{Store: store, Guard: Open{}, Rate: 0.001, Burst: 1})
	if err != nil {
		t.Fatal(err)
	}
	get := func(h http.Handler, path string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
		return w.Body.String()
	}
	get(s.Handler(), "/v1/vports/acme/x")
	get(s.Handler(), "/v1/nothing")
	for range 3 {
		get(open.Handler(), "/v1/whoami")
	}
	refused, limited := get(s.Metrics(), "/metrics"), get(open.Metrics(), "/metrics")
	for _, want := range []string{`weft_api_requests_total{method="GET",route="/v1/vports/{tenant}/{name}",status="401"} 1`, `weft_api_requests_total{method="GET",route="",status="401"} 1`} {
		if !strings.Contains(refused, want) {
			t.Errorf("no %s", want)
		}
	}
	if want := `weft_api_requests_total{method="GET",route="/v1/whoami",status="429"} 2`; !strings.Contains(limited, want) {
		t.Errorf("no %s", want)
	}
}
