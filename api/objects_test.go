package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

const network = `
apiVersion: weft/v1
kind: Bridge
metadata: {name: web, tenant: acme}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm1, tenant: acme, labels: {tier: front}}
spec: {device: bridge/web, mac: "02:00:00:00:00:01", addresses: [10.0.0.11/24, "2001:db8::11/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm2, tenant: acme}
spec: {device: bridge/web, mac: "02:00:00:00:00:02", mtu: 1400}
---
apiVersion: weft/v1
kind: Bridge
metadata: {name: web, tenant: globex}
spec: {}
`

func TestObject(t *testing.T) {
	c := clientOf(t, serve(t, embedded(t), nil))
	bridge := &objects(t, network)[0]
	made, err := c.Create(t.Context(), bridge, client.Options{Key: "first"})
	if err != nil {
		t.Fatal(err)
	}
	if made.Revision == 0 || made.Status.ID != 1 || made.Ref() != bridge.Ref() {
		t.Errorf("created: %+v", made)
	}
	again, err := c.Create(t.Context(), bridge, client.Options{Key: "first"})
	if err != nil || again.Revision != made.Revision || again.Status.ID != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	_, err = c.Create(t.Context(), bridge, client.Options{})
	wants(t, err, http.StatusConflict)
	_, err = c.Delete(t.Context(), bridge.Ref(), client.Options{Key: "first"})
	wants(t, err, http.StatusUnprocessableEntity)

	got, err := c.Get(t.Context(), bridge.Ref())
	if err != nil || got.Revision != made.Revision {
		t.Fatalf("got %+v, %v", got, err)
	}
	got.Spec.(*topology.BridgeSpec).FloodRate = 7
	plan, err := c.Plan(t.Context(), client.Change{Put: []topology.Object{got.Object}})
	if err != nil || len(plan.Steps) != 1 || !plan.DryRun || plan.Steps[0].Action != client.Configured {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	if f := plan.Steps[0].Fields; len(f) != 1 || f[0].Path != "/spec/floodRate" || f[0].Before != nil || string(f[0].After) != "7" {
		t.Errorf("fields %+v", f)
	}
	put, err := c.Put(t.Context(), &got.Object, client.Options{Revision: made.Revision})
	if err != nil || put.Revision <= made.Revision || put.Spec.(*topology.BridgeSpec).FloodRate != 7 || put.Status.ID != 1 {
		t.Fatalf("put %+v, %v", put, err)
	}
	_, err = c.Put(t.Context(), &got.Object, client.Options{Revision: made.Revision})
	wants(t, err, http.StatusPreconditionFailed)
	patched, err := c.Patch(t.Context(), bridge.Ref(), client.MergePatch, []byte(`{"spec":{"floodRate":null,"unknownUnicast":"drop"}}`), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := patched.Spec.(*topology.BridgeSpec); s.FloodRate != 0 || s.UnknownUnicast != "drop" {
		t.Errorf("patched %+v", s)
	}
	operations := func(text string) error {
		_, err := c.Patch(t.Context(), bridge.Ref(), client.JSONPatch, []byte(text), client.Options{})
		return err
	}
	if err := operations(`[{"op":"test","path":"/spec/unknownUnicast","value":"drop"},{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]`); err != nil {
		t.Error(err)
	}
	wants(t, operations(`[{"op":"test","path":"/spec/unknownUnicast","value":"flood"}]`), http.StatusConflict)
	wants(t, operations(`[{"op":"remove","path":"/spec/nothing"}]`), http.StatusUnprocessableEntity)
	wants(t, operations(`{}`), http.StatusBadRequest)
	if got, err := c.Get(t.Context(), bridge.Ref()); err != nil || got.Metadata.Labels["a"] != "b" {
		t.Errorf("patched %+v, %v", got, err)
	}
	_, err = c.Delete(t.Context(), bridge.Ref(), client.Options{Revision: made.Revision})
	wants(t, err, http.StatusPreconditionFailed)
	if r, err := c.Delete(t.Context(), bridge.Ref(), client.Options{}); err != nil || len(r.Steps) != 1 || r.Steps[0].Action != client.Deleted {
		t.Fatalf("deleted %+v, %v", r, err)
	}
	_, err = c.Get(t.Context(), bridge.Ref())
	wants(t, err, http.StatusNotFound)
	_, err = c.Delete(t.Context(), bridge.Ref(), client.Options{})
	wants(t, err, http.StatusNotFound)
}

func TestApplyAndErrors(t *testing.T) {
	c := clientOf(t, serve(t, embedded(t), nil))
	all := objects(t, network)
	all[2].Spec.(*topology.VPortSpec).Device = "bridge/none"
	_, err := c.Apply(t.Context(), client.Change{Put: all}, client.Options{})
	p := wants(t, err, http.StatusUnprocessableEntity)
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/put/2/spec/device" || p.Request == "" {
		t.Errorf("problem %+v", p)
	}
	if list, err := c.List(t.Context(), client.ListOptions{}); err != nil || len(list.Items) != 0 {
		t.Errorf("something was written: %+v, %v", list, err)
	}
	_, err = c.Do(t.Context(), client.Request{Method: http.MethodPut, Path: "/v1/vports/acme/x", Body: []byte(`{"spec":{"device":"bridge/web","addresses":["10.0.0.1/24","x"],"color":1}}`)}, nil)
	p = wants(t, err, http.StatusUnprocessableEntity)
	var pointers []string
	for _, e := range p.Errors {
		pointers = append(pointers, e.Pointer)
	}
	if fmt.Sprint(pointers) != "[/spec/addresses/1 /spec/color]" {
		t.Errorf("pointers %q", pointers)
	}
	_, err = c.Do(t.Context(), client.Request{Method: http.MethodGet, Path: "/v1/vports?limit=x&colour=1"}, nil)
	if p = wants(t, err, http.StatusUnprocessableEntity); len(p.Errors) == 0 {
		t.Errorf("problem %+v", p)
	}
}

func TestListAndPages(t *testing.T) {
	c := clientOf(t, serve(t, embedded(t), nil))
	var change client.Change
	change.Put = objects(t, network)
	for i := range 25 {
		o := objects(t, fmt.Sprintf("apiVersion: weft/v1\nkind: VPort\nmetadata: {name: p%02d, tenant: acme, labels: {n: n%d}}\nspec: {device: bridge/web, mtu: %d}", i, i%5, 1000+i%7))[0]
		change.Put = append(change.Put, o)
	}
	res, err := c.Apply(t.Context(), change, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.List(t.Context(), client.ListOptions{Kinds: []topology.Kind{topology.KindVPort}, Tenant: "acme", Limit: 10})
	if err != nil || len(list.Items) != 10 || list.Total != 27 || list.Revision != res.Revision || list.Continue == "" {
		t.Fatalf("%+v, %v", list, err)
	}
	// What is changed meanwhile is not in the next pages.
	if _, err := c.Delete(t.Context(), ref(topology.KindVPort, "p20"), client.Options{}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for o, err := range c.All(t.Context(), client.ListOptions{Kinds: []topology.Kind{topology.KindVPort}, Tenant: "acme", Limit: 10, Continue: list.Continue}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Metadata.Name)
	}
	if len(names) != 17 || names[10] != "p20" || names[16] != "vm2" {
		t.Errorf("names %q", names)
	}
	_, err = c.List(t.Context(), client.ListOptions{Continue: list.Continue})
	wants(t, err, http.StatusUnprocessableEntity)

	for _, tc := range []struct {
		o    client.ListOptions
		want string
	}{
		{client.ListOptions{Selector: "tier=front"}, "vm1"},
		{client.ListOptions{Selector: "n=n1", Fields: []string{"spec.mtu=1001"}}, "p01"},
		{client.ListOptions{Fields: []string{"spec.addresses=2001:db8::11/64"}}, "vm1"},
		{client.ListOptions{Selector: "n=n3", Sort: "-spec.mtu"}, "p13 p18 p03 p23 p08"},
		{client.ListOptions{Kinds: []topology.Kind{topology.KindBridge}, Tenant: "globex"}, "web"},
		{client.ListOptions{Kinds: []topology.Kind{topology.KindRouter}}, ""},
	} {
		list, err := c.List(t.Context(), tc.o)
		if err != nil {
			t.Error(err)
			continue
		}
		var got []string
		for _, o := range list.Items {
			got = append(got, o.Metadata.Name)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%+v: %q, want %q", tc.o, got, tc.want)
		}
	}
}

func TestWatch(t *testing.T) {
	store := embedded(t)
	c := clientOf(t, serve(t, store, nil))
	first, err := c.Apply(t.Context(), client.Change{Put: objects(t, network)}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// By another store, as another server would.
	other := open(t, stateConfig(store))
	if _, err := other.Delete(t.Context(), ref(topology.KindVPort, "vm2")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Patch(t.Context(), ref(topology.KindVPort, "vm1"), client.MergePatch, []byte(`{"metadata":{"labels":{"tier":null}}}`), client.Options{}); err != nil {
		t.Fatal(err)
	}
	errEnough := fmt.Errorf("enough")
	watch := func(o client.WatchOptions, want ...string) {
		t.Helper()
		var got []string
		err := c.Watch(t.Context(), o, func(e client.Event) error {
			if e.Type != client.EventBookmark {
				got = append(got, string(e.Type)+" "+e.Object.Ref().String())
			}
			if len(got) == len(want) {
				return errEnough
			}
			return nil
		})
		if err != errEnough || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: told %q, want %q", err, got, want)
		}
	}
	watch(client.WatchOptions{Since: first.Revision}, "delete vport acme/vm2", "put vport acme/vm1")
	watch(client.WatchOptions{Since: first.Revision, ListOptions: client.ListOptions{Selector: "tier=front"}}, "delete vport acme/vm1")
	late := clientOf(t, serve(t, open(t, stateConfig(store)), nil)) // of a server that does not know what was before it
	err = late.Watch(t.Context(), client.WatchOptions{Since: 1}, func(client.Event) error { return errors.New("it was told") })
	wants(t, err, http.StatusGone)
}

func TestOpenAPI(t *testing.T) {
	c := clientOf(t, serve(t, embedded(t), nil))
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`

		Components struct {
			Schemas map[string]struct {
				Description string
				Required    []string
				Properties  map[string]struct{ Description string }
			}
		}
	}
	var text json.RawMessage
	if _, err := c.Do(t.Context(), client.Request{Method: http.MethodGet, Path: "/openapi.json"}, &text); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || doc.Paths["/v1/vports/{tenant}/{name}"]["patch"] == nil {
		t.Errorf("openapi %s with %d paths", doc.OpenAPI, len(doc.Paths))
	}
	for _, k := range topology.Kinds() {
		spec := doc.Components.Schemas[string(k)+"Spec"]
		if len(spec.Properties) == 0 || doc.Components.Schemas[string(k)].Description == "" {
			t.Errorf("%s is not described", k)
		}
		for name, p := range spec.Properties {
			if p.Description == "" {
				t.Errorf("%sSpec.%s is not described", k, name)
			}
		}
	}
	if r := doc.Components.Schemas["VPortSpec"].Required; len(r) != 1 || r[0] != "device" {
		t.Errorf("of a vport are required: %q", r)
	}
}

// TestDocs: the page has all operations, and nothing from elsewhere.
func TestDocs(t *testing.T) {
	url := serve(t, embedded(t), nil)
	resp, err := http.Get(url + "/docs")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/v1/vports/{tenant}/{name}", "/v1/watch", `href="#schema-VPortSpec"`, "bridge/NAME or router/NAME"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the page has no %s", want)
		}
	}
	for _, not := range []string{"<script", "http://", "https://", "src="} {
		if strings.Contains(string(b), not) {
			t.Errorf("the page has %s", not)
		}
	}
}
