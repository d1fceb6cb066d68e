package bgp

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/weft-sdn/weft/state"
)

// leftovers are sessions that are no more, but whose routes the database did not remove in time: as long as their edge is live, all edges follow them. It is tried again until they are gone.
type leftovers struct {
	store interface {
		RemoveRIB(context.Context, state.RIBSource) error
	}
	log *slog.Logger

	mu      sync.Mutex
	sources map[state.RIBSource]struct{}
}

func (l *leftovers) add(source state.RIBSource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sources[source] = struct{}{}
}

// any reports whether there are some.
func (l *leftovers) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sources) > 0
}

// removeTime is for how long what is next waits for leftovers to be removed, or one session for its routes.
const removeTime = 2 * time.Second

// remove removes the routes of all but those that run again, whose tables went on with what was there.
func (l *leftovers) remove(ctx context.Context, runs func(state.RIBSource) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, removeTime)
	defer cancel()
	for source := range l.sources {
		if runs(source) {
			delete(l.sources, source)
		} else if err := l.store.RemoveRIB(ctx, source); err != nil {
			l.log.Warn("routes of a session that is no more are still stored; it is tried again", "session", source.Session, "err", err)
		} else {
			delete(l.sources, source)
		}
	}
}

// forget is for when the edge is not this process's any more: what is under its lease goes with that.
func (l *leftovers) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.sources)
}
