package engine

import (
	"slices"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// devices counts why devices are to stay loaded, whether the edge hosts them or not: flows that depend on them, packets that wait for them, MACs whose
// age is watched there (E7).
type devices struct {
	store   *state.Store
	reasons map[topology.DeviceID]int
	looked  map[flow.Dest]time.Duration // tunnel keys that were looked up: not again until then
}

func newDevices(s *state.Store) *devices {
	return &devices{s, map[topology.DeviceID]int{}, map[flow.Dest]time.Duration{}}
}

// keep adds a reason.
func (d *devices) keep(id topology.DeviceID) {
	if d.reasons[id]++; d.reasons[id] == 1 {
		d.store.Load(id)
	}
}

// drop takes one away. The store keeps what nobody needs for a while.
func (d *devices) drop(id topology.DeviceID) {
	if d.reasons[id]--; d.reasons[id] == 0 {
		delete(d.reasons, id)
		d.store.Release(id)
	}
}

// has reports whether a device is in the view.
func (c *core) has(id topology.DeviceID) bool {
	return c.snap.Has(id)
}

// depend keeps the devices that flows on a ground rely on.
func (c *core) depend(g *ground) {
	before := g.devices
	g.devices = nil
	keep := func(id topology.DeviceID) {
		if !slices.Contains(g.devices, id) {
			g.devices = append(g.devices, id)
			c.devices.keep(id)
		}
	}
	for _, d := range g.deps {
		id := topology.DeviceID(d.A())
		switch d.Kind() {
		case topology.DepVPort, topology.DepNeighbour, topology.DepBinding:
			p := c.snap.VPort(flow.VPortID(d.A()))
			if p == nil || p.Device == 0 {
				continue
			}
			id = p.Device
		}
		keep(id)
		if chain := c.snap.Chain(id); chain != nil {
			for _, used := range chain.Used {
				keep(used)
			}
		}
	}
	for _, id := range before {
		c.devices.drop(id)
	}
}

// undepend: no flow is on a ground any more.
func (c *core) undepend(g *ground) {
	for _, id := range g.devices {
		c.devices.drop(id)
	}
}

// load has a packet wait if its decision needs devices that are not loaded. It reports whether it does.
func (c *core) load(effects []sim.Effect, data []byte, ingress flow.VPortID, local uint16) bool {
	first := missing(effects)
	if first == 0 {
		return false
	}
	for _, e := range effects {
		if e.Kind == sim.Load && len(c.holds.wanted) < maxHeld {
			c.want(awaited{device: e.Device})
		}
	}
	c.hold(awaited{device: first}, data, ingress, local)
	return true
}

// unknownKey: a frame came by tunnel for a vport or group of which this edge knows nothing, since it moved from here or became a member late. Its
// device is loaded, and stays a while, for the sender's next packets (E10).
func (c *core) unknownKey(key flow.Dest) {
	c.a.counts.unknownKeys.Add(1)
	c.discarded(0, dropUnknownKey, 1)
	now := c.now()
	if until, ok := c.devices.looked[key]; ok && now < until || len(c.devices.looked) >= maxEffects {
		return
	}
	c.devices.looked[key] = now + refusedFor
	if c.snap.Bridge(topology.DeviceID(key)) != nil {
		for _, id := range c.snap.MissingGroup(key) {
			c.touch(id)
		}
		return
	}
	ctx := c.ctx
	c.effects.wg.Go(func() {
		id, err := c.a.cfg.Store.DeviceOf(ctx, key)
		c.a.mail.post(func() {
			switch {
			case err != nil:
				c.a.counts.effectFails.Add(1)
				delete(c.devices.looked, key)
			case id != 0:
				c.touch(id)
			}
		})
	})
}

// touch loads a device, for a while.
func (c *core) touch(id topology.DeviceID) {
	c.devices.keep(id)
	c.devices.drop(id)
}

// sweep forgets old questions.
func (d *devices) sweep(now time.Duration) {
	for key, until := range d.looked {
		if now >= until {
			delete(d.looked, key)
		}
	}
}
