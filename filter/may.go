package filter

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// MayMeet reports whether the rule may be met by a packet that agrees with a key in the bits of a mask, if nothing translates it before. It is false only if none can
// meet it. Of what is not in a key (ports of vports, marks, MACs behind a router, states of connections) nothing is known.
func (r *Rule) MayMeet(k *flow.Key, m *flow.Mask) bool {
	for i := range r.Conditions {
		if !r.Conditions[i].mayMeet(k, m) {
			return false
		}
	}
	return true
}

func (c *Condition) mayMeet(k *flow.Key, m *flow.Mask) bool {
	var r Range
	ip := m.EtherType == 0xffff
	domain := int(c.Field)
	switch c.Field {
	case EtherType:
		r = within(uint64(k.EtherType), uint64(m.EtherType), 16)
	case Proto:
		if !ip || m.Proto != 0xff {
			return true
		}
		r = within(uint64(k.Proto), 0xff, 8)
	case Dst, Src:
		a, mask := &k.Dst, &m.Dst
		if c.Field == Src {
			a, mask = &k.Src, &m.Src
		}
		switch {
		case !ip || !k.Is4() && !k.Is6():
			return true
		case k.Is6() && c.Field == Dst:
			domain = dst6
		case k.Is6():
			domain = src6
		}
		hi, lo := a.Halves()
		mh, ml := mask.Halves()
		width := last(width(domain))
		r = Range{Lo: Value{hi & mh, lo & ml}, Hi: Value{(hi&mh | ^mh) & width.Hi, (lo&ml | ^ml) & width.Lo}}
	case DstPort, SrcPort:
		if !ip || m.Proto != 0xff || m.Frag != 3 || k.Frag == uint8(packet.FragLater) || !hasPorts(k.Proto) {
			return true
		}
		v, mask := k.DstPort, m.DstPort
		if c.Field == SrcPort {
			v, mask = k.SrcPort, m.SrcPort
		}
		r = within(uint64(v), uint64(mask), 16)
	default:
		return true
	}
	return c.mayHave(r, domain)
}

// mayHave reports whether a value of a range may meet the condition.
func (c *Condition) mayHave(r Range, domain int) bool {
	for _, s := range c.Sets {
		for _, x := range s.of(domain) {
			switch {
			case c.Not && !r.Lo.Less(x.Lo) && !x.Hi.Less(r.Hi):
				return false
			case !c.Not && !r.Hi.Less(x.Lo) && !x.Hi.Less(r.Lo):
				return true
			}
		}
	}
	return c.Not
}

// within is the range of the values that agree with v in the bits of a mask, or more.
func within(v, mask uint64, width int) Range {
	return Range{Lo: V(v & mask), Hi: V(v&mask | ^mask&last(width).Lo)}
}

// Ports returns the destination ports, with their protocols, of all packets that can meet the rule, as protocol << 16 | port: no more than most; false if
// there may be others.
func (r *Rule) Ports(most int) (all []uint32, ok bool) {
	var protos, ports []uint64
	for _, c := range r.Conditions {
		switch {
		case c.Not:
		case c.Field == Proto:
			protos, _ = c.values(most)
		case c.Field == DstPort:
			ports, ok = c.values(most)
		}
	}
	if len(protos) == 0 {
		protos = []uint64{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP}
	}
	if !ok || len(protos)*len(ports) > most {
		return nil, false
	}
	for _, p := range protos {
		for _, port := range ports {
			all = append(all, uint32(p)<<16|uint32(port))
		}
	}
	return all, true
}

// values are those of a condition's sets; false if there are more than most.
func (c *Condition) values(most int) (all []uint64, ok bool) {
	for _, s := range c.Sets {
		for _, r := range s.ranges {
			if r.Hi.Lo-r.Lo.Lo >= uint64(most) || len(all) > most {
				return nil, false
			}
			for v := r.Lo.Lo; v <= r.Hi.Lo; v++ {
				all = append(all, v)
			}
		}
	}
	return all, true
}
