package topology

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

const maxVPNPeers = 256

// vpn checks a VPN.
func (v *validator) vpn(o *Object, s *VPNSpec) {
	if !v.vpnType(o, s) {
		return
	}
	for i, e := range s.Edges {
		if e == "" || slices.Contains(s.Edges[:i], e) {
			v.fail(o, fmt.Sprintf("spec.edges[%d]", i), e, "is empty, or listed twice", "list each edge once")
		}
	}
	least := uint16(minMTU4)
	if s.carries6() {
		least = minMTU6
	}
	if s.MTU != 0 && (s.MTU < least || s.MTU > maxMTU) {
		v.fail(o, "spec.mtu", strconv.Itoa(int(s.MTU)), "is out of range", fmt.Sprintf("use %d to %d bytes of IP packet", least, maxMTU))
	}
	for i, p := range s.Networks {
		v.prefix(o, fmt.Sprintf("spec.networks[%d]", i), p)
	}
	if s.ListenPort != 0 && s.PublicPort == "" {
		v.fail(o, "spec.listenPort", strconv.Itoa(int(s.ListenPort)), "takes a publicPort: at the network of an edge's agent nobody can call, as another edge may have the VPN", "name a publicPort, or leave this out and give each peer an endpoint")
	}
	if s.Endpoint != "" {
		v.endpoint(o, "spec.endpoint", s.Endpoint, false)
	}
	v.vpnPeers(o, s)
	if s.VPort == "" {
		v.fail(o, "spec.vport", "", "is missing", "name the exterior vport that is the private port")
		return
	}
	v.privatePort(o, s)
	v.vpnRoutes(o, s)
	if s.PublicPort != "" {
		v.publicPort(o, s)
	}
}

// carries6 reports whether the tunnel carries IPv6.
func (s *VPNSpec) carries6() bool {
	return s.Ethernet != nil && s.Ethernet.Local.Is6() || slices.ContainsFunc(s.Peers, func(p VPNPeerSpec) bool {
		return slices.ContainsFunc(p.AllowedIPs, func(a netip.Prefix) bool { return a.Addr().Is6() })
	})
}

func (v *validator) vpnPeers(o *Object, s *VPNSpec) {
	switch n := len(s.Peers); {
	case n == 0:
		v.fail(o, "spec.peers", "", "is missing", "give the remote end: name, publicKey, allowedIPs")
	case n > maxVPNPeers:
		v.fail(o, "spec.peers", strconv.Itoa(n), "are too many", fmt.Sprintf("use %d at most", maxVPNPeers))
		return
	case n > 1 && s.Ethernet != nil:
		v.fail(o, "spec.peers", strconv.Itoa(n), "are too many for ethernet, which is one cable", "make a VPN with a vport of its own for each")
	}
	names, keys, behind := map[string]int{}, map[string]int{}, map[netip.Prefix]int{}
	for i := range s.Peers {
		p, at := &s.Peers[i], fmt.Sprintf("spec.peers[%d]", i)
		if !validName(p.Name) {
			v.fail(o, at+".name", p.Name, "is not a name", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first")
		} else if first, twice := names[p.Name]; twice {
			v.fail(o, at+".name", p.Name, fmt.Sprintf("is that of spec.peers[%d] too", first), "name each peer once")
		}
		if p.PublicKey != "" {
			v.peerKey(o, s.TypeOr(), at+".publicKey", p.PublicKey, keys)
			keys[p.PublicKey] = i
		}
		names[p.Name] = i
		if p.Endpoint != "" {
			v.endpoint(o, at+".endpoint", p.Endpoint, s.PublicPort != "")
		} else if s.ListenPort == 0 {
			v.fail(o, at+".endpoint", "", "is missing: neither end would call", "give HOST:PORT of the peer, or a listenPort where it calls")
		}
		if p.PresharedKeySecret != "" && !validName(p.PresharedKeySecret) {
			v.fail(o, at+".presharedKeySecret", "", "is not the name of a secret", "use 1 to 63 of a-z, 0-9, '-' and '.', a letter or digit first; the key itself is kept at the edges")
		}
		if len(p.AllowedIPs) == 0 && !s.isCable() {
			v.fail(o, at+".allowedIPs", "", "is missing: nothing would go to the peer, or come from it", "list the prefixes behind it")
		}
		for j, a := range p.AllowedIPs {
			field := fmt.Sprintf("%s.allowedIPs[%d]", at, j)
			v.prefix(o, field, a)
			if first, twice := behind[a]; twice {
				v.fail(o, field, a.String(), fmt.Sprintf("is behind spec.peers[%d] too", first), "give each prefix to one peer")
			}
			behind[a] = i
		}
	}
}

// publicKey checks one that others do not have.
func (v *validator) publicKey(o *Object, field, key string, taken map[string]int) {
	if raw, err := base64.StdEncoding.DecodeString(key); err != nil || len(raw) != 32 {
		v.fail(o, field, "", "is no public key of WireGuard's", "give 32 bytes in base64, as wg pubkey prints them, or leave it out: weft vpn export --new-key makes one")
	} else if first, twice := taken[key]; twice {
		v.fail(o, field, key, fmt.Sprintf("is that of spec.peers[%d] too", first), "each peer has its own")
	}
}

// endpoint checks HOST:PORT; literal: the host must be an address.
func (v *validator) endpoint(o *Object, field, at string, literal bool) {
	host, port, err := net.SplitHostPort(at)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n == 0 || host == "" {
		v.fail(o, field, at, "is not HOST:PORT", "use one such as 192.0.2.1:51820 or [2001:db8::1]:51820")
		return
	}
	const would = "use one such as 192.0.2.1:51820 or [2001:db8::1]:51820"
	switch a, err := netip.ParseAddr(host); {
	case err != nil && literal:
		v.fail(o, field, at, "has no address: names are not looked up through a publicPort", would)
	case err != nil && !isHostName(host):
		v.fail(o, field, at, "has no address, and no name of a host", would)
	case err == nil && (a.Zone() != "" || !isHost(a) && (literal || !a.IsLoopback())): // an edge may have a relay of its own
		v.fail(o, field, at, "has no address of a host that others reach", would)
	}
}

// isHostName reports whether a text may be a DNS name. It goes into files and protocols of lines, so that nothing else is let in.
func isHostName(s string) bool {
	const most = 253 // RFC 1035 section 2.3.4
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= most && s[0] != '-' && s[0] != '.'
}

// privatePort checks the port that the tunnel is behind.
func (v *validator) privatePort(o *Object, s *VPNSpec) {
	p, port := v.vpnVPort(o, "spec.vport", s.VPort)
	if port == nil {
		return
	}
	device, _ := p.DeviceRef()
	most := s.MTUOr()
	switch e := s.Ethernet; {
	case s.TypeOr() != VPNWireGuard:
		if !v.daemonPort(o, s, device) {
			return
		}
	case e == nil && device.Kind != KindRouter:
		v.failRef(o, "spec.vport", s.VPort, "is a port of "+device.String(), "name a port of a router, or say with ethernet how the bridge's frames go through the tunnel")
		return
	case e != nil && device.Kind != KindBridge:
		v.failRef(o, "spec.ethernet", "", "is for a port of a bridge, and "+s.VPort+" is one of "+device.String(), "leave it out, or name a port of a bridge")
		return
	case e != nil:
		if !v.ethernet(o, s, e) {
			return
		}
		most -= e.Overhead()
	}
	if port.MTU == 0 || port.MTU > most {
		v.failRef(o, "spec.vport", s.VPort, fmt.Sprintf("has mtu %d, and %d bytes of IP packet go through the tunnel", port.MTU, most), fmt.Sprintf("give the vport mtu: %d", most))
	}
}

func (v *validator) ethernet(o *Object, s *VPNSpec, e *VPNEthernetSpec) bool {
	if !isHost(e.Local) || !isHost(e.Remote) || e.Local.Is4() != e.Remote.Is4() || e.Local == e.Remote {
		v.fail(o, "spec.ethernet", addrText(e.Local)+", "+addrText(e.Remote), "are not two addresses of hosts, of one IP version", "give local and remote, such as 10.255.0.1 and 10.255.0.2")
		return false
	}
	if e.VNI > 1<<24-1 {
		v.fail(o, "spec.ethernet.vni", strconv.FormatUint(uint64(e.VNI), 10), "is out of range", "use 1 to 16777215")
	}
	if len(s.Peers) > 0 && !slices.ContainsFunc(s.Peers[0].AllowedIPs, func(p netip.Prefix) bool { return p.Contains(e.Remote) }) {
		v.fail(o, "spec.ethernet.remote", e.Remote.String(), "is not behind the peer", "add it to allowedIPs of spec.peers[0]")
	}
	return true
}

// publicPort checks the port that the encrypted packets go by.
func (v *validator) publicPort(o *Object, s *VPNSpec) {
	if o.VPortRef(s.PublicPort) == o.VPortRef(s.VPort) {
		v.fail(o, "spec.publicPort", s.PublicPort, "is the private port", "name another one")
		return
	}
	p, port := v.vpnVPort(o, "spec.publicPort", s.PublicPort)
	if port == nil {
		return
	}
	if device, _ := p.DeviceRef(); device.Kind != KindRouter || !port.SingleHost || len(port.Addresses) == 0 {
		v.failRef(o, "spec.publicPort", s.PublicPort, "is not a port of a router with one host, which the VPN is to be", "give the vport singleHost: true, and the VPN's own addresses")
		return
	}
	for i, peer := range s.Peers {
		at, err := netip.ParseAddrPort(peer.Endpoint)
		if err == nil && !slices.ContainsFunc(port.Addresses, func(a netip.Prefix) bool { return a.Addr().Is4() == at.Addr().Is4() }) {
			v.failRef(o, fmt.Sprintf("spec.peers[%d].endpoint", i), peer.Endpoint, "is of an IP version of which port "+s.PublicPort+" has no address", "give the port one")
		}
	}
	for _, a := range port.Addresses {
		over := s.Overhead(a.Addr().Is6())
		if port.MTU != 0 && s.MTUOr() > port.MTU-min(port.MTU, over) {
			v.failRef(o, "spec.mtu", strconv.Itoa(int(s.MTUOr())), fmt.Sprintf("is more than what port %s leaves: %d less %d", s.PublicPort, port.MTU, over), fmt.Sprintf("use %d at most", port.MTU-min(port.MTU, over)))
			return
		}
	}
}

// vpnVPort returns an exterior vport that a VPN names; nil: what is wrong with it is said.
func (v *validator) vpnVPort(o *Object, field, name string) (*Object, *VPortSpec) {
	p := v.set.Get(o.VPortRef(name))
	if p == nil {
		v.there(o, field, KindVPort, name)
		return nil, nil
	}
	port := p.Spec.(*VPortSpec)
	switch {
	case !port.IsExterior():
		v.failRef(o, field, name, "is an interior port", "name an exterior one")
	case len(port.VLANs) > 0 || p.Status.Of != "":
		v.failRef(o, field, name, "is a trunk, or in one", "name a port with one VLAN, or none")
	default:
		return p, port
	}
	return nil, nil
}
