package api

import (
	"net/http"
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
