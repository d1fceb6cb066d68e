package scenario

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/weft-sdn/weft/testbed/host"
)

// background is a started step.
type background struct {
	moving  chan struct{} // closed when the transfer is under way
	release chan struct{} // closed by finish: the last quarter may follow
	done    chan struct{} // closed when the step ended
	err     error         // valid when done
	holds   bool          // it cannot end before release
}

// start begins a step in the background and waits until it is under way, or failed already.
func (r *run) start(ctx context.Context, s Start) error {
	b := &background{moving: make(chan struct{}), release: make(chan struct{}), done: make(chan struct{})}
	op := s.Op
	switch one := op.(type) {
	case TCP:
		one.Pace, b.holds = b.pace(s.Rate, one.Bytes), true
		op = one
	case HTTP:
		one.Pace, b.holds = b.pace(s.Rate, one.Bytes), true
		op = one
	default:
		close(b.moving)
	}
	r.started[s.Name] = b
	go func() {
		defer close(b.done)
		timed, cancel := context.WithTimeout(ctx, op.within())
		defer cancel()
		b.err = op.run(timed, r)
	}()
	select {
	case <-b.moving:
		return nil
	case <-b.done:
		return b.early()
	}
}

// early is the error of a step that ended before finish.
func (b *background) early() error {
	if b.err != nil {
		return b.err
	}
	return fmt.Errorf("%w: it was over before finish, so that what happened meanwhile was not during it; have it take longer", ErrUnexpected)
}

// pace moves rate bytes a second and keeps the last quarter of n back until the release. It may be called by several transfers, one after the other.
func (b *background) pace(rate, n int64) host.Pace {
	var began sync.Once
	var moving sync.Once
	var begin time.Time
	return func(ctx context.Context, moved int64) error {
		began.Do(func() { begin = time.Now() })
		if moved > 0 {
			moving.Do(func() { close(b.moving) })
		}
		if moved >= n-n/4 {
			select {
			case <-b.release:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if rate == 0 {
			return nil
		}
		select {
		case <-b.release:
			return nil
		default:
		}
		timer := time.NewTimer(time.Until(begin.Add(time.Duration(float64(moved) / float64(rate) * float64(time.Second)))))
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-b.release:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (f Finish) run(ctx context.Context, r *run) error {
	b := r.started[f.Name]
	if b == nil {
		return nil // it is towards an address of the other family
	}
	select {
	case <-b.done:
		return b.early()
	default:
	}
	close(b.release)
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("%w: it did not end in time: %w", ErrUnexpected, context.Cause(ctx))
	}
}

func (f Finish) within() time.Duration { return f.Within }
func (s Start) within() time.Duration  { return s.Op.within() }

// run is not called: a run starts it in the background.
func (s Start) run(ctx context.Context, r *run) error { return r.start(ctx, s) }
