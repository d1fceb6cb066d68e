package topology

import (
	"reflect"
	"slices"

	"github.com/weft-sdn/weft/flow"
)

// edit makes the next snapshot. First objects are put and removed and references resolved, then the devices touched are derived anew.
type edit struct {
	s       *Snapshot
	before  *Snapshot
	vports  tableEdit[VPort]
	bridges tableEdit[Bridge]
	routers tableEdit[Router]
	chains  tableEdit[Chain]
	sets    tableEdit[group]
	dhcps   tableEdit[DHCP]
	pools   tableEdit[Pool]
	names   shardEdit[Ref, uint32]
	bound   shardEdit[Ref, bound]
	owns    bool                  // s.pending is a copy
	dirty   map[DeviceID]struct{} // devices to derive
	groups  map[DeviceID]struct{} // bridges whose flood domain may have changed
	changed map[Dep]struct{}
}

func (e *edit) note(d Dep) { e.changed[d] = struct{}{} }

func (e *edit) touch(id DeviceID) {
	if id != 0 {
		e.dirty[id] = struct{}{}
	}
}

func (e *edit) setPending(id flow.VPortID, waits bool) {
	if _, has := e.s.pending[id]; has == waits {
		return
	}
	if !e.owns {
		p := make(map[flow.VPortID]struct{}, len(e.s.pending)+1)
		for k := range e.s.pending {
			p[k] = struct{}{}
		}
		e.s.pending, e.owns = p, true
	}
	if waits {
		e.s.pending[id] = struct{}{}
	} else {
		delete(e.s.pending, id)
	}
}

// put adds or replaces an object. One that is there already changes nothing.
func (e *edit) put(o *Object) {
	if o.Status.Expanded {
		e.remove(o.Ref())
		return
	}
	switch spec := o.Spec.(type) {
	case *FabricSpec:
		e.s.fabRef = o.Ref()
		e.setFabric(fabric{mtu: spec.MTU, overV4: spec.EncapFamily == "v4"})
	case *ChainSpec:
		e.putChain(o, spec)
	case *AddressGroupSpec, *PortGroupSpec:
		e.putGroup(o)
	case *PoolSpec:
		e.putPool(o, spec)
	case *BridgeSpec:
		e.putBridge(o, spec)
	case *RouterSpec:
		e.putRouter(o, spec)
	case *VPortSpec:
		old := e.s.VPort(flow.VPortID(o.Status.ID))
		if old != nil && old.ref == o.Ref() && reflect.DeepEqual(old.spec, spec) && reflect.DeepEqual(old.far, farEnd(o.Status.Peer)) && old.DHCP == dhcpIn(o, spec) && old.NotFrom == flow.VPortID(o.Status.NotFrom) {
			return
		}
		e.putVPort(newVPort(o, spec, e.s.fabric))
		e.names.set(o.Ref(), o.Status.ID)
	case *BindingSpec:
		e.putBinding(o.Ref(), bound{o.VPortRef(spec.VPort), *spec})
	case *DHCPSpec:
		e.putDHCP(o, spec)
	case *BGPSessionSpec:
		e.putBGP(o, spec)
	}
}

func (e *edit) putBridge(o *Object, spec *BridgeSpec) {
	b := Bridge{ID: DeviceID(o.Status.ID)}
	old := e.s.Bridge(b.ID)
	switch {
	case old == nil:
		e.groups[b.ID] = struct{}{}
		b.learned = e.s.learned.get(o.Status.ID)
	case old.ref == o.Ref() && reflect.DeepEqual(old.spec, spec):
		return
	default:
		b = *old
	}
	b.Name, b.Tenant, b.ref, b.spec = o.Metadata.Name, o.Tenant(), o.Ref(), spec
	b.DropUnknown, b.FloodRate, b.KeepTags = spec.UnknownUnicast == "drop", spec.FloodRate, spec.Tagged == "keep"
	if old != nil && (old.FloodRate != b.FloodRate || old.KeepTags != b.KeepTags) {
		for _, p := range b.Ports {
			e.note(BindingDep(p)) // of interest where the port lives; no flow relies on it
		}
	}
	b.Filters, b.Global = filtersIn(o), globalOf(o)
	if old != nil && old.Filters != b.Filters {
		e.refilter(b.Ports, old.Filters, b.Filters)
		e.groups[b.ID] = struct{}{}
	}
	e.bridges.set(o.Status.ID, &b)
	e.names.set(o.Ref(), o.Status.ID)
	if old == nil || old.DropUnknown != b.DropUnknown || old.Global != b.Global {
		e.note(DeviceDep(b.ID))
	}
	e.touch(b.ID)
}

func (e *edit) putRouter(o *Object, spec *RouterSpec) {
	r := Router{ID: DeviceID(o.Status.ID), Routes: new(LPM)}
	old := e.s.Router(r.ID)
	switch {
	case old == nil:
		e.note(DeviceDep(r.ID))
	case old.ref == o.Ref() && reflect.DeepEqual(old.spec, spec):
		return
	default:
		r = *old
	}
	r.Name, r.Tenant, r.ref, r.spec = o.Metadata.Name, o.Tenant(), o.Ref(), spec
	if spec.AggregateRoutes {
		r.Routes = r.Routes.Aggregated()
	} else {
		r.Routes = r.Routes.Whole()
	}
	r.Filters, r.Global = filtersIn(o), globalOf(o)
	if old != nil && old.Global != r.Global {
		e.note(DeviceDep(r.ID))
	}
	if old != nil {
		e.refilter(r.Ports, old.Filters, r.Filters)
	}
	e.routers.set(o.Status.ID, &r)
	e.names.set(o.Ref(), o.Status.ID)
	e.touch(r.ID)
}

func (e *edit) putBinding(r Ref, next bound) {
	was, ok := e.s.bound.get(r)
	if ok && was == next {
		return
	}
	if ok && was.vport != next.vport {
		e.noteBinding(was.vport)
	}
	e.bound.set(r, next)
	e.noteBinding(next.vport)
}

func (e *edit) noteBinding(vport Ref) {
	if id, ok := e.s.names.get(vport); ok {
		e.note(BindingDep(flow.VPortID(id)))
	}
}

func (e *edit) putVPort(p *VPort) {
	if old := e.s.VPort(p.ID); old != nil {
		if old.deviceRef == p.deviceRef && old.peerRef == p.peerRef {
			p.Device, p.Kind = old.Device, old.Kind
			if p.far == nil {
				p.Peer = old.Peer
			}
		} else {
			e.unlink(old)
		}
	}
	e.setVPort(p)
	if p.Device == 0 || !p.Exterior && p.Peer == 0 {
		e.setPending(p.ID, true)
	}
}

// setVPort stores a port and touches all that is derived from it.
func (e *edit) setVPort(p *VPort) {
	e.vports.set(uint32(p.ID), p)
	e.note(VPortDep(p.ID))
	e.touch(p.Device)
	if p.Kind == DeviceBridge {
		e.groups[p.Device] = struct{}{}
	}
	if q := e.s.VPort(p.Peer); q != nil {
		e.touch(q.Device)
	}
}

// unlink takes a port off its device and its peer.
func (e *edit) unlink(p *VPort) {
	if b := e.s.Bridge(p.Device); b != nil && p.Kind == DeviceBridge {
		next := *b
		next.Ports = removePort(b.Ports, p.ID)
		e.bridges.set(uint32(b.ID), &next)
		e.groups[b.ID] = struct{}{}
	}
	if r := e.s.Router(p.Device); r != nil && p.Kind == DeviceRouter {
		next := *r
		next.Ports = removePort(r.Ports, p.ID)
		e.routers.set(uint32(r.ID), &next)
	}
	e.touch(p.Device)
	if q := e.s.VPort(p.Peer); q != nil && q.Peer == p.ID {
		peer := *q
		peer.Peer = 0
		e.setVPort(&peer)
		e.setPending(q.ID, true)
	}
}

// remove deletes an object. Ports of a device that goes wait for another of its name.
func (e *edit) remove(ref Ref) {
	if ref.Kind == KindBinding {
		if v, ok := e.s.bound.get(ref); ok {
			e.noteBinding(v.vport)
			e.bound.remove(ref)
		}
		return
	}
	if ref.Kind == KindBGPSession {
		e.dropBGP(ref)
		return
	}
	if ref.Kind == KindFabric {
		if ref == e.s.fabRef {
			e.setFabric(fabric{})
		}
		return
	}
	id, ok := e.s.names.get(ref)
	if !ok {
		return
	}
	e.names.remove(ref)
	if e.dropRules(DeviceID(id)) {
		return
	}
	if ref.Kind == KindVPort {
		p := e.s.VPort(flow.VPortID(id))
		e.unlink(p)
		e.vports.set(id, nil)
		e.setPending(p.ID, false)
		e.note(VPortDep(p.ID))
		return
	}
	var ports []flow.VPortID
	if b := e.s.Bridge(DeviceID(id)); b != nil {
		ports = b.Ports
		e.bridges.set(id, nil)
		e.groups[b.ID] = struct{}{}
	}
	if r := e.s.Router(DeviceID(id)); r != nil {
		ports = r.Ports
		e.routers.set(id, nil)
		e.note(RouteDep(r.ID, new(flow.Addr), false, 0))
		e.note(RouteDep(r.ID, new(flow.Addr), true, 0))
	}
	e.note(DeviceDep(DeviceID(id)))
	delete(e.dirty, DeviceID(id))
	for _, p := range ports {
		v := *e.s.VPort(p)
		v.Device, v.Kind = 0, DeviceNone
		e.setVPort(&v)
		e.setPending(p, true)
	}
}

// forget takes a device out as not loaded: what is linked to it keeps its links.
func (e *edit) forget(id DeviceID) {
	ref, _ := e.s.Ref(id)
	if e.dropRules(id) {
		e.names.remove(ref)
		return
	}
	var ports []flow.VPortID
	if b := e.s.Bridge(id); b != nil {
		ports = b.Ports
		e.groups[id] = struct{}{}
		e.bridges.set(uint32(id), nil)
	}
	if r := e.s.Router(id); r != nil {
		ports = r.Ports
		e.routers.set(uint32(id), nil)
	}
	if e.s.learned.get(uint32(id)) != nil {
		learned := tableEdit[learned]{target: &e.s.learned}
		learned.set(uint32(id), nil)
	}
	if e.s.publics.get(uint32(id)) != nil {
		publics := tableEdit[publics]{target: &e.s.publics}
		publics.set(uint32(id), nil)
	}
	if ref == (Ref{}) {
		return
	}
	e.names.remove(ref)
	e.note(DeviceDep(id))
	delete(e.dirty, id)
	neigh := tableEdit[neighbours]{target: &e.s.neigh}
	down := shardEdit[flow.VPortID, struct{}]{target: &e.s.down}
	demands := shardEdit[flow.VPortID, map[string]BitRate]{target: &e.s.demands}
	for _, p := range ports {
		v := e.s.VPort(p)
		down.remove(p)
		demands.remove(p)
		e.vports.set(uint32(p), nil)
		e.forgetBGP(p)
		e.names.remove(v.ref)
		e.setPending(p, false)
		e.note(VPortDep(p))
		if e.s.neigh.get(uint32(p)) != nil {
			neigh.set(uint32(p), nil)
		}
		if q := e.s.VPort(v.Peer); q != nil {
			e.touch(q.Device)
		}
	}
}

func (e *edit) setFabric(f fabric) {
	if f == e.s.fabric {
		return
	}
	e.s.fabric = f
	for p := range e.s.vports.all() {
		if p.spec.MTU == 0 {
			next := *p
			next.MTU = f.vportMTU()
			e.vports.set(uint32(p.ID), &next)
			e.note(VPortDep(p.ID))
		}
	}
}

// resolve finds devices and peers of the ports that wait for them.
func (e *edit) resolve() {
	waiting := make([]flow.VPortID, 0, len(e.s.pending))
	for id := range e.s.pending {
		waiting = append(waiting, id)
	}
	slices.Sort(waiting)
	ports := map[DeviceID][]flow.VPortID{}
	for _, id := range waiting {
		p := *e.s.VPort(id)
		found := false
		if p.Device == 0 {
			if dev, ok := e.s.names.get(p.deviceRef); ok {
				found = true
				p.Device, p.Kind = DeviceID(dev), DeviceBridge
				if p.deviceRef.Kind == KindRouter {
					p.Kind = DeviceRouter
				}
				ports[p.Device] = append(ports[p.Device], id)
			}
		}
		if !p.Exterior && p.Peer == 0 {
			peer, _ := e.s.names.get(p.peerRef)
			if q := e.s.VPort(flow.VPortID(peer)); q != nil && q.peerRef == p.ref { // both ends say so
				found = true
				p.Peer = q.ID
			}
		}
		if found {
			e.setVPort(&p)
		}
		if p.Device != 0 && (p.Exterior || p.Peer != 0) {
			e.setPending(id, false)
		}
	}
	for dev, ids := range ports {
		e.attach(dev, ids)
	}
}

func (e *edit) attach(dev DeviceID, ids []flow.VPortID) {
	merge := func(old []flow.VPortID) []flow.VPortID {
		all := append(slices.Clone(old), ids...)
		slices.Sort(all)
		return slices.Compact(all)
	}
	if b := e.s.Bridge(dev); b != nil {
		next := *b
		next.Ports = merge(b.Ports)
		e.bridges.set(uint32(dev), &next)
	}
	if r := e.s.Router(dev); r != nil {
		next := *r
		next.Ports = merge(r.Ports)
		e.routers.set(uint32(dev), &next)
	}
}
