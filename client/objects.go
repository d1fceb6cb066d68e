package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/weft-sdn/weft/topology"
)

// ListOptions choose objects.
type ListOptions struct {
	Kinds    []topology.Kind // none: all
	Tenant   string          // empty: all that the caller may see
	Selector string          // of labels: KEY=VALUE, KEY!=VALUE, KEY or !KEY, with commas between
	Fields   []string        // spec.device=bridge/web, spec.mtu!=1500: all must hold
	Sort     string          // a field, such as metadata.name; with - before it: downwards
	Limit    int             // objects of a page; 0: as the server has it
	Parts    bool            // also the parts that objects are made into
	Continue string          // of the page before
}

func (o *ListOptions) query() url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	for _, k := range o.Kinds {
		q.Add("kind", string(k))
	}
	set("tenant", o.Tenant)
	set("selector", o.Selector)
	set("sort", o.Sort)
	set("continue", o.Continue)
	for _, f := range o.Fields {
		q.Add("field", f)
	}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Parts {
		q.Set("parts", "true")
	}
	return q
}

// List returns one page of objects, by kind, tenant and name.
func (c *Client) List(ctx context.Context, o ListOptions) (*List, error) {
	list := new(List)
	_, err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/v1/objects", Query: o.query()}, list)
	return list, err
}

// All returns all objects of all pages, as they were at one revision.
func (c *Client) All(ctx context.Context, o ListOptions) iter.Seq2[*Object, error] {
	return func(yield func(*Object, error) bool) {
		for {
			page, err := c.List(ctx, o)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page.Items {
				if !yield(&page.Items[i], nil) {
					return
				}
			}
			if o.Continue = page.Continue; o.Continue == "" {
				return
			}
		}
	}
}

// pathOf is where an object is.
func pathOf(r topology.Ref) string {
	return "/v1/" + Plural(r.Kind) + "/" + url.PathEscape(r.Tenant) + "/" + url.PathEscape(r.Name)
}

// Get returns an object.
func (c *Client) Get(ctx context.Context, r topology.Ref) (*Object, error) {
	o := new(Object)
	_, err := c.Do(ctx, Request{Method: http.MethodGet, Path: pathOf(r)}, o)
	return o, err
}

// Options say how a change is made.
type Options struct {
	DryRun   bool
	Revision int64  // of the object, at which it must still be; 0: any
	Key      string // the same change with the same key is made once; empty: one of its own
}

// request is a change of the API.
func (o Options) request(method, path string, body any) Request {
	r := Request{Method: method, Path: path, Body: body, Query: url.Values{}, Header: http.Header{}}
	if o.DryRun {
		r.Query.Set("dryRun", "true")
	} else {
		if o.Key == "" {
			o.Key = NewKey()
		}
		r.Header.Set(headerKey, o.Key)
	}
	if o.Revision > 0 {
		r.Header.Set("If-Match", strconv.Quote(strconv.FormatInt(o.Revision, 10)))
	}
	return r
}

// Create makes an object that is not there; IsConflict: it is.
func (c *Client) Create(ctx context.Context, o *topology.Object, opt Options) (*Object, error) {
	out := new(Object)
	_, err := c.Do(ctx, opt.request(http.MethodPost, "/v1/"+Plural(o.Kind)+"/"+url.PathEscape(o.Tenant()), o), out)
	return out, err
}

// Put creates or replaces an object.
func (c *Client) Put(ctx context.Context, o *topology.Object, opt Options) (*Object, error) {
	out := new(Object)
	_, err := c.Do(ctx, opt.request(http.MethodPut, pathOf(o.Ref()), o), out)
	return out, err
}

// PatchType is a media type of patches.
type PatchType string

// Patch types.
const (
	MergePatch PatchType = "application/merge-patch+json" // RFC 7396
	JSONPatch  PatchType = "application/json-patch+json"  // RFC 6902
)

// Patch changes fields of an object.
func (c *Client) Patch(ctx context.Context, r topology.Ref, t PatchType, patch []byte, opt Options) (*Object, error) {
	out := new(Object)
	req := opt.request(http.MethodPatch, pathOf(r), patch)
	req.Header.Set("Content-Type", string(t))
	_, err := c.Do(ctx, req, out)
	return out, err
}

// Delete removes an object.
func (c *Client) Delete(ctx context.Context, r topology.Ref, opt Options) (*Result, error) {
	out := new(Result)
	_, err := c.Do(ctx, opt.request(http.MethodDelete, pathOf(r), nil), out)
	return out, err
}

// Apply deletes and puts objects: all, at one revision, or none.
func (c *Client) Apply(ctx context.Context, change Change, opt Options) (*Result, error) {
	out := new(Result)
	_, err := c.Do(ctx, opt.request(http.MethodPost, "/v1/apply", change), out)
	return out, err
}

// Plan says what Apply would do now.
func (c *Client) Plan(ctx context.Context, change Change) (*Result, error) {
	return c.Apply(ctx, change, Options{DryRun: true})
}
