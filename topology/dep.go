package topology

import (
	"fmt"
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// DepKind is a kind of thing that a simulation reads.
type DepKind uint8

// Kinds of dependencies.
const (
	DepNone            DepKind = iota
	DepDevice                  // A: device. Its mode
	DepVPort                   // A: vport. Its link, addresses, MTU, state
	DepRoute                   // A: router; B/Bits: destinations; V6
	DepFDB                     // A: bridge; B: MAC in the last 6 bytes
	DepBridgeNeighbour         // A: bridge; B: address; V6
	DepNeighbour               // A: router port; B: address; V6
	DepGroup                   // A: bridge, the group too. Its ports
	DepBinding                 // A: vport. Where it lives
)

// Dep is one thing that a result relied on; its absence is the same Dep (E6). Comparable.
type Dep struct {
	Kind DepKind
	V6   bool
	Bits uint8 // DepRoute: valid bits of B
	A    uint32
	B    flow.Addr
}

// DeviceDep returns the dependency on a device's own settings.
func DeviceDep(d DeviceID) Dep { return Dep{Kind: DepDevice, A: uint32(d)} }

// VPortDep returns the dependency on a vport.
func VPortDep(v flow.VPortID) Dep { return Dep{Kind: DepVPort, A: uint32(v)} }

// GroupDep returns the dependency on the ports of a bridge.
func GroupDep(d DeviceID) Dep { return Dep{Kind: DepGroup, A: uint32(d)} }

// BindingDep returns the dependency on where a vport lives.
func BindingDep(v flow.VPortID) Dep { return Dep{Kind: DepBinding, A: uint32(v)} }

// FDBDep returns the dependency on where a bridge finds a MAC.
func FDBDep(d DeviceID, m packet.MAC) Dep {
	r := Dep{Kind: DepFDB, A: uint32(d)}
	copy(r.B[10:], m[:])
	return r
}

// RouteDep returns the dependency on the routes of a router to the destinations that share the first n bits of a.
func RouteDep(d DeviceID, a *flow.Addr, v6 bool, n uint8) Dep {
	et := uint16(packet.EtherTypeIPv4)
	if v6 {
		et = packet.EtherTypeIPv6
	}
	return Dep{Kind: DepRoute, A: uint32(d), B: a.And(flow.AddrMask(int(n), et)), Bits: n, V6: v6}
}

// NeighbourDep returns the dependency on a neighbour of a router port.
func NeighbourDep(v flow.VPortID, a netip.Addr) Dep {
	return Dep{Kind: DepNeighbour, A: uint32(v), B: flow.AddrOf(a), V6: a.Is6()}
}

// BridgeNeighbourDep returns the dependency on an entry of a bridge's ARP cache.
func BridgeNeighbourDep(d DeviceID, a netip.Addr) Dep {
	return Dep{Kind: DepBridgeNeighbour, A: uint32(d), B: flow.AddrOf(a), V6: a.Is6()}
}

// Affects reports whether a change of d may alter a result that depends on e: equal, or routes whose destinations overlap.
func (d Dep) Affects(e Dep) bool {
	if d.Kind != DepRoute || e.Kind != DepRoute {
		return d == e
	}
	if d.A != e.A || d.V6 != e.V6 {
		return false
	}
	dh, dl := lpmKey(&d.B, d.V6)
	eh, el := lpmKey(&e.B, e.V6)
	return commonBits(dh, dl, eh, el) >= min(d.Bits, e.Bits)
}

// Addr returns the address of a route or neighbour dependency.
func (d Dep) Addr() netip.Addr {
	if d.V6 {
		return d.B.Netip(packet.EtherTypeIPv6)
	}
	return d.B.Netip(packet.EtherTypeIPv4)
}

// MAC returns the MAC of a FDB dependency.
func (d Dep) MAC() packet.MAC { return packet.MAC(d.B[10:]) }

// String returns the dependency in one line.
func (d Dep) String() string {
	switch d.Kind {
	case DepDevice:
		return fmt.Sprintf("device %d", d.A)
	case DepVPort:
		return fmt.Sprintf("vport %d", d.A)
	case DepRoute:
		return fmt.Sprintf("router %d route %v/%d", d.A, d.Addr(), d.Bits)
	case DepFDB:
		return fmt.Sprintf("bridge %d fdb %v", d.A, d.MAC())
	case DepBridgeNeighbour:
		return fmt.Sprintf("bridge %d neighbour %v", d.A, d.Addr())
	case DepNeighbour:
		return fmt.Sprintf("vport %d neighbour %v", d.A, d.Addr())
	case DepGroup:
		return fmt.Sprintf("group %d", d.A)
	case DepBinding:
		return fmt.Sprintf("binding of vport %d", d.A)
	}
	return "none"
}
