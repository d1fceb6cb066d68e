package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestMailboxCallEnds: when the caller's context ends, what is called either has been called or never will be: callers go on with what it writes.
func TestMailboxCallEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMailbox()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		called := false
		if err := m.call(ctx, func() { called = true }); !errors.Is(err, context.Canceled) {
			t.Errorf("call: %v", err)
		}
		if m.deliver(); called {
			t.Error("called though the caller has gone on")
		}

		ctx, cancel = context.WithCancel(t.Context())
		begun, goOn, returned := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() { returned <- m.call(ctx, func() { close(begun); <-goOn; called = true }) }()
		synctest.Wait()
		go m.deliver()
		<-begun
		cancel()
		synctest.Wait()
		select {
		case err := <-returned:
			t.Fatalf("the caller goes on while it is called: %v", err)
		default:
		}
		close(goOn)
		if err := <-returned; err != nil || !called {
			t.Errorf("called: %v, %v", called, err)
		}
	})
}
