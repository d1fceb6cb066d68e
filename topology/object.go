package topology

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/weft-sdn/weft/packet"
)

// APIVersion is the version of the objects in this package.
const APIVersion = "weft/v1"

// DefaultTenant owns objects that name no tenant.
const DefaultTenant = "default"

// Kind is the kind of an object.
type Kind string

// Kinds.
const (
	KindBridge       Kind = "Bridge"
	KindRouter       Kind = "Router"
	KindVPort        Kind = "VPort"
	KindBinding      Kind = "Binding"
	KindFabric       Kind = "Fabric"
	KindChain        Kind = "Chain"
	KindAddressGroup Kind = "AddressGroup"
	KindPortGroup    Kind = "PortGroup"
	KindDHCP         Kind = "DHCP"
	KindPool         Kind = "Pool"

	KindSecurityGroup Kind = "SecurityGroup"
	KindFloatingIP    Kind = "FloatingIP"
	KindSNATGateway   Kind = "SNATGateway"

	KindBGPSession Kind = "BGPSession"
	KindVPN        Kind = "VPN"

	KindTenant Kind = "Tenant"
)

// Kinds returns all kinds, those that others refer to first.
func Kinds() []Kind {
	return []Kind{KindFabric, KindAddressGroup, KindPortGroup, KindPool, KindChain, KindDHCP, KindSecurityGroup, KindBridge, KindRouter, KindVPort, KindBinding, KindFloatingIP, KindSNATGateway, KindBGPSession, KindVPN, KindTenant}
}

// HasID reports whether objects of the kind have an id: what a packet's walk meets.
func (k Kind) HasID() bool {
	switch k {
	case KindFabric, KindBinding, KindSecurityGroup, KindFloatingIP, KindSNATGateway, KindBGPSession, KindVPN, KindTenant:
		return false
	}
	return true
}

// Ref names an object. Comparable.
type Ref struct {
	Kind         Kind
	Tenant, Name string
}

// String returns the form "bridge acme/web".
func (r Ref) String() string {
	return strings.ToLower(string(r.Kind)) + " " + r.Tenant + "/" + r.Name
}

// Object is one desired object, as written in a manifest and stored in /weft/conf.
type Object struct {
	APIVersion string   `json:"apiVersion"`
	Kind       Kind     `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
	Status     Status   `json:"status,omitzero"`
	Source     *Source  `json:"-"` // where it was written; nil if not in a file
}

// Metadata is what all objects have.
type Metadata struct {
	Name   string            `json:"name"`             // 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first; of one kind and tenant, one object each
	Tenant string            `json:"tenant,omitempty"` // owner; default: "default"
	Labels map[string]string `json:"labels,omitempty"` // yours, to choose objects by: weft get -l tier=front
}

// Status is what the system adds.
type Status struct {
	ID       uint32            `json:"id,omitempty"`       // of one 24-bit space for all kinds (a bridge's is its group's, too); from a counter that never decreases
	Peer     *Peer             `json:"peer,omitempty"`     // of a vport, in a resolved object: see Set.Resolved
	Of       string            `json:"of,omitempty"`       // the object that this is a part of; empty: none, it was written by a user
	Expanded bool              `json:"expanded,omitempty"` // it is short for its parts
	Filters  *FilterSpec       `json:"filters,omitempty"`  // of a router or vport: chains that it runs in place of its own, which they run too
	NotFrom  uint32            `json:"notFrom,omitempty"`  // of a vport, in a resolved object: the public port of the VPN that it is the private port of
	Uses     map[string]uint32 `json:"uses,omitempty"`     // in a resolved object: ids of the chains, groups, ports and DHCP resources that it names, by Ref.String
}

// Peer is the other end of a vport's link, as far as this end must know it when the other device is not loaded (E7).
type Peer struct {
	ID        uint32         `json:"id"`
	Device    uint32         `json:"device"`
	Kind      Kind           `json:"kind"` // of the device
	MAC       packet.MAC     `json:"mac,omitzero"`
	Addresses []netip.Prefix `json:"addresses,omitempty"` // of the port itself
	AdminDown bool           `json:"adminDown,omitempty"`
}

// Source tells where an object was written.
type Source struct {
	File  string
	Lines map[string]int // by path of a field, such as spec.routes[1].dst; "" is the object
}

// Spec is the part of an object that its kind defines: *BridgeSpec, *ChainSpec …
type Spec interface{ kind() Kind }

// BridgeSpec is a virtual bridge (B1–B6).
type BridgeSpec struct {
	UnknownUnicast  string          `json:"unknownUnicast,omitempty"` // flood (default) or drop
	FloodRate       uint32          `json:"floodRate,omitempty"`      // broadcast, multicast and flooded frames that each exterior port takes a second, and at once; 0: no limit
	Tagged          string          `json:"tagged,omitempty"`         // of a bridge without vlans: frames with a tag that the binding does not name: drop (default), or keep, the tag as a part of what is sent
	VLANs           []VLANRange     `json:"vlans,omitempty"`          // makes the bridge VLAN-aware: its VLANs, each a flood domain with tables of its own, called NAME.VLAN
	MACs            []MACSpec       `json:"macs,omitempty"`           // seeds of the FDB
	Neighbours      []NeighbourSpec `json:"neighbours,omitempty"`     // seeds of the ARP cache
	Filters         FilterSpec      `json:"filters,omitzero"`
	GlobalAddresses string          `json:"globalAddresses,omitempty"` // address group, of the same tenant, of addresses that are one host's wherever they are met: a connection between two of them is one for all devices that name the group. Private, link-local and other local ones never count (C1)
}

// MACSpec tells where a bridge finds a MAC.
type MACSpec struct {
	MAC  packet.MAC `json:"mac"`            // of one station
	Port string     `json:"port"`           // vport of the bridge behind which it is; of a trunk, NAME.VLAN
	VLAN uint16     `json:"vlan,omitempty"` // of a VLAN-aware bridge: in which VLAN
}

// NeighbourSpec is an entry of a bridge's ARP cache.
type NeighbourSpec struct {
	IP   netip.Addr `json:"ip"`             // of one host
	MAC  packet.MAC `json:"mac"`            // of the same host
	VLAN uint16     `json:"vlan,omitempty"` // of a VLAN-aware bridge: in which VLAN
}

// RouterSpec is a virtual router.
type RouterSpec struct {
	AggregateRoutes bool         `json:"aggregateRoutes,omitempty"` // edges leave routes out of the table that they look in which lead where the next shorter prefix does: packets go the same ways
	Routes          []RouteSpec  `json:"routes,omitempty"`
	Tables          []TableSpec  `json:"tables,omitempty"`   // for policies
	Policies        []PolicySpec `json:"policies,omitempty"` // go before routes
	Filters         FilterSpec   `json:"filters,omitzero"`
	GlobalAddresses string       `json:"globalAddresses,omitempty"` // the same as of a bridge: address group of addresses that are one host's wherever they are met
}

// RouteSpec is a static route (R1).
type RouteSpec struct {
	Dst    netip.Prefix `json:"dst"`              // destinations; the longest prefix wins
	Src    netip.Prefix `json:"src,omitzero"`     // of packets from there alone
	Via    netip.Addr   `json:"via,omitzero"`     // gateway; none: the destinations are on the port's link
	Port   string       `json:"port,omitempty"`   // vport of the router that packets leave by; needed for kind port
	Kind   string       `json:"kind,omitempty"`   // port (default), reject, blackhole
	Weight uint8        `json:"weight,omitempty"` // share of flows among equal routes; 1 if not given
}

// VPortSpec is a port of a device.
type VPortSpec struct {
	Device         string         `json:"device"`               // bridge/NAME or router/NAME
	VLAN           uint16         `json:"vlan,omitempty"`       // at a VLAN-aware bridge: the one VLAN that the port is in; its frames have no tag of that
	VLANs          []VLANRange    `json:"vlans,omitempty"`      // the same for a trunk: the VLANs that it carries, tagged at an exterior port; what it is in each is called NAME.VLAN
	Native         uint16         `json:"native,omitempty"`     // of an exterior trunk: the VLAN, beside or among vlans, whose frames are untagged; 0: untagged frames are dropped
	Peer           string         `json:"peer,omitempty"`       // the vport at the other end of an interior link; empty or "exterior" if there is none
	Exterior       bool           `json:"exterior,omitempty"`   // says the same as no peer
	MAC            packet.MAC     `json:"mac,omitzero"`         // of the router port, or of the one host at a bridge port; a router port without gets one from its id
	Addresses      []netip.Prefix `json:"addresses,omitempty"`  // of the router port, or of the host at a bridge port, with the length of the link's prefix
	SingleHost     bool           `json:"singleHost,omitempty"` // of a router's port: addresses are those of the one host at it; its gateway is the first of the prefix, which other such ports share (R5)
	MTU            uint16         `json:"mtu,omitempty"`        // bytes of IP packet; 0: what the fabric leaves
	Rate           BitRate        `json:"rate,omitempty"`       // bits a second such as 50M: of an interior port those of its link, each way, given at one end; of an exterior port those from its host, and those to it, each for itself; default: no limit
	AdminDown      bool           `json:"adminDown,omitempty"`  // the port takes and gives no packet; default: false
	FloodRate      uint32         `json:"floodRate,omitempty"`  // of an exterior port of a bridge, in place of the bridge's: broadcast, multicast and flooded frames that it takes a second, and at once; 0: the bridge's
	Filters        FilterSpec     `json:"filters,omitzero"`
	Advertise      AdvertiseSpec  `json:"advertise,omitzero"`
	SecurityGroups []string       `json:"securityGroups,omitempty"` // of a host at a bridge: what says what it may be sent and send. The chains of filters are met first
	DHCP           string         `json:"dhcp,omitempty"`           // the DHCP resource that answers hosts at an exterior port: NAME or TENANT/NAME; none: DHCP is ordinary traffic (D1)
}

// IsExterior reports whether the port has no peer.
func (s *VPortSpec) IsExterior() bool { return s.Peer == "" || s.Peer == "exterior" }

// BindingSpec says at which interface of which edge an exterior vport is.
type BindingSpec struct {
	VPort     string `json:"vport"`          // exterior vport: NAME of the same tenant, or TENANT/NAME
	Edge      string `json:"edge"`           // id of the edge, as its agent has it
	Interface string `json:"interface"`      // name that the edge's agent has among its interfaces, or the number of an access port
	VLAN      uint16 `json:"vlan,omitempty"` // tag of the vport's frames there; 0: untagged. A trunk has its own
}

// FabricSpec describes the underlay. There is one at most.
type FabricSpec struct {
	MTU         uint16 `json:"mtu,omitempty"`         // bytes of outer IP packet; default 1500
	EncapFamily string `json:"encapFamily,omitempty"` // v6 (default) or v4
}

func (*BridgeSpec) kind() Kind  { return KindBridge }
func (*RouterSpec) kind() Kind  { return KindRouter }
func (*VPortSpec) kind() Kind   { return KindVPort }
func (*BindingSpec) kind() Kind { return KindBinding }
func (*FabricSpec) kind() Kind  { return KindFabric }

// NewSpec returns an empty spec of a kind, nil if there is no such kind.
func NewSpec(k Kind) Spec { return newSpec(k) }

// newSpec is NewSpec.
func newSpec(k Kind) Spec {
	switch k {
	case KindBridge:
		return new(BridgeSpec)
	case KindRouter:
		return new(RouterSpec)
	case KindVPort:
		return new(VPortSpec)
	case KindBinding:
		return new(BindingSpec)
	case KindFabric:
		return new(FabricSpec)
	case KindChain:
		return new(ChainSpec)
	case KindAddressGroup:
		return new(AddressGroupSpec)
	case KindPortGroup:
		return new(PortGroupSpec)
	case KindDHCP:
		return new(DHCPSpec)
	case KindPool:
		return new(PoolSpec)
	case KindSecurityGroup:
		return new(SecurityGroupSpec)
	case KindFloatingIP:
		return new(FloatingIPSpec)
	case KindSNATGateway:
		return new(SNATGatewaySpec)
	case KindBGPSession:
		return new(BGPSessionSpec)
	case KindTenant:
		return new(TenantSpec)
	case KindVPN:
		return new(VPNSpec)
	}
	return nil
}

// Tenant returns the object's owner.
func (o *Object) Tenant() string {
	if o.Metadata.Tenant == "" {
		return DefaultTenant
	}
	return o.Metadata.Tenant
}

// Ref returns the object's name.
func (o *Object) Ref() Ref { return Ref{o.Kind, o.Tenant(), o.Metadata.Name} }

// VPortRef returns what a field of this object that names a vport refers to: NAME in the same tenant, or TENANT/NAME.
func (o *Object) VPortRef(s string) Ref { return o.refTo(KindVPort, s) }

// DHCPRef is the same for a DHCP resource.
func (o *Object) DHCPRef(s string) Ref { return o.refTo(KindDHCP, s) }

// Uses returns what the object refers to, each as often as it does.
func (o *Object) Uses() []Ref { return usesOf(o) }

// refTo is VPortRef for any kind.
func (o *Object) refTo(k Kind, s string) Ref {
	tenant, name, found := strings.Cut(s, "/")
	if !found {
		tenant, name = o.Tenant(), s
	}
	return Ref{k, tenant, name}
}

// DeviceRef returns what a vport's device field refers to: bridge/NAME, router/NAME, or the same with TENANT/NAME. With a VLAN, it is what the bridge is in it.
func (o *Object) DeviceRef() (Ref, bool) {
	spec, ok := o.Spec.(*VPortSpec)
	if !ok {
		return Ref{}, false
	}
	ref, ok := deviceNamed(o, spec)
	if ok && ref.Kind == KindBridge && spec.VLAN != 0 {
		ref.Name = inVLAN(ref.Name, spec.VLAN)
	}
	return ref, ok
}

// deviceNamed is DeviceRef but for the port's VLAN.
func deviceNamed(o *Object, spec *VPortSpec) (Ref, bool) {
	kind, rest, _ := strings.Cut(spec.Device, "/")
	tenant, name, found := strings.Cut(rest, "/")
	if !found {
		tenant, name = o.Tenant(), rest
	}
	switch kind {
	case "bridge":
		return Ref{KindBridge, tenant, name}, name != ""
	case "router":
		return Ref{KindRouter, tenant, name}, name != ""
	}
	return Ref{}, false
}

// UnmarshalJSON decodes the form that json.Marshal writes.
func (o *Object) UnmarshalJSON(b []byte) error {
	type plain Object
	raw := struct {
		*plain
		Spec json.RawMessage `json:"spec"`
	}{plain: (*plain)(o)}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	spec := newSpec(o.Kind)
	if spec == nil {
		return fmt.Errorf("object of unknown kind %q", o.Kind)
	}
	if len(raw.Spec) > 0 {
		if err := json.Unmarshal(raw.Spec, spec); err != nil {
			return fmt.Errorf("%v: spec: %w", o.Ref(), err)
		}
	}
	o.Spec = spec
	return nil
}
