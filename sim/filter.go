package sim

import (
	"net/netip"

	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Bounds of chains. What is written can not loop; what is met that does is dropped.
const (
	maxJumps = 16   // deep
	maxRuns  = 2000 // chains that one packet is brought before, again and again by jumps too
)

// verdict is what chains say of a copy.
type verdict uint8

const (
	pass    verdict = iota // it goes on
	refused                // dropped, or waiting for a chain: its walk is over
)

// filterIn runs the chains of packets that enter a device by port p: the port's, then the device's (F1).
func (s *Simulator) filterIn(device topology.Filters, p *topology.VPort, h *hop) verdict {
	if device == (topology.Filters{}) && p.Filters == (topology.Filters{}) {
		return pass
	}
	c := &s.conns
	s.readUnable()
	if c.able && (!s.meets(device, h) || p.Filters != (topology.Filters{}) && !s.meets(p.Filters, h)) {
		return refused
	}
	if (c.translates || c.looked) && s.mayAnswer(p.Filters.Egress, device.Egress, false, p, h) && !s.undo(p.Device, false, h) {
		return refused
	}
	if c.translates {
		s.staticQuote([2]topology.DeviceID{p.Filters.Ingress, device.Ingress}, true, p, nil, h)
	}
	if p.Filters.Ingress != 0 && s.runChain(p.Filters.Ingress, p, nil, h) == refused {
		return refused
	}
	if device.Ingress != 0 && s.runChain(device.Ingress, p, nil, h) == refused {
		return refused
	}
	if c.conn != nil {
		s.redo(p.Device, true, h)
	}
	return pass
}

// filterOut runs the chains of packets that came by port in and leave by port out: the device's, then the port's. Nothing of it touches what a device says
// itself.
func (s *Simulator) filterOut(device topology.Filters, in, out *topology.VPort, h *hop) verdict {
	if out == nil || device == (topology.Filters{}) && out.Filters == (topology.Filters{}) {
		return pass
	}
	c := &s.conns
	s.readUnable()
	if c.able && out.Filters != (topology.Filters{}) && !s.meets(out.Filters, h) {
		return refused
	}
	if device.Egress != 0 && s.runChain(device.Egress, in, out, h) == refused {
		return refused
	}
	if out.Filters.Egress != 0 && s.runChain(out.Filters.Egress, in, out, h) == refused {
		return refused
	}
	steps := h.steps
	if (c.translates || c.looked) && s.mayAnswer(device.Ingress, out.Filters.Ingress, true, out, h) && !s.undo(out.Device, true, h) {
		return refused
	}
	if c.translates && h.steps == steps {
		s.staticQuote([2]topology.DeviceID{device.Egress, out.Filters.Egress}, false, in, out, h)
	}
	if c.conn != nil {
		s.redo(out.Device, false, h)
	}
	return pass
}

// filtersOut reports whether a copy that leaves by a port meets a chain there.
func filtersOut(device topology.Filters, out *topology.VPort) bool {
	return device.Egress != 0 || out.Filters.Egress != 0
}

// runChain runs a chain and those that it jumps to. out is nil before it is known.
func (s *Simulator) runChain(id topology.DeviceID, in, out *topology.VPort, h *hop) verdict {
	why := DropFiltered
	action, rule := s.chain(id, in, out, h, 0)
	switch action {
	case topology.ActionReturn, topology.ActionAccept:
		return pass
	case topology.ActionReject:
		s.refuse(in, h, packet.Prohibited)
		s.drop(h, why, true)
	case topology.ActionDrop:
		s.drop(h, why, false)
	case actionLoop:
		s.drop(h, DropChainLoop, false)
	case actionWait:
		s.load(h, rule)
	case actionOver: // told already
	}
	return refused
}

// What chain says beside the actions of rules: wait for a chain or group that is not loaded, or jumps that are too many.
const (
	actionWait topology.Action = 100 + iota
	actionLoop
	actionOver // the walk is over
)

// chain runs one chain and returns what it decides; ActionReturn: nothing. With actionWait, what is to be loaded.
func (s *Simulator) chain(id topology.DeviceID, in, out *topology.VPort, h *hop, depth int) (topology.Action, topology.DeviceID) {
	c := s.chainOf(id)
	switch {
	case c == nil:
		return actionWait, id
	case len(c.Missing) > 0:
		return actionWait, c.Missing[0]
	case depth == maxJumps:
		return actionLoop, 0
	}
	if s.runs++; s.runs > maxRuns {
		return actionLoop, 0
	}
	link := s.f.IsARP() || s.findsNeighbours()
	for next := 0; ; next++ {
		next = s.find(c.Classifier, next, in, out, h)
		if next == over {
			return actionOver, 0
		}
		if next < 0 {
			if link { // a chain that ends with a drop is not to cut hosts off from their neighbours
				if c.End != topology.ActionReturn {
					s.notInstallable("looks for neighbours")
				}
				return topology.ActionReturn, 0
			}
			if c.End != topology.ActionReturn {
				s.meetsRule(c, "")
			}
			if s.res.Trace != nil && c.End != topology.ActionReturn {
				s.res.Trace.add(s, h, "chain "+c.Tenant+"/"+c.Name+" default: "+c.End.String())
			}
			return c.End, 0
		}
		rule := &c.Rules[next]
		if link && !rule.Link { // what others, of whom no header field says that they do not look for neighbours, would meet
			s.notInstallable("looks for neighbours")
			continue
		}
		if s.res.Trace != nil {
			s.res.Trace.add(s, h, "chain "+c.Tenant+"/"+c.Name+" rule "+rule.Name+": "+rule.Action.String())
		}
		s.meetsRule(c, rule.Name)
		if rule.Asks && s.origin == nil {
			s.conns.met(rule)
		}
		if rule.Log && s.origin == nil {
			s.effect(Effect{Kind: LogRule, Device: c.ID, Port: in.ID, Rule: uint16(next)})
		}
		switch rule.Action {
		case topology.ActionContinue:
		case topology.ActionMark:
			h.mark = rule.Mark
		case topology.ActionSNAT, topology.ActionMasquerade, topology.ActionDNAT:
			if !s.translate(rule, in, out, h) {
				return actionOver, 0
			}
			if rule.Then != topology.ActionContinue {
				return rule.Then, 0
			}
		case topology.ActionJump:
			if action, what := s.chain(rule.Chain, in, out, h, depth+1); action != topology.ActionReturn {
				return action, what
			}
		default:
			return rule.Action, 0
		}
	}
}

// meetsRule notes that the packet met a rule of a chain. What the network sends of itself is not counted.
func (s *Simulator) meetsRule(c *topology.Chain, rule string) {
	if s.origin == nil {
		s.res.Rules = append(s.res.Rules, RuleMet{c.ID, rule})
	}
}

// chainOf returns a chain, nil if it is not loaded, and notes the dependency. A packet meets few, and each several times.
func (s *Simulator) chainOf(id topology.DeviceID) *topology.Chain {
	for _, c := range s.chains {
		if c.ID == id {
			return c
		}
	}
	s.dep(topology.DeviceDep(id))
	c := s.snap.Chain(id)
	if c != nil && s.origin == nil { // what an originated packet meets is no dependency of the packet itself
		s.chains = append(s.chains, c)
	}
	return c
}

// find returns the first rule from a given one on that the copy meets, and records what decided that.
func (s *Simulator) find(c *filter.Classifier, from int, in, out *topology.VPort, h *hop) int {
	if c.Always(from) {
		return from
	}
	if c.Names(filter.Proto) {
		s.readFamily()
		if k := s.header(h); k.Is6() {
			if s.readProto(); isExtension(k) {
				s.drop(h, DropExtension, false) // what it carries is not known: rules that ask for the protocol can't be passed by hiding it
				return over
			}
		}
	}
	p := &s.met
	p.HasState = false
	if states := c.States(from); states != 0 {
		if !s.state(p, h) {
			return over
		}
		if states>>p.State&1 != 0 {
			return from
		}
	}
	p.Key, p.In, p.Out, p.Mark = s.header(h), in.ID, 0, h.mark
	if out != nil {
		p.Out = out.ID
	}
	if c.Names(filter.SrcMAC) || c.Names(filter.DstMAC) || c.Names(filter.TCPFlags) || c.Names(filter.DSCP) {
		p.SrcMAC, p.DstMAC, p.TCPFlags, p.DSCP = h.src, h.dst, s.f.TCPFlags, s.f.DSCP()
	}
	if !p.HasState && s.conns.looked {
		s.state(p, h) // costs nothing any more
	}
	var read filter.Read
	i := c.Find(p, from, &read)
	if i == filter.NeedState {
		if !s.state(p, h) {
			return over
		}
		i = c.Find(p, from, &read)
	}
	if read.Lacks && s.lacksPorts(h) {
		return over
	}
	s.readFields(&read, h)
	return i
}

// over is what find returns if the walk is.
const over = -3

// readFields records what a classifier read.
func (s *Simulator) readFields(r *filter.Read, h *hop) {
	if s.origin != nil || r.Fields == 0 {
		return
	}
	m := &s.res.Mask
	if r.Has(filter.SrcMAC) {
		s.readSrcMAC(h)
	}
	if r.Has(filter.DstMAC) {
		s.readDstMAC(h)
	}
	if r.Has(filter.EtherType) {
		m.EtherType = 0xffff
	}
	if r.Has(filter.Proto) {
		m.Proto = 0xff
	}
	if r.Has(filter.Fragment) {
		m.Frag = 3
	}
	if r.Has(filter.DSCP) || r.Has(filter.TCPFlags) {
		s.notInstallable("a rule asks for DSCP or TCP flags")
	}
	if r.SrcPort|r.DstPort != 0 && s.f.Frag != packet.FragNone {
		s.notInstallable("ports of a fragment") // later ones have none: each is decided by itself
	}
	m.SrcPort |= r.SrcPort
	m.DstPort |= r.DstPort
	s.readSrc(r.SrcBits)
	s.readDst(r.DstBits)
}

// refuse answers the sender of a copy that a rule rejects, out of the port by which the device got it: a TCP segment with a reset (RFC 9293 section
// 3.10.7), other packets with an ICMP error of the destination that the filter speaks for.
func (s *Simulator) refuse(in *topology.VPort, h *hop, kind packet.ErrorKind) {
	if s.f.L3 == 0 || !s.f.Intact() { // whose addresses and ports may be somebody else's
		return
	}
	n := len(s.res.arena)
	var b []byte
	var err error
	if s.f.Proto == packet.ProtoTCP && s.f.L4 != 0 {
		b, err = packet.AppendTCPReset(s.res.arena, s.f)
	} else {
		b, err = packet.AppendICMPError(s.res.arena, s.f, &packet.ICMPError{Kind: kind, Src: s.refuser(in)})
	}
	if err != nil {
		return
	}
	answer := s.built(b, n)
	copy(answer[0:6], h.src[:])
	if h.dst.IsUnicast() {
		copy(answer[6:12], h.dst[:])
	} else {
		copy(answer[6:12], in.MAC[:])
	}
	s.originate(answer, in.ID, OriginError)
}

// refuser is the address that an ICMP error comes from: a router's own, or, where a bridge has none, that which was not reached.
func (s *Simulator) refuser(in *topology.VPort) (src netip.Addr) {
	if r := s.snap.Router(in.Device); r != nil && in.Kind == topology.DeviceRouter {
		if a := s.errorSource(r, in); a.IsValid() {
			return a
		}
	}
	return s.f.DstAddr()
}

// findsNeighbours reports whether a packet is a question of neighbour discovery, or its answer, by the rules of RFC 4861 section 7.1.
func (s *Simulator) findsNeighbours() bool {
	if !s.f.IsND() {
		return false
	}
	q, err := s.f.ND()
	return err == nil && (q.Type == packet.ICMPv6NeighSol || q.Type == packet.ICMPv6NeighAdv || q.Type == packet.ICMPv6RouterSol)
}

// isExtension reports whether a next header is one that hides the protocol from rules (RFC 8200 section 4).
func isExtension(k *flow.Key) bool {
	switch k.Proto {
	case packet.ProtoHopByHop, packet.ProtoRouting, packet.ProtoDestOpts, packet.ProtoAH:
		return k.Is6()
	}
	return false
}

// filterCopy runs chains over one copy of a flood. What they refuse is not the packet's end, but a chain that is not loaded is.
func (s *Simulator) filterCopy(run func() verdict) verdict {
	n, answers := len(s.res.Outcomes), len(s.pending)
	v := run()
	if v == refused {
		s.conns.refused = s.conns.refused || s.conns.looked && s.conns.conn == nil
		s.pending = s.pending[:answers] // one that refuses its copy does not speak for the others
		keep := s.res.Outcomes[:n]
		for _, o := range s.res.Outcomes[n:] {
			if o.Verdict == Incomplete {
				keep = append(keep, o)
				s.missing = true
			}
		}
		s.res.Outcomes = keep
	}
	return v
}
