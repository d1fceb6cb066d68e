package topology

import (
	"fmt"
	"net/netip"
	"slices"
)

// RouterLifetime is how long hosts use a router that advertised itself, in seconds, if nothing else is said (RFC 4861 section 6.2.1).
const RouterLifetime = 1800

// AdvertiseSpec is what a router port tells IPv6 hosts, when they ask for routers and again and again (RFC 4861).
type AdvertiseSpec struct {
	Mode     string         `json:"mode,omitempty"`     // how hosts get addresses: slaac (RFC 4862), stateless (the same, and the rest by DHCPv6), or dhcp; empty: no advertisements
	Prefixes []netip.Prefix `json:"prefixes,omitempty"` // default: those of the port's addresses
	DNS      []netip.Addr   `json:"dns,omitempty"`      // resolvers (RFC 8106)
	Lifetime uint16         `json:"lifetime,omitempty"` // as default router, seconds; default 1800
}

// Of returns the prefixes that a port with these addresses tells of: those given, else those that it shares with hosts.
func (a *AdvertiseSpec) Of(own []netip.Prefix) []netip.Prefix {
	if len(a.Prefixes) > 0 {
		return a.Prefixes
	}
	var shared []netip.Prefix
	for _, x := range own {
		if m := x.Masked(); x.Addr().Is6() && !x.IsSingleIP() && !slices.Contains(shared, m) {
			shared = append(shared, m)
		}
	}
	return shared
}

// slaacBits is the length of a prefix from which a host makes itself addresses, as its half of them is as long (RFC 4291 section 2.5.1, RFC 4862 section 5.5.3).
const slaacBits = 64

// maxAdvertised keeps an advertisement within the least MTU of IPv6 links.
const maxAdvertised = 16

func (v *validator) advertise(o *Object, s *VPortSpec) {
	a := &s.Advertise
	switch a.Mode {
	case "":
		if len(a.Prefixes)+len(a.DNS) > 0 || a.Lifetime != 0 {
			v.fail(o, "spec.advertise.mode", "", "is missing", "use slaac, stateless or dhcp")
		}
		return
	case "slaac", "stateless", "dhcp":
	default:
		v.fail(o, "spec.advertise.mode", a.Mode, "is no mode", "use slaac, stateless or dhcp")
	}
	if dev, ok := o.DeviceRef(); ok && dev.Kind != KindRouter {
		v.fail(o, "spec.advertise", "", "is of a port of "+dev.String(), "advertise from ports of routers")
	}
	for i, p := range a.Prefixes {
		field := fmt.Sprintf("spec.advertise.prefixes[%d]", i)
		v.prefix(o, field, p)
		if p.IsValid() && !p.Addr().Is6() {
			v.fail(o, field, p.String(), "is IPv4", "use an IPv6 prefix")
		}
	}
	all := a.Of(s.ownAddresses())
	if len(all) == 0 {
		v.failRef(o, "spec.advertise", "", "is of a port without IPv6 prefix", "give the port an IPv6 address such as 2001:db8::1/64, or list spec.advertise.prefixes")
	}
	for i, p := range all {
		if a.Mode != "slaac" && a.Mode != "stateless" || !p.Addr().Is6() || p.Bits() == slaacBits {
			continue
		}
		if len(a.Prefixes) > 0 {
			v.fail(o, fmt.Sprintf("spec.advertise.prefixes[%d]", i), p.String(), "is no /64, from which alone hosts make addresses", "use a /64, or mode dhcp")
		} else {
			v.fail(o, "spec.advertise.mode", a.Mode, fmt.Sprintf("needs a /64, and %v is none: hosts would make no addresses", p), "use a /64, or mode dhcp")
		}
	}
	for i, d := range a.DNS {
		if !isHost(d) || !d.Is6() {
			v.fail(o, fmt.Sprintf("spec.advertise.dns[%d]", i), addrText(d), "is not the IPv6 address of one host", "use one such as 2001:db8::53")
		}
	}
	for name, n := range map[string]int{"prefixes": len(a.Prefixes), "dns": len(a.DNS)} {
		if n > maxAdvertised {
			v.fail(o, "spec.advertise."+name, fmt.Sprint(n), "are too many", fmt.Sprintf("use at most %d", maxAdvertised))
		}
	}
}
