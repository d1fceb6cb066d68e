package topology

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/weft-sdn/weft/packet"
)

// Lease times in seconds: shorter ones would have hosts renew all the time, longer ones are no lease.
const (
	minLeaseTime = 60
	maxLeaseTime = 366 * 24 * 3600
)

// Options that weft gives itself, by spec field or because the protocol needs them: not to be given by number.
var (
	ownOptions4 = map[uint16]string{
		0: "", 1: "spec.subnets[].prefix", 3: "spec.subnets[].router", 6: "spec.dns", 12: "spec.reservations[].hostname", 15: "spec.domain", 26: "spec.mtu",
		42: "spec.ntp", 50: "", 51: "spec.leaseTime", 52: "", 53: "", 54: "spec.subnets[].server", 55: "", 57: "", 58: "", 59: "", 61: "", 82: "",
		121: "spec.subnets[].routes", 255: "",
	}
	ownOptions6 = map[uint16]string{
		0: "", 1: "", 2: "", 3: "", 4: "", 5: "", 6: "", 7: "", 8: "", 9: "", 11: "", 12: "", 13: "", 14: "", 16: "", 18: "", 19: "", 20: "", 23: "spec.dns",
		24: "spec.domain", 25: "", 26: "", 31: "spec.ntp", 32: "spec.leaseTime",
	}
)

func (v *validator) dhcp(o *Object, s *DHCPSpec) {
	if s.LeaseTime != 0 && (s.LeaseTime < minLeaseTime || s.LeaseTime > maxLeaseTime) {
		v.fail(o, "spec.leaseTime", strconv.FormatUint(uint64(s.LeaseTime), 10), "is out of range", fmt.Sprintf("use %d to %d seconds", minLeaseTime, maxLeaseTime))
	}
	if s.MTU != 0 && (s.MTU < minMTU4 || s.MTU > maxMTU) {
		v.fail(o, "spec.mtu", strconv.Itoa(int(s.MTU)), "is out of range", fmt.Sprintf("use %d to %d bytes of IP packet", minMTU4, maxMTU))
	}
	if len(s.Subnets) == 0 && len(s.DNS) == 0 {
		v.fail(o, "spec.subnets", "", "is missing", "give a subnet with ranges, or dns for hosts that only ask for options")
	}
	if s.Domain != "" && !validDomain(s.Domain) {
		v.fail(o, "spec.domain", s.Domain, "is no domain name", "use one such as example.org")
	}
	for name, list := range map[string][]netip.Addr{"dns": s.DNS, "ntp": s.NTP} {
		for i, a := range list {
			if !isHost(a) {
				v.fail(o, fmt.Sprintf("spec.%s[%d]", name, i), addrText(a), "is not the address of one host", "use one such as 10.0.0.53 or 2001:db8::53")
			}
		}
	}
	for i := range s.Subnets {
		v.dhcpSubnet(o, s, i)
	}
	v.reservations(o, s)
	v.dhcpOptions(o, s)
}

func validDomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	label := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_':
		case c == '-' && label > 0:
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0
}

func (v *validator) dhcpSubnet(o *Object, s *DHCPSpec, i int) {
	n, field := &s.Subnets[i], fmt.Sprintf("spec.subnets[%d]", i)
	v.prefix(o, field+".prefix", n.Prefix)
	if !n.Prefix.IsValid() {
		return
	}
	for j := range i {
		if s.Subnets[j].Prefix.Overlaps(n.Prefix) {
			v.fail(o, field+".prefix", n.Prefix.String(), "overlaps "+s.Subnets[j].Prefix.String(), "an address is in one subnet")
		}
	}
	if n.Prefix.Addr().Is6() {
		if n.Router.IsValid() || n.Server.IsValid() || len(n.Routes) > 0 {
			v.fail(o, field, n.Prefix.String(), "is IPv6, which takes neither router, server nor routes", "set spec.advertise of the router port: IPv6 hosts learn routers from its advertisements")
		}
	} else {
		v.dhcpRouter(o, n, field)
	}
	for j, r := range n.Ranges {
		f := fmt.Sprintf("%s.ranges[%d]", field, j)
		switch {
		case !n.Prefix.Contains(r.First) || !n.Prefix.Contains(r.Last):
			v.fail(o, f, r.String(), "is not in "+n.Prefix.String(), "use FIRST-LAST within the prefix")
		case r.Contains(n.Router):
			v.fail(o, f, r.String(), "has the router "+n.Router.String(), "leave it out")
		case r.Contains(n.ServerAddr()):
			v.fail(o, f, r.String(), "has the server "+n.Server.String(), "leave it out")
		case n.Prefix.Addr().Is4() && n.Prefix.Bits() <= 30 && (r.Contains(n.Prefix.Addr()) || isSubnetEnd(n.Prefix, r.Last)):
			v.fail(o, f, r.String(), "has the network or broadcast address of "+n.Prefix.String(), "leave it out")
		case slices.ContainsFunc(n.Ranges[:j], func(x AddrRange) bool { return x.Contains(r.First) || r.Contains(x.First) }):
			v.fail(o, f, r.String(), "overlaps another range", "list an address once")
		}
	}
}

// isSubnetEnd reports whether a is the last address of a prefix.
func isSubnetEnd(p netip.Prefix, a netip.Addr) bool { return !p.Contains(a.Next()) }

func (v *validator) dhcpRouter(o *Object, n *DHCPSubnet, field string) {
	for name, a := range map[string]netip.Addr{"router": n.Router, "server": n.Server} {
		if a.IsValid() && (!isHost(a) || !a.Is4()) {
			v.fail(o, field+"."+name, a.String(), "is not the IPv4 address of one host", "use one such as 10.0.0.1")
		}
	}
	if !n.ServerAddr().IsValid() {
		v.fail(o, field+".server", "", "is missing", "give server, the address that answers come from, or router")
	}
	if n.Router.IsValid() && !n.Prefix.Contains(n.Router) {
		v.fail(o, field+".router", n.Router.String(), "is not in "+n.Prefix.String(), "use an address on the link")
	}
	for j, r := range n.Routes {
		f := fmt.Sprintf("%s.routes[%d]", field, j)
		v.prefix(o, f+".dst", r.Dst)
		if r.Dst.IsValid() && r.Dst.Addr().Is6() {
			v.fail(o, f+".dst", r.Dst.String(), "is IPv6", "use an IPv4 prefix")
		}
		if !r.Via.IsValid() || !r.Via.Is4() || !r.Via.IsUnspecified() && !isHost(r.Via) {
			v.fail(o, f+".via", addrText(r.Via), "is not the IPv4 address of a router", "use one on the link, or 0.0.0.0 for what is on the link itself")
		}
	}
}

func (v *validator) reservations(o *Object, s *DHCPSpec) {
	d := newDHCP(o, s)
	macs, addrs := map[packet.MAC]bool{}, map[netip.Addr]bool{}
	for i, r := range s.Reservations {
		field := fmt.Sprintf("spec.reservations[%d]", i)
		v.mac(o, field+".mac", r.MAC)
		if macs[r.MAC] {
			v.fail(o, field+".mac", r.MAC.String(), "is listed twice", "list all addresses of a host together")
		}
		macs[r.MAC] = true
		if len(r.Addresses) == 0 {
			v.fail(o, field+".addresses", "", "is missing", "give an address of each IP version that is to be fixed")
		}
		if r.Hostname != "" && !validDomain(r.Hostname) {
			v.fail(o, field+".hostname", r.Hostname, "is no host name", "use one such as web1")
		}
		has := map[bool]bool{}
		for j, a := range r.Addresses {
			f := fmt.Sprintf("%s.addresses[%d]", field, j)
			n := d.Subnet(a)
			switch {
			case !isHost(a):
				v.fail(o, f, addrText(a), "is not the address of one host", "use one such as 10.0.0.5 or 2001:db8::5")
			case n == nil:
				v.fail(o, f, a.String(), "is in no subnet of the resource", "add the subnet that it is in")
			case a == n.Router || a == n.Server:
				v.fail(o, f, a.String(), "is the router's or server's", "use another one")
			case addrs[a]:
				v.fail(o, f, a.String(), "is reserved twice", "an address has one host")
			case has[a.Is6()]:
				v.fail(o, f, a.String(), "is a second address of its IP version", "a host gets one of each")
			}
			addrs[a], has[a.Is6()] = true, true
		}
	}
}

func (v *validator) dhcpOptions(o *Object, s *DHCPSpec) {
	type code struct {
		v6 bool
		n  uint16
	}
	seen := map[code]bool{}
	for i, opt := range s.Options {
		field := fmt.Sprintf("spec.options[%d]", i)
		text := strconv.Itoa(int(opt.Code))
		v6 := opt.Family == "v6"
		own, most := ownOptions4, uint16(254)
		if v6 {
			own, most = ownOptions6, 65535
		}
		if opt.Family != "" && opt.Family != "v4" && !v6 {
			v.fail(o, field+".family", opt.Family, "is no IP family", "use v4 or v6")
		}
		if instead, is := own[opt.Code]; is {
			hint := "leave it out: the protocol sets it"
			if instead != "" {
				hint = "use " + instead
			}
			v.fail(o, field+".code", text, "is not to be given by number", hint)
		} else if opt.Code > most {
			v.fail(o, field+".code", text, "is out of range", fmt.Sprintf("use 1 to %d", most))
		}
		if seen[code{v6, opt.Code}] {
			v.fail(o, field+".code", text, "is listed twice", "give an option once")
		}
		seen[code{v6, opt.Code}] = true
		if b, err := opt.Bytes(); err != nil {
			v.fail(o, field, text, "has "+err.Error(), "give one of text, hex and addresses")
		} else if len(b) > 255 {
			v.fail(o, field, text, "is longer than 255 bytes", "shorten it")
		}
	}
}

// Bytes returns the value of the option as it is sent.
func (opt *DHCPOption) Bytes() ([]byte, error) {
	given := 0
	for _, is := range []bool{opt.Text != "", opt.Hex != "", len(opt.Addresses) > 0} {
		if is {
			given++
		}
	}
	if given > 1 {
		return nil, fmt.Errorf("more than one value")
	}
	if opt.Hex != "" {
		b, err := hex.DecodeString(opt.Hex)
		if err != nil {
			return nil, fmt.Errorf("a hex value that is none")
		}
		return b, nil
	}
	var b []byte
	for _, a := range opt.Addresses {
		if a.Is6() != (opt.Family == "v6") || !a.IsValid() {
			return nil, fmt.Errorf("an address of another IP version")
		}
		b = append(b, a.AsSlice()...)
	}
	return append(b, opt.Text...), nil
}

// vportDHCP checks the resource that a vport names.
func (v *validator) vportDHCP(o *Object, s *VPortSpec) {
	if s.DHCP == "" {
		return
	}
	ref := o.DHCPRef(s.DHCP)
	switch {
	case v.set.Get(ref) == nil:
		v.failRef(o, "spec.dhcp", s.DHCP, "is no DHCP resource", "define "+ref.String()+" or name an existing one")
	case !s.IsExterior():
		v.fail(o, "spec.dhcp", s.DHCP, "is given to an interior port", "give it to exterior ones: hosts are there")
	}
}
