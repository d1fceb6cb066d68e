package topology

import (
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// DeviceID is the id of a bridge or router; a bridge's is also its group.
type DeviceID uint32

// DeviceKind is the kind of a device.
type DeviceKind uint8

// Device kinds. DeviceNone: the device is not there (yet).
const (
	DeviceNone DeviceKind = iota
	DeviceBridge
	DeviceRouter
)

// VPort is a port of a device. Read-only.
type VPort struct {
	ID        flow.VPortID
	Name      string
	Tenant    string
	Kind      DeviceKind // of Device
	Device    DeviceID   // 0 while the device is not known
	Peer      flow.VPortID
	MAC       packet.MAC // router port: its own; bridge port: the host's, may be unset
	LinkLocal netip.Addr // router port: IPv6 link-local address by its MAC
	Addrs     []netip.Prefix
	Hosts     []netip.Addr  // single-host port: its host's (R5); Addrs are then the gateway's
	MTU       uint16        // bytes of IP packet
	Advertise AdvertiseSpec // router port
	DHCP      DeviceID      // the DHCP resource of an exterior port; 0: none
	AdminDown bool
	Exterior  bool
	NotFrom   flow.VPortID // what came in by that one may not leave by this one, it would go round in the VPN behind both; 0: none
	Rate      BitRate      // of an exterior port, from its host and to it; of an interior one see Snapshot.LinkRate; 0: no limit
	FloodRate uint32       // frames that an exterior port may have flooded a second; 0: as its bridge has it
	Filters   Filters

	ref       Ref
	spec      *VPortSpec
	deviceRef Ref
	peerRef   Ref
	far       *VPort // the peer, as far as the object says it (Status.Peer); nil if it does not
}

// HasAddr reports whether a is one of the port's own addresses.
func (p *VPort) HasAddr(a netip.Addr) bool {
	for _, x := range p.Addrs {
		if x.Addr() == a {
			return true
		}
	}
	return a == p.LinkLocal
}

// AddrFor returns the port's address to speak from to a: one of its family, on the same link if there is one.
// Valid iff the port has any. An IPv6 port always has its link-local address, which serves link-local neighbours and is the last resort for others.
func (p *VPort) AddrFor(a netip.Addr) netip.Addr {
	var best netip.Addr
	for _, x := range p.Addrs {
		if x.Addr().Is4() != a.Is4() {
			continue
		}
		if x.Contains(a) {
			return x.Addr()
		}
		if !best.IsValid() {
			best = x.Addr()
		}
	}
	if a.Is6() && (a.IsLinkLocalUnicast() || !best.IsValid()) {
		return p.LinkLocal
	}
	return best
}

// GeneratedMAC returns the locally administered MAC of a router port that was given none.
func GeneratedMAC(id flow.VPortID) packet.MAC {
	return packet.MAC{0x02, 0x77, 0x66, byte(id >> 16), byte(id >> 8), byte(id)}
}

// Overhead of VXLAN, Geneve without options and (4 less) GRE with key, in bytes of outer IP packet around an inner IP packet: outer IP, UDP, tunnel, inner Ethernet.
const (
	overheadV4 = 20 + 8 + 8 + 14
	overheadV6 = 40 + 8 + 8 + 14
)

const defaultFabricMTU = 1500

// fabric is the underlay as far as vports are concerned.
type fabric struct {
	mtu    uint16
	overV4 bool
}

func (f fabric) vportMTU() uint16 {
	mtu := f.mtu
	if mtu == 0 {
		mtu = defaultFabricMTU
	}
	if f.overV4 {
		return mtu - overheadV4
	}
	return mtu - overheadV6
}

func newVPort(o *Object, s *VPortSpec, f fabric) *VPort {
	p := &VPort{
		ref: o.Ref(), ID: flow.VPortID(o.Status.ID), Name: o.Metadata.Name, Tenant: o.Tenant(), MAC: s.MAC, Addrs: s.ownAddresses(), Hosts: s.hosts(),
		MTU: s.MTU, DHCP: dhcpIn(o, s), Advertise: s.Advertise, Rate: s.Rate, FloodRate: s.FloodRate, AdminDown: s.AdminDown, Exterior: s.IsExterior(), NotFrom: flow.VPortID(o.Status.NotFrom), Filters: filtersIn(o), spec: s,
	}
	p.deviceRef, _ = o.DeviceRef()
	if !p.Exterior {
		p.peerRef = o.VPortRef(s.Peer)
		p.far = farEnd(o.Status.Peer)
	}
	if p.far != nil {
		p.Peer = p.far.ID
	}
	if p.MTU == 0 {
		p.MTU = f.vportMTU()
	}
	if p.deviceRef.Kind == KindRouter {
		if p.MAC.IsZero() {
			p.MAC = GeneratedMAC(p.ID)
		}
		p.LinkLocal = LinkLocal(p.MAC)
	}
	return p
}

// farEnd makes a vport of what is known of a peer.
func farEnd(o *Peer) *VPort {
	if o == nil {
		return nil
	}
	p := &VPort{ID: flow.VPortID(o.ID), Device: DeviceID(o.Device), Kind: DeviceBridge, MAC: o.MAC, Addrs: o.Addresses, AdminDown: o.AdminDown}
	if o.Kind == KindRouter {
		p.Kind = DeviceRouter
		if p.MAC.IsZero() {
			p.MAC = GeneratedMAC(p.ID)
		}
		p.LinkLocal = LinkLocal(p.MAC)
	}
	return p
}

// OnLink reports whether a can be a neighbour of a router port: in a connected prefix or link-local, and not the port itself; or the one host.
func (p *VPort) OnLink(a netip.Addr) bool {
	switch {
	case !a.IsValid() || p.HasAddr(a):
		return false
	case p.SingleHost() && !a.IsLinkLocalUnicast():
		return slices.Contains(p.Hosts, a)
	}
	return a.Is6() && a.IsLinkLocalUnicast() || slices.ContainsFunc(p.Addrs, func(x netip.Prefix) bool { return x.Contains(a) })
}
