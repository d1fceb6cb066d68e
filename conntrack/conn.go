package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// ErrCodec: a stored value is not one of ours.
var ErrCodec = errors.New("conntrack: not understood")

// MaxSteps is the most translations on one connection's way.
const MaxSteps = 4

// Step is a translation that a device made of the first packet, and makes of all of that direction: it gave the packet another destination or source.
// Of the other direction the same device undoes it.
type Step struct {
	Device uint32
	Pool   uint32 // the address is that of a member of this pool; 0: of none. Valid iff Dst
	Addr   flow.Addr
	Port   uint16
	Dst    bool // else the source
	Static bool // a rule gives it by the address alone: packets of the other direction meet the mirrored rule, and nothing is undone for them
}

// Conn is a connection. The zero Conn is none.
type Conn struct {
	Forward Key    // of the direction of its first packet
	RetZone uint32 // device that the other direction enters
	Progress
	Birth uint8 // tells a connection from the one before it that had its keys
	n     uint8
	steps [MaxSteps]Step
	// Owners of the two directions: names, up to MaxOwner, of the edges' runs where their flows are; 0: no flow of that direction is anywhere.
	ForwardOwner, ReturnOwner int64
}

// Steps returns the translations, in the order of the first packet's way.
func (c *Conn) Steps() []Step { return c.steps[:c.n] }

// Owners returns the owners of the directions, but one.
func (c *Conn) Owners(but int64) (owners []int64) {
	for _, o := range [2]int64{c.ForwardOwner, c.ReturnOwner} {
		if o != 0 && o != but && (len(owners) == 0 || owners[0] != o) {
			owners = append(owners, o)
		}
	}
	return owners
}

// AddStep notes one more translation; false: there are too many.
func (c *Conn) AddStep(s Step) bool {
	if int(c.n) == MaxSteps {
		return false
	}
	c.steps[c.n] = s
	c.n++
	return true
}

// Apply gives a tuple of the forward direction what the step translates.
func (s *Step) Apply(t *Tuple) {
	if s.Dst {
		t.Dst, t.DstPort = s.Addr, s.Port
	} else {
		t.Src, t.SrcPort = s.Addr, s.Port
	}
}

// At returns the tuple of the forward direction behind its first n steps.
func (c *Conn) At(n int) Tuple {
	t := c.Forward.Tuple
	for i := range n {
		c.steps[i].Apply(&t)
	}
	return t
}

// Return is the key of the other direction.
func (c *Conn) Return() Key { return Key{c.RetZone, c.At(int(c.n)).Reverse()} }

// Translates reports whether anything is translated on its way; a nil Conn translates nothing.
func (c *Conn) Translates() bool { return c != nil && c.n > 0 }

// Chooses reports whether a translation on its way does not follow from the packet, so that it must be remembered.
func (c *Conn) Chooses() bool {
	for i := range c.n {
		if !c.steps[i].Static {
			return true
		}
	}
	return false
}

const (
	connVersion = 2
	connV6      = 8 // beside the number of steps
)

// MaxOwner is the greatest name of an owner: 48 bits.
const MaxOwner = 1<<48 - 1

// Kinds of steps as they are stored.
const (
	stepSource = iota
	stepDest
	stepPool
	stepStaticSource
	stepStaticDest
)

// Append appends the connection in binary.
//
//	version 2: u4 version | u1 IPv6 | u3 steps | u8 state | u24 return zone | u8 birth | u48 forward owner | u48 return owner | forward key |
//	u32 end of each side that sent a FIN | steps: u24 device | u8 kind: 0 source, 1 destination, 2 destination by pool, 3 and 4 static source and
//	destination | u16 port | address | kind 2: u24 pool
func (c *Conn) Append(b []byte) []byte {
	at, head := 12, connVersion<<4|c.n
	if c.Forward.V6 {
		at, head = 0, head|connV6
	}
	b = append(b, head, byte(c.State))
	b = append(appendUint24(b, c.RetZone), c.Birth)
	b = appendUint48(appendUint48(b, c.ForwardOwner), c.ReturnOwner)
	b = c.Forward.Append(b)
	for i := range sides {
		if c.State&sides[i].fin != 0 {
			b = binary.BigEndian.AppendUint32(b, c.End[i])
		}
	}
	for _, s := range c.Steps() {
		kind := s.kind()
		b = append(appendUint24(b, s.Device), kind)
		b = binary.BigEndian.AppendUint16(b, s.Port)
		b = append(b, s.Addr[at:]...)
		if kind == stepPool {
			b = appendUint24(b, s.Pool)
		}
	}
	return b
}

func (s *Step) kind() byte {
	switch {
	case s.Pool != 0:
		return stepPool
	case s.Static && s.Dst:
		return stepStaticDest
	case s.Static:
		return stepStaticSource
	case s.Dst:
		return stepDest
	}
	return stepSource
}

// ParseConn reads what Append writes.
func ParseConn(b []byte) (c Conn, err error) {
	const head = 6 + 12
	bad := fmt.Errorf("%w: connection % x", ErrCodec, b)
	if len(b) < head || b[0]>>4 != connVersion || b[0]&(connV6-1) > MaxSteps {
		return c, bad
	}
	addr, key := 4, keyLen4
	if b[0]&connV6 != 0 {
		addr, key = 16, keyLen6
	}
	if len(b) < head+key {
		return c, bad
	}
	c = Conn{n: b[0] & (connV6 - 1), RetZone: uint24(b[2:]), Birth: b[5], ForwardOwner: uint48(b[6:]), ReturnOwner: uint48(b[12:])}
	if c.Forward, err = ParseKey(b[head : head+key]); err != nil {
		return c, err
	}
	s := b[head+key:]
	if c.State = State(b[1]); c.State != StateNone && c.Forward.Proto == packet.ProtoTCP {
		c.State |= stream
	}
	for i := range sides {
		switch {
		case c.State&sides[i].fin == 0:
		case len(s) < 4:
			return c, bad
		default:
			c.End[i] = binary.BigEndian.Uint32(s)
			s = s[4:]
		}
	}
	for i := range c.n {
		size := 6 + addr
		if len(s) < size || s[3] > stepStaticDest {
			return c, bad
		}
		kind := s[3]
		c.steps[i] = Step{
			Device: uint24(s), Dst: kind != stepSource && kind != stepStaticSource, Static: kind >= stepStaticSource, Port: binary.BigEndian.Uint16(s[4:]),
		}
		copy(c.steps[i].Addr[16-addr:], s[6:size])
		if kind == stepPool {
			if size += 3; len(s) < size || uint24(s[6+addr:]) == 0 {
				return c, bad
			}
			c.steps[i].Pool = uint24(s[6+addr:])
		}
		s = s[size:]
	}
	if len(s) > 0 {
		return c, bad
	}
	return c, nil
}

func appendUint24(b []byte, n uint32) []byte { return append(b, byte(n>>16), byte(n>>8), byte(n)) }

func appendUint48(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(n>>40), byte(n>>32)), uint32(n))
}

func uint48(b []byte) int64 {
	return int64(b[0])<<40 | int64(b[1])<<32 | int64(binary.BigEndian.Uint32(b[2:]))
}

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
