package topology

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
)

// PublicsOf finds the public addresses of objects of a set, and which routers are to know of them. It remembers what bridges join, so one is good for as long as the set is.
type PublicsOf struct {
	set     *Set
	domains map[Ref][]facing
	border  map[Ref]bool
}

// facing is a router's port that leads to a link, or to a bridge.
type facing struct {
	router, port Ref
	id           flow.VPortID
}

// NewPublicsOf returns one for a set.
func NewPublicsOf(s *Set) *PublicsOf { return &PublicsOf{s, map[Ref][]facing{}, map[Ref]bool{}} }

// Of returns those of a FloatingIP or SNATGateway, or of the chains that a router and its ports run: by router that is to know.
func (x *PublicsOf) Of(r Ref) []Public {
	o := x.set.Get(r)
	if o == nil {
		return nil
	}
	switch s := o.Spec.(type) {
	case *FloatingIPSpec:
		p := Public{Of: r, Down: x.down(o.VPortRef(s.VPort))}
		for _, a := range s.Addresses {
			p.Addrs = append(p.Addrs, PublicAddr{Prefix: netip.PrefixFrom(a, a.BitLen())})
		}
		return x.at(o.refTo(KindRouter, s.Router), x.ports(o, s.Outside), p)
	case *SNATGatewaySpec:
		p := Public{Of: r}
		for _, a := range s.Addresses {
			for _, prefix := range prefixesOf(a) {
				p.Addrs = append(p.Addrs, PublicAddr{Prefix: prefix})
			}
		}
		return x.at(o.refTo(KindRouter, s.Router), x.ports(o, s.Outside), p)
	case *RouterSpec:
		return x.virtual(o)
	}
	return nil
}

func (x *PublicsOf) ports(o *Object, names []string) (refs []Ref) {
	for _, n := range names {
		refs = append(refs, o.VPortRef(n))
	}
	return refs
}

// at returns a copy of p for each router with exterior ports that is next to the owner by one of its ports: no other can have a session with anybody outside.
func (x *PublicsOf) at(owner Ref, outside []Ref, p Public) (all []Public) {
	if len(p.Addrs) == 0 || x.set.Get(owner) == nil {
		return nil
	}
	p.Owner = DeviceID(x.set.Get(owner).Status.ID)
	by := map[DeviceID][]flow.VPortID{}
	for _, ref := range outside {
		port := x.set.Get(ref)
		if port == nil {
			continue
		}
		if s := port.Spec.(*VPortSpec); s.IsExterior() {
			by[p.Owner] = nil
		}
		for _, f := range x.beyond(port) {
			if id := DeviceID(x.set.Get(f.router).Status.ID); f.router != owner && x.borders(f.router) {
				by[id] = append(by[id], f.id)
			}
		}
	}
	for id, ports := range by {
		slices.Sort(ports)
		c := p
		c.Router, c.Ports = id, slices.Compact(ports)
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Public) int { return cmp.Compare(a.Router, b.Router) })
	return all
}

// borders reports whether a router has exterior ports.
func (x *PublicsOf) borders(router Ref) bool {
	yes, known := x.border[router]
	if !known {
		for port := range x.portsOf(router) {
			if yes = port.Spec.(*VPortSpec).IsExterior(); yes {
				break
			}
		}
		x.border[router] = yes
	}
	return yes
}

// portsOf goes through the ports of a device, in no order.
func (x *PublicsOf) portsOf(device Ref) iter.Seq[*Object] {
	return func(yield func(*Object) bool) {
		users, _ := x.set.users.get(device)
		for u := range users {
			if u.Kind != KindVPort {
				continue
			}
			if port := x.set.Get(u); port != nil && !port.Status.Expanded && !yield(port) {
				return
			}
		}
	}
}

// beyond returns the routers' ports at the other end of a port's link, or of the bridges there.
func (x *PublicsOf) beyond(port *Object) []facing {
	s := port.Spec.(*VPortSpec)
	if s.IsExterior() {
		return nil
	}
	peer := x.set.Get(port.VPortRef(s.Peer))
	if peer == nil {
		return nil
	}
	device, _ := peer.DeviceRef()
	switch {
	case x.set.Get(device) == nil:
		return nil
	case device.Kind == KindRouter:
		return []facing{{device, peer.Ref(), flow.VPortID(peer.Status.ID)}}
	}
	return x.domain(device)
}

// domain returns the ports of routers that lead to a bridge, or to one linked to it.
func (x *PublicsOf) domain(bridge Ref) []facing {
	if found, known := x.domains[bridge]; known {
		return found
	}
	var found []facing
	bridges := []Ref{bridge}
	for i := 0; i < len(bridges); i++ {
		for port := range x.portsOf(bridges[i]) {
			if port.Spec.(*VPortSpec).IsExterior() {
				continue
			}
			peer := x.set.Get(port.VPortRef(port.Spec.(*VPortSpec).Peer))
			if peer == nil {
				continue
			}
			switch device, _ := peer.DeviceRef(); {
			case x.set.Get(device) == nil:
			case device.Kind == KindRouter:
				found = append(found, facing{device, peer.Ref(), flow.VPortID(peer.Status.ID)})
			case !slices.Contains(bridges, device):
				bridges = append(bridges, device)
			}
		}
	}
	for _, b := range bridges {
		x.domains[b] = found
	}
	return found
}

// down says why nobody is at a host's port, if nobody is.
func (x *PublicsOf) down(ref Ref) string {
	port := x.set.Get(ref)
	if port == nil {
		return fmt.Sprintf("%v does not exist", ref)
	}
	s := port.Spec.(*VPortSpec)
	if s.AdminDown {
		return fmt.Sprintf("%v is administratively down", ref)
	}
	if !s.IsExterior() {
		return ""
	}
	for _, u := range x.set.Users(ref) {
		if b := x.set.Get(u); u.Kind == KindBinding && b != nil && !b.Status.Expanded {
			return ""
		}
	}
	return fmt.Sprintf("%v is bound nowhere", ref)
}

// virtual returns the destinations that the chains of a router, and of its ports, translate: by chain. Those of FloatingIPs are theirs.
func (x *PublicsOf) virtual(router *Object) (all []Public) {
	var ports []Ref
	roots := x.roots(router, router.Spec.(*RouterSpec).Filters.Ingress)
	for port := range x.portsOf(router.Ref()) {
		ports = append(ports, port.Ref())
		roots = append(roots, x.roots(port, port.Spec.(*VPortSpec).Filters.Ingress)...)
	}
	for i := 0; i < len(roots); i++ { // and those that they jump to
		chain := x.set.Get(roots[i])
		if chain == nil || chain.Status.Of != "" {
			continue
		}
		s := chain.Spec.(*ChainSpec)
		p := Public{Of: roots[i]}
		for j := range s.Rules {
			rule := &s.Rules[j]
			if rule.Action == "jump" {
				if next := chain.refTo(KindChain, rule.Chain); !slices.Contains(roots, next) {
					roots = append(roots, next)
				}
			}
			if rule.Action == "dnat" {
				p.translates(x.set, chain, rule)
			}
		}
		all = append(all, x.at(router.Ref(), ports, p)...)
	}
	return all
}

func (x *PublicsOf) roots(o *Object, chain string) []Ref {
	if chain == "" {
		return nil
	}
	return []Ref{o.refTo(KindChain, chain)}
}

// translates adds the destinations of a dnat rule.
func (p *Public) translates(set *Set, chain *Object, rule *RuleSpec) {
	var pool DeviceID
	if rule.NAT != nil && rule.NAT.Pool != "" {
		if o := set.Get(chain.refTo(KindPool, rule.NAT.Pool)); o != nil {
			pool = DeviceID(o.Status.ID)
		}
	}
	dst := slices.Clone(rule.Match.Dst)
	for _, g := range rule.Match.DstGroups {
		if o := set.Get(chain.refTo(KindAddressGroup, g)); o != nil {
			dst = append(dst, o.Spec.(*AddressGroupSpec).Addresses...)
		}
	}
	for _, d := range dst {
		at := slices.IndexFunc(p.Addrs, func(a PublicAddr) bool { return a.Prefix == d.Masked() })
		switch {
		case at < 0:
			a := PublicAddr{Prefix: d.Masked()}
			if pool != 0 {
				a.Pools = []DeviceID{pool}
			}
			p.Addrs = append(p.Addrs, a)
		case pool == 0:
			p.Addrs[at].Pools = nil // another port of it leads to an address
		case len(p.Addrs[at].Pools) > 0 && !slices.Contains(p.Addrs[at].Pools, pool):
			p.Addrs[at].Pools = append(p.Addrs[at].Pools, pool)
		}
	}
}

// prefixesOf returns the fewest prefixes that are a range of addresses.
func prefixesOf(r AddrRange) (all []netip.Prefix) {
	if !r.First.IsValid() || r.First.Is4() != r.Last.Is4() {
		return nil
	}
	for a := r.First; a.IsValid() && a.Compare(r.Last) <= 0; {
		n := a.BitLen()
		for n > 0 { // the longest block that begins here and ends in the range
			wider := netip.PrefixFrom(a, n-1)
			if wider.Masked().Addr() != a || lastOf(wider).Compare(r.Last) > 0 {
				break
			}
			n--
		}
		p := netip.PrefixFrom(a, n)
		all = append(all, p)
		a = lastOf(p).Next()
	}
	return all
}

// lastOf returns the last address of a masked prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// PublicUsers returns the objects whose public addresses may be others once some objects changed from one set to another; each is to be asked for in both.
func PublicUsers(before, after *Set, changed []Ref) []Ref {
	u := users{found: map[Ref]bool{}, seen: map[Ref]bool{}, sets: [2]*PublicsOf{NewPublicsOf(before), NewPublicsOf(after)}}
	for _, r := range changed {
		u.of(r)
	}
	refs := make([]Ref, 0, len(u.found))
	for r := range u.found {
		refs = append(refs, r)
	}
	slices.SortFunc(refs, compareByKind)
	return refs
}

// users gathers them.
type users struct {
	found map[Ref]bool
	seen  map[Ref]bool // chains and groups, and bridges of which all that is around is found
	sets  [2]*PublicsOf
}

func (u *users) of(r Ref) {
	switch r.Kind {
	case KindFloatingIP, KindSNATGateway, KindRouter:
		u.found[r] = true
	case KindChain, KindAddressGroup, KindPool:
		if o := cmp.Or(u.sets[0].set.Get(r), u.sets[1].set.Get(r)); o != nil && o.Status.Of == "" {
			u.chain(r)
		}
	case KindBinding:
		for _, x := range u.sets {
			if b := x.set.Get(r); b != nil {
				u.port(x, b.VPortRef(b.Spec.(*BindingSpec).VPort))
			}
		}
	case KindVPort:
		u.vport(r)
	}
}

// chain finds the routers that run a chain, or one that names it, or a group or pool.
func (u *users) chain(r Ref) {
	if u.seen[r] {
		return
	}
	u.seen[r] = true
	for _, x := range u.sets {
		for _, by := range x.set.Users(r) {
			switch by.Kind {
			case KindChain:
				u.chain(by)
			case KindRouter:
				u.found[by] = true
			case KindVPort:
				u.port(x, by)
			}
		}
	}
}

// port finds what names a port, and the router that it is one of.
func (u *users) port(x *PublicsOf, r Ref) {
	for _, by := range x.set.Users(r) {
		if by.Kind == KindFloatingIP || by.Kind == KindSNATGateway {
			u.found[by] = true
		}
	}
	if o := x.set.Get(r); o != nil {
		if d, _ := o.DeviceRef(); d.Kind == KindRouter {
			u.found[d] = true
		}
	}
}

// vport finds what a port that changed leads to. All that is around a bridge is found only if a router that may be told of it came or went there.
func (u *users) vport(r Ref) {
	for _, x := range u.sets {
		o := x.set.Get(r)
		if o == nil {
			continue
		}
		u.port(x, r)
		device, _ := o.DeviceRef()
		if device.Kind == KindRouter && u.sets[0].borders(device) != u.sets[1].borders(device) {
			for p := range x.portsOf(device) {
				u.beyond(x, p)
			}
		}
		s := o.Spec.(*VPortSpec)
		if s.IsExterior() {
			continue
		}
		peer := x.set.Get(o.VPortRef(s.Peer))
		if peer == nil {
			continue
		}
		u.port(x, peer.Ref())
		far, _ := peer.DeviceRef()
		switch {
		case device.Kind == KindBridge && (far.Kind == KindBridge || u.sets[0].borders(far) || u.sets[1].borders(far)):
			u.around(x, device)
		case device.Kind == KindRouter && far.Kind == KindBridge && (u.sets[0].borders(device) || u.sets[1].borders(device)):
			u.around(x, far)
		}
	}
}

// beyond finds what names the ports at the other end of a port's link, or of the bridges there.
func (u *users) beyond(x *PublicsOf, port *Object) {
	s := port.Spec.(*VPortSpec)
	if s.IsExterior() {
		return
	}
	peer := x.set.Get(port.VPortRef(s.Peer))
	if peer == nil {
		return
	}
	if device, _ := peer.DeviceRef(); device.Kind == KindBridge {
		u.around(x, device)
		return
	}
	u.port(x, peer.Ref())
}

// around finds what names ports that lead to a bridge.
func (u *users) around(x *PublicsOf, bridge Ref) {
	if u.seen[bridge] {
		return
	}
	u.seen[bridge] = true
	for _, y := range u.sets {
		for _, f := range y.domain(bridge) {
			u.port(y, f.port)
		}
	}
}
