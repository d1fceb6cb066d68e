package topology

import (
	"maps"
	"slices"
)

// Some objects are short for several simpler ones: a VLAN-aware bridge for a bridge a VLAN, a trunk for a port a VLAN, the binding of a trunk for one a VLAN.
// These parts are objects of the set like others, with ids of their own, and are all that the network is made of: a snapshot knows no VLAN.
// They follow from what they are made of, and are changed by nothing else (docs/decisions/0008-vlans.md).

// expansion finds the parts that a change makes and removes.
type expansion struct {
	before *Set
	put    map[Ref]*Object // without parts
	del    map[Ref]bool
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
	x := expansion{before: s, put: map[Ref]*Object{}, del: map[Ref]bool{}, given: map[Ref]*Object{}}
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
		all, touched, x.put[r] = append(all, o), append(touched, r), o
	}
	for _, r := range touched {
		if r.Kind != KindVPort {
			continue
		}
		users, _ := s.users.get(r)
		for u := range users { // what the binding of a trunk is short for depends on the trunk
			if _, is := x.put[u]; u.Kind == KindBinding && !is && !x.del[u] {
				touched = append(touched, u)
			}
		}
	}
	dropped = map[Ref]bool{}
	done := make(map[Ref]bool, len(touched))
	for _, r := range touched {
		if !done[r] { // an object may be deleted and put
			done[r], all = true, x.remake(r, all, dropped)
		}
	}
	return all, del, dropped
}

// remake adds the parts of an object to what is put, and notes those that it has no more.
func (x *expansion) remake(r Ref, all []*Object, dropped map[Ref]bool) []*Object {
	o := x.after(r)
	if o != nil && o.Status.Of != "" {
		return all
	}
	parts := partsOf(o, x.after)
	if was := x.before.Get(r); was != nil && was.Status.Of == "" {
		for _, p := range partsOf(was, x.before.Get) {
			dropped[p.Ref()] = true
		}
	}
	if o != nil && o.Status.Expanded != (parts != nil) {
		c := *o
		c.Status.Expanded = parts != nil
		if i := slices.Index(all, o); i >= 0 {
			all[i] = &c
		} else {
			all = append(all, &c)
		}
	}
	for _, p := range parts {
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

// after returns an object as it is after the change, nil if there is none.
func (x *expansion) after(r Ref) *Object {
	if o := x.put[r]; o != nil || x.del[r] {
		return o
	}
	return x.before.Get(r)
}

// partsOf returns what an object is short for, without status; nil if it stands for itself. get finds what it refers to.
func partsOf(o *Object, get func(Ref) *Object) (parts []*Object) {
	if o == nil {
		return nil
	}
	add := func(vlan uint16, spec Spec) {
		p := &Object{APIVersion: o.APIVersion, Kind: o.Kind, Metadata: o.Metadata, Spec: spec, Source: o.Source}
		p.Metadata.Name = inVLAN(o.Metadata.Name, vlan)
		parts = append(parts, p)
	}
	switch s := o.Spec.(type) {
	case *BridgeSpec:
		for _, vlan := range vlansOf(s.VLANs) {
			add(vlan, s.in(vlan))
		}
	case *VPortSpec:
		for _, vlan := range s.vlans() {
			c := *s
			c.VLANs, c.Native, c.VLAN = nil, 0, vlan
			if !s.IsExterior() {
				c.Peer = inVLAN(s.Peer, vlan)
			}
			add(vlan, &c)
		}
	case *BindingSpec:
		trunk := get(o.VPortRef(s.VPort))
		if trunk == nil {
			return nil
		}
		port, _ := trunk.Spec.(*VPortSpec)
		if port == nil {
			return nil
		}
		for _, vlan := range port.vlans() {
			c := *s
			if c.VPort, c.VLAN = inVLAN(s.VPort, vlan), vlan; vlan == port.Native {
				c.VLAN = 0
			}
			add(vlan, &c)
		}
	}
	return parts
}

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
