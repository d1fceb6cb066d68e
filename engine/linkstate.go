package engine

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weft-sdn/weft/flow"
)

// linkStates are the target's links that are down, as somebody who watches them tells (O2). An uplink that is down is no way to other edges; a port of a router whose link is down has
// no sessions. A link of which nothing is told is not down. Owned by decide, but for what is told.
//
// Who tells may be wrong: a fabric router that answers by an uplink that was told to be down shows that it is not. The link is used then until it is told to be up.
type linkStates struct {
	c     *core
	told  atomic.Pointer[map[uint16]struct{}] // by any goroutine
	wake  chan struct{}                       // cap 1: told is another
	since map[uint16]time.Duration            // of links that are told to be down
	wrong map[uint16]struct{}                 // of these, those whose router answers
}

// lateAnswers is how long answers that were on their way may still come in from a link that went down.
const lateAnswers = 2 * time.Second

func newLinkStates(c *core) *linkStates {
	return &linkStates{c: c, wake: make(chan struct{}, 1), since: map[uint16]time.Duration{}, wrong: map[uint16]struct{}{}}
}

// LinksDown tells which ports of the target have a link that is down; all others have not. What is told last holds. It does not wait.
func (a *Agent) LinksDown(ports []uint16) {
	l := a.core.links
	set := make(map[uint16]struct{}, len(ports))
	for _, p := range ports {
		set[p] = struct{}{}
	}
	l.told.Store(&set)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// follow takes what is told. It reports whether an uplink may be up again: its router is to be asked.
func (l *linkStates) follow() (again bool) {
	told, now := *l.told.Load(), l.c.now()
	for port := range l.since {
		if _, still := told[port]; !still {
			delete(l.since, port)
			delete(l.wrong, port)
			again = true
		}
	}
	for port := range told {
		if _, was := l.since[port]; !was {
			l.since[port] = now
		}
	}
	l.settle()
	return again
}

// heard is told that an uplink's router was heard.
func (l *linkStates) heard(port uint16) {
	since, down := l.since[port]
	if _, wrong := l.wrong[port]; !down || wrong || l.c.now()-since < lateAnswers {
		return
	}
	l.wrong[port] = struct{}{}
	l.c.a.counts.linksWrong.Add(1)
	l.c.a.cfg.Logger.Warn("a link is told to be down, and its router answers: it is used", "port", port)
	l.settle()
}

// settle brings what depends on links to what is known of them.
func (l *linkStates) settle() {
	v := l.c.view
	down := make(map[uint16]struct{}, len(l.since))
	for port := range l.since {
		if _, wrong := l.wrong[port]; !wrong {
			down[port] = struct{}{}
		}
	}
	if maps.Equal(v.down, down) {
		return
	}
	var changed []uint16
	for _, pair := range [][2]map[uint16]struct{}{{v.down, down}, {down, v.down}} {
		for port := range pair[0] {
			if _, both := pair[1][port]; !both {
				changed = append(changed, port)
			}
		}
	}
	v.down = down
	l.c.a.counts.linksDown.Store(uint64(len(down)))
	l.c.linksChanged(changed)
}

// linksChanged: some links went down, or came up.
func (c *core) linksChanged(ports []uint16) {
	if slices.ContainsFunc(c.view.links, func(u Uplink) bool { return slices.Contains(ports, u.Port) }) {
		c.moveWays()
	}
	touched := map[subject]struct{}{}
	for id, p := range c.view.places {
		if p.edge != c.view.self.ID || !slices.Contains(ports, p.at.Port) {
			continue
		}
		c.portLinks.check(id)
		if c.speaking.changed(id) {
			touched[vportSubject(id)] = struct{}{}
		}
	}
	c.portLinks.flush()
	c.speaking.tell()
	if len(touched) > 0 {
		c.rebuild(touched)
	}
	c.settle()
}

// isDown reports whether the link of a port is known to be down.
func (c *core) isDown(port uint16) bool {
	_, down := c.view.down[port]
	return down
}

// plugged reports whether the link of the interface that a vport here is bound to is not known to be down.
func (c *core) plugged(id flow.VPortID) bool { return !c.isDown(c.view.places[id].at.Port) }
