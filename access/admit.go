package access

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// Admit says whether a change may be made of what is stored: whether the tenant who asks has what his objects use. It is asked in the attempt that writes, so that what it looks at is what is there.
// It returns the change with what goes along: the provider's end of a link that comes or goes. What is wrong is all told at once (topology.Errors), in the same words whether what was named is
// another's or is not there.
//
// Nothing of that holds for the provider, but that what a tenant uses is not taken away from it.
func (g *Guard) Admit(_ context.Context, id Identity, set *topology.Set, put []*topology.Object, del []topology.Ref) ([]*topology.Object, []topology.Ref, error) {
	a := admission{set: set, tenant: id.Tenant, has: set.Tenant(id.Tenant), put: slices.Clone(put), del: del, given: map[topology.Ref]*topology.Object{}, gone: map[topology.Ref]bool{}}
	for _, r := range del {
		a.gone[r] = true
	}
	for _, o := range put {
		a.given[o.Ref()] = o
		delete(a.gone, o.Ref())
	}
	if !id.Role.OfTenant() {
		a.takenAway()
		return put, del, a.orNil()
	}
	for _, o := range put {
		if o.Spec == nil || o.Tenant() != a.tenant {
			continue // refused by validation, and by Allow
		}
		a.references(o)
		a.addresses(o)
	}
	for _, r := range del {
		a.used(r)
	}
	a.links()
	a.quota()
	return a.put, a.del, a.orNil()
}

// admission is one change that a tenant asks for.
type admission struct {
	set    *topology.Set // as stored
	tenant string
	has    *topology.TenantSpec
	put    []*topology.Object
	del    []topology.Ref
	given  map[topology.Ref]*topology.Object // put
	gone   map[topology.Ref]bool             // deleted, and not put
	errs   topology.Errors
}

func (a *admission) orNil() error {
	if len(a.errs) == 0 {
		return nil
	}
	return a.errs
}

func (a *admission) fail(o *topology.Object, field, value, problem, hint string) {
	e := &topology.FieldError{Object: o.Ref().String(), Field: field, Value: value, Problem: problem, Hint: hint}
	if o.Source != nil {
		e.File, e.Line = o.Source.File, o.Source.Line(field)
	}
	a.errs = append(a.errs, e)
}

// mayLink reports whether the provider lets the tenant link to a port.
func (a *admission) mayLink(port topology.Ref) bool {
	return port.Kind == topology.KindVPort && slices.Contains(a.has.Ports, port.Tenant+"/"+port.Name)
}

// references checks that an object refers to no other's but ports that it may link to. What was there before stays: the provider may have put it there.
func (a *admission) references(o *topology.Object) {
	var before []topology.Ref
	if was := a.set.Get(o.Ref()); was != nil {
		before = was.Uses()
	}
	told := map[topology.Ref]bool{}
	for _, r := range o.Uses() {
		if r.Tenant == a.tenant || r.Name == "" || told[r] || slices.Contains(before, r) {
			continue
		}
		if s, ok := o.Spec.(*topology.VPortSpec); ok && !s.IsExterior() && o.VPortRef(s.Peer) == r && a.mayLink(r) {
			continue
		}
		told[r] = true
		a.fail(o, fieldThatNames(o, r), r.Tenant+"/"+r.Name, "is not there, or not for tenant "+a.tenant+" to use", "name one of the tenant's own, or ask the provider for it")
	}
}

// links has the provider's ends of links follow those of the tenant.
func (a *admission) links() {
	for _, o := range a.put { // those before come first, so that a port that is let go of can be taken anew
		a.release(o.Ref())
	}
	for _, r := range a.del {
		a.release(r)
	}
	for _, o := range slices.Clone(a.put) {
		s, ok := o.Spec.(*topology.VPortSpec)
		if !ok || s.IsExterior() || o.Tenant() != a.tenant {
			continue
		}
		if port := o.VPortRef(s.Peer); port.Tenant != a.tenant && a.mayLink(port) {
			a.link(o, s.Peer, port)
		}
	}
}

// release takes the peer off the other end of a link that goes.
func (a *admission) release(r topology.Ref) {
	was, o := a.set.Get(r), a.given[r]
	if was == nil || r.Tenant != a.tenant {
		return
	}
	s, ok := was.Spec.(*topology.VPortSpec)
	if !ok || s.IsExterior() {
		return
	}
	port := was.VPortRef(s.Peer)
	if o != nil {
		if is, ok := o.Spec.(*topology.VPortSpec); ok && !is.IsExterior() && o.VPortRef(is.Peer) == port {
			return
		}
	}
	far, fs := a.end(port), a.port(port)
	if port.Tenant != a.tenant && fs != nil && !fs.IsExterior() && far.VPortRef(fs.Peer) == r {
		a.setPeer(far, "")
	}
}

// end is an object as the change leaves it so far.
func (a *admission) end(port topology.Ref) *topology.Object {
	if o := a.given[port]; o != nil {
		return o
	}
	return a.set.Get(port)
}

// port is the spec of that; nil if there is none.
func (a *admission) port(ref topology.Ref) *topology.VPortSpec {
	if o := a.end(ref); o != nil {
		s, _ := o.Spec.(*topology.VPortSpec)
		return s
	}
	return nil
}

func (a *admission) link(o *topology.Object, peer string, port topology.Ref) {
	far, fs := a.end(port), a.port(port)
	if fs == nil {
		return // its grant would not be there
	}
	switch is := far.VPortRef(fs.Peer); {
	case !fs.IsExterior() && is == o.Ref():
	case !fs.IsExterior():
		who := "by another"
		if is.Tenant == a.tenant {
			who = "by " + is.String()
		}
		a.fail(o, "spec.peer", peer, "is linked to already, "+who, "name another port, or remove that link")
	case a.isBound(port):
		a.fail(o, "spec.peer", peer, "is at an interface of an edge, and no link", "ask the provider for another port")
	default:
		a.setPeer(far, o.Ref().Tenant+"/"+o.Ref().Name)
	}
}

func (a *admission) isBound(port topology.Ref) bool {
	return slices.ContainsFunc(a.set.Users(port), func(r topology.Ref) bool { return r.Kind == topology.KindBinding })
}

// setPeer puts a port of another with another peer.
func (a *admission) setPeer(port *topology.Object, peer string) {
	o, s := *port, *port.Spec.(*topology.VPortSpec)
	s.Peer, s.Exterior = peer, false
	o.Spec = &s
	if i := slices.Index(a.put, port); i >= 0 {
		a.put[i] = &o
	} else {
		a.put = append(a.put, &o)
	}
	a.given[o.Ref()] = &o
}

// used checks that nobody else relies on what a tenant deletes.
func (a *admission) used(r topology.Ref) {
	if !a.gone[r] || r.Tenant != a.tenant {
		return
	}
	for _, u := range a.set.Users(r) {
		if u.Tenant == a.tenant || u.Kind == topology.KindVPort { // the other end of a link follows
			continue
		}
		a.errs = append(a.errs, &topology.FieldError{Object: r.String(), Problem: "is used by the provider", Hint: "ask for it to be let go of"})
		return
	}
}

// quota checks that the tenant does not come to have more objects than it may. One that has more already, as the quota was lowered, may still change and delete them.
func (a *admission) quota() {
	more := map[topology.Kind]int{}
	for r, o := range a.given {
		if r.Tenant == a.tenant && o.Counts() && a.set.Get(r) == nil {
			more[r.Kind]++
			more[""]++
		}
	}
	for r := range a.gone {
		if was := a.set.Get(r); was != nil && r.Tenant == a.tenant && was.Counts() {
			more[r.Kind]--
			more[""]--
		}
	}
	for _, kind := range append([]topology.Kind{""}, topology.Kinds()...) {
		name, what := string(kind), "objects of kind "+string(kind)
		if kind == "" {
			name, what = topology.QuotaTotal, "objects"
		}
		limit, limited := a.has.Quota[name]
		has := a.set.Count(a.tenant, kind)
		if !limited || more[kind] <= 0 || has+more[kind] <= int(limit) {
			continue
		}
		a.errs = append(a.errs, &topology.FieldError{
			Object: topology.TenantRef(a.tenant).String(), Field: "spec.quota." + name, Value: fmt.Sprint(limit),
			Problem: fmt.Sprintf("is exceeded: the tenant has %d %s, and would have %d", has, what, has+more[kind]), Hint: "delete some, or ask the provider for more",
		})
	}
}

// takenAway checks that what a tenant uses stays his: a port that he is linked to, a prefix that addresses of his are of.
func (a *admission) takenAway() {
	for r := range a.gone {
		if was := a.set.Get(r); was != nil && r.Kind == topology.KindTenant {
			a.keeps(was, new(topology.TenantSpec))
		}
	}
	for r, o := range a.given {
		if was := a.set.Get(r); was != nil && r.Kind == topology.KindTenant {
			if is, ok := o.Spec.(*topology.TenantSpec); ok {
				a.keeps(was, is)
			}
		}
	}
	slices.SortFunc(a.errs, func(x, y *topology.FieldError) int {
		return strings.Compare(x.Object+x.Field+x.Value+x.Problem, y.Object+y.Field+y.Value+y.Problem)
	})
}

// keeps checks that a tenant's objects do not rely on what it has no more.
func (a *admission) keeps(was *topology.Object, is *topology.TenantSpec) {
	had := was.Spec.(*topology.TenantSpec)
	less := slices.ContainsFunc(had.Ports, func(p string) bool { return !slices.Contains(is.Ports, p) }) ||
		slices.ContainsFunc(had.Prefixes, func(p netip.Prefix) bool { return !slices.Contains(is.Prefixes, p) })
	if !less {
		return
	}
	t := admission{set: a.set, tenant: was.Tenant(), has: had, given: a.given, gone: a.gone}
	for _, o := range a.set.All() {
		r := o.Ref()
		if r.Tenant != t.tenant || o.Status.Of != "" || a.gone[r] {
			continue
		}
		if next := a.given[r]; next != nil {
			o = next
		}
		if s, ok := o.Spec.(*topology.VPortSpec); ok && !s.IsExterior() {
			if p := o.VPortRef(s.Peer); t.mayLink(p) && !slices.Contains(is.Ports, p.Tenant+"/"+p.Name) {
				a.fail(was, "spec.ports", p.Tenant+"/"+p.Name, "can't be taken away: "+r.String()+" is linked to it", "remove that link in the same command")
			}
		}
		for _, x := range t.outsideOf(o) {
			if had.Leased(x.from, x.to) && !is.Leased(x.from, x.to) {
				a.fail(was, "spec.prefixes", x.text(), "can't be taken away: "+r.String()+" has it", "change that in the same command")
			}
		}
	}
}
