package engine

import (
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// aging counts the flows that back each MAC learnt at a vport of this edge. One that none backs any more is forgotten after a while (B3), with the
// addresses that were learnt at it. A host that moved is learnt again where it speaks.
type aging struct {
	time    time.Duration
	entries map[learntMAC]*backed
	devices *devices // their bridges stay loaded until they are forgotten
}

type learntMAC struct {
	bridge topology.DeviceID
	mac    packet.MAC
}

type backed struct {
	flows int
	idle  time.Duration // since when flows is 0
}

func newAging(age time.Duration, d *devices) aging { return aging{age, map[learntMAC]*backed{}, d} }

func (a *aging) add(k learntMAC, idle time.Duration) *backed {
	e := &backed{idle: idle}
	a.entries[k] = e
	a.devices.keep(k.bridge)
	return e
}

// back counts a flow, by the bridges where its source was learnt.
func (a *aging) back(f *installedFlow, n int, now time.Duration) {
	source := f.placed.Key.SrcMAC
	for _, d := range f.relies.deps {
		if d.Kind() != topology.DepFDB || d.MAC() != source {
			continue
		}
		k := learntMAC{topology.DeviceID(d.A()), source}
		e := a.entries[k]
		if e == nil {
			e = a.add(k, now)
		}
		e.flows += n
		e.idle = now
	}
}

// observe takes note of a FDB entry that changed.
func (a *aging) observe(c *core, bridge topology.DeviceID, mac packet.MAC) {
	k := learntMAC{bridge, mac}
	if e := a.entries[k]; e != nil {
		e.idle = c.now()
		return
	}
	if _, ok := c.agesHere(k); ok {
		a.add(k, c.now())
	}
}

// agesHere returns where a MAC was learnt, if this edge may forget it: behind a vport that lives here, or behind a linked bridge, where every edge
// with flows from it watches.
func (c *core) agesHere(k learntMAC) (flow.VPortID, bool) {
	b := c.snap.Bridge(k.bridge)
	if b == nil || b.SeededMAC(k.mac) {
		return 0, false
	}
	port, ok := b.FDB(k.mac)
	if !ok {
		return 0, false
	}
	p := c.snap.VPort(port)
	return port, c.hosts(port) || p != nil && !p.Exterior
}

// hosts reports whether an exterior port lives here.
func (c *core) hosts(port flow.VPortID) bool {
	p, ok := c.view.places[port]
	return ok && p.edge == c.view.self.ID
}

// adopt takes note of what was learnt behind a vport before it came here.
func (c *core) adopt(id flow.VPortID) {
	p := c.snap.VPort(id)
	if p == nil || p.Kind != topology.DeviceBridge {
		return
	}
	b := c.snap.Bridge(p.Device)
	for mac := range b.LearntMACs(id) {
		c.aging.observe(c, b.ID, mac)
	}
}

// age forgets what nothing backs.
func (c *core) age(now time.Duration) {
	for k, e := range c.aging.entries {
		switch {
		case e.flows > 0:
			e.idle = now
		case now-e.idle >= c.aging.time:
			c.forget(k)
			delete(c.aging.entries, k)
			c.devices.drop(k.bridge)
		}
	}
}

// forget takes a MAC out of the database, if this edge may, and the addresses that were learnt at it. One that is on its way there at the moment is left (strays.go).
func (c *core) forget(k learntMAC) {
	port, here := c.agesHere(k)
	if !here {
		return
	}
	c.a.counts.aged.Add(1)
	b := c.snap.Bridge(k.bridge)
	addrs := b.LearntAddrs(k.mac)
	ctx, s := c.ctx, c.a.cfg.Store
	c.effects.wg.Go(func() {
		_, err := s.ForgetMAC(ctx, k.bridge, k.mac, port)
		for _, a := range addrs {
			if err == nil {
				_, err = s.ForgetBridgeNeighbour(ctx, k.bridge, a, k.mac)
			}
		}
		if err != nil && ctx.Err() == nil {
			c.a.cfg.Logger.Warn("learnt MAC is not forgotten", "bridge", b.Name, "mac", k.mac, "err", err)
			c.a.mail.post(func() { c.aging.observe(c, k.bridge, k.mac) })
		}
	})
}
