package fabric

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/wire"
)

// Port is one link of the fabric: 10.0.N.0/30 and fd00:N::/64 (N in hexadecimal), with the
// router at .1 and ::1 and the edge at .2 and ::2.
type Port struct {
	N                  int
	MTU                int
	Edge4, Edge6       netip.Prefix // what the edge configures
	Gateway4, Gateway6 netip.Addr   // the router's addresses
	GatewayMAC         packet.MAC

	fabric     *Fabric
	cable      *wire.Cable
	neighbours neighbours
	members    members
}

func newPort(f *Fabric, n, mtu int) *Port {
	at := func(host byte) (netip.Addr, netip.Addr) {
		return netip.AddrFrom4([4]byte{10, 0, byte(n), host}), netip.AddrFrom16([16]byte{0: 0xfd, 3: byte(n), 15: host})
	}
	p := &Port{N: n, MTU: mtu, GatewayMAC: portMAC(n), fabric: f, neighbours: newNeighbours(), members: members{groups: map[netip.Addr]struct{}{}}}
	p.Gateway4, p.Gateway6 = at(1)
	edge4, edge6 := at(2)
	p.Edge4, p.Edge6 = netip.PrefixFrom(edge4, 30), netip.PrefixFrom(edge6, 64)
	p.cable = wire.New(wire.Config{
		NameA: fmt.Sprintf("fabric-%d", n), NameB: fmt.Sprintf("underlay-%d", n),
		Depth: f.cfg.Depth, Seed: f.cfg.Seed + uint64(n), Now: f.cfg.Now,
	})
	return p
}

// Edge is the end of the link that belongs to the edge: for a host as its Link, for a switch
// by Port.
func (p *Port) Edge() *wire.End { return p.cable.B() }

// Gateway is the router's end, for its counters.
func (p *Port) Gateway() *wire.End { return p.cable.A() }

// SetUp plugs the link in or out. A link that comes up has forgotten its neighbours and members, and asks for the latter.
func (p *Port) SetUp(up bool) {
	p.cable.SetUp(up)
	if up {
		p.neighbours.reset()
		p.members.reset()
		p.ask()
	}
}

// Up tells whether the link is plugged in.
func (p *Port) Up() bool { return p.cable.Up() }

// SetLoss loses this share of the frames of both directions.
func (p *Port) SetLoss(share float64) { p.cable.SetLoss(share) }

// Capture writes the link's frames as pcap; nil ends it. See wire.Cable.
func (p *Port) Capture(w io.Writer) error { return p.cable.Capture(w) }

// CaptureErr is the error that ended the last capture.
func (p *Port) CaptureErr() error { return p.cable.CaptureErr() }

func (p *Port) send(frame []byte) { p.cable.A().Send(frame) }

// onLink tells whether addr is a neighbour's on this link.
func (p *Port) onLink(addr netip.Addr) bool {
	return (p.Edge4.Contains(addr) || p.Edge6.Contains(addr)) && addr != p.Gateway4 && addr != p.Gateway6
}
