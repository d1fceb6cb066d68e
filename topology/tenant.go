package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// TenantSpec says what a tenant has from the provider (A1), who alone writes it. The object is in the tenant of which it speaks, and has its name. A tenant without one has none of this, and no limit.
type TenantSpec struct {
	Ports    []string          `json:"ports,omitempty"`    // ports of others, TENANT/NAME, that the tenant may link ports of its own to: one each. Such a port is given no peer; a link from the other end sets it
	Prefixes []netip.Prefix    `json:"prefixes,omitempty"` // leased to it: outside addresses of its FloatingIPs, SNATGateways and linked ports are of these, and of no other tenant's
	Quota    map[string]uint32 `json:"quota,omitempty"`    // how many objects of a kind it may have, such as VPort: 100, and of all kinds, total: 500; those not named: any number
}

func (*TenantSpec) kind() Kind { return KindTenant }

// QuotaTotal is the name in a quota of objects of all kinds.
const QuotaTotal = "total"

// TenantRef names the object that says what a tenant has.
func TenantRef(tenant string) Ref { return Ref{KindTenant, tenant, tenant} }

// Tenant returns what a tenant has; nothing if nothing is said.
func (s *Set) Tenant(name string) *TenantSpec {
	if o := s.Get(TenantRef(name)); o != nil {
		return o.Spec.(*TenantSpec)
	}
	return &TenantSpec{}
}

// Leased reports whether all addresses from one to another are of prefixes that the tenant has.
func (s *TenantSpec) Leased(from, to netip.Addr) bool {
	return slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return p.Contains(from) && p.Contains(to) })
}

// tally is of how many objects of a kind a tenant has; of all kinds if that is empty. Comparable.
type tally struct {
	tenant string
	kind   Kind
}

// Count returns how many objects of a kind a tenant has, and of all kinds if kind is empty: those that users wrote, without parts and without what the provider says of the tenant.
func (s *Set) Count(tenant string, kind Kind) int {
	n, _ := s.tallies.get(tally{tenant, kind})
	return n
}

// Counts reports whether an object is one of those that count.
func (o *Object) Counts() bool { return o.Status.Of == "" && o.Kind != KindTenant }

// put puts an object, drop takes one away.
func (e *setEdit) put(o *Object) {
	e.count(e.set.Get(o.Ref()), -1)
	e.objects.set(o.Ref(), o)
	e.count(o, 1)
}

func (e *setEdit) drop(r Ref) {
	e.count(e.set.Get(r), -1)
	e.objects.remove(r)
}

// count follows objects that come (1) and go (-1).
func (e *setEdit) count(o *Object, by int) {
	if o == nil {
		return
	}
	if o.Kind == KindTenant {
		tenants := e.tenants()
		if tenants[o.Ref()] = struct{}{}; by < 0 {
			delete(tenants, o.Ref())
		}
	}
	if !o.Counts() {
		return
	}
	for _, kind := range []Kind{o.Kind, ""} {
		t := tally{o.Tenant(), kind}
		n, _ := e.set.tallies.get(t)
		if n += by; n == 0 {
			e.tallies.remove(t)
		} else {
			e.tallies.set(t, n)
		}
	}
}

// tenants returns the objects that say what tenants have, to be changed.
func (e *setEdit) tenants() map[Ref]struct{} {
	if !e.ownTenants {
		e.ownTenants = true
		next := make(map[Ref]struct{}, len(e.set.tenants)+1)
		maps.Copy(next, e.set.tenants)
		e.set.tenants = next
	}
	return e.set.tenants
}

// tenant checks what a tenant has.
func (v *validator) tenant(o *Object, s *TenantSpec) {
	if o.Metadata.Name != o.Tenant() {
		v.fail(o, "metadata.name", o.Metadata.Name, "is not the name of its tenant, "+o.Tenant(), "give metadata.tenant and metadata.name the name of the tenant that is meant")
	}
	for i, p := range s.Ports {
		field := fmt.Sprintf("spec.ports[%d]", i)
		switch ref := o.VPortRef(p); {
		case !strings.Contains(p, "/") || ref.Tenant == o.Tenant():
			v.fail(o, field, p, "is the tenant's own", "name a port of another, as TENANT/NAME")
		case slices.Contains(s.Ports[:i], p):
			v.fail(o, field, p, "is listed twice", "list each port once")
		case v.set.Get(ref) == nil:
			v.there(o, field, KindVPort, p)
		case v.set.Get(ref).Status.Of != "":
			v.failRef(o, field, p, "is a part of "+v.set.Get(ref).Status.Of, "name that")
		}
	}
	for i, p := range s.Prefixes {
		field := fmt.Sprintf("spec.prefixes[%d]", i)
		v.prefix(o, field, p)
		if j := slices.IndexFunc(s.Prefixes[:i], p.Overlaps); j >= 0 {
			v.fail(o, field, p.String(), "overlaps with "+s.Prefixes[j].String(), "list each address once")
		}
		v.leasedOnce(o, field, p)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Quota)) {
		if Kind(name) != KindTenant && (name == QuotaTotal || slices.Contains(Kinds(), Kind(name))) {
			continue
		}
		v.fail(o, "spec.quota."+name, name, "is no kind of a tenant's objects", "use a kind such as VPort, or "+QuotaTotal)
	}
}

// leasedOnce checks that no other tenant has addresses of a prefix.
func (v *validator) leasedOnce(o *Object, field string, p netip.Prefix) {
	if v.alone {
		return
	}
	for _, r := range slices.SortedFunc(maps.Keys(v.set.tenants), compareRefs) {
		for _, other := range v.set.Get(r).Spec.(*TenantSpec).Prefixes {
			if r != o.Ref() && p.Overlaps(other) {
				v.fail(o, field, p.String(), "overlaps with "+other.String()+", which "+r.String()+" has", "lease each address to one tenant")
			}
		}
	}
}
