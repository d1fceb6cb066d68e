package remote

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/netns"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/vpn"
)

// inNamespace has the host of the world's in a network namespace, the others in memory.
func inNamespace(cfg host.Config, link host.Link) (scenario.Machine, error) {
	if cfg.Name == "inet" {
		return netns.New(cfg, link)
	}
	return scenario.InMemory(cfg, link)
}

func needPeer(t *testing.T) {
	t.Helper()
	if err := Missing(); err != nil {
		t.Skipf("SKIPPED: no independent WireGuard to test against: %v", err)
	}
}

// newQuickBench is a lab with a VPN through a public port, and at its other end a process with a TUN device of the kernel's in a namespace, that wg-quick brought up by what the VPN exports.
func newQuickBench(t *testing.T, text string) (*bench, *netns.Host, *Quick) {
	t.Helper()
	needPeer(t)
	private, public, err := vpn.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b := newBenchOf(t, benchConfig{text: withInternet(strings.ReplaceAll(text, "PUBLIC", public)), powerOn: inNamespace})
	key := b.key()
	r, err := b.record("e3")
	b.must(err)
	conf, err := vpn.Export(r, "office", private)
	b.must(err)
	if !strings.Contains(conf, key) {
		t.Fatalf("the file has no key of the VPN's:\n%s", conf)
	}
	h, ok := b.Host("inet").(*netns.Host)
	if !ok {
		t.Fatal("inet is in no namespace")
	}
	q, err := Up(t.Context(), h, fmt.Sprintf("weft%d", os.Getpid()%100000), conf)
	b.must(err)
	t.Cleanup(q.Close)
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := q.Show(t.Context())
			t.Logf("wg show: %s\nit said: %s", said, q.Log())
		}
	})
	return b, h, q
}

const quickSite = `---
apiVersion: weft/v1
kind: VPN
metadata: {name: office, tenant: acme}
spec:
  vport: office
  edges: [e1, e2]
  publicPort: isp/vpn1
  mtu: 1300
  networks: [10.1.0.0/24, "fd01::/64"]
  peers:
  - {name: office, publicKey: "PUBLIC", endpoint: "203.0.113.9:51820", allowedIPs: [192.168.50.0/24, "fd50::/64"], addresses: [192.168.50.2/24, "fd50::2/64"]}
`

// TestKernelPeer: an independent process with a TUN device of the kernel's reaches a VM, and is reached, by ping and TCP.
func TestKernelPeer(t *testing.T) {
	b, h, _ := newQuickBench(t, strings.Replace(network, "mtu: 1420", "mtu: 1300", 1)+provider+quickSite)
	b.pings(b.vm(), "192.168.50.2")
	b.pings(b.vm(), "fd50::2")
	b.pings(h, "10.1.0.5")
	b.pings(h, "fd01::5")
	b.fetches(b.vm(), h, "10.1.0.5", "fd01::5")
	b.fetches(h, b.vm(), "192.168.50.2", "fd50::2")
}

// bridge is a tenant's bridge with a VM, and a VPN as another port of it.
const bridge = `
-- edges --
e1
e2
e3
-- hosts --
vm vport=acme/vm edge=e3 mac=02:00:00:00:00:01 ip=10.1.0.5/24,fd01::5/64
-- network.yaml --
apiVersion: weft/v1
kind: Bridge
metadata: {name: lan, tenant: acme}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm, tenant: acme}
spec: {device: bridge/lan}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: office, tenant: acme}
spec: {device: bridge/lan, mtu: 1300}
`

const bridgeSite = `---
apiVersion: weft/v1
kind: VPN
metadata: {name: office, tenant: acme}
spec:
  vport: office
  edges: [e1, e2]
  publicPort: isp/vpn1
  mtu: 1350
  ethernet: {local: 10.255.0.1, remote: 10.255.0.2}
  peers:
  - {name: office, publicKey: "PUBLIC", endpoint: "203.0.113.9:51820", allowedIPs: [10.255.0.2/32]}
`

// TestEthernet: a bridge and an interface of a machine are on one wire through a tunnel: ARP, ND, MAC learning both ways, frames as long as they may be, and an answer to those that are longer.
func TestEthernet(t *testing.T) {
	b, h, q := newQuickBench(t, bridge+provider+bridgeSite)
	for _, a := range []string{"10.1.0.50/24", "fd01::50/64"} {
		if _, said, err := h.Exec(t.Context(), "ip", "address", "add", a, "dev", "vx-"+q.name, "nodad"); err != nil {
			t.Fatalf("address: %v: %s", err, said)
		}
	}
	b.pings(b.vm(), "10.1.0.50")
	b.pings(b.vm(), "fd01::50")
	b.pings(h, "10.1.0.5")
	b.pings(h, "fd01::5")
	b.fetches(b.vm(), h, "10.1.0.5", "fd01::5")
	b.fetches(h, b.vm(), "10.1.0.50", "fd01::50")
	mac, err := b.vm().Resolve(t.Context(), netip.MustParseAddr("10.1.0.50"))
	if err != nil || mac[0]&3 != 2 {
		t.Errorf("the VM has %x for 10.1.0.50, %v", mac, err)
	}
}
