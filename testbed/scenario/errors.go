package scenario

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrLab means that the lab itself failed; a step with "!" is not satisfied by it.
	ErrLab = errors.New("lab failed")
	// ErrUnexpected means that the network did not do what the step says.
	ErrUnexpected = errors.New("not as expected")
)

// ParseError is one thing that is wrong with a scenario.
type ParseError struct {
	File    string // empty: lines that a person types, which are not numbered
	Line    int
	Problem string
	Hint    string // what would do
}

// Error implements error.
func (e *ParseError) Error() string {
	text := e.Problem
	if e.File != "" {
		text = fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem)
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// ParseErrors are all that is wrong with a scenario, in the order of the lines.
type ParseErrors []*ParseError

// Error implements error.
func (e ParseErrors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// StepError is why a run ended.
type StepError struct {
	File string
	Step Step
	Err  error
}

// Error implements error.
func (e *StepError) Error() string {
	return fmt.Sprintf("%s:%d: %s: %v", e.File, e.Step.Line, e.Step.Text, e.Err)
}

// Unwrap returns the step's own error.
func (e *StepError) Unwrap() error { return e.Err }
