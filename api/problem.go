package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// problem is a client.Problem as an answer of huma's.
type problem struct {
	client.Problem
	headers http.Header
}

// Error implements error.
func (p *problem) Error() string { return p.Problem.Error() }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return client.ProblemType }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header { return p.headers }

// refuse is a problem of a status.
func refuse(status int, format string, args ...any) *problem {
	return &problem{Problem: client.Problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}}
}

// parameter is a problem with a parameter of a request.
func parameter(name, value, what, hint string) *problem {
	p := refuse(http.StatusUnprocessableEntity, "%s %q: %s; %s", name, value, what, hint)
	p.Errors = []client.FieldError{{Field: name, Value: value, Problem: what, Hint: hint}}
	return p
}

// fields is a problem with fields of objects. at tells where an object is in the request's body, as a JSON pointer.
func fields(list topology.Errors, at func(object string) string) *problem {
	p := refuse(http.StatusUnprocessableEntity, "not valid: nothing was changed")
	for _, e := range list {
		f := client.FieldError{Object: e.Object, Field: e.Field, Value: e.Value, Problem: e.Problem, Hint: e.Hint}
		if at != nil {
			f.Pointer = at(e.Object) + pointerOf(e.Field)
		}
		p.Errors = append(p.Errors, f)
	}
	p.Errors = bounded(p.Errors)
	return p
}

// pointerOf is a path such as spec.routes[1].dst as a JSON pointer (RFC 6901).
func pointerOf(field string) string {
	var b strings.Builder
	for field != "" {
		end := strings.IndexAny(field, ".[")
		switch {
		case end < 0:
			end = len(field)
		case end == 0 && field[0] == '[':
			if end = strings.IndexByte(field, ']'); end > 0 {
				b.WriteString("/" + field[1:end])
				field = field[end+1:]
				continue
			}
			end = len(field)
		case end == 0:
			field = field[1:]
			continue
		}
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(field[:end]))
		field = field[end:]
	}
	return b.String()
}

// notThere is what is said of an object that is not there, and of one that the caller may not know of.
func notThere(r topology.Ref) *problem { return refuse(http.StatusNotFound, "%v: is not there", r) }

// problemOf is an error as an answer. What the server is at fault for is logged, and not told.
func (s *Server) problemOf(ctx context.Context, err error) error {
	var known *problem
	var list topology.Errors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.As(err, &list):
		return fields(list, nil)
	case errors.Is(err, access.ErrUnauthenticated):
		p := refuse(http.StatusUnauthorized, "%v", err)
		p.headers = http.Header{"Www-Authenticate": {`Bearer realm="weft"`}}
		return p
	case errors.Is(err, access.ErrTooMany):
		return tooMany(60, err.Error())
	case errors.Is(err, access.ErrUnavailable):
		s.log.Warn("who has access can't be told", "request", requestOf(ctx), "err", err)
		return busy(access.ErrUnavailable.Error())
	case errors.Is(err, access.ErrExists):
		return refuse(http.StatusConflict, "%v", err)
	case errors.Is(err, access.ErrInvalid):
		return refuse(http.StatusUnprocessableEntity, "%v", err)
	case errors.Is(err, access.ErrForbidden):
		return refuse(http.StatusForbidden, "%v", err)
	case errors.Is(err, access.ErrNotVisible), errors.Is(err, access.ErrNotFound), errors.Is(err, state.ErrNotFound):
		return refuse(http.StatusNotFound, "it is not there")
	case errors.Is(err, state.ErrCompacted):
		return refuse(http.StatusGone, "%s; list again, and go on from the revision of that", strings.TrimPrefix(err.Error(), "state: "))
	case errors.Is(err, state.ErrTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "the change is too large for one transaction of the database; make it in parts")
	case errors.Is(err, state.ErrBusy):
		return busy("too many changes wait")
	case errors.Is(err, state.ErrConflict):
		return busy("others change the network all the time")
	case errors.Is(err, state.ErrFull):
		return refuse(http.StatusInsufficientStorage, "the database is full; ask its operator to free space")
	case errors.Is(err, state.ErrIDsExhausted):
		return refuse(http.StatusInsufficientStorage, "no vport or group ids are left")
	case ctx.Err() != nil:
		return busy("the request took too long, or was given up")
	}
	s.log.Error("request failed", "request", requestOf(ctx), "err", err)
	return busy("the database does not answer; whether a change was made is not known: ask again with the same Idempotency-Key")
}

// busy is a problem that may be gone soon.
func busy(why string) *problem {
	p := refuse(http.StatusServiceUnavailable, "%s", why)
	p.headers = http.Header{"Retry-After": {"1"}}
	return p
}

func tooMany(seconds int, why string) *problem {
	p := refuse(http.StatusTooManyRequests, "%s", why)
	p.headers = http.Header{"Retry-After": {strconv.Itoa(seconds)}}
	return p
}

// ours has problems that huma found be told as others are.
func ours(ctx huma.Context, _ string, v any) (any, error) {
	switch e := v.(type) {
	case *problem:
		e.Request = requestOf(ctx.Context())
	case *huma.ErrorModel:
		p := refuse(e.Status, "%s", e.Detail)
		p.Request = requestOf(ctx.Context())
		for _, d := range e.Errors {
			where, name, _ := strings.Cut(d.Location, ".")
			f := client.FieldError{Field: name, Problem: d.Message}
			if where == "body" {
				f.Pointer = pointerOf(name)
				if at, twice := strings.CutSuffix(d.Message, thereTwice); twice {
					f.Pointer, f.Problem = at, "is there twice"
				}
			}
			if d.Value != nil && tagOf(ctx) != tagAccess {
				f.Value = fmt.Sprint(d.Value)
			}
			p.Errors = append(p.Errors, f)
		}
		return p, nil
	}
	return v, nil
}

// tagOf is the group of an operation. What was sent to those of tagAccess is not repeated in problems: there may be passwords in it.
func tagOf(ctx huma.Context) string {
	if op := ctx.Operation(); op != nil && len(op.Tags) > 0 {
		return op.Tags[0]
	}
	return ""
}

// write answers with a problem outside of huma.
func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	p.Request = requestOf(r.Context())
	h := w.Header()
	for name, values := range p.headers {
		h[name] = values
	}
	h.Set("Content-Type", client.ProblemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p.Problem) // the other side went away
}
