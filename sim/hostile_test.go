package sim

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// hostileNet has all that reads what is inside packets: states, rules for flags, ports and extension headers, translations, a pool, DHCP, suppression.
var hostileNet = strings.Replace(filtering(translated, "a1", "egress: guard, ingress: looks"), "{name: a1, tenant: acme}, spec: {", "{name: a1, tenant: acme}, spec: {dhcp: leases, ", 1) + chainsOfAttacks + `
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: looks, tenant: acme}, spec: {rules: [{match: {protocols: [tcp], tcpFlags: [syn+fin]}, action: reject}, {match: {dst: [10.1.0.12]}, action: continue, log: true}, {match: {protocols: [icmpv6], icmp: [137]}, action: drop}]}}
---
{apiVersion: weft/v1, kind: DHCP, metadata: {name: leases, tenant: acme}, spec: {subnets: [{prefix: 10.1.0.0/24, router: 10.1.0.1, ranges: [10.1.0.100-10.1.0.109]}, {prefix: "2001:db8:1::/64", ranges: ["2001:db8:1::100-2001:db8:1::109"]}]}}
`

// hostile are packets of a tenant who means harm.
func hostile() (all [][]byte) {
	a1, gw := mac("0a:01"), mac("ee:01")
	edit := func(b []byte, at int, with ...byte) []byte {
		c := slices.Clone(b)
		copy(c[at:], with)
		return c
	}
	u4, u6 := five{"10.1.0.11", "203.0.113.9", 4000, 53}.udp(a1, gw), five{"2001:db8:1::11", "2001:db8:113::9", 4000, 53}.udp(a1, gw)
	land := five{"10.1.0.12", "10.1.0.12", 22, 22}.udp(a1, gw)
	arp := packet.AppendARPRequest(nil, a1, ip("10.1.0.11"), ip("10.1.0.1"))
	ns := packet.AppendNS(nil, a1, ip("2001:db8:1::11"), ip("2001:db8:1::1"))
	all = append(all, u4, u6, land, arp, ns,
		edit(u4, 14, 0x4f),             // options beyond the packet
		edit(u4, 16, 0xff, 0xff),       // a length beyond the packet
		edit(u4, 24, 1, 2),             // a wrong checksum
		edit(u4, 20, 0x20, 0),          // a first fragment
		edit(u4, 20, 0x3f, 0xff),       // a fragment that ends behind 65,535
		edit(u4, 20, 0, 1),             // a fragment over the ports of the first
		edit(u4, 23, packet.ProtoTCP),  // TCP of eight bytes
		edit(u4, 23, packet.ProtoICMP), // an ICMP error that quotes nothing
		edit(u6, 20, packet.ProtoHopByHop), edit(u6, 20, packet.ProtoFragment), edit(u6, 20, packet.ProtoICMPv6), edit(u6, 18, 0xff, 0xff),
		edit(arp, 14, 0, 6), edit(arp, 20, 0, 9), edit(arp, 22, 1), edit(arp, 28, 255, 255, 255, 255), arp[:30], // other hardware, operation, senders that are none, cut off
		edit(arp, 22, 2, 0, 0, 0, 0xee, 1), edit(arp, 28, 10, 1, 0, 1), // in the gateway's name
		edit(ns, 21, 64), edit(ns, 56, 1, 2), ns[:60], edit(ns, 79, 0), // hop limit, checksum, cut off, an option of no length
	)
	for _, v6 := range []bool{false, true} {
		d := dhcpFrame(a1, v6, []byte{1, 1, 6, 0})
		all = append(all, d, edit(d, len(d)-1, 0xff))
	}
	return all
}

// FuzzHostile: whatever a tenant sends into a network with all sorts of devices, and whatever is known of its connection, the walk ends; each drop says why;
// what is asked of the engine is about something that exists; what the network says of itself are packets with right checksums, and none of it answers a
// group's or an unspecified address.
func FuzzHostile(f *testing.F) {
	l := newLab(f, hostileNet)
	withUplink(l)
	for _, frame := range hostile() {
		f.Add(frame, uint8(0))
		f.Add(frame, uint8(0x15))
	}
	ports := []flow.VPortID{l.port("a1"), l.port("a2"), l.port("b1"), l.port("uplink")}
	f.Fuzz(func(t *testing.T, data []byte, how uint8) {
		if len(data) > 2000 {
			return
		}
		frame := slices.Clone(data)
		var p packet.Frame
		if packet.Parse(frame, &p) != nil {
			return // the pipeline drops it: parser_error
		}
		in, conns := ports[how%4], table{}
		l.sim.Conns = conns
		if how>>4&1 != 0 {
			l.sim.Conns = unknown{}
		}
		for range 3 { // the last ones with what the first one stored
			l.sim.Simulate(l.snap, &p, in, 0, &l.res)
			checkHostile(t, l, &p)
			if !l.res.Track.Commit {
				break
			}
			conns.add(l.res.Track.New)
		}
		if string(frame) != string(data) {
			t.Error("the simulation changed the frame")
		}
	})
}

func checkHostile(t *testing.T, l *lab, p *packet.Frame) {
	t.Helper()
	r := &l.res
	if len(r.Outcomes) == 0 {
		t.Fatal("no outcome")
	}
	for _, o := range r.Outcomes {
		switch {
		case o.Verdict == Drop && (o.Drop == DropNone || strings.HasPrefix(o.Drop.String(), "drop ")):
			t.Errorf("dropped for %v", o.Drop)
		case o.Verdict == Forward && l.snap.VPort(o.Dest.VPort()) == nil && !l.snap.IsGroup(o.Dest):
			t.Errorf("forwarded to %d, which does not exist", o.Dest)
		case isLand(p) && o.Drop != DropLand && o.Drop != DropInvalidSource:
			t.Errorf("source is destination: %+v", o)
		}
	}
	if r.Track.Commit && (r.Track.New.Forward.Zone == 0 || r.Track.New.RetZone == 0) {
		t.Errorf("stores %+v", r.Track.New)
	}
	for _, e := range r.Effects {
		if e.Device != 0 && !l.snap.Has(e.Device) || e.Port != 0 && l.snap.VPort(e.Port) == nil || (e.Kind == Learn || e.Kind == LearnNeighbour) && !e.MAC.IsUnicast() {
			t.Errorf("effect %+v", e)
		}
	}
	for _, o := range r.Originated {
		var q packet.Frame
		if err := packet.Parse(o.Frame, &q); err != nil {
			t.Errorf("originated %x: %v", o.Frame, err)
			continue
		}
		if q.Is4() && !q.ChecksumOK() || q.Is6() && int(binary.BigEndian.Uint16(o.Frame[q.L3+4:]))+40 > len(o.Frame)-q.L3 {
			t.Errorf("originated with a wrong checksum or length: %x", o.Frame)
		}
		if a := q.DstAddr(); o.Kind == OriginError && (a.IsMulticast() || a.IsUnspecified() || !q.Dst().IsUnicast()) {
			t.Errorf("an error to %v, %v", a, q.Dst())
		}
	}
}
