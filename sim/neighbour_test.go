package sim

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// TestNeighbour: a miss asks and holds; asked already asks no more; the reply is learnt if solicited, and nothing is created otherwise (R4).
func TestNeighbour(t *testing.T) {
	for _, tt := range []struct{ src, dst, next string }{{"10.1.0.11", "203.0.113.9", "198.51.100.1"}, {"2001:db8:1::11", "2001:db8:113::9", "2001:db8:51::1"}} {
		l := newLab(t, twoTiers)
		up := l.port("uplink")
		reply := func() *Result {
			if ip(tt.next).Is4() {
				return l.run("uplink", packet.AppendARP(nil, mac("cc:02"), &packet.ARP{Op: packet.ARPReply, SenderMAC: mac("ff:01"), SenderIP: ip(tt.next), TargetMAC: mac("cc:02"), TargetIP: ip("198.51.100.2")}))
			}
			q := packet.ND{Type: packet.ICMPv6NeighSol, Src: ip("2001:db8:51::2"), Target: ip(tt.next), LinkAddr: mac("cc:02")}
			return l.run("uplink", packet.AppendNA(nil, &q, mac("cc:02"), mac("ff:01"), true))
		}
		unasked := Effect{Kind: LearnNeighbour, Device: topology.DeviceID(l.id(topology.KindRouter, "isp", "core")), Port: up, Addr: ip(tt.next), MAC: mac("ff:01"), Unasked: true}
		if r := reply(); r.Outcomes[0].Drop != DropUnsolicited || len(r.Effects) != 1 || r.Effects[0] != unasked {
			t.Errorf("unsolicited: %+v %+v", r.Outcomes, r.Effects)
		}
		data := udp{from: mac("0a:01"), to: mac("ee:01"), src: tt.src, dst: tt.dst, ttl: 64}.frame()
		r := l.run("a1", data)
		ask := Effect{Kind: AskNeighbour, Device: topology.DeviceID(l.id(topology.KindRouter, "isp", "core")), Port: up, Addr: ip(tt.next), Hold: true}
		if d := cmp.Diff([]Effect{ask}, r.Effects, cmpAddr); d != "" || r.Outcomes[0].Verdict != Incomplete || r.Installable {
			t.Errorf("miss: %+v\n%s", r.Outcomes, d)
		}
		if len(r.Originated) != 1 || r.Originated[0].Dest != up.Dest() || r.Originated[0].Kind != OriginARP {
			t.Errorf("miss: originated %+v", r.Originated)
		}
		l.change(topology.Changes{Neighbours: []topology.Neighbour{{Port: up, Addr: ip(tt.next), State: topology.NeighbourAsked}}})
		r = l.run("a1", data)
		if len(r.Effects) != 1 || !r.Effects[0].Asked || len(r.Originated) != 0 || r.Outcomes[0].Verdict != Incomplete {
			t.Errorf("asked: %+v, %d originated", r.Effects, len(r.Originated))
		}
		l.sim.Ask(l.snap, up, flow.AddrOf(ip(tt.next)), ip(tt.next).Is6(), &l.res)
		if len(l.res.Originated) != 1 || l.res.Originated[0].Dest != up.Dest() {
			t.Errorf("retry: originated %+v", l.res.Originated)
		}
		want := Effect{Kind: LearnNeighbour, Device: ask.Device, Port: up, Addr: ip(tt.next), MAC: mac("ff:01"), Solicited: true}
		if r = reply(); len(r.Effects) != 1 || r.Effects[0] != want || r.Outcomes[0].Verdict != Consumed {
			t.Errorf("reply: %+v %+v", r.Outcomes, r.Effects)
		}
		l.change(topology.Changes{Neighbours: []topology.Neighbour{{Port: up, Addr: ip(tt.next), MAC: mac("ff:09"), State: topology.NeighbourOK}}})
		want.Solicited = false
		if r = reply(); len(r.Effects) != 1 || r.Effects[0] != want {
			t.Errorf("contradiction: %+v", r.Effects)
		}
	}
}

// answer builds an ARP reply or neighbour advertisement to the uplink: a is at m.
func answer(a string, m packet.MAC) []byte {
	if ip(a).Is4() {
		return packet.AppendARP(nil, mac("cc:02"), &packet.ARP{Op: packet.ARPReply, SenderMAC: m, SenderIP: ip(a), TargetMAC: mac("cc:02"), TargetIP: ip("198.51.100.2")})
	}
	return packet.AppendNA(nil, &packet.ND{Type: packet.ICMPv6NeighSol, Src: ip("2001:db8:51::2"), Target: ip(a), LinkAddr: mac("cc:02")}, mac("cc:02"), m, false)
}

// announce builds a gratuitous ARP request or reply, or an unsolicited neighbour advertisement.
func announce(a string, m packet.MAC, op uint16) []byte {
	if ip(a).Is6() {
		return packet.AppendUnsolicitedNA(nil, m, ip(a), false)
	}
	return packet.AppendARP(nil, packet.Broadcast(), &packet.ARP{Op: op, SenderMAC: m, SenderIP: ip(a), TargetIP: ip(a)})
}

// TestHear: what an answer or an announcement at a router port leads to, by what the snapshot knows (R4).
func TestHear(t *testing.T) {
	known, other := mac("ff:01"), mac("ff:09")
	const absent, asked, ok = topology.NeighbourAbsent, topology.NeighbourAsked, topology.NeighbourOK
	for _, tt := range []struct {
		name  string
		addr  string
		state topology.NeighbourState
		frame []byte
		drop  DropReason // DropNone: consumed
		want  Effect     // zero: none
	}{
		{"repeated v4", "198.51.100.1", ok, answer("198.51.100.1", known), DropNone, Effect{Kind: ConfirmNeighbour, MAC: known}},
		{"repeated v6", "2001:db8:51::1", ok, answer("2001:db8:51::1", known), DropNone, Effect{Kind: ConfirmNeighbour, MAC: known}},
		{"repeated in a request", "198.51.100.1", ok, packet.AppendARPRequest(nil, known, ip("198.51.100.1"), ip("198.51.100.2")), DropNone, Effect{}},
		{"repeated in a solicitation", "2001:db8:51::1", ok, packet.AppendNS(nil, known, ip("2001:db8:51::1"), ip("2001:db8:51::2")), DropNone, Effect{}},
		{"contradicted v4", "198.51.100.1", ok, answer("198.51.100.1", other), DropNone, Effect{Kind: LearnNeighbour, MAC: other}},
		{"contradicted v6", "2001:db8:51::1", ok, answer("2001:db8:51::1", other), DropNone, Effect{Kind: LearnNeighbour, MAC: other}},
		{"announced v4", "198.51.100.1", ok, announce("198.51.100.1", other, packet.ARPRequest), DropNone, Effect{Kind: LearnNeighbour, MAC: other}},
		{"announced by a reply", "198.51.100.1", ok, announce("198.51.100.1", other, packet.ARPReply), DropNone, Effect{Kind: LearnNeighbour, MAC: other}},
		{"announced v6", "2001:db8:51::1", ok, announce("2001:db8:51::1", other, 0), DropNone, Effect{Kind: LearnNeighbour, MAC: other}},
		{"announced as asked v4", "198.51.100.1", asked, announce("198.51.100.1", other, packet.ARPRequest), DropNone, Effect{Kind: LearnNeighbour, MAC: other, Solicited: true}},
		{"announced as asked v6", "2001:db8:51::1", asked, announce("2001:db8:51::1", other, 0), DropNone, Effect{Kind: LearnNeighbour, MAC: other, Solicited: true}},
		{"announced, not known v4", "198.51.100.1", absent, announce("198.51.100.1", other, packet.ARPRequest), DropNotOurAddress, Effect{}},
		{"unasked v4", "198.51.100.9", absent, answer("198.51.100.9", other), DropUnsolicited, Effect{Kind: LearnNeighbour, MAC: other, Unasked: true}},
		{"unasked v6", "2001:db8:51::9", absent, answer("2001:db8:51::9", other), DropUnsolicited, Effect{Kind: LearnNeighbour, MAC: other, Unasked: true}},
		{"unasked link-local", "fe80::9", absent, answer("fe80::9", other), DropUnsolicited, Effect{Kind: LearnNeighbour, MAC: other, Unasked: true}},
		{"unasked, off the link v4", "192.0.2.9", absent, answer("192.0.2.9", other), DropUnsolicited, Effect{}},
		{"unasked, off the link v6", "2001:db8:52::9", absent, answer("2001:db8:52::9", other), DropUnsolicited, Effect{}},
		{"for our address v4", "198.51.100.2", absent, answer("198.51.100.2", other), DropUnsolicited, Effect{}},
		{"for our address v6", "2001:db8:51::2", absent, answer("2001:db8:51::2", other), DropLand, Effect{}},
		{"for our link-local", "fe80::ff:fe00:cc02", absent, answer("fe80::ff:fe00:cc02", other), DropUnsolicited, Effect{}},
		{"unasked request", "198.51.100.9", absent, packet.AppendARPRequest(nil, other, ip("198.51.100.9"), ip("198.51.100.2")), DropNone, Effect{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, twoTiers)
			up := l.port("uplink")
			if tt.state != absent {
				n := topology.Neighbour{Port: up, Addr: ip(tt.addr), State: tt.state}
				if tt.state == ok {
					n.MAC = known
				}
				l.change(topology.Changes{Neighbours: []topology.Neighbour{n}})
			}
			r := l.run("uplink", tt.frame)
			o := r.Outcomes[0]
			if (o.Verdict == Drop) != (tt.drop != DropNone) || o.Drop != tt.drop || r.Installable {
				t.Errorf("outcomes %+v, installable %v\n%v", r.Outcomes, r.Installable, r.Trace)
			}
			var want []Effect
			if tt.want.Kind != 0 {
				tt.want.Device, tt.want.Port, tt.want.Addr = l.snap.VPort(up).Device, up, ip(tt.addr)
				want = []Effect{tt.want}
			}
			if len(want) != len(r.Effects) || len(want) == 1 && want[0] != r.Effects[0] {
				t.Errorf("effects %+v, want %+v", r.Effects, want)
			}
		})
	}
}
