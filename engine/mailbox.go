package engine

import (
	"context"
	"sync"
	"sync/atomic"
)

// mailbox brings what other goroutines have to say to the agent's own, in order. Posting never blocks: the number of posts under way is bounded
// by those who post (the writer's queue, one watch, the effects under way).
type mailbox struct {
	wake chan struct{} // cap 1: there is something

	mu    sync.Mutex
	posts []func()
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// post has f called by the agent's goroutine.
func (m *mailbox) post(f func()) {
	m.mu.Lock()
	m.posts = append(m.posts, f)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// call has f called by the agent's goroutine, and returns when it was. If ctx ends first, f is not called any more: what f writes is the caller's again.
func (m *mailbox) call(ctx context.Context, f func()) error {
	var settled atomic.Bool // that f is called, or that it is not
	done := make(chan struct{})
	m.post(func() {
		if settled.CompareAndSwap(false, true) {
			f()
			close(done)
		}
	})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		if settled.CompareAndSwap(false, true) {
			return context.Cause(ctx)
		}
		<-done
		return nil
	}
}

// deliver calls what was posted.
func (m *mailbox) deliver() {
	m.mu.Lock()
	posts := m.posts
	m.posts = nil
	m.mu.Unlock()
	for _, f := range posts {
		f()
	}
}
