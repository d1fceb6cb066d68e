package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/client"
)

func TestRepeatedField(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}`: "",
		`{"a":1,"b":{},"a":{}}`:                     "/a",
		`{"x":[1,[],{"y/z":{"~":1,"~":2}}]}`:        "/x/2/y~1z/~0",
		`[{"a":"b","b":"a"},{"a":[],"a":1}]`:        "/1/a",
		`"a"`:                                       "", ``: "", `{"a":1,`: "", `{"a":1,"\u0061":2}`: "/a",
	} {
		if got, found := repeatedField([]byte(text)); got != want || found != (want != "") {
			t.Errorf("%s: %q, %v, want %q", text, got, found, want)
		}
	}
}

// TestRepeatedFieldIsRefused: in bodies of all requests.
func TestRepeatedFieldIsRefused(t *testing.T) {
	server := serve(t, embedded(t), nil)
	for _, x := range []struct{ method, path, media, body, pointer string }{
		{http.MethodPut, "/v1/bridges/acme/web", "application/json", `{"spec":{},"metadata":{"labels":{"a":"1","a":"2"}}}`, "/metadata/labels/a"},
		{http.MethodPost, "/v1/bridges/acme", "application/json", `{"metadata":{"name":"web"},"spec":{},"spec":{}}`, "/spec"},
		{http.MethodPost, "/v1/apply", "application/json", `{"put":[{"kind":"Bridge","kind":"Router","metadata":{"name":"web","tenant":"acme"}}]}`, "/put/0/kind"},
		{http.MethodPatch, "/v1/bridges/acme/web", "application/merge-patch+json", `{"spec":{},"spec":{}}`, "/spec"},
		{http.MethodPatch, "/v1/bridges/acme/web", "application/json-patch+json", `[{"op":"add","op":"remove","path":"/spec"}]`, "/0/op"},
		{http.MethodPost, "/v1/trace", "application/json", `{"vport":"acme/a","vport":"acme/b","dst":"10.0.0.1"}`, "/vport"},
	} {
		got := ask(t, server, "", x.method, x.path, x.media, x.body)
		var p client.Problem
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != http.StatusBadRequest || len(p.Errors) != 1 || p.Errors[0].Pointer != x.pointer {
			t.Errorf("%s %s: %d %s, want 400 with %s", x.method, x.path, got.status, strings.TrimSpace(got.body), x.pointer)
		}
	}
}

func FuzzRepeatedField(f *testing.F) {
	for _, seed := range []string{`{"a":1,"a":2}`, `[[{}]]`, `{"a":{"b":[1,2]}}`, `}`, `{"a"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		at, found := repeatedField(data)
		if found != strings.HasPrefix(at, "/") {
			t.Errorf("%q, %v", at, found)
		}
	})
}
