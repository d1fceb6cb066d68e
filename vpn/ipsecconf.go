package vpn

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// minSecret is how many characters a secret of an IPsec needs at least: who has seen a handshake may try others by the million.
const minSecret = 20

// ipsecSecret reads the secret that both ends of an IPsec have.
func (k *Keeper) ipsecSecret(site *topology.VPN) (string, error) {
	p := &site.Spec.Peers[0]
	text, err := k.peerSecret(site, p)
	if err == nil && len(text) < minSecret {
		err = fmt.Errorf("peer %s: secret %s: has less than %d characters: one that openssl rand -base64 32 prints would do", p.Name, p.PresharedKeySecret, minSecret)
	}
	if coding := strings.ToLower(text[:min(2, len(text))]); err == nil && (coding == "0x" || coding == "0s") {
		err = fmt.Errorf("peer %s: secret %s: begins with %s, which the remote end takes for a coding: make another", p.Name, p.PresharedKeySecret, coding)
	}
	return text, err
}

// What both ends of an IPsec propose: one suite of today's, and one that older ends have.
var (
	ikeProposals = []string{"aes256gcm16-prfsha384-ecp384", "aes256-sha256-modp2048"}
	espProposals = []string{"aes256gcm16-ecp384", "aes256-sha256-modp2048"}
)

// selectorsOf is what is at this end of an IPsec.
func selectorsOf(site *topology.VPN) []netip.Prefix {
	if len(site.Spec.Networks) == 0 {
		return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	return networksOf(site)
}

// exportIPsec is the swanctl.conf of the remote end.
func exportIPsec(site *topology.VPN, p *topology.VPNPeerSpec) string {
	l := new(listing)
	l.line("# The end of %s of VPN %s. It goes to /etc/swanctl/conf.d/NAME.conf of that machine: swanctl --load-all", p.Name, site.Name)
	l.line("# Both ends speak IKE and ESP in UDP, from the first packet on, at the port of NAT traversal. What does ESP at that machine is its own affair: the kernel, or charon's plugin kernel-libipsec.")
	l.line("# strongswan.conf of that machine is to have charon.plugins.kernel-netlink.mtu = %d: longer packets do not fit.", site.Spec.MTUOr())
	l.line("connections {\n  weft {\n    version = 2\n    mobike = no\n    encap = yes\n    local_port = 4500")
	action := "none"
	if host, port, err := net.SplitHostPort(endpointOf(site)); err == nil && site.Spec.ListenPort != 0 {
		action = "start"
		l.line("    remote_addrs = %s\n    remote_port = %s\n    keyingtries = 0", host, port)
	} else {
		l.line("    remote_addrs = %%any")
		if _, port, _ := net.SplitHostPort(p.Endpoint); port != "4500" {
			l.line("    # it is called at port %s: charon.port_nat_t of strongswan.conf", port)
		}
	}
	l.line("    proposals = %s", strings.Join(ikeProposals, ","))
	l.line("    dpd_delay = %ds", p.KeepaliveOr())
	l.line("    local {\n      auth = psk\n      id = %s\n    }\n    remote {\n      auth = psk\n      id = %s\n    }", p.Name, commonName(site.Name))
	l.line("    children {\n      weft {\n        local_ts = %s\n        remote_ts = %s\n        esp_proposals = %s\n        start_action = %s\n        close_action = %s\n        dpd_action = %s\n      }\n    }\n  }\n}", join(p.AllowedIPs), join(selectorsOf(site)), strings.Join(espProposals, ","), action, action, map[bool]string{true: "restart", false: "clear"}[action == "start"])
	l.line("secrets {\n  ike-weft {\n    id-1 = %s\n    id-2 = %s\n    # secret = the key of the secret %s of the edges\n  }\n}", p.Name, commonName(site.Name), p.PresharedKeySecret)
	return l.String()
}
