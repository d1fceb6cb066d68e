package lab

import (
	"context"
	"errors"
)

// While runs the lab while fn does, which is called once the lab is ready. The context of fn ends when the lab does by itself. The error joins those of
// both; if ctx ends before the lab is ready, it is ctx's cause.
func (l *Lab) While(ctx context.Context, fn func(context.Context) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	above, endAbove := context.WithCancelCause(ctx)
	defer endAbove(nil)
	ended := make(chan error, 1)
	go func() {
		err := l.Run(running)
		if err != nil {
			endAbove(err)
		}
		ended <- err
	}()
	var err error
	select {
	case <-l.Ready():
		err = fn(above)
	case <-above.Done():
		err = context.Cause(above)
	}
	stop()
	failed := <-ended
	if failed != nil && errors.Is(err, failed) {
		err = nil
	}
	return errors.Join(failed, err)
}
