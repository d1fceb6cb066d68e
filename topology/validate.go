package topology

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/packet"
)

// Limits of an MTU in bytes of IP packet: the least that IPv4 hosts must take (RFC 791) and IPv6 links must have (RFC 8200), and jumbo frames.
const (
	minMTU4 = 576
	minMTU6 = 1280
	maxMTU  = 9216
)

func (v *validator) fabric(o *Object, s *FabricSpec) {
	if s.MTU != 0 && (s.MTU < minMTU6+overheadV6 || s.MTU > maxMTU+overheadV6) {
		v.fail(o, "spec.mtu", strconv.Itoa(int(s.MTU)), "is out of range", fmt.Sprintf("use %d to %d bytes of outer IP packet", minMTU6+overheadV6, maxMTU+overheadV6))
	}
	if s.EncapFamily != "" && s.EncapFamily != "v4" && s.EncapFamily != "v6" {
		v.fail(o, "spec.encapFamily", s.EncapFamily, "is no IP family", "use v6 or v4")
	}
}

// deviceOf returns the device object of a vport, nil if it has none.
func (v *validator) deviceOf(o *Object) *Object {
	r, ok := o.DeviceRef()
	if !ok {
		return nil
	}
	return v.set.Get(r)
}

// portOf checks that name is a vport of device o.
func (v *validator) portOf(o *Object, field, name string) { v.portOn(o, o.Ref(), field, name) }

// portOn checks that name is a vport of a device, which o speaks of.
func (v *validator) portOn(o *Object, device Ref, field, name string) {
	ref := o.VPortRef(name)
	p := v.set.Get(ref)
	if p == nil {
		v.failRef(o, field, name, "is no vport", "define "+ref.String()+" or name an existing one")
		return
	}
	if r, _ := p.DeviceRef(); r != device {
		v.failRef(o, field, name, "is a port of "+r.String(), "name a port of "+device.String())
	}
}

func (v *validator) mac(o *Object, field string, m packet.MAC) {
	if !m.IsUnicast() {
		v.fail(o, field, m.String(), "is not the MAC of one station", "use one with an even first byte, such as 02:00:00:00:00:01")
	}
}

func isHost(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && !a.IsMulticast() && !a.IsUnspecified() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (v *validator) bridge(o *Object, s *BridgeSpec) {
	v.global(o)
	if u := s.UnknownUnicast; u != "" && u != "flood" && u != "drop" {
		v.fail(o, "spec.unknownUnicast", u, "is no mode", "use flood or drop")
	}
	if s.Tagged != "" && s.Tagged != "drop" && s.Tagged != "keep" {
		v.fail(o, "spec.tagged", s.Tagged, "is no mode", "use drop or keep")
	}
	if s.Tagged == "keep" && len(s.VLANs) > 0 {
		v.fail(o, "spec.tagged", s.Tagged, "contradicts vlans, which say what each tag means", "leave one of them out")
	}
	v.vlanList(o, s.VLANs)
	v.rate(o, s.FloodRate)
	macs := map[seedKey[packet.MAC]]int{}
	for i, m := range s.MACs {
		field, is := fmt.Sprintf("spec.macs[%d]", i), seedKey[packet.MAC]{m.VLAN, m.MAC}
		v.mac(o, field+".mac", m.MAC)
		if first, ok := macs[is]; ok {
			v.fail(o, field+".mac", m.MAC.String(), fmt.Sprintf("is that of spec.macs[%d] too", first), "a MAC is behind one port")
		}
		macs[is] = i
		v.portOn(o, v.seeded(o, s, field, m.VLAN), field+".port", m.Port)
	}
	ips := map[seedKey[netip.Addr]]int{}
	for i, n := range s.Neighbours {
		field, is := fmt.Sprintf("spec.neighbours[%d]", i), seedKey[netip.Addr]{n.VLAN, n.IP}
		v.mac(o, field+".mac", n.MAC)
		v.seeded(o, s, field, n.VLAN)
		if !isHost(n.IP) {
			v.fail(o, field+".ip", addrText(n.IP), "is not the address of one host", "use one such as 10.0.0.1 or 2001:db8::1")
		}
		if first, ok := ips[is]; ok {
			v.fail(o, field+".ip", n.IP.String(), fmt.Sprintf("is that of spec.neighbours[%d] too", first), "an address has one MAC")
		}
		ips[is] = i
	}
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (v *validator) router(o *Object, s *RouterSpec) {
	v.global(o)
	v.routes(o, s.Routes, "spec.routes")
	v.policies(o, s)
}

func (v *validator) route(o *Object, r *RouteSpec, field string) {
	v.prefix(o, field+".dst", r.Dst)
	if !r.Dst.IsValid() {
		return
	}
	is4 := r.Dst.Addr().Is4()
	if r.Src.IsValid() {
		v.prefix(o, field+".src", r.Src)
		if r.Src.Addr().Is4() != is4 {
			v.fail(o, field+".src", r.Src.String(), "is of another IP family than dst "+r.Dst.String(), "use the same family")
		}
	}
	switch r.Kind {
	case "", "port":
		if r.Port == "" {
			v.fail(o, field+".port", "", "is missing", "name the port that packets leave by, or use kind reject or blackhole")
		} else {
			v.portOf(o, field+".port", r.Port)
		}
		if r.Via.IsValid() && (!isHost(r.Via) || r.Via.Is4() != is4) {
			v.fail(o, field+".via", r.Via.String(), "is not the address of a gateway for "+r.Dst.String(), "use a host address of the same family")
		} else if r.Via.IsValid() {
			v.via(o, field+".via", r.Via, r.Port)
		}
	case "reject", "blackhole":
		if r.Port != "" || r.Via.IsValid() {
			v.fail(o, field+".kind", r.Kind, "takes neither port nor via", "leave them out")
		}
	default:
		v.fail(o, field+".kind", r.Kind, "is no kind of route", "use port, reject or blackhole")
	}
}

// via checks that a gateway is another one than the router itself, and on the link of a port, as far as the port's addresses tell what is on it: if it has
// none of that family but addresses alone, it may be anybody's.
func (v *validator) via(o *Object, field string, via netip.Addr, port string) {
	p := v.set.Get(o.VPortRef(port))
	if p == nil {
		return // reported
	}
	var links []string
	on := via.IsLinkLocalUnicast()
	for _, a := range p.Spec.(*VPortSpec).ownAddresses() {
		if a.Addr() == via {
			v.failRef(o, field, via.String(), "is the address of port "+port+" itself", "give that of the next router")
			return
		}
		if a.Addr().Is4() == via.Is4() && !a.IsSingleIP() {
			on, links = on || a.Contains(via), append(links, a.Masked().String())
			if what := reserved(netip.PrefixFrom(via, a.Bits())); what != "" && a.Contains(via) {
				v.failRef(o, field, via.String(), "is the "+what+" of "+a.Masked().String(), "give that of the next router")
				return
			}
		}
	}
	if !on && len(links) > 0 {
		v.failRef(o, field, via.String(), "is not on the link of port "+port, "use an address in "+strings.Join(links, " or ")+", or another port")
	}
}

func (v *validator) prefix(o *Object, field string, p netip.Prefix) {
	switch {
	case !p.IsValid():
		v.fail(o, field, "", "is missing", "give a prefix such as 10.0.0.0/24")
	case p.Addr().Is4In6():
		v.fail(o, field, p.String(), "is an IPv4 prefix in IPv6 form", "write it as IPv4")
	case p != p.Masked():
		v.fail(o, field, p.String(), "has bits set behind its length", "use "+p.Masked().String())
	}
}

func (v *validator) vport(o *Object, s *VPortSpec) {
	dev := v.deviceOf(o)
	switch _, formed := o.DeviceRef(); {
	case s.Device == "":
		v.fail(o, "spec.device", "", "is missing", "name the device that this is a port of: bridge/NAME or router/NAME")
	case !formed:
		v.fail(o, "spec.device", s.Device, "is no device", "use bridge/NAME or router/NAME")
	case dev == nil && v.noVLAN(o, s):
	case dev == nil:
		v.failRef(o, "spec.device", s.Device, "is no device", "use bridge/NAME or router/NAME of one that exists")
	}
	v.inBridge(o, s)
	v.secured(o, s)
	v.bitRate(o, s)
	v.rate(o, s.FloodRate)
	if s.FloodRate != 0 && (!s.IsExterior() || dev != nil && dev.Kind != KindBridge) {
		v.fail(o, "spec.floodRate", strconv.FormatUint(uint64(s.FloodRate), 10), "is of exterior ports of bridges alone", "leave it out")
	}
	if !s.MAC.IsZero() {
		v.mac(o, "spec.mac", s.MAC)
	}
	if s.Exterior && !s.IsExterior() {
		v.fail(o, "spec.exterior", "true", "contradicts peer "+s.Peer, "leave one of them out")
	}
	if !s.IsExterior() && dev != nil {
		v.peer(o, s, dev)
	}
	if s.SingleHost {
		v.singleHost(o, s)
	}
	v.vportDHCP(o, s)
	v.advertise(o, s)
	least := uint16(minMTU4)
	for i, a := range s.Addresses {
		field := fmt.Sprintf("spec.addresses[%d]", i)
		if !isHost(a.Addr()) {
			v.fail(o, field, a.String(), "is not the address of one host", "use an address with prefix length such as 10.0.0.1/24")
			continue
		}
		if what := reserved(a); what != "" {
			v.fail(o, field, a.String(), "is the "+what+" of its network", "use an address between, such as "+netip.PrefixFrom(a.Masked().Addr().Next(), a.Bits()).String())
		}
		if a.Addr().Is6() {
			least = minMTU6
		}
	}
	if s.MTU != 0 && (s.MTU < least || s.MTU > maxMTU) {
		v.fail(o, "spec.mtu", strconv.Itoa(int(s.MTU)), "is out of range", fmt.Sprintf("use %d to %d bytes of IP packet", least, maxMTU))
	}
}

// reserved says what an IPv4 address is if no host can have it: the first and last of a network of more than two (RFC 1122, RFC 3021).
func reserved(p netip.Prefix) string {
	if !p.Addr().Is4() || p.Bits() >= 31 {
		return ""
	}
	net, host := p.Masked().Addr().As4(), p.Addr().As4()
	switch a, hosts := binary.BigEndian.Uint32(host[:]), uint32(1)<<(32-p.Bits())-1; {
	case host == net:
		return "network address"
	case a&hosts == hosts:
		return "broadcast address"
	}
	return ""
}

// peer checks an interior link: both ends name each other.
func (v *validator) peer(o *Object, s *VPortSpec, dev *Object) {
	ref := o.VPortRef(s.Peer)
	p := v.set.Get(ref)
	if p == nil {
		v.failRef(o, "spec.peer", s.Peer, "is no vport", "define "+ref.String()+" or name an existing one; a port without peer is exterior")
		return
	}
	if ref == o.Ref() {
		v.fail(o, "spec.peer", s.Peer, "is the port itself", "name a port of another device")
		return
	}
	ps := p.Spec.(*VPortSpec)
	if ps.IsExterior() || p.VPortRef(ps.Peer) != o.Ref() {
		v.failRef(o, "spec.peer", s.Peer, "does not name this port as its peer", fmt.Sprintf("set spec.peer of %v to %s/%s", ref, o.Tenant(), o.Metadata.Name))
		return
	}
	other := v.deviceOf(p)
	if other == nil {
		return // reported at p
	}
	if other == dev {
		v.fail(o, "spec.peer", s.Peer, "is a port of the same device", "link two devices")
		return
	}
	if dev.Kind == KindBridge && other.Kind == KindBridge && !o.Status.Expanded && compareRefs(o.Ref(), ref) < 0 {
		v.edit.link(o.Ref())
	}
}

func (v *validator) binding(o *Object, s *BindingSpec) {
	ref := o.VPortRef(s.VPort)
	p := v.set.Get(ref)
	switch {
	case s.VPort == "":
		v.fail(o, "spec.vport", "", "is missing", "name the exterior vport to bind")
	case p == nil:
		v.failRef(o, "spec.vport", s.VPort, "is no vport", "name an existing exterior vport")
	case !p.Spec.(*VPortSpec).IsExterior():
		v.fail(o, "spec.vport", s.VPort, "is an interior port", "bind an exterior one")
	}
	if s.Edge == "" {
		v.fail(o, "spec.edge", "", "is missing", "name the edge")
	}
	if s.Interface == "" {
		v.fail(o, "spec.interface", "", "is missing", strings.TrimSpace("name the interface of edge "+s.Edge))
	}
	if p != nil && len(p.Spec.(*VPortSpec).VLANs) > 0 && s.VLAN != 0 {
		v.failRef(o, "spec.vlan", strconv.Itoa(int(s.VLAN)), "is not for the trunk "+s.VPort+", which has its own", "leave it out")
	}
	if p != nil && p.Status.Of != "" {
		v.failRef(o, "spec.vport", s.VPort, "is a part of "+p.Status.Of, "bind that")
	}
	if s.VLAN > maxVLAN {
		v.fail(o, "spec.vlan", strconv.Itoa(int(s.VLAN)), "is out of range", "use 1 to 4094, or leave it out for untagged frames")
	}
}
