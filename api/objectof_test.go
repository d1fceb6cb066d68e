package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

// objectOf is the object of a kind of a tenant as the provider gets it.
func objectOf(t *testing.T, url string, k topology.Kind, tenant string) string {
	t.Helper()
	name := strings.ToLower(string(k))
	switch {
	case k == topology.KindTenant:
		name = tenant
	case k == topology.KindFabric:
		return `{"apiVersion":"weft/v1","kind":"Fabric","metadata":{"name":"fabric","tenant":"` + tenant + `"},"spec":{}}`
	}
	path := "/v1/" + client.Plural(k) + "/" + tenant + "/" + name
	a := ask(t, url, access.ProviderAdmin, http.MethodGet, path, "", "")
	if a.status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(a.body), &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "status")
	delete(fields, "revision")
	b, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
