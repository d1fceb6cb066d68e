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
	DepConn                    // A: device; B: a connection that enters there, by its hash
	DepDemand                  // A: vport. What edges want of the link that leads to it: no result relies on that, edges do
)

// Dep is one thing that a result relied on; its absence is the same Dep (E6). Comparable.
//
// Three words, which go from hand to hand in registers: simulations note dozens.
type Dep struct {
	what   uint64 // from the top: kind, length of the prefix, 1 for IPv6, 16 bits free, A
	hi, lo uint64 // a MAC in lo, an address as a routing table has it
}

func depOf(k DepKind, a uint32) uint64 { return uint64(k)<<56 | uint64(a) }

func (d Dep) Kind() DepKind { return DepKind(d.what >> 56) }

// A is the device or vport, as the kind says.
func (d Dep) A() uint32 { return uint32(d.what) }

// Bits is the length of the prefix of a DepRoute.
func (d Dep) Bits() uint8 { return uint8(d.what >> 48) }

// V6 reports whether the address is one of IPv6.
func (d Dep) V6() bool { return d.what>>47&1 != 0 }

// DeviceDep returns the dependency on a device's own settings.
func DeviceDep(d DeviceID) Dep { return Dep{what: depOf(DepDevice, uint32(d))} }

// VPortDep returns the dependency on a vport.
func VPortDep(v flow.VPortID) Dep { return Dep{what: depOf(DepVPort, uint32(v))} }

// GroupDep returns the dependency on the ports of a bridge.
func GroupDep(d DeviceID) Dep { return Dep{what: depOf(DepGroup, uint32(d))} }

// BindingDep returns the dependency on where a vport lives.
func BindingDep(v flow.VPortID) Dep { return Dep{what: depOf(DepBinding, uint32(v))} }

// ConnDep returns the dependency on a connection that enters a device, by a hash of its key: two that have one are decided anew together.
func ConnDep(d DeviceID, hash uint64) Dep {
	return Dep{what: depOf(DepConn, uint32(d)), lo: hash}
}

// DemandDep returns the dependency on what edges want of the link that leads to a vport.
func DemandDep(v flow.VPortID) Dep { return Dep{what: depOf(DepDemand, uint32(v))} }

// FDBDep returns the dependency on where a bridge finds a MAC.
func FDBDep(d DeviceID, m packet.MAC) Dep {
	return Dep{what: depOf(DepFDB, uint32(d)), lo: m.Uint64()}
}

// RouteDep returns the dependency on the routes of a router to the destinations that share the first n bits of a.
func RouteDep(d DeviceID, a *flow.Addr, v6 bool, n uint8) Dep {
	hi, lo := lpmKey(a, v6)
	hi, lo = maskKey(hi, lo, n)
	return Dep{depOf(DepRoute, uint32(d)) | uint64(n)<<48 | v6Bit(v6), hi, lo}
}

func v6Bit(v6 bool) uint64 {
	if v6 {
		return 1 << 47
	}
	return 0
}

func addrDep(k DepKind, id uint32, a netip.Addr) Dep {
	v6, b := a.Is6(), flow.AddrOf(a)
	hi, lo := lpmKey(&b, v6)
	return Dep{depOf(k, id) | v6Bit(v6), hi, lo}
}

// NeighbourDep returns the dependency on a neighbour of a router port.
func NeighbourDep(v flow.VPortID, a netip.Addr) Dep { return addrDep(DepNeighbour, uint32(v), a) }

// BridgeNeighbourDep returns the dependency on an entry of a bridge's ARP cache.
func BridgeNeighbourDep(d DeviceID, a netip.Addr) Dep {
	return addrDep(DepBridgeNeighbour, uint32(d), a)
}

// Affects reports whether a change of d may alter a result that depends on e: equal, or routes whose destinations overlap.
func (d Dep) Affects(e Dep) bool {
	if d.Kind() != DepRoute || e.Kind() != DepRoute {
		return d == e
	}
	if d.A() != e.A() || d.V6() != e.V6() {
		return false
	}
	return commonBits(d.hi, d.lo, e.hi, e.lo) >= min(d.Bits(), e.Bits())
}

// Addr returns the address of a route or neighbour dependency.
func (d Dep) Addr() netip.Addr { return addrOfKey(d.hi, d.lo, d.V6()) }

// MAC returns the MAC of a FDB dependency.
func (d Dep) MAC() packet.MAC { return packet.MACFromUint64(d.lo) }

// String returns the dependency in one line.
func (d Dep) String() string {
	switch d.Kind() {
	case DepDevice:
		return fmt.Sprintf("device %d", d.A())
	case DepVPort:
		return fmt.Sprintf("vport %d", d.A())
	case DepRoute:
		return fmt.Sprintf("router %d route %v/%d", d.A(), d.Addr(), d.Bits())
	case DepFDB:
		return fmt.Sprintf("bridge %d fdb %v", d.A(), d.MAC())
	case DepBridgeNeighbour:
		return fmt.Sprintf("bridge %d neighbour %v", d.A(), d.Addr())
	case DepNeighbour:
		return fmt.Sprintf("vport %d neighbour %v", d.A(), d.Addr())
	case DepGroup:
		return fmt.Sprintf("group %d", d.A())
	case DepConn:
		return fmt.Sprintf("a connection into device %d", d.A())
	case DepDemand:
		return fmt.Sprintf("demands on the link to vport %d", d.A())
	case DepBinding:
		return fmt.Sprintf("binding of vport %d", d.A())
	}
	return "none"
}
