package topology

import (
	"net/netip"
	"reflect"
	"slices"

	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/flow"
)

func prefixes(list []AddrSpec) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, a := range list {
		out[i] = a.Prefix
	}
	return out
}

// putChain adds or replaces a chain.
func (e *edit) putChain(o *Object, spec *ChainSpec) {
	id := DeviceID(o.Status.ID)
	if old := e.s.Chain(id); old != nil && old.ref == o.Ref() && reflect.DeepEqual(old.spec, spec) {
		return
	}
	e.chains.set(o.Status.ID, &Chain{ID: id, Name: o.Metadata.Name, Tenant: o.Tenant(), ref: o.Ref(), spec: spec, uses: o.Status.Uses})
	e.names.set(o.Ref(), o.Status.ID)
	e.touch(id)
}

// putGroup adds or replaces a set, and touches the chains that name it.
func (e *edit) putGroup(o *Object) {
	old := e.s.sets.get(o.Status.ID)
	if old != nil && old.ref == o.Ref() && reflect.DeepEqual(old.spec, o.Spec) {
		return
	}
	g := &group{ref: o.Ref(), spec: o.Spec}
	switch spec := o.Spec.(type) {
	case *AddressGroupSpec:
		g.set = filter.NewAddrSet(prefixes(spec.Addresses)...)
		g.addrs = filter.AddrsOf(g.set)
	case *PortGroupSpec:
		ranges := make([]filter.Range, len(spec.Ports))
		for i, p := range spec.Ports {
			id := filter.V(uint64(o.Status.Uses[o.VPortRef(p).String()]))
			ranges[i] = filter.Range{Lo: id, Hi: id}
		}
		g.set = filter.NewSet(ranges...)
	}
	e.sets.set(o.Status.ID, g)
	e.names.set(o.Ref(), o.Status.ID)
	e.note(DeviceDep(DeviceID(o.Status.ID))) // of who asks what is globally unique
	e.touchUsers(DeviceID(o.Status.ID))
}

// touchUsers has the chains that name a group made ready anew.
func (e *edit) touchUsers(id DeviceID) {
	for c := range e.s.chains.all() {
		if slices.Contains(c.Used, id) {
			e.touch(c.ID)
		}
	}
}

// dropRules takes a chain or group out; false if the id is neither's.
func (e *edit) dropRules(id DeviceID) bool {
	switch {
	case e.s.Chain(id) != nil:
		e.chains.set(uint32(id), nil)
		delete(e.dirty, id)
		e.note(DeviceDep(id))
	case e.s.sets.get(uint32(id)) != nil:
		e.sets.set(uint32(id), nil)
		e.note(DeviceDep(id))
		e.touchUsers(id)
	case e.s.DHCP(id) != nil:
		e.dhcps.set(uint32(id), nil) // no flow relies on one
	case e.s.Pool(id) != nil:
		e.dropPool(e.s.Pool(id))
	default:
		return false
	}
	return true
}

// rebuildChain makes a chain ready; whoever met it depends on it.
func (e *edit) rebuildChain(old *Chain) {
	c := *old
	c.compile(&e.s.sets, &e.s.pools)
	e.chains.set(uint32(c.ID), &c)
	e.note(DeviceDep(c.ID))
}

// refilter notes that the chains of a device changed: all that comes through the device depends on one of its ports.
func (e *edit) refilter(ports []flow.VPortID, was, is Filters) {
	if was == is {
		return
	}
	for _, p := range ports {
		e.note(VPortDep(p))
	}
}
