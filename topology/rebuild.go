package topology

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// rebuild derives what a device has of its ports and its spec.
func (e *edit) rebuild(id DeviceID) {
	if b := e.s.Bridge(id); b != nil {
		e.rebuildBridge(b)
	}
	if r := e.s.Router(id); r != nil {
		e.rebuildRouter(r)
	}
	if c := e.s.Chain(id); c != nil {
		e.rebuildChain(c)
	}
}

func (e *edit) rebuildBridge(old *Bridge) {
	b := *old
	b.macs, b.neigh, b.Subnets = map[macKey]flow.VPortID{}, map[netip.Addr]packet.MAC{}, nil
	for _, id := range b.Ports {
		port, host := e.s.VPort(id), e.s.VPort(id)
		if !port.Exterior {
			host = e.s.Far(port)
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
	r.static, r.hosts = builtinRoutes(), nil
	for _, id := range r.Ports {
		p := e.s.VPort(id)
		if p == nil {
			continue
		}
		r.static = append(r.static, portRoutes(p)...)
		if p.SingleHost() && r.hosts == nil {
			r.hosts = map[netip.Addr]flow.VPortID{}
		}
		for _, a := range p.Hosts {
			r.hosts[a] = id
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
	if r.Policies = e.rebuildPolicies(&r); r.policiesChanged(e.before.Router(r.ID)) {
		e.note(RouteDep(r.ID, new(flow.Addr), false, 0))
		e.note(RouteDep(r.ID, new(flow.Addr), true, 0))
	}
	e.routers.set(uint32(r.ID), &r)
	e.announce(r.ID)
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

// manyRoutes is how many routes of a router change at once before what changed is told by the first bits of their destinations.
const manyRoutes = 1 << 14

// routesChanged notes the destinations that changed; of very many, such as those of a session that is lost, no more than the prefixes of coarseBits that
// they are in: each would be looked for among the flows, nearly all of which are concerned.
func (e *edit) routesChanged(id DeviceID, lists ...[]Route) {
	n := 0
	for _, l := range lists {
		n += len(l)
	}
	var last netip.Prefix
	for _, l := range lists {
		for _, r := range l {
			p := r.Dst
			if n > manyRoutes && p.Bits() > coarseBits(p) {
				if p = netip.PrefixFrom(p.Addr(), coarseBits(p)).Masked(); p == last {
					continue
				}
				last = p
			}
			a := flow.AddrOf(p.Addr())
			e.note(RouteDep(id, &a, p.Addr().Is6(), uint8(p.Bits())))
		}
	}
}

// coarseBits leaves 256 prefixes of IPv4, and of the space that IPv6 has given out some thousands.
func coarseBits(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 8
	}
	return 20
}

func compareStatic(a, b Route) int {
	prefix := func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	}
	return cmp.Or(prefix(a.Dst, b.Dst), prefix(a.Src, b.Src), compareRoutes(a, b))
}

// announceGroups notes the groups of all bridges that a changed bridge is or was linked to, and finds their zones.
func (e *edit) announceGroups() {
	zoned := map[DeviceID]struct{}{}
	for id := range e.dirty {
		e.rezone(id, zoned)
	}
	for id := range e.groups {
		e.note(GroupDep(id))
		for _, s := range []*Snapshot{e.before, e.s} {
			for _, d := range s.Domain(id) {
				e.note(GroupDep(d))
				e.rezone(d, zoned)
			}
		}
	}
}

// rezone finds the zone of the bridges of a flood domain, once.
func (e *edit) rezone(id DeviceID, done map[DeviceID]struct{}) {
	if _, is := done[id]; is || e.s.Bridge(id) == nil {
		return
	}
	domain, missing := e.s.domain(id)
	zone := slices.Min(domain)
	if len(missing) > 0 {
		zone = 0
	}
	for _, d := range domain {
		done[d] = struct{}{}
		old := e.s.Bridge(d)
		if old.Zone == zone {
			continue
		}
		next := *old
		next.Zone = zone
		e.bridges.set(uint32(d), &next)
		e.note(DeviceDep(d))
	}
}

func compareDeps(a, b Dep) int {
	return cmp.Or(cmp.Compare(a.Kind(), b.Kind()), cmp.Compare(a.A(), b.A()), cmp.Compare(a.what&v6Bit(true), b.what&v6Bit(true)), cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo), cmp.Compare(a.Bits(), b.Bits()))
}
