package topology

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/packet"
)

// claim is something that one object at most may have. Comparable.
type claim struct {
	kind claimKind
	a, b string
	addr netip.Addr
	mac  packet.MAC
	n    uint32
}

type claimKind uint8

const (
	claimFabric    claimKind = iota // the underlay
	claimID                         // n
	claimAddress                    // addr, of router a/b
	claimHost                       // addr, on bridge a/b
	claimMAC                        // mac, on bridge a/b
	claimVPort                      // to bind vport a/b
	claimPlace                      // VLAN n at interface b of edge a
	claimOutside                    // addr, of FloatingIPs of router a/b
	claimNeighbour                  // addr, of sessions through vport a/b
	claimFloating                   // vport b, with IP version n, of FloatingIPs of router a
)

// claimsOf returns what an object claims.
func claimsOf(o *Object) []claim {
	var c []claim
	if o.Status.ID != 0 {
		c = append(c, claim{kind: claimID, n: o.Status.ID})
	}
	switch s := o.Spec.(type) {
	case *FabricSpec:
		c = append(c, claim{kind: claimFabric})
	case *FloatingIPSpec:
		r, host := o.refTo(KindRouter, s.Router), o.VPortRef(s.VPort)
		for _, a := range s.Addresses {
			c = append(c, claim{kind: claimOutside, a: r.Tenant, b: r.Name, addr: a},
				claim{kind: claimFloating, a: r.Tenant + "/" + r.Name, b: host.Tenant + "/" + host.Name, n: uint32(a.BitLen())})
		}
	case *VPortSpec:
		dev, _ := o.DeviceRef()
		kind := claimHost
		if dev.Kind == KindRouter {
			kind = claimAddress
		} else if !s.MAC.IsZero() {
			c = append(c, claim{kind: claimMAC, a: dev.Tenant, b: dev.Name, mac: s.MAC})
		}
		for _, a := range s.Addresses {
			c = append(c, claim{kind: kind, a: dev.Tenant, b: dev.Name, addr: a.Addr()})
		}
	case *BGPSessionSpec:
		v := o.VPortRef(s.VPort)
		c = append(c, claim{kind: claimNeighbour, a: v.Tenant, b: v.Name, addr: s.PeerAddress})
	case *VPNSpec:
		for _, port := range s.ports() {
			v := o.VPortRef(port)
			c = append(c, claim{kind: claimVPort, a: v.Tenant, b: v.Name})
		}
	case *BindingSpec:
		v := o.VPortRef(s.VPort)
		c = append(c, claim{kind: claimVPort, a: v.Tenant, b: v.Name})
		if !o.Status.Expanded {
			c = append(c, claim{kind: claimPlace, a: s.Edge, b: s.Interface, n: uint32(s.VLAN)})
		}
	}
	return c
}

// usesOf returns what an object refers to.
func usesOf(o *Object) []Ref {
	var r []Ref
	switch s := o.Spec.(type) {
	case *BridgeSpec:
		for _, m := range s.MACs {
			r = append(r, o.VPortRef(m.Port))
		}
	case *RouterSpec:
		for _, p := range s.ports() {
			r = append(r, o.VPortRef(p))
		}
	case *VPortSpec:
		dev, _ := o.DeviceRef()
		r = append(r, dev)
		if !s.IsExterior() {
			r = append(r, o.VPortRef(s.Peer))
		}
		for _, g := range s.SecurityGroups {
			r = append(r, o.refTo(KindSecurityGroup, g))
		}
	case *BindingSpec:
		r = append(r, o.VPortRef(s.VPort))
	case *SecurityGroupSpec:
		for _, g := range s.groups(o) {
			if g != o.Ref() { // so that it can be deleted
				r = append(r, g)
			}
		}
	case *FloatingIPSpec:
		r = append(r, o.refTo(KindRouter, s.Router), o.VPortRef(s.VPort))
		for _, p := range s.Outside {
			r = append(r, o.VPortRef(p))
		}
		if s.Inside != "" {
			r = append(r, o.VPortRef(s.Inside))
		}
	case *SNATGatewaySpec:
		r = append(r, o.refTo(KindRouter, s.Router))
		for _, p := range s.Outside {
			r = append(r, o.VPortRef(p))
		}
	case *TenantSpec:
		for _, p := range s.Ports {
			r = append(r, o.VPortRef(p))
		}
	}
	if f := o.Status.Filters; f != nil {
		for _, c := range f.names() {
			r = append(r, o.refTo(KindChain, c))
		}
	}
	return append(r, namesOf(o)...)
}

// namesOf returns the chains, groups and ports that an object's filters and rules name, a vport's DHCP resource, and a session's port.
func namesOf(o *Object) []Ref {
	var r []Ref
	if f := filtersOf(o.Spec); f != nil {
		for _, c := range f.names() {
			r = append(r, o.refTo(KindChain, c))
		}
	}
	if g := globalIn(o.Spec); g != "" {
		r = append(r, o.refTo(KindAddressGroup, g))
	}
	switch s := o.Spec.(type) {
	case *VPortSpec:
		if s.DHCP != "" {
			r = append(r, o.DHCPRef(s.DHCP))
		}
	case *ChainSpec:
		for i := range s.Rules {
			for _, m := range []*MatchSpec{&s.Rules[i].Match, &s.Rules[i].Not} {
				m.eachReference("", func(_ string, k Kind, names []string) {
					for _, n := range names {
						r = append(r, o.refTo(k, n))
					}
				})
			}
			if n := s.Rules[i].NAT; n != nil && n.Pool != "" {
				r = append(r, o.refTo(KindPool, n.Pool))
			}
			if c := s.Rules[i].Chain; c != "" {
				r = append(r, o.refTo(KindChain, c))
			}
		}
	case *PortGroupSpec:
		for _, p := range s.Ports {
			r = append(r, o.VPortRef(p))
		}
	case *BGPSessionSpec:
		r = append(r, o.VPortRef(s.VPort))
	case *VPNSpec:
		for _, p := range s.ports() {
			r = append(r, o.VPortRef(p))
		}
	case *PoolSpec:
		if m := s.Monitor; m != nil && m.Source != "" {
			r = append(r, o.VPortRef(m.Source))
		}
	}
	return r
}

// setEdit makes the next set: objects are put and deleted; then those that this may concern are taken out of the indexes, checked, and put back.
type setEdit struct {
	before, set *Set
	objects     shardEdit[Ref, *Object]
	claims      shardEdit[claim, Ref]
	users       shardEdit[Ref, map[Ref]struct{}]
	own         map[Ref]struct{} // objects whose users this edit may change
	tallies     shardEdit[tally, int]
	ownTrunks   bool
	ownTenants  bool
	linked      bool // a link of two bridges was put back
}

func newSetEdit(s *Set) *setEdit {
	next := *s
	return &setEdit{
		before: s, set: &next, own: map[Ref]struct{}{},
		objects: shardEdit[Ref, *Object]{target: &next.objects}, claims: shardEdit[claim, Ref]{target: &next.claims},
		users: shardEdit[Ref, map[Ref]struct{}]{target: &next.users}, tallies: shardEdit[tally, int]{target: &next.tallies},
	}
}

// concerned returns what is to be checked once some objects were touched, in order: they, and those that refer to what is gone or is now another vport.
// All of them, and what is gone, are out of the indexes then.
func (e *setEdit) concerned(touched []Ref) []Ref {
	all := map[Ref]struct{}{}
	for _, r := range touched {
		all[r] = struct{}{}
		was, is := e.before.Get(r), e.set.Get(r)
		if is == nil || r.Kind == KindVPort || was != nil && (was.Status.Expanded != is.Status.Expanded || was.Status.Of != is.Status.Of) {
			users, _ := e.before.users.get(r)
			maps.Copy(all, users)
		}
		if r.Kind == KindChain {
			e.runners(r, all)
		}
		if r.Kind == KindRouter && is != nil {
			e.remotes(is, all)
		}
	}
	var refs []Ref
	for r := range all {
		if old := e.before.Get(r); old != nil {
			e.release(old)
		}
		if e.set.Get(r) != nil {
			refs = append(refs, r)
		}
	}
	slices.SortFunc(refs, compareByKind)
	return refs
}

// runners adds those that run a chain, by themselves or by a jump: what a chain may do depends on where.
func (e *setEdit) runners(chain Ref, all map[Ref]struct{}) {
	users, _ := e.before.users.get(chain)
	for u := range users {
		if _, seen := all[u]; seen {
			continue
		}
		all[u] = struct{}{}
		if u.Kind == KindChain {
			e.runners(u, all)
		}
	}
}

// release takes an object out of the indexes.
func (e *setEdit) release(o *Object) {
	r := o.Ref()
	for _, c := range claimsOf(o) {
		e.claims.remove(c)
	}
	for _, target := range usesOf(o) {
		delete(e.usersOf(target), r)
	}
	if _, is := e.set.trunks[r]; is {
		delete(e.trunks(), r)
	}
}

// use notes what an object refers to.
func (e *setEdit) use(o *Object) {
	for _, target := range usesOf(o) {
		e.usersOf(target)[o.Ref()] = struct{}{}
	}
}

// link notes that a vport is linked to another, of greater name, and that both are ports of bridges.
func (e *setEdit) link(r Ref) {
	e.trunks()[r] = struct{}{}
	e.linked = true
}

// usersOf returns those that refer to an object, to be changed.
func (e *setEdit) usersOf(r Ref) map[Ref]struct{} {
	users, _ := e.set.users.get(r)
	if _, own := e.own[r]; own {
		return users
	}
	e.own[r] = struct{}{}
	next := make(map[Ref]struct{}, len(users)+1)
	maps.Copy(next, users)
	e.users.set(r, next)
	return next
}

// trunks returns the links of bridges, to be changed.
func (e *setEdit) trunks() map[Ref]struct{} {
	if !e.ownTrunks {
		e.ownTrunks = true
		next := make(map[Ref]struct{}, len(e.set.trunks)+1)
		maps.Copy(next, e.set.trunks)
		e.set.trunks = next
	}
	return e.set.trunks
}

// done returns the next set.
func (e *setEdit) done() *Set {
	for r := range e.own {
		if users, _ := e.set.users.get(r); len(users) == 0 {
			e.users.remove(r)
		}
	}
	return e.set
}
