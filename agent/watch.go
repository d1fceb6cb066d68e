package agent

import (
	"maps"
	"slices"
	"sync"

	"github.com/weft-sdn/weft/telemetry"
)

// links passes on from a collector to an agent, which do not know each other, which links are down.
type links struct {
	tell func(down []uint16)
	mu   sync.Mutex
	down map[uint16]struct{}
}

// take takes the state of a link. One of which nothing is known is not down.
func (l *links) take(x telemetry.Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.down, x.Port); x.State == telemetry.Down {
		l.down[x.Port] = struct{}{}
	}
	l.tell(slices.Sorted(maps.Keys(l.down)))
}

// Watch has the agent follow what a collector tells of its target's links (O2); before Run.
func (s *Speaking) Watch(c telemetry.Config) {
	l := &links{tell: s.LinksDown, down: map[uint16]struct{}{}}
	c.OnLink = l.take
	s.collector = telemetry.New(c)
}

// Telemetry is what the edge's target tells of its interfaces; nil: nobody asks it.
func (s *Speaking) Telemetry() *telemetry.Collector { return s.collector }
