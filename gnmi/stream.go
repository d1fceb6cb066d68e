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
			err = Invalidf("a STREAM subscription takes no further messages")
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
	var next <-chan struct{} // the change to wait for after a rest
	var rest <-chan time.Time
	for {
		select {
		case err := <-ended:
			return err
		case <-f.stream.Context().Done():
			return f.stream.Context().Err()
		case <-change:
			change = f.s.change()
			if err := f.changes(); err != nil {
				return err
			}
			if pace := f.s.config.Pace; pace > 0 {
				next, change, rest = change, nil, time.After(pace)
			}
		case <-rest:
			change, next, rest = next, nil, nil
		case now := <-clock.timer.C:
			if err := f.due(clock, now); err != nil {
				return err
			}
		}
	}
}

// start sends the first values and remembers them.
func (f *feed) start() error {
	all, err := f.look()
	if err != nil {
		return err
	}
	for i := range f.subs {
		for _, l := range below(f.subs[i].path, all) {
			f.sent[l.text] = l
		}
	}
	return f.everything(all)
}

// changes sends what differs from what was sent, and what is gone.
func (f *feed) changes() error {
	all, err := f.look()
	if err != nil {
		return err
	}
	if err := f.gone(all); err != nil {
		return err
	}
	for i := range f.subs {
		sub := &f.subs[i]
		if sub.mode == gpb.SubscriptionMode_SAMPLE {
			continue
		}
		var out []Leaf
		for _, l := range below(sub.path, all) {
			if was, there := f.sent[l.text]; !there || l.Kind != CounterLeaf && was.Value != l.Value {
				out = append(out, l)
				f.sent[l.text] = l
			}
		}
		if err := f.send(out); err != nil {
			return err
		}
	}
	return nil
}

// gone deletes what was sent and is not there any more.
func (f *feed) gone(all []Leaf) error {
	there := make(map[string]struct{}, len(all))
	for i := range all {
		there[all[i].text] = struct{}{}
	}
	n := &gpb.Notification{Timestamp: f.s.config.Now().UnixNano(), Prefix: Echo(f.list.GetPrefix())}
	for text, l := range f.sent {
		if _, is := there[text]; !is {
			n.Delete = append(n.Delete, &gpb.Path{Elem: l.Path})
			delete(f.sent, text)
		}
	}
	if len(n.Delete) == 0 {
		return nil
	}
	return f.stream.Send(&gpb.SubscribeResponse{Response: &gpb.SubscribeResponse_Update{Update: n}})
}

// due sends the samples and heartbeats whose time has come.
func (f *feed) due(c *clock, now time.Time) error {
	all, err := f.look()
	if err != nil {
		return err
	}
	if err := f.gone(all); err != nil {
		return err
	}
	for i := range f.subs {
		sub, t := &f.subs[i], &c.next[i]
		beat := !t.beat.IsZero() && !t.beat.After(now)
		sample := !t.sample.IsZero() && !t.sample.After(now)
		if !beat && !sample {
			continue
		}
		if err := f.resend(sub, all, sample, beat); err != nil {
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
func (f *feed) resend(sub *subscription, all []Leaf, sample, beat bool) error {
	var out []Leaf
	for _, l := range below(sub.path, all) {
		sampled := sub.mode == gpb.SubscriptionMode_SAMPLE || l.Kind == CounterLeaf
		if sampled && sample && !(sub.redundant && f.sent[l.text].Value == l.Value) || beat {
			out = append(out, l)
			f.sent[l.text] = l
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
