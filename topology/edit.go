package topology

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// edit makes the next snapshot. First objects are put and removed and references resolved, then the devices touched are derived anew.
type edit struct {
	s       *Snapshot
	before  *Snapshot
	vports  tableEdit[VPort]
	bridges tableEdit[Bridge]
	routers tableEdit[Router]
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
	switch spec := o.Spec.(type) {
	case *FabricSpec:
		e.s.fabRef = o.Ref()
		e.setFabric(fabric{mtu: spec.MTU, overV4: spec.EncapFamily == "v4"})
	case *BridgeSpec:
		e.putBridge(o, spec)
	case *RouterSpec:
		e.putRouter(o, spec)
	case *VPortSpec:
		old := e.s.VPort(flow.VPortID(o.Status.ID))
		if old != nil && old.ref == o.Ref() && reflect.DeepEqual(old.spec, spec) && reflect.DeepEqual(old.far, farEnd(o.Status.Peer)) {
			return
		}
		e.putVPort(newVPort(o, spec, e.s.fabric))
		e.names.set(o.Ref(), o.Status.ID)
	case *BindingSpec:
		e.putBinding(o.Ref(), bound{o.VPortRef(spec.VPort), *spec})
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
	b.DropUnknown = spec.UnknownUnicast == "drop"
	e.bridges.set(o.Status.ID, &b)
	e.names.set(o.Ref(), o.Status.ID)
	if old == nil || old.DropUnknown != b.DropUnknown {
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
	var ref Ref
	var ports []flow.VPortID
	if b := e.s.Bridge(id); b != nil {
		ref, ports = b.ref, b.Ports
		e.groups[id] = struct{}{}
		e.bridges.set(uint32(id), nil)
	}
	if r := e.s.Router(id); r != nil {
		ref, ports = r.ref, r.Ports
		e.routers.set(uint32(id), nil)
	}
	if e.s.learned.get(uint32(id)) != nil {
		learned := tableEdit[learned]{target: &e.s.learned}
		learned.set(uint32(id), nil)
	}
	if ref == (Ref{}) {
		return
	}
	e.names.remove(ref)
	e.note(DeviceDep(id))
	delete(e.dirty, id)
	neigh := tableEdit[neighbours]{target: &e.s.neigh}
	for _, p := range ports {
		v := e.s.VPort(p)
		e.vports.set(uint32(p), nil)
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

// rebuild derives what a device has of its ports and its spec.
func (e *edit) rebuild(id DeviceID) {
	if b := e.s.Bridge(id); b != nil {
		e.rebuildBridge(b)
	}
	if r := e.s.Router(id); r != nil {
		e.rebuildRouter(r)
	}
}

func (e *edit) rebuildBridge(old *Bridge) {
	b := *old
	b.macs, b.neigh, b.Subnets = map[macKey]flow.VPortID{}, map[netip.Addr]packet.MAC{}, nil
	for _, id := range b.Ports {
		port, host := e.s.VPort(id), e.s.VPort(id)
		if !port.Exterior {
			host = e.s.far(port)
			if host == nil || host.Kind != DeviceRouter {
				continue
			}
			b.neigh[host.LinkLocal] = host.MAC
			for _, a := range host.Addrs {
				b.Subnets = append(b.Subnets, a.Masked())
			}
		}
		if host.MAC.IsZero() {
			continue
		}
		b.macs[macKey(host.MAC.Uint64())] = id
		for _, a := range host.Addrs {
			b.neigh[a.Addr()] = host.MAC
		}
	}
	for _, m := range b.spec.MACs {
		if port, ok := e.ownPort(b.ref, b.ID, m.Port); ok {
			b.macs[macKey(m.MAC.Uint64())] = port
		}
	}
	for _, n := range b.spec.Neighbours {
		b.neigh[n.IP] = n.MAC
	}
	was := e.before.Bridge(b.ID)
	if was == nil {
		was = new(Bridge)
	}
	diffMaps(was.macs, b.macs, func(m macKey) { e.note(FDBDep(b.ID, packet.MACFromUint64(uint64(m)))) })
	diffMaps(was.neigh, b.neigh, func(a netip.Addr) { e.note(BridgeNeighbourDep(b.ID, a)) })
	if !slices.Equal(was.Subnets, b.Subnets) {
		e.note(DeviceDep(b.ID))
	}
	e.bridges.set(uint32(b.ID), &b)
}

// ownPort returns the port of a device that a field of its spec names.
func (e *edit) ownPort(device Ref, id DeviceID, name string) (flow.VPortID, bool) {
	o := Object{Metadata: Metadata{Tenant: device.Tenant}}
	port, ok := e.s.names.get(o.VPortRef(name))
	p := e.s.VPort(flow.VPortID(port))
	return flow.VPortID(port), ok && p != nil && p.Device == id
}

func diffMaps[K, V comparable](a, b map[K]V, changed func(K)) {
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			changed(k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			changed(k)
		}
	}
}

func (e *edit) rebuildRouter(old *Router) {
	r := *old
	r.static = builtinRoutes()
	for _, id := range r.Ports {
		if p := e.s.VPort(id); p != nil {
			r.static = append(r.static, portRoutes(p)...)
		}
	}
	for i := range r.spec.Routes {
		if route, ok := e.staticRoute(&r, &r.spec.Routes[i]); ok {
			r.static = append(r.static, route)
		}
	}
	slices.SortFunc(r.static, compareStatic)
	r.static = slices.Compact(r.static)
	var add, del []Route
	i, j := 0, 0
	for i < len(old.static) || j < len(r.static) {
		switch {
		case j == len(r.static) || i < len(old.static) && compareStatic(old.static[i], r.static[j]) < 0:
			del = append(del, old.static[i])
			i++
		case i == len(old.static) || compareStatic(old.static[i], r.static[j]) > 0:
			add = append(add, r.static[j])
			j++
		default:
			i++
			j++
		}
	}
	r.Routes = old.Routes.With(add, del)
	e.routesChanged(r.ID, add, del)
	e.routers.set(uint32(r.ID), &r)
}

func (e *edit) staticRoute(r *Router, s *RouteSpec) (Route, bool) {
	route := Route{Dst: s.Dst.Masked(), Via: s.Via, Origin: OriginStatic, Weight: max(s.Weight, 1)}
	if s.Src.IsValid() && s.Src.Bits() > 0 {
		route.Src = s.Src.Masked()
	}
	switch s.Kind {
	case "reject":
		route.Kind = RouteReject
	case "blackhole":
		route.Kind = RouteBlackhole
	default:
		id, ok := e.ownPort(r.ref, r.ID, s.Port)
		if !ok {
			return Route{}, false
		}
		route.Port = id
	}
	return route, true
}

func (e *edit) routesChanged(id DeviceID, lists ...[]Route) {
	for _, l := range lists {
		for _, r := range l {
			a := flow.AddrOf(r.Dst.Addr())
			e.note(RouteDep(id, &a, r.Dst.Addr().Is6(), uint8(r.Dst.Bits())))
		}
	}
}

func compareStatic(a, b Route) int {
	prefix := func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	}
	return cmp.Or(prefix(a.Dst, b.Dst), prefix(a.Src, b.Src), compareRoutes(a, b))
}

// announceGroups notes the groups of all bridges that a changed bridge is or was linked to.
func (e *edit) announceGroups() {
	for id := range e.groups {
		e.note(GroupDep(id))
		for _, s := range []*Snapshot{e.before, e.s} {
			for _, d := range s.Domain(id) {
				e.note(GroupDep(d))
			}
		}
	}
}

func compareDeps(a, b Dep) int {
	v6 := func(d Dep) int {
		if d.V6 {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.A, b.A), cmp.Compare(v6(a), v6(b)), cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo), cmp.Compare(a.Bits, b.Bits))
}
