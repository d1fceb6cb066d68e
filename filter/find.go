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
	read     bool  // its part of the answer is noted
}

// Always reports whether every packet meets a rule, so that Find need not be asked: it has no condition.
func (c *Classifier) Always(rule int) bool { return rule < c.rules && c.always.has(rule) }

// Find returns the first rule, from a given one on, that the packet meets, and adds what decided that to read: for every rule before it a field that tells
// that it is not met. A rule that does not come before is not looked at.
func (c *Classifier) Find(p *Packet, from int, read *Read) int {
	if from >= c.rules {
		return None
	}
	steps := c.stepsOf(p)
	found, looked := c.first(steps, p, from)
	if found != None && !p.HasState && c.names(int(State), found) {
		return NeedState
	}
	c.explain(steps[:looked], p, from, found, read)
	return found
}

// stepsOf returns what there is to look at for a packet.
func (c *Classifier) stepsOf(p *Packet) []step {
	family := familyNone
	switch {
	case p.Key.Is4():
		family = family4
	case p.Key.Is6():
		family = family6
	}
	steps := c.active[family]
	if n := len(steps); n > 0 && !p.HasState && steps[n-1].domain == int(State) {
		return steps[:n-1]
	}
	return steps
}

// Names reports whether a rule names a field.
func (c *Classifier) Names(f Field) bool { return c.dims[f].named != nil }

// names reports whether a rule names the field of a domain.
func (c *Classifier) names(domain, rule int) bool {
	named := c.dims[domain].named
	return named != nil && named.has(rule)
}

// first returns the first rule in all vectors, and how many steps were made: no more than tell.
func (c *Classifier) first(steps []step, p *Packet, from int) (found, looked int) {
	for w := from / 64; w < c.words; w++ {
		x := c.wordFrom(w, from)
		for i := range steps {
			if x == 0 {
				break
			}
			if i == looked {
				steps[i].locate(p, &p.places[i])
				looked++
			}
			x &= steps[i].dim.sets[int(p.places[i].vector)+w]
			if x&-x&^steps[i].later[w] != 0 {
				break // nothing that is still to be looked at speaks of the first
			}
		}
		if x != 0 {
			return w*64 + bits.TrailingZeros64(x), looked
		}
	}
	return None, looked
}

// wordFrom returns word w of the vector of the rules from a given one on.
func (c *Classifier) wordFrom(w, from int) uint64 {
	x := ^uint64(0)
	if w == from/64 {
		x <<= from % 64
	}
	if end := c.rules - w*64; end < 64 {
		x &= 1<<end - 1
	}
	return x
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
	for w := from / 64; w*64 < end; w++ {
		alive := c.wordFrom(w, from)
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
	field := fieldOf(s.domain)
	read.Fields |= 1 << field
	switch field {
	case Src:
		read.SrcBits = max(read.SrcBits, s.needed(p, at))
	case Dst:
		read.DstBits = max(read.DstBits, s.needed(p, at))
	case SrcPort:
		read.SrcPort |= 0xffff << (16 - s.needed(p, at))
	case DstPort:
		read.DstPort |= 0xffff << (16 - s.needed(p, at))
	}
}

// needed returns how many leading bits of a packet's value tell its interval.
func (s *step) needed(p *Packet, at *place) uint8 {
	v, _ := p.at(s.domain)
	return uint8(s.dim.needed(int(at.interval), v))
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
	v, ok := p.at(s.domain)
	if !ok {
		at.vector, at.interval = int32(d.absent), -1
		return
	}
	i := d.interval(v)
	at.vector, at.interval = int32(d.vectors[i]), int32(i)
}

// at returns what the packet has in a domain; ok is false if it has nothing.
func (p *Packet) at(domain int) (v Value, ok bool) {
	switch domain {
	case int(Dst), int(Src):
		return addrValue(p.Key, domain), p.Key.Is4()
	case dst6, src6:
		return addrValue(p.Key, domain), p.Key.Is6()
	}
	v.Lo, ok = p.value(Field(domain))
	return v, ok
}

func addrValue(k *flow.Key, domain int) Value {
	a := &k.Dst
	if domain == int(Src) || domain == src6 {
		a = &k.Src
	}
	hi, lo := a.Halves()
	return Value{hi, lo}
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
		return uint64(k.Proto), k.Is4() || k.Is6()
	case Fragment:
		return uint64(k.Frag), k.Is4() || k.Is6()
	case DSCP:
		return uint64(p.DSCP), k.Is4() || k.Is6()
	case TCPFlags:
		return uint64(p.TCPFlags), hasL4(k) && k.Proto == packet.ProtoTCP
	case DstPort:
		return uint64(k.DstPort), hasL4(k) && hasPorts(k.Proto)
	case SrcPort:
		return uint64(k.SrcPort), hasL4(k) && (hasPorts(k.Proto) || k.Proto == packet.ProtoICMP || k.Proto == packet.ProtoICMPv6)
	case State:
		return uint64(p.State), p.HasState
	}
	return 0, false
}

// hasL4 reports whether a packet has the ports of its protocol, or those of the first fragment, lent.
func hasL4(k *flow.Key) bool { return k.Frag != uint8(packet.FragLater) || k.SrcPort|k.DstPort != 0 }

func hasPorts(proto uint8) bool {
	return proto == packet.ProtoTCP || proto == packet.ProtoUDP || proto == packet.ProtoSCTP
}

// interval returns the last interval that begins at v or before.
func (d *dimension) interval(v Value) int {
	lo, hi := 0, len(d.starts)
	if d.low != nil {
		for hi-lo > 1 {
			m := int(uint(lo+hi) >> 1)
			if v.Lo < d.low[m] {
				hi = m
			} else {
				lo = m
			}
		}
		return lo
	}
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
