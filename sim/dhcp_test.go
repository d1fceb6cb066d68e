package sim

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// leasedNet: a1 has a resource, a2 of the same bridge has none; the MAC 0a:05 has addresses reserved.
const leasedNet = `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: web, tenant: acme}, spec: {}}
---
apiVersion: weft/v1
kind: DHCP
metadata: {name: pool, tenant: acme}
spec:
  leaseTime: 600
  dns: [10.1.0.53, "2001:db8:1::53"]
  domain: acme.example
  options: [{code: 66, text: tftp}, {code: 43, hex: "0102"}]
  subnets:
  - {prefix: 10.1.0.0/24, router: 10.1.0.1, ranges: [10.1.0.100-10.1.0.109], routes: [{dst: 10.2.0.0/17, via: 10.1.0.2}]}
  - {prefix: "2001:db8:1::/64", ranges: ["2001:db8:1::100-2001:db8:1::109"]}
  reservations: [{mac: "02:00:00:00:0a:05", addresses: [10.1.0.5, "2001:db8:1::5"]}]
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a1, tenant: acme}, spec: {device: bridge/web, dhcp: pool, mtu: 1400}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a2, tenant: acme}, spec: {device: bridge/web}}
`

// lease simulates a DHCP payload from a MAC, with what is said of its leases.
func (l *lab) lease(from string, m packet.MAC, v6 bool, payload []byte, leases Leases) *Result {
	l.t.Helper()
	return l.leaseFrame(from, dhcpFrame(m, v6, payload), leases)
}

func (l *lab) leaseFrame(from string, frame []byte, leases Leases) *Result {
	l.t.Helper()
	f := parse(l.t, frame)
	l.res.Trace = new(Trace)
	l.sim.SimulateLease(l.snap, f, l.snap.VPort(l.port(from)), 0, leases, &l.res)
	return &l.res
}

func dhcpFrame(m packet.MAC, v6 bool, payload []byte) []byte {
	u := packet.UDP{SrcMAC: m, DstMAC: packet.Broadcast(), Src: netip.IPv4Unspecified(), Dst: ip("255.255.255.255"), SrcPort: 68, DstPort: 67, Payload: payload}
	if v6 {
		u.Src, u.Dst, u.SrcPort, u.DstPort = topology.LinkLocal(m), ip("ff02::1:2"), 546, 547
		u.DstMAC = packet.MulticastMAC(u.Dst)
	}
	return packet.AppendUDP(nil, &u)
}

func message4(m packet.MAC, t dhcpv4.MessageType, mods ...dhcpv4.Modifier) []byte {
	d, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(m[:]), dhcpv4.WithMessageType(t)}, mods...)...)
	if err != nil {
		panic(err)
	}
	return d.ToBytes()
}

func wants(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(a)))
}

func has(a string) dhcpv4.Modifier { return dhcpv4.WithClientIP(net.ParseIP(a)) }

func server(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(a)))
}

// decision is what comes of a message.
type decision struct {
	verdict Verdict
	drop    DropReason
	answer  byte // message type; 0: none
	addr    string
	effect  EffectKind
	about   string // address of the effect
}

// udpOK reports whether the checksum of a datagram is right.
func udpOK(f *packet.Frame) bool {
	u := f.Data[f.L4:]
	return f.ChecksumOK() && packet.PseudoSum(f.SrcAddr(), f.DstAddr(), packet.ProtoUDP, len(u)).Add(u).Fold() == 0
}

func decided(t *testing.T, res *Result, v6 bool) decision {
	t.Helper()
	d := decision{verdict: res.Outcomes[0].Verdict, drop: res.Outcomes[0].Drop}
	if res.Installable || len(res.Outcomes) != 1 {
		t.Errorf("installable %t, outcomes %v", res.Installable, res.Outcomes)
	}
	for _, e := range res.Effects {
		d.effect, d.about = e.Kind, e.Addr.String()
	}
	for _, o := range res.Originated {
		f := parse(t, o.Frame)
		if !udpOK(f) || o.Kind != OriginDHCP {
			t.Errorf("checksum or kind %d of %x", o.Kind, o.Frame)
		}
		body := o.Frame[f.L4+8:]
		if v6 {
			m, err := dhcpv6.MessageFromBytes(body)
			if err != nil {
				t.Fatal(err)
			}
			d.answer = byte(m.MessageType)
			if ia := m.Options.OneIANA(); ia != nil && ia.Options.OneAddress() != nil {
				d.addr = ia.Options.OneAddress().IPv6Addr.String()
			} else if ia != nil {
				d.addr = ia.Options.Status().StatusCode.String()
			} else if s := m.Options.Status(); s != nil {
				d.addr = s.StatusCode.String()
			}
			continue
		}
		m, err := dhcpv4.FromBytes(body)
		if err != nil {
			t.Fatal(err)
		}
		d.answer, d.addr = byte(m.MessageType()), m.YourIPAddr.String()
	}
	return d
}

// TestDHCP4Decisions: every message of a host, against everything that may have been leased.
func TestDHCP4Decisions(t *testing.T) {
	l := newLab(t, leasedNet)
	a, five := mac("0a:01"), mac("0a:05")
	held := Leases{Read: true, Held: ip("10.1.0.104"), Bound: true}
	free := Leases{Read: true, Free: ip("10.1.0.107"), WishFree: true}
	taken := Leases{Read: true, Free: ip("10.1.0.107")}
	none, zero := decision{verdict: Drop, drop: DropNoLease}, "0.0.0.0"
	read := func(about string) decision {
		return decision{verdict: Incomplete, effect: ReadLease, about: about}
	}
	offer := func(addr string, effect EffectKind) decision {
		d := decision{verdict: Consumed, answer: 2, addr: addr, effect: effect}
		if effect != 0 {
			d.about = addr
		}
		return d
	}
	ack := func(addr string) decision { return decision{Consumed, 0, 5, addr, BindLease, addr} }
	nak := decision{verdict: Consumed, answer: 6, addr: zero}
	malformed := decision{verdict: Drop, drop: DropMalformed}
	disc, req := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
	for i, tt := range []struct {
		mac    packet.MAC
		body   []byte
		leases Leases
		want   decision
	}{
		{a, message4(a, disc), Leases{}, read(zero)},
		{a, message4(a, disc), free, offer("10.1.0.107", OfferLease)},
		{a, message4(a, disc), Leases{Read: true, WishFree: true}, none},
		{a, message4(a, disc), Leases{Read: true, WishFree: true, Full: true, Free: ip("10.1.0.107")}, none},
		{a, message4(a, disc), held, offer("10.1.0.104", 0)}, // a lease is not made shorter by an offer
		{a, message4(a, disc), Leases{Read: true, Held: ip("10.1.0.104")}, offer("10.1.0.104", OfferLease)},
		{a, message4(a, disc), Leases{Read: true, Held: ip("10.1.0.5"), Bound: true, Free: ip("10.1.0.107")}, offer("10.1.0.107", OfferLease)}, // reserved meanwhile
		{a, message4(a, disc), Leases{Read: true, Held: ip("10.1.0.77"), Bound: true, Free: ip("10.1.0.107")}, offer("10.1.0.107", OfferLease)},
		{a, message4(a, disc, wants("10.1.0.103")), Leases{}, read("10.1.0.103")},
		{a, message4(a, disc, wants("10.1.0.103")), free, offer("10.1.0.103", OfferLease)},
		{a, message4(a, disc, wants("10.1.0.103")), taken, offer("10.1.0.107", OfferLease)},
		{a, message4(a, disc, wants("10.1.0.5")), Leases{}, read(zero)}, // another's
		{five, message4(five, disc, wants("10.1.0.103")), Leases{}, read("10.1.0.5")},
		{five, message4(five, disc), free, offer("10.1.0.5", OfferLease)},
		{five, message4(five, disc), Leases{Read: true, WishFree: true, Full: true}, offer("10.1.0.5", OfferLease)}, // kept for it
		{five, message4(five, disc), taken, none},                                                                   // declined: nothing else
		{five, message4(five, disc), held, none},

		{a, message4(a, req, wants("10.1.0.103"), server("10.1.0.1")), Leases{}, read("10.1.0.103")},
		{a, message4(a, req, wants("10.1.0.104"), server("10.1.0.1")), held, ack("10.1.0.104")},
		{a, message4(a, req, wants("10.1.0.103"), server("10.1.0.1")), free, ack("10.1.0.103")}, // the offer lapsed, nobody took it
		{a, message4(a, req, wants("10.1.0.103"), server("10.1.0.1")), taken, nak},
		{a, message4(a, req, wants("10.1.0.103"), server("10.1.0.1")), Leases{Read: true, WishFree: true, Full: true}, nak},
		{a, message4(a, req, wants("10.1.0.103"), server("10.9.0.1")), free, decision{verdict: Drop, drop: DropOtherServer}},
		{a, message4(a, req, wants("10.1.0.104")), held, ack("10.1.0.104")}, // init-reboot
		{a, message4(a, req, wants("192.0.2.1")), Leases{}, nak},            // another network: no need to look
		{a, message4(a, req, wants("10.1.0.5")), Leases{}, nak},
		{a, message4(a, req, has("10.1.0.104")), held, ack("10.1.0.104")}, // renewing, rebinding
		{a, message4(a, req, has("10.1.0.104")), taken, nak},
		{five, message4(five, req, has("10.1.0.104")), Leases{}, nak}, // it is to take the reserved one
		{a, message4(a, req), Leases{}, malformed},

		{a, message4(a, dhcpv4.MessageTypeDecline, wants("10.1.0.104"), server("10.1.0.1")), Leases{}, decision{verdict: Consumed, effect: DeclineLease, about: "10.1.0.104"}},
		{a, message4(a, dhcpv4.MessageTypeDecline), Leases{}, malformed},
		{a, message4(a, dhcpv4.MessageTypeRelease, has("10.1.0.104"), server("10.1.0.1")), Leases{}, decision{verdict: Consumed, effect: ReleaseLease, about: "10.1.0.104"}},
		{a, message4(a, dhcpv4.MessageTypeRelease), Leases{}, malformed},
		{a, message4(a, dhcpv4.MessageTypeInform, has("10.1.0.77")), Leases{}, decision{verdict: Consumed, answer: 5, addr: zero}},
		{a, message4(a, dhcpv4.MessageTypeInform), Leases{}, malformed},
		{a, message4(a, dhcpv4.MessageTypeOffer), Leases{}, malformed},
		{a, message4(five, disc), Leases{}, decision{verdict: Drop, drop: DropSpoofed}},
		{a, message4(a, disc)[:200], Leases{}, malformed},
		{a, message4(a, disc, dhcpv4.WithHWType(iana.HWTypeARCNET)), Leases{}, malformed},
		{a, []byte{1}, Leases{}, malformed},
	} {
		if got := decided(t, l.lease("a1", tt.mac, false, tt.body, tt.leases), false); got != tt.want {
			t.Errorf("%d: %+v\nwant %+v\n%v", i, got, tt.want, l.res.Trace)
		}
	}
	// Ordinary traffic: a relay's, a server's, and all of a vport without resource.
	for i, frame := range [][]byte{
		dhcpFrame(a, false, message4(a, disc, dhcpv4.WithRelay(net.IP{10, 1, 0, 9}))),
		dhcpFrame(a, false, append([]byte{2}, message4(a, disc)[1:]...)),
	} {
		if res := l.leaseFrame("a1", frame, Leases{}); res.Outcomes[0].Verdict != Forward || res.Installable {
			t.Errorf("%d: %v, installable %t", i, res.Outcomes, res.Installable)
		}
	}
	if res := l.lease("a2", a, false, message4(a, disc), Leases{}); res.Outcomes[0].Verdict != Forward || !res.Installable {
		t.Errorf("without resource: %v", res.Outcomes)
	}
	// A wrong checksum.
	frame := dhcpFrame(a, false, message4(a, disc))
	frame[len(frame)-1] ^= 1
	if got := decided(t, l.leaseFrame("a1", frame, Leases{}), false); got != malformed {
		t.Errorf("wrong checksum: %+v", got)
	}
}

// TestDHCPServerARP: a server that is no router is found by ARP; a router answers for itself.
func TestDHCPServerARP(t *testing.T) {
	l := newLab(t, string(bytes.Replace([]byte(leasedNet), []byte("router: 10.1.0.1, ranges"), []byte("router: 10.1.0.1, server: 10.1.0.9, ranges"), 1)))
	a, d := mac("0a:01"), l.snap.DHCP(topology.DeviceID(l.id(topology.KindDHCP, "acme", "pool")))
	res := l.run("a1", packet.AppendARPRequest(nil, a, ip("10.1.0.104"), ip("10.1.0.9")))
	if len(res.Originated) != 1 || res.Installable || res.Outcomes[0].Verdict != Consumed {
		t.Fatalf("%+v", res.Outcomes)
	}
	r, err := parse(t, res.Originated[0].Frame).ARP()
	if err != nil || r.Op != packet.ARPReply || r.SenderMAC != d.MAC || r.SenderIP != ip("10.1.0.9") || r.TargetMAC != a || res.Originated[0].Dest != l.port("a1").Dest() {
		t.Errorf("%+v, %v", r, err)
	}
	for port, addr := range map[string]string{"a1": "10.1.0.1", "a2": "10.1.0.9"} {
		if res := l.run(port, packet.AppendARPRequest(nil, a, ip("10.1.0.104"), ip(addr))); res.Outcomes[0].Verdict != Forward {
			t.Errorf("%s at %s: %+v", addr, port, res.Outcomes)
		}
	}
}

// TestDHCP4Room: a host that takes little gets what it asked for first; one that takes more gets all.
func TestDHCP4Room(t *testing.T) {
	big := slices.Concat([]byte(leasedNet), nil)
	options := "options: ["
	for code := 200; code < 205; code++ {
		options += "{code: " + string(rune('0'+code/100)) + string(rune('0'+code/10%10)) + string(rune('0'+code%10)) + ", hex: \"" + string(bytes.Repeat([]byte("ab"), 100)) + "\"}, "
	}
	big = bytes.Replace(big, []byte("options: ["), []byte(options), 1)
	l := newLab(t, string(big))
	a := mac("0a:01")
	ask := func(mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
		res := l.lease("a1", a, false, message4(a, dhcpv4.MessageTypeDiscover, mods...), Leases{Read: true, Free: ip("10.1.0.107")})
		f := parse(t, res.Originated[0].Frame)
		m, err := dhcpv4.FromBytes(res.Originated[0].Frame[f.L4+8:])
		if err != nil {
			t.Fatal(err)
		}
		if limit := 576; f.IPLen() > limit && len(mods) == 1 {
			t.Errorf("answer of %d bytes", f.IPLen())
		}
		return m
	}
	m := ask(dhcpv4.WithRequestedOptions(dhcpv4.GenericOptionCode(203), dhcpv4.OptionDomainName, dhcpv4.GenericOptionCode(249)))
	if !m.Options.Has(dhcpv4.GenericOptionCode(203)) || m.DomainName() != "acme.example" || m.SubnetMask() == nil || m.Options.Has(dhcpv4.GenericOptionCode(204)) ||
		!bytes.Equal(m.Options.Get(dhcpv4.GenericOptionCode(249)), []byte{17, 10, 2, 0, 10, 1, 0, 2, 0, 10, 1, 0, 1}) {
		t.Errorf("in 576 bytes: %s", m.Summary())
	}
	m = ask(dhcpv4.WithRequestedOptions(dhcpv4.OptionDomainName), dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(1400)))
	for code := uint8(200); code < 205; code++ {
		if len(m.Options.Get(dhcpv4.GenericOptionCode(code))) != 100 {
			t.Errorf("in 1400 bytes, no option %d", code)
		}
	}
	if mtu, _ := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, m.Options); mtu != 1400 {
		t.Errorf("MTU %d", mtu)
	}
}

// FuzzDHCP: whatever a host sends to a DHCP server, and whatever is leased, the message has one outcome or is flooded as it is; an answer is sound, goes to
// nobody but the host's vport, and gives no address that the host must not have, nor one that is not stored.
func FuzzDHCP(f *testing.F) {
	l := newLab(f, leasedNet)
	a := mac("0a:01")
	d, port := l.snap.DHCP(topology.DeviceID(l.id(topology.KindDHCP, "acme", "pool"))), l.snap.VPort(l.port("a1"))
	for _, t := range []dhcpv4.MessageType{1, 3, 4, 7, 8} {
		f.Add(message4(a, t, wants("10.1.0.103")), false, uint8(3))
		f.Add(message4(a, t, has("10.1.0.104")), false, uint8(0x1f))
	}
	for t := dhcpv6.MessageType(1); t < 14; t++ {
		f.Add(message6(t, a, d, ia("2001:db8:1::104"), dhcpv6.WithIAPD([4]byte{1})), true, uint8(0x1f))
		f.Add(message6(t, a, nil, ia(), ia("2001:db8:1::103")), true, uint8(3))
	}
	f.Fuzz(func(t *testing.T, body []byte, v6 bool, known uint8) {
		if len(body) > 1500 {
			return
		}
		base := "10.1.0.10"
		if v6 {
			base = "2001:db8:1::10"
		}
		leases := Leases{Read: known&1 != 0, WishFree: known&2 != 0, Bound: known&4 != 0, Full: known&16 != 0}
		if known&8 != 0 {
			leases.Held = ip(base + "4")
		}
		if known&32 != 0 {
			leases.Free = ip(base + "7")
		}
		frame := dhcpFrame(a, v6, body)
		var p packet.Frame
		if packet.Parse(frame, &p) != nil {
			t.Fatal("the frame does not parse")
		}
		before := slices.Clone(frame)
		l.sim.SimulateLease(l.snap, &p, port, 0, leases, &l.res)
		res := &l.res
		if !bytes.Equal(frame, before) || len(res.Outcomes) != 1 || res.Installable {
			t.Fatalf("outcomes %v, installable %t", res.Outcomes, res.Installable)
		}
		var stored netip.Addr
		for _, e := range res.Effects {
			switch e.Kind {
			case ReadLease:
				if leases.Read || res.Outcomes[0].Verdict != Incomplete {
					t.Errorf("read again: %+v", e)
				}
			case OfferLease, BindLease:
				if stored = e.Addr; !leases.Read || !d.Assignable(a, e.Addr) || e.MAC != a || e.Device != d.ID {
					t.Errorf("stores %+v by %+v", e, leases)
				}
			}
		}
		for _, o := range res.Originated {
			if o.Dest != port.ID.Dest() {
				t.Errorf("answered to %d", o.Dest)
			}
			q := parse(t, o.Frame)
			if !udpOK(q) {
				t.Error("wrong checksum")
			}
			checkGiven(t, o.Frame[q.L4+8:], v6, stored, leases)
		}
	})
}

// checkGiven checks that an answer gives no address but the one that is stored, or was.
func checkGiven(t *testing.T, body []byte, v6 bool, stored netip.Addr, leases Leases) {
	t.Helper()
	var given net.IP
	if v6 {
		m, err := dhcpv6.MessageFromBytes(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, ia := range m.Options.IANA() {
			for _, x := range ia.Options.Addresses() {
				if x.ValidLifetime != 0 {
					given = x.IPv6Addr
				}
			}
		}
	} else {
		m, err := dhcpv4.FromBytes(body)
		if err != nil {
			t.Fatal(err)
		}
		if !m.YourIPAddr.IsUnspecified() {
			given = m.YourIPAddr
		}
	}
	if given == nil {
		return
	}
	addr, _ := netip.AddrFromSlice(given)
	if addr = addr.Unmap(); addr != stored && !(leases.Bound && addr == leases.Held) {
		t.Errorf("gives %v, stored is %v", addr, stored)
	}
}

// TestServerOfHost: what a host at a vport with a resource sends to DHCP clients is dropped, whatever port it is from and in pieces too, even where the
// resource has nothing for the IP version; at a vport without resource it goes on.
func TestServerOfHost(t *testing.T) {
	l := newLab(t, leasedNet)
	me, other := mac("0a:01"), mac("0a:02")
	send := func(v6 bool, from uint16, to uint16) []byte {
		u := packet.UDP{SrcMAC: me, DstMAC: other, Src: ip("10.1.0.11"), Dst: ip("10.1.0.12"), SrcPort: from, DstPort: to, Payload: make([]byte, 64)}
		if v6 {
			u.Src, u.Dst = topology.LinkLocal(me), topology.LinkLocal(other)
		}
		return packet.AppendUDP(nil, &u)
	}
	first := func(b []byte) []byte {
		b[20] = 0x20 // more fragments
		return b
	}
	for _, tt := range []struct {
		name  string
		frame []byte
		rogue bool
	}{
		{"offer", send(false, 67, 68), true},
		{"advertise", send(true, 547, 546), true},
		{"from any port", send(false, 4000, 68), true},
		{"from any port, IPv6", send(true, 4000, 546), true},
		{"first fragment", first(send(false, 67, 68)), true},
		{"port of the other version", send(false, 547, 546), false},
		{"port of the other version, IPv6", send(true, 67, 68), false},
		{"next to it", send(false, 4000, 69), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := l.run("a1", tt.frame)
			if dropped := len(r.Outcomes) == 1 && r.Outcomes[0].Drop == DropDHCPServer; dropped != tt.rogue || tt.rogue && (r.Installable || len(r.Effects) > 0) {
				t.Errorf("%+v, effects %v, installable %t", r.Outcomes, r.Effects, r.Installable)
			}
			if r := l.run("a2", tt.frame); r.Outcomes[0].Verdict != Forward {
				t.Errorf("without resource: %+v", r.Outcomes)
			}
		})
	}
}
