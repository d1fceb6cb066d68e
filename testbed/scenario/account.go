package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	settleTime = 20 * time.Second // that a leg waits at most, at its end, for frames that are under way
	quietTime  = 5 * time.Second  // that it waits at most, at its beginning, for traffic to end that need not
)

// settleInterval is between two readings of the accounts.
const settleInterval = 25 * time.Millisecond

// accounted does the steps of a leg and checks that every frame that hosts sent is accounted for.
func (r *run) accounted(ctx context.Context) (LegResult, error) {
	begin := time.Now()
	result := LegResult{Name: r.leg.runName(r.family), Text: r.leg.Text, Family: r.family}
	before, err := r.quiesce(ctx)
	if err == nil {
		err = r.begin(ctx)
	}
	if err != nil {
		err = r.failed(r.leg.step(), err)
	} else {
		err = r.steps(ctx)
		after, unsettled := r.settle(ctx, before)
		result.count(before, after)
		if err == nil && unsettled != nil {
			err = r.failed(r.leg.step(), unsettled)
		}
	}
	result.FirstPacketUS, result.RTTUS = microseconds(r.first), microseconds(median(r.later))
	result.Trace = r.trace
	if share := result.FastShare(); err == nil && share < r.leg.Fast {
		err = r.failed(r.leg.step(), fmt.Errorf("%w: %d of %d packets were on the fast path, a share of %.3f, want at least %.3f",
			ErrUnexpected, result.FastPath, result.Packets, share, r.leg.Fast))
	}
	result.TookMS = microseconds(time.Since(begin)) / 1e3
	if result.OK = err == nil; err != nil {
		result.Error = err.Error()
	}
	return result, err
}

// step is the leg's own line, for errors that are of no single step.
func (l Leg) step() Step { return Step{Line: l.Line, Text: "leg " + l.Name} }

// quiesce waits until two readings are equal: what earlier steps sent has arrived. Traffic that does not end is left alone after quietTime.
func (r *run) quiesce(ctx context.Context) ([]Accounts, error) {
	accounts, err := r.steady(ctx, quietTime, func([]Accounts) bool { return true })
	if errors.Is(err, errUnsteady) {
		err = nil
	}
	return accounts, err
}

// settle waits until nothing is under way and every frame since before is accounted for.
func (r *run) settle(ctx context.Context, before []Accounts) ([]Accounts, error) {
	var c LegResult
	after, err := r.steady(ctx, settleTime, func(now []Accounts) bool {
		c.count(before, now)
		return c.Packets == c.FastPath+c.Upcalls+c.Drops
	})
	if after == nil {
		after = before // there was no reading: nothing is known to have happened
	}
	if errors.Is(err, errUnsteady) {
		after = dropped(before, after)
		if c.count(before, after); c.Packets == c.FastPath+c.Upcalls+c.Drops {
			return after, nil
		}
		err = fmt.Errorf("%w: packets %d = fast path %d + upcalls %d + drops %d does not hold (%+d) after %v%s",
			ErrUnexpected, c.Packets, c.FastPath, c.Upcalls, c.Drops, int64(c.FastPath+c.Upcalls+c.Drops-c.Packets), settleTime, gaps(before, after))
	}
	return after, err
}

// dropped adds to the drops what lossy targets have punted and the agent never got.
func dropped(before, after []Accounts) []Accounts {
	after = slices.Clone(after)
	for i := range after {
		a, b := &after[i], &before[i]
		if punts, came := a.Punts-b.Punts, a.Upcalls+a.PuntDrops-b.Upcalls-b.PuntDrops; a.Lossy && punts > came {
			a.PuntDrops += punts - came
		}
	}
	return after
}

// gaps tells, a line each, where frames are missing between two readings, or are there too often.
func gaps(before, after []Accounts) string {
	var lines strings.Builder
	for i, a := range after {
		b := before[i]
		sent, fast, punts, drops := a.HostFrames-b.HostFrames, a.FastPath-b.FastPath, a.Punts-b.Punts, a.Drops-b.Drops
		if sent != fast+punts+drops {
			fmt.Fprintf(&lines, "\nedge %s: between its access ports and its target: hosts sent %d, the target has fast path %d + punts %d + drops %d", a.Edge, sent, fast, punts, drops)
		}
		upcalls, lost := a.Upcalls-b.Upcalls, a.PuntDrops-b.PuntDrops
		if punts != upcalls+lost {
			fmt.Fprintf(&lines, "\nedge %s: between its target and its agent: punts %d, the agent has upcalls %d + drops %d", a.Edge, punts, upcalls, lost)
		}
	}
	return lines.String()
}

var errUnsteady = errors.New("still changing")

// steady reads the accounts until two readings in a row are equal and right, at most for so long. It returns the last reading in any case.
func (r *run) steady(ctx context.Context, patience time.Duration, right func([]Accounts) bool) ([]Accounts, error) {
	ticker := time.NewTicker(settleInterval)
	defer ticker.Stop()
	deadline := time.Now().Add(patience)
	last, err := r.accounts(ctx)
	for err == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return last, context.Cause(ctx)
		}
		var next []Accounts
		if next, err = r.accounts(ctx); err != nil {
			break
		}
		switch {
		case slices.Equal(next, last) && right(next):
			return next, nil
		case time.Now().After(deadline):
			return next, errUnsteady
		}
		last = next
	}
	return last, err
}

// written waits until the targets have acknowledged all that the agents sent them.
func (r *run) written(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return poll(ctx, func() (bool, string, error) {
		all, err := r.lab.Account(ctx)
		for _, a := range all {
			if a.Unanswered > 0 {
				return false, fmt.Sprintf("the target of edge %s has not acknowledged %d submissions", a.Edge, a.Unanswered), err
			}
		}
		return true, "", err
	})
}

// withEntries has a transfer wait, behind its first piece, until the targets have what was decided about it: how much of a transfer goes by the agents is then no matter
// of how fast they are.
func (r *run) withEntries(op Op) Op {
	pieces := 0
	entries := func(ctx context.Context, moved int64) error {
		if moved == 0 {
			pieces = 0
		}
		if pieces++; pieces > 2 {
			return nil
		}
		return r.written(ctx)
	}
	switch one := op.(type) {
	case TCP:
		one.Entries = entries
		return one
	case HTTP:
		one.Entries = entries
		return one
	}
	return op
}

// accounts is one reading.
func (r *run) accounts(ctx context.Context) ([]Accounts, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return r.lab.Account(ctx)
}
