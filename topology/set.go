package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Set is a valid set of objects: the desired configuration. Immutable; the zero value is empty.
type Set struct {
	objects shardMap[Ref, *Object]
	claims  shardMap[claim, Ref]            // who has what only one may have
	users   shardMap[Ref, map[Ref]struct{}] // who refers to an object
	trunks  map[Ref]struct{}                // links of two bridges, by the lesser end
	tallies shardMap[tally, int]
	tenants map[Ref]struct{} // objects that say what tenants have
}

// Get returns an object, nil if there is none.
func (s *Set) Get(r Ref) *Object {
	o, _ := s.objects.get(r)
	return o
}

// Len returns the number of objects.
func (s *Set) Len() int { return s.objects.len() }

// All returns the objects by kind, then name.
func (s *Set) All() []*Object {
	all := make([]*Object, 0, s.Len())
	for _, o := range s.objects.all() {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *Object) int { return compareByKind(a.Ref(), b.Ref()) })
	return all
}

func compareRefs(a, b Ref) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Name, b.Name))
}

// compareByKind puts what others refer to first.
func compareByKind(a, b Ref) int {
	order := Kinds()
	return cmp.Or(slices.Index(order, a.Kind)-slices.Index(order, b.Kind), compareRefs(a, b))
}

// Apply returns the set with objects put and others deleted. If the outcome would not be valid it is refused whole (Errors).
// Cost: that of the objects put and deleted, and of those that refer to them. They must not be changed afterwards.
func (s *Set) Apply(put []*Object, del []Ref) (*Set, error) {
	e := newSetEdit(s)
	v := validator{set: e.set, edit: e}
	put, del, dropped := s.expand(put, del)
	for _, r := range del {
		if o := s.Get(r); o != nil && o.Status.Of != "" && !dropped[r] {
			v.errs = append(v.errs, &FieldError{Object: r.String(), Problem: "is a part of " + o.Status.Of, Hint: "change that"})
		}
		delete(dropped, r)
	}
	del = append(slices.Clone(del), slices.SortedFunc(maps.Keys(dropped), compareByKind)...)
	touched := slices.Clone(del)
	for _, r := range del {
		if e.set.Get(r) == nil {
			v.errs = append(v.errs, &FieldError{Object: r.String(), Problem: Absent})
			continue
		}
		e.drop(r)
	}
	given := map[Ref]*Object{}
	for _, o := range put {
		if !v.form(o) {
			continue
		}
		r := o.Ref()
		if first := given[r]; first != nil && first.Status.Of != o.Status.Of {
			v.taken(o, first)
		} else if first != nil {
			v.fail(o, "metadata.name", r.Name, "is defined twice"+first.Source.at(", first"), "name each object once")
		}
		if was := s.Get(r); was != nil && was.Status.Of != o.Status.Of && e.set.Get(r) != nil {
			v.taken(o, was)
		}
		given[r] = o
		touched = append(touched, r)
		e.put(o)
	}
	for _, r := range del {
		v.unused(r, given)
	}
	if len(v.errs) == 0 {
		v.meaning(e.concerned(touched))
	} else {
		v.alone = true
		v.values(put)
	}
	if err := v.errs.orNil(); err != nil {
		return nil, err
	}
	return e.done(), nil
}

// Resolved returns an object with what it refers to by id: a copy, if that is anything; nil if there is no such object.
func (s *Set) Resolved(r Ref) *Object {
	o := s.Get(r)
	if o == nil {
		return nil
	}
	if f := o.Status.Filters; f != nil {
		c := *o
		c.Spec = withFilters(o.Spec, *f)
		o = &c
	}
	if names := namesOf(o); len(names) > 0 {
		c := *o
		c.Status.Uses = make(map[string]uint32, len(names))
		for _, n := range names {
			if used := s.Get(n); used != nil {
				c.Status.Uses[n.String()] = used.Status.ID
			}
		}
		o = &c
	}
	spec, ok := o.Spec.(*VPortSpec)
	if !ok {
		return o
	}
	if public := s.publicOf(r); public != 0 {
		c := *o
		c.Status.NotFrom = public
		o = &c
	}
	if spec.IsExterior() {
		return o
	}
	peer := s.Get(o.VPortRef(spec.Peer))
	if peer == nil {
		return o
	}
	device, _ := peer.DeviceRef()
	far, ok := peer.Spec.(*VPortSpec)
	if s.Get(device) == nil || !ok {
		return o
	}
	c := *o
	c.Status.Peer = &Peer{ID: peer.Status.ID, Device: s.Get(device).Status.ID, Kind: device.Kind, MAC: far.MAC, Addresses: far.ownAddresses(), AdminDown: far.AdminDown}
	return &c
}

// ResolvedAll is Resolved for objects of the set, in their order.
func (s *Set) ResolvedAll(objects []*Object) []*Object {
	out := make([]*Object, len(objects))
	for i, o := range objects {
		out[i] = s.Resolved(o.Ref())
	}
	return out
}

// AssignIDs gives ids to the objects that are to have one and have none, counting up from last, and returns the last one given.
// State does the same from a counter in etcd; this is for one process.
func AssignIDs(objects []*Object, last uint32) uint32 {
	for _, o := range objects {
		if o.Kind.HasID() && o.Status.ID == 0 {
			last++
			o.Status.ID = last
		}
	}
	return last
}

// Load decodes and validates a whole network and returns it as a snapshot, ids counted from 1 in order of appearance.
func Load(file string, data []byte) (*Snapshot, error) {
	objects, err := Decode(file, data)
	if err != nil {
		return nil, err
	}
	if _, err = new(Set).Apply(objects, nil); err != nil {
		return nil, err
	}
	objects, _ = new(Set).Expand(objects, nil)
	AssignIDs(objects, 0)
	set, err := new(Set).Apply(objects, nil)
	if err != nil {
		return nil, err
	}
	s, _ := new(Snapshot).With(Changes{Put: set.ResolvedAll(objects)})
	return s, nil
}

// taken: the name of a part is that of an object of its own.
func (v *validator) taken(o, was *Object) {
	if o.Status.Of == "" {
		v.fail(o, "metadata.name", o.Metadata.Name, "is that of a part of "+was.Status.Of, "name it otherwise")
		return
	}
	field := "metadata.name"
	if strings.HasPrefix(o.Status.Of, strings.ToLower(string(o.Kind))) {
		field = "spec.vlans"
	}
	v.fail(o, field, "", "needs the name of "+o.Ref().String()+", which is there", "rename one of them")
}

// validator collects all that is wrong.
type validator struct {
	set  *Set
	edit *setEdit
	errs Errors
	// alone: only what an object is by itself is checked, as long as others are not what they should be.
	alone bool
}

// failRef is fail for what is wrong with a field because of the object that it refers to.
func (v *validator) failRef(o *Object, field, value, problem, hint string) {
	if !v.alone {
		v.fail(o, field, value, problem, hint)
	}
}

func (v *validator) fail(o *Object, field, value, problem, hint string) {
	e := &FieldError{Object: o.Ref().String(), Field: field, Value: value, Problem: problem, Hint: hint}
	if o.Status.Of != "" {
		e.Object = o.Status.Of
	}
	if o.Source != nil {
		e.File = o.Source.File
		e.Line = o.Source.Line(field)
	}
	v.errs = append(v.errs, e)
}

// at tells where an object was written, behind a word; empty if it is not from a file.
func (s *Source) at(word string) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%s at %s:%d", word, s.File, s.Line(""))
}

// Line returns the line of a field, or of what it would be in if it is missing.
func (s *Source) Line(field string) int {
	for {
		if n, ok := s.Lines[field]; ok {
			return n
		}
		i := len(field) - 1
		for i > 0 && field[i] != '.' && field[i] != '[' {
			i--
		}
		if i <= 0 {
			return s.Lines[""]
		}
		field = field[:i]
	}
}

// form checks what an object is by itself named and typed.
func (v *validator) form(o *Object) bool {
	n := len(v.errs)
	switch o.APIVersion {
	case APIVersion:
	case "":
		v.fail(o, "apiVersion", "", "is missing", "write apiVersion: "+APIVersion)
	default:
		v.fail(o, "apiVersion", o.APIVersion, "is not known", "use "+APIVersion)
	}
	if o.Spec == nil || o.Spec.kind() != o.Kind {
		v.fail(o, "spec", "", "does not fit kind "+string(o.Kind), "")
	}
	if o.Metadata.Name == "" {
		v.fail(o, "metadata.name", "", "is missing", "name the object")
	} else if o.Status.Of != "" && len(o.Metadata.Name) > maxName {
		v.fail(o, "metadata.name", o.Metadata.Name, "is too long for the name of its part", fmt.Sprintf("use a name that is %d characters shorter", len(o.Metadata.Name)-maxName))
	} else if !validName(o.Metadata.Name) {
		v.fail(o, "metadata.name", o.Metadata.Name, "is not a name", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first")
	}
	if !validName(o.Tenant()) {
		v.fail(o, "metadata.tenant", o.Metadata.Tenant, "is not a name", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first")
	}
	return len(v.errs) == n
}

// maxName is how long a name can be, in bytes.
const maxName = 63

func validName(s string) bool {
	if len(s) == 0 || len(s) > maxName || s[0] == '-' || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

// meaning checks objects and what they refer to.
func (v *validator) meaning(refs []Ref) {
	touched, routers := map[Ref]bool{}, map[Ref]bool{}
	for _, r := range refs {
		o := v.set.Get(r)
		touched[r] = true
		v.claims(o)
		v.edit.use(o)
		v.spec(o)
		if dev := v.deviceOf(o); dev != nil && dev.Kind == KindRouter {
			routers[dev.Ref()] = true
		}
	}
	for _, r := range slices.SortedFunc(maps.Keys(routers), compareRefs) {
		v.overlaps(r, touched)
	}
	v.virtuals(refs)
	if v.edit.linked && len(v.errs) == 0 {
		v.loops()
	}
}

// values checks what objects are by themselves.
func (v *validator) values(objects []*Object) {
	for _, o := range objects {
		if o.Spec != nil && o.Spec.kind() == o.Kind {
			v.spec(o)
		}
	}
}

// spec checks what the object's kind defines.
func (v *validator) spec(o *Object) {
	if o.Status.Of != "" {
		v.part(o)
		return
	}
	if filtersOf(o.Spec) != nil {
		v.filters(o)
	}
	switch s := o.Spec.(type) {
	case *FabricSpec:
		v.fabric(o, s)
	case *ChainSpec:
		v.chain(o, s)
	case *AddressGroupSpec:
		v.addressGroup(o, s)
	case *PortGroupSpec:
		v.portGroup(o, s)
	case *PoolSpec:
		v.pool(o, s)
	case *BridgeSpec:
		v.bridge(o, s)
	case *RouterSpec:
		v.router(o, s)
	case *VPortSpec:
		v.vport(o, s)
	case *BindingSpec:
		v.binding(o, s)
	case *DHCPSpec:
		v.dhcp(o, s)
	case *SecurityGroupSpec:
		v.securityGroup(o, s)
	case *FloatingIPSpec:
		v.floatingIP(o, s)
	case *SNATGatewaySpec:
		v.snatGateway(o, s)
	case *BGPSessionSpec:
		v.bgpSession(o, s)
	case *TenantSpec:
		v.tenant(o, s)
	case *VPNSpec:
		v.vpn(o, s)
	}
}

// claims checks that nobody has what an object claims.
func (v *validator) claims(o *Object) {
	for _, c := range claimsOf(o) {
		other, taken := v.set.claims.get(c)
		if !taken {
			v.edit.claims.set(c, o.Ref())
			continue
		}
		who := other.String() + v.set.Get(other).Source.at("")
		if other == o.Ref() {
			who = "an earlier one"
		}
		switch c.kind {
		case claimFabric:
			v.fail(o, "", "", "is a second fabric, beside "+who, "describe the underlay once")
		case claimID:
			v.fail(o, "status.id", strconv.Itoa(int(c.n)), "is that of "+who+" too", "leave status out: the system assigns it")
		case claimAddress:
			field, value := addressField(o, c)
			v.fail(o, field, value, "is the address of "+who+" too", "give each port of router "+c.a+"/"+c.b+" its own")
		case claimHost:
			field, value := addressField(o, c)
			v.fail(o, field, value, "is the address of "+who+" too", "give each host on bridge "+c.a+"/"+c.b+" its own")
		case claimMAC:
			v.fail(o, "spec.mac", c.mac.String(), "is the MAC of "+who+" too", "give each host on bridge "+c.a+"/"+c.b+" its own")
		case claimVPort:
			v.fail(o, "spec.vport", c.b, "is bound by "+who+" already", "a vport is at one interface; those of a VPN are where its holder is")
		case claimOutside:
			v.fail(o, "spec.addresses", c.addr.String(), "is the outside address of "+who+" too", "give each its own")
		case claimFloating:
			v.fail(o, "spec.vport", c.b, "has an outside address of that IP version already, by "+who, "a host has one at a router")
		case claimNeighbour:
			v.fail(o, "spec.peerAddress", c.addr.String(), "has a session through that port already, "+who, "a neighbour has one")
		case claimPlace:
			v.fail(o, "spec.interface", c.b, "is taken by "+who, "one vport per interface and VLAN")
		}
	}
}

// addressField is the last field of a vport that claims an address.
func addressField(o *Object, c claim) (field, value string) {
	all := o.Spec.(*VPortSpec).Addresses
	i := len(all) - 1
	for all[i].Addr() != c.addr {
		i--
	}
	return fmt.Sprintf("spec.addresses[%d]", i), all[i].String()
}

// loops checks that bridges are not linked in a loop: union–find.
func (v *validator) loops() {
	root := map[Ref]Ref{}
	find := func(r Ref) Ref {
		for up, ok := root[r]; ok; up, ok = root[r] {
			r = up
		}
		return r
	}
	for _, r := range slices.SortedFunc(maps.Keys(v.edit.set.trunks), compareRefs) {
		o := v.set.Get(r)
		s := o.Spec.(*VPortSpec)
		a, b := find(v.deviceOf(o).Ref()), find(v.deviceOf(v.set.Get(o.VPortRef(s.Peer))).Ref())
		if a == b {
			v.fail(o, "spec.peer", s.Peer, "closes a loop of bridges, in which floods would never end", "remove one link")
			continue
		}
		root[a] = b
	}
}
