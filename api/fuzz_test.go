package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

// document is the part of the OpenAPI document that requests are made from.
type document struct {
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	ID         string `json:"operationId"`
	Parameters []struct {
		Name, In string
		Schema   *schema
	}
	RequestBody struct {
		Content map[string]struct{ Schema *schema }
	}
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       any    `json:"type"`
	Enum       []any
	Properties map[string]*schema
	Items      *schema
	OneOf      []*schema `json:"oneOf"`
}

// monkey makes requests by what the document says, and at times otherwise.
type monkey struct {
	*rand.Rand
	doc   *document
	known []string // texts that mean something somewhere: names of objects, addresses
}

// nasty are texts that are hardly anything.
var nasty = []string{
	"", " ", "\x00", "\xff\xfe", "../../etc/passwd", "acme/web", "globex/web", "a/b/c", "ünïcode", "😀", strings.Repeat("x", 300), "null", "-1", "0", "1e400", "18446744073709551616", "::", "10.0.0.0/33", "fd00::/129", "ff:ff:ff:ff:ff:ff",
	"*", `"1"`, "=", "!", "a=b,c!=d", "{{.}}", "$(id)", "'; drop", "2026-01-01T00:00:00Z", "%2e%2e", "\u2028", "\\ud83d", "true",
}

func (m *monkey) text() string {
	if m.IntN(3) == 0 {
		return nasty[m.IntN(len(nasty))]
	}
	return m.known[m.IntN(len(m.known))]
}

// value is a value of a schema, or not.
func (m *monkey) value(s *schema, depth int) any {
	if s != nil && s.Ref != "" {
		s = m.doc.Components.Schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
	}
	if s == nil || depth > 6 || m.IntN(25) == 0 { // of any type
		return []any{nil, true, -1, 1.5, 1e300, m.text(), []any{m.text()}, map[string]any{m.text(): m.text()}, []any{nil}}[m.IntN(9)]
	}
	if len(s.OneOf) > 0 {
		return m.value(s.OneOf[m.IntN(len(s.OneOf))], depth)
	}
	if len(s.Enum) > 0 && m.IntN(10) > 0 {
		return s.Enum[m.IntN(len(s.Enum))]
	}
	kind := fmt.Sprint(s.Type)
	switch {
	case strings.Contains(kind, "object") || len(s.Properties) > 0:
		out := map[string]any{}
		names := slices.Sorted(maps.Keys(s.Properties))
		for _, name := range names {
			if m.IntN(3) > 0 || name == "metadata" || name == "kind" {
				out[name] = m.value(s.Properties[name], depth+1)
			}
		}
		if m.IntN(20) == 0 || len(names) == 0 {
			out[m.text()] = m.text()
		}
		return out
	case strings.Contains(kind, "array"):
		out := []any{}
		for range m.IntN(4) {
			out = append(out, m.value(s.Items, depth+1))
		}
		return out
	case strings.Contains(kind, "integer"), strings.Contains(kind, "number"):
		return []any{0, 1, 2, 64, 100, 1400, 4094, 4096, 65535, 65536, 1 << 24, -1}[m.IntN(12)]
	case strings.Contains(kind, "boolean"):
		return m.IntN(2) == 0
	}
	return m.text()
}

// body is a body of a schema, at times in a form that is no JSON, or not its.
func (m *monkey) body(s *schema) []byte {
	b, err := json.Marshal(m.value(s, 0))
	if err != nil {
		b = []byte("{}")
	}
	switch m.IntN(12) {
	case 0:
		b = b[:m.IntN(len(b)+1)]
	case 1:
		b = append(b, b...)
	case 2:
		if len(b) > 0 {
			b[m.IntN(len(b))] = byte(m.IntN(256))
		}
	case 3:
		b = []byte(strings.Repeat("[", 20_000))
	case 4:
		b = []byte(`{"put":` + strings.Repeat(`[{"spec":`, 300))
	case 5:
		b = bytes.Repeat([]byte{0}, 100)
	}
	return b
}

// request is one request of an operation.
func (m *monkey) request(method, path string, op *operation) *http.Request {
	query, header := url.Values{}, http.Header{}
	for _, p := range op.Parameters {
		if p.In != "path" && m.IntN(3) > 0 {
			continue
		}
		text := fmt.Sprint(m.value(p.Schema, 0))
		if m.IntN(4) == 0 {
			text = m.text()
		}
		if p.Name == "watch" {
			text = "false" // the other one does not end
		}
		switch p.In {
		case "path":
			if m.IntN(2) == 0 {
				text = m.known[m.IntN(len(m.known))]
			}
			path = strings.Replace(path, "{"+p.Name+"}", url.PathEscape(text), 1)
		case "query":
			query.Add(p.Name, text)
		case "header":
			header.Set(p.Name, strings.NewReplacer("\n", "", "\r", "", "\x00", "").Replace(text))
		}
	}
	if m.IntN(15) == 0 {
		query.Add(m.text(), m.text())
	}
	var body []byte
	media := slices.Sorted(maps.Keys(op.RequestBody.Content))
	if len(media) > 0 {
		at := media[m.IntN(len(media))]
		body = m.body(op.RequestBody.Content[at].Schema)
		header.Set("Content-Type", at)
		switch m.IntN(12) {
		case 0:
			header.Set("Content-Type", m.text())
		case 1:
			header.Set("Content-Encoding", "gzip")
		}
	}
	r := httptest.NewRequest(method, "/", bytes.NewReader(body))
	r.URL = &url.URL{Path: "/", RawQuery: query.Encode()}
	if u, err := url.Parse(path); err == nil {
		r.URL.Path, r.URL.RawPath = u.Path, u.RawPath
	}
	r.Header = header
	return r
}

// FuzzRequests: whatever is asked of any operation is answered with what was asked for or with a reason why not, and what is refused has changed nothing.
func FuzzRequests(f *testing.F) {
	store := embedded(f)
	guard, err := access.New(access.Config{Store: store, PasswordCost: 4})
	if err != nil {
		f.Fatal(err)
	}
	running(f, guard.Run)
	s, err := New(Options{Store: store, Guard: known{guard}, Accounts: guard, MaxBody: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	running(f, s.Run)
	if err := store.WaitCatalogue(f.Context(), 0); err != nil {
		f.Fatal(err)
	}
	list := objects(f, routed)
	put := make([]*topology.Object, len(list))
	for i := range list {
		put[i] = &list[i]
	}
	handler := s.Handler()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	doc := new(document)
	if err := json.Unmarshal(w.Body.Bytes(), doc); err != nil {
		f.Fatal(err)
	}
	type named struct{ method, path string }
	var all []named
	for path, methods := range doc.Paths {
		for method := range methods {
			if !goesOn(path) { // which does not end
				all = append(all, named{method, path})
			}
		}
	}
	slices.SortFunc(all, func(a, b named) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	if len(all) < 100 {
		f.Fatalf("%d operations", len(all))
	}
	names := []string{"acme", "globex", "web", "vm1", "vm2", "gw", "gw-web", "web-gw", "bridge/web", "router/gw", "acme/vm1", "globex/web", "10.0.0.11", "10.0.0.0/24", "2001:db8::/64", "02:00:00:00:00:01", "weft/v1", "80", "tcp", "ipv4", "accept", "nic1"}
	for seed := range uint64(len(all)) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m := &monkey{rand.New(rand.NewPCG(seed, 1)), doc, names}
		if _, err := store.Apply(t.Context(), put); err != nil { // what is to be refused has to be there
			t.Fatal(err)
		}
		for i := range 12 {
			at := all[(int(seed%uint64(len(all)))+i*37)%len(all)]
			op := doc.Paths[at.path][at.method]
			r := m.request(strings.ToUpper(at.method), at.path, &op)
			role := access.Roles()[m.IntN(len(access.Roles()))]
			r.Header.Set("Authorization", "Bearer "+string(role))
			shown := fmt.Sprintf("%s: %s %s %q", role, r.Method, r.URL, r.Header)
			before := store.Catalogue()
			status := judge(t, handler, r, shown)
			if after := store.Catalogue(); status >= 400 && after.Revision != before.Revision {
				t.Errorf("%s: is refused with %d, and the objects changed from revision %d to %d", shown, status, before.Revision, after.Revision)
			}
		}
	})
}

// judge checks the form of an answer, and returns its status.
func judge(t *testing.T, handler http.Handler, r *http.Request, shown string) (status int) {
	t.Helper()
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	switch {
	case w.Code/100 == 2 || w.Code == http.StatusNotModified:
	case w.Code >= 500 || w.Code/100 != 4:
		t.Errorf("%s\n%q: %d %s", shown, body, w.Code, w.Body)
	default:
		var p client.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Detail == "" || p.Status != w.Code || w.Header().Get("Content-Type") != client.ProblemType {
			t.Errorf("%s\n%q: %d %q without a reason: %s", shown, body, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
	return w.Code
}
