package engine

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/monitor"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// monitors are the pools whose members this edge probes (N4): those that it claimed. Every edge that has a pool loaded tries to, when nobody runs its
// monitor. The agent's own goroutine alone touches them.
//
//	pool without watcher → claim → probes each second's tick … → the view says that another edge is the watcher, or that the pool is gone: dropped
//
// An answer may come in at another edge. There it is consumed by the router (sim.ProbeAnswer), and sent to the watcher's edge by tunnel, with the pool's id as
// the key: pools have ids of the same space as vports, and a place. At the watcher's edge nothing has that id, so that its target hands the packet up.
type monitors struct {
	c        *core
	watches  map[topology.DeviceID]*watching
	claiming map[topology.DeviceID]struct{}
}

// watching is a monitor that this edge runs, for a pool: monitor.Output.
type watching struct {
	c      *core
	pool   topology.DeviceID
	watch  *monitor.Watch
	lease  state.MonitorLease
	source flow.VPortID
	router topology.DeviceID                   // kept loaded
	found  map[topology.MemberKey]state.Health // what is not stored yet
	busy   bool
	seen   bool // the view says that it is this edge's
}

func newMonitors(c *core) *monitors {
	return &monitors{c, map[topology.DeviceID]*watching{}, map[topology.DeviceID]struct{}{}}
}

// changed: a pool is another now, or gone, or has another watcher.
func (m *monitors) changed(id topology.DeviceID, touched map[subject]struct{}) {
	c, p := m.c, m.c.snap.Pool(id)
	self := c.view.self.ID
	before, had := c.view.places[flow.VPortID(id)]
	switch {
	case p == nil && !had && m.watches[id] == nil:
		return // not a pool
	case p != nil && p.Monitor != nil && p.Watcher != "" && p.Watcher != self:
		if at := (place{edge: p.Watcher}); !had || before != at {
			c.view.places[flow.VPortID(id)] = at
			touched[vportSubject(flow.VPortID(id))] = struct{}{}
		}
	case had && c.snap.VPort(flow.VPortID(id)) == nil:
		delete(c.view.places, flow.VPortID(id))
		touched[vportSubject(flow.VPortID(id))] = struct{}{}
	}
	w := m.watches[id]
	switch {
	case p == nil || p.Monitor == nil || w != nil && (w.source != p.Monitor.Source || w.seen && p.Watcher != self):
		m.drop(id)
	case w != nil:
		w.seen = w.seen || p.Watcher == self
	}
	if p != nil && p.Monitor != nil && p.Watcher == "" && m.watches[id] == nil {
		m.claim(p)
	}
}

// claim tries to become the watcher of a pool.
func (m *monitors) claim(p *topology.Pool) {
	c, id, source := m.c, p.ID, p.Monitor.Source
	port := c.snap.VPort(source)
	if _, busy := m.claiming[id]; busy || port == nil || port.Device == 0 || c.target.term != serving {
		return
	}
	m.claiming[id] = struct{}{}
	ctx, ttl, self := c.ctx, p.Monitor.Interval, c.view.self.ID
	c.effects.wg.Go(func() {
		lease, claimed, err := c.a.cfg.Store.ClaimMonitor(ctx, id, self, ttl)
		c.a.mail.post(func() {
			delete(m.claiming, id)
			if err != nil {
				c.a.counts.effectFails.Add(1)
			}
			if claimed && err == nil {
				m.begin(id, lease, source)
			}
		})
	})
}

// begin starts probing.
func (m *monitors) begin(id topology.DeviceID, lease state.MonitorLease, source flow.VPortID) {
	m.drop(id)
	w := &watching{c: m.c, pool: id, lease: lease, source: source, found: map[topology.MemberKey]state.Health{}}
	w.watch = monitor.New(w, rand.Uint64(), rand.Uint64())
	if p := m.c.snap.VPort(source); p != nil {
		w.router = p.Device
		m.c.devices.keep(w.router)
	}
	m.watches[id] = w
	m.c.devices.keep(id)
	w.tick()
}

// drop ends probing. The claim, if it is still this edge's, is given back.
func (m *monitors) drop(id topology.DeviceID) {
	w := m.watches[id]
	if w == nil {
		return
	}
	delete(m.watches, id)
	m.c.devices.drop(id)
	if w.router != 0 {
		m.c.devices.drop(w.router)
	}
	ctx := m.c.ctx
	m.c.effects.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, connTime)
		defer cancel()
		_ = m.c.a.cfg.Store.LeaveMonitor(ctx, id, w.lease) // it runs out by itself
	})
}

// sweep is called each second.
func (m *monitors) sweep() {
	for p := range m.c.snap.Pools() {
		w := m.watches[p.ID]
		switch {
		case p.Monitor == nil:
		case w != nil:
			w.tick()
		case p.Watcher == "":
			m.claim(p)
		}
	}
}

// tick probes what is due.
func (w *watching) tick() {
	c := w.c
	p, source := c.snap.Pool(w.pool), c.snap.VPort(w.source)
	if p == nil || p.Monitor == nil || source == nil || c.target.term != serving {
		return
	}
	w.watch.Tick(c.now(), p, source)
	w.store()
}

// Send implements monitor.Output.
func (w *watching) Send(frame []byte) {
	c := w.c
	c.sim.Probe(c.snap, w.source, frame, &c.asks)
	if d := missing(c.asks.Effects); d != 0 {
		c.touch(d) // the probe is sent again
		return
	}
	c.carryOut(c.asks.Effects, 0)
	c.originate(&c.asks, 0)
}

// Found implements monitor.Output.
func (w *watching) Found(m topology.MemberKey, down bool, why string) {
	w.found[m] = state.Health{Down: down, Why: why, Since: time.Now().UTC().Truncate(time.Second)}
	w.noteHealth(m, down, why)
	w.c.a.cfg.Logger.Info("member of a pool", "pool", w.pool, "member", m.String(), "down", down, "why", why)
}

// store stores what was found out, again until it is.
func (w *watching) store() {
	if w.busy || len(w.found) == 0 {
		return
	}
	w.busy = true
	found, ctx := w.found, w.c.ctx
	w.found = map[topology.MemberKey]state.Health{}
	w.c.effects.wg.Go(func() {
		for m, h := range found {
			if _, err := w.c.a.cfg.Store.SetHealth(ctx, w.pool, w.lease, m, h); err == nil {
				delete(found, m)
			}
		}
		w.c.a.mail.post(func() {
			w.busy = false
			for m, h := range found {
				w.c.a.counts.effectFails.Add(1)
				if _, newer := w.found[m]; !newer {
					w.found[m] = h
				}
			}
		})
	})
}

// answers sends a packet that may answer probes to the edges that sent them.
func (c *core) answers(effects []sim.Effect, f *packet.Frame) {
	for _, e := range effects {
		if e.Kind != sim.ProbeAnswer {
			continue
		}
		if !c.monitors.answer(flow.Dest(e.Device), f) {
			c.toDest(f.Data, flow.Dest(e.Device), 0, flow.Hash(f), 0)
		}
	}
}

// tunnelled takes what came by tunnel with the id of a pool as its key. It reports whether this edge runs that pool's monitor. f is for its use.
func (m *monitors) tunnelled(key flow.Dest, data []byte, f *packet.Frame) bool {
	if m.watches[topology.DeviceID(key)] == nil {
		return false
	}
	t, err := packet.ParseTunnel(data)
	if err != nil || t.Kind == packet.TunnelNone || packet.ParseUntagged(t.Inner, f) != nil {
		m.c.a.counts.malformed.Add(1)
		return true
	}
	return m.answer(key, f)
}

// answer takes a packet for the monitor of a pool. It reports whether this edge runs it.
func (m *monitors) answer(pool flow.Dest, f *packet.Frame) bool {
	w := m.watches[topology.DeviceID(pool)]
	if w == nil {
		return false
	}
	if p := m.c.snap.Pool(w.pool); p != nil && p.Monitor != nil {
		w.watch.Answer(p, f)
		w.store()
	}
	return true
}
