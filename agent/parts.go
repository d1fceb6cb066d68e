package agent

import (
	"slices"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// These are for configurations of other processes that have parts like this one's. Names of files are taken to be relative to a directory; what is wrong is told of the field that the part is.

// Check completes the names of files, and checks all that can be checked without a connection.
func (e *Etcd) Check(s *topology.Source, field, dir string) topology.Errors {
	e.within(dir)
	return errorsOf(s, field, e.problems())
}

// Check completes the names of files, and checks what they hold.
func (t *TLS) Check(s *topology.Source, field, dir string) topology.Errors {
	t.within(dir)
	return errorsOf(s, field, t.problems())
}

// Check puts defaults in place of what was left out.
func (l *Log) Check(s *topology.Source, field string) topology.Errors {
	var out []fieldProblem
	for _, f := range []struct {
		name    string
		value   *string
		allowed []string // the first one is the default
	}{{"level", &l.Level, []string{"info", "debug", "warn", "error"}}, {"format", &l.Format, []string{"text", "json"}}} {
		if *f.value == "" {
			*f.value = f.allowed[0]
		}
		if !slices.Contains(f.allowed, *f.value) {
			out = append(out, fieldProblem{f.name, *f.value, "is not known", "use one of " + strings.Join(f.allowed, ", ")})
		}
	}
	return errorsOf(s, field, out)
}

func errorsOf(s *topology.Source, field string, problems []fieldProblem) (errs topology.Errors) {
	for _, p := range problems {
		at := field + "." + p.field
		errs = append(errs, &topology.FieldError{File: s.File, Line: s.Line(at), Field: at, Value: p.value, Problem: p.problem, Hint: p.hint})
	}
	return errs
}
