package topology

import (
	"fmt"
	"strings"
)

// Absent is the problem of an object that is named and is not there.
const Absent = "does not exist"

// FieldError tells what is wrong with one field of one object, and what would do.
type FieldError struct {
	File    string // empty if the object is not from a file
	Line    int    // 0 if unknown
	Object  string // such as "router acme/edge"; empty if not known yet
	Field   string // path such as spec.routes[1].dst; empty for the object itself
	Value   string // as found; empty if missing
	Problem string
	Hint    string // what would do
}

// Error returns the form file:line: object: field: "value": problem; hint.
func (e *FieldError) Error() string {
	var b strings.Builder
	switch {
	case e.File != "" && e.Line != 0:
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	case e.File != "":
		b.WriteString(e.File + ": ")
	}
	for _, s := range []string{e.Object, e.Field} {
		if s != "" {
			b.WriteString(s + ": ")
		}
	}
	if e.Value != "" {
		fmt.Fprintf(&b, "%q ", e.Value)
	}
	b.WriteString(e.Problem)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Errors is all that is wrong with a set of objects, which is refused whole. Never empty.
type Errors []*FieldError

// Error returns one line per error.
func (e Errors) Error() string {
	s := make([]string, len(e))
	for i, f := range e {
		s[i] = f.Error()
	}
	return strings.Join(s, "\n")
}

// orNil returns the errors as an error.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
