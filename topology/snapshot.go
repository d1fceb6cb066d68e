package topology

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// Snapshot is the virtual topology at one moment: what a simulation reads. Immutable; the zero value is the empty network.
// It does not say where a vport lives: a move needs no new simulation.
//
// A snapshot may hold a part of the network (E7). A device is in it whole, with its ports and tables, or not at all; what a link leads to then is
// not absent but not loaded: Missing and MissingGroup name it.
type Snapshot struct {
	vports  table[VPort]
	bridges table[Bridge]
	routers table[Router]
	chains  table[Chain]
	sets    table[group]
	dhcps   table[DHCP]
	pools   table[Pool]
	health  table[health]                    // by pool
	probed  map[flow.VPortID][]DeviceID      // pools by the port that their members are probed from
	learned table[learned]                   // by bridge
	neigh   table[neighbours]                // by router port
	publics table[publics]                   // by router that is to know of them
	down    shardMap[flow.VPortID, struct{}] // exterior ports whose link is
	demands shardMap[flow.VPortID, map[string]BitRate]
	names   shardMap[Ref, uint32]
	bound   shardMap[Ref, bound] // by binding, to tell whether it changes, and to name the dependency then
	bgp     map[flow.VPortID][]*BGPSession
	pending map[flow.VPortID]struct{} // vports whose device or peer is not known
	fabric  fabric
	fabRef  Ref
}

// bound is what a binding says. Comparable.
type bound struct {
	vport Ref
	spec  BindingSpec
}

// VPort returns a vport, nil if there is none.
func (s *Snapshot) VPort(id flow.VPortID) *VPort { return s.vports.get(uint32(id)) }

// Bridge returns a bridge, nil if there is none.
func (s *Snapshot) Bridge(id DeviceID) *Bridge { return s.bridges.get(uint32(id)) }

// Station returns the port behind which a bridge has a MAC; nil: it is not known, or its port is gone and took not along what was learnt behind it.
func (s *Snapshot) Station(b *Bridge, m packet.MAC) *VPort {
	id, ok := b.FDB(m)
	if !ok {
		return nil
	}
	if p := s.VPort(id); p != nil && p.Device == b.ID {
		return p
	}
	return nil
}

// Router returns a router, nil if there is none.
func (s *Snapshot) Router(id DeviceID) *Router { return s.routers.get(uint32(id)) }

// ID returns the id of an object.
func (s *Snapshot) ID(r Ref) (uint32, bool) { return s.names.get(r) }

// VPorts returns all vports in order of id.
func (s *Snapshot) VPorts() iter.Seq[*VPort] { return s.vports.all() }

// Bridges returns all bridges in order of id.
func (s *Snapshot) Bridges() iter.Seq[*Bridge] { return s.bridges.all() }

// Chains yields the chains of rules.
func (s *Snapshot) Chains() iter.Seq[*Chain] { return s.chains.all() }

// Routers returns all routers in order of id.
func (s *Snapshot) Routers() iter.Seq[*Router] { return s.routers.all() }

// Neighbour returns an entry of a router port's ARP or ND cache. The MAC is valid iff the state is NeighbourOK.
func (s *Snapshot) Neighbour(port flow.VPortID, a netip.Addr) (packet.MAC, NeighbourState) {
	n := s.neigh.get(uint32(port))
	if n == nil {
		return packet.MAC{}, NeighbourAbsent
	}
	e, _ := n.entries.get(a)
	return e.mac, e.state
}

// IsGroup reports whether d is a group, not a vport.
func (s *Snapshot) IsGroup(d flow.Dest) bool { return s.Bridge(DeviceID(d)) != nil }

// GroupMembers returns the exterior vports of a bridge's flood domain in order of id: those of the bridge and of all bridges linked to it (E10), but
// those that a chain or a link with a rate stands before. What they get is decided copy by copy.
func (s *Snapshot) GroupMembers(d flow.Dest) []flow.VPortID {
	var members []flow.VPortID
	open, _ := s.reach(DeviceID(d), func(p, q *VPort) bool {
		return p.Filters.Egress == 0 && s.Bridge(p.Device).Filters.Egress == 0 && !FiltersIn(s.Bridge(q.Device).Filters, q) && s.LinkRate(q.ID) == 0
	})
	for _, id := range open {
		b := s.Bridge(id)
		if b.Filters.Egress != 0 {
			continue
		}
		for _, p := range b.Ports {
			if v := s.VPort(p); v != nil && v.Exterior && !v.AdminDown && v.Filters.Egress == 0 {
				members = append(members, p)
			}
		}
	}
	slices.Sort(members)
	return members
}

// FiltersIn reports whether what enters a device by a port meets a chain.
func FiltersIn(device Filters, p *VPort) bool { return device.Ingress != 0 || p.Filters.Ingress != 0 }

// Missing returns the device at the other end of a port's link, if it is not loaded; 0 if it is, or if there is no link.
func (s *Snapshot) Missing(p *VPort) DeviceID {
	if p.far == nil || p.Peer != p.far.ID || s.VPort(p.Peer) != nil {
		return 0
	}
	return p.far.Device
}

// MissingGroup returns the bridges that are linked to a bridge's flood domain and not loaded: what they lead to is not among its members.
func (s *Snapshot) MissingGroup(d flow.Dest) []DeviceID {
	_, missing := s.domain(DeviceID(d))
	return missing
}

// Linked returns the devices at the other ends of a device's links, loaded or not: those that share its flood domain, and others. The chains of a device
// and of its ports, and what a chain names, go with the former. There may be repetitions.
func (s *Snapshot) Linked(id DeviceID) (domain, others []DeviceID) {
	kind := DeviceRouter
	if b := s.Bridge(id); b != nil {
		kind, domain = DeviceBridge, b.Filters.ids()
	} else if r := s.Router(id); r != nil {
		domain = r.Filters.ids()
	} else if c := s.Chain(id); c != nil {
		return c.Used, nil
	}
	for _, p := range s.ports(id) {
		v := s.VPort(p)
		if v == nil {
			continue
		}
		domain = append(domain, v.Filters.ids()...)
		switch q := s.Far(v); {
		case q == nil || q.Device == 0:
		case kind == DeviceBridge && q.Kind == DeviceBridge:
			domain = append(domain, q.Device)
		default:
			others = append(others, q.Device)
		}
	}
	return domain, others
}

// ports returns the ports of a device.
func (s *Snapshot) ports(id DeviceID) []flow.VPortID {
	if b := s.Bridge(id); b != nil {
		return b.Ports
	}
	if r := s.Router(id); r != nil {
		return r.Ports
	}
	return nil
}

// FloodRate is how many frames a second an exterior vport may send to all; 0: any number.
func (s *Snapshot) FloodRate(id flow.VPortID) int64 {
	v := s.VPort(id)
	if v == nil || !v.Exterior {
		return 0
	}
	if b := s.Bridge(v.Device); b != nil && v.FloodRate == 0 {
		return int64(b.FloodRate)
	}
	return int64(v.FloodRate)
}

// KeepsTags reports whether a frame that comes in at an exterior vport with a tag of its sender's is bridged with it.
func (s *Snapshot) KeepsTags(id flow.VPortID) bool {
	v := s.VPort(id)
	if v == nil || !v.Exterior {
		return false
	}
	b := s.Bridge(v.Device)
	return b != nil && b.KeepTags
}

// Far returns the other end of a port's link, nil if there is none. Of one that is not loaded, it has what the port's object says of its peer.
func (s *Snapshot) Far(p *VPort) *VPort {
	if q := s.VPort(p.Peer); q != nil || s.Missing(p) == 0 {
		return q
	}
	return p.far
}

// Zone returns what connections that enter a device have it for: of a bridge, whichever it is of its flood domain, the same. 0: not all of that is loaded.
func (s *Snapshot) Zone(id DeviceID) DeviceID {
	if b := s.Bridge(id); b != nil {
		return b.Zone
	}
	return id
}

// Domain returns the bridge and all bridges linked to it, directly or by others, in the order in which a flood reaches them; none if there is no such bridge.
func (s *Snapshot) Domain(id DeviceID) []DeviceID {
	found, _ := s.domain(id)
	return found
}

func (s *Snapshot) domain(id DeviceID) (found, missing []DeviceID) {
	return s.reach(id, func(*VPort, *VPort) bool { return true })
}

// reach is domain over the links that it may cross, from p to q.
func (s *Snapshot) reach(id DeviceID, cross func(p, q *VPort) bool) (found, missing []DeviceID) {
	if s.Bridge(id) == nil {
		return nil, nil
	}
	found = []DeviceID{id}
	for i := 0; i < len(found); i++ {
		for _, p := range s.Bridge(found[i]).Ports {
			v := s.VPort(p)
			if v == nil || v.AdminDown || v.Peer == 0 {
				continue
			}
			if d := s.Missing(v); d != 0 && v.far.Kind == DeviceBridge {
				missing = append(missing, d)
				continue
			}
			q := s.VPort(v.Peer)
			if q != nil && q.Kind == DeviceBridge && !q.AdminDown && s.Bridge(q.Device) != nil && !slices.Contains(found, q.Device) && cross(v, q) {
				found = append(found, q.Device)
			}
		}
	}
	return found, missing
}
