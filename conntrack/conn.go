package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/weft-sdn/weft/flow"
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
}

// Conn is a connection. The zero Conn is none.
type Conn struct {
	Forward Key    // of the direction of its first packet
	RetZone uint32 // device that the other direction enters
	State   State
	n       uint8
	steps   [MaxSteps]Step
	// Owners of the two directions: the leases of the edges where their flows are; 0: no flow of that direction is anywhere.
	ForwardOwner, ReturnOwner int64
}

// Steps returns the translations, in the order of the first packet's way.
func (c *Conn) Steps() []Step { return c.steps[:c.n] }

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

const connVersion = 1

// Kinds of steps as they are stored.
const (
	stepSource = iota
	stepDest
	stepPool
)

// Append appends the connection in binary, without its forward key, under which it is stored.
//
//	version 1: u8 version | u8 state | u8 steps | u24 return zone | i64 forward owner | i64 return owner | steps:
//	u24 device | u8 kind: 0 source, 1 destination, 2 destination by pool | u16 port | address | kind 2: u24 pool
func (c *Conn) Append(b []byte) []byte {
	b = append(b, connVersion, byte(c.State), c.n, byte(c.RetZone>>16), byte(c.RetZone>>8), byte(c.RetZone))
	b = binary.BigEndian.AppendUint64(b, uint64(c.ForwardOwner))
	b = binary.BigEndian.AppendUint64(b, uint64(c.ReturnOwner))
	at := 12
	if c.Forward.V6 {
		at = 0
	}
	for _, s := range c.Steps() {
		kind := byte(stepSource)
		switch {
		case s.Pool != 0:
			kind = stepPool
		case s.Dst:
			kind = stepDest
		}
		b = append(b, byte(s.Device>>16), byte(s.Device>>8), byte(s.Device), kind)
		b = binary.BigEndian.AppendUint16(b, s.Port)
		b = append(b, s.Addr[at:]...)
		if kind == stepPool {
			b = append(b, byte(s.Pool>>16), byte(s.Pool>>8), byte(s.Pool))
		}
	}
	return b
}

// ParseConn reads what Append writes.
func ParseConn(forward Key, b []byte) (c Conn, err error) {
	const head = 6 + 16
	addr := 4
	if forward.V6 {
		addr = 16
	}
	bad := fmt.Errorf("%w: connection % x", ErrCodec, b)
	if len(b) < head || b[0] != connVersion || State(b[1]) >= states || b[2] > MaxSteps {
		return c, bad
	}
	c = Conn{Forward: forward, State: State(b[1]), n: b[2], RetZone: uint24(b[3:])}
	c.ForwardOwner, c.ReturnOwner = int64(binary.BigEndian.Uint64(b[6:])), int64(binary.BigEndian.Uint64(b[14:]))
	s := b[head:]
	for i := range c.n {
		size := 6 + addr
		if len(s) < size || s[3] > stepPool {
			return c, bad
		}
		c.steps[i] = Step{Device: uint24(s), Dst: s[3] != stepSource, Port: binary.BigEndian.Uint16(s[4:])}
		copy(c.steps[i].Addr[16-addr:], s[6:size])
		if s[3] == stepPool {
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

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
