package lab_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// leasedLab: a resource shared by two bridges and two edges; vm4 is on the first bridge, without it.
const leasedLab = `
-- hosts --
vm1 vport=acme/vm1 edge=e1 mac=02:00:00:00:00:01 mtu=1400
vm2 vport=acme/vm2 edge=e2 mac=02:00:00:00:00:02 mtu=1400
vm3 vport=acme/vm3 edge=e1 mac=02:00:00:00:00:03 mtu=1400 vlan=7
vm4 vport=acme/vm4 edge=e2 mac=02:00:00:00:00:04 mtu=1400
-- network.yaml --
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: other, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: gw, tenant: acme}, spec: {}}
---
apiVersion: weft/v1
kind: DHCP
metadata: {name: pool, tenant: acme}
spec:
  leaseTime: 600
  dns: [10.1.0.53, 10.1.0.54, "fd01::53"]
  ntp: [10.1.0.123, "fd01::123"]
  domain: acme.example
  mtu: 1400
  options: [{code: 66, text: tftp.acme.example}, {code: 59, family: v6, text: "tftp://boot"}]
  subnets:
  - prefix: 10.1.0.0/24
    router: 10.1.0.1
    ranges: [10.1.0.100-10.1.0.109]
    routes: [{dst: 10.2.0.0/16, via: 10.1.0.2}]
  - prefix: "fd01::/64"
    ranges: ["fd01::100-fd01::109"]
  reservations: [{mac: "02:00:00:00:00:03", addresses: [10.1.0.33, "fd01::33"], hostname: three}]
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme}, spec: {device: bridge/lan, dhcp: pool}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/lan, dhcp: pool}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm3, tenant: acme}, spec: {device: bridge/other, dhcp: pool, mtu: 1300}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm4, tenant: acme}, spec: {device: bridge/lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan-gw, tenant: acme}, spec: {device: bridge/lan, peer: gw-lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: gw-lan, tenant: acme}, spec: {device: router/gw, peer: lan-gw, addresses: [10.1.0.1/24, "fd01::1/64"]}}
`

// station sends datagrams from a host past its own stack, and sees what comes.
type station struct {
	t        *testing.T
	m        scenario.Machine
	all, tap *host.Tap // since the beginning; since the last question
}

func stationAt(t *testing.T, l *lab.Lab, name string) *station {
	s := &station{t: t, m: l.Host(name)}
	s.all = s.m.Tap(4096)
	s.listen()
	t.Cleanup(func() { s.all.Close(); s.tap.Close() })
	return s
}

// listen forgets what came before.
func (s *station) listen() {
	if s.tap != nil {
		s.tap.Close()
	}
	s.tap = s.m.Tap(4096)
}

func (s *station) mac() net.HardwareAddr { m := s.m.MAC(); return m[:] }

// send puts a datagram on the cable.
func (s *station) send(dstMAC net.HardwareAddr, src, dst net.IP, from, to uint16, payload []byte) {
	s.t.Helper()
	s.sendAs(s.mac(), dstMAC, src, dst, from, to, payload)
}

// sendAs is send with another source MAC.
func (s *station) sendAs(srcMAC, dstMAC net.HardwareAddr, src, dst net.IP, from, to uint16, payload []byte) {
	s.t.Helper()
	eth := &layers.Ethernet{SrcMAC: srcMAC, DstMAC: dstMAC, EthernetType: layers.EthernetTypeIPv4}
	udp := &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
	var ip gopacket.SerializableLayer
	if dst.To4() != nil {
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src, DstIP: dst}
		_ = udp.SetNetworkLayerForChecksum(v4)
		ip = v4
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		v6 := &layers.IPv6{Version: 6, HopLimit: 1, NextHeader: layers.IPProtocolUDP, SrcIP: src, DstIP: dst}
		_ = udp.SetNetworkLayerForChecksum(v6)
		ip = v6
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, udp, gopacket.Payload(payload)); err != nil {
		s.t.Fatal(err)
	}
	if err := s.m.InjectAll(s.t.Context(), slices.Values([][]byte{b.Bytes()})); err != nil {
		s.t.Fatal(err)
	}
}

// datagram is one as it came.
type datagram struct {
	eth      *layers.Ethernet
	src, dst net.IP
	udp      *layers.UDP
}

// parseUDP takes a frame apart; false if it holds no datagram. Its checksums are verified.
func parseUDP(t *testing.T, frame []byte) (d datagram, ok bool) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	d.eth, _ = p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	d.udp, ok = p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok {
		return d, false
	}
	switch n := p.NetworkLayer().(type) {
	case *layers.IPv4:
		d.src, d.dst = n.SrcIP, n.DstIP
	case *layers.IPv6:
		d.src, d.dst = n.SrcIP, n.DstIP
	}
	if _, mismatches := p.VerifyChecksums(); len(mismatches) > 0 {
		t.Errorf("wrong checksum: %v", mismatches)
	}
	return d, true
}

// await returns the first datagram that match takes.
func (s *station) await(what string, match func(datagram) bool) datagram {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	var found datagram
	_, err := s.tap.Wait(ctx, func(frame []byte) bool {
		d, ok := parseUDP(s.t, frame)
		if ok && match(d) {
			found = d
			return true
		}
		return false
	})
	if err != nil {
		s.t.Fatalf("%s: %s: %v", s.m.Name(), what, err)
	}
	return found
}

// ask4 sends a DHCPv4 message as a host does that has no address, or has one (ciaddr), and returns the answer.
func (s *station) ask4(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	s.t.Helper()
	s.listen()
	s.tell4(m)
	var r *dhcpv4.DHCPv4
	d := s.await("no answer to "+m.MessageType().String(), func(d datagram) bool {
		if d.udp.SrcPort != 67 || d.udp.DstPort != 68 {
			return false
		}
		var err error
		if r, err = dhcpv4.FromBytes(d.udp.Payload); err != nil {
			s.t.Errorf("an answer that is none: %v", err)
			return false
		}
		return r.TransactionID == m.TransactionID
	})
	unicast := !m.IsBroadcast() && r.MessageType() != dhcpv4.MessageTypeNak
	if unicast != bytes.Equal(d.eth.DstMAC, s.mac()) || unicast == d.dst.Equal(net.IPv4bcast) || r.OpCode != dhcpv4.OpcodeBootReply || !bytes.Equal(r.ClientHWAddr, s.mac()) ||
		!d.src.Equal(r.ServerIdentifier()) {
		s.t.Errorf("%s: answered to %v %v from %v: %v", s.m.Name(), d.eth.DstMAC, d.dst, d.src, r.Summary())
	}
	return r
}

func (s *station) tell4(m *dhcpv4.DHCPv4) {
	s.t.Helper()
	src, dst, mac := net.IPv4zero, net.IPv4bcast, net.HardwareAddr{255, 255, 255, 255, 255, 255}
	if !m.ClientIPAddr.IsUnspecified() {
		src, dst, mac = m.ClientIPAddr, net.IP{10, 1, 0, 1}, net.HardwareAddr{2, 0x77, 0x66, 0, 0, 9} // the server's, whatever its MAC is
	}
	s.send(mac, src, dst, 68, 67, m.ToBytes())
}

func (s *station) discover4(mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	s.t.Helper()
	m, err := dhcpv4.NewDiscovery(s.mac(), mods...)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.ask4(m)
}

// lease4 has an address offered and takes it.
func (s *station) lease4(mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	s.t.Helper()
	offer := s.discover4(mods...)
	m, err := dhcpv4.NewRequestFromOffer(offer, mods...)
	if err != nil {
		s.t.Fatal(err)
	}
	ack := s.ask4(m)
	if offer.MessageType() != dhcpv4.MessageTypeOffer || ack.MessageType() != dhcpv4.MessageTypeAck || !ack.YourIPAddr.Equal(offer.YourIPAddr) {
		s.t.Errorf("%s: %v was answered by %v", s.m.Name(), offer, ack)
	}
	return ack
}

func (s *station) message4(t dhcpv4.MessageType, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	s.t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(s.mac()), dhcpv4.WithMessageType(t)}, mods...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// leases waits until what is leased is as wanted: address → use.
func leases(t *testing.T, s *state.Store, want map[string]state.LeaseUse) {
	t.Helper()
	var got map[string]state.LeaseUse
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		all, err := s.Leases(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		got = map[string]state.LeaseUse{}
		for _, l := range all {
			got[l.Addr.String()] = l.Use
		}
		ok := len(got) == len(want)
		for a, use := range want {
			ok = ok && got[a] == use
		}
		if ok {
			return
		}
	}
	t.Fatalf("leased are %v, want %v", got, want)
}

func leasedScenario(t *testing.T) (*lab.Lab, *state.Store) {
	t.Helper()
	file, err := scenario.Parse("leased.txtar", []byte(leasedLab[1:]))
	if err != nil {
		t.Fatal(err)
	}
	return open(t, lab.Config{Scenario: file, SparePorts: 6})
}

// TestDHCPv4: hosts of two bridges at two edges are given addresses of one resource by their own edge: lease, all options, reservation, renewal at another edge,
// refusal, inform, decline, release; what is not of a host is ordinary traffic or dropped (D1, K12).
func TestDHCPv4(t *testing.T) {
	l, store := leasedScenario(t)
	vm1, vm2, vm3, vm4 := stationAt(t, l, "vm1"), stationAt(t, l, "vm2"), stationAt(t, l, "vm3"), stationAt(t, l, "vm4")

	// Lease, with all that a host wants to know.
	first := vm1.lease4()
	addr := netip.AddrFrom4([4]byte(first.YourIPAddr.To4()))
	if r := (topology.AddrRange{First: netip.MustParseAddr("10.1.0.100"), Last: netip.MustParseAddr("10.1.0.109")}); !r.Contains(addr) {
		t.Errorf("vm1 got %v", addr)
	}
	mtu, _ := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, first.Options)
	if n, _ := first.SubnetMask().Size(); n != 24 || !first.Router()[0].Equal(net.IP{10, 1, 0, 1}) || len(first.DNS()) != 2 || !first.DNS()[1].Equal(net.IP{10, 1, 0, 54}) ||
		first.DomainName() != "acme.example" || !first.NTPServers()[0].Equal(net.IP{10, 1, 0, 123}) || first.IPAddressLeaseTime(0) != 600*time.Second ||
		first.IPAddressRenewalTime(0) != 300*time.Second || first.IPAddressRebindingTime(0) != 525*time.Second || mtu != 1400 || first.TFTPServerName() != "tftp.acme.example" ||
		!first.ServerIdentifier().Equal(net.IP{10, 1, 0, 1}) {
		t.Errorf("vm1 was told %s", first.Summary())
	}
	routes := first.ClasslessStaticRoute()
	if len(routes) != 2 || routes[0].String() != "route to 10.2.0.0/16 via 10.1.0.2" || routes[1].String() != "route to 0.0.0.0/0 via 10.1.0.1" {
		t.Errorf("routes %v", routes)
	}
	// The other edge gives the other host another address; the reserved one is told by broadcast, in its VLAN, with its vport's MTU.
	second, third := vm2.lease4(), vm3.lease4(dhcpv4.WithBroadcast(true))
	mtu, _ = dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, third.Options)
	if second.YourIPAddr.Equal(first.YourIPAddr) || third.YourIPAddr.String() != "10.1.0.33" || third.HostName() != "three" || mtu != 1300 {
		t.Errorf("vm2 got %v, vm3 %s", second.YourIPAddr, third.Summary())
	}
	want := map[string]state.LeaseUse{addr.String(): state.LeaseBound, second.YourIPAddr.String(): state.LeaseBound, "10.1.0.33": state.LeaseBound}
	leases(t, store, want)

	// Renewal: here, and at the edge that vm1 moves to; init-reboot; the same again by discovery, which leaves the lease as it is.
	renew := func() {
		t.Helper()
		if r := vm1.ask4(vm1.message4(dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(first.YourIPAddr))); r.MessageType() != dhcpv4.MessageTypeAck || !r.YourIPAddr.Equal(first.YourIPAddr) {
			t.Errorf("renewal: %s", r.Summary())
		}
	}
	renew()
	if err := l.Bind(t.Context(), scenario.Bind{What: "vm1", Edge: "e2", Interface: "6"}); err != nil {
		t.Fatal(err)
	}
	renew()
	asked := dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(first.YourIPAddr))
	if r := vm1.ask4(vm1.message4(dhcpv4.MessageTypeRequest, asked)); r.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("init-reboot: %s", r.Summary())
	}
	if r := vm1.discover4(); !r.YourIPAddr.Equal(first.YourIPAddr) {
		t.Errorf("vm1 was offered %v, and has %v", r.YourIPAddr, first.YourIPAddr)
	}
	leases(t, store, want)

	// Refusals: another host's address, one of nowhere, a reserved one. INFORM gives no address.
	for _, a := range []net.IP{second.YourIPAddr, {192, 0, 2, 9}, {10, 1, 0, 33}} {
		if r := vm1.ask4(vm1.message4(dhcpv4.MessageTypeRequest, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(a)))); r.MessageType() != dhcpv4.MessageTypeNak {
			t.Errorf("request of %v: %s", a, r.Summary())
		}
	}
	inform := vm1.ask4(vm1.message4(dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(net.IP{10, 1, 0, 77})))
	if inform.MessageType() != dhcpv4.MessageTypeAck || !inform.YourIPAddr.IsUnspecified() || inform.IPAddressLeaseTime(0) != 0 || len(inform.DNS()) != 2 {
		t.Errorf("inform: %s", inform.Summary())
	}

	// Decline: another address then, and the first for nobody. Release.
	sid := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(first.ServerIdentifier()))
	vm1.tell4(vm1.message4(dhcpv4.MessageTypeDecline, asked, sid))
	want[addr.String()] = state.LeaseDeclined
	leases(t, store, want)
	if r := vm1.discover4(asked); r.YourIPAddr.Equal(first.YourIPAddr) {
		t.Errorf("vm1 is offered %v, which it declined", r.YourIPAddr)
	}
	again := vm1.lease4()
	if again.YourIPAddr.Equal(first.YourIPAddr) {
		t.Errorf("vm1 got %v again, which it declined", again.YourIPAddr)
	}
	want[again.YourIPAddr.String()] = state.LeaseBound
	leases(t, store, want)
	vm2.tell4(vm2.message4(dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(second.YourIPAddr), sid))
	delete(want, second.YourIPAddr.String())
	leases(t, store, want)

	// vm4 has no resource: its messages are ordinary traffic, and so are a relay's. A host that speaks for another, or of a server elsewhere, gets nothing.
	lost, _ := dhcpv4.NewDiscovery(vm4.mac())
	vm4.tell4(lost)
	relayed := vm1.message4(dhcpv4.MessageTypeDiscover, dhcpv4.WithRelay(net.IP{10, 9, 9, 9}))
	vm1.tell4(relayed)
	forged := vm1.message4(dhcpv4.MessageTypeDiscover, dhcpv4.WithHwAddr(vm2.mac()))
	vm1.tell4(forged)
	vm1.tell4(vm1.message4(dhcpv4.MessageTypeRequest, asked, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{10, 1, 0, 99}))))
	for _, m := range []*dhcpv4.DHCPv4{lost, relayed} {
		vm2.await("flooded message", func(d datagram) bool {
			return d.udp.DstPort == 67 && bytes.Equal(d.udp.Payload, m.ToBytes())
		})
	}
	vm1.discover4() // whatever came before it has been decided
	for _, frame := range slices.Concat(vm1.all.Frames(), vm2.all.Frames(), vm4.all.Frames()) {
		d, ok := parseUDP(t, frame)
		if !ok {
			continue
		}
		if m, err := dhcpv4.FromBytes(d.udp.Payload); err == nil && (m.TransactionID == forged.TransactionID || m.OpCode == dhcpv4.OpcodeBootReply && m.TransactionID == relayed.TransactionID) {
			t.Errorf("seen: %s", m.Summary())
		}
	}
	leases(t, store, want)
}

// TestDHCPAtOnce: two edges are asked for addresses at the same time, by more hosts than there are addresses: each address is offered to one of them, and
// each host is offered one.
func TestDHCPAtOnce(t *testing.T) {
	l, store := leasedScenario(t)
	const each, pool = 8, 10
	stations := []*station{stationAt(t, l, "vm1"), stationAt(t, l, "vm2")}
	for n := range byte(each) {
		for i, s := range stations {
			mac := net.HardwareAddr{2, 0, 0, 1, byte(i), n}
			m, err := dhcpv4.NewDiscovery(mac)
			if err != nil {
				t.Fatal(err)
			}
			s.sendAs(mac, net.HardwareAddr{255, 255, 255, 255, 255, 255}, net.IPv4zero, net.IPv4bcast, 68, 67, m.ToBytes())
		}
	}
	offers := map[string]string{} // address → host
	count := func() int {
		clear(offers)
		for _, s := range stations {
			for _, frame := range s.all.Frames() {
				d, ok := parseUDP(t, frame)
				if !ok {
					continue
				}
				m, err := dhcpv4.FromBytes(d.udp.Payload)
				if err != nil || m.MessageType() != dhcpv4.MessageTypeOffer {
					continue
				}
				addr, host := m.YourIPAddr.String(), m.ClientHWAddr.String()
				if other, taken := offers[addr]; taken && other != host {
					t.Fatalf("%s is offered to %s and %s", addr, other, host)
				}
				offers[addr] = host
			}
		}
		return len(offers)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); count() < pool; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d addresses are offered, want %d: %v", len(offers), pool, offers)
		}
	}
	hosts := map[string]bool{}
	for _, h := range offers {
		hosts[h] = true
	}
	all, err := store.Leases(t.Context(), 0)
	if err != nil || len(all) != pool || len(hosts) != pool {
		t.Errorf("%d leases, %d hosts, want %d: %v", len(all), len(hosts), pool, err)
	}
	for _, one := range all {
		if one.Use != state.LeaseOffered || offers[one.Addr.String()] != one.Client.MAC.String() {
			t.Errorf("stored is %+v, offered to %s", one, offers[one.Addr.String()])
		}
	}
}
