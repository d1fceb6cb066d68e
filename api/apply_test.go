package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
)

// TestApplyOfWhatStays: what is the provider's to change may be in a tenant's manifests as it is stored, and in no other way; what the tenant may not read, in none.
func TestApplyOfWhatStays(t *testing.T) {
	var store *state.Store
	url, _ := guardedStore(t, &store)
	of := func(tenant, net string) string {
		return strings.NewReplacer("TENANT", tenant, "NET", net).Replace(tenantNetwork)
	}
	all := of("acme", "10")
	changed := strings.Replace(all, "kind: Bridge, metadata: {name: bridge, tenant: acme}, spec: {}", "kind: Bridge, metadata: {name: bridge, tenant: acme}, spec: {floodRate: 7}", 1)
	for _, tc := range []struct {
		what   string
		role   access.Role
		body   string
		status int
	}{
		{"all as it is", access.TenantEditor, all, http.StatusOK},
		{"all as it is", access.TenantViewer, all, http.StatusForbidden},
		{"only what is not his to change", access.TenantEditor, all[strings.LastIndex(all, "---"):], http.StatusForbidden},
		{"a bridge of his own changed", access.TenantViewer, changed, http.StatusForbidden},
		{"another interface", access.TenantEditor, strings.Replace(all, `interface: "1"`, `interface: "2"`, 1), http.StatusForbidden},
		{"a larger lease", access.TenantAdmin, strings.Replace(all, "203.0.113.10/32]", "203.0.113.0/24]", 1), http.StatusForbidden},
		{"another's as it is", access.TenantEditor, of("globex", "11"), http.StatusNotFound},
		{"another's that is not there", access.TenantEditor, of("initech", "12"), http.StatusNotFound},
		{"the provider's as it is", access.TenantEditor, providerNetwork, http.StatusNotFound},
		{"a bridge of his own changed", access.TenantEditor, changed, http.StatusOK},
	} {
		before := store.Catalogue().Revision
		got := ask(t, url, tc.role, http.MethodPost, "/v1/apply", "application/yaml", tc.body)
		if got.status != tc.status {
			t.Errorf("%s, as %s: %d, want %d: %s", tc.what, tc.role, got.status, tc.status, got.body)
		}
		if after := store.Catalogue().Revision; (after != before) != (tc.status == http.StatusOK && tc.body == changed) {
			t.Errorf("%s, as %s: revision %d, and then %d", tc.what, tc.role, before, after)
		}
	}

	// Who asks again has the same answer.
	c := as(t, url, string(access.TenantEditor))
	for range 2 {
		if _, err := c.Apply(t.Context(), client.Change{Put: objects(t, changed)}, client.Options{Key: "again"}); err != nil {
			t.Error(err)
		}
	}
}
