package lab_test

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// linkLocal is the address of a MAC (RFC 4291, appendix A).
func linkLocal(mac net.HardwareAddr) net.IP {
	return net.IP{0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}
}

func (s *station) tell6(m *dhcpv6.Message) {
	s.t.Helper()
	s.send(net.HardwareAddr{0x33, 0x33, 0, 1, 0, 2}, linkLocal(s.mac()), dhcpv6.AllDHCPRelayAgentsAndServers, 546, 547, m.ToBytes())
}

// ask6 sends a DHCPv6 message and returns the answer.
func (s *station) ask6(m *dhcpv6.Message) *dhcpv6.Message {
	s.t.Helper()
	s.listen()
	s.tell6(m)
	return s.answer6(m)
}

func (s *station) answer6(m *dhcpv6.Message) *dhcpv6.Message {
	s.t.Helper()
	var r *dhcpv6.Message
	d := s.await("no answer to "+m.MessageType.String(), func(d datagram) bool {
		if d.udp.SrcPort != 547 || d.udp.DstPort != 546 {
			return false
		}
		var err error
		if r, err = dhcpv6.MessageFromBytes(d.udp.Payload); err != nil {
			s.t.Errorf("an answer that is none: %v", err)
			return false
		}
		return r.TransactionID == m.TransactionID
	})
	if !bytes.Equal(d.eth.DstMAC, s.mac()) || !d.dst.Equal(linkLocal(s.mac())) || !d.src.Equal(linkLocal(d.eth.SrcMAC)) || r.Options.ServerID() == nil ||
		m.Options.ClientID() != nil && !m.Options.ClientID().Equal(r.Options.ClientID()) {
		s.t.Errorf("%s: answered to %v %v from %v %v: %s", s.m.Name(), d.eth.DstMAC, d.dst, d.eth.SrcMAC, d.src, r.Summary())
	}
	return r
}

func (s *station) solicit6(mods ...dhcpv6.Modifier) *dhcpv6.Message {
	s.t.Helper()
	m, err := dhcpv6.NewSolicit(s.mac(), mods...)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.ask6(m)
}

// lease6 has an address advertised and takes it.
func (s *station) lease6() (reply *dhcpv6.Message, addr net.IP) {
	s.t.Helper()
	adv := s.solicit6()
	m, err := dhcpv6.NewRequestFromAdvertise(adv)
	if err != nil {
		s.t.Fatalf("%s: %v: %s", s.m.Name(), err, adv.Summary())
	}
	r := s.ask6(m)
	offered, given := address6(adv), address6(r)
	if adv.MessageType != dhcpv6.MessageTypeAdvertise || r.MessageType != dhcpv6.MessageTypeReply || given == nil || offered == nil || !given.IPv6Addr.Equal(offered.IPv6Addr) {
		s.t.Fatalf("%s: %s was answered by %s", s.m.Name(), adv.Summary(), r.Summary())
	}
	return r, given.IPv6Addr
}

// address6 is the address of the first association of a message, nil if it has none.
func address6(m *dhcpv6.Message) *dhcpv6.OptIAAddress {
	if ia := m.Options.OneIANA(); ia != nil {
		return ia.Options.OneAddress()
	}
	return nil
}

// about6 is a message about what a reply gave.
func (s *station) about6(t dhcpv6.MessageType, reply *dhcpv6.Message) *dhcpv6.Message {
	s.t.Helper()
	m, err := dhcpv6.NewMessage()
	if err != nil {
		s.t.Fatal(err)
	}
	m.MessageType = t
	m.AddOption(dhcpv6.OptClientID(reply.Options.ClientID()))
	switch t {
	case dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRebind:
	default:
		m.AddOption(dhcpv6.OptServerID(reply.Options.ServerID()))
	}
	m.AddOption(reply.Options.OneIANA())
	return m
}

// TestDHCPv6: the same as TestDHCPv4 with IPv6: solicit, rapid commit, request, renew at another edge, rebind, confirm, information, decline, release.
func TestDHCPv6(t *testing.T) {
	l, store := leasedScenario(t)
	vm1, vm2, vm3, vm4 := stationAt(t, l, "vm1"), stationAt(t, l, "vm2"), stationAt(t, l, "vm3"), stationAt(t, l, "vm4")

	first, addr := vm1.lease6()
	ia := first.Options.OneIANA()
	got := ia.Options.OneAddress()
	if !bytes.HasPrefix(addr, net.ParseIP("fd01::100")[:14]) || got.ValidLifetime != 600*time.Second || got.PreferredLifetime != 600*time.Second || ia.T1 != 300*time.Second || ia.T2 != 480*time.Second ||
		!first.Options.DNS()[0].Equal(net.ParseIP("fd01::53")) || first.Options.DomainSearchList().Labels[0] != "acme.example" || first.Options.BootFileURL() != "tftp://boot" ||
		first.GetOneOption(dhcpv6.OptionNTPServer) == nil {
		t.Errorf("vm1 was told %s", first.Summary())
	}
	// Rapid commit at the other edge, and of a reserved address; a second association, a temporary one and a prefix are refused in words.
	second := vm2.solicit6(dhcpv6.WithRapidCommit, dhcpv6.WithIAPD([4]byte{9}), dhcpv6.WithIATA([4]byte{8}))
	if second.MessageType != dhcpv6.MessageTypeReply || second.GetOneOption(dhcpv6.OptionRapidCommit) == nil || address6(second).IPv6Addr.Equal(addr) ||
		second.Options.OneIAPD().Options.Status().StatusCode != iana.StatusNoPrefixAvail || second.Options.OneIATA().Options.Status().StatusCode != iana.StatusNoAddrsAvail {
		t.Errorf("vm2 got %s", second.Summary())
	}
	third := vm3.solicit6(dhcpv6.WithRapidCommit)
	if !address6(third).IPv6Addr.Equal(net.ParseIP("fd01::33")) {
		t.Errorf("vm3 got %s", third.Summary())
	}
	want := map[string]state.LeaseUse{addr.String(): state.LeaseBound, address6(second).IPv6Addr.String(): state.LeaseBound, "fd01::33": state.LeaseBound}
	leases(t, store, want)

	// Renew here, and at the edge that vm1 moves to; rebind; confirm.
	prolong := func(kind dhcpv6.MessageType) {
		t.Helper()
		if r := vm1.ask6(vm1.about6(kind, first)); r.MessageType != dhcpv6.MessageTypeReply || address6(r) == nil || !address6(r).IPv6Addr.Equal(addr) || address6(r).ValidLifetime != 600*time.Second {
			t.Errorf("%v: %s", kind, r.Summary())
		}
	}
	prolong(dhcpv6.MessageTypeRenew)
	if err := l.Bind(t.Context(), scenario.Bind{What: "vm1", Edge: "e2", Interface: "6"}); err != nil {
		t.Fatal(err)
	}
	prolong(dhcpv6.MessageTypeRenew)
	prolong(dhcpv6.MessageTypeRebind)
	if r := vm1.ask6(vm1.about6(dhcpv6.MessageTypeConfirm, first)); r.Options.Status().StatusCode != iana.StatusSuccess {
		t.Errorf("confirm: %s", r.Summary())
	}
	leases(t, store, want)

	// What is another host's, or of nowhere, is not prolonged, but told to end at once; one that is off the link is not confirmed.
	stray := *first
	stray.Options = dhcpv6.MessageOptions{}
	stray.AddOption(dhcpv6.OptClientID(first.Options.ClientID()))
	stray.AddOption(dhcpv6.OptServerID(first.Options.ServerID()))
	off := &dhcpv6.OptIANA{IaId: ia.IaId}
	off.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("2001:db8:9::9"), ValidLifetime: time.Hour})
	off.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: address6(second).IPv6Addr, ValidLifetime: time.Hour})
	stray.AddOption(off)
	r := vm1.ask6(vm1.about6(dhcpv6.MessageTypeRenew, &stray))
	if a := r.Options.OneIANA().Options.Addresses(); len(a) != 2 || a[0].ValidLifetime != 0 || a[1].ValidLifetime != 0 || r.Options.OneIANA().Options.Status().StatusCode != iana.StatusNoBinding {
		t.Errorf("renewal of another's address: %s", r.Summary())
	}
	if r := vm1.ask6(vm1.about6(dhcpv6.MessageTypeConfirm, &stray)); r.Options.Status().StatusCode != iana.StatusNotOnLink {
		t.Errorf("confirmation off the link: %s", r.Summary())
	}
	inform, _ := dhcpv6.NewMessage()
	inform.MessageType = dhcpv6.MessageTypeInformationRequest
	if r := vm1.ask6(inform); r.Options.OneIANA() != nil || !r.Options.DNS()[0].Equal(net.ParseIP("fd01::53")) || r.Options.InformationRefreshTime(0) != 600*time.Second {
		t.Errorf("information: %s", r.Summary())
	}

	// Decline and release.
	if r := vm1.ask6(vm1.about6(dhcpv6.MessageTypeDecline, first)); r.Options.Status().StatusCode != iana.StatusSuccess {
		t.Errorf("decline: %s", r.Summary())
	}
	want[addr.String()] = state.LeaseDeclined
	leases(t, store, want)
	_, other := vm1.lease6()
	if other.Equal(addr) {
		t.Errorf("vm1 got %v again, which it declined", other)
	}
	want[other.String()] = state.LeaseBound
	if r := vm2.ask6(vm2.about6(dhcpv6.MessageTypeRelease, second)); r.Options.Status().StatusCode != iana.StatusSuccess {
		t.Errorf("release: %s", r.Summary())
	}
	delete(want, address6(second).IPv6Addr.String())
	leases(t, store, want)

	// Unicast is told to be multicast; of another server, of a server, and from another than a link-local address: nothing. vm4's is ordinary traffic.
	m := vm1.about6(dhcpv6.MessageTypeRenew, first)
	vm1.listen()
	vm1.send(net.HardwareAddr{0x33, 0x33, 0, 1, 0, 2}, linkLocal(vm1.mac()), net.ParseIP("fd01::1"), 546, 547, m.ToBytes())
	if r := vm1.answer6(m); r.Options.Status().StatusCode != iana.StatusUseMulticast {
		t.Errorf("unicast: %s", r.Summary())
	}
	foreign := vm1.about6(dhcpv6.MessageTypeRenew, first)
	foreign.UpdateOption(dhcpv6.OptServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 9, 9}}))
	vm1.tell6(foreign)
	global := vm1.about6(dhcpv6.MessageTypeRenew, first)
	vm1.send(net.HardwareAddr{0x33, 0x33, 0, 1, 0, 2}, net.ParseIP("fd01::77"), dhcpv6.AllDHCPRelayAgentsAndServers, 546, 547, global.ToBytes())
	server := vm1.about6(dhcpv6.MessageTypeReply, first)
	vm1.tell6(server)
	lost, _ := dhcpv6.NewSolicit(vm4.mac())
	vm4.tell6(lost)
	vm2.await("flooded message", func(d datagram) bool { return d.udp.DstPort == 547 && bytes.Equal(d.udp.Payload, lost.ToBytes()) })
	vm1.solicit6()
	for _, frame := range vm1.all.Frames() {
		d, ok := parseUDP(t, frame)
		if !ok || d.udp.DstPort != 546 {
			continue
		}
		if r, err := dhcpv6.MessageFromBytes(d.udp.Payload); err == nil {
			for _, m := range []*dhcpv6.Message{foreign, global, server} {
				if r.TransactionID == m.TransactionID {
					t.Errorf("%v was answered: %s", m.MessageType, r.Summary())
				}
			}
		}
	}
	leases(t, store, want)
}
