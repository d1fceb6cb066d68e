package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/weft-sdn/weft/flow"
)

// BGPRedistributeSpec is what a session advertises by itself, as it comes and goes.
type BGPRedistributeSpec struct {
	Sources     []string       `json:"sources"`               // connected, static: such routes of the router; floatingIPs, snatGateways, virtualAddresses: outside addresses of FloatingIPs, of SNATGateways, and those that dnat rules translate, of the router itself and of routers linked to it
	Within      []netip.Prefix `json:"within"`                // what is in none of these prefixes is not told
	Aggregate   bool           `json:"aggregate,omitempty"`   // in place of what is there, each prefix of within is told as long as anything in it is
	WhenDown    string         `json:"whenDown,omitempty"`    // what becomes of an address behind which nobody is up: withdraw (default), keep
	MED         uint32         `json:"med,omitempty"`         // as in advertise
	Communities []BGPCommunity `json:"communities,omitempty"` // as in advertise
	Prepend     uint8          `json:"prepend,omitempty"`     // as in advertise
}

// Sources of what is advertised by itself.
const (
	sourceConnected = "connected"
	sourceStatic    = "static"
	sourceFloating  = "floatingIPs"
	sourceSNAT      = "snatGateways"
	sourceVirtual   = "virtualAddresses"
)

const whenDownKeep = "keep"

// Telling is a prefix that a session tells its neighbour, or would.
type Telling struct {
	BGPPrefix
	From string // what in the session has it told, and because of which object
	Why  string // it is not told; empty: it is
}

// Own is what a router has to tell of, at one moment. Read-only.
type Own struct {
	fixed   *fixedRoutes
	publics shardMap[PublicKey, *Public]
	blocked map[flow.VPortID]string // ports of the router that take no packet, and why
	empty   map[poolFamily]bool     // pools that have no member of an IP version that gets new connections
	reaches map[netip.Prefix]bool   // whether the router has routes that sessions ask for. Not its table: that would be kept until the next one
	Pools   []DeviceID              // that must be loaded for this to be right, in order
}

// poolFamily is a pool for one IP version. Comparable.
type poolFamily struct {
	pool DeviceID
	v6   bool
}

// fixedRoutes are the static and connected routes of a router.
type fixedRoutes struct {
	all   []Route
	once  sync.Once
	table *LPM
}

func (f *fixedRoutes) lookup(a netip.Addr) []Route {
	f.once.Do(func() {
		f.table = new(LPM).With(slices.DeleteFunc(slices.Clone(f.all), func(r Route) bool { return r.Src.IsValid() || r.Origin == OriginBuiltin }), nil)
	})
	dst, none := flow.AddrOf(a), flow.Addr{}
	return f.table.Lookup(&dst, &none, a.Is6()).Routes
}

// Own returns what a router has to tell of; nil if it is not there. before is what was returned the last time, or nil: what is derived of its routes need not be again.
func (s *Snapshot) Own(id DeviceID, before *Own) *Own {
	r := s.Router(id)
	if r == nil {
		return nil
	}
	o := &Own{fixed: &fixedRoutes{all: r.static}, reaches: map[netip.Prefix]bool{}, blocked: map[flow.VPortID]string{}, empty: map[poolFamily]bool{}}
	if before != nil && len(before.fixed.all) == len(r.static) && &before.fixed.all[0] == &r.static[0] { // there are always some built in
		o.fixed = before.fixed
	}
	for _, p := range r.Ports {
		if why := s.blocked(s.VPort(p)); why != "" {
			o.blocked[p] = why
		}
		for _, b := range s.bgp[p] {
			b.Conditional(func(prefix netip.Prefix) { o.reaches[prefix] = r.Routes.Whole().Reaches(prefix) })
		}
	}
	p := s.publics.get(uint32(id))
	if p == nil {
		return o
	}
	o.publics = p.of
	for id := range p.pools {
		o.Pools = append(o.Pools, id)
		pool := s.Pool(id)
		for _, v6 := range []bool{false, true} {
			o.empty[poolFamily{id, v6}] = pool != nil && !slices.ContainsFunc(pool.Members, func(m Member) bool { return m.V6 == v6 && m.Open() })
		}
	}
	slices.Sort(o.Pools)
	return o
}

// blocked says why a port of a router takes no packet, if it does not.
func (s *Snapshot) blocked(p *VPort) string {
	switch {
	case p == nil:
		return "a port is not there"
	case p.AdminDown:
		return fmt.Sprintf("vport %s/%s is administratively down", p.Tenant, p.Name)
	case p.Exterior && s.LinkDown(p.ID):
		return fmt.Sprintf("the link of vport %s/%s is down", p.Tenant, p.Name)
	case p.Exterior:
		return ""
	}
	switch q := s.Far(p); {
	case q == nil || q.Device == 0:
		return fmt.Sprintf("vport %s/%s leads nowhere", p.Tenant, p.Name)
	case q.AdminDown:
		return fmt.Sprintf("the other end of vport %s/%s is administratively down", p.Tenant, p.Name)
	}
	return ""
}

// Tell returns what a session tells, and what it would but for a reason, by prefix. o may be nil, if the session redistributes nothing and nothing that it advertises depends on a route.
func (o *Own) Tell(b *BGPSession) map[netip.Prefix]Telling {
	t := telling{b: b, by: map[netip.Prefix]Telling{}}
	for i := range b.Advertise {
		p, why := b.Advertise[i], ""
		if p.IfRoute.IsValid() && (o == nil || !o.reaches[p.IfRoute]) {
			why = fmt.Sprintf("the router has no route to %s", p.IfRoute)
		}
		t.add(p, fmt.Sprintf("advertise[%d]", i), why)
	}
	for i := range b.Redistribute {
		if o != nil {
			o.redistribute(&t, i)
		}
	}
	if b.DefaultOriginate {
		t.defaults()
	}
	return t.by
}

// Conditional calls f with the prefixes that the router must have a route to for a session to tell others.
func (b *BGPSession) Conditional(f func(netip.Prefix)) {
	for i := range b.Advertise {
		if p := b.Advertise[i].IfRoute; p.IsValid() {
			f(p)
		}
	}
}

// telling gathers what a session tells.
type telling struct {
	b  *BGPSession
	by map[netip.Prefix]Telling
}

// add has a prefix told unless why says why not, export denies it, or the session has not its family. What is told goes before what is not, and what comes first before others.
func (t *telling) add(p BGPPrefix, from, why string) {
	yes, rule := t.b.Export.Permits(p.Prefix, nil)
	switch {
	case p.Prefix.Addr().Is4() && !t.b.V4 || p.Prefix.Addr().Is6() && !t.b.V6:
		return
	case why != "" || yes:
	case rule < 0:
		why = "no export rule fits"
	default:
		why = fmt.Sprintf("export[%d] denies it", rule)
	}
	if was, is := t.by[p.Prefix]; !is || was.Why != "" && (why == "" || from < was.From) {
		t.by[p.Prefix] = Telling{p, from, why}
	}
}

// defaults has default routes told of the session's families, unless they are already.
func (t *telling) defaults() {
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		p := netip.PrefixFrom(a, 0)
		if was, is := t.by[p]; (!is || was.Why != "") && (a.Is4() && t.b.V4 || a.Is6() && t.b.V6) {
			t.by[p] = Telling{BGPPrefix{Prefix: p}, "defaultOriginate", ""}
		}
	}
}

// redistribute adds what one rule of a session has told.
func (o *Own) redistribute(t *telling, at int) {
	r := &t.b.Redistribute[at]
	lead := fmt.Sprintf("redistribute[%d] ", at)
	told := map[netip.Prefix]int{} // prefixes of within, with how much in them is told
	found := func(p netip.Prefix, from, why string) {
		i := slices.IndexFunc(r.Within, func(w netip.Prefix) bool { return w.Bits() <= p.Bits() && w.Contains(p.Addr()) })
		switch {
		case i < 0:
		case !r.Aggregate:
			t.add(r.prefix(p), from, why)
		case why == "":
			told[r.Within[i]]++
		default:
			told[r.Within[i]] += 0
		}
	}
	o.eachRoute(r, lead, found)
	o.eachPublic(r, lead, found)
	for w, n := range told {
		switch n {
		case 0:
			t.add(r.prefix(w), lead+"aggregate", "nothing in it is up")
		case 1:
			t.add(r.prefix(w), lead+"aggregate of 1", "")
		default:
			t.add(r.prefix(w), fmt.Sprintf("%saggregate of %d", lead, n), "")
		}
	}
}

// prefix is one that is told by the rule.
func (r *BGPRedistributeSpec) prefix(p netip.Prefix) BGPPrefix {
	return BGPPrefix{Prefix: p, MED: r.MED, Communities: r.Communities, Prepend: r.Prepend}
}

// eachRoute goes through the static and connected routes that a rule has told; from begins with lead.
func (o *Own) eachRoute(r *BGPRedistributeSpec, lead string, found func(p netip.Prefix, from, why string)) {
	connected, static := slices.Contains(r.Sources, sourceConnected), slices.Contains(r.Sources, sourceStatic)
	if !connected && !static {
		return
	}
	for all := o.fixed.all; len(all) > 0; {
		n := 1
		for n < len(all) && all[n].Dst == all[0].Dst {
			n++
		}
		some := all[:n]
		all = all[n:]
		from, why := "", ""
		for i := range some {
			x := &some[i]
			kind := sourceStatic
			switch {
			case connected && x.Origin == OriginConnected:
				kind = sourceConnected
			case !static || x.Origin != OriginStatic || x.Src.IsValid():
				continue
			}
			down := ""
			if x.Kind == RoutePort {
				down = o.blocked[x.Port]
			}
			if from == "" || why != "" && down == "" {
				from, why = kind, down
			}
		}
		if from == "" {
			continue
		}
		if r.WhenDown == whenDownKeep {
			why = ""
		}
		found(some[0].Dst, lead+from, why)
	}
}

// eachPublic goes through the public addresses that a rule has told; from begins with lead.
func (o *Own) eachPublic(r *BGPRedistributeSpec, lead string, found func(p netip.Prefix, from, why string)) {
	floating, snat, virtual := slices.Contains(r.Sources, sourceFloating), slices.Contains(r.Sources, sourceSNAT), slices.Contains(r.Sources, sourceVirtual)
	if !floating && !snat && !virtual {
		return
	}
	for key, p := range o.publics.all() {
		kind, told := "", false
		switch key.Of.Kind {
		case KindFloatingIP:
			kind, told = "floatingip/", floating
		case KindSNATGateway:
			kind, told = "snatgateway/", snat
		case KindChain:
			kind, told = "chain/", virtual
		}
		if !told {
			continue
		}
		from := lead + kind + key.Of.Tenant + "/" + key.Of.Name
		for i := range p.Addrs {
			a := &p.Addrs[i]
			found(a.Prefix, from, o.whyNot(r, p, a))
		}
	}
}

// whyNot says why a public address is not told.
func (o *Own) whyNot(r *BGPRedistributeSpec, p *Public, a *PublicAddr) string {
	if why := o.unreached(p, a.Prefix.Addr()); why != "" {
		return why
	}
	if r.WhenDown == whenDownKeep {
		return ""
	}
	if p.Down != "" {
		return p.Down
	}
	if len(a.Pools) == 0 {
		return ""
	}
	for _, pool := range a.Pools {
		if !o.empty[poolFamily{pool, a.Prefix.Addr().Is6()}] {
			return ""
		}
	}
	return "no member of its pool is up"
}

// unreached says why the router does not send what is for an address to its owner.
func (o *Own) unreached(p *Public, a netip.Addr) string {
	if len(p.Ports) == 0 {
		return "" // it is the owner
	}
	why := "no static or connected route of the router leads to its owner"
	routes := o.fixed.lookup(a)
	for i := range routes {
		x := &routes[i]
		if x.Kind != RoutePort || !slices.Contains(p.Ports, x.Port) {
			continue
		}
		if why = o.blocked[x.Port]; why == "" {
			return ""
		}
	}
	return why
}
