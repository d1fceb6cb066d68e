package sim

import (
	"encoding/binary"
	"net/netip"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// static carries out a rule that gives each address of a prefix the one at the same place of another (N1). It follows from the header alone: no connection is
// looked for, and none is stored because of it (C2). A later fragment needs no ports for it. False: the walk ends.
func (s *Simulator) static(rule *topology.ChainRule, in, out *topology.VPort, h *hop) bool {
	c, dst := &s.conns, rule.Action == topology.ActionDNAT
	if !dst {
		if answers, known := s.answers(in, out, h); answers || !known {
			return known
		}
	}
	if h.branch || len(c.copies) > int(h.tuple) || len(c.copies) == 200 {
		s.drop(h, DropNAT, false) // copies of one packet can't be translated apart
		return false
	}
	s.readAll() // the entry holds the whole outcome
	s.identify()
	if !c.related {
		return s.shift(rule, in.Device, dst, h)
	}
	switch {
	case !c.quotes:
		s.drop(h, DropNAT, false) // of what it quotes nothing is known that could be translated with it
		return false
	case !dst && s.header(h).Src != s.tuple(h).Src: // a router behind the translation complains, in its own name
		x := s.copied(h)
		x.key.Src = moved(x.key.Src, &rule.NAT.From.Prefix, &rule.NAT.To.Prefix)
	}
	return true // staticQuote does the rest
}

// answers reports whether a packet that leaves a device is of a connection whose destination the device chose. Its source is to be that destination again, and
// no rule's business. known is false if that is to be found out first: the walk ends.
func (s *Simulator) answers(in, out *topology.VPort, h *hop) (answers, known bool) {
	var device topology.Filters
	if r := s.snap.Router(in.Device); r != nil {
		device = r.Filters
	} else if b := s.snap.Bridge(in.Device); b != nil {
		device = b.Filters
	}
	if !s.mayAnswer(device.Ingress, out.Filters.Ingress, true, out, h) {
		return false, true
	}
	if !s.track(h) {
		return false, false
	}
	c := &s.conns
	if c.conn == nil || !c.reply {
		return false, true
	}
	steps := c.conn.Steps()
	n := len(steps) - int(h.steps)
	return n > 0 && steps[n-1].Device == uint32(in.Device) && steps[n-1].Dst && !steps[n-1].Static, true
}

// staticQuote translates an ICMP error as the rules of a device's chains do an answer to the packet that it quotes: ahead of the chains of ingress, behind
// those of egress. The first such rule counts.
func (s *Simulator) staticQuote(chains [2]topology.DeviceID, dst bool, in, out *topology.VPort, h *hop) {
	c := &s.conns
	if !c.able || !s.isICMPError() || h.branch || len(c.copies) > int(h.tuple) || len(c.copies) == 200 {
		return
	}
	s.identify()
	if !c.quotes {
		return
	}
	k := answerKey(s.tuple(h), s.key.EtherType)
	for _, id := range chains {
		if rule := s.staticFor(id, dst, &k, in, out, h, 0); rule != nil {
			s.shift(rule, in.Device, dst, h)
			return
		}
	}
}

// staticFor returns the rule of a chain, or of those that it jumps to, that translates packets with a header; nil if there is none.
func (s *Simulator) staticFor(id topology.DeviceID, dst bool, k *flow.Key, in, out *topology.VPort, h *hop, depth int) *topology.ChainRule {
	c := s.snap.Chain(id)
	if c == nil || c.Classifier == nil || !c.Static && len(c.Jumps) == 0 || depth == maxJumps {
		return nil
	}
	if s.runs++; s.runs > maxRuns {
		return nil
	}
	for next := 0; ; next++ {
		p := &s.met
		*p = filter.Packet{Key: k, SrcMAC: h.src, DstMAC: h.dst, In: in.ID, Mark: h.mark, HasState: true, State: uint8(topology.ConnEstablished)}
		if out != nil {
			p.Out = out.ID
		}
		var read filter.Read // of an error no entry is made
		if next = c.Classifier.Find(p, next, &read); next < 0 {
			return nil
		}
		switch rule := &c.Rules[next]; rule.Action {
		case topology.ActionContinue, topology.ActionMark, topology.ActionMasquerade:
		case topology.ActionSNAT, topology.ActionDNAT:
			if rule.Static && (rule.Action == topology.ActionDNAT) == dst {
				return rule
			}
		case topology.ActionJump:
			if found := s.staticFor(rule.Chain, dst, k, in, out, h, depth+1); found != nil {
				return found
			}
		default:
			return nil
		}
	}
}

// shift makes the step of a rule, and notes it for the connection, if there is to be one. False: the walk ends.
func (s *Simulator) shift(rule *topology.ChainRule, device topology.DeviceID, dst bool, h *hop) bool {
	c, t := &s.conns, s.tuple(h)
	step := conntrack.Step{Device: uint32(device), Dst: dst, Static: true, Addr: t.Src, Port: t.SrcPort}
	if dst {
		step.Addr, step.Port = t.Dst, t.DstPort
	}
	step.Addr = moved(step.Addr, &rule.NAT.From.Prefix, &rule.NAT.To.Prefix)
	switch {
	case c.conn == nil:
		if !c.looked {
			c.refresh()
		}
		if !c.fresh.AddStep(step) && !c.related {
			s.drop(h, DropNAT, false)
			return false
		}
		h.steps++
	case s.passes(device, dst, h):
		h.steps++
	}
	next := *t
	step.Apply(&next)
	s.becomes(&next, h)
	return true
}

// passes reports whether the connection has a static translation of a device at this place of a copy's way.
func (s *Simulator) passes(device topology.DeviceID, dst bool, h *hop) bool {
	c := &s.conns
	steps, n := c.conn.Steps(), int(h.steps)
	if c.reply {
		n, dst = len(steps)-1-n, !dst
	}
	return n >= 0 && n < len(steps) && steps[n].Static && steps[n].Device == uint32(device) && steps[n].Dst == dst
}

// recount makes a copy's steps those of its connection, once that is known: what rules made of it before may be none of them.
func (s *Simulator) recount(h *hop) {
	h.steps = 0
	made := s.conns.fresh.Steps()
	for i := range made {
		if s.passes(topology.DeviceID(made[i].Device), made[i].Dst, h) {
			h.steps++
		}
	}
}

// moved returns the address at the same place of another prefix of the same length and family.
func moved(a flow.Addr, from, to *netip.Prefix) flow.Addr {
	b := flow.AddrOf(to.Addr())
	keep := from.Bits() // bits of the prefix, the others are the host's
	if from.Addr().Is4() {
		keep += 96
	}
	ah, al := a.Halves()
	bh, bl := b.Halves()
	high, low := ^uint64(0), ^uint64(0)
	if keep < 64 {
		high, low = ^(^uint64(0) >> keep), 0
	} else {
		low = ^(^uint64(0) >> (keep - 64))
	}
	binary.BigEndian.PutUint64(b[:8], bh&high|ah&^high)
	binary.BigEndian.PutUint64(b[8:], bl&low|al&^low)
	return b
}

// answerKey is a header with a tuple, as rules see it.
func answerKey(t *conntrack.Tuple, etherType uint16) flow.Key {
	k := flow.Key{EtherType: etherType, Proto: t.Proto}
	switch v6 := t.Proto == packet.ProtoICMPv6; {
	case t.Echo == conntrack.EchoRequest && v6:
		k.SrcPort = packet.ICMPv6EchoRequest << 8
	case t.Echo == conntrack.EchoRequest:
		k.SrcPort = packet.ICMPEchoRequest << 8
	case v6:
		k.SrcPort = packet.ICMPv6EchoReply << 8
	}
	t.Apply(&k)
	return k
}
