package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// ChangeInput has what all changes may say.
type ChangeInput struct {
	DryRun bool   `query:"dryRun" doc:"Say what would be done, and do nothing"`
	Key    string `header:"Idempotency-Key" maxLength:"255" doc:"Name of the change: of several requests of a caller with the same one, the first changes something and the others get its answer. Remembered for an hour"`
}

type putInput struct {
	NameInput
	ChangeInput
	IfMatch     string `header:"If-Match" doc:"ETag that the object must have; *: it must be there"`
	IfNoneMatch string `header:"If-None-Match" doc:"*: it must not be there"`
	RawBody     []byte `contentType:"application/json"`
}

type createInput struct {
	Tenant string `path:"tenant" maxLength:"63" doc:"Owner of the object" example:"acme"`
	ChangeInput
	RawBody []byte `contentType:"application/json"`
}

type patchInput struct {
	NameInput
	ChangeInput
	IfMatch     string `header:"If-Match" doc:"ETag that the object must have"`
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/merge-patch+json"`
}

type deleteInput struct {
	NameInput
	ChangeInput
	IfMatch string `header:"If-Match" doc:"ETag that the object must have"`
}

// changeRoutes registers what changes objects of a kind.
func (s *Server) changeRoutes(k topology.Kind, op func(id, method, path, summary string) huma.Operation) {
	huma.Register(s.api, op("create", http.MethodPost, "/{tenant}", "Create an object"), func(ctx context.Context, in *createInput) (*rawOutput, error) {
		o, revision, err := decodeObject(in.RawBody, topology.Ref{Kind: k, Tenant: in.Tenant})
		if err != nil {
			return nil, err
		}
		return s.putOne(ctx, o, changing{ChangeInput: in.ChangeInput, verb: "create", body: in.RawBody, absent: true, revision: revision})
	})
	huma.Register(s.api, op("put", http.MethodPut, "/{tenant}/{name}", "Create or replace an object"), func(ctx context.Context, in *putInput) (*rawOutput, error) {
		o, revision, err := decodeObject(in.RawBody, topology.Ref{Kind: k, Tenant: in.Tenant, Name: in.Name})
		if err != nil {
			return nil, err
		}
		return s.putOne(ctx, o, changing{ChangeInput: in.ChangeInput, verb: "put", body: in.RawBody, ifMatch: in.IfMatch, absent: strings.TrimSpace(in.IfNoneMatch) == "*", revision: revision})
	})
	huma.Register(s.api, op("patch", http.MethodPatch, "/{tenant}/{name}", "Change fields of an object"), func(ctx context.Context, in *patchInput) (*rawOutput, error) {
		r := topology.Ref{Kind: k, Tenant: in.Tenant, Name: in.Name}
		return s.patchOne(ctx, r, in)
	})
	huma.Register(s.api, op("delete", http.MethodDelete, "/{tenant}/{name}", "Delete an object"), func(ctx context.Context, in *deleteInput) (*rawOutput, error) {
		return s.deleteOne(ctx, topology.Ref{Kind: k, Tenant: in.Tenant, Name: in.Name}, changing{ChangeInput: in.ChangeInput, verb: "delete", ifMatch: in.IfMatch})
	})
}

// changing is how objects are changed.
type changing struct {
	ChangeInput
	verb     string
	put, del []topology.Ref // what it is of
	body     []byte
	ifMatch  string
	absent   bool  // it must not be there
	revision int64 // that it must be of; 0: any
}

// meets checks what a change requires of an object as it is stored; nil: it is not there.
func (c *changing) meets(r topology.Ref, e *state.Entry) error {
	switch {
	case c.absent && e != nil:
		status := http.StatusConflict
		if c.verb == "put" {
			status = http.StatusPreconditionFailed
		}
		return refuse(status, "%v: is there already", r)
	case c.ifMatch != "" && e == nil:
		return refuse(http.StatusPreconditionFailed, "%v: is not there", r)
	case c.ifMatch != "" && !matches(c.ifMatch, etag(e.Revision)):
		return refuse(http.StatusPreconditionFailed, "%v: was changed at revision %d; get it, and change that", r, e.Revision)
	case c.revision != 0 && (e == nil || e.Revision != c.revision):
		return refuse(http.StatusConflict, "%v: is not of revision %d any more; get it, and change that", r, c.revision)
	}
	return nil
}

// putOne creates or replaces one object, and answers with it.
func (s *Server) putOne(ctx context.Context, o *topology.Object, c changing) (*rawOutput, error) {
	r := o.Ref()
	if of := o.Status.Of; of != "" {
		return nil, s.refused(ctx, topology.Errors{{Object: r.String(), Field: "status.of", Value: of, Problem: "says that this is a part of another object", Hint: "change that one, or leave the status out"}}, answer{form: formObject, ref: r})
	}
	c.put = []topology.Ref{r}
	return s.change(ctx, c, func(cat *state.Catalogue) ([]*topology.Object, []topology.Ref, error) {
		e := cat.Get(r)
		if err := s.mayPut(ctx, o, e); err != nil {
			return nil, nil, err
		}
		return []*topology.Object{o}, nil, c.meets(r, e)
	}, s.objectAnswer(r))
}

// deleteOne deletes one object.
func (s *Server) deleteOne(ctx context.Context, r topology.Ref, c changing) (*rawOutput, error) {
	c.del = []topology.Ref{r}
	return s.change(ctx, c, func(cat *state.Catalogue) ([]*topology.Object, []topology.Ref, error) {
		e := cat.Get(r)
		if err := s.may(ctx, access.Delete, r, e); err != nil {
			return nil, nil, err
		}
		return nil, []topology.Ref{r}, c.meets(r, e)
	}, answer{form: formResult, ref: r})
}

// mayPut asks the guard whether the caller may create or replace an object.
func (s *Server) mayPut(ctx context.Context, o *topology.Object, e *state.Entry) error {
	r := o.Ref()
	a := access.Action{Verb: access.Create, Kind: r.Kind, Tenant: r.Tenant, Name: r.Name, After: o}
	if e != nil {
		a.Verb, a.Before = access.Update, e.Object
	}
	err := s.guard.Allow(ctx, identityOf(ctx), a)
	if errors.Is(err, access.ErrNotVisible) { // the same, be it there or not
		return refuse(http.StatusNotFound, "%v: is not there, or not for tenant %s to make or change", r, identityOf(ctx).Tenant)
	}
	return s.hidden(ctx, err, r)
}

// stays reports whether an object is stored as it is, and the caller may read it.
func (s *Server) stays(ctx context.Context, o *topology.Object, e *state.Entry) bool {
	return e != nil && e.Same(o) && s.mayRead(ctx, o.Ref()) == nil
}

// mayRead asks the guard whether the caller may get an object.
func (s *Server) mayRead(ctx context.Context, r topology.Ref) error {
	return s.guard.Allow(ctx, identityOf(ctx), access.Action{Verb: access.Get, Kind: r.Kind, Tenant: r.Tenant, Name: r.Name})
}

// may asks the guard whether the caller may do something to an object; if so, it must be there.
func (s *Server) may(ctx context.Context, verb access.Verb, r topology.Ref, e *state.Entry) error {
	a := access.Action{Verb: verb, Kind: r.Kind, Tenant: r.Tenant, Name: r.Name}
	if e != nil {
		a.Before = e.Object
	}
	if err := s.guard.Allow(ctx, identityOf(ctx), a); err != nil {
		return s.hidden(ctx, err, r)
	}
	if e == nil {
		return notThere(r)
	}
	return nil
}

// mayStill asks the guard whether the caller may do now what he did earlier: if not, he is not told again either.
func (s *Server) mayStill(ctx context.Context, c *changing) error {
	var kept forgiven
	for verb, refs := range map[access.Verb][]topology.Ref{access.Update: c.put, access.Delete: c.del} {
		for _, r := range refs {
			err := s.guard.Allow(ctx, identityOf(ctx), access.Action{Verb: verb, Kind: r.Kind, Tenant: r.Tenant, Name: r.Name})
			if err != nil {
				err = s.hidden(ctx, err, r)
			}
			if err != nil && (verb == access.Delete || s.mayRead(ctx, r) != nil) {
				return err
			}
			kept.note(err)
		}
	}
	return kept.verdict()
}

// change makes an edit, or says what it would do, and answers.
func (s *Server) change(ctx context.Context, c changing, plan func(*state.Catalogue) ([]*topology.Object, []topology.Ref, error), a answer) (*rawOutput, error) {
	id := identityOf(ctx)
	a.sees = func(r topology.Ref) bool {
		tenant, all := id.Sees()
		return all || r.Tenant == tenant
	}
	var seen atomic.Pointer[topology.Set] // the plan may still be made when nobody waits any more
	e := state.Edit{
		Plan: func(cat *state.Catalogue) ([]*topology.Object, []topology.Ref, error) {
			seen.Store(cat.Set)
			put, del, err := plan(cat)
			if err != nil {
				return nil, nil, err
			}
			return s.guard.Admit(ctx, id, cat.Set, put, del)
		},
	}
	refused := func(err error) error {
		if set := seen.Load(); set != nil {
			err = s.guard.Conceal(id, set, err)
		}
		return s.refused(ctx, err, a)
	}
	if c.DryRun {
		out, err := s.store.Try(ctx, e)
		if err != nil {
			return nil, refused(err)
		}
		return a.tell(out, true), nil
	}
	print := fingerprint(c.verb, a.subject(), c.body)
	e.Once = onceName(id, c.Key)
	e.Note = func(out *state.Outcome) (n state.Notes, err error) {
		n.Audit = auditOf(id, requestOf(ctx), c.verb, out)
		if e.Once != "" {
			n.Once, err = json.Marshal(a.remember(print, out))
		}
		return n, err
	}
	out, err := s.store.Edit(ctx, e)
	if err != nil {
		return nil, refused(err)
	}
	if out.Earlier != nil {
		if err := s.mayStill(ctx, &c); err != nil {
			return nil, err
		}
		return a.again(out, print)
	}
	return a.tell(out, false), nil
}

// refused is why a change was not made, with pointers into the request.
func (s *Server) refused(ctx context.Context, err error, a answer) error {
	var list topology.Errors
	if errors.As(err, &list) {
		return fields(list, a.pointers())
	}
	return s.problemOf(ctx, err)
}

// auditOf is what the audit log has of a change; nil: it changed nothing.
func auditOf(id access.Identity, request, verb string, out *state.Outcome) *state.AuditRecord {
	r := &state.AuditRecord{Time: time.Now().UTC(), Subject: id.Subject, Tenant: id.Tenant, Token: id.Token, Request: request, Verb: verb}
	for i := range out.Steps {
		st := &out.Steps[i]
		if st.Was == st.Is {
			continue
		}
		c := state.AuditChange{Kind: st.Ref.Kind, Tenant: st.Ref.Tenant, Name: st.Ref.Name}
		if st.Was != nil {
			c.Before = st.Was.JSON
		}
		if st.Is != nil {
			c.After = st.Is.JSON
		}
		r.Changes = append(r.Changes, c)
	}
	if len(r.Changes) == 0 {
		return nil
	}
	return r
}

// objectAnswer answers with one object.
func (s *Server) objectAnswer(r topology.Ref) answer { return answer{form: formObject, ref: r} }

// stepsOf is what a change did in the API's form, as far as the caller sees it.
func (a *answer) stepsOf(out *state.Outcome) []client.Step {
	steps := make([]client.Step, 0, len(out.Steps))
	for i := range out.Steps {
		st := &out.Steps[i]
		if !a.sees(st.Ref) {
			continue
		}
		step := client.Step{Ref: client.RefOf(st.Ref), Action: string(st.Action)}
		if st.Action == state.Configured {
			step.Fields = differences(st.Was, st.Is)
		}
		steps = append(steps, step)
	}
	return steps
}
