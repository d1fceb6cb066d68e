package topology

import (
	"cmp"
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

const (
	defaultVNI = 1

	// DefaultVPNPort is where a peer of WireGuard's listens, if nothing else is said.
	DefaultVPNPort = 51820
)

// VPN is a VPN with all that its holder needs of the network. Read-only; stored as JSON.
type VPN struct {
	Name    string   `json:"name"` // TENANT/NAME
	Spec    VPNSpec  `json:"spec"`
	Private VPNPort  `json:"private"`
	Public  *VPNPort `json:"public,omitempty"`
}

// VPNPort is a port of a VPN.
type VPNPort struct {
	ID        flow.VPortID   `json:"id"`
	Device    DeviceID       `json:"device"`
	Name      string         `json:"name"`             // TENANT/NAME
	Router    bool           `json:"router,omitempty"` // it is a router's, else a bridge's
	MAC       packet.MAC     `json:"mac,omitzero"`     // of the router's port
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	Hosts     []netip.Addr   `json:"hosts,omitempty"` // of a public port: this end's addresses
	MTU       uint16         `json:"mtu"`
}

// ports are the names of the VPN's vports.
func (s *VPNSpec) ports() []string {
	if s.PublicPort == "" || s.PublicPort == s.VPort {
		return []string{s.VPort}
	}
	return []string{s.VPort, s.PublicPort}
}

// VNIOr is the VNI of frames in the tunnel.
func (s *VPNEthernetSpec) VNIOr() uint32 { return cmp.Or(s.VNI, defaultVNI) }

// Overhead is what a frame's encapsulation takes of the tunnel's MTU, for the IP packet in the frame.
func (s *VPNEthernetSpec) Overhead() uint16 {
	if s.Local.Is4() {
		return overheadV4
	}
	return overheadV6
}

// May reports whether an edge competes for the VPN.
func (v *VPN) May(edge string) bool {
	for _, e := range v.Spec.Edges {
		if e == edge {
			return true
		}
	}
	return len(v.Spec.Edges) == 0
}

// VPN returns a VPN of the set with what it needs of others; nil if there is none.
func (s *Set) VPN(r Ref) *VPN {
	o := s.Get(r)
	if o == nil {
		return nil
	}
	spec, ok := o.Spec.(*VPNSpec)
	if !ok {
		return nil
	}
	v := &VPN{Name: r.Tenant + "/" + r.Name, Spec: *spec}
	if private := s.vpnPort(o.VPortRef(spec.VPort)); private != nil {
		v.Private = *private
	}
	if spec.PublicPort != "" {
		v.Public = s.vpnPort(o.VPortRef(spec.PublicPort))
	}
	return v
}

func (s *Set) vpnPort(r Ref) *VPNPort {
	o := s.Get(r)
	if o == nil {
		return nil
	}
	spec, ok := o.Spec.(*VPortSpec)
	if !ok {
		return nil
	}
	device, _ := o.DeviceRef()
	p := &VPNPort{ID: flow.VPortID(o.Status.ID), Name: r.Tenant + "/" + r.Name, Router: device.Kind == KindRouter, Addresses: spec.ownAddresses(), Hosts: spec.hosts(), MTU: spec.MTU}
	if d := s.Get(device); d != nil {
		p.Device = DeviceID(d.Status.ID)
	}
	if p.Router {
		if p.MAC = spec.MAC; p.MAC.IsZero() {
			p.MAC = GeneratedMAC(p.ID)
		}
	}
	return p
}

// publicOf returns the id of the port by which what leaves by a vport goes on encrypted; 0: there is none.
func (s *Set) publicOf(vport Ref) uint32 {
	for _, u := range s.Users(vport) {
		o := s.Get(u)
		if o == nil {
			continue
		}
		spec, ok := o.Spec.(*VPNSpec)
		if !ok || spec.PublicPort == "" || o.VPortRef(spec.VPort) != vport {
			continue
		}
		if public := s.Get(o.VPortRef(spec.PublicPort)); public != nil {
			return public.Status.ID
		}
	}
	return 0
}
