package topology

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/weft-sdn/weft/packet"
)

// DHCPSpec is a DHCP resource: what hosts at the exterior vports that name it are given (D1, K12). It belongs to no device, and many vports may share it.
type DHCPSpec struct {
	Subnets       []DHCPSubnet      `json:"subnets,omitempty"`      // of both IP versions
	Reservations  []DHCPReservation `json:"reservations,omitempty"` // addresses of hosts that are known
	LeaseTime     uint32            `json:"leaseTime,omitempty"`    // seconds; default 3600
	DNS           []netip.Addr      `json:"dns,omitempty"`          // resolvers, of both IP versions
	NTP           []netip.Addr      `json:"ntp,omitempty"`          // time servers, of both IP versions
	Domain        string            `json:"domain,omitempty"`       // that hosts are told for names without one, such as lan.example.org
	MTU           uint16            `json:"mtu,omitempty"`          // bytes of IP packet; lowered to the vport's, which is also the default
	Options       []DHCPOption      `json:"options,omitempty"`
	LeasesPerPort uint16            `json:"leasesPerPort,omitempty"` // addresses that are leased, offered or declined at one vport at a time, of each IP version; default 64
}

// DHCPSubnet is a prefix with the addresses in it that are given to any host.
type DHCPSubnet struct {
	Prefix netip.Prefix `json:"prefix"`
	Ranges []AddrRange  `json:"ranges,omitempty"` // none: reserved addresses only
	Router netip.Addr   `json:"router,omitzero"`  // IPv4: the default router
	Server netip.Addr   `json:"server,omitzero"`  // IPv4: the address that DHCP answers come from; default: the router
	Routes []DHCPRoute  `json:"routes,omitempty"` // IPv4: classless static routes (RFC 3442)
}

// DHCPRoute is a route that IPv4 hosts are told. The default route by the subnet's router is added by itself.
type DHCPRoute struct {
	Dst netip.Prefix `json:"dst"`
	Via netip.Addr   `json:"via"` // 0.0.0.0: on the link
}

// DHCPReservation keeps addresses for a host: at most one of each IP version.
type DHCPReservation struct {
	MAC       packet.MAC   `json:"mac"`
	Addresses []netip.Addr `json:"addresses"`
	Hostname  string       `json:"hostname,omitempty"` // told by IPv4
}

// DHCPOption is an option by number (RFC 2132, RFC 8415). It has one of text, hex and addresses.
type DHCPOption struct {
	Code      uint16       `json:"code"`
	Family    string       `json:"family,omitempty"`    // v4 (default) or v6
	Text      string       `json:"text,omitempty"`      // its value as it is
	Hex       string       `json:"hex,omitempty"`       // its value as hexadecimal digits
	Addresses []netip.Addr `json:"addresses,omitempty"` // its value as addresses of the family
}

func (*DHCPSpec) kind() Kind { return KindDHCP }

// Contains reports whether a is in the range.
func (r AddrRange) Contains(a netip.Addr) bool {
	return a.BitLen() == r.First.BitLen() && r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0
}

// Size returns the number of addresses, at most the largest uint64.
func (r AddrRange) Size() uint64 {
	fromHi, fromLo := words(r.First)
	toHi, toLo := words(r.Last)
	lo, borrow := bits.Sub64(toLo, fromLo, 0)
	if hi, _ := bits.Sub64(toHi, fromHi, borrow); hi != 0 || lo == math.MaxUint64 {
		return math.MaxUint64
	}
	return lo + 1
}

// At returns the n-th address of the range, counted from 0.
func (r AddrRange) At(n uint64) netip.Addr {
	hi, lo := words(r.First)
	lo, carry := bits.Add64(lo, n, 0)
	hi += carry
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	if r.First.Is4() {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

// words returns an address as a number: an IPv4 address is in lo.
func words(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return 0, uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

const (
	defaultLeaseTime     = 3600
	defaultLeasesPerPort = 64
)

// DHCP is a DHCP resource. Read-only.
type DHCP struct {
	ID     DeviceID // shares the space of devices and vports
	Name   string
	Tenant string
	Spec   *DHCPSpec
	MAC    packet.MAC // that answers come from: of no host

	ref   Ref
	fixed map[macKey]*DHCPReservation
	taken map[netip.Addr]packet.MAC // reserved addresses
}

func newDHCP(o *Object, s *DHCPSpec) *DHCP {
	d := &DHCP{
		ID: DeviceID(o.Status.ID), Name: o.Metadata.Name, Tenant: o.Tenant(), Spec: s, ref: o.Ref(),
		fixed: make(map[macKey]*DHCPReservation, len(s.Reservations)), taken: make(map[netip.Addr]packet.MAC, len(s.Reservations)),
	}
	id := d.ID
	d.MAC = packet.MAC{0x02, 0x77, 0x64, byte(id >> 16), byte(id >> 8), byte(id)}
	for i := range s.Reservations {
		r := &s.Reservations[i]
		d.fixed[macKey(r.MAC.Uint64())] = r
		for _, a := range r.Addresses {
			d.taken[a] = r.MAC
		}
	}
	return d
}

// LeaseTime returns how long a host may use an address without asking again.
func (d *DHCP) LeaseTime() time.Duration {
	t := d.Spec.LeaseTime
	if t == 0 {
		t = defaultLeaseTime
	}
	return time.Duration(t) * time.Second
}

// LeasesPerPort returns how many addresses may be in use at one vport.
func (d *DHCP) LeasesPerPort() int {
	if n := d.Spec.LeasesPerPort; n != 0 {
		return int(n)
	}
	return defaultLeasesPerPort
}

// Reservation returns what is kept for a host; nil if nothing is.
func (d *DHCP) Reservation(m packet.MAC) *DHCPReservation { return d.fixed[macKey(m.Uint64())] }

// Fixed returns the address of an IP version that is kept for a host, if one is.
func (d *DHCP) Fixed(m packet.MAC, v6 bool) (netip.Addr, bool) {
	if r := d.Reservation(m); r != nil {
		for _, a := range r.Addresses {
			if a.Is6() == v6 {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// Reserved reports whether an address is kept for one host.
func (d *DHCP) Reserved(a netip.Addr) bool {
	_, ok := d.taken[a]
	return ok
}

// Assignable reports whether the resource lets a host have an address, whoever has it now: the one kept for it, or else any of a range.
func (d *DHCP) Assignable(m packet.MAC, a netip.Addr) bool {
	if f, ok := d.Fixed(m, a.Is6()); ok {
		return a == f
	}
	if d.Reserved(a) {
		return false
	}
	s := d.Subnet(a)
	return s != nil && slices.ContainsFunc(s.Ranges, func(r AddrRange) bool { return r.Contains(a) })
}

// Subnet returns the subnet of an address, nil if there is none.
func (d *DHCP) Subnet(a netip.Addr) *DHCPSubnet {
	for i := range d.Spec.Subnets {
		if s := &d.Spec.Subnets[i]; s.Prefix.Contains(a) {
			return s
		}
	}
	return nil
}

// First returns the first subnet of an IP version, nil if there is none.
func (d *DHCP) First(v6 bool) *DHCPSubnet {
	for i := range d.Spec.Subnets {
		if s := &d.Spec.Subnets[i]; s.Prefix.Addr().Is6() == v6 {
			return s
		}
	}
	return nil
}

// Ranges returns all ranges of an IP version, rotated so that the search for a free address begins for each host at an address of its own, and at the
// same one each time: what is left of that range, the others, and its beginning.
func (d *DHCP) Ranges(m packet.MAC, v6 bool) []AddrRange {
	var all []AddrRange
	var total uint64
	for i := range d.Spec.Subnets {
		if s := &d.Spec.Subnets[i]; s.Prefix.Addr().Is6() == v6 {
			for _, r := range s.Ranges {
				all = append(all, r)
				if total += r.Size(); total < r.Size() {
					total = math.MaxUint64
				}
			}
		}
	}
	if total == 0 {
		return nil
	}
	h := fnv.New64a()
	h.Write(m[:])
	n := h.Sum64() % total
	for i, r := range all {
		if n >= r.Size() {
			n -= r.Size()
			continue
		}
		out := append([]AddrRange{{r.At(n), r.Last}}, all[i+1:]...)
		out = append(out, all[:i]...)
		if n > 0 {
			out = append(out, AddrRange{r.First, r.At(n - 1)})
		}
		return out
	}
	return all
}

// ServerAddr returns the IPv4 address that answers about the subnet come from.
func (s *DHCPSubnet) ServerAddr() netip.Addr {
	if s.Server.IsValid() {
		return s.Server
	}
	return s.Router
}

// String is the name of the resource.
func (d *DHCP) String() string { return fmt.Sprintf("dhcp %s/%s", d.Tenant, d.Name) }

// DHCP returns a DHCP resource, nil if it is not there, or not loaded.
func (s *Snapshot) DHCP(id DeviceID) *DHCP { return s.dhcps.get(uint32(id)) }

// DHCPs returns the resources that the vports of a device name, loaded or not. There may be repetitions.
func (s *Snapshot) DHCPs(id DeviceID) []DeviceID {
	var out []DeviceID
	for _, p := range s.ports(id) {
		if v := s.VPort(p); v != nil && v.DHCP != 0 {
			out = append(out, v.DHCP)
		}
	}
	return out
}

// dhcpIn returns the resource of a vport object by id.
func dhcpIn(o *Object, s *VPortSpec) DeviceID {
	if s.DHCP == "" || !s.IsExterior() {
		return 0
	}
	return DeviceID(o.Status.Uses[o.DHCPRef(s.DHCP).String()])
}

// putDHCP adds or replaces a resource. No flow relies on one: what it answers is decided packet by packet.
func (e *edit) putDHCP(o *Object, spec *DHCPSpec) {
	e.dhcps.set(o.Status.ID, newDHCP(o, spec))
	e.names.set(o.Ref(), o.Status.ID)
}
