package remote

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/vpn"
)

// provider is what is between the VPN's public port and the world: a router of the provider's, at whose uplink sources become the provider's own.
const provider = `---
apiVersion: weft/v1
kind: Chain
metadata: {name: hide, tenant: isp}
spec:
  rules:
  - {name: hide, match: {outPorts: [up], src: [100.64.0.0/24, "fd64::/64"]}, action: snat, nat: {addresses: [203.0.113.1, "2001:db8:113::1"]}}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: known, tenant: isp}
spec:
  rules:
  - {name: answers, match: {inPorts: [up], states: [established, related]}, action: accept}
---
apiVersion: weft/v1
kind: Router
metadata: {name: border, tenant: isp}
spec:
  filters: {ingress: known, egress: hide}
  routes:
  - {dst: 198.51.100.0/24, via: 203.0.113.9, port: up}
  - {dst: "2001:db8:51::/48", via: "2001:db8:113::9", port: up}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: up, tenant: isp}
spec: {device: router/border, addresses: [203.0.113.1/24, "2001:db8:113::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vpn1, tenant: isp}
spec: {device: router/border, singleHost: true, addresses: [100.64.0.10/24, "fd64::10/64"]}
`

// TestPublicPort: a VPN's encrypted packets go by a port of the virtual network, and out by the provider's uplink, translated. The VPN calls, or is called, over IPv4 and IPv6.
func TestPublicPort(t *testing.T) {
	for name, at := range map[string]string{"IPv4": "203.0.113.9:51820", "IPv6": "[2001:db8:113::9]:51820"} {
		t.Run(name, func(t *testing.T) {
			private, public, err := vpn.GenerateKey()
			if err != nil {
				t.Fatal(err)
			}
			text := network + provider + site("  publicPort: isp/vpn1\n  mtu: 1300\n", fmt.Sprintf("publicKey: %q, endpoint: %q", public, at))
			b := newBench(t, withInternet(strings.Replace(text, "mtu: 1420", "mtu: 1300", 1)))
			inet, ok := b.Host("inet").(*host.Host)
			if !ok {
				t.Fatal("inet is not in memory")
			}
			s, err := New(Config{Host: office(), PrivateKey: private, PeerKey: b.key(), ListenPort: 51820, AllowedIPs: allowed(), Bind: Through(inet)})
			b.must(err)
			defer s.Close()
			b.pings(b.vm(), "192.168.50.2")
			b.pings(b.vm(), "fd50::2")
			b.pings(s, "10.1.0.5")
			b.pings(s, "fd01::5")
			if text, err := s.UAPI(); err != nil || !contains(text, "endpoint=203.0.113.1:", "endpoint=[2001:db8:113::1]:") {
				t.Errorf("the peer does not see the provider's address: %v", err)
			}
		})
	}
}
