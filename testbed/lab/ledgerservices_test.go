package lab_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// TestPacketsOfServicesAreAccountedFor (O2): the same of what edges take part in: packets of offices that come out of a VPN and go into it, encrypted ones and garbage for it, a BGP session, and
// punts beyond their rate.
func TestPacketsOfServicesAreAccountedFor(t *testing.T) {
	offices := parseFile(t, "testdata/remote.txtar")
	file, err := scenario.Parse("services.txtar", []byte(`bgp inet2 serve as=64501 peer=64500
bgp inet2 announce 198.18.0.0/24,2001:db8:18::/48
bgp inet2 up
bgp inet2 learns 203.0.113.0/24,2001:db8:113::/48
leg offices
ping paris vm count=5
ping lyon vm count=5
ping inet2 203.0.114.1 count=5
ping inet2 2001:db8:114::1 count=5
http vm paris bytes=100KB
http lyon vm bytes=100KB
-- edges --
e1
e2
-- hosts --
vm vport=acme/vm edge=e1 mac=02:00:00:00:00:01 ip=10.1.0.5/24,fd01::5/64 gw=10.1.0.1,fd01::1 mtu=1400
inet1 vport=isp/up1 edge=e2 mac=02:00:00:00:99:01 ip=203.0.113.9/24,2001:db8:113::9/64 gw=203.0.113.1,2001:db8:113::1
inet2 vport=isp/up2 edge=e1 mac=02:00:00:00:99:02 ip=203.0.114.9/24,2001:db8:114::9/64 gw=203.0.114.1,2001:db8:114::1
paris remote=acme/offices via=inet1 peer=paris
lyon remote=acme/offices via=inet1 peer=lyon
-- network.yaml --
`+string(offices.Network)+`
---
apiVersion: weft/v1
kind: BGPSession
metadata: {name: upstream, tenant: isp}
spec: {vport: up2, localAS: 64500, peerAS: 64501, peerAddress: 203.0.114.9, families: [ipv4, ipv6], connectRetry: 1, advertise: [{prefix: 203.0.113.0/24}, {prefix: "2001:db8:113::/48"}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	l := start(t, lab.Config{Scenario: file, PuntRate: 50})
	runScenario(t, file, l)
	for i := range 20 { // the first byte is the type of WireGuard's messages
		garbage := append([]byte{byte(i % 6), 0, 0, 0}, make([]byte, 32*(i%6)+i)...)
		for _, at := range []string{"198.51.100.10:51820", "[2001:db8:51::10]:51820"} {
			if _, err := l.Host("inet1").EchoUDP(t.Context(), netip.MustParseAddrPort(at), garbage, 10*time.Millisecond); err == nil {
				t.Errorf("garbage to %s is answered", at)
			}
		}
	}
	storm := make([][]byte, 300)
	for i := range storm {
		storm[i] = packet.AppendARPRequest(nil, packet.MAC{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("10.1.0.1"))
	}
	inject(t, l.Host("vm"), storm...)
	passed := map[string]uint64{}
	for _, s := range atRest(t, l, "offices, sessions and a storm", "vm", "inet1", "inet2") {
		for _, line := range s.Out {
			if strings.HasPrefix(s.Name, "cable of VPNs ") {
				passed[s.Name] += line.Packets
			}
			passed[line.Name] += line.Packets
		}
	}
	for _, name := range []string{"cable of VPNs in", "cable of VPNs out", "for sessions", "answered"} {
		if passed[name] == 0 {
			t.Errorf("%s: no packets", name)
		}
	}
	mustDrop(t, l, "punt rate")
}
