package engine

import (
	"maps"
	"strconv"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// world takes the database's next view.
//  1. the snapshot
//  2. places, groups, edges: the subjects of the fixed tables that changed are rebuilt
//  3. flows that relied on what changed are decided again
//  4. what waited for this goes on
//  5. once the target has it all, the revision is acknowledged
func (c *core) world(change state.Change) {
	v, before := change.View, c.snap
	c.snap = v.Topology
	c.a.snap.Store(c.snap)
	touched := map[subject]struct{}{}
	if change.All {
		c.everything(v, touched)
	} else {
		c.doubtAll(change.Deps, before)
		c.changed(v, change.Deps, touched)
	}
	edges := change.Moved
	if change.All {
		edges = c.allEdges(v)
	}
	c.conns.meet(v.Edges, edges)
	c.conns.told(change.Told)
	moved := c.meet(v.Known, edges, touched)
	c.speaking.tell()
	c.portLinks.flush()
	c.rebuild(touched)
	if len(moved) > 0 {
		c.routing(moved)
	}
	c.recheck(v.Conf)
	c.resume(change.Deps, change.All)
	c.settle()
}

// everything takes a view of which nothing is known to be as it was.
func (c *core) everything(v *state.View, touched map[subject]struct{}) {
	before := maps.Clone(c.view.places)
	clear(c.view.places)
	clear(c.view.strays)
	for b := range v.Bindings.All() {
		c.settleAt(b)
	}
	for id := range c.rules.of {
		if c.view.places[id] != before[id] {
			c.rules.leave(id)
		}
	}
	for f := range c.flows.all() {
		if id := f.ingress(); c.view.places[id] != before[id] {
			c.remove(f)
		}
	}
	for _, g := range c.flows.grounds.byHash {
		for ; g != nil; g = g.next {
			c.depend(g)
			for f := range g.all() {
				c.doubt(f)
			}
		}
	}
	clear(c.view.dhcp)
	clear(c.view.floods)
	clear(c.view.limits)
	clear(c.view.tags)
	for p := range c.snap.VPorts() {
		c.serveDHCP(p.ID)
		c.admit(p.ID)
		c.linkRates.limitTo(p.ID, touched)
		c.adverts.changed(p.ID)
		c.speaking.changed(p.ID)
		c.portLinks.check(p.ID)
	}
	c.linkRates.everything(touched)
	clear(c.view.groups)
	for b := range c.snap.Bridges() {
		c.members(b)
	}
	for p := range c.snap.Pools() {
		c.balance.changed(p.ID)
		c.monitors.changed(p.ID, touched)
	}
	c.gone(touched)
	maps.Copy(touched, c.layout.all(c.view))
	for id, p := range c.view.places {
		if p.edge == c.view.self.ID {
			c.adopt(id)
			if before[id] != p && c.begun {
				c.rules.arrive(id)
			}
		}
	}
}

// gone ends what is going on for ports and pools that are not there any more, of which a view of everything does not tell.
func (c *core) gone(touched map[subject]struct{}) {
	for id := range c.speaking.ports {
		if c.snap.VPort(id) == nil {
			c.speaking.changed(id)
		}
	}
	for id := range c.portLinks.owing {
		c.portLinks.check(id)
	}
	for id := range c.monitors.watches {
		if c.snap.Pool(id) == nil {
			c.monitors.changed(id, touched)
		}
	}
}

// changed finds the subjects that a change concerns.
func (c *core) changed(v *state.View, deps []topology.Dep, touched map[subject]struct{}) {
	for _, d := range deps {
		switch d.Kind() {
		case topology.DepBinding:
			c.bound(v, flow.VPortID(d.A()), touched)
		case topology.DepGroup, topology.DepDevice:
			c.regroup(topology.DeviceID(d.A()), touched)
			if d.Kind() == topology.DepDevice {
				c.balance.changed(topology.DeviceID(d.A()))
				c.monitors.changed(topology.DeviceID(d.A()), touched)
				c.speaking.poolChanged(topology.DeviceID(d.A()))
			}
		case topology.DepVPort:
			id := flow.VPortID(d.A())
			c.adverts.changed(id)
			c.portLinks.check(id)
			c.linkRates.limit(id, touched)
			if serves, admits, speaks := c.serveDHCP(id), c.admit(id), c.speaking.changed(id); serves || admits || speaks {
				touched[vportSubject(id)] = struct{}{}
			}
		case topology.DepDemand:
			c.linkRates.limitTo(flow.VPortID(d.A()), touched)
		case topology.DepFDB:
			c.aging.observe(c, topology.DeviceID(d.A()), d.MAC())
		}
	}
}

// bound: a vport was bound, moved or released.
func (c *core) bound(v *state.View, id flow.VPortID, touched map[subject]struct{}) {
	before, had := c.view.places[id]
	delete(c.view.places, id)
	delete(c.view.strays, id)
	if b, ok := v.Bindings.Get(id); ok {
		c.settleAt(b)
	}
	c.admit(id)
	c.speaking.changed(id)
	c.portLinks.check(id)
	after, has := c.view.places[id]
	touched[vportSubject(id)] = struct{}{}
	if p := c.snap.VPort(id); p != nil && p.Kind == topology.DeviceBridge {
		for _, d := range c.snap.Domain(p.Device) {
			touched[groupSubject(flow.Dest(d))] = struct{}{}
		}
	}
	here := c.view.self.ID
	if had && before.edge == here && (!has || after != before) {
		c.rules.leave(id)
		for _, f := range c.flows.from(id) {
			c.remove(f)
		}
	}
	if has && after.edge == here {
		c.adopt(id)
		if after != before && c.begun {
			c.rules.arrive(id)
		}
	}
}

// admit notes whose an exterior vport is, and what its device takes from it: how much, how many frames a second to all, and whether with tags. It reports whether that is new.
func (c *core) admit(id flow.VPortID) bool {
	bits := c.view.rates[id]
	had, rate := c.view.floods[id], c.snap.FloodRate(id)
	if rate > 0 {
		c.view.floods[id] = rate
	} else {
		delete(c.view.floods, id)
	}
	_, kept := c.view.tags[id]
	keeps := c.snap.KeepsTags(id)
	if keeps {
		c.view.tags[id] = struct{}{}
	} else {
		delete(c.view.tags, id)
	}
	of, tenant := c.view.tenants[id], uint32(0)
	delete(c.view.rates, id)
	if p := c.snap.VPort(id); p != nil && c.hosts(id) {
		tenant = c.tenant(p.Tenant)
		c.view.tenants[id] = tenant
		if p.Rate != 0 {
			c.view.rates[id] = p.Rate
		}
	} else {
		delete(c.view.tenants, id)
	}
	return c.view.rates[id] != bits || rate != had || keeps != kept || tenant != of
}

// tenant returns the number of a tenant, which is not 0 and stays.
func (c *core) tenant(name string) uint32 {
	n, ok := c.tenants[name]
	if !ok {
		n = uint32(len(c.tenants) + 1)
		c.tenants[name] = n
	}
	return n
}

// settleAt notes where a vport lives. One that is bound to an interface that this edge does not have lives nowhere.
func (c *core) settleAt(b state.Binding) {
	p := place{edge: b.Edge}
	if b.Edge == c.view.self.ID {
		port, ok := c.a.port(b.Interface)
		if !ok {
			c.view.strays[b.VPort] = b.Interface
			return
		}
		p.at = offload.Attachment{Port: port, VLAN: b.VLAN}
	}
	c.view.places[b.VPort] = p
}

// port finds the access port of an interface.
func (a *Agent) port(name string) (uint16, bool) {
	if n, ok := a.cfg.Interfaces[name]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(name, 10, 16)
	return uint16(n), err == nil && n < offload.FirstUnderlay
}

// regroup: the members of a flood domain changed.
func (c *core) regroup(id topology.DeviceID, touched map[subject]struct{}) {
	b := c.snap.Bridge(id)
	if b == nil {
		if _, was := c.view.groups[flow.Dest(id)]; !was {
			return // a router
		}
		delete(c.view.groups, flow.Dest(id))
	} else {
		c.members(b)
	}
	touched[groupSubject(flow.Dest(id))] = struct{}{}
}

// members notes the members of a flood domain. One that leads to what is not loaded is none: its frames would reach some members only, so they come up
// here and have the rest loaded.
func (c *core) members(b *topology.Bridge) {
	if len(c.snap.MissingGroup(b.Group())) > 0 {
		delete(c.view.groups, b.Group())
		return
	}
	c.view.groups[b.Group()] = c.snap.GroupMembers(b.Group())
}

// allEdges are those that a view has, or that the agent knows.
func (c *core) allEdges(v *state.View) map[string]struct{} {
	all := make(map[string]struct{}, v.Known.Len())
	for id := range v.Known.All() {
		all[id] = struct{}{}
	}
	for id := range c.view.edges {
		all[id] = struct{}{}
	}
	for id := range c.conns.runs {
		all[id] = struct{}{}
	}
	return all
}

// meet takes note of edges that are known, alive or not: the agent of one that is not may be restarting while its target forwards. It returns those of them that are new, or elsewhere, or
// gone.
func (c *core) meet(known state.EdgeMap[state.EdgeInfo], edges map[string]struct{}, touched map[subject]struct{}) map[string]struct{} {
	moved := map[string]struct{}{}
	for id := range edges {
		info, is := known.Get(id)
		was, had := c.view.edges[id]
		switch {
		case id == c.view.self.ID:
			continue
		case !is && had:
			delete(c.view.edges, id)
		case !is:
			continue
		default:
			next := edgeOf(&info)
			if had && was.equal(next) {
				continue
			}
			c.view.edges[id] = next
		}
		moved[id] = struct{}{}
		touched[peerSubject(id)] = struct{}{}
	}
	return moved
}
