package conntrack

import (
	"encoding/binary"
	"fmt"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// Ports of an address that are leased in blocks (N2). All others are anybody's, so that those who have no block find a port. Clients' own ports seldom lie among
// the leased ones: Linux's begin with 32768, those of RFC 6335 section 6 with 49152.
const (
	BlockPorts     = 64 // of one block
	FirstBlockPort = 10240
	LastBlockPort  = 32767
	Blocks         = (LastBlockPort + 1 - FirstBlockPort) / BlockPorts // of one address
)

// Block is some ports, or identifiers of ICMP echos, of an address that a device gives sources: of all protocols. Comparable.
type Block struct {
	Device uint32
	Addr   flow.Addr
	V6     bool
	Index  uint16 // from 0 to Blocks-1
}

// InBlock reports whether a port is of those that are leased.
func InBlock(port uint16) bool { return port >= FirstBlockPort && port <= LastBlockPort }

// OutOfBlocks returns the port of those that are not leased that stands for one that is; others stay.
func OutOfBlocks(port uint16) uint16 {
	if InBlock(port) {
		port |= 1 << 15
	}
	return port
}

// BlockAt returns the block that a port is of; false: it is of none.
func BlockAt(device uint32, a flow.Addr, v6 bool, port uint16) (Block, bool) {
	if !InBlock(port) {
		return Block{}, false
	}
	return Block{device, a, v6, (port - FirstBlockPort) / BlockPorts}, true
}

// First returns the block's first port.
func (b *Block) First() uint16 { return FirstBlockPort + b.Index*BlockPorts }

// Within reports whether all of the block's ports are among some.
func (b *Block) Within(first, last uint16) bool {
	return b.First() >= first && b.First()+(BlockPorts-1) <= last
}

// Blocks appends the blocks of which the connection has a source: those that it must not be stored without.
func (c *Conn) Blocks(list []Block) []Block {
	for i := range c.n {
		s := &c.steps[i]
		if s.Dst || s.Static {
			continue
		}
		if b, ok := BlockAt(s.Device, s.Addr, c.Forward.V6, s.Port); ok {
			list = append(list, b)
		}
	}
	return list
}

// Append appends the block in binary: device (3 bytes), address, index. The length tells the family.
func (b *Block) Append(to []byte) []byte {
	at := 12
	if b.V6 {
		at = 0
	}
	to = append(appendUint24(to, b.Device), b.Addr[at:]...)
	return binary.BigEndian.AppendUint16(to, b.Index)
}

// ParseBlock reads what Append writes.
func ParseBlock(raw []byte) (b Block, err error) {
	switch len(raw) {
	case 3 + 4 + 2:
		copy(b.Addr[12:], raw[3:])
	case 3 + 16 + 2:
		b.V6 = true
		copy(b.Addr[:], raw[3:])
	default:
		return b, fmt.Errorf("%w: a block of %d bytes", ErrCodec, len(raw))
	}
	b.Device, b.Index = uint24(raw), binary.BigEndian.Uint16(raw[len(raw)-2:])
	if b.Index >= Blocks {
		return b, fmt.Errorf("%w: block %d", ErrCodec, b.Index)
	}
	return b, nil
}

// String returns the form "203.0.113.80:10240-10303 of device 7".
func (b Block) String() string {
	et := uint16(packet.EtherTypeIPv4)
	if b.V6 {
		et = packet.EtherTypeIPv6
	}
	return fmt.Sprintf("%v:%d-%d of device %d", b.Addr.Netip(et), b.First(), b.First()+BlockPorts-1, b.Device)
}

// PortSpace tells which protocols share ports: two of different spaces have the same port without colliding.
type PortSpace uint8

// Spaces of ports. NoPorts: the protocol has none.
const (
	TCPPorts PortSpace = iota
	UDPPorts
	EchoIDs
	SCTPPorts
	PortSpaces           = iota
	NoPorts    PortSpace = PortSpaces
)

// Space returns what the tuple's source port, or identifier, is of.
func (t *Tuple) Space() PortSpace {
	switch {
	case t.Proto == packet.ProtoTCP:
		return TCPPorts
	case t.Proto == packet.ProtoUDP:
		return UDPPorts
	case t.Proto == packet.ProtoSCTP:
		return SCTPPorts
	case t.Echo != 0:
		return EchoIDs
	}
	return NoPorts
}
