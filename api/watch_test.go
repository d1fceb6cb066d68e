package api

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

var errSeen = errors.New("seen")

// TestWatchFromEmpty: what happens after a list of an empty database is told to a watch from the revision of the list, be it before the watch.
func TestWatchFromEmpty(t *testing.T) {
	c := clientOf(t, serve(t, embedded(t), nil))
	empty, err := c.List(t.Context(), client.ListOptions{})
	if err != nil || empty.Total != 0 || empty.Revision == 0 {
		t.Fatalf("%+v, %v: want an empty list with a revision", empty, err)
	}
	list := objects(t, "{apiVersion: weft/v1, kind: Bridge, metadata: {name: web, tenant: acme}, spec: {}}")
	if _, err := c.Put(t.Context(), &list[0], client.Options{}); err != nil {
		t.Fatal(err)
	}
	err = c.Watch(t.Context(), client.WatchOptions{Since: empty.Revision}, func(e client.Event) error {
		if e.Type == client.EventPut && e.Object.Ref() == ref(topology.KindBridge, "web") {
			return errSeen
		}
		return nil
	})
	if !errors.Is(err, errSeen) {
		t.Fatal(err)
	}
}

// firstData is the data of the first event of a stream that has a word in it; the lines before and the status otherwise.
func firstData(t *testing.T, r *http.Request, word string) (line, before string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	before = resp.Status + "\n"
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data:") && strings.Contains(lines.Text(), word) {
			return lines.Text(), before
		}
		before += lines.Text() + "\n"
	}
	return "", before
}

// TestListWatch: a list with watch=true is the stream of what changes in it.
func TestListWatch(t *testing.T) {
	server := serve(t, embedded(t), nil)
	c := clientOf(t, server)
	put := objects(t, `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: theirs, tenant: globex}, spec: {}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: router, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: web, tenant: acme}, spec: {}}
`)
	if _, err := c.Apply(t.Context(), client.Change{Put: put}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	for path, hidden := range map[string]string{
		"/v1/bridges/acme?watch=true&revision=1":     "theirs",
		"/v1/bridges?watch=true&revision=1":          `"router"`,
		"/v1/objects?watch=1&tenant=acme&revision=1": "theirs",
		"/v1/bridges/acme?watch=true&since=1":        "theirs",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, server+path, nil)
		line, before := firstData(t, r, `"web"`)
		cancel()
		if line == "" || strings.Contains(before, hidden) {
			t.Errorf("%s: %s%s", path, before, line)
		}
	}
	for path, status := range map[string]int{
		"/v1/bridges/acme?watch=false":         http.StatusOK,
		"/v1/bridges?watch=perhaps":            http.StatusUnprocessableEntity,
		"/v1/bridges?watch=true&revision=x":    http.StatusUnprocessableEntity,
		"/v1/bridges?watch=true&kind=VPort":    http.StatusUnprocessableEntity,
		"/v1/bridges/acme/web?watch=true":      http.StatusUnprocessableEntity,
		"/v1/leases?watch=true":                http.StatusUnprocessableEntity,
		"/v1/bridges?watch=true&sort=spec.mtu": http.StatusUnprocessableEntity,
	} {
		if got := ask(t, server, "", http.MethodGet, path, "", ""); got.status != status {
			t.Errorf("%s: %d %s, want %d", path, got.status, got.body, status)
		}
	}
}

// TestEventStream: events are told as they happen, each once, to who may see them.
func TestEventStream(t *testing.T) {
	var store *state.Store
	server, _ := guardedStore(t, &store)
	tell := func(tenant, reason string) {
		store.Record(state.Note{Object: state.EventObject{Kind: "bridge", Tenant: tenant, Name: "bridge"}, Type: state.EventWarning, Reason: reason, Source: "nic1", Message: "it flaps"})
	}
	c, err := client.New(client.Config{Server: server, Token: client.Token(string(access.TenantViewer)), Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began, err := client.View[client.LoggedEvent](t.Context(), c, "events", nil)
	if err != nil {
		t.Fatal(err)
	}
	tell("globex", "Theirs")
	tell("acme", "Ours")
	var got []string
	err = client.WatchEvents(t.Context(), c, url.Values{}, began.Revision, func(e state.LoggedEvent) error {
		got = append(got, e.Reason)
		if len(got) == 1 {
			tell("globex", "Theirs2")
			tell("acme", "Ours2")
			return nil
		}
		return errSeen
	})
	if !errors.Is(err, errSeen) || strings.Join(got, " ") != "Ours Ours2" {
		t.Errorf("%v: told %q", err, got)
	}
	if a := ask(t, server, access.TenantViewer, http.MethodGet, "/v1/events?watch=true&tenant=globex", "", ""); a.status != http.StatusNotFound {
		t.Errorf("another's: %d %s", a.status, a.body)
	}
	if a := ask(t, server, access.ProviderViewer, http.MethodGet, "/v1/events?watch=true&revision=1", "", ""); a.status != http.StatusOK {
		t.Errorf("by watch=true: %d %s", a.status, a.body)
	}
}

// TestMethods: a path that there is with a method that there is not says which there are.
func TestMethods(t *testing.T) {
	server := serve(t, embedded(t), nil)
	for _, x := range []struct{ method, path, allow string }{
		{http.MethodPost, "/v1/bridges/acme/web", "DELETE, GET, HEAD, PATCH, PUT"},
		{http.MethodDelete, "/v1/bridges", "GET, HEAD"},
		{http.MethodGet, "/v1/apply", "POST"},
		{http.MethodPut, "/openapi.json", "GET, HEAD"},
		{http.MethodOptions, "/v1/trace", "POST"},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), x.method, server+x.path, nil)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != x.allow || resp.Header.Get("Content-Type") != client.ProblemType {
			t.Errorf("%s %s: %s, Allow %q, %s", x.method, x.path, resp.Status, resp.Header.Get("Allow"), resp.Header.Get("Content-Type"))
		}
	}
	if got := ask(t, server, "", http.MethodPost, "/v1/nothing", "", ""); got.status != http.StatusNotFound {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// guarded serves a database of a provider with two tenants, which have the same.
func guarded(t *testing.T) (url string, g *access.Guard) {
	t.Helper()
	var store *state.Store
	return guardedStore(t, &store)
}
