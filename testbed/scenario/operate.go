package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// pollInterval is how often flows and counters are looked at again.
const pollInterval = 20 * time.Millisecond

// The time of a network operation is that for each of at most two addresses; the second more
// is for the operation to end by its own time.
func (p Ping) within() time.Duration       { return 2*p.Within + time.Second }
func (t Traceroute) within() time.Duration { return 2*t.Within + time.Second }
func (t TCP) within() time.Duration        { return 2*t.Within + time.Second }
func (h HTTP) within() time.Duration       { return 2*h.Within + time.Second }
func (u UDP) within() time.Duration        { return 2*u.Within + time.Second }
func (r Raw) within() time.Duration        { return r.Within }
func (s Sweep) within() time.Duration      { return s.Within }
func (g Forge) within() time.Duration      { return g.Within }
func (b Bind) within() time.Duration       { return b.Within }
func (l Link) within() time.Duration       { return l.Within }
func (a Apply) within() time.Duration      { return a.Within }
func (f Flows) within() time.Duration      { return f.Within }
func (c Counters) within() time.Duration   { return c.Within }
func (Mark) within() time.Duration         { return defaultWithin }
func (t Trace) within() time.Duration      { return t.Within }

// within of these ends the waiting, which is not a failure of its own.
func (e Expect) within() time.Duration { return e.Within + 10*time.Second }
func (q Quiet) within() time.Duration  { return q.Within + quietTime + settleTime }

func (p Ping) run(ctx context.Context, r *run) error { return r.measured(r.lab.Ping(ctx, p)) }
func (t TCP) run(ctx context.Context, r *run) error  { return r.measured(r.lab.TCP(ctx, t)) }
func (h HTTP) run(ctx context.Context, r *run) error { return r.measured(r.lab.HTTP(ctx, h)) }

func (t Traceroute) run(ctx context.Context, r *run) error { return r.lab.Traceroute(ctx, t) }
func (u UDP) run(ctx context.Context, r *run) error        { return r.lab.UDP(ctx, u) }
func (r Raw) run(ctx context.Context, on *run) error       { return on.lab.Raw(ctx, r) }
func (s Sweep) run(ctx context.Context, r *run) error      { return r.lab.Sweep(ctx, s) }
func (b Bind) run(ctx context.Context, r *run) error       { return r.lab.Bind(ctx, b) }
func (l Link) run(ctx context.Context, r *run) error       { return r.lab.Link(ctx, l) }
func (a Apply) run(ctx context.Context, r *run) error      { return r.lab.Apply(ctx, a) }
func (Mark) run(ctx context.Context, r *run) error         { return r.mark(ctx) }

func (e Expect) run(ctx context.Context, r *run) error {
	waiting, cancel := context.WithTimeout(ctx, e.Within)
	defer cancel()
	if e.Absent {
		var seen Pattern
		err := r.lab.Received(waiting, e.Host, func(frame []byte) bool {
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
		err := r.lab.Received(waiting, e.Host, pattern.Matches)
		if err != nil {
			return fmt.Errorf("%w: %s received no frame like %s: %w", ErrUnexpected, e.Host, pattern, err)
		}
	}
	return nil
}

func (g Forge) run(ctx context.Context, r *run) error {
	vteps, key := g.VTEPs, g.Key
	var err error
	if g.Edge != "" {
		if vteps, err = r.lab.VTEPs(g.Edge); err != nil {
			return err
		}
	}
	if g.Victim != "" {
		if key, err = r.lab.VPortID(r.vport(g.Victim)); err != nil {
			return err
		}
	}
	for _, vtep := range vteps {
		if err := r.lab.Forge(ctx, g, vtep, key); err != nil {
			return err
		}
	}
	return nil
}

// vport is the vport of a host, or the one so named.
func (r *run) vport(name string) string {
	for _, h := range r.scenario.Hosts {
		if h.Name == name {
			return h.VPort
		}
	}
	return name
}

func (q Quiet) run(ctx context.Context, r *run) error {
	if _, err := r.quiesce(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(q.Within)
	defer timer.Stop()
	for {
		for _, name := range q.Hosts {
			now, err := r.lab.Counter(ctx, name, framesReceived)
			if err != nil {
				return err
			}
			if n := now - r.begun[counter{name, framesReceived}]; n > 0 {
				return fmt.Errorf("%w: %s received %d frames since the leg began, want none", ErrUnexpected, name, n)
			}
		}
		if timer == nil {
			return nil
		}
		select {
		case <-timer.C:
			timer = nil // one look more, after the time
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (f Flows) run(ctx context.Context, r *run) error {
	return poll(ctx, func() (bool, string, error) {
		flows, err := r.lab.Flows(ctx, f.Edge)
		if err != nil {
			return false, "", err
		}
		n, packets := 0, uint64(0)
		for _, one := range flows {
			if f.matches(one) {
				n++
				packets += one.Packets
			}
		}
		ok := n >= f.Min && (f.Max < 0 || n <= f.Max) && packets >= f.Packets
		if ok {
			return true, "", nil
		}
		return false, fmt.Sprintf("%d of %d flows match, with %d packets%s", n, len(flows), packets, listed(flows)), nil
	})
}

// mostListed bounds the flows that an error shows.
const mostListed = 20

// listed are the first flows, a line each.
func listed(flows []Flow) string {
	var lines strings.Builder
	for i, one := range flows {
		if i == mostListed {
			fmt.Fprintf(&lines, "\n  … and %d more", len(flows)-i)
			break
		}
		fmt.Fprintf(&lines, "\n  %s, %d packets", one, one.Packets)
	}
	return lines.String()
}

// matches tells whether a flow is one of those that the step counts.
func (f Flows) matches(flow Flow) bool {
	rest := flow.String()
	for part := range strings.SplitSeq(f.Like, "*") {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			return false
		}
		rest = after
	}
	return f.Fields == nil || slices.Equal(slices.Sorted(slices.Values(f.Fields)), flow.fields())
}

// fields are the sorted names of the fields of a flow's match; none of "*".
func (f Flow) fields() []string {
	var all []string
	for word := range strings.FieldsSeq(f.Match) {
		if name, _, ok := strings.Cut(word, "="); ok {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// String is match and action in one line.
func (f Flow) String() string { return f.Match + " -> " + f.Action }

func (c Counters) run(ctx context.Context, r *run) error {
	return poll(ctx, func() (bool, string, error) {
		got, err := r.lab.Counter(ctx, c.Of, c.Name)
		if c.Growth {
			grown := got - r.marked[counter{c.Of, c.Name}]
			return c.Op.Holds(grown, c.Value), fmt.Sprintf("%s grew by %d", c.Name, grown), err
		}
		return c.Op.Holds(got, c.Value), fmt.Sprintf("%s is %d", c.Name, got), err
	})
}

func (t Trace) run(ctx context.Context, r *run) error {
	families := []Family{t.Family}
	if t.Family == Both && t.To.Host != "" {
		families = []Family{IPv4, IPv6}
	}
	for _, family := range families {
		to := t.To.Addr
		if t.To.Host != "" {
			var err error
			if to, err = r.lab.Address(t.To.Host, family); err != nil {
				return err
			}
		}
		lines, err := t.follow(ctx, r, to)
		if !t.Silent {
			r.lines = append(r.lines, lines...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// follow traces until the trace contains the text.
func (t Trace) follow(ctx context.Context, r *run, to netip.Addr) (lines []string, err error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if lines, err = r.lab.Trace(ctx, append([]string{"--vport", r.vport(t.VPort), "--dst", to.String()}, t.Flags...)); err != nil {
			return nil, err
		}
		text := strings.Join(lines, "\n")
		if strings.Contains(text, t.Like) {
			return lines, nil
		}
		select {
		case <-ctx.Done():
			return lines, fmt.Errorf("%w: the trace does not contain %q:\n%s", ErrUnexpected, t.Like, text)
		case <-tick.C:
		}
	}
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
	if len(o.By) > 0 && !slices.Contains(o.By, icmpErr.From) {
		return fmt.Errorf("%w: %w, want it from %s", ErrUnexpected, err, addresses(o.By))
	}
	if slices.Contains(o.Errors, icmpErr.Kind) {
		return nil
	}
	return fmt.Errorf("%w: %w, want %s", ErrUnexpected, err, text)
}

func addresses(all []netip.Addr) string {
	texts := make([]string, len(all))
	for i, addr := range all {
		texts[i] = addr.String()
	}
	return strings.Join(texts, " or ")
}

// poll looks until what it sees is right, or ctx is done.
func poll(ctx context.Context, look func() (ok bool, seen string, err error)) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	last := ""
	for {
		ok, seen, err := look()
		end, limited := ctx.Deadline()
		if over := ctx.Err() != nil || limited && time.Until(end) < pollInterval; err != nil && over && last != "" {
			ok, seen, err = false, last, nil // the time was over during this look, which saw nothing: a connection may be told before ctx is
			<-ctx.Done()
		}
		if err != nil || ok {
			return err
		}
		last = seen
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) { // else the step says how long it waits
				return fmt.Errorf("%w: %w: at the end, %s", ErrUnexpected, cause, seen)
			}
			return fmt.Errorf("%w: at the end, %s", ErrUnexpected, seen)
		}
	}
}
