package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a pool.
const (
	maxMembers = 256
	maxSticky  = 7 * 24 * 3600
	maxSeconds = 3600
	// minInterval: the database notices that an edge is dead within two seconds at the least.
	minInterval = 2
	maxInRow    = 10
)

// pool checks a set of servers.
func (v *validator) pool(o *Object, s *PoolSpec) {
	if len(s.Members) > maxMembers {
		v.fail(o, "spec.members", strconv.Itoa(len(s.Members)), "are too many", fmt.Sprintf("use %d at most", maxMembers))
	}
	if s.Method != "" && !slices.Contains(methodNames[:], s.Method) {
		v.fail(o, "spec.method", s.Method, "is no method", "use "+strings.Join(methodNames[:len(methodNames)-1], ", ")+" or "+methodNames[len(methodNames)-1])
	}
	if s.Sticky != nil && (s.Sticky.Timeout == 0 || s.Sticky.Timeout > maxSticky) {
		v.fail(o, "spec.sticky.timeout", strconv.Itoa(int(s.Sticky.Timeout)), "is out of range", fmt.Sprintf("use 1 to %d seconds", maxSticky))
	}
	for i, m := range s.Members {
		v.member(o, s, i, m)
	}
	if s.Monitor != nil {
		v.monitor(o, s)
	}
}

func (v *validator) member(o *Object, s *PoolSpec, i int, m MemberSpec) {
	field := fmt.Sprintf("spec.members[%d]", i)
	if !isHost(m.Address) {
		v.fail(o, field+".address", addrText(m.Address), "is not the address of one host", "use one such as 10.0.0.1 or 2001:db8::1")
		return
	}
	for _, other := range s.Members[:i] {
		if other.Address == m.Address && (other.Port == m.Port || other.Port == 0 || m.Port == 0) {
			v.fail(o, field, MemberAt(m.Address, m.Port).String(), "is member "+MemberAt(other.Address, other.Port).String()+" already",
				"list each server once, and give a port with each if several are at one address")
			return
		}
	}
}

func (v *validator) monitor(o *Object, s *PoolSpec) {
	m := s.Monitor
	const field = "spec.monitor"
	switch m.Type {
	case "icmp":
		if m.Port != 0 {
			v.fail(o, field+".port", strconv.Itoa(int(m.Port)), "does not go with icmp", "leave it out, or use type tcp or http")
		}
	case "tcp", "http":
		i := slices.IndexFunc(s.Members, func(x MemberSpec) bool { return x.Port == 0 })
		if m.Port == 0 && i >= 0 {
			v.fail(o, field+".port", "", "is missing, and member "+s.Members[i].Address.String()+" has none", "give the port to probe")
		}
	case "":
		v.fail(o, field+".type", "", "is missing", "use icmp, tcp or http")
	default:
		v.fail(o, field+".type", m.Type, "is no monitor", "use icmp, tcp or http")
	}
	if m.Path != "" && (m.Type != "http" || m.Path[0] != '/' || strings.ContainsAny(m.Path, " \r\n#")) {
		v.fail(o, field+".path", m.Path, "is no path to ask for by http", "use type http and a path such as /health")
	}
	if m.Interval != 0 && (m.Interval < minInterval || m.Interval > maxSeconds) {
		v.fail(o, field+".interval", strconv.Itoa(int(m.Interval)), "is out of range", fmt.Sprintf("use %d to %d seconds", minInterval, maxSeconds))
	}
	if interval := max(m.Interval, minInterval); m.Timeout > interval && !(m.Interval == 0 && m.Timeout <= 5) {
		v.fail(o, field+".timeout", strconv.Itoa(int(m.Timeout)), "is longer than the interval", "use less seconds")
	}
	for name, n := range map[string]uint8{"rise": m.Rise, "fall": m.Fall} {
		if n > maxInRow {
			v.fail(o, field+"."+name, strconv.Itoa(int(n)), "is out of range", fmt.Sprintf("use 1 to %d", maxInRow))
		}
	}
	v.source(o, s)
}

// source checks the port that members are probed from.
func (v *validator) source(o *Object, s *PoolSpec) {
	const field = "spec.monitor.source"
	name := s.Monitor.Source
	if name == "" {
		v.fail(o, field, "", "is missing", "name the router port whose addresses the probes come from")
		return
	}
	p := v.set.Get(o.VPortRef(name))
	if p == nil {
		v.there(o, field, KindVPort, name)
		return
	}
	if dev, _ := p.DeviceRef(); dev.Kind != KindRouter {
		v.failRef(o, field, name, "is a port of "+dev.String(), "name a port of a router")
		return
	}
	addresses := p.Spec.(*VPortSpec).Addresses
	for _, m := range s.Members {
		if !slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return a.Addr().Is4() == m.Address.Is4() }) {
			v.failRef(o, field, name, "has no address to probe "+m.Address.String()+" from", "give the port one of the same IP version")
			return
		}
	}
}

// balanced checks a rule that names a pool.
func (v *validator) balanced(o *Object, r *RuleSpec, field string) {
	n := r.NAT
	switch {
	case r.Action != "dnat":
		v.fail(o, field+".nat.pool", n.Pool, "does not go with "+r.Action, "use action dnat")
	case len(n.Addresses) > 0:
		v.fail(o, field+".nat.addresses", n.Addresses[0].String(), "does not go with pool, whose members are the addresses", "give one of the two")
	case n.Ports != nil:
		v.fail(o, field+".nat.ports", n.Ports.String(), "does not go with pool", "give the members their ports")
	}
	if r.Match.Dst == nil && r.Match.DstGroups == nil {
		v.fail(o, field+".match.dst", "", "is missing: all that passes would go to the pool", "give the virtual address")
	}
	v.there(o, field+".nat.pool", KindPool, n.Pool)
}

// virtuals checks that nothing keeps packets from the virtual addresses that the routers' chains give to pools: one that is on the link of a port must be
// an address of a port, or else nobody answers for it. Of the objects that were checked it looks at routers and at their ports.
func (v *validator) virtuals(refs []Ref) {
	done := map[Ref]bool{}
	for _, r := range refs {
		o := v.set.Get(r)
		router := o
		if r.Kind == KindVPort {
			router = v.deviceOf(o)
			v.virtual(o, router, o.Spec.(*VPortSpec).Filters.Ingress)
		}
		if router == nil || router.Kind != KindRouter || done[router.Ref()] {
			continue
		}
		done[router.Ref()] = true
		v.virtual(router, router, router.Spec.(*RouterSpec).Filters.Ingress)
	}
}

// virtual checks the virtual addresses of a chain that object o has a router run.
func (v *validator) virtual(o, router *Object, chain string) {
	if chain == "" || router == nil || router.Kind != KindRouter {
		return
	}
	rules := map[netip.Addr]string{}
	v.pooled(o.refTo(KindChain, chain), map[Ref]bool{}, rules)
	if len(rules) == 0 {
		return
	}
	var ports []netip.Prefix
	users, _ := v.set.users.get(router.Ref())
	for r := range users {
		if p := v.set.Get(r); p != nil && r.Kind == KindVPort {
			ports = append(ports, p.Spec.(*VPortSpec).ownAddresses()...)
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(rules), netip.Addr.Compare) {
		on := linkOf(ports, a)
		if !on.IsValid() {
			continue
		}
		problem := fmt.Sprintf("has %v, which rule %s gives to a pool, but no port has that address of %v: nobody would answer for it", a, rules[a], on.Masked())
		v.fail(o, "spec.filters.ingress", chain, problem,
			fmt.Sprintf("give it to a port of %v as %v/%d too", router.Ref(), a, a.BitLen()))
	}
}

// pooled finds the hosts that the rules of a chain, and of those that it jumps to, give to pools.
func (v *validator) pooled(chain Ref, seen map[Ref]bool, found map[netip.Addr]string) {
	o := v.set.Get(chain)
	if o == nil || seen[chain] {
		return
	}
	seen[chain] = true
	rules := o.Spec.(*ChainSpec).Rules
	for i := range rules {
		r := &rules[i]
		if r.NAT != nil && r.NAT.Pool != "" {
			for _, a := range r.Match.Dst {
				if a.Prefix.IsSingleIP() {
					found[a.Prefix.Addr()] = ruleName(r, i)
				}
			}
		}
		if r.Chain != "" {
			v.pooled(o.refTo(KindChain, r.Chain), seen, found)
		}
	}
}
