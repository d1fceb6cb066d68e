package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Observer gets what happens during a run, as it happens, one call at a time.
type Observer interface {
	// LegBegins comes before the first step of a leg; number counts from 1, for each family by itself, to total.
	LegBegins(name, text string, number, total int)
	// StepEnds comes after each step, those outside legs too.
	StepEnds(Result)
	LegEnds(LegResult)
}

// Result is how one step ended.
type Result struct {
	Step  Step
	Took  time.Duration
	Lines []string // what a trace step shows
	Err   error
}

// Run does the legs one after the other, each for both families unless it says otherwise. A leg ends at its first step that fails; the next begins
// all the same. A step outside legs that fails ends the run. observer may be nil. The error is nil if everything held; else it joins a *StepError for
// each leg that failed.
func Run(ctx context.Context, s *Scenario, lab Lab, observer Observer) (Report, error) {
	if observer == nil {
		observer = silent{}
	}
	report := Report{Legs: []LegResult{}, Figures: map[string]float64{}}
	var failed []error
	number, total := 0, s.runs()
	for _, leg := range s.Legs {
		if leg.Name == "" {
			r := newRun(s, lab, observer, leg, Both)
			if err := r.plain(ctx); err != nil {
				report.Error = err.Error()
				return report, errors.Join(append(failed, err)...)
			}
			continue
		}
		for _, family := range leg.families() {
			number++
			observer.LegBegins(leg.runName(family), leg.Text, number, total)
			r := newRun(s, lab, observer, leg, family)
			result, err := r.accounted(ctx)
			report.Legs = append(report.Legs, result)
			observer.LegEnds(result)
			if err != nil {
				failed = append(failed, err)
			}
			if ctx.Err() != nil {
				return report, errors.Join(failed...)
			}
		}
	}
	report.OK = len(failed) == 0
	return report, errors.Join(failed...)
}

type silent struct{}

func (silent) LegBegins(string, string, int, int) {}
func (silent) StepEnds(Result)                    {}
func (silent) LegEnds(LegResult)                  {}

// runs counts how often legs are run.
func (s *Scenario) runs() int {
	n := 0
	for _, leg := range s.Legs {
		if leg.Name != "" {
			n += len(leg.families())
		}
	}
	return n
}

func (l Leg) families() []Family {
	if l.Family == Both {
		return []Family{IPv4, IPv6}
	}
	return []Family{l.Family}
}

func (l Leg) runName(family Family) string { return l.Name + "/" + family.String() }

// run is one run of a leg.
type run struct {
	scenario *Scenario
	lab      Lab
	observer Observer
	leg      Leg
	family   Family

	begun   map[counter]uint64 // counters when the leg began
	marked  map[counter]uint64 // those at the last mark, or when the leg began
	started map[string]*background
	lines   []string // of the step under way
	trace   []string // of all steps

	mu    sync.Mutex // background steps measure, too
	first time.Duration
	later []time.Duration
}

// counter names a counter.
type counter struct{ of, name string }

func newRun(s *Scenario, lab Lab, observer Observer, leg Leg, family Family) *run {
	return &run{scenario: s, lab: lab, observer: observer, leg: leg, family: family, started: map[string]*background{}}
}

// plain does steps outside legs.
func (r *run) plain(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return r.failed(r.leg.Steps[0], err)
	}
	return r.steps(ctx)
}

// begin reads the counters that later steps compare with.
func (r *run) begin(ctx context.Context) error {
	r.begun = map[counter]uint64{}
	if err := r.read(ctx, r.begun); err != nil {
		return err
	}
	return r.mark(ctx)
}

// mark reads the counters once the targets have all that the agents decided: who waited for a frame has not waited for the entry that forwards the next.
func (r *run) mark(ctx context.Context) error {
	if err := r.written(ctx); err != nil {
		return err
	}
	r.marked = map[counter]uint64{}
	return r.read(ctx, r.marked)
}

// read reads all counters that steps of the leg compare with earlier ones.
func (r *run) read(ctx context.Context, into map[counter]uint64) error {
	for _, step := range r.leg.Steps {
		var wanted []counter
		switch op := step.Op.(type) {
		case Counters:
			if op.Growth {
				wanted = append(wanted, counter{op.Of, op.Name})
			}
		case Quiet:
			for _, host := range op.Hosts {
				wanted = append(wanted, counter{host, framesReceived})
			}
		}
		for _, c := range wanted {
			value, err := r.lab.Counter(ctx, c.of, c.name)
			if err != nil {
				return err
			}
			into[c] = value
		}
	}
	return nil
}

// steps does the steps up to the first that fails, and ends what goes on in the background.
func (r *run) steps(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for _, one := range r.started {
			<-one.done
		}
	}()
	for _, step := range r.leg.Steps {
		op, ours := narrowed(step.Op, r.family)
		if !ours {
			continue
		}
		begin := time.Now()
		err := r.step(ctx, op, step.Fail)
		r.observer.StepEnds(Result{Step: step, Took: time.Since(begin), Lines: r.lines, Err: err})
		r.trace, r.lines = append(r.trace, r.lines...), nil
		if err != nil {
			return r.failed(step, err)
		}
	}
	return nil
}

func (r *run) failed(step Step, err error) error {
	return &StepError{File: r.scenario.Name, Step: step, Err: err}
}

func (r *run) step(ctx context.Context, op Op, mayFail bool) error {
	if start, ok := op.(Start); ok {
		return r.start(ctx, start)
	}
	if r.leg.Fast > 0 {
		op = r.withEntries(op)
	}
	timed, cancel := context.WithTimeout(ctx, op.within())
	defer cancel()
	err := op.run(timed, r)
	switch {
	case ctx.Err() != nil:
		return errors.Join(context.Cause(ctx), err)
	case mayFail:
		return mustFail(err)
	}
	return err
}

// measured takes in what an operation measured.
func (r *run) measured(m Measured, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == 0 {
		r.first = m.First
	}
	r.later = append(r.later, m.Later...)
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
