package filter

import (
	"math/bits"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// Packet is what rules are compared with. It is to be used again: one for each goroutine.
type Packet struct {
	Key            *flow.Key // addresses, protocol, ports, EtherType, fragment class, as they are when the rules see it
	SrcMAC, DstMAC packet.MAC
	In, Out        flow.VPortID // Out is zero before it is known
	Mark           uint32
	State          uint8 // valid iff HasState
	HasState       bool
	TCPFlags       uint8
	DSCP           uint8

	family family
	ports  bool           // it has those of its protocol, or those of the first fragment, lent
	places [domains]place // scratch: a Packet that is used again costs nothing to clear
}

// Read tells what Find needed to know. Find adds to it.
type Read struct {
	Fields           uint32 // 1<<Field for each
	SrcBits, DstBits uint8  // leading bits of the addresses
	SrcPort, DstPort uint16 // masks of bits
	Lacks            bool   // a port was asked for that is in the first fragment alone
}

// Has reports whether a field was read.
func (r *Read) Has(f Field) bool { return r.Fields>>f&1 != 0 }

// None is what Find returns if no rule is met.
const None = -1

// NeedState is what Find returns if the first rule that may be met names the connection's state, which the packet does not tell.
const NeedState = -2

// place is where a packet's value is in a dimension: that of the step with the same index.
type place struct {
	vector   int32 // where its vector is in the dimension's sets
	interval int32 // -1: the packet has no such field
	value    Value // valid iff interval >= 0
	read     bool  // its part of the answer is noted
}

// Always reports whether every packet meets a rule, so that Find need not be asked: it has no condition.
func (c *Classifier) Always(rule int) bool { return rule < c.rules && c.always.has(rule) }

// States returns the states of connections, 1<<state for each, that a rule asks for, if it asks for nothing else; 0 otherwise. With such a rule Find need not be
// asked: the state alone tells.
func (c *Classifier) States(rule int) uint8 {
	if rule >= c.rules || c.states == nil {
		return 0
	}
	return c.states[rule]
}

// Find returns the first rule, from a given one on, that the packet meets, and adds what decided that to read: for every rule before it a field that tells
// that it is not met. A rule that does not come before is not looked at.
func (c *Classifier) Find(p *Packet, from int, read *Read) int {
	if from >= c.rules {
		return None
	}
	p.ready()
	steps := c.stepsOf(p)
	found, looked := c.first(steps, p, from)
	if found != None && !p.HasState && c.names(int(State), found) {
		return NeedState
	}
	c.explain(steps[:looked], p, from, found, read)
	return found
}

// ready notes what several fields ask.
func (p *Packet) ready() {
	k := p.Key
	p.family = familyNone
	switch {
	case k.Is4():
		p.family = family4
	case k.Is6():
		p.family = family6
	}
	p.ports = k.Frag != uint8(packet.FragLater) || k.SrcPort|k.DstPort != 0
}

// stepsOf returns what there is to look at for a packet.
func (c *Classifier) stepsOf(p *Packet) []step {
	steps := c.active[p.family]
	if n := len(steps); n > 0 && !p.HasState && steps[n-1].domain == int(State) {
		return steps[:n-1]
	}
	return steps
}

// Names reports whether a rule names a field.
func (c *Classifier) Names(f Field) bool { return c.named>>f&1 != 0 }

// names reports whether a rule names the field of a domain.
func (c *Classifier) names(domain, rule int) bool {
	named := c.dims[domain].named
	return named != nil && named.has(rule)
}

// first returns the first rule in all vectors, and how many steps were made: no more than tell.
func (c *Classifier) first(steps []step, p *Packet, from int) (found, looked int) {
	begin := ^uint64(0) << (from % 64)
	for w := from / 64; w < c.words; w++ {
		x := c.every[w] & begin
		begin = ^uint64(0)
		for i := range steps {
			if x == 0 {
				break
			}
			s, at := &steps[i], &p.places[i]
			if i == looked {
				s.locate(p, at)
				looked++
			}
			x &= s.dim.sets[int(at.vector)+w]
			if x&-x&^s.later[w] != 0 {
				break // nothing that is still to be looked at speaks of the first
			}
		}
		if x != 0 {
			return w*64 + bits.TrailingZeros64(x), looked
		}
	}
	return None, looked
}

// explain adds the fields that the found rule names, and then, while a rule before it could still be met for all that was read, the first field that
// tells otherwise of some.
func (c *Classifier) explain(steps []step, p *Packet, from, found int, read *Read) {
	end := c.rules
	if found != None {
		end = found
		for i := range steps {
			if steps[i].dim.named.has(found) {
				steps[i].note(p, &p.places[i], read)
			}
		}
	}
	begin := ^uint64(0) << (from % 64)
	for w := from / 64; w*64 < end; w++ {
		alive := c.every[w] & begin
		begin = ^uint64(0)
		if n := end - w*64; n < 64 {
			alive &= 1<<n - 1
		}
		for i := range steps {
			if at := &p.places[i]; at.read {
				alive &= steps[i].dim.sets[int(at.vector)+w]
			}
		}
		for i := 0; alive != 0 && i < len(steps); i++ {
			at := &p.places[i]
			if rest := alive & steps[i].dim.sets[int(at.vector)+w]; rest != alive {
				steps[i].note(p, at, read)
				alive = rest
			}
		}
	}
}

// note adds a field, and what tells that a packet has it at all: of addresses and ports as many leading bits as tell the interval.
func (s *step) note(p *Packet, at *place, read *Read) {
	at.read = true
	read.Fields |= s.tells
	if at.interval < 0 {
		later := (s.domain == int(DstPort) || s.domain == int(SrcPort)) && p.Key.Frag == uint8(packet.FragLater)
		read.Lacks = read.Lacks || later
		return
	}
	read.Fields |= 1 << s.field
	if !s.partly {
		return
	}
	n := s.dim.bits[at.interval]
	if n == 0 {
		n = uint8(s.dim.needed(int(at.interval), at.value))
	}
	switch s.field {
	case Src:
		read.SrcBits = max(read.SrcBits, n)
	case Dst:
		read.DstBits = max(read.DstBits, n)
	case SrcPort:
		read.SrcPort |= 0xffff << (16 - n)
	case DstPort:
		read.DstPort |= 0xffff << (16 - n)
	}
}

// needed returns how many leading bits of a value tell that it is in an interval.
func (d *dimension) needed(interval int, v Value) int {
	n := 0
	if interval > 0 {
		n = common(v, d.starts[interval].prev(), d.width) + 1
	}
	if interval+1 < len(d.starts) {
		n = max(n, common(v, d.starts[interval+1], d.width)+1)
	}
	return n
}

// locate finds the interval of a packet's value.
func (s *step) locate(p *Packet, at *place) {
	d := s.dim
	at.read = false
	var v Value
	ok := true
	switch s.domain {
	case int(Dst), dst6:
		v.Hi, v.Lo = p.Key.Dst.Halves()
	case int(Src), src6:
		v.Hi, v.Lo = p.Key.Src.Halves()
	case int(Proto):
		v.Lo, ok = uint64(p.Key.Proto), p.family != familyNone
	case int(DstPort):
		v.Lo, ok = uint64(p.Key.DstPort), p.ports && hasPorts(p.Key.Proto)
	default:
		v.Lo, ok = p.value(s.field)
	}
	if !ok || s.family != p.family && s.family != familyNone {
		at.vector, at.interval = int32(d.absent), -1
		return
	}
	i := 0
	switch n := len(d.half); {
	case n == 0:
		i = d.interval(v)
	case d.upper:
		i = lastUpTo(d.half, v.Hi)
	default:
		i = lastUpTo(d.half, v.Lo)
	}
	at.vector, at.interval, at.value = int32(d.vectors[i]), int32(i), v
}

// value returns what the packet has in a field that is no address; ok is false if it has nothing.
func (p *Packet) value(f Field) (v uint64, ok bool) {
	k := p.Key
	switch f {
	case InPort:
		return uint64(p.In), true
	case OutPort:
		return uint64(p.Out), true
	case Mark:
		return uint64(p.Mark), true
	case EtherType:
		return uint64(k.EtherType), true
	case SrcMAC:
		return p.SrcMAC.Uint64(), true
	case DstMAC:
		return p.DstMAC.Uint64(), true
	case Proto:
		return uint64(k.Proto), p.family != familyNone
	case Fragment:
		return uint64(k.Frag), p.family != familyNone
	case DSCP:
		return uint64(p.DSCP), p.family != familyNone
	case TCPFlags:
		return uint64(p.TCPFlags), p.ports && k.Proto == packet.ProtoTCP
	case DstPort:
		return uint64(k.DstPort), p.ports && hasPorts(k.Proto)
	case SrcPort:
		return uint64(k.SrcPort), p.ports && (hasPorts(k.Proto) || k.Proto == packet.ProtoICMP || k.Proto == packet.ProtoICMPv6)
	case State:
		return uint64(p.State), p.HasState
	}
	return 0, false
}

func hasPorts(proto uint8) bool {
	return proto == packet.ProtoTCP || proto == packet.ProtoUDP || proto == packet.ProtoSCTP
}

// interval returns the last interval that begins at v or before.
func (d *dimension) interval(v Value) int {
	lo, hi := 0, len(d.starts)
	for hi-lo > 1 {
		m := int(uint(lo+hi) >> 1)
		if v.Less(d.starts[m]) {
			hi = m
		} else {
			lo = m
		}
	}
	return lo
}

// lastUpTo returns the index of the last of some sorted numbers that is not greater than v; 0 if all are.
func lastUpTo(sorted []uint64, v uint64) int {
	at, n := 0, len(sorted)
	for n > 1 {
		half := n >> 1
		next := at + half
		if sorted[next] <= v {
			at = next
		}
		n -= half
	}
	return at
}
