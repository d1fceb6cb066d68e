package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// remote is the network behind the API, of which one sees and changes what one may.
type remote struct{ api *client.Client }

// Get implements network, and so do those that follow.
func (r *remote) Get(ctx context.Context, ref topology.Ref) (*topology.Object, int64, error) {
	o, err := r.api.Get(ctx, ref)
	if client.IsNotFound(err) {
		return nil, 0, fmt.Errorf("%v: %w", ref, state.ErrNotFound)
	}
	if err != nil {
		return nil, 0, err
	}
	return &o.Object, o.Revision, nil
}

const pageSize = 10000 // objects that are asked for at once: the most that the API gives

// List implements network.
func (r *remote) List(ctx context.Context, kinds []topology.Kind, tenant string) (all []*topology.Object, err error) {
	for o, err := range r.api.All(ctx, client.ListOptions{Kinds: kinds, Tenant: tenant, Limit: pageSize, Parts: true}) {
		if err != nil {
			return nil, err
		}
		all = append(all, &o.Object)
	}
	return all, nil
}

// Change implements network.
func (r *remote) Change(ctx context.Context, c change) (*changed, error) {
	body, err := bodyOf(&c)
	if err != nil {
		return nil, err
	}
	req := client.Request{Method: http.MethodPost, Path: "/v1/apply", Body: body, Query: url.Values{}, Header: http.Header{}}
	if c.dryRun {
		req.Query.Set("dryRun", "true")
	} else {
		req.Header.Set("Idempotency-Key", client.NewKey())
	}
	var did client.Result
	if _, err := r.api.Do(ctx, req, &did); err != nil {
		if client.IsConflict(err) && len(c.at) > 0 {
			return nil, fmt.Errorf("%w: %w", state.ErrConflict, err)
		}
		return nil, inFiles(err, c.put)
	}
	out := &changed{revision: did.Revision}
	if c.dryRun {
		out.revision = 0
	}
	after := map[topology.Ref]*topology.Object{}
	for _, o := range c.put {
		after[o.Ref()] = o
	}
	for _, s := range did.Steps {
		x := step{ref: s.Ref.Topology(), action: state.Action(s.Action), after: after[s.Ref.Topology()]}
		if x.action == state.Created {
			if x.fields, err = fieldsOf(nil, x.after); err != nil {
				return nil, err
			}
		}
		for _, f := range s.Fields {
			before, after, err := bothForms(f)
			if err != nil {
				return nil, err
			}
			compareValues(fieldPath(f.Path), before, after, &x.fields)
		}
		out.steps = append(out.steps, x)
	}
	return out, nil
}

// bodyOf is a client.Change, whose objects have the revisions at which they must be.
func bodyOf(c *change) (any, error) {
	type changeForm struct {
		Put    []json.RawMessage `json:"put,omitempty"`
		Delete []client.Ref      `json:"delete,omitempty"`
	}
	var body changeForm
	for _, o := range c.put {
		plain := *o
		plain.Status = topology.Status{} // the system's
		text, err := json.Marshal(&plain)
		if err != nil {
			return nil, err
		}
		if at := c.at[o.Ref()]; at != 0 {
			text = client.Encode(text, at)
		}
		body.Put = append(body.Put, text)
	}
	for _, d := range c.del {
		body.Delete = append(body.Delete, client.RefOf(d))
	}
	return body, nil
}

// bothForms are the values of a field before and after.
func bothForms(f client.FieldStep) (before, after any, err error) {
	read := func(raw json.RawMessage) (v any) {
		if len(raw) > 0 && err == nil {
			d := json.NewDecoder(strings.NewReader(string(raw)))
			d.UseNumber()
			err = d.Decode(&v)
		}
		return v
	}
	return read(f.Before), read(f.After), err
}

// fieldPath is a JSON pointer (RFC 6901) in the form in which fields are named: /spec/routes/1/dst is spec.routes[1].dst.
func fieldPath(pointer string) string {
	var b strings.Builder
	for _, word := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		word = strings.NewReplacer("~1", "/", "~0", "~").Replace(word)
		switch {
		case word != "" && strings.Trim(word, "0123456789") == "":
			b.WriteString("[" + word + "]")
		case b.Len() > 0:
			b.WriteString("." + word)
		default:
			b.WriteString(word)
		}
	}
	return b.String()
}

// inFiles says what is wrong with objects as of the files that they are from.
func inFiles(err error, put []*topology.Object) error {
	var p *client.Problem
	if !errors.As(err, &p) || len(p.Errors) == 0 {
		return err
	}
	byName := map[string]*topology.Object{}
	for _, o := range put {
		byName[o.Ref().String()] = o
	}
	var list topology.Errors
	for _, e := range p.Errors {
		f := &topology.FieldError{Object: e.Object, Field: e.Field, Value: e.Value, Problem: e.Problem, Hint: e.Hint}
		if o := byName[e.Object]; o != nil && o.Source != nil {
			f.File, f.Line = o.Source.File, o.Source.Line(e.Field)
		}
		list = append(list, f)
	}
	return &exitError{statusOf(err), list}
}

// Applied implements network.
func (r *remote) Applied(ctx context.Context, revision int64, wait time.Duration, _ map[string]bool) (*applied, error) {
	a, err := r.api.Applied(ctx, revision, wait)
	if err != nil {
		return nil, err
	}
	return &applied{a.Applied, a.Edges, a.Behind, a.Away, a.Lacks}, nil
}

// Follow implements network.
func (r *remote) Follow(ctx context.Context, fn func() error) error {
	for {
		page, err := r.api.List(ctx, client.ListOptions{Limit: 1})
		if err != nil {
			return err
		}
		if err := fn(); err != nil {
			return err
		}
		pending := false
		err = r.api.Watch(ctx, client.WatchOptions{ListOptions: client.ListOptions{Parts: true}, Since: page.Revision}, func(e client.Event) error {
			if e.Type != client.EventBookmark {
				pending = true
				return nil
			}
			if !pending {
				return nil
			}
			pending = false
			return fn()
		})
		if !client.IsGone(err) {
			return err
		}
	}
}

// Health implements network.
func (r *remote) Health(ctx context.Context, pool *topology.Object) (state.PoolHealth, error) {
	h := state.PoolHealth{Members: map[topology.MemberKey]state.Health{}}
	rows, err := allOf[client.Member](ctx, r.api, "members", url.Values{"of": {pool.Tenant() + "/" + pool.Metadata.Name}})
	if err != nil {
		return h, err
	}
	for _, m := range rows.Items {
		if strings.HasPrefix(m.State, "up") || strings.HasPrefix(m.State, "down") {
			h.Members[topology.MemberAt(m.Address, m.Port)] = state.Health{Down: strings.HasPrefix(m.State, "down"), Why: m.Why}
		}
	}
	return h, nil
}

// RuleHits implements network.
func (r *remote) RuleHits(ctx context.Context, chain *topology.Object) ([]client.RuleHits, error) {
	rows, err := allOf[client.RuleHits](ctx, r.api, "rulehits", url.Values{"of": {chain.Tenant() + "/" + chain.Metadata.Name}})
	if client.StatusOf(err) == http.StatusForbidden { // he may see the chain, and no counters
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return rows.Items, nil
}

// Rates implements network.
func (r *remote) Rates(ctx context.Context, vport string) ([]client.Rate, error) {
	rows, err := allOf[client.Rate](ctx, r.api, "rates", url.Values{"of": {vport}})
	if client.StatusOf(err) == http.StatusForbidden { // he may see the vport, and not what passes it
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return rows.Items, nil
}

// Edges implements network.
func (r *remote) Edges(ctx context.Context) ([]client.Edge, error) {
	rows, err := allOf[client.Edge](ctx, r.api, "edges", nil)
	if err != nil {
		return nil, err
	}
	return rows.Items, nil
}

// Session implements network.
func (r *remote) Session(ctx context.Context, name string) (string, error) {
	rows, err := allOf[agent.BGPSession](ctx, r.api, "sessions", url.Values{"of": {name}})
	switch {
	case err != nil:
		return "", err
	case len(rows.Items) == 0:
		return "not known: no edge tells of it", nil
	}
	return sessionText(&rows.Items[0]), nil
}

// Events implements network.
func (r *remote) Events(ctx context.Context, f state.EventFilter) ([]state.LoggedEvent, int64, error) {
	rows, err := allOf[state.LoggedEvent](ctx, r.api, "events", eventValues(f))
	if err != nil {
		return nil, 0, err
	}
	return rows.Items, rows.Revision, nil
}

// eventValues is a filter as the API has it.
func eventValues(f state.EventFilter) url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("tenant", f.Tenant)
	set("type", string(f.Type))
	set("edge", f.Source)
	if f.Object != (state.EventObject{}) {
		set("object", f.Object.String())
	}
	return q
}

// WatchEvents implements network.
func (r *remote) WatchEvents(ctx context.Context, f state.EventFilter, after int64, fn func(state.LoggedEvent) error) error {
	return client.WatchEvents(ctx, r.api, eventValues(f), after, fn)
}

// kindsText is kinds in words.
func kindsText(kinds []topology.Kind) string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = strings.ToLower(string(k))
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}
