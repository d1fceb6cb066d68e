package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/client"
)

// TestMediaTypes: of every operation with a body, one of a type that the description does not have is refused, and none of it is done; one without a type is JSON.
func TestMediaTypes(t *testing.T) {
	s, store := opened(t)
	ask := func(method, path, media, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://localhost"+strings.NewReplacer("{tenant}", "acme", "{name}", "b").Replace(path), strings.NewReader(body))
		if media != "" {
			r.Header.Set("Content-Type", media)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w
	}
	tried := 0
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range operationsOf(item) {
			if op.RequestBody == nil {
				continue
			}
			tried++
			for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "application/xml", "multipart/form-data; boundary=x", "json", "text/plain; application/json"} {
				w := ask(method, path, media, `{"spec": {}}`)
				var p client.Problem
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusUnsupportedMediaType || p.Status != w.Code || p.Request == "" || w.Header().Get("Content-Type") != client.ProblemType {
					t.Errorf("%s %s as %s: %d %s", method, path, media, w.Code, w.Body)
				}
				for is := range op.RequestBody.Content {
					if !strings.Contains(w.Header().Get("Accept"), is) || !strings.Contains(p.Detail, is) {
						t.Errorf("%s %s: %s is taken, and not told: %s", method, path, is, p.Detail)
					}
				}
			}
		}
	}
	if n := store.Catalogue().Len(); n != 0 || tried < 40 {
		t.Errorf("%d objects are stored; %d operations tried", n, tried)
	}
	for _, media := range []string{"", "application/json", "Application/JSON; charset=utf-8"} {
		if w := ask(http.MethodPut, "/v1/bridges/{tenant}/{name}", media, `{"spec": {}}`); w.Code/100 != 2 {
			t.Errorf("%q: %d %s", media, w.Code, w.Body)
		}
	}
	if w := ask(http.MethodPatch, "/v1/bridges/{tenant}/{name}", "application/yaml", "spec: {}"); w.Header().Get("Accept-Patch") != w.Header().Get("Accept") || w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("a patch in YAML: %d, %v", w.Code, w.Header())
	}
}
