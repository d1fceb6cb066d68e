package topology

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/packet"
)

// Action is what a rule does with a packet that meets it.
type Action uint8

// Actions. Those from ActionContinue on go on with the next rule.
const (
	ActionReturn Action = iota // back to the chain that jumped here; at the outermost chain: accept
	ActionAccept
	ActionDrop
	ActionReject // drop, and tell the sender
	ActionJump
	ActionContinue
	ActionMark
	ActionSNAT
	ActionMasquerade // SNAT to the address of the port by which the packet leaves
	ActionDNAT
)

var actionNames = [...]string{"return", "accept", "drop", "reject", "jump", "continue", "mark", "snat", "masquerade", "dnat"}

// translates reports whether a rule's action is NAT.
func (a Action) translates() bool { return a >= ActionSNAT }

// String returns the word that a rule has for it.
func (a Action) String() string { return actionNames[a] }

func actionOf(s string) Action { return Action(max(0, slices.Index(actionNames[:], s))) }

// Filters are the chains of a device or vport; 0: none.
type Filters struct{ Ingress, Egress DeviceID }

// Chain is a list of rules, ready to be searched. Read-only.
type Chain struct {
	ID          DeviceID
	Name        string
	Tenant      string
	Rules       []ChainRule // in the order in which they are tried
	End         Action      // of a packet that meets no rule
	AsksState   bool        // a rule names the state of connections
	Masquerades bool
	Static      bool // a rule of its own is static NAT
	// Addresses that rules give sources, and that they give destinations; nil: none.
	Sources, Destinations *filter.Addrs
	Jumps                 []DeviceID
	Classifier            *filter.Classifier
	Missing               []DeviceID // groups and pools that its rules name and that are not loaded: then there is no Classifier
	Used                  []DeviceID // groups and pools that its rules name, and chains that they jump to

	matches []filter.Rule // of Rules

	ref  Ref
	spec *ChainSpec
	uses map[string]uint32
}

// ChainRule is what becomes of a packet that meets a rule.
type ChainRule struct {
	Name   string
	Action Action
	Chain  DeviceID // ActionJump
	Mark   uint32   // ActionMark
	Log    bool
	NAT    *NATSpec // of SNAT, masquerade, DNAT; may be nil
	Static bool     // of SNAT, DNAT: each address of NAT.From becomes the one at the same place of NAT.To
	Pool   DeviceID // of DNAT, in place of addresses; 0: none
	Then   Action   // of the same: what follows
	Asks   bool     // names the state of connections
	Local  bool     // a connection that it makes stateful may begin without the database
	Link   bool     // speaks of the link: of MACs, EtherTypes or ICMP types. No other rule meets ARP and neighbour discovery
}

// group is a set that rules share.
type group struct {
	ref   Ref
	spec  Spec
	set   *filter.Set
	addrs *filter.Addrs // of an address group: the same
}

// Chain returns a chain, nil if there is none, or if it is not loaded.
func (s *Snapshot) Chain(id DeviceID) *Chain { return s.chains.get(uint32(id)) }

// Translates reports whether a rule of the chain translates.
func (c *Chain) Translates() bool {
	return c.Masquerades || c.Static || c.Sources != nil || c.Destinations != nil
}

// Ref returns the name of the device, chain or group with an id.
func (s *Snapshot) Ref(id DeviceID) (Ref, bool) {
	if b := s.Bridge(id); b != nil {
		return b.ref, true
	}
	if r := s.Router(id); r != nil {
		return r.ref, true
	}
	if c := s.Chain(id); c != nil {
		return c.ref, true
	}
	if g := s.sets.get(uint32(id)); g != nil {
		return g.ref, true
	}
	if d := s.DHCP(id); d != nil {
		return d.ref, true
	}
	if p := s.Pool(id); p != nil {
		return p.ref, true
	}
	return Ref{}, false
}

// Has reports whether a device, chain or group is loaded.
func (s *Snapshot) Has(id DeviceID) bool {
	_, ok := s.Ref(id)
	return ok
}

// filtersIn returns the chains of an object by id.
func filtersIn(o *Object) Filters {
	f := filtersOf(o.Spec)
	id := func(name string) DeviceID {
		if name == "" {
			return 0
		}
		return DeviceID(o.Status.Uses[o.refTo(KindChain, name).String()])
	}
	return Filters{id(f.Ingress), id(f.Egress)}
}

func (f Filters) ids() []DeviceID {
	var ids []DeviceID
	for _, id := range []DeviceID{f.Ingress, f.Egress} {
		if id != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// compile makes the rules of a chain ready, with the groups and pools that there are.
func (c *Chain) compile(sets *table[group], pools *table[Pool]) {
	o := &Object{Metadata: Metadata{Tenant: c.ref.Tenant}, Status: Status{Uses: c.uses}}
	m := matcher{object: o, sets: sets}
	specs := make([]*RuleSpec, len(c.spec.Rules))
	names := map[*RuleSpec]string{}
	for i := range c.spec.Rules {
		specs[i] = &c.spec.Rules[i]
		names[specs[i]] = ruleName(specs[i], i)
	}
	slices.SortStableFunc(specs, func(a, b *RuleSpec) int { return cmp.Compare(a.Priority, b.Priority) })
	c.Rules, c.AsksState, c.Masquerades, c.Static, c.Jumps = make([]ChainRule, len(specs)), false, false, false, nil
	var sources, destinations []filter.Range
	rules := make([]filter.Rule, len(specs))
	for i, s := range specs {
		r := ChainRule{Name: names[s], Action: actionOf(s.Action), Mark: s.Mark, Log: s.Log, NAT: s.NAT, Then: ActionContinue, Local: s.WhenAway == whenAwayLocal}
		if s.Then != "" {
			r.Then = actionOf(s.Then)
		}
		if s.Chain != "" {
			r.Chain = m.id(KindChain, s.Chain)
			if !slices.Contains(c.Jumps, r.Chain) {
				c.Jumps = append(c.Jumps, r.Chain)
			}
		}
		switch {
		case s.NAT.isStatic():
			r.Static, c.Static = true, true
		case r.Action == ActionMasquerade:
			c.Masquerades = true
		case r.Action == ActionSNAT:
			sources = append(sources, each(s.NAT.Addresses, addrRange)...)
		case r.Action == ActionDNAT:
			destinations = append(destinations, each(s.NAT.Addresses, addrRange)...)
			if s.NAT.Pool == "" {
				break
			}
			r.Pool = m.id(KindPool, s.NAT.Pool)
			if p := pools.get(uint32(r.Pool)); p != nil {
				destinations = append(destinations, p.addresses()...)
			} else if !slices.Contains(m.missing, r.Pool) {
				m.missing = append(m.missing, r.Pool)
			}
		}
		for _, side := range []*MatchSpec{&s.Match, &s.Not} {
			if len(side.States) > 0 {
				c.AsksState, r.Asks = true, true
			}
			r.Link = r.Link || len(side.EtherTypes)+len(side.SrcMACs)+len(side.DstMACs)+len(side.ICMP) > 0
		}
		c.Rules[i] = r
		m.conditions(&rules[i], &s.Match, false)
		m.conditions(&rules[i], &s.Not, true)
		if r.Static {
			rules[i].Conditions = append(rules[i].Conditions, s.NAT.condition(r.Action))
		}
	}
	c.Sources, c.Destinations = among(sources), among(destinations)
	c.End = actionOf(c.spec.Default)
	c.Used, c.Missing, c.Classifier, c.matches = m.used, m.missing, nil, rules
	if len(m.missing) == 0 {
		c.Classifier = filter.Compile(rules)
	}
}

// condition is what a static translation is met by: what it translates, alone.
func (n *NATSpec) condition(action Action) filter.Condition {
	f := filter.Src
	if action == ActionDNAT {
		f = filter.Dst
	}
	return filter.Condition{Field: f, Sets: addrSet([]AddrSpec{n.From})}
}

// isStatic reports whether a translation is of a prefix to a prefix.
func (n *NATSpec) isStatic() bool { return n != nil && (n.From.IsValid() || n.To.IsValid()) }

// among is the set of some ranges of addresses; nil if there are none.
func among(ranges []filter.Range) *filter.Addrs {
	if len(ranges) == 0 {
		return nil
	}
	return filter.NewAddrs(ranges...)
}

func addrRange(r AddrRange) filter.Range {
	return filter.Range{Lo: filter.AddrValue(r.First), Hi: filter.AddrValue(r.Last), V6: r.First.Is6()}
}

// ruleName is what errors, traces and logs call a chain's rule with index i.
func ruleName(r *RuleSpec, i int) string { return cmp.Or(r.Name, fmt.Sprintf("#%d", i+1)) }

// matcher turns what rules ask into conditions.
type matcher struct {
	object  *Object // of the chain: tenant and ids
	sets    *table[group]
	used    []DeviceID
	missing []DeviceID
}

func (m *matcher) id(k Kind, name string) DeviceID {
	id := DeviceID(m.object.Status.Uses[m.object.refTo(k, name).String()])
	if k != KindVPort && !slices.Contains(m.used, id) {
		m.used = append(m.used, id)
	}
	return id
}

// groups are the sets of groups by name.
func (m *matcher) groups(k Kind, names []string) []*filter.Set {
	var sets []*filter.Set
	for _, n := range names {
		id := m.id(k, n)
		if g := m.sets.get(uint32(id)); g != nil {
			sets = append(sets, g.set)
		} else if !slices.Contains(m.missing, id) {
			m.missing = append(m.missing, id)
		}
	}
	return sets
}

// conditions adds what a rule's match, or not, asks.
func (m *matcher) conditions(r *filter.Rule, s *MatchSpec, not bool) {
	add := func(f filter.Field, ranges []filter.Range, more ...*filter.Set) {
		if len(ranges) > 0 {
			more = append(more, filter.NewSet(ranges...))
		}
		if len(more) > 0 {
			r.Conditions = append(r.Conditions, filter.Condition{Field: f, Not: not, Sets: more})
		}
	}
	one := func(n uint64) filter.Range { return filter.Range{Lo: filter.V(n), Hi: filter.V(n)} }
	vports := func(names []string) (ranges []filter.Range) {
		for _, n := range names {
			ranges = append(ranges, one(uint64(m.id(KindVPort, n))))
		}
		return ranges
	}
	add(filter.InPort, vports(s.InPorts), m.groups(KindPortGroup, s.InPortGroups)...)
	add(filter.OutPort, vports(s.OutPorts), m.groups(KindPortGroup, s.OutPortGroups)...)
	add(filter.Mark, each(s.Marks, func(n uint32) filter.Range { return one(uint64(n)) }))
	add(filter.EtherType, each(s.EtherTypes, func(n EtherType) filter.Range { return one(uint64(n)) }))
	add(filter.SrcMAC, each(s.SrcMACs, func(n packet.MAC) filter.Range { return one(n.Uint64()) }))
	add(filter.DstMAC, each(s.DstMACs, func(n packet.MAC) filter.Range { return one(n.Uint64()) }))
	add(filter.Proto, each(s.Protocols, func(n Protocol) filter.Range { return one(uint64(n)) }))
	add(filter.Src, nil, append(addrSet(s.Src), m.groups(KindAddressGroup, s.SrcGroups)...)...)
	add(filter.Dst, nil, append(addrSet(s.Dst), m.groups(KindAddressGroup, s.DstGroups)...)...)
	ports := func(p PortRange) filter.Range {
		return filter.Range{Lo: filter.V(uint64(p.First)), Hi: filter.V(uint64(p.Last))}
	}
	add(filter.DstPort, each(s.DstPorts, ports))
	add(filter.SrcPort, append(each(s.SrcPorts, ports), each(s.ICMP, icmpRange)...))
	add(filter.Fragment, each(s.Fragments, func(n Fragment) filter.Range { return one(uint64(n)) }))
	add(filter.DSCP, each(s.DSCP, func(n uint16) filter.Range { return one(uint64(n)) }))
	var flags []filter.Range
	for n := range uint64(256) {
		if slices.ContainsFunc(s.TCPFlags, func(f FlagSpec) bool { return uint8(n)&(f.Set|f.Clear) == f.Set }) {
			flags = append(flags, one(n))
		}
	}
	add(filter.TCPFlags, flags)
	add(filter.State, each(s.States, func(n ConnState) filter.Range { return one(uint64(n)) }))
}

// icmpRange is an ICMP type, with its codes, as a flow key has it in place of the source port.
func icmpRange(t ICMPType) filter.Range {
	lo, hi := uint64(t.Type)<<8, uint64(t.Type)<<8|0xff
	if !t.AnyCode {
		lo += uint64(t.Code)
		hi = lo
	}
	return filter.Range{Lo: filter.V(lo), Hi: filter.V(hi)}
}

func each[T any](list []T, f func(T) filter.Range) []filter.Range {
	out := make([]filter.Range, len(list))
	for i, x := range list {
		out[i] = f(x)
	}
	return out
}

func addrSet(list []AddrSpec) []*filter.Set {
	if len(list) == 0 {
		return nil
	}
	return []*filter.Set{filter.NewAddrSet(prefixes(list)...)}
}
