package topology

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/packet"
)

// kinds of frames, as a set.
const (
	frames4 = 1 << iota
	frames6
	framesOther // no IP packets
	framesIP    = frames4 | frames6
)

// meetable checks that there may be a packet that has what a rule's match asks for, and nothing of what its not names. What groups hold may change, so it excludes
// nothing.
func (v *validator) meetable(o *Object, m, not *MatchSpec, field string) {
	v.ofSomeKind(o, m, not, field)
	for _, x := range [...]struct {
		name     string
		excluded bool // all that is asked for
	}{
		{"etherTypes", within(m.EtherTypes, not.EtherTypes)},
		{"protocols", within(m.Protocols, not.Protocols)},
		{"fragments", within(m.Fragments, not.Fragments)},
		{"states", within(m.States, not.States)},
		{"marks", within(m.Marks, not.Marks)},
		{"dscp", within(m.DSCP, not.DSCP)},
		{"tcpFlags", within(m.TCPFlags, not.TCPFlags)},
		{"srcMACs", within(m.SrcMACs, not.SrcMACs)},
		{"dstMACs", within(m.DstMACs, not.DstMACs)},
		{"inPorts", len(m.InPortGroups) == 0 && within(m.InPorts, not.InPorts)},
		{"outPorts", len(m.OutPortGroups) == 0 && within(m.OutPorts, not.OutPorts)},
		{"src", len(m.SrcGroups) == 0 && covered(m.Src, not.Src, AddrSpec.covers)},
		{"dst", len(m.DstGroups) == 0 && covered(m.Dst, not.Dst, AddrSpec.covers)},
		{"srcPorts", covered(m.SrcPorts, not.SrcPorts, PortRange.covers)},
		{"dstPorts", covered(m.DstPorts, not.DstPorts, PortRange.covers)},
		{"icmp", covered(m.ICMP, not.ICMP, ICMPType.covers)},
	} {
		if x.excluded {
			v.fail(o, field+".not."+x.name, "", "excludes all that match."+x.name+" asks for, so nothing can meet the rule", "leave one of the two out, or ask for more")
		}
	}
	later := slices.Equal(m.Fragments, []Fragment{Fragment(packet.FragLater)})
	if later && len(m.TCPFlags) > 0 && !slices.ContainsFunc(m.TCPFlags, func(f FlagSpec) bool { return f.Set == 0 }) {
		v.fail(o, field+".match.tcpFlags", m.TCPFlags[0].String(), "is set in no later fragment, so nothing can meet the rule", "leave match.fragments out, or let it have whole and first, too")
	}
}

// ofSomeKind checks that EtherTypes, addresses and what IP packets alone have go together.
func (v *validator) ofSomeKind(o *Object, m, not *MatchSpec, field string) {
	left := frames4 | frames6 | framesOther
	if len(m.EtherTypes) > 0 {
		left = framesOf(m.EtherTypes)
	}
	left &^= framesOf(not.EtherTypes) & framesIP
	if left == 0 {
		return // told by meetable
	}
	if name := m.ofIP(); name != "" && left&framesIP == 0 {
		where, value := ".match.etherTypes", ""
		if len(m.EtherTypes) > 0 {
			value = m.EtherTypes[0].String()
		} else {
			where = ".not.etherTypes"
		}
		v.fail(o, field+where, value, "leaves no IP packet, which alone has "+name+", so nothing can meet the rule", "leave one of the two out, or take ipv4 or ipv6")
		return
	}
	before := "etherTypes"
	for _, side := range []struct {
		name   string
		addrs  []AddrSpec
		groups []string
	}{{"src", m.Src, m.SrcGroups}, {"dst", m.Dst, m.DstGroups}} {
		if len(side.addrs) == 0 || len(side.groups) > 0 {
			continue
		}
		if left &= versionsOf(side.addrs); left == 0 {
			v.fail(o, fmt.Sprintf("%s.match.%s[0]", field, side.name), side.addrs[0].String(), "is of another IP version than "+before+" asks for, so nothing can meet the rule",
				"write a rule for each version")
			return
		}
		before = "match." + side.name
	}
}

// ofIP names a field that is given and that IP packets alone have; empty if there is none.
func (m *MatchSpec) ofIP() string {
	for _, f := range []struct {
		name string
		n    int
	}{
		{"protocols", len(m.Protocols)}, {"src", len(m.Src) + len(m.SrcGroups)}, {"dst", len(m.Dst) + len(m.DstGroups)}, {"fragments", len(m.Fragments)}, {"dscp", len(m.DSCP)},
	} {
		if f.n > 0 {
			return "match." + f.name
		}
	}
	return ""
}

func framesOf(types []EtherType) (kinds int) {
	for _, t := range types {
		switch t {
		case packet.EtherTypeIPv4:
			kinds |= frames4
		case packet.EtherTypeIPv6:
			kinds |= frames6
		default:
			kinds |= framesOther
		}
	}
	return kinds
}

func versionsOf(addrs []AddrSpec) (kinds int) {
	for _, a := range addrs {
		if a.Addr().Is4() {
			kinds |= frames4
		} else {
			kinds |= frames6
		}
	}
	return kinds
}

// within reports whether there are some, and all of them are among others.
func within[T comparable](some, others []T) bool {
	return covered(some, others, func(other, one T) bool { return other == one })
}

// covered reports whether there are some, and each of them is covered by one of the others.
func covered[T any](some, others []T, covers func(other, one T) bool) bool {
	return len(some) > 0 && !slices.ContainsFunc(some, func(one T) bool {
		return !slices.ContainsFunc(others, func(other T) bool { return covers(other, one) })
	})
}

func (a AddrSpec) covers(b AddrSpec) bool {
	return a.Bits() <= b.Bits() && netip.PrefixFrom(a.Addr(), a.Bits()).Contains(b.Addr())
}

func (r PortRange) covers(b PortRange) bool { return r.First <= b.First && b.Last <= r.Last }

func (t ICMPType) covers(b ICMPType) bool { return t == b || t.AnyCode && t.Type == b.Type }
