package topology

import (
	"maps"
	"reflect"
	"slices"

	"github.com/weft-sdn/weft/flow"
)

// putPool adds or replaces a pool. Chains that name it need to know only who its members are.
func (e *edit) putPool(o *Object, spec *PoolSpec) {
	id := DeviceID(o.Status.ID)
	old := e.s.Pool(id)
	if old != nil && old.ref == o.Ref() && reflect.DeepEqual(old.spec, spec) && maps.Equal(old.uses, o.Status.Uses) {
		return
	}
	fresh := newPool(o, spec)
	e.setPool(fresh)
	e.names.set(o.Ref(), o.Status.ID)
	if old == nil || !slices.Equal(old.addresses(), fresh.addresses()) {
		e.touchUsers(id)
	}
}

func (e *edit) setPool(p *Pool) {
	old := e.s.Pool(p.ID)
	e.pools.set(uint32(p.ID), p.with(e.s.health.get(uint32(p.ID))))
	e.note(DeviceDep(p.ID))
	e.probe(p.ID, old.source(), p.source())
}

// dropPool takes a pool out, with what its monitor said.
func (e *edit) dropPool(p *Pool) {
	e.pools.set(uint32(p.ID), nil)
	table := tableEdit[health]{target: &e.s.health}
	table.set(uint32(p.ID), nil)
	e.note(DeviceDep(p.ID))
	e.probe(p.ID, p.source(), 0)
	e.touchUsers(p.ID)
}

// source is the port that members are probed from, 0 if they are not.
func (p *Pool) source() flow.VPortID {
	if p == nil || p.Monitor == nil {
		return 0
	}
	return p.Monitor.Source
}

// probe keeps the pools by the ports that their members are probed from.
func (e *edit) probe(pool DeviceID, was, is flow.VPortID) {
	if was == is {
		return
	}
	next := maps.Clone(e.s.probed)
	if next == nil {
		next = map[flow.VPortID][]DeviceID{}
	}
	if was != 0 {
		next[was] = slices.DeleteFunc(slices.Clone(next[was]), func(id DeviceID) bool { return id == pool })
		e.note(VPortDep(was))
		if len(next[was]) == 0 {
			delete(next, was)
		}
	}
	if is != 0 {
		ids := append(slices.Clone(next[is]), pool)
		slices.Sort(ids)
		next[is] = ids
		e.note(VPortDep(is))
	}
	e.s.probed = next
}

// learnHealth takes what monitors say.
func (e *edit) learnHealth(c Changes) {
	fresh := map[DeviceID]*health{}
	of := func(id DeviceID) *health {
		h := fresh[id]
		if h == nil {
			h = &health{down: map[MemberKey]bool{}}
			if old := e.s.health.get(uint32(id)); old != nil {
				h.watcher, h.down = old.watcher, maps.Clone(old.down)
			}
			fresh[id] = h
		}
		return h
	}
	for _, m := range c.Health {
		if h := of(m.Pool); m.Down {
			h.down[m.Member] = true
		} else {
			delete(h.down, m.Member)
		}
	}
	for _, w := range c.Watchers {
		of(w.Pool).watcher = w.Edge
	}
	table := tableEdit[health]{target: &e.s.health}
	for id, h := range fresh {
		if len(h.down) == 0 && h.watcher == "" {
			h = nil
		}
		table.set(uint32(id), h)
		if p := e.s.Pool(id); p != nil {
			e.setPool(p)
		}
	}
}
