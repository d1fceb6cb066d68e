package topology

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weft-sdn/weft/packet"
)

// SecurityGroupSpec is what its members, vports that name it, may be sent and may send, beside answers (F1, C1). Of several groups of a port each adds to that.
type SecurityGroupSpec struct {
	Ingress []SecurityRule `json:"ingress,omitempty"` // what members are sent; nothing else gets to them but answers
	Egress  []SecurityRule `json:"egress,omitempty"`  // what members send; none: all. It counts if each group of the port has such rules
}

// SecurityRule is what one rule of a security group lets through: packets that fit each field that is given. Addresses and groups are one field.
type SecurityRule struct {
	Protocols []Protocol  `json:"protocols,omitempty"`
	Ports     []PortRange `json:"ports,omitempty"`     // of the destination; with protocols of tcp, udp, sctp alone
	ICMP      []ICMPType  `json:"icmp,omitempty"`      // with protocols icmp or icmpv6
	Addresses []AddrSpec  `json:"addresses,omitempty"` // of the other end
	Groups    []string    `json:"groups,omitempty"`    // security groups whose members may be the other end
}

func (*SecurityGroupSpec) kind() Kind { return KindSecurityGroup }

// permits makes a security group's chains, and the group of its members' addresses, if a rule names it.
func (m *made) permits(o *Object, s *SecurityGroupSpec, in world) {
	m.instead = true
	var members []AddrSpec
	named := slices.Contains(s.groups(o), o.Ref())
	for _, r := range in.attached(o.Ref()) {
		if r.Kind == KindSecurityGroup {
			named = true
			continue
		}
		for _, a := range in.Get(r).Spec.(*VPortSpec).Addresses {
			members = append(members, hostSpec(a.Addr()))
		}
	}
	if named {
		slices.SortFunc(members, func(a, b AddrSpec) int { return a.Addr().Compare(b.Addr()) })
		m.add(o, &AddressGroupSpec{Addresses: slices.Compact(members)})
	}
	m.add(o, &ChainSpec{Rules: o.allowed(s.Ingress, true)}, "in")
	if len(s.Egress) > 0 {
		m.add(o, &ChainSpec{Rules: o.allowed(s.Egress, false)}, "out")
	}
}

// allowed makes the rules of a chain of those of a security group.
func (o *Object) allowed(rules []SecurityRule, in bool) []RuleSpec {
	out := make([]RuleSpec, len(rules))
	for i := range rules {
		s := &rules[i]
		groups := make([]string, len(s.Groups))
		for j, g := range s.Groups {
			groups[j] = partOf(o.refTo(KindSecurityGroup, g))
		}
		r := RuleSpec{Action: "accept", Match: MatchSpec{Protocols: s.Protocols, DstPorts: s.Ports, ICMP: s.ICMP}}
		if in {
			r.Match.Src, r.Match.SrcGroups = s.Addresses, groups
		} else {
			r.Match.Dst, r.Match.DstGroups = s.Addresses, groups
		}
		out[i] = r
	}
	return out
}

// guards makes the chains of a vport with security groups: its own, answers, the groups' rules, what a host needs to be in a network, and a drop.
func (m *made) guards(o *Object, s *VPortSpec, in world) {
	if len(s.SecurityGroups) == 0 || m.instead {
		return
	}
	to, from, all := guarded(s.Filters.Egress), guarded(s.Filters.Ingress), false
	for _, name := range s.SecurityGroups {
		r := o.refTo(KindSecurityGroup, name)
		to.Rules = append(to.Rules, jumpTo(r, "in"))
		from.Rules = append(from.Rules, jumpTo(r, "out"))
		if g := in.Get(r); g == nil || len(g.Spec.(*SecurityGroupSpec).Egress) == 0 {
			all = true
		}
	}
	to.Rules = append(to.Rules,
		permit("advertisements", packet.ProtoICMPv6, MatchSpec{ICMP: []ICMPType{{Type: packet.ICMPv6RouterAdv, AnyCode: true}}}),
		permit("dhcp", packet.ProtoUDP, MatchSpec{SrcPorts: []PortRange{{67, 67}}, DstPorts: []PortRange{{68, 68}}}),
		permit("dhcpv6", packet.ProtoUDP, MatchSpec{SrcPorts: []PortRange{{547, 547}}, DstPorts: []PortRange{{546, 546}}}))
	m.filters = &FilterSpec{Ingress: s.Filters.Ingress, Egress: m.add(o, to, "egress")}
	if !all {
		from.Rules = append(from.Rules,
			permit("dhcp", packet.ProtoUDP, MatchSpec{SrcPorts: []PortRange{{68, 68}}, DstPorts: []PortRange{{67, 67}}}),
			permit("dhcpv6", packet.ProtoUDP, MatchSpec{SrcPorts: []PortRange{{546, 546}}, DstPorts: []PortRange{{547, 547}}}))
		m.filters.Ingress = m.add(o, from, "ingress")
	}
}

func permit(name string, p Protocol, m MatchSpec) RuleSpec {
	m.Protocols = []Protocol{p}
	return RuleSpec{Name: name, Match: m, Action: "accept"}
}

// guarded is a chain that begins with an object's own, if it has one, and with answers, and ends with a drop.
func guarded(own string) *ChainSpec {
	c := &ChainSpec{Default: "drop"}
	if own != "" {
		c.Rules = append(c.Rules, RuleSpec{Name: "own", Action: "jump", Chain: own})
	}
	c.Rules = append(c.Rules, RuleSpec{Name: "answers", Match: MatchSpec{States: []ConnState{ConnEstablished, ConnRelated}}, Action: "accept"})
	return c
}

// securityGroup checks the rules of a security group.
func (v *validator) securityGroup(o *Object, s *SecurityGroupSpec) {
	for field, rules := range map[string][]SecurityRule{"spec.ingress": s.Ingress, "spec.egress": s.Egress} {
		for i := range rules {
			r, at := &rules[i], fmt.Sprintf("%s[%d]", field, i)
			match := MatchSpec{Protocols: r.Protocols, DstPorts: r.Ports, ICMP: r.ICMP, Dst: r.Addresses}
			n := len(v.errs)
			v.match(o, &match, at, &match)
			for _, e := range v.errs[n:] {
				if e.Object == o.Ref().String() { // as the user knows the fields
					e.Field = strings.NewReplacer(".dstPorts", ".ports", ".dst[", ".addresses[").Replace(e.Field)
					e.Hint = strings.ReplaceAll(e.Hint, "match.", "")
				}
			}
			for j, g := range r.Groups {
				v.there(o, fmt.Sprintf("%s.groups[%d]", at, j), KindSecurityGroup, g)
			}
		}
	}
}

// secured checks the security groups of a vport.
func (v *validator) secured(o *Object, s *VPortSpec) {
	if len(s.SecurityGroups) == 0 {
		return
	}
	const field = "spec.securityGroups"
	if dev, _ := o.DeviceRef(); dev.Kind == KindRouter {
		v.fail(o, field, strings.Join(s.SecurityGroups, ", "), "is of ports of bridges alone", "name them at the ports of the hosts")
	}
	seen := map[Ref]bool{}
	for i, name := range s.SecurityGroups {
		at := fmt.Sprintf("%s[%d]", field, i)
		v.there(o, at, KindSecurityGroup, name)
		if r := o.refTo(KindSecurityGroup, name); seen[r] {
			v.fail(o, at, name, "is there already", "name each group once")
		} else {
			seen[r] = true
		}
	}
}

// groups returns the security groups that the rules of one name, which may be itself.
func (s *SecurityGroupSpec) groups(o *Object) (refs []Ref) {
	for _, rules := range [][]SecurityRule{s.Ingress, s.Egress} {
		for i := range rules {
			for _, g := range rules[i].Groups {
				refs = append(refs, o.refTo(KindSecurityGroup, g))
			}
		}
	}
	return refs
}
