package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

type applyInput struct {
	ChangeInput
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/json"`
}

// applyRoutes registers changes of many objects.
func (s *Server) applyRoutes() {
	huma.Register(s.api, huma.Operation{
		OperationID: "apply", Method: http.MethodPost, Path: "/v1/apply", Tags: []string{"Objects"}, Summary: "Delete and put objects: all at one revision, or none",
		Description: "The body is JSON, or with Content-Type application/yaml the documents of manifests, which are put.", SkipValidateBody: true, MaxBodyBytes: s.cfg.MaxBody, BodyReadTimeout: s.cfg.Timeout,
	}, func(ctx context.Context, in *applyInput) (*rawOutput, error) { return s.apply(ctx, in) })
}

// applying is a change of many objects, as it was asked for.
type applying struct {
	put       []*topology.Object
	revisions map[topology.Ref]int64 // that they must be of
	del       []topology.Ref
	puts      map[string]int
}

func (s *Server) apply(ctx context.Context, in *applyInput) (*rawOutput, error) {
	a := &applying{revisions: map[topology.Ref]int64{}, puts: map[string]int{}}
	var err error
	if mediaOf(in.ContentType) == mediaYAML {
		err = a.yaml(in.RawBody)
	} else {
		err = a.json(in.RawBody)
	}
	if err != nil {
		return nil, err
	}
	c := changing{ChangeInput: in.ChangeInput, verb: "apply", del: a.del, body: in.RawBody}
	for _, o := range a.put {
		c.put = append(c.put, o.Ref())
	}
	return s.change(ctx, c, func(cat *state.Catalogue) ([]*topology.Object, []topology.Ref, error) {
		var kept forgiven
		for _, o := range a.put {
			r := o.Ref()
			e := cat.Get(r)
			err := s.mayPut(ctx, o, e)
			if err != nil && !s.stays(ctx, o, e) {
				return nil, nil, err
			}
			kept.note(err)
			if err := (&changing{verb: "apply", revision: a.revisions[r]}).meets(r, e); err != nil {
				return nil, nil, err
			}
		}
		for _, r := range a.del {
			if err := s.may(ctx, access.Delete, r, cat.Get(r)); err != nil {
				return nil, nil, err
			}
			kept.note(nil)
		}
		return a.put, a.del, kept.verdict()
	}, answer{form: formResult, puts: a.puts})
}

// forgiven are refusals of objects that stay as they are, in a change of others: what a tenant gets, with the bindings that are the provider's, it can apply when it has changed what is
// its own.
type forgiven struct {
	some  bool  // something of the change the caller may do
	first error // what was refused, and stays as it is
}

// note takes what the guard says of one object.
func (f *forgiven) note(err error) {
	f.some = f.some || err == nil
	f.first = cmp.Or(f.first, err)
}

// verdict is the refusal of a change of which the caller may do nothing.
func (f *forgiven) verdict() error {
	if f.some {
		return nil
	}
	return f.first
}

// json reads a client.Change. All that is wrong with its objects is told together.
func (a *applying) json(body []byte) error {
	var form struct {
		Put    []json.RawMessage `json:"put"`
		Delete []client.Ref      `json:"delete"`
	}
	if err := checkJSON(body); err != nil {
		return notJSON(err, "")
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&form); err != nil {
		return notJSON(err, "")
	}
	if d.More() {
		return notJSON(errors.New("something follows the value"), "")
	}
	if err := tooManyObjects(len(form.Put), len(form.Delete)); err != nil {
		return err
	}
	var wrong *problem
	for i, text := range form.Put {
		if wrong != nil && len(wrong.Errors) >= mostErrors {
			break
		}
		o, revision, err := decodeOne(text, "/put/"+itoa(i), topology.Ref{})
		var p *problem
		switch {
		case errors.As(err, &p) && len(p.Errors) > 0:
			if wrong != nil {
				p.Errors = append(wrong.Errors, p.Errors...)
			}
			wrong = p
			continue
		case err != nil:
			return err
		}
		a.put = append(a.put, o)
		a.puts[o.Ref().String()] = i
		if revision != 0 {
			a.revisions[o.Ref()] = revision
		}
	}
	if wrong != nil {
		return wrong
	}
	for i, r := range form.Delete {
		if _, err := kindOf(string(r.Kind)); err != nil || r.Name == "" {
			p := refuse(http.StatusUnprocessableEntity, "delete[%d]: names no object", i)
			p.Errors = []client.FieldError{{Pointer: "/delete/" + itoa(i), Problem: "names no object", Hint: `write {"kind": "VPort", "tenant": "acme", "name": "web"}`}}
			return p
		}
		k, _ := kindOf(string(r.Kind))
		r.Kind = k
		a.del = append(a.del, r.Topology())
	}
	return nil
}

// yaml reads manifests.
func (a *applying) yaml(body []byte) error {
	if err := checkYAML(body); err != nil {
		return notJSON(err, "")
	}
	objects, err := topology.Decode("", body)
	var list topology.Errors
	switch {
	case errors.As(err, &list):
		return fields(list, nil)
	case err != nil:
		return refuse(http.StatusBadRequest, "the body is no YAML: %v", err)
	}
	a.put = objects
	return tooManyObjects(len(objects), 0)
}
