package gnmi

import (
	"errors"
	"io"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

// run serves a STREAM subscription. One goroutine beside it reads what the client sends: nothing but
// the end is expected.
//
// Values are compared with those sent last when there is time to send: a slow client gets fewer
// updates, never stale ones, and holds up nobody.
func (f *feed) run() error {
	ended := make(chan error, 1)
	go func() {
		_, err := f.stream.Recv()
		switch {
		case err == nil:
			err = invalidf("a STREAM subscription takes no further messages")
		case errors.Is(err, io.EOF):
			err = nil
		}
		ended <- err
	}()
	change := f.s.change() // before the first look, so that nothing is missed
	if err := f.start(); err != nil {
		return err
	}
	clock := newClock(f.subs)
	defer clock.stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-f.stream.Context().Done():
			return f.stream.Context().Err()
		case <-change:
			change = f.s.change()
			for i := range f.subs {
				if err := f.changes(&f.subs[i]); err != nil {
					return err
				}
			}
		case now := <-clock.timer.C:
			if err := f.due(clock, now); err != nil {
				return err
			}
		}
	}
}

// start sends the first values and remembers them.
func (f *feed) start() error {
	for i := range f.subs {
		leaves, _ := f.s.selected(f.subs[i].path)
		for _, l := range leaves {
			f.sent[l.text] = l.value
		}
	}
	return f.everything()
}

// changes sends what differs from what was sent.
func (f *feed) changes(sub *subscription) error {
	if sub.mode == gpb.SubscriptionMode_SAMPLE {
		return nil
	}
	var out []leaf
	leaves, _ := f.s.selected(sub.path)
	for _, l := range leaves {
		if was, there := f.sent[l.text]; l.kind != counterLeaf && (!there || was != l.value) {
			out = append(out, l)
			f.sent[l.text] = l.value
		}
	}
	return f.send(out)
}

// due sends the samples and heartbeats whose time has come.
func (f *feed) due(c *clock, now time.Time) error {
	for i := range f.subs {
		sub, t := &f.subs[i], &c.next[i]
		beat := !t.beat.IsZero() && !t.beat.After(now)
		sample := !t.sample.IsZero() && !t.sample.After(now)
		if !beat && !sample {
			continue
		}
		if err := f.resend(sub, sample, beat); err != nil {
			return err
		}
		if beat {
			t.beat = later(t.beat, sub.heartbeat, now)
		}
		if sample {
			t.sample = later(t.sample, sub.sample, now)
		}
	}
	c.arm(now)
	return nil
}

// resend sends a subscription's leaves: all on a heartbeat; else the sampled ones, without those that
// are as before if the client wants it so.
func (f *feed) resend(sub *subscription, sample, beat bool) error {
	var out []leaf
	leaves, _ := f.s.selected(sub.path)
	for _, l := range leaves {
		sampled := sub.mode == gpb.SubscriptionMode_SAMPLE || l.kind == counterLeaf
		if sampled && sample && !(sub.redundant && f.sent[l.text] == l.value) || beat {
			out = append(out, l)
			f.sent[l.text] = l.value
		}
	}
	return f.send(out)
}

// clock wakes a feed when a sample or heartbeat is due.
type clock struct {
	timer *time.Timer
	next  []times
}

// times are when a subscription is due; zero: never.
type times struct{ sample, beat time.Time }

func newClock(subs []subscription) *clock {
	now := time.Now()
	c := &clock{timer: time.NewTimer(time.Hour), next: make([]times, len(subs))}
	for i, sub := range subs {
		if sub.mode != gpb.SubscriptionMode_ON_CHANGE {
			c.next[i].sample = now.Add(sub.sample)
		}
		if sub.heartbeat > 0 {
			c.next[i].beat = now.Add(sub.heartbeat)
		}
	}
	c.arm(now)
	return c
}

// arm sets the timer for the earliest time.
func (c *clock) arm(now time.Time) {
	wait := time.Hour
	for _, t := range c.next {
		for _, x := range []time.Time{t.sample, t.beat} {
			if !x.IsZero() {
				wait = min(wait, x.Sub(now))
			}
		}
	}
	c.timer.Reset(max(wait, 0))
}

func (c *clock) stop() { c.timer.Stop() }

// later is the next time after now; what was missed is not made up for.
func later(t time.Time, interval time.Duration, now time.Time) time.Time {
	if t = t.Add(interval); t.After(now) {
		return t
	}
	return now.Add(interval)
}
