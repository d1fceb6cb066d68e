package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// ProblemType is the media type of a Problem (RFC 9457).
const ProblemType = "application/problem+json"

// Problem is why the API refused a request (RFC 9457). It is an error.
type Problem struct {
	Type   string `json:"type,omitempty" doc:"What kind of problem it is; about:blank: as the status says"`
	Title  string `json:"title" doc:"The kind of problem, for people"`
	Status int    `json:"status" doc:"HTTP status"`
	Detail string `json:"detail,omitempty" doc:"What is wrong with this request, and what would do"`
	// Request names the request in logs and the audit log.
	Request string       `json:"request,omitempty" doc:"Id of the request, the same as of header X-Request-Id"`
	Errors  []FieldError `json:"errors,omitempty" doc:"All that is wrong, field by field"`
}

// FieldError is what is wrong with one field.
type FieldError struct {
	Pointer string `json:"pointer,omitempty" doc:"The field in the request's body (RFC 6901); empty: the whole of it"`
	Object  string `json:"object,omitempty" doc:"The object that is meant, such as vport acme/web"`
	Field   string `json:"field,omitempty" doc:"The field in the object, such as spec.routes[1].dst; of a parameter its name"`
	Value   string `json:"value,omitempty" doc:"What was found"`
	Problem string `json:"problem" doc:"What is wrong with it"`
	Hint    string `json:"hint,omitempty" doc:"What would do"`
}

// Error says all of it, a line for each field.
func (p *Problem) Error() string {
	if len(p.Errors) == 0 {
		if p.Detail == "" {
			return p.Title
		}
		return p.Detail
	}
	lines := make([]string, len(p.Errors))
	for i := range p.Errors {
		lines[i] = p.Errors[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Error returns the form object: field: "value" problem; hint.
func (e *FieldError) Error() string {
	f := topology.FieldError{Object: e.Object, Field: e.Field, Value: e.Value, Problem: e.Problem, Hint: e.Hint}
	return f.Error()
}

// StatusOf returns the HTTP status with which a request was refused, 0 if it was not.
func StatusOf(err error) int {
	var p *Problem
	if errors.As(err, &p) {
		return p.Status
	}
	return 0
}

// IsNotFound reports whether an object is not there, or is none that the caller may see.
func IsNotFound(err error) bool { return StatusOf(err) == http.StatusNotFound }

// IsConflict reports whether an object is there already, or was changed meanwhile.
func IsConflict(err error) bool {
	s := StatusOf(err)
	return s == http.StatusConflict || s == http.StatusPreconditionFailed
}

// IsGone reports whether a revision is not kept any more: list again, and watch from there.
func IsGone(err error) bool { return StatusOf(err) == http.StatusGone }

// problemOf reads the body of an answer that is an error.
func problemOf(resp *http.Response, body []byte) *Problem {
	p := new(Problem)
	if json.Unmarshal(body, p) != nil || p.Title == "" {
		p = &Problem{Title: http.StatusText(resp.StatusCode), Detail: fmt.Sprintf("the server answers %s", resp.Status)}
	}
	p.Status = resp.StatusCode
	if p.Request == "" {
		p.Request = resp.Header.Get("X-Request-Id")
	}
	return p
}
