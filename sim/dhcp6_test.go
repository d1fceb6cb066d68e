package sim

import (
	"bytes"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

func message6(t dhcpv6.MessageType, m packet.MAC, d *topology.DHCP, mods ...dhcpv6.Modifier) []byte {
	r := &dhcpv6.Message{MessageType: t, TransactionID: dhcpv6.TransactionID{1, 2, 3}}
	if t != dhcpv6.MessageTypeInformationRequest {
		r.AddOption(dhcpv6.OptClientID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: m[:]}))
	}
	if d != nil {
		r.AddOption(dhcpv6.OptServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: d.MAC[:]}))
	}
	for _, mod := range mods {
		mod(r)
	}
	return r.ToBytes()
}

func ia(addrs ...string) dhcpv6.Modifier {
	o := &dhcpv6.OptIANA{IaId: [4]byte{7}}
	for _, a := range addrs {
		o.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(a), ValidLifetime: time.Hour})
	}
	return func(d dhcpv6.DHCPv6) { d.AddOption(o) }
}

// TestDHCP6Decisions is TestDHCP4Decisions for IPv6.
func TestDHCP6Decisions(t *testing.T) {
	l := newLab(t, leasedNet)
	a, five := mac("0a:01"), mac("0a:05")
	d := l.snap.DHCP(topology.DeviceID(l.id(topology.KindDHCP, "acme", "pool")))
	other := *d
	other.MAC = mac("99:99")
	const x3, x4, x7, x5 = "2001:db8:1::103", "2001:db8:1::104", "2001:db8:1::107", "2001:db8:1::5"
	held := Leases{Read: true, Held: ip(x4), Bound: true}
	free := Leases{Read: true, Free: ip(x7), WishFree: true}
	taken := Leases{Read: true, Free: ip(x7)}
	nothing := Leases{Read: true, WishFree: true}
	read := func(about string) decision {
		return decision{verdict: Incomplete, effect: ReadLease, about: about}
	}
	says := func(t byte, what string) decision { return decision{verdict: Consumed, answer: t, addr: what} }
	stores := func(t byte, addr string, e EffectKind) decision { return decision{Consumed, 0, t, addr, e, addr} }
	dropped := func(why DropReason) decision { return decision{verdict: Drop, drop: why} }
	sol, req, renew, rebind := dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind
	rapid := dhcpv6.WithRapidCommit
	for i, tt := range []struct {
		mac    packet.MAC
		body   []byte
		leases Leases
		want   decision
	}{
		{a, message6(sol, a, nil, ia()), Leases{}, read("::")},
		{a, message6(sol, a, nil, ia(x3)), Leases{}, read(x3)},
		{a, message6(sol, a, nil, ia(x5)), Leases{}, read("::")},
		{five, message6(sol, five, nil, ia(x3)), Leases{}, read(x5)},
		{a, message6(sol, a, nil, ia()), free, stores(2, x7, OfferLease)},
		{a, message6(sol, a, nil, ia(x3)), free, stores(2, x3, OfferLease)},
		{a, message6(sol, a, nil, ia(x3)), taken, stores(2, x7, OfferLease)},
		{a, message6(sol, a, nil, ia()), held, says(2, x4)},
		{a, message6(sol, a, nil, ia()), nothing, says(2, "NoAddrsAvail")},
		{a, message6(sol, a, nil, ia(), rapid), free, stores(7, x7, BindLease)},
		{a, message6(sol, a, nil, ia(), rapid), held, stores(7, x4, BindLease)},
		{a, message6(sol, a, nil, ia(), rapid), nothing, says(2, "NoAddrsAvail")},
		{five, message6(sol, five, nil, ia(), rapid), free, stores(7, x5, BindLease)},
		{five, message6(sol, five, nil, ia()), taken, says(2, "NoAddrsAvail")},
		{a, message6(sol, a, nil), Leases{}, says(2, "")}, // no association: the rest alone
		{a, message6(sol, a, d, ia()), free, dropped(DropMalformed)},

		{a, message6(req, a, d, ia(x4)), Leases{}, read(x4)},
		{a, message6(req, a, d, ia(x4)), held, stores(7, x4, BindLease)},
		{a, message6(req, a, d, ia(x3)), taken, stores(7, x7, BindLease)},
		{a, message6(req, a, d, ia(x3)), nothing, stores(7, x3, BindLease)},
		{a, message6(req, a, d, ia(x3)), Leases{Read: true}, says(7, "NoAddrsAvail")},
		{a, message6(req, a, &other, ia(x3)), free, dropped(DropOtherServer)},
		{a, message6(req, a, nil, ia(x3)), free, dropped(DropMalformed)},

		{a, message6(renew, a, d, ia(x4)), Leases{}, read(x4)},
		{a, message6(renew, a, d, ia(x4)), held, stores(7, x4, BindLease)},
		{a, message6(renew, a, d, ia("2001:db8:9::1", x4)), held, stores(7, x4, BindLease)},
		{a, message6(renew, a, d, ia(x4)), taken, says(7, x4)}, // with lifetimes of zero: below
		{a, message6(renew, a, d, ia()), Leases{}, says(7, "NoBinding")},
		{a, message6(rebind, a, nil, ia(x4)), held, stores(7, x4, BindLease)},
		{a, message6(rebind, a, nil, ia("2001:db8:9::1")), Leases{}, says(7, "2001:db8:9::1")},
		{five, message6(rebind, five, nil, ia(x4)), Leases{}, says(7, x4)},
		{a, message6(rebind, a, d, ia(x4)), held, dropped(DropMalformed)},

		{a, message6(dhcpv6.MessageTypeConfirm, a, nil, ia(x4)), Leases{}, says(7, "Success")},
		{a, message6(dhcpv6.MessageTypeConfirm, a, nil, ia(x4, "2001:db8:9::1")), Leases{}, says(7, "NotOnLink")},
		{a, message6(dhcpv6.MessageTypeConfirm, a, nil, ia()), Leases{}, dropped(DropMalformed)},
		{a, message6(dhcpv6.MessageTypeRelease, a, d, ia(x4)), Leases{}, decision{Consumed, 0, 7, "Success", ReleaseLease, x4}},
		{a, message6(dhcpv6.MessageTypeDecline, a, d, ia(x4)), Leases{}, decision{Consumed, 0, 7, "Success", DeclineLease, x4}},
		{a, message6(dhcpv6.MessageTypeRelease, a, d, ia("2001:db8:9::1")), Leases{}, says(7, "NoBinding")},
		{a, message6(dhcpv6.MessageTypeInformationRequest, a, nil), Leases{}, says(7, "")},
		{a, message6(dhcpv6.MessageTypeInformationRequest, a, &other), Leases{}, dropped(DropOtherServer)},
		{a, message6(dhcpv6.MessageTypeInformationRequest, a, nil, ia()), Leases{}, dropped(DropMalformed)},
		{a, message6(dhcpv6.MessageTypeAdvertise, a, d, ia(x4)), Leases{}, dropped(DropMalformed)},
		{a, message6(sol, a, nil, ia())[:3], Leases{}, dropped(DropMalformed)},
	} {
		if got := decided(t, l.lease("a1", tt.mac, true, tt.body, tt.leases), true); got != tt.want {
			t.Errorf("%d: %+v\nwant %+v\n%v", i, got, tt.want, l.res.Trace)
		}
	}
	relay := append([]byte{byte(dhcpv6.MessageTypeRelayForward)}, make([]byte, 40)...)
	if res := l.lease("a1", a, true, relay, Leases{}); res.Outcomes[0].Verdict != Forward {
		t.Errorf("a relay's: %v", res.Outcomes)
	}
	// An address that is not prolonged ends at once.
	res := l.lease("a1", a, true, message6(renew, a, d, ia(x4)), taken)
	f := parse(t, res.Originated[0].Frame)
	m, err := dhcpv6.MessageFromBytes(res.Originated[0].Frame[f.L4+8:])
	if err != nil || m.Options.OneIANA().Options.OneAddress().ValidLifetime != 0 || m.Options.OneIANA().Options.Status().StatusCode != iana.StatusNoBinding {
		t.Errorf("%v, %v", m, err)
	}
}

// TestDHCP6Names: a message with as many compressed names as fit, which the codec would decode for minutes, is decided at once.
func TestDHCP6Names(t *testing.T) {
	l := newLab(t, leasedNet)
	names := slices.Concat(bytes.Repeat([]byte{1, 'a'}, 1500), []byte{0}, bytes.Repeat([]byte{0xc0, 0}, 2900))
	inner := slices.Concat([]byte{0, 24, byte(len(names) >> 8), byte(len(names))}, names)
	for i, body := range [][]byte{
		slices.Concat(message6(dhcpv6.MessageTypeSolicit, mac("0a:01"), nil), inner), // beside the association
		message6(dhcpv6.MessageTypeSolicit, mac("0a:01"), nil, func(d dhcpv6.DHCPv6) { // within
			o := &dhcpv6.OptIANA{}
			o.Options.Add(&dhcpv6.OptionGeneric{OptionCode: 24, OptionData: names})
			d.AddOption(o)
		}),
	} {
		begun := time.Now()
		if got := decided(t, l.lease("a1", mac("0a:01"), true, body, Leases{Read: true, Free: ip("2001:db8:1::107")}), true); got.verdict != Consumed {
			t.Errorf("%d: %+v", i, got)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%d: took %v", i, took)
		}
	}
}
