package vpn

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// listing is a configuration, line by line.
type listing struct{ strings.Builder }

func (l *listing) line(format string, args ...any) { fmt.Fprintf(l, format+"\n", args...) }

// openVPNCommon is what both ends of an OpenVPN have.
func openVPNCommon(l *listing, site *topology.VPN, p *topology.VPNPeerSpec, proto string) {
	kind := "tun"
	if !site.Private.Router {
		kind = "tap"
	}
	l.line("dev-type %s", kind)
	l.line("proto %s", proto)
	l.line("tun-mtu %d", site.Spec.MTUOr())
	l.line("mssfix 0") // the router and the hosts know the MTU
	l.line("tls-version-min 1.2")
	l.line("data-ciphers AES-256-GCM:CHACHA20-POLY1305")
	l.line("data-ciphers-fallback AES-256-GCM") // of an end that does not negotiate
	l.line("auth SHA256")
	l.line("keepalive %d %d", p.KeepaliveOr(), 4*p.KeepaliveOr())
	l.line("persist-key")
	l.line("persist-tun")
	l.line("verb 3")
}

// place is where a daemon of this end is, in its namespace.
type place struct {
	device string         // TUN or TAP
	dir    string         // private to the daemon
	relay  netip.AddrPort // whom it calls; in the server's role: where it is called
}

// Files of an OpenVPN in its folder.
const (
	managementFile = "management"
	clientsDir     = "clients"
	clientsFile    = "DEFAULT" // of all that connect; who may, the fingerprint says
)

// openVPNConf is the configuration of this end's daemon. It has the private key.
//
// Where this end is called it is a server, which takes clients of any make. Where it calls, both ends are peers (p2p), so that the remote end's profile is one file: a server's routes to clients are not.
func openVPNConf(site *topology.VPN, keys *openVPNKeys, at *place) string {
	l, p := new(listing), &site.Spec.Peers[0]
	l.line("dev %s", at.device)
	openVPNCommon(l, site, p, "udp4")
	if site.Spec.ListenPort != 0 {
		l.line("mode server\ntls-server\ndh none")
		l.line("local %s\nport %d", at.relay.Addr(), at.relay.Port())
		l.line("topology subnet")
		if site.Private.Router {
			l.line("client-config-dir %s/%s", at.dir, clientsDir)
		}
		l.line("explicit-exit-notify 1") // clients call the next holder at once
	} else {
		l.line("tls-client")
		l.line("remote %s %d\nnobind", at.relay.Addr(), at.relay.Port())
		l.line("connect-retry 1 2\nhand-window 20\ntls-timeout 1")
	}
	l.line("ifconfig-noexec\nroute-noexec\nscript-security 0")
	l.line("management %s/%s unix\nmanagement-client\nmanagement-hold", at.dir, managementFile) // it ends when the agent does
	l.line("suppress-timestamps")
	l.line("peer-fingerprint %s", p.PublicKey)
	l.line("<cert>\n%s</cert>\n<key>\n%s</key>", certificatePEM(keys.certificate), privatePEM(keys.private))
	if keys.tlsCrypt != "" {
		l.line("<tls-crypt>\n-----BEGIN OpenVPN Static key V1-----\n%s-----END OpenVPN Static key V1-----\n</tls-crypt>", keys.tlsCrypt)
	}
	return l.String()
}

// openVPNRoutes is what a server's daemon knows of a client: the networks behind it.
func openVPNRoutes(site *topology.VPN) string {
	l := new(listing)
	for _, a := range site.Spec.Peers[0].AllowedIPs {
		if a.Addr().Is4() {
			l.line("iroute %s %s", a.Addr(), mask4(a))
		} else {
			l.line("iroute-ipv6 %s", a)
		}
	}
	return l.String()
}

func mask4(p netip.Prefix) net.IP { return net.IP(net.CIDRMask(p.Bits(), 32)) }

// exportOpenVPN is a profile of the remote end. private, as newPeerCertificate made it, is that end's; empty: whoever has it fills it in.
func exportOpenVPN(rec *state.VPNRecord, p *topology.VPNPeerSpec, private string) (string, error) {
	site, l := rec.Site, new(listing)
	if block, _ := pem.Decode([]byte(certificatePEM(rec.Key.Certificate))); block == nil || len(block.Bytes) == 0 {
		return "", fmt.Errorf("vpn %s: its key is none of OpenVPN's: delete the VPN and apply it again for another", site.Name)
	}
	l.line("# The end of %s of VPN %s. It goes to /etc/openvpn/NAME.conf of that machine: openvpn --config NAME.conf", p.Name, site.Name)
	if site.Private.Router {
		l.line("dev tun")
	} else {
		l.line("dev tap")
	}
	proto := "udp"
	if at, err := netip.ParseAddrPort(p.Endpoint); site.Spec.ListenPort == 0 && err == nil && at.Addr().Is6() {
		proto = "udp6" // where it is called
	}
	openVPNCommon(l, site, p, proto)
	if at := endpointOf(site); site.Spec.ListenPort != 0 {
		host, port, err := net.SplitHostPort(at)
		if err != nil {
			return "", fmt.Errorf("vpn %s: spec.endpoint is missing, and the public port has no address: give one at which peers reach this end", site.Name)
		}
		l.line("client\nremote %s %s\nnobind\nconnect-retry 0 2\nhand-window 20\ntls-timeout 1", host, port) // it calls again at once
		l.line("remote-cert-tls server")
	} else {
		_, port, _ := net.SplitHostPort(p.Endpoint) // checked
		l.line("tls-server\ndh none\nport %s\nfloat", port)
		l.line("remote-cert-tls client")
	}
	exportAddresses(l, site, p)
	l.line("<ca>\n%s</ca>", certificatePEM(rec.Key.Certificate)) // of nobody else: who has the private key of this one
	if private != "" {
		l.WriteString(private)
	} else {
		l.line("# <cert> and <key>: the certificate with the fingerprint %s, and its private key", orNone(p.PublicKey))
	}
	if p.PresharedKeySecret != "" {
		l.line("# <tls-crypt>: the key of the secret %s of the edges", p.PresharedKeySecret)
	}
	return l.String(), nil
}

func orNone(key string) string {
	if key == "" {
		return "that the VPN has for this peer"
	}
	return key
}

// exportAddresses says what the interface of the remote end gets, and what it reaches by it.
func exportAddresses(l *listing, site *topology.VPN, p *topology.VPNPeerSpec) {
	if !site.Private.Router {
		l.line("# The cable's end is the TAP: make it a port of a bridge, or give it addresses.")
		return
	}
	l.line("topology p2p")
	own4, own6 := first(p.Addresses, netip.Addr.Is4), first(p.Addresses, netip.Addr.Is6)
	far4, far6 := first(site.Private.Addresses, netip.Addr.Is4), first(site.Private.Addresses, netip.Addr.Is6)
	if own4.IsValid() && far4.IsValid() {
		l.line("ifconfig %s %s", own4.Addr(), far4.Addr())
	}
	if own6.IsValid() && far6.IsValid() {
		l.line("ifconfig-ipv6 %s %s", own6, far6.Addr())
	}
	for _, n := range networksOf(site) {
		switch {
		case n.Addr().Is4() && own4.IsValid() && far4.IsValid() && n.Addr() != far4.Addr():
			l.line("route %s %s", n.Addr(), mask4(n))
		case n.Addr().Is6() && own6.IsValid() && far6.IsValid():
			l.line("route-ipv6 %s", n)
		}
	}
	if !own4.IsValid() && !own6.IsValid() {
		l.line("# The VPN has no addresses for this peer: give the TUN some, and routes to %s", join(networksOf(site)))
	}
}

func first(all []netip.Prefix, is func(netip.Addr) bool) netip.Prefix {
	for _, p := range all {
		if is(p.Addr()) {
			return p
		}
	}
	return netip.Prefix{}
}
