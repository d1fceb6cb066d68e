package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// pollInterval is how often flows and counters are looked at again.
const pollInterval = 20 * time.Millisecond

// Lab does what steps say. An operation returns nil when the network did what the step wants
// (its Outcome included). An error that wraps ErrLab is the lab's own failure. Contexts end
// with the time that the step has. Machines implements what concerns hosts.
type Lab interface {
	Ping(ctx context.Context, p Ping) error
	TCP(ctx context.Context, t TCP) error
	HTTP(ctx context.Context, h HTTP) error
	UDP(ctx context.Context, u UDP) error
	Raw(ctx context.Context, r Raw) error
	// Received waits until a host receives a frame that match accepts, or has since the last
	// Raw, or ctx is done.
	Received(ctx context.Context, host string, match func(frame []byte) bool) error
	Bind(ctx context.Context, b Bind) error
	Link(ctx context.Context, l Link) error
	Apply(ctx context.Context, a Apply) error
	// Flows are the flow entries of an edge, one line each.
	Flows(ctx context.Context, edge string) ([]string, error)
	// Counter reads a counter of an edge, a host or the fabric.
	Counter(ctx context.Context, of, name string) (uint64, error)
}

// Result is how one step ended.
type Result struct {
	Step Step
	Took time.Duration
	Err  error
}

// Run does the steps one after the other, up to the first that fails. report, which may be
// nil, gets every result as it comes. The error is *StepError.
func Run(ctx context.Context, s *Scenario, lab Lab, report func(Result)) error {
	for _, step := range s.Steps {
		begin := time.Now()
		err := runStep(ctx, step, lab)
		if report != nil {
			report(Result{Step: step, Took: time.Since(begin), Err: err})
		}
		if err != nil {
			return &StepError{File: s.Name, Step: step, Err: err}
		}
	}
	return nil
}

func runStep(ctx context.Context, step Step, lab Lab) error {
	timed, cancel := context.WithTimeout(ctx, step.Op.within())
	defer cancel()
	err := step.Op.run(timed, lab)
	switch {
	case ctx.Err() != nil:
		return errors.Join(context.Cause(ctx), err)
	case step.Fail:
		return mustFail(err)
	}
	return err
}

// mustFail turns failure into success, but for the lab's own.
func mustFail(err error) error {
	switch {
	case err == nil:
		return fmt.Errorf("%w: it succeeded", ErrUnexpected)
	case errors.Is(err, ErrLab):
		return err
	}
	return nil
}

// Check compares how an operation ended with how it was to end.
func (o Outcome) Check(err error) error {
	switch {
	case o.Fail:
		return mustFail(err)
	case len(o.Errors) == 0 || errors.Is(err, ErrLab):
		return err
	}
	want := make([]string, len(o.Errors))
	for i, kind := range o.Errors {
		want[i] = string(kind)
	}
	text := strings.Join(want, " or ")
	if err == nil {
		return fmt.Errorf("%w: it succeeded, want %s", ErrUnexpected, text)
	}
	var icmpErr *host.ICMPError
	if !errors.As(err, &icmpErr) {
		return fmt.Errorf("%w: want %s: %w", ErrUnexpected, text, err)
	}
	if o.By.IsValid() && icmpErr.From != o.By {
		return fmt.Errorf("%w: %w, want it from %s", ErrUnexpected, err, o.By)
	}
	for _, kind := range o.Errors {
		if icmpErr.Kind == kind {
			return nil
		}
	}
	return fmt.Errorf("%w: %w, want %s", ErrUnexpected, err, text)
}

// The time of a network operation is that for each of at most two addresses; the second more
// is for the operation to end by its own time.
func (p Ping) within() time.Duration     { return 2*p.Within + time.Second }
func (t TCP) within() time.Duration      { return 2*t.Within + time.Second }
func (h HTTP) within() time.Duration     { return 2*h.Within + time.Second }
func (u UDP) within() time.Duration      { return 2*u.Within + time.Second }
func (r Raw) within() time.Duration      { return r.Within }
func (b Bind) within() time.Duration     { return b.Within }
func (l Link) within() time.Duration     { return l.Within }
func (a Apply) within() time.Duration    { return a.Within }
func (f Flows) within() time.Duration    { return f.Within }
func (c Counters) within() time.Duration { return c.Within }

// within of an expectation ends the waiting, which is not a failure of its own.
func (e Expect) within() time.Duration { return e.Within + time.Second }

func (p Ping) run(ctx context.Context, lab Lab) error  { return lab.Ping(ctx, p) }
func (t TCP) run(ctx context.Context, lab Lab) error   { return lab.TCP(ctx, t) }
func (h HTTP) run(ctx context.Context, lab Lab) error  { return lab.HTTP(ctx, h) }
func (u UDP) run(ctx context.Context, lab Lab) error   { return lab.UDP(ctx, u) }
func (r Raw) run(ctx context.Context, lab Lab) error   { return lab.Raw(ctx, r) }
func (b Bind) run(ctx context.Context, lab Lab) error  { return lab.Bind(ctx, b) }
func (l Link) run(ctx context.Context, lab Lab) error  { return lab.Link(ctx, l) }
func (a Apply) run(ctx context.Context, lab Lab) error { return lab.Apply(ctx, a) }

func (e Expect) run(ctx context.Context, lab Lab) error {
	waiting, cancel := context.WithTimeout(ctx, e.Within)
	defer cancel()
	if e.Absent {
		var seen Pattern
		err := lab.Received(waiting, e.Host, func(frame []byte) bool {
			for _, pattern := range e.Patterns {
				if pattern.Matches(frame) {
					seen = pattern
					return true
				}
			}
			return false
		})
		switch {
		case err == nil:
			return fmt.Errorf("%w: %s received a frame like %s", ErrUnexpected, e.Host, seen)
		case errors.Is(err, ErrLab) || ctx.Err() != nil:
			return err
		}
		return nil
	}
	for _, pattern := range e.Patterns {
		err := lab.Received(waiting, e.Host, pattern.Matches)
		if err != nil {
			return fmt.Errorf("%w: %s received no frame like %s: %w", ErrUnexpected, e.Host, pattern, err)
		}
	}
	return nil
}

func (f Flows) run(ctx context.Context, lab Lab) error {
	return poll(ctx, func() (bool, string, error) {
		lines, err := lab.Flows(ctx, f.Edge)
		if err != nil {
			return false, "", err
		}
		n := 0
		for _, line := range lines {
			if strings.Contains(line, f.Like) {
				n++
			}
		}
		return n >= f.Min && (f.Max < 0 || n <= f.Max), fmt.Sprintf("%d of %d flows match", n, len(lines)), nil
	})
}

func (c Counters) run(ctx context.Context, lab Lab) error {
	return poll(ctx, func() (bool, string, error) {
		got, err := lab.Counter(ctx, c.Of, c.Name)
		return c.Op.Holds(got, c.Value), fmt.Sprintf("%s is %d", c.Name, got), err
	})
}

// poll looks until what it sees is right, or ctx is done.
func poll(ctx context.Context, look func() (ok bool, seen string, err error)) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		ok, seen, err := look()
		if err != nil || ok {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %s at the end: %w", ErrUnexpected, seen, context.Cause(ctx))
		}
	}
}
