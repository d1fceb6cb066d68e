package vpn

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// Export returns the file of a peer's end of the tunnel: what its wg-quick is to have, the profile of its OpenVPN, or the swanctl.conf of its strongSwan. privateKey, as NewPeerKey made it, is the peer's; empty: whoever has it fills it in.
func Export(rec state.VPNRecord, peer, privateKey string) (string, error) {
	site := rec.Site
	if site == nil {
		return "", fmt.Errorf("vpn: %w", state.ErrNotFound)
	}
	p := findPeer(site, peer)
	switch {
	case p == nil:
		return "", fmt.Errorf("vpn %s has no peer %q; it has %s", site.Name, peer, strings.Join(PeerNames(site), ", "))
	case site.Spec.TypeOr() == topology.VPNIPsec:
		return exportIPsec(site, p), nil
	case rec.Key == nil:
		return "", fmt.Errorf("vpn %s has no key yet: the first edge that may hold it makes one; weft vpn tells why none does", site.Name)
	case site.Spec.TypeOr() == topology.VPNOpenVPN:
		return exportOpenVPN(&rec, p, privateKey)
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# The end of %s of VPN %s. It goes to /etc/wireguard/NAME.conf of that machine: wg-quick up NAME", p.Name, site.Name)
	line("[Interface]")
	if privateKey == "" {
		line("# PrivateKey = of the public key %s", cmp.Or(p.PublicKey, "that the VPN has for this peer"))
	} else {
		line("PrivateKey = %s", privateKey)
	}
	addresses := p.Addresses
	if e := site.Spec.Ethernet; e != nil {
		addresses = []netip.Prefix{netip.PrefixFrom(e.Remote, e.Remote.BitLen())}
	}
	if len(addresses) > 0 {
		line("Address = %s", join(addresses))
	}
	if _, port, err := net.SplitHostPort(p.Endpoint); err == nil {
		line("ListenPort = %s", port)
	}
	line("MTU = %d", site.Spec.MTUOr())
	if e := site.Spec.Ethernet; e != nil {
		exportEthernet(line, site, e)
	}
	line("")
	line("[Peer]")
	line("PublicKey = %s", rec.Key.Public)
	if p.PresharedKeySecret != "" {
		line("# PresharedKey = the key of the secret %s of the edges", p.PresharedKeySecret)
	}
	if at := endpointOf(site); at != "" {
		line("Endpoint = %s", at)
	}
	line("AllowedIPs = %s", join(networksOf(site)))
	if p.Keepalive != 0 {
		line("PersistentKeepalive = %d", p.Keepalive)
	}
	return b.String(), nil
}

// exportEthernet says how frames get in and out of the tunnel: by an interface, vx-NAME, for a bridge of the machine's.
func exportEthernet(line func(string, ...any), site *topology.VPN, e *topology.VPNEthernetSpec) {
	mtu := site.Spec.MTUOr() - e.Overhead()
	line("# The cable's end is vx-%%i: give it an address, or make it a port of a bridge. Frames of more than %d bytes of IP packet do not fit.", mtu)
	line("PostUp = ip link add vx-%%i type vxlan id %d local %s remote %s dstport %d dev %%i udp6zerocsumrx; ip link set vx-%%i mtu %d up", e.VNIOr(), e.Remote, e.Local, vxlanPort, mtu)
	line("PreDown = ip link delete vx-%%i")
}

// endpointOf is where peers call; empty: they do not.
func endpointOf(site *topology.VPN) string {
	switch s := &site.Spec; {
	case s.Endpoint != "":
		return s.Endpoint
	case s.ListenPort != 0 && site.Public != nil && len(site.Public.Hosts) > 0:
		return net.JoinHostPort(site.Public.Hosts[0].String(), strconv.Itoa(int(s.ListenPort)))
	}
	return ""
}

// networksOf is what is at this end of the tunnel.
func networksOf(site *topology.VPN) []netip.Prefix {
	if e := site.Spec.Ethernet; e != nil {
		return []netip.Prefix{netip.PrefixFrom(e.Local, e.Local.BitLen())}
	}
	all := site.Spec.Networks
	for _, a := range site.Private.Addresses {
		all = append(all[:len(all):len(all)], netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
	}
	return all
}

func join(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

func findPeer(site *topology.VPN, name string) *topology.VPNPeerSpec {
	for i := range site.Spec.Peers {
		if p := &site.Spec.Peers[i]; p.Name == name {
			return p
		}
	}
	return nil
}

// PeerNames are the names of a VPN's peers.
func PeerNames(site *topology.VPN) []string {
	names := make([]string, len(site.Spec.Peers))
	for i := range site.Spec.Peers {
		names[i] = site.Spec.Peers[i].Name
	}
	return names
}

// NewPeerKey makes the key of a remote end of a VPN: the private part, for Export, and the public one, for the VPN's peer.
func NewPeerKey(kind, peer string) (private, public string, err error) {
	switch kind {
	case topology.VPNOpenVPN:
		return newPeerCertificate(peer)
	case topology.VPNIPsec:
		return "", "", errors.New("vpn: the ends of an IPsec have no keys of their own, but a secret that both know: presharedKeySecret")
	default:
		return GenerateKey()
	}
}
