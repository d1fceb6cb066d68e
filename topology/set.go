package topology

import (
	"fmt"
	"net/netip"
	"slices"
)

// Set is a valid set of objects: the desired configuration. Immutable; the zero value is empty.
type Set struct{ objects map[Ref]*Object }

// Get returns an object, nil if there is none.
func (s *Set) Get(r Ref) *Object { return s.objects[r] }

// Len returns the number of objects.
func (s *Set) Len() int { return len(s.objects) }

// All returns the objects by kind, then name.
func (s *Set) All() []*Object {
	all := make([]*Object, 0, len(s.objects))
	for _, o := range s.objects {
		all = append(all, o)
	}
	order := Kinds()
	slices.SortFunc(all, func(a, b *Object) int {
		if d := slices.Index(order, a.Kind) - slices.Index(order, b.Kind); d != 0 {
			return d
		}
		return compareRefs(a.Ref(), b.Ref())
	})
	return all
}

func compareRefs(a, b Ref) int {
	return slices.Compare([]string{string(a.Kind), a.Tenant, a.Name}, []string{string(b.Kind), b.Tenant, b.Name})
}

// Apply returns the set with objects put and others deleted. If the outcome would not be valid it is refused whole (Errors).
func (s *Set) Apply(put []*Object, del []Ref) (*Set, error) {
	next := &Set{objects: make(map[Ref]*Object, len(s.objects)+len(put))}
	for r, o := range s.objects {
		next.objects[r] = o
	}
	v := validator{set: next}
	for _, r := range del {
		if next.objects[r] == nil {
			v.errs = append(v.errs, &FieldError{Object: r.String(), Problem: "does not exist"})
		}
		delete(next.objects, r)
	}
	given := map[Ref]bool{}
	for _, o := range put {
		if !v.form(o) {
			continue
		}
		r := o.Ref()
		if given[r] {
			v.fail(o, "metadata.name", r.Name, "is defined twice", "name each object once")
		}
		given[r] = true
		next.objects[r] = o
	}
	if len(v.errs) == 0 {
		v.meaning()
	}
	if err := v.errs.orNil(); err != nil {
		return nil, err
	}
	return next, nil
}

// AssignIDs gives ids to the bridges, routers and vports that have none, counting up from last, and returns the last one given.
// State does the same from a counter in etcd; this is for one process.
func AssignIDs(objects []*Object, last uint32) uint32 {
	for _, o := range objects {
		switch o.Kind {
		case KindBridge, KindRouter, KindVPort:
			if o.Status.ID == 0 {
				last++
				o.Status.ID = last
			}
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
	if _, err := new(Set).Apply(objects, nil); err != nil {
		return nil, err
	}
	AssignIDs(objects, 0)
	s, _ := new(Snapshot).With(Changes{Put: objects})
	return s, nil
}

// validator collects all that is wrong.
type validator struct {
	set  *Set
	errs Errors
}

func (v *validator) fail(o *Object, field, value, problem, hint string) {
	e := &FieldError{Object: o.Ref().String(), Field: field, Value: value, Problem: problem, Hint: hint}
	if o.Source != nil {
		e.File = o.Source.File
		e.Line = o.Source.Line(field)
	}
	v.errs = append(v.errs, e)
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
	if o.APIVersion != APIVersion {
		v.fail(o, "apiVersion", o.APIVersion, "is not known", "use "+APIVersion)
	}
	if o.Spec == nil || o.Spec.kind() != o.Kind {
		v.fail(o, "spec", "", "does not fit kind "+string(o.Kind), "")
	}
	if !validName(o.Metadata.Name) {
		v.fail(o, "metadata.name", o.Metadata.Name, "is not a name", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first")
	}
	if !validName(o.Tenant()) {
		v.fail(o, "metadata.tenant", o.Metadata.Tenant, "is not a name", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first")
	}
	return len(v.errs) == n
}

func validName(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[0] == '.' {
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

// meaning checks each object and what it refers to.
func (v *validator) meaning() {
	all := v.set.All()
	links := &linkCheck{addrs: map[addrKey]*Object{}, bound: map[Ref]*Object{}, places: map[place]*Object{}, root: map[Ref]Ref{}, ids: map[uint32]*Object{}}
	for _, o := range all {
		if o.Status.ID != 0 {
			if other := links.ids[o.Status.ID]; other != nil {
				v.fail(o, "status.id", fmt.Sprint(o.Status.ID), "is that of "+other.Ref().String()+" too", "leave status out: the system assigns it")
			}
			links.ids[o.Status.ID] = o
		}
		switch s := o.Spec.(type) {
		case *FabricSpec:
			v.fabric(o, s, links)
		case *BridgeSpec:
			v.bridge(o, s)
		case *RouterSpec:
			v.router(o, s)
		case *VPortSpec:
			v.vport(o, s, links)
		case *BindingSpec:
			v.binding(o, s, links)
		}
	}
}

// linkCheck finds what only one object may have.
type linkCheck struct {
	addrs  map[addrKey]*Object // own addresses of a router
	bound  map[Ref]*Object
	places map[place]*Object
	root   map[Ref]Ref // bridges that are linked: union–find
	fabric *Object
	ids    map[uint32]*Object
}

type addrKey struct {
	router Ref
	addr   netip.Addr
}

type place struct {
	edge, iface string
	vlan        uint16
}

func (l *linkCheck) find(r Ref) Ref {
	for {
		up, ok := l.root[r]
		if !ok {
			return r
		}
		r = up
	}
}
