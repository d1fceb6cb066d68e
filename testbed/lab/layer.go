package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// stand runs parts, and above upon them: above ends before they do, so that what it takes leave of is still there. It returns when all have. A part that
// ends by itself ends above too. Errors that only say that a context was cancelled are none.
func stand(ctx context.Context, parts []part, above func(context.Context) error) error {
	upper, cancelUpper := context.WithCancelCause(ctx)
	defer cancelUpper(nil)
	lower, cancelLower := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelLower()
	var running sync.WaitGroup
	ended := make([]error, len(parts))
	for i, p := range parts {
		running.Go(func() {
			err := p.run(lower)
			switch {
			case err == nil && lower.Err() == nil:
				err = errors.New("ended by itself")
			case lower.Err() != nil && errors.Is(err, context.Canceled):
				err = nil
			}
			if err != nil {
				ended[i] = fmt.Errorf("%s: %w", p.name, err)
				cancelUpper(ended[i])
			}
		})
	}
	err := above(upper)
	cancelLower()
	running.Wait()
	if upper.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(upper))) {
		err = nil // the parts tell why
	}
	return errors.Join(append(ended, err)...)
}

// until waits for the end of ctx.
func until(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
