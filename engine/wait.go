package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/weft-sdn/weft/state"
)

// Ready is closed once the agent is primary and the target holds what the view asked for.
func (a *Agent) Ready() <-chan struct{} { return a.session.Ready() }

// WaitApplied waits until the target has the configuration that the database has now.
func (a *Agent) WaitApplied(ctx context.Context) error {
	conf := a.cfg.Store.View().Conf
	return a.wait(ctx, func(c *core) string {
		if c.conf < conf {
			return fmt.Sprintf("the target has not acknowledged revision %d", conf)
		}
		return ""
	})
}

// WaitReachable waits until a way to every other edge that is alive is known, and the target has it.
func (a *Agent) WaitReachable(ctx context.Context) error {
	live := a.cfg.Store.View().Edges
	return a.wait(ctx, func(c *core) string { return c.unreached(live) })
}

// unreached names what is missing for these edges to be reached, "" if nothing is.
func (c *core) unreached(live state.EdgeMap[state.Edge]) string {
	for id := range live.All() {
		if _, known := c.view.edges[id]; !known && id != c.view.self.ID {
			return "edge " + id + " is not taken note of"
		}
	}
	switch {
	case len(c.astray) > 0:
		return "no gateway answers on the way to edge " + slices.Min(slices.Collect(maps.Keys(c.astray)))
	case c.routed >= c.low:
		return "the target has not acknowledged the ways to the other edges"
	}
	return ""
}

// wait waits until missing, called by the agent's goroutine, has nothing to name.
func (a *Agent) wait(ctx context.Context, missing func(*core) string) error {
	what := "the agent does not run"
	for {
		a.mu.Lock()
		progress := a.progress
		a.mu.Unlock()
		var lacks string
		if a.mail.call(ctx, func() { lacks = missing(a.core) }) == nil {
			if what = lacks; what == "" {
				return nil
			}
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("edge %s: %s: %w", a.cfg.Self.ID, what, context.Cause(ctx))
		}
	}
}

// tell wakes those who wait if the agent is further than before.
func (a *Agent) tell(r reached) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reached == r {
		return
	}
	a.reached = r
	close(a.progress)
	a.progress = make(chan struct{})
}
