package topology

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// Bridge is a virtual bridge. Read-only.
type Bridge struct {
	ID          DeviceID
	Name        string
	Tenant      string
	Ports       []flow.VPortID // in order of id
	DropUnknown bool           // unknown unicast is dropped, not flooded (B1)
	KeepTags    bool           // frames that come in with a tag of their sender's are bridged with it
	FloodRate   uint32         // frames that each exterior port may have flooded a second, unless it has a rate of its own; 0: no limit
	Filters     Filters
	Subnets     []netip.Prefix // of the router ports linked to it
	Global      DeviceID       // address group of what is globally unique, see Snapshot.GlobalZone; 0: none
	Zone        DeviceID       // the first bridge of its flood domain, by id: the same for all of them. 0: not all of them are loaded

	ref     Ref
	spec    *BridgeSpec
	macs    map[macKey]flow.VPortID   // seeded (B4)
	neigh   map[netip.Addr]packet.MAC // seeded (B5)
	learned *learned
}

// learned is what a bridge learnt: in /weft/tbl.
type learned struct {
	macs  shardMap[macKey, flow.VPortID]
	neigh shardMap[netip.Addr, packet.MAC]
	addrs shardMap[macKey, []netip.Addr] // neigh by MAC
}

// macKey is a MAC as a number, which a map finds in half the time.
type macKey uint64

// Group returns the id of the bridge's flood domain.
func (b *Bridge) Group() flow.Dest { return flow.Dest(b.ID) }

// FDB returns the port behind which a MAC is.
func (b *Bridge) FDB(m packet.MAC) (flow.VPortID, bool) {
	k := macKey(m.Uint64())
	if p, ok := b.macs[k]; ok {
		return p, true
	}
	if b.learned == nil {
		return 0, false
	}
	return b.learned.macs.get(k)
}

// SeededMAC reports whether the configuration tells where a MAC is: learning never moves it.
func (b *Bridge) SeededMAC(m packet.MAC) bool {
	_, ok := b.macs[macKey(m.Uint64())]
	return ok
}

// LearntMACs returns the MACs that the bridge learnt behind a port, in no order.
func (b *Bridge) LearntMACs(port flow.VPortID) iter.Seq[packet.MAC] {
	return func(yield func(packet.MAC) bool) {
		if b.learned == nil {
			return
		}
		for m, p := range b.learned.macs.all() {
			if p == port && !yield(packet.MACFromUint64(uint64(m))) {
				return
			}
		}
	}
}

// LostMACs returns what the bridge learnt behind ports that it does not have any more, in no order.
func (b *Bridge) LostMACs() iter.Seq2[packet.MAC, flow.VPortID] {
	return func(yield func(packet.MAC, flow.VPortID) bool) {
		if b.learned == nil {
			return
		}
		for m, p := range b.learned.macs.all() {
			if _, has := slices.BinarySearch(b.Ports, p); !has && !yield(packet.MACFromUint64(uint64(m)), p) {
				return
			}
		}
	}
}

// LearntAddrs returns the addresses that the bridge learnt at a MAC, in no order. Read-only.
func (b *Bridge) LearntAddrs(mac packet.MAC) []netip.Addr {
	if b.learned == nil {
		return nil
	}
	addrs, _ := b.learned.addrs.get(macKey(mac.Uint64()))
	return addrs
}

// LostAddrs returns what the bridge learnt of addresses at MACs of which it does not know any more where they are, in no order.
func (b *Bridge) LostAddrs() iter.Seq2[netip.Addr, packet.MAC] {
	return func(yield func(netip.Addr, packet.MAC) bool) {
		if b.learned == nil {
			return
		}
		for k, addrs := range b.learned.addrs.all() {
			mac := packet.MACFromUint64(uint64(k))
			if _, known := b.FDB(mac); known {
				continue
			}
			for _, a := range addrs {
				if !yield(a, mac) {
					return
				}
			}
		}
	}
}

// Neighbour returns the MAC of an address by the bridge's ARP cache.
func (b *Bridge) Neighbour(a netip.Addr) (packet.MAC, bool) {
	if m, ok := b.neigh[a]; ok {
		return m, true
	}
	if b.learned == nil {
		return packet.MAC{}, false
	}
	return b.learned.neigh.get(a)
}

// SeededNeighbour reports whether the configuration tells the MAC of an address: learning never changes it.
func (b *Bridge) SeededNeighbour(a netip.Addr) bool {
	_, ok := b.neigh[a]
	return ok
}

// Router is a virtual router. Read-only.
type Router struct {
	ID       DeviceID
	Name     string
	Tenant   string
	Ports    []flow.VPortID // in order of id
	Routes   *LPM
	Policies *Policies // go before Routes; nil: none
	Filters  Filters
	Global   DeviceID // address group of what is globally unique, see Snapshot.GlobalZone; 0: none

	ref    Ref
	spec   *RouterSpec
	static []Route                     // those of Routes that follow from the configuration, sorted
	hosts  map[netip.Addr]flow.VPortID // of single-host ports
}

// NeighbourState is what is known of a router port's neighbour (R4).
type NeighbourState uint8

// Neighbour states.
const (
	NeighbourAbsent NeighbourState = iota // not known, nobody asked
	NeighbourAsked                        // a request was sent
	NeighbourOK                           // the MAC is known
)

// neighbourEntry is an entry of a router port's ARP and ND cache.
type neighbourEntry struct {
	mac   packet.MAC
	state NeighbourState
}

// neighbours is the ARP and ND cache of one router port.
type neighbours struct {
	entries shardMap[netip.Addr, neighbourEntry]
}

func removePort(ports []flow.VPortID, id flow.VPortID) []flow.VPortID {
	i, found := slices.BinarySearch(ports, id)
	if !found {
		return ports
	}
	return slices.Delete(slices.Clone(ports), i, i+1)
}
