package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/state"
)

// opened is a server for everybody, with an etcd of its own that has nothing.
func opened(t *testing.T) (*Server, *state.Store) {
	t.Helper()
	store := embedded(t)
	s, err := New(Options{Store: store, Guard: Open{}})
	if err != nil {
		t.Fatal(err)
	}
	running(t, s.Run)
	if err := store.WaitCatalogue(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	return s, store
}

// TestHostileBodies: a body that is made to cost much is refused before it does: by its size times what it takes to look at it. Bytes that were allocated are counted, of all goroutines: there is room for others'.
func TestHostileBodies(t *testing.T) {
	s, store := opened(t)
	const large, small = 16<<20 - 1, 256 << 10
	fill := func(size int, head, each, tail string) string {
		return head + strings.Repeat(each, (size-len(head)-len(tail))/len(each)) + tail
	}
	numbered := func(size int, head, format, tail string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := 0; b.Len() < size-len(tail)-100; i++ {
			fmt.Fprintf(&b, format, i)
		}
		b.WriteString(tail)
		return b.String()
	}
	const apply, bridge, jsonType, yamlType = "/v1/apply", "/v1/bridges/acme/b", "application/json", "application/yaml"
	const early, read = 16, 1000 // times its size that a body may take: not read, or read
	nine := "[" + strings.Repeat("*%[1]s,", 8) + "*%[1]s]"
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'i'; c++ {
		bomb += fmt.Sprintf("%c: &%c "+strings.ReplaceAll(nine, "%[1]s", string(c-1))+"\n", c, c)
	}
	for _, tc := range []struct {
		name, method, path, media, body string
		status, times                   int
	}{
		{"lists", http.MethodPost, apply, jsonType, fill(large, "", "[", ""), http.StatusRequestEntityTooLarge, early},
		{"objects in each other", http.MethodPost, apply, jsonType, fill(large, "", `{"a":`, ""), http.StatusRequestEntityTooLarge, early},
		{"empty puts", http.MethodPost, apply, jsonType, fill(large, `{"put":[`, "{},", `{}]}`), http.StatusRequestEntityTooLarge, early},
		{"numbers", http.MethodPost, apply, jsonType, fill(large, `{"put":[`, "0,", `0]}`), http.StatusRequestEntityTooLarge, early},
		{"one large object", http.MethodPut, bridge, jsonType, fill(large, `{"spec":{"a":"`, "x", `"}}`), http.StatusRequestEntityTooLarge, early},
		{"one large object of many", http.MethodPost, apply, jsonType, fill(4<<20, `{"put":[{"spec":{"a":"`, "x", `"}}]}`), http.StatusRequestEntityTooLarge, 2 * early},
		{"routes", http.MethodPut, "/v1/routers/acme/b", jsonType, fill(large, `{"spec":{"routes":[`, `{},`, `{}]}}`), http.StatusRequestEntityTooLarge, early},
		{"patch", http.MethodPatch, bridge, "application/json-patch+json", fill(large, `[`, `{},`, `{}]`), http.StatusRequestEntityTooLarge, early},
		{"trace", http.MethodPost, "/v1/trace", jsonType, fill(large, "", "[", ""), http.StatusRequestEntityTooLarge, early},
		{"too long", http.MethodPost, apply, jsonType, fill(large+10, "", " ", ""), http.StatusRequestEntityTooLarge, early},
		{"manifests", http.MethodPost, apply, yamlType, fill(large, "", "---\n", ""), http.StatusRequestEntityTooLarge, early},
		{"list in a manifest", http.MethodPost, apply, yamlType, fill(large, "", "- a\n", ""), http.StatusRequestEntityTooLarge, early},
		{"lists in a manifest", http.MethodPost, apply, yamlType, fill(large, "", "[", ""), http.StatusRequestEntityTooLarge, early},
		{"maps in each other", http.MethodPost, apply, yamlType, fill(large, "", "{a: ", ""), http.StatusRequestEntityTooLarge, early},
		{"lists in a line", http.MethodPost, apply, yamlType, fill(large, "", "- ", ""), http.StatusRequestEntityTooLarge, early},
		{"deletes", http.MethodPost, apply, jsonType, fill(small, `{"delete":[`, `{},`, `{}]}`), http.StatusUnprocessableEntity, read},
		{"wrong puts", http.MethodPost, apply, jsonType, fill(small, `{"put":[`, "{},", `{}]}`), http.StatusUnprocessableEntity, read},
		{"fields", http.MethodPost, apply, jsonType, numbered(small, "{", `"k%d":0,`, `"k":0}`), http.StatusBadRequest, read},
		{"aliases", http.MethodPost, apply, yamlType, bomb, http.StatusUnprocessableEntity, 10 * read}, // a few bytes
	} {
		if len(tc.body) > large && tc.name != "too long" {
			t.Fatalf("%s: %d bytes", tc.name, len(tc.body))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := httptest.NewRecorder()
		r := httptest.NewRequest(tc.method, "http://localhost"+tc.path, strings.NewReader(tc.body))
		r.Header.Set("Content-Type", tc.media)
		s.Handler().ServeHTTP(w, r)
		runtime.ReadMemStats(&after)
		took := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes, %d allocated", tc.name, len(tc.body), took)
		if w.Code != tc.status || took > uint64(tc.times*len(tc.body)) {
			t.Errorf("%s: %d bytes, %d allocated, at most %d times as many are fine; %d, want %d: %.300s", tc.name, len(tc.body), took, tc.times, w.Code, tc.status, w.Body)
		}
		if n := strings.Count(w.Body.String(), `"problem"`); n > mostErrors+1 {
			t.Errorf("%s: %d errors are told", tc.name, n)
		}
	}
	if n := store.Catalogue().Len(); n != 0 {
		t.Errorf("%d objects are stored", n)
	}
}
