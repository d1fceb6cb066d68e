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

// place is where a packet's value is in a dimension.
type place struct {
	domain   int
	vector   vector
	value    Value
	interval int  // -1: the packet has no such field
	read     bool // its part of the answer is noted
	later    bool // it has none because it is a later fragment
}

// Find returns the first rule, from a given one on, that the packet meets, and adds what decided that to read: for every rule before it a field that tells
// that it is not met. A rule that does not come before is not looked at.
func (c *Classifier) Find(p *Packet, from int, read *Read) int {
	if from >= c.rules {
		return None
	}
	n := 0
	for _, d := range c.active {
		if c.locate(d, p, &p.places[n]) {
			n++
		}
	}
	places := p.places[:n]
	found := c.first(places, from)
	if found != None && !p.HasState && c.names(int(State), found) {
		return NeedState
	}
	c.explain(places, from, found, read)
	return found
}

// Names reports whether a rule names a field.
func (c *Classifier) Names(f Field) bool { return c.dims[f].named != nil }

// names reports whether a rule names the field of a domain.
func (c *Classifier) names(domain, rule int) bool {
	named := c.dims[domain].named
	return named != nil && named.has(rule)
}

// first returns the first rule in all vectors.
func (c *Classifier) first(places []place, from int) int {
	for w := from / 64; w < c.words; w++ {
		x := c.wordFrom(w, from)
		for i := range places {
			x &= places[i].vector[w]
		}
		if x != 0 {
			return w*64 + bits.TrailingZeros64(x)
		}
	}
	return None
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
func (c *Classifier) explain(places []place, from, found int, read *Read) {
	end := c.rules
	if found != None {
		end = found
		for i := range places {
			if c.names(places[i].domain, found) {
				c.note(&places[i], read)
			}
		}
	}
	for w := from / 64; w*64 < end; w++ {
		alive := c.wordFrom(w, from)
		if n := end - w*64; n < 64 {
			alive &= 1<<n - 1
		}
		for i := range places {
			if places[i].read {
				alive &= places[i].vector[w]
			}
		}
		for i := 0; alive != 0 && i < len(places); i++ {
			if rest := alive & places[i].vector[w]; rest != alive {
				c.note(&places[i], read)
				alive = rest
			}
		}
	}
}

// note adds a field, and what tells that a packet has it at all: of addresses and ports as many leading bits as tell the interval.
func (c *Classifier) note(at *place, read *Read) {
	at.read = true
	field := fieldOf(at.domain)
	if field >= Proto && field != State {
		read.Fields |= 1 << EtherType
	}
	if field == DstPort || field == SrcPort || field == TCPFlags {
		read.Fields |= 1<<Proto | 1<<Fragment
	}
	if at.interval < 0 {
		read.Lacks = read.Lacks || at.later
		return
	}
	read.Fields |= 1 << field
	needed := c.dims[at.domain].needed(at.interval, at.value)
	switch field {
	case Src:
		read.SrcBits = max(read.SrcBits, uint8(needed))
	case Dst:
		read.DstBits = max(read.DstBits, uint8(needed))
	case SrcPort:
		read.SrcPort |= 0xffff << (16 - needed)
	case DstPort:
		read.DstPort |= 0xffff << (16 - needed)
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

// locate finds the interval of a packet's value. False: the domain says nothing of the packet, which is of the other IP family.
func (c *Classifier) locate(domain int, p *Packet, at *place) bool {
	d := &c.dims[domain]
	ok := true
	at.domain, at.read, at.later = domain, false, false
	switch domain {
	case int(State):
		if !p.HasState {
			return false
		}
		at.value = V(uint64(p.State))
	case int(Dst), int(Src):
		if p.Key.Is6() {
			return false
		}
		ok = p.Key.Is4()
		at.value = addrValue(p.Key, domain)
	case dst6, src6:
		if !p.Key.Is6() {
			return false
		}
		at.value = addrValue(p.Key, domain)
	default:
		at.value, ok = p.value(Field(domain))
	}
	if !ok {
		at.later = (domain == int(DstPort) || domain == int(SrcPort)) && p.Key.Frag == uint8(packet.FragLater)
		at.vector, at.interval = d.absent, -1
		return true
	}
	at.interval = d.interval(at.value)
	at.vector = d.sets[d.vectors[at.interval]]
	return true
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
func (p *Packet) value(f Field) (v Value, ok bool) {
	k := p.Key
	l4 := k.Frag != uint8(packet.FragLater) || k.SrcPort|k.DstPort != 0 // or those of the first fragment, lent
	switch f {
	case InPort:
		return V(uint64(p.In)), true
	case OutPort:
		return V(uint64(p.Out)), true
	case Mark:
		return V(uint64(p.Mark)), true
	case EtherType:
		return V(uint64(k.EtherType)), true
	case SrcMAC:
		return V(p.SrcMAC.Uint64()), true
	case DstMAC:
		return V(p.DstMAC.Uint64()), true
	case Proto:
		return V(uint64(k.Proto)), k.Is4() || k.Is6()
	case Fragment:
		return V(uint64(k.Frag)), k.Is4() || k.Is6()
	case DSCP:
		return V(uint64(p.DSCP)), k.Is4() || k.Is6()
	case TCPFlags:
		return V(uint64(p.TCPFlags)), l4 && k.Proto == packet.ProtoTCP
	case DstPort:
		return V(uint64(k.DstPort)), l4 && hasPorts(k.Proto)
	case SrcPort:
		return V(uint64(k.SrcPort)), l4 && (hasPorts(k.Proto) || k.Proto == packet.ProtoICMP || k.Proto == packet.ProtoICMPv6)
	}
	return v, false
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
