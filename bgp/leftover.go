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

// remove removes the routes of all but those that begin again, whose tables go on with what is there.
func (l *leftovers) remove(ctx context.Context, edge string, wanted []Port) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range wanted {
		for _, spec := range w.Sessions {
			delete(l.sources, state.RIBSource{Router: w.Port.Device, Port: w.Port.ID, Edge: edge, Session: spec.Name})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, removeTime)
	defer cancel()
	for source := range l.sources {
		if err := l.store.RemoveRIB(ctx, source); err != nil {
			l.log.Warn("routes of a session that is no more are still stored; it is tried again", "session", source.Session, "err", err)
			continue
		}
		delete(l.sources, source)
	}
}

// forget is for when the edge is not this process's any more: what is under its lease goes with that.
func (l *leftovers) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.sources)
}
