package access

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// addresses checks that what an object has outside is leased to the tenant.
func (a *admission) addresses(o *topology.Object) {
	var before []outside
	if was := a.set.Get(o.Ref()); was != nil {
		before = a.outsideOf(was)
	}
	for _, x := range a.outsideOf(o) {
		if a.has.Leased(x.from, x.to) || slices.ContainsFunc(before, func(b outside) bool { return b.from == x.from && b.to == x.to }) {
			continue
		}
		hint := "ask the provider for a prefix"
		if len(a.has.Prefixes) > 0 {
			hint = "use one of " + list(a.has.Prefixes)
		}
		a.fail(o, x.field, x.text(), "is not leased to tenant "+a.tenant, hint)
	}
}

func list(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

// outside is a range of addresses that others than the tenant see.
type outside struct {
	field    string
	from, to netip.Addr
}

func (x *outside) text() string {
	if x.from == x.to {
		return x.from.String()
	}
	return x.from.String() + "-" + x.to.String()
}

// outsideOf returns the addresses that others see of an object: of a FloatingIP, of a gateway, of a rule that gives packets a source, or takes packets for a destination, which is not a private one, of a router's exterior port if it is not a
// private one, and of a port that is linked to another's, unless it is on the link that the other port makes.
func (a *admission) outsideOf(o *topology.Object) []outside {
	var all []outside
	add := func(field string, from, to netip.Addr) { all = append(all, outside{field, from, to}) }
	switch s := o.Spec.(type) {
	case *topology.FloatingIPSpec:
		for i, x := range s.Addresses {
			add(fmt.Sprintf("spec.addresses[%d]", i), x, x)
		}
	case *topology.SNATGatewaySpec:
		for i, x := range s.Addresses {
			add(fmt.Sprintf("spec.addresses[%d]", i), x.First, x.Last)
		}
	case *topology.ChainSpec:
		for i := range s.Rules {
			a.translated(o, &s.Rules[i], fmt.Sprintf("spec.rules[%d]", i), add)
		}
	case *topology.AddressGroupSpec:
		if !a.isTranslated(o.Ref()) {
			break
		}
		for i, x := range s.Addresses {
			if public(x.Prefix.Addr()) {
				add(fmt.Sprintf("spec.addresses[%d]", i), x.Prefix.Masked().Addr(), last(x.Prefix))
			}
		}
	case *topology.VPortSpec:
		for i, x := range s.Addresses {
			if a.isOutside(o, s, x) {
				add(fmt.Sprintf("spec.addresses[%d]", i), x.Addr(), x.Addr())
			}
		}
	}
	return all
}

// translated adds the public addresses that a rule has packets come from, or takes packets for.
func (a *admission) translated(o *topology.Object, r *topology.RuleSpec, at string, add func(field string, from, to netip.Addr)) {
	prefix := func(field string, p netip.Prefix) {
		if p.IsValid() && public(p.Addr()) {
			add(at+field, p.Masked().Addr(), last(p))
		}
	}
	switch n := r.NAT; {
	case r.Action == "dnat":
		if n != nil {
			prefix(".nat.from", n.From.Prefix)
		}
		for j, d := range r.Match.Dst {
			prefix(fmt.Sprintf(".match.dst[%d]", j), d.Prefix)
		}
		for j, name := range r.Match.DstGroups {
			g := a.end(topology.Ref{Kind: topology.KindAddressGroup, Tenant: o.Tenant(), Name: strings.TrimPrefix(name, o.Tenant()+"/")})
			if g == nil {
				continue // refused by validation
			}
			s, ok := g.Spec.(*topology.AddressGroupSpec)
			if !ok {
				continue
			}
			for _, d := range s.Addresses {
				prefix(fmt.Sprintf(".match.dstGroups[%d]", j), d.Prefix)
			}
		}
	case r.Action == "snat" && n != nil:
		for j, x := range n.Addresses {
			if public(x.First) || public(x.Last) {
				add(fmt.Sprintf("%s.nat.addresses[%d]", at, j), x.First, x.Last)
			}
		}
		prefix(".nat.to", n.To.Prefix)
	}
}

// isTranslated reports whether packets for the addresses of a group are taken by a rule that gives them another destination.
func (a *admission) isTranslated(group topology.Ref) bool {
	takes := func(o *topology.Object) bool {
		s, ok := o.Spec.(*topology.ChainSpec)
		return ok && slices.ContainsFunc(s.Rules, func(r topology.RuleSpec) bool {
			return r.Action == "dnat" && slices.ContainsFunc(r.Match.DstGroups, func(name string) bool { return name == group.Name || name == group.Tenant+"/"+group.Name })
		})
	}
	for _, u := range a.set.Users(group) {
		if o := a.end(u); o != nil && o.Tenant() == group.Tenant && takes(o) {
			return true
		}
	}
	return false // a chain of this change looks at the group itself
}

// isOutside reports whether others see an address of a port.
func (a *admission) isOutside(o *topology.Object, s *topology.VPortSpec, x netip.Prefix) bool {
	if s.IsExterior() {
		device, _ := o.DeviceRef()
		return device.Kind == topology.KindRouter && public(x.Addr())
	}
	port := o.VPortRef(s.Peer)
	far := a.port(port)
	if port.Tenant == a.tenant || far == nil {
		return false
	}
	return !slices.ContainsFunc(far.Addresses, func(p netip.Prefix) bool { return p.Contains(x.Addr()) && p.Addr() != x.Addr() && p.Bits() <= x.Bits() })
}

// public reports whether an address means something outside of one network.
func public(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10) // RFC 6598
	return a.IsValid() && !a.IsPrivate() && !a.IsLinkLocalUnicast() && !a.IsLoopback() && !shared.Contains(a)
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
