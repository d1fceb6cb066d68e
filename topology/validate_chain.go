package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/packet"
)

// maxRules bounds a chain: what a classifier costs in memory grows with the square of it.
const maxRules = 4096

// chain checks the rules of a chain, and that no way through jumps leads back.
func (v *validator) chain(o *Object, s *ChainSpec) {
	if len(s.Rules) > maxRules {
		v.fail(o, "spec.rules", strconv.Itoa(len(s.Rules))+" rules", "is too many", fmt.Sprintf("use %d at most, and groups or jumps for more", maxRules))
	}
	switch s.Default {
	case "", "return", "accept", "drop", "reject":
	default:
		v.fail(o, "spec.default", s.Default, "is no end of a chain", "use return, accept, drop or reject")
	}
	names := map[string]bool{}
	for i := range s.Rules {
		r, field := &s.Rules[i], fmt.Sprintf("spec.rules[%d]", i)
		if r.Name != "" && !validName(r.Name) {
			v.fail(o, field+".name", r.Name, "is not a name", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first")
		}
		if r.Name != "" && names[r.Name] {
			v.fail(o, field+".name", r.Name, "is the name of an earlier rule", "name each rule once")
		}
		names[r.Name] = true
		v.action(o, r, field)
		v.match(o, &r.Match, field+".match", &r.Match)
		v.match(o, &r.Not, field+".not", &r.Match)
		v.meetable(o, &r.Match, &r.Not, field)
	}
	if loop := v.jumpsBack(o.Ref()); loop != "" {
		v.fail(o, "spec.rules", loop, "is a loop of jumps", "jump to chains that do not lead back")
	}
}

const actionHint = "use accept, drop, reject, return, jump, mark, continue, snat, masquerade or dnat"

// nat checks a translation.
func (v *validator) nat(o *Object, r *RuleSpec, field string) {
	switch r.Then {
	case "", "accept", "continue", "return":
	default:
		v.fail(o, field+".then", r.Then, "is nothing that can follow", "use continue, accept or return")
	}
	n := r.NAT
	if n == nil {
		n = new(NATSpec)
	}
	if n.isStatic() {
		v.static(o, r, field)
		return
	}
	if n.Pool != "" {
		v.balanced(o, r, field)
		return
	}
	switch {
	case r.Action == "masquerade" && len(n.Addresses) > 0:
		v.fail(o, field+".nat.addresses", n.Addresses[0].String(), "does not go with masquerade, which takes that of the port", "use action snat")
	case r.Action == "dnat" && len(n.Addresses) == 0:
		v.fail(o, field+".nat.addresses", "", "is missing", "give the addresses to translate to, a pool, or from and to")
	case r.Action == "snat" && len(n.Addresses) == 0:
		v.fail(o, field+".nat.addresses", "", "is missing", "give the addresses to translate to, or from and to")
	}
	for i, a := range n.Addresses {
		if !isHost(a.First) || !isHost(a.Last) {
			v.fail(o, fmt.Sprintf("%s.nat.addresses[%d]", field, i), a.String(), "is not of hosts", "use addresses such as 203.0.113.1")
		}
	}
	if n.Ports != nil && n.Ports.First == 0 {
		v.fail(o, field+".nat.ports", n.Ports.String(), "has port 0", "begin with 1")
	}
}

// static checks a translation of a prefix to a prefix.
func (v *validator) static(o *Object, r *RuleSpec, field string) {
	n := r.NAT
	from, to := n.From.Prefix, n.To.Prefix
	switch {
	case r.Action == "masquerade":
		v.fail(o, field+".nat.from", n.From.String(), "does not go with masquerade", "use action snat or dnat")
	case len(n.Addresses) > 0:
		v.fail(o, field+".nat.addresses", n.Addresses[0].String(), "does not go with from and to", "give one of the two")
	case n.Pool != "":
		v.fail(o, field+".nat.pool", n.Pool, "does not go with from and to", "give one of the two")
	case n.Ports != nil:
		v.fail(o, field+".nat.ports", n.Ports.String(), "does not go with from and to, which keep the ports", "leave it out")
	case !from.IsValid():
		v.fail(o, field+".nat.from", "", "is missing", "give the prefix that becomes "+n.To.String())
	case !to.IsValid():
		v.fail(o, field+".nat.to", "", "is missing", "give what "+n.From.String()+" becomes")
	case from.Addr().Is4() != to.Addr().Is4():
		v.fail(o, field+".nat.to", n.To.String(), "is of another IP version than "+n.From.String(), "write a rule for each version")
	case from.Bits() != to.Bits():
		v.fail(o, field+".nat.to", n.To.String(), "is of another size than "+n.From.String(), fmt.Sprintf("give a prefix with /%d", from.Bits()))
	default:
		v.prefix(o, field+".nat.from", from)
		v.prefix(o, field+".nat.to", to)
	}
}

// hooks checks that chains translate destinations on the way in and sources on the way out alone (R8): there the route is looked up between them. Nor is
// it known on the way in by which port a packet will leave.
func (v *validator) hooks(o *Object) {
	f := filtersOf(o.Spec)
	for _, x := range []struct {
		field, chain string
		bad          func(*RuleSpec) string
		hint         string
	}{
		{"spec.filters.ingress", f.Ingress, actionAmong("snat", "masquerade"), "translate sources in an egress chain"},
		{"spec.filters.ingress", f.Ingress, asksOutPort, "ask for it in an egress chain: on the way in it is not known by which port a packet will leave"},
		{"spec.filters.egress", f.Egress, actionAmong("dnat"), "translate destinations in an ingress chain"},
	} {
		if x.chain == "" {
			continue
		}
		if where := v.ruleWith(o.refTo(KindChain, x.chain), x.bad, map[Ref]bool{}); where != "" {
			v.fail(o, x.field, x.chain, "has "+where, x.hint)
		}
	}
}

// actionAmong names a rule's action if it is one of these.
func actionAmong(actions ...string) func(*RuleSpec) string {
	return func(r *RuleSpec) string {
		if slices.Contains(actions, r.Action) {
			return r.Action
		}
		return ""
	}
}

// asksOutPort names the field by which a rule asks for the port that a packet leaves by, empty if it does not.
func asksOutPort(r *RuleSpec) string {
	switch {
	case len(r.Match.OutPorts)+len(r.Not.OutPorts) > 0:
		return "outPorts"
	case len(r.Match.OutPortGroups)+len(r.Not.OutPortGroups) > 0:
		return "outPortGroups"
	}
	return ""
}

// ruleWith names a rule of a chain, or of one that it jumps to, that has something bad, which bad names; empty if none has.
func (v *validator) ruleWith(r Ref, bad func(*RuleSpec) string, seen map[Ref]bool) string {
	o := v.set.Get(r)
	if o == nil || seen[r] {
		return ""
	}
	seen[r] = true
	rules := o.Spec.(*ChainSpec).Rules
	for i := range rules {
		rule := &rules[i]
		if what := bad(rule); what != "" {
			return fmt.Sprintf("%s in rule %s of %v", what, ruleName(rule, i), r)
		}
		if rule.Chain != "" {
			if where := v.ruleWith(o.refTo(KindChain, rule.Chain), bad, seen); where != "" {
				return where
			}
		}
	}
	return ""
}

func (v *validator) action(o *Object, r *RuleSpec, field string) {
	switch r.Action {
	case "accept", "drop", "reject", "return", "continue", "mark":
	case "snat", "masquerade", "dnat":
		v.nat(o, r, field)
	case "jump":
		if r.Chain == "" {
			v.fail(o, field+".chain", "", "is missing", "name the chain to jump to")
		}
	case "":
		v.fail(o, field+".action", "", "is missing", actionHint)
	default:
		v.fail(o, field+".action", r.Action, "is no action", actionHint)
	}
	if !actionOf(r.Action).translates() {
		if r.NAT != nil {
			v.fail(o, field+".nat", "", "goes with actions snat, masquerade and dnat alone", "leave it out")
		}
		if r.Then != "" {
			v.fail(o, field+".then", r.Then, "goes with actions snat, masquerade and dnat alone", "leave it out")
		}
	}
	v.whenAway(o, field, r.WhenAway)
	if r.WhenAway != "" && (!actionOf(r.Action).translates() || r.NAT.isStatic()) && len(r.Match.States)+len(r.Not.States) == 0 {
		v.fail(o, field+".whenAway", r.WhenAway, "goes with rules alone that translate, but not statically, or that ask for states", "leave it out")
	}
	if r.Chain != "" {
		if r.Action != "jump" {
			v.fail(o, field+".chain", r.Chain, "goes with action jump alone", "leave it out")
		}
		v.there(o, field+".chain", KindChain, r.Chain)
	}
	if r.Mark != 0 && r.Action != "mark" {
		v.fail(o, field+".mark", strconv.Itoa(int(r.Mark)), "goes with action mark alone", "leave it out")
	}
}

// whenAway checks what is to become of connections without the database.
func (v *validator) whenAway(o *Object, field, word string) {
	switch word {
	case "", whenAwayHold, whenAwayLocal:
	default:
		v.fail(o, field+".whenAway", word, "is nothing that can become of connections", "use hold or local")
	}
}

// there checks that a field names an object that exists.
func (v *validator) there(o *Object, field string, k Kind, name string) {
	ref := o.refTo(k, name)
	is := v.set.Get(ref)
	if is == nil {
		v.failRef(o, field, name, "is no "+strings.ToLower(string(k)), "define "+ref.String()+" or name an existing one")
		return
	}
	if p, ok := is.Spec.(*VPortSpec); ok && len(p.VLANs) > 0 {
		v.failRef(o, field, name, "is a trunk, which is a port a VLAN", "name "+inVLAN(name, p.vlans()[0])+", and the like for other VLANs")
	}
}

// filters checks the chains that a device or vport runs.
func (v *validator) filters(o *Object) {
	f := filtersOf(o.Spec)
	if f.Ingress != "" {
		v.there(o, "spec.filters.ingress", KindChain, f.Ingress)
	}
	if f.Egress != "" {
		v.there(o, "spec.filters.egress", KindChain, f.Egress)
	}
	v.hooks(o)
}

// match checks the conditions m of a rule. given is the rule's match, which must make sure of the protocol.
func (v *validator) match(o *Object, m *MatchSpec, field string, given *MatchSpec) {
	m.eachReference(field, func(field string, k Kind, names []string) {
		for i, n := range names {
			v.there(o, fmt.Sprintf("%s[%d]", field, i), k, n)
		}
	})
	for i, a := range m.Src {
		v.prefix(o, fmt.Sprintf("%s.src[%d]", field, i), a.Prefix)
	}
	for i, a := range m.Dst {
		v.prefix(o, fmt.Sprintf("%s.dst[%d]", field, i), a.Prefix)
	}
	for i, d := range m.DSCP {
		if d > 63 {
			v.fail(o, fmt.Sprintf("%s.dscp[%d]", field, i), strconv.Itoa(int(d)), "is out of range", "use 0 to 63 (RFC 2474)")
		}
	}
	only := func(ok func(Protocol) bool) string {
		for _, p := range given.Protocols {
			if !ok(p) {
				return "does not go with protocol " + p.String()
			}
		}
		if len(given.Protocols) == 0 {
			return "needs a protocol"
		}
		return ""
	}
	ports := only(Protocol.hasPorts)
	if n := len(m.SrcPorts) + len(m.DstPorts); n > 0 && ports != "" {
		where := ".dstPorts"
		if len(m.DstPorts) == 0 {
			where = ".srcPorts"
		}
		v.fail(o, field+where, "", ports, "give match.protocols of tcp, udp and sctp alone")
	}
	icmp := only(func(p Protocol) bool { return p == packet.ProtoICMP || p == packet.ProtoICMPv6 })
	if len(given.Protocols) > 1 && icmp == "" {
		icmp = "means another thing in each protocol"
	}
	if len(m.ICMP) > 0 && icmp != "" {
		v.fail(o, field+".icmp", m.ICMP[0].String(), icmp, "give match.protocols of either icmp or icmpv6")
	}
	if tcp := only(func(p Protocol) bool { return p == packet.ProtoTCP }); len(m.TCPFlags) > 0 && tcp != "" {
		v.fail(o, field+".tcpFlags", m.TCPFlags[0].String(), tcp, "give match.protocols: [tcp]")
	}
}

// jumpsBack returns a way by jumps from a chain back to itself, empty if there is none.
func (v *validator) jumpsBack(start Ref) string {
	seen := map[Ref]bool{}
	var walk func(r Ref, way string) string
	walk = func(r Ref, way string) string {
		o := v.set.Get(r)
		if o == nil || seen[r] {
			return ""
		}
		seen[r] = true
		for _, rule := range o.Spec.(*ChainSpec).Rules {
			if rule.Chain == "" {
				continue
			}
			next := o.refTo(KindChain, rule.Chain)
			longer := way + " → " + next.Tenant + "/" + next.Name
			if next == start {
				return longer
			}
			if loop := walk(next, longer); loop != "" {
				return loop
			}
		}
		return ""
	}
	return walk(start, start.Tenant+"/"+start.Name)
}

// addressGroup checks a set of addresses.
func (v *validator) addressGroup(o *Object, s *AddressGroupSpec) {
	for i, a := range s.Addresses {
		v.prefix(o, fmt.Sprintf("spec.addresses[%d]", i), a.Prefix)
	}
}

// portGroup checks a set of vports.
func (v *validator) portGroup(o *Object, s *PortGroupSpec) {
	for i, p := range s.Ports {
		v.there(o, fmt.Sprintf("spec.ports[%d]", i), KindVPort, p)
	}
}
