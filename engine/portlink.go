package engine

import (
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// portLinks tells all edges of the router ports here whose link is down (O2), so that no route leads through them, wherever packets come in. What the database is to say of a port that
// lives here follows from what is known of links now; it is written again until the view has it.
type portLinks struct {
	c     *core
	owing map[flow.VPortID]bool // of which the database says something else: whether they are down
	busy  bool
}

// linksAtOnce is how many are written in one go.
const linksAtOnce = 256

func newPortLinks(c *core) *portLinks { return &portLinks{c: c, owing: map[flow.VPortID]bool{}} }

// check compares what the database says of a port with what is known here.
func (l *portLinks) check(id flow.VPortID) {
	c := l.c
	p := c.snap.VPort(id)
	down := !c.plugged(id)
	if p == nil || !p.Exterior || p.Kind != topology.DeviceRouter || !c.hosts(id) || c.snap.LinkDown(id) == down {
		delete(l.owing, id)
		return
	}
	l.owing[id] = down
}

// flush writes what is owed: when it changes, and each second what was not stored.
func (l *portLinks) flush() {
	if l.busy || len(l.owing) == 0 {
		return
	}
	l.busy = true
	type link struct {
		port flow.VPortID
		down bool
	}
	var some []link
	for id, down := range l.owing {
		if some = append(some, link{id, down}); len(some) == linksAtOnce {
			break
		}
	}
	slices.SortFunc(some, func(a, b link) int { return int(a.port) - int(b.port) })
	ctx, c := l.c.ctx, l.c
	c.effects.wg.Go(func() {
		var failed error
		for _, x := range some {
			if err := c.a.cfg.Store.SetLink(ctx, x.port, c.a.cfg.Self.ID, x.down); err != nil {
				failed = err
			}
		}
		c.a.mail.post(func() {
			l.busy = false
			if failed != nil && ctx.Err() == nil {
				c.a.cfg.Logger.Debug("what links are down is not stored; tried again", "err", failed)
			}
		})
	})
}
