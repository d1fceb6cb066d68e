package engine

import (
	"context"
	"fmt"
	"slices"
)

// Ready is closed once the agent is primary and the target holds what the view asked for.
func (a *Agent) Ready() <-chan struct{} { return a.session.Ready() }

// WaitApplied waits until the target has the configuration that the database has now.
func (a *Agent) WaitApplied(ctx context.Context) error {
	conf := a.cfg.Store.View().Conf
	return a.wait(ctx, func(r reached) string {
		if r.applied < conf {
			return fmt.Sprintf("the target has not acknowledged revision %d", conf)
		}
		return ""
	})
}

// WaitReachable waits until a way to every other edge that is alive is known, and the target has it.
func (a *Agent) WaitReachable(ctx context.Context) error {
	live := a.cfg.Store.View().Edges
	return a.wait(ctx, func(r reached) string {
		for id := range live {
			if !slices.Contains(r.edges, id) && id != a.cfg.Self.ID {
				return "edge " + id + " is not taken note of"
			}
		}
		switch {
		case r.away != "":
			return "no gateway answers on the way to edge " + r.away
		case !r.routed:
			return "the target has not acknowledged the ways to the other edges"
		}
		return ""
	})
}

// wait waits until missing has nothing to name.
func (a *Agent) wait(ctx context.Context, missing func(reached) string) error {
	for {
		a.mu.Lock()
		what, progress := missing(a.reached), a.progress
		a.mu.Unlock()
		if what == "" {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("edge %s: %s: %w", a.cfg.Self.ID, what, context.Cause(ctx))
		}
	}
}

// tell publishes how far the agent is.
func (a *Agent) tell(r reached) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reached.applied == r.applied && a.reached.away == r.away && a.reached.routed == r.routed && slices.Equal(a.reached.edges, r.edges) {
		return
	}
	a.reached = r
	close(a.progress)
	a.progress = make(chan struct{})
}
