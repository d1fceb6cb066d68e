package topology

import (
	"iter"
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// MACs returns the FDB of a bridge: where each MAC is, in no order.
func (b *Bridge) MACs() iter.Seq2[packet.MAC, flow.VPortID] {
	return func(yield func(packet.MAC, flow.VPortID) bool) {
		for m, p := range b.macs {
			if !yield(packet.MACFromUint64(uint64(m)), p) {
				return
			}
		}
		if b.learned == nil {
			return
		}
		for m, p := range b.learned.macs.all() {
			if _, seeded := b.macs[m]; !seeded && !yield(packet.MACFromUint64(uint64(m)), p) {
				return
			}
		}
	}
}

// Neighbours returns the ARP cache of a bridge, in no order.
func (b *Bridge) Neighbours() iter.Seq2[netip.Addr, packet.MAC] {
	return func(yield func(netip.Addr, packet.MAC) bool) {
		for a, m := range b.neigh {
			if !yield(a, m) {
				return
			}
		}
		if b.learned == nil {
			return
		}
		for a, m := range b.learned.neigh.all() {
			if _, seeded := b.neigh[a]; !seeded && !yield(a, m) {
				return
			}
		}
	}
}

// Neighbours returns the ARP or ND cache of a router port, in no order. An unset MAC was asked for, and nobody has answered.
func (s *Snapshot) Neighbours(port flow.VPortID) iter.Seq2[netip.Addr, packet.MAC] {
	return func(yield func(netip.Addr, packet.MAC) bool) {
		n := s.neigh.get(uint32(port))
		if n == nil {
			return
		}
		for a, e := range n.entries.all() {
			mac := e.mac
			if e.state != NeighbourOK {
				mac = packet.MAC{}
			}
			if !yield(a, mac) {
				return
			}
		}
	}
}

// String returns the origin's name.
func (o RouteOrigin) String() string {
	switch o {
	case OriginLocal:
		return "local"
	case OriginStatic:
		return "static"
	case OriginConnected:
		return "connected"
	case OriginLearned:
		return "bgp"
	case OriginBuiltin:
		return "builtin"
	}
	return "unknown"
}
