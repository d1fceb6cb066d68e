package sim

import (
	"encoding/binary"
	mathbits "math/bits"
	"net/netip"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/filter"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Ports from which a source is given one if a rule does not say.
const (
	firstPort = 1024
	lastPort  = 65535
)

// mayAnswer reports whether a packet may answer one that two chains of a device translated: it is to an address that they give sources, or, if dst, from
// one that they give destinations. Only then its connection matters. An ICMP error may come from anybody.
func (s *Simulator) mayAnswer(chain, other topology.DeviceID, dst bool, p *topology.VPort, h *hop) bool {
	switch {
	case !s.conns.able:
		return false
	case s.conns.looked:
		return s.conns.reply && s.conns.conn.Translates()
	}
	return chain != 0 && s.leadsBack(chain, dst, p, h, 0) || other != 0 && s.leadsBack(other, dst, p, h, 0)
}

func (s *Simulator) leadsBack(id topology.DeviceID, dst bool, p *topology.VPort, h *hop, depth int) bool {
	c := s.snap.Chain(id)
	if c == nil || depth > maxJumps {
		return false // what is not loaded was asked for by meets
	}
	if s.runs++; s.runs > maxRuns {
		return true
	}
	if dst && c.Destinations != nil && (s.isICMPError() || s.isAmong(c.Destinations, true, h)) || !dst && c.Sources != nil && (s.isICMPError() || s.isAmong(c.Sources, false, h)) {
		return true
	}
	if !dst && c.Masquerades && (s.isICMPError() || s.isOwn(p, h)) {
		return true
	}
	for _, next := range c.Jumps {
		if s.leadsBack(next, dst, p, h, depth+1) {
			return true
		}
	}
	return false
}

// isICMPError reports whether the packet is an ICMP error, and reads what tells: of others than ICMP the protocol alone.
func (s *Simulator) isICMPError() bool {
	s.readFamily()
	if p := s.readProto(); p != packet.ProtoICMP && p != packet.ProtoICMPv6 {
		return false
	}
	s.readICMPType()
	return s.f.IsICMP() && packet.IsICMPError(s.f)
}

// isAmong reports whether a copy's source, or destination, is one of some addresses, and reads as many bits of it as tell.
func (s *Simulator) isAmong(set *filter.Addrs, src bool, h *hop) bool {
	s.readFamily()
	k := s.header(h)
	if src {
		in, bits := set.Has(&k.Src, k.Is6())
		s.readSrc(bits)
		return in
	}
	in, bits := set.Has(&k.Dst, k.Is6())
	s.readDst(bits)
	return in
}

// isOwn reports whether a copy is to an address of the port, and reads as many bits of its destination as tell.
func (s *Simulator) isOwn(p *topology.VPort, h *hop) bool {
	s.readFamily()
	k := s.header(h)
	own, bits := false, 0
	for _, a := range p.Addrs {
		if a.Addr().Is6() != k.Is6() {
			continue
		}
		b := flow.AddrOf(a.Addr())
		own = own || b == k.Dst
		bits = max(bits, commonBits(&b, &k.Dst, k.Is6())+1)
	}
	s.readDst(uint8(min(bits, 128)))
	return own
}

// commonBits returns how many leading bits two addresses of a family share.
func commonBits(a, b *flow.Addr, v6 bool) int {
	ah, al := a.Halves()
	bh, bl := b.Halves()
	n := mathbits.LeadingZeros64(ah ^ bh)
	if n == 64 {
		n += mathbits.LeadingZeros64(al ^ bl)
	}
	if !v6 {
		n -= 96
	}
	return n
}

// undo takes back what a device translated, for a packet of the other direction, the last first: sources ahead of the device's chains, destinations behind
// them (R8). False: the walk ends.
func (s *Simulator) undo(device topology.DeviceID, dst bool, h *hop) bool {
	c := &s.conns
	if !s.track(h) {
		return false
	}
	if c.conn == nil || !c.reply {
		return true
	}
	steps := c.conn.Steps()
	for n := len(steps) - int(h.steps); n > 0 && steps[n-1].Device == uint32(device) && steps[n-1].Dst == dst && !steps[n-1].Static; n-- {
		h.steps++
		t := c.conn.At(n - 1).Reverse()
		s.becomes(&t, h)
	}
	return true
}

// redo makes the steps of a device that no rule asked for: the connection is older than the rules.
func (s *Simulator) redo(device topology.DeviceID, dst bool, h *hop) {
	c := &s.conns
	if c.conn == nil || c.reply {
		return
	}
	for s.redoOne(device, dst, h) {
	}
}

func (s *Simulator) redoOne(device topology.DeviceID, dst bool, h *hop) bool {
	steps := s.conns.conn.Steps()
	n := int(h.steps)
	if n >= len(steps) || steps[n].Device != uint32(device) || steps[n].Dst != dst {
		return false
	}
	h.steps++
	t := *s.tuple(h)
	steps[n].Apply(&t)
	s.becomes(&t, h)
	return true
}

// becomes gives a copy another tuple.
func (s *Simulator) becomes(t *conntrack.Tuple, h *hop) {
	x := s.copied(h)
	if s.conns.related { // the error goes to whoever sent what it quotes; who complains is somebody on the way, or the other end itself
		if x.key.Src == x.tuple.Src {
			x.key.Src = t.Src
		}
		x.key.Dst = t.Dst
	} else {
		t.Apply(&x.key)
	}
	x.tuple = *t
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "becomes "+t.String())
	}
}

// copied gives a copy a header of its own, so far what it has.
func (s *Simulator) copied(h *hop) *header {
	c := &s.conns
	c.copies = append(c.copies, header{})
	x := &c.copies[len(c.copies)-1]
	x.tuple, x.key = *s.tuple(h), *s.header(h)
	h.tuple = uint8(len(c.copies))
	return x
}

// translate carries out a rule that translates (N1). False: the walk ends.
func (s *Simulator) translate(rule *topology.ChainRule, in, out *topology.VPort, h *hop) bool {
	if s.readMulticast(h) || !s.conns.able {
		return true
	}
	if rule.Static {
		return s.static(rule, in, out, h)
	}
	if !s.track(h) {
		return false
	}
	c, device := &s.conns, in.Device
	dst := rule.Action == topology.ActionDNAT
	switch {
	case c.related && c.conn == nil, c.reply:
		return true
	case c.conn != nil:
		s.redoOne(device, dst, h)
		return true
	case h.branch || len(c.copies) > int(h.tuple) || len(c.copies) == 200:
		s.drop(h, DropNAT, false) // copies of one packet can't be translated apart
		return false
	}
	step, ok, goesOn := s.chosen(device, dst, h)
	switch {
	case ok:
	case rule.Pool != 0:
		step, ok, goesOn = s.balance(rule, in, h)
	default:
		step, ok = s.pick(rule, out, h)
		goesOn = true
	}
	if !ok {
		return goesOn
	}
	c.met(rule)
	step.Device, step.Dst = uint32(device), dst
	if !c.fresh.AddStep(step) {
		s.drop(h, DropNAT, false)
		return false
	}
	h.steps++
	t := *s.tuple(h)
	step.Apply(&t)
	s.becomes(&t, h)
	return true
}

// chosen returns the step that Chosen has at this place.
func (s *Simulator) chosen(device topology.DeviceID, dst bool, h *hop) (conntrack.Step, bool, bool) {
	if s.Chosen == nil || s.Chosen.Forward != s.res.Track.Key {
		return conntrack.Step{}, false, true
	}
	steps := s.Chosen.Steps()
	if n := int(h.steps); n < len(steps) && steps[n].Device == uint32(device) && steps[n].Dst == dst {
		return steps[n], true, true
	}
	return conntrack.Step{}, false, true
}

// pick chooses an address and a port: a source from the edge's blocks, which nobody else gives (block.go). Others, or without a block, by a hash of the connection, so that every
// edge chooses alike; Attempt makes it another one, after one that was taken. False: the rule has nothing for the packet's family.
func (s *Simulator) pick(rule *topology.ChainRule, out *topology.VPort, h *hop) (conntrack.Step, bool) {
	t := s.tuple(h)
	dst := rule.Action == topology.ActionDNAT
	var addr flow.Addr
	port := t.SrcPort
	if dst {
		port = t.DstPort
	}
	x := s.draw()
	switch {
	case rule.Action == topology.ActionMasquerade:
		a := out.AddrFor(t.Dst.Netip(s.key.EtherType))
		if !a.IsValid() || a.Is4() == t.V6 {
			return conntrack.Step{}, false
		}
		addr = flow.AddrOf(a)
	default:
		a, ok := draw(rule.NAT.Addresses, t.V6, uint32(x>>32))
		if !ok {
			return conntrack.Step{}, false
		}
		addr = flow.AddrOf(a)
	}
	if !dst {
		if a, p, ok := s.fromBlock(rule, out.Device, addr, t); ok {
			return conntrack.Step{Addr: a, Port: p}, true
		}
		s.conns.holds = true // the database alone knows that nobody else has it
	}
	if t.HasPort(dst) {
		port = s.pickPort(rule, dst, port, uint32(x))
	}
	return conntrack.Step{Addr: addr, Port: port}, true
}

// pickPort keeps the port if it may. A source gets none of the ports that are leased in blocks, if the rule leaves others.
func (s *Simulator) pickPort(rule *topology.ChainRule, dst bool, port uint16, x uint32) uint16 {
	first, last, given := portsOf(rule)
	switch {
	case dst && !given:
		return port
	case !dst && s.Attempt == 0 && (!given || port >= first && port <= last):
	default:
		port = uint16(uint32(first) + x%(uint32(last)-uint32(first)+1))
	}
	if other := conntrack.OutOfBlocks(port); !dst && other >= first && other <= last {
		return other
	}
	return port
}

// portsOf returns the ports that a rule gives, and whether it says so itself.
func portsOf(rule *topology.ChainRule) (first, last uint16, given bool) {
	if rule.NAT != nil && rule.NAT.Ports != nil {
		return rule.NAT.Ports.First, rule.NAT.Ports.Last, true
	}
	return firstPort, lastPort, false
}

// draw returns bits that follow from the connection and the attempt, at every edge the same.
func (s *Simulator) draw() uint64 {
	k := &s.res.Track.Key
	hi, lo := k.Dst.Halves()
	ports := uint64(k.SrcPort)<<48 | uint64(k.DstPort)<<32 | uint64(k.Zone)<<8 | uint64(k.Proto)
	return mix(mix(clientHash(&k.Tuple)^hi, lo), ports^uint64(s.Attempt)*mix2)
}

// draw returns one of the addresses of a family.
func draw(ranges []topology.AddrRange, v6 bool, x uint32) (netip.Addr, bool) {
	total := uint64(0)
	for i := range ranges {
		if r := &ranges[i]; r.First.Is6() == v6 {
			total += size(r)
		}
	}
	if total == 0 {
		return netip.Addr{}, false
	}
	n := uint64(x) % total
	for i := range ranges {
		r := &ranges[i]
		if r.First.Is6() != v6 {
			continue
		}
		if m := size(r); n >= m {
			n -= m
			continue
		}
		return plus(r.First, n), true
	}
	return netip.Addr{}, false
}

// size returns the number of addresses of a range, of which only the first 65,536 are used.
func size(r *topology.AddrRange) uint64 {
	if r.First == r.Last {
		return 1
	}
	f, l := flow.AddrOf(r.First), flow.AddrOf(r.Last)
	fh, fl := f.Halves()
	lh, ll := l.Halves()
	if fh != lh || ll-fl >= 1<<16 {
		return 1 << 16
	}
	return ll - fl + 1
}

// plus returns the n-th address behind a.
func plus(a netip.Addr, n uint64) netip.Addr {
	if n == 0 {
		return a
	}
	b := flow.AddrOf(a)
	lo := binary.BigEndian.Uint64(b[8:])
	hi := binary.BigEndian.Uint64(b[:8])
	if lo+n < lo {
		hi++
	}
	binary.BigEndian.PutUint64(b[8:], lo+n)
	binary.BigEndian.PutUint64(b[:8], hi)
	if a.Is4() {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}
