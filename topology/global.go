package topology

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// globalIn returns the address group that a device names for its addresses that are globally unique; "" if it names none.
func globalIn(s Spec) string {
	switch d := s.(type) {
	case *BridgeSpec:
		return d.GlobalAddresses
	case *RouterSpec:
		return d.GlobalAddresses
	}
	return ""
}

// globalOf is the id of that group.
func globalOf(o *Object) DeviceID {
	g := globalIn(o.Spec)
	if g == "" {
		return 0
	}
	return DeviceID(o.Status.Uses[o.refTo(KindAddressGroup, g).String()])
}

// GlobalZone returns the address group that a device at which packets between two addresses are met asks whether these are globally unique, and whether they are: then keys of
// connections have the group's id in place of the device's (C1). group is 0 if none is asked; not loaded: it is not known.
func (s *Snapshot) GlobalZone(id DeviceID, a, b *flow.Addr, v6 bool) (group DeviceID, unique, loaded bool) {
	if d := s.Bridge(id); d != nil {
		group = d.Global
	} else if r := s.Router(id); r != nil {
		group = r.Global
	}
	if group == 0 || !isGlobal(a, v6) || !isGlobal(b, v6) {
		return 0, false, true
	}
	g := s.sets.get(uint32(group))
	if g == nil || g.addrs == nil {
		return group, false, false
	}
	first, _ := g.addrs.Has(a, v6)
	second, _ := g.addrs.Has(b, v6)
	return group, first && second, true
}

// isGlobal reports whether an address is not, by RFC 6890, one of a host, link or site, shared by those behind one carrier's translation (RFC 6598), a group's, or reserved. Of those that
// are for documentation or measurement a network may know better: they are in no group unless it has them.
func isGlobal(a *flow.Addr, v6 bool) bool {
	etherType := uint16(packet.EtherTypeIPv4)
	if v6 {
		etherType = packet.EtherTypeIPv6
	}
	x := a.Netip(etherType)
	if x.Is4() {
		b := x.As4()
		if b[0] == 0 || b[0] >= 240 || b[0] == 100 && b[1]&0xc0 == 64 {
			return false
		}
	}
	return !x.IsPrivate() && !x.IsLoopback() && !x.IsLinkLocalUnicast() && !x.IsMulticast() && !x.IsUnspecified()
}

// global checks the group of addresses that a device names as globally unique. It is of the device's own tenant: who is in it with others meets their connections.
func (v *validator) global(o *Object) {
	const field = "spec.globalAddresses"
	g := globalIn(o.Spec)
	if g == "" {
		return
	}
	v.there(o, field, KindAddressGroup, g)
	if r := o.refTo(KindAddressGroup, g); r.Tenant != o.Tenant() {
		v.fail(o, field, g, "is of tenant "+r.Tenant, "name a group of tenant "+o.Tenant()+": devices that name one share the connections between its addresses")
	}
}
