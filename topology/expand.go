package topology

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Some objects are short for several simpler ones: a VLAN-aware bridge for a bridge a VLAN, a trunk for a port a VLAN, the binding of a trunk for one a VLAN,
// a FloatingIP, SNATGateway or SecurityGroup for chains and groups. Routers and vports that have such run chains that call theirs, and then their own.
// These parts are objects of the set like others, with ids of their own, and are all that the network is made of: a snapshot knows no VLAN and no FloatingIP.
// They follow from what they are made of, and are changed by nothing else (docs/decisions/0008-vlans.md, 0009-convenience.md).

// world is where objects find those that they refer to, and those that refer to them.
type world interface {
	Get(r Ref) *Object    // nil if there is none
	attached(r Ref) []Ref // FloatingIPs and SNATGateways of a router; members of a security group, and groups whose rules name it; in order
}

// made is what an object is short for, without status.
type made struct {
	parts   []*Object
	instead bool        // they stand in its place
	filters *FilterSpec // chains among them that it runs in place of its own, nil if it runs its own
}

// expansion finds the parts that a change makes and removes. It is the world after the change, without parts.
type expansion struct {
	before *Set
	put    map[Ref]*Object // without parts
	at     map[Ref]int     // where they are
	del    map[Ref]bool
	fresh  map[Ref][]Ref   // among put: what is attached to a router or security group
	given  map[Ref]*Object // parts among what was put: as they were stored
}

// Expand returns a change with the parts that follow from it: those that are new or may differ are put, those that are no more deleted. A part keeps its
// status. Apply does the same; this is for those who give ids.
func (s *Set) Expand(put []*Object, del []Ref) ([]*Object, []Ref) {
	all, gone, dropped := s.expand(put, del)
	for _, r := range slices.SortedFunc(maps.Keys(dropped), compareByKind) {
		if !slices.Contains(gone, r) {
			gone = append(gone, r)
		}
	}
	return all, gone
}

// expand is Expand; dropped are the parts that are no more, which may be among del.
func (s *Set) expand(put []*Object, del []Ref) (all []*Object, gone []Ref, dropped map[Ref]bool) {
	x := expansion{before: s, put: map[Ref]*Object{}, at: map[Ref]int{}, del: map[Ref]bool{}, fresh: map[Ref][]Ref{}, given: map[Ref]*Object{}}
	touched := slices.Clone(del)
	for _, r := range del {
		x.del[r] = true
	}
	for _, o := range put {
		r := o.Ref()
		if o.Status.Of != "" {
			x.given[r] = o
			continue
		}
		x.put[r], x.at[r] = o, len(all)
		all, touched = append(all, o), append(touched, r)
		for _, to := range attachesTo(o) {
			x.fresh[to] = append(x.fresh[to], r)
		}
	}
	dropped = map[Ref]bool{}
	done := make(map[Ref]bool, len(touched))
	for len(touched) > 0 {
		r := touched[0]
		touched = touched[1:]
		if !done[r] { // an object may be deleted and put
			done[r], all = true, x.remake(r, all, dropped)
			touched = append(touched, x.depend(r)...)
		}
	}
	return all, del, dropped
}

// remake adds the parts of an object to what is put, and notes those that it has no more.
func (x *expansion) remake(r Ref, all []*Object, dropped map[Ref]bool) []*Object {
	o := x.Get(r)
	if o != nil && o.Status.Of != "" {
		return all
	}
	is := partsOf(o, x)
	if was := x.before.Get(r); was != nil && was.Status.Of == "" {
		for _, p := range partsOf(was, x.before).parts {
			dropped[p.Ref()] = true
		}
	}
	if o != nil && (o.Status.Expanded != is.instead || !reflect.DeepEqual(o.Status.Filters, is.filters)) {
		c := *o
		c.Status.Expanded, c.Status.Filters = is.instead, is.filters
		if i, put := x.at[r]; put {
			all[i] = &c
		} else {
			all = append(all, &c)
		}
	}
	for _, p := range is.parts {
		ref := p.Ref()
		delete(dropped, ref)
		p.Status = Status{Of: r.String()}
		for _, known := range []*Object{x.before.Get(ref), x.given[ref]} {
			if known != nil && known.Status.Of != "" {
				p.Status.ID = known.Status.ID
			}
		}
		all = append(all, p)
	}
	return all
}

// Get implements world.
func (x *expansion) Get(r Ref) *Object {
	if o := x.put[r]; o != nil || x.del[r] {
		return o
	}
	return x.before.Get(r)
}

// attached implements world.
func (x *expansion) attached(r Ref) []Ref {
	users, _ := x.before.users.get(r)
	all := slices.Clone(x.fresh[r])
	for u := range users {
		all = append(all, u)
	}
	return attachedIn(x, r, all)
}

// attached implements world.
func (s *Set) attached(r Ref) []Ref {
	users, _ := s.users.get(r)
	return attachedIn(s, r, slices.Collect(maps.Keys(users)))
}

// attachedIn returns those of some objects that a router or security group has parts because of, in order.
func attachedIn(in world, r Ref, some []Ref) []Ref {
	some = slices.DeleteFunc(some, func(u Ref) bool {
		attaches := u.Kind == KindFloatingIP || u.Kind == KindSNATGateway || u.Kind == KindVPort || u.Kind == KindSecurityGroup
		return !attaches || !slices.Contains(attachesTo(in.Get(u)), r)
	})
	slices.SortFunc(some, compareByKind)
	return slices.Compact(some)
}

// attachesTo returns the router, or the security groups, that have parts because of an object; none if there is no such object.
func attachesTo(o *Object) (refs []Ref) {
	if o == nil {
		return nil
	}
	switch s := o.Spec.(type) {
	case *VPortSpec:
		for _, g := range s.SecurityGroups {
			refs = append(refs, o.refTo(KindSecurityGroup, g))
		}
	case *SecurityGroupSpec:
		refs = s.groups(o)
	case *FloatingIPSpec:
		refs = append(refs, o.refTo(KindRouter, s.Router))
	case *SNATGatewaySpec:
		refs = append(refs, o.refTo(KindRouter, s.Router))
	}
	return refs
}

// depend returns those whose parts depend on an object, before the change or after it.
func (x *expansion) depend(r Ref) (refs []Ref) {
	for _, o := range []*Object{x.before.Get(r), x.put[r]} {
		if o == nil {
			continue
		}
		switch s := o.Spec.(type) {
		case *VPortSpec:
			users, _ := x.before.users.get(r)
			for u := range users { // the binding of a trunk, and translations to the port's addresses
				if u.Kind == KindBinding || u.Kind == KindFloatingIP {
					refs = append(refs, u)
				}
			}
		case *FloatingIPSpec: // the ports of its router
			users, _ := x.before.users.get(o.refTo(KindRouter, s.Router))
			for u := range users {
				if u.Kind == KindVPort {
					refs = append(refs, u)
				}
			}
		case *SecurityGroupSpec:
			if !x.limitsSame(r) {
				users, _ := x.before.users.get(r)
				for u := range users {
					if u.Kind == KindVPort {
						refs = append(refs, u)
					}
				}
			}
		}
		refs = append(refs, attachesTo(o)...)
	}
	refs = slices.DeleteFunc(refs, func(u Ref) bool { return x.Get(u) == nil })
	slices.SortFunc(refs, compareByKind) // ids are given in order
	return refs
}

// limitsSame reports whether a security group says what its members may send, or does not, before the change as after it: else the chains of members differ.
func (x *expansion) limitsSame(r Ref) bool {
	var limits [2]bool
	for i, o := range []*Object{x.before.Get(r), x.Get(r)} {
		limits[i] = o != nil && len(o.Spec.(*SecurityGroupSpec).Egress) > 0
	}
	return limits[0] == limits[1]
}

// partsOf returns what an object is short for.
func partsOf(o *Object, in world) (m made) {
	if o == nil {
		return m
	}
	add := func(vlan uint16, spec Spec) {
		p := &Object{APIVersion: o.APIVersion, Kind: o.Kind, Metadata: o.Metadata, Spec: spec, Source: o.Source}
		p.Metadata.Name = inVLAN(o.Metadata.Name, vlan)
		m.parts, m.instead = append(m.parts, p), true
	}
	switch s := o.Spec.(type) {
	case *BridgeSpec:
		for _, vlan := range vlansOf(s.VLANs) {
			add(vlan, s.in(vlan))
		}
	case *RouterSpec:
		m.translates(o, s, in)
	case *VPortSpec:
		for _, vlan := range s.vlans() {
			c := *s
			c.VLANs, c.Native, c.VLAN = nil, 0, vlan
			if !s.IsExterior() {
				c.Peer = inVLAN(s.Peer, vlan)
			}
			add(vlan, &c)
		}
		m.guards(o, s, in)
		m.reaches(o, s, in)
	case *BindingSpec:
		trunk := in.Get(o.VPortRef(s.VPort))
		if trunk == nil {
			return m
		}
		port, _ := trunk.Spec.(*VPortSpec)
		if port == nil {
			return m
		}
		for _, vlan := range port.vlans() {
			c := *s
			if c.VPort, c.VLAN = inVLAN(s.VPort, vlan), vlan; vlan == port.Native {
				c.VLAN = 0
			}
			add(vlan, &c)
		}
	case *FloatingIPSpec:
		m.floats(o, s, in)
	case *SNATGatewaySpec:
		m.hides(o, s)
	case *SecurityGroupSpec:
		m.permits(o, s, in)
	}
	return m
}

// add adds a part of another kind, called KIND.NAME, and more words if there are any.
func (m *made) add(o *Object, spec Spec, more ...string) string {
	p := &Object{APIVersion: o.APIVersion, Kind: spec.kind(), Metadata: o.Metadata, Spec: spec, Source: o.Source}
	p.Metadata.Name = partName(o.Kind, o.Metadata.Name, more...)
	m.parts = append(m.parts, p)
	return p.Metadata.Name
}

// partName is the name of a part of another kind.
func partName(k Kind, name string, more ...string) string {
	return strings.Join(append([]string{strings.ToLower(string(k)), name}, more...), ".")
}

// partOf is how an object refers to a part of another one.
func partOf(r Ref, more ...string) string { return r.Tenant + "/" + partName(r.Kind, r.Name, more...) }

// in is the bridge of one VLAN.
func (s *BridgeSpec) in(vlan uint16) *BridgeSpec {
	c := *s
	c.VLANs = nil
	c.MACs = slices.DeleteFunc(slices.Clone(s.MACs), func(m MACSpec) bool { return m.VLAN != vlan })
	for i := range c.MACs {
		c.MACs[i].VLAN = 0
	}
	c.Neighbours = slices.DeleteFunc(slices.Clone(s.Neighbours), func(n NeighbourSpec) bool { return n.VLAN != vlan })
	for i := range c.Neighbours {
		c.Neighbours[i].VLAN = 0
	}
	return &c
}
