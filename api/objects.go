package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// rawOutput is an answer that is JSON already.
type rawOutput struct {
	Status      int
	ContentType string `header:"Content-Type"`
	ETag        string `header:"ETag"`
	Location    string `header:"Location"`
	Replayed    string `header:"Idempotency-Replayed"`
	Body        []byte
}

func raw(status int, body []byte) *rawOutput {
	return &rawOutput{Status: status, ContentType: "application/json", Body: body}
}

// ListInput says which objects of a list are wanted.
type ListInput struct {
	Selector string   `query:"selector" doc:"Labels that they have: KEY=VALUE, KEY!=VALUE, KEY or !KEY, with commas between" example:"tier=front,!old"`
	Field    []string `query:"field,explode" doc:"Values that fields have: PATH=VALUE, PATH!=VALUE, PATH or !PATH; of a list any item may have it" example:"spec.device=bridge/web"`
	Sort     string   `query:"sort" doc:"Field by which they are in order, with - before it downwards; else by kind, tenant and name" example:"-spec.mtu"`
	Limit    int      `query:"limit" minimum:"1" maximum:"10000" default:"500" doc:"How many at most"`
	Continue string   `query:"continue" doc:"Where to go on: continue of the page before. All pages are of one revision"`
	Parts    bool     `query:"parts" doc:"Also the parts that objects are made into, such as the ports of a trunk"`
	WatchedInput
}

// WatchedInput is for a list that is not asked for itself: asWatch makes another request of it.
type WatchedInput struct {
	Watch    bool  `query:"watch" doc:"Instead of the list, tell what changes in it, as server-sent events: as /v1/watch, or /v1/events/watch, does"`
	Revision int64 `query:"revision" minimum:"0" doc:"With watch: revision after which changes are told, such as that of a list; 0: from now on"`
}

// asList says what is wrong with it for a list.
func (in *WatchedInput) asList() error {
	switch {
	case in.Watch:
		return parameter("watch", "true", "does not go with the rest of the request", "use /v1/watch")
	case in.Revision != 0:
		return parameter("revision", strconv.FormatInt(in.Revision, 10), "goes with watch=true", "leave it out: a list is of what there is now")
	}
	return nil
}

type listKindInput struct {
	ListInput
}

type listTenantInput struct {
	Tenant string `path:"tenant" maxLength:"63" doc:"Owner of the objects" example:"acme"`
	ListInput
}

type listAllInput struct {
	Kind   []string `query:"kind,explode" doc:"Kinds that are wanted; none: all"`
	Tenant string   `query:"tenant" maxLength:"63" doc:"Owner of the objects; none: all whose objects the caller may see"`
	ListInput
}

// NameInput names an object.
type NameInput struct {
	Tenant string `path:"tenant" maxLength:"63" doc:"Owner of the object" example:"acme"`
	Name   string `path:"name" maxLength:"63" doc:"Name of the object" example:"web"`
}

type getInput struct {
	NameInput
	IfNoneMatch string `header:"If-None-Match" doc:"ETag that the caller has: the answer is 304 if the object is still that"`
}

// objectRoutes registers what can be done to objects, for each kind.
func (s *Server) objectRoutes() {
	for _, k := range topology.Kinds() {
		plural := client.Plural(k)
		op := func(id, method, path, summary string) huma.Operation {
			return huma.Operation{OperationID: id + string(k), Method: method, Path: "/v1/" + plural + path, Summary: summary, Tags: []string{string(k)}, SkipValidateBody: true, MaxBodyBytes: s.cfg.MaxBody, BodyReadTimeout: s.cfg.Timeout}
		}
		huma.Register(s.api, op("list", http.MethodGet, "", "List objects of all tenants"), func(ctx context.Context, in *listKindInput) (*rawOutput, error) {
			return s.list(ctx, []topology.Kind{k}, "", &in.ListInput)
		})
		huma.Register(s.api, op("listTenant", http.MethodGet, "/{tenant}", "List objects of a tenant"), func(ctx context.Context, in *listTenantInput) (*rawOutput, error) {
			return s.list(ctx, []topology.Kind{k}, in.Tenant, &in.ListInput)
		})
		huma.Register(s.api, op("get", http.MethodGet, "/{tenant}/{name}", "Get an object"), func(ctx context.Context, in *getInput) (*rawOutput, error) {
			return s.get(ctx, topology.Ref{Kind: k, Tenant: in.Tenant, Name: in.Name}, in.IfNoneMatch)
		})
		s.changeRoutes(k, op)
	}
	huma.Register(s.api, huma.Operation{OperationID: "listObjects", Method: http.MethodGet, Path: "/v1/objects", Summary: "List objects of several kinds", Tags: []string{"Objects"}},
		func(ctx context.Context, in *listAllInput) (*rawOutput, error) {
			kinds, err := kindsOf(in.Kind)
			if err != nil {
				return nil, err
			}
			return s.list(ctx, kinds, in.Tenant, &in.ListInput)
		})
}

// kindOf reads a kind in the singular or the plural, in any case.
func kindOf(text string) (topology.Kind, error) {
	var names []string
	for _, k := range topology.Kinds() {
		if t := strings.ToLower(text); t == strings.ToLower(string(k)) || t == client.Plural(k) {
			return k, nil
		}
		names = append(names, string(k))
	}
	return "", parameter("kind", text, "is no kind of object", "use one of "+strings.Join(names, ", "))
}

func kindsOf(texts []string) ([]topology.Kind, error) {
	if len(texts) == 0 {
		return topology.Kinds(), nil
	}
	var kinds []topology.Kind
	for _, text := range texts {
		k, err := kindOf(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	slices.SortFunc(kinds, func(a, b topology.Kind) int {
		return slices.Index(topology.Kinds(), a) - slices.Index(topology.Kinds(), b)
	})
	return kinds, nil
}

// etag is a revision as an entity tag.
func etag(revision int64) string { return strconv.Quote(strconv.FormatInt(revision, 10)) }

// get answers with one object.
func (s *Server) get(ctx context.Context, r topology.Ref, ifNoneMatch string) (*rawOutput, error) {
	if err := s.guard.Allow(ctx, identityOf(ctx), access.Action{Verb: access.Get, Kind: r.Kind, Tenant: r.Tenant, Name: r.Name}); err != nil {
		return nil, s.hidden(ctx, err, r)
	}
	c, err := s.catalogue()
	if err != nil {
		return nil, err
	}
	e := c.Get(r)
	if e == nil {
		return nil, notThere(r)
	}
	tag := etag(e.Revision)
	if ifNoneMatch != "" && matches(ifNoneMatch, tag) {
		return &rawOutput{Status: http.StatusNotModified, ETag: tag}, nil
	}
	out := raw(http.StatusOK, client.Encode(e.JSON, e.Revision))
	out.ETag = tag
	return out, nil
}

// matches reports whether a list of entity tags has one, or is *.
func matches(list, tag string) bool {
	for _, t := range strings.Split(list, ",") {
		if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == tag {
			return true
		}
	}
	return false
}

// hidden is why somebody is not let to an object: as if it were not there, if he may not know of it.
func (s *Server) hidden(ctx context.Context, err error, r topology.Ref) error {
	p := s.problemOf(ctx, err)
	if known, ok := p.(*problem); ok && known.Status == http.StatusNotFound {
		return notThere(r)
	}
	return p
}

// sees returns the tenant whose objects of these kinds are shown to the caller of those that are asked for: "" is all. None is false.
func (s *Server) sees(ctx context.Context, verb access.Verb, kinds []topology.Kind, tenant string) ([]topology.Kind, string, error) {
	id := identityOf(ctx)
	own, all := id.Sees()
	var denied error
	var seen []topology.Kind
	for _, k := range kinds {
		if err := s.guard.Allow(ctx, id, access.Action{Verb: verb, Kind: k, Tenant: tenant}); err != nil {
			denied = err
			continue
		}
		seen = append(seen, k)
	}
	switch {
	case len(seen) == 0 && denied != nil:
		p := s.problemOf(ctx, denied)
		if known, ok := p.(*problem); ok && known.Status == http.StatusNotFound { // of another tenant: a list with nothing in it
			return nil, own, nil
		}
		return nil, "", p
	case tenant != "" || all:
		return seen, tenant, nil
	}
	return seen, own, nil
}

// list answers with a page of objects.
func (s *Server) list(ctx context.Context, kinds []topology.Kind, tenant string, in *ListInput) (*rawOutput, error) {
	if err := in.asList(); err != nil {
		return nil, err
	}
	query := fmt.Sprint(kinds, tenant, in.Selector, in.Field, in.Sort, in.Parts)
	kinds, tenant, err := s.sees(ctx, access.List, kinds, tenant)
	if err != nil {
		return nil, err
	}
	sel, err := parseSelection(in.Selector, in.Field, in.Parts)
	if err != nil {
		return nil, err
	}
	c, err := s.catalogue()
	var from place
	if err == nil && in.Continue != "" {
		if from, err = parsePlace(in.Continue, query); err == nil {
			c, err = s.at(ctx, from.Revision)
		}
	}
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	var all []*state.Entry
	for _, k := range kinds {
		c.Walk(k, tenant, func(e *state.Entry) bool {
			if sel.takes(e) {
				all = append(all, e)
			}
			return true
		})
	}
	if in.Sort != "" {
		field, down := strings.CutPrefix(in.Sort, "-")
		sortBy(all, field, down)
	}
	page := all
	if in.Continue != "" {
		at := slices.IndexFunc(all, func(e *state.Entry) bool { return e.Object.Ref() == from.After.Topology() })
		page = all[at+1:] // it was there, at this revision
	}
	next := ""
	if len(page) > in.Limit {
		page = page[:in.Limit]
		next = place{c.Revision, client.RefOf(page[in.Limit-1].Object.Ref()), query}.token()
		s.pins.keep(c)
	}
	return raw(http.StatusOK, listBody(since(c), next, len(all), page)), nil
}

// since is the revision behind which all is told that happens after a catalogue. That of an empty database is 0, and 0 is "from now on": 1 is what etcd begins with, before any change.
func since(c *state.Catalogue) int64 { return max(c.Revision, 1) }

// listBody is a client.List.
func listBody(revision int64, next string, total int, page []*state.Entry) []byte {
	size := 128 + len(next)
	for _, e := range page {
		size += len(e.JSON) + 32
	}
	b := fmt.Appendf(make([]byte, 0, size), `{"revision":%d,"total":%d,`, revision, total)
	if next != "" {
		quoted, _ := json.Marshal(next)
		b = append(append(append(b, `"continue":`...), quoted...), ',')
	}
	b = append(b, `"items":[`...)
	for i, e := range page {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, client.Encode(e.JSON, e.Revision)...)
	}
	return append(b, "]}"...)
}
