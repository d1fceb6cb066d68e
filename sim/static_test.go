package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// mirrored is twoTiers where the tenant's network is known outside by a prefix of the same length. The router's own address is outside of it.
var mirrored = strings.NewReplacer(
	"metadata: {name: edge, tenant: acme}\nspec:\n", "metadata: {name: edge, tenant: acme}\nspec:\n  filters: {ingress: static-in, egress: static-out}\n",
	"{dst: 10.1.0.0/24, via: 100.64.0.2, port: core-acme}", "{dst: 192.0.2.8/29, via: 100.64.0.2, port: core-acme}",
	`{dst: "2001:db8:1::/64", via`, `{dst: "2001:db8:64:1::/64", via`,
).Replace(twoTiers) + `
---
apiVersion: weft/v1
kind: Chain
metadata: {name: static-in, tenant: acme}
spec:
  rules:
  - {name: v4, action: dnat, nat: {from: 192.0.2.8/29, to: 10.1.0.8/29}}
  - {name: v6, action: dnat, nat: {from: "2001:db8:64:1::/64", to: "2001:db8:1::/64"}}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: static-out, tenant: acme}
spec:
  rules:
  - {name: v4, match: {outPorts: [edge-up]}, action: snat, nat: {from: 10.1.0.8/29, to: 192.0.2.8/29}}
  - {name: v6, match: {outPorts: [edge-up]}, action: snat, nat: {from: "2001:db8:1::/64", to: "2001:db8:64:1::/64"}}
`

// mirrors are the ends of a connection from inside, and how the inside is known outside.
var mirrors = []struct{ name, inside, known, outside, router string }{
	{"IPv4", "10.1.0.11", "192.0.2.11", "203.0.113.9", "10.1.0.77"},
	{"IPv6", "2001:db8:1::11", "2001:db8:64:1::11", "2001:db8:113::9", "2001:db8:64::77"},
}

func staticLab(t testing.TB, network string) *lab {
	l := newLab(t, network)
	withUplink(l)
	l.sim.Conns = unknown{} // whoever asks for a connection waits for ever
	return l
}

// TestStatic: both directions are decided by the header alone, at once and for good; no connection is asked for, and none is stored.
func TestStatic(t *testing.T) {
	for _, tt := range mirrors {
		t.Run(tt.name, func(t *testing.T) {
			l := staticLab(t, mirrored)
			for _, x := range []struct {
				at, to   string
				src, gw  packet.MAC
				in, want five
			}{
				{"a1", "uplink", mac("0a:01"), mac("ee:01"), five{tt.inside, tt.outside, 4000, 53}, five{tt.known, tt.outside, 4000, 53}},
				{"uplink", "a1", mac("99:01"), mac("cc:02"), five{tt.outside, tt.known, 53, 4000}, five{tt.outside, tt.inside, 53, 4000}},
			} {
				frame := x.in.udp(x.src, x.gw)
				r := l.run(x.at, frame)
				if d, got := l.out(frame); d != l.port(x.to).Dest() || got != x.want {
					t.Fatalf("leaves at %v as %+v, want %+v\n%v", d, got, x.want, r.Trace)
				}
				if !r.Installable || r.Track.Used || r.Track.Commit {
					t.Errorf("installable %v (%s), track %+v", r.Installable, r.NotInstallable, r.Track)
				}
				exact := flow.ExactMask(parse(t, frame).EtherType)
				exact.SrcMAC = packet.MAC{}
				if x.at == "uplink" {
					exact.SrcMAC = r.Mask.SrcMAC
				}
				if r.Mask != exact {
					t.Errorf("reads %+v", r.Mask)
				}
				res := &Result{}
				f := parse(t, frame)
				l.sim.Simulate(l.snap, f, l.port(x.at), 0, res)
				if n := testing.AllocsPerRun(100, func() { l.sim.Simulate(l.snap, f, l.port(x.at), 0, res) }); n != 0 {
					t.Errorf("%v allocations", n)
				}
			}
		})
	}
}

// TestStaticLeavesOthers: what is not of the prefix keeps its address.
func TestStaticLeavesOthers(t *testing.T) {
	l := staticLab(t, mirrored)
	frame := five{"10.1.0.99", "203.0.113.9", 1, 2}.udp(mac("0a:01"), mac("ee:01"))
	l.run("a1", frame)
	if _, got := l.out(frame); got.src != "10.1.0.99" || !l.res.Installable {
		t.Errorf("leaves as %+v\n%v", got, l.res.Trace)
	}
}

// TestStaticFragments: each piece is translated by itself, and the checksum of the whole stays right.
func TestStaticFragments(t *testing.T) {
	for _, tt := range mirrors {
		l := staticLab(t, mirrored)
		big := packet.AppendUDP(nil, &packet.UDP{SrcMAC: mac("0a:01"), DstMAC: mac("ee:01"), Src: ip(tt.inside), Dst: ip(tt.outside), SrcPort: 4000, DstPort: 53, Payload: make([]byte, 3000)})
		pieces := 0
		for _, piece := range cut(t, big) {
			pieces++
			r := l.run("a1", piece)
			if len(r.Outcomes) != 1 || !r.Installable || r.Track.Used || r.Track.Ports {
				t.Fatalf("%s: piece %d: %+v, installable %v (%s), track %+v\n%v", tt.name, pieces, r.Outcomes, r.Installable, r.NotInstallable, r.Track, r.Trace)
			}
			if _, got := l.out(piece); got.src != tt.known || got.dst != tt.outside || pieces == 1 && got.sport != 4000 || pieces > 1 && got.sport != 0 {
				t.Errorf("%s: piece %d leaves as %+v", tt.name, pieces, got)
			}
		}
		if pieces < 3 {
			t.Errorf("%s: %d pieces", tt.name, pieces)
		}
	}
}

// cut returns a packet in pieces: those of IPv6 as its sender makes them (RFC 8200 section 4.5).
func cut(t *testing.T, whole []byte) (pieces [][]byte) {
	f := parse(t, whole)
	if f.Is4() {
		c, err := packet.NewFragmenter(f, 1280)
		if err != nil {
			t.Fatal(err)
		}
		for {
			piece, ok := c.Next(nil)
			if !ok {
				return pieces
			}
			pieces = append(pieces, piece)
		}
	}
	const most = 1232
	head, body := whole[:f.L3+packet.IPv6Len], whole[f.L3+packet.IPv6Len:]
	for at := 0; at < len(body); at += most {
		end := min(at+most, len(body))
		offset := uint16(at)
		if end < len(body) {
			offset |= 1
		}
		p := append(slices.Clone(head), f.Proto, 0, byte(offset>>8), byte(offset), 0, 0, 0, 7)
		p = append(p, body[at:end]...)
		p[f.L3+6] = 44
		binary.BigEndian.PutUint16(p[f.L3+4:], uint16(8+end-at))
		pieces = append(pieces, p)
	}
	return pieces
}

// TestStaticErrors: an ICMP error goes through in both directions, from the other end and from a router before it, and quotes what its receiver sent or got.
func TestStaticErrors(t *testing.T) {
	for _, tt := range mirrors {
		l := staticLab(t, mirrored)
		out := five{tt.known, tt.outside, 4000, 53}.udp(mac("99:01"), mac("cc:02")) // as it was seen outside
		in := five{tt.outside, tt.inside, 53, 4000}.udp(mac("0a:01"), mac("ee:01")) // as it was seen inside
		for _, x := range []struct {
			about          []byte
			at, from, want string // who complains, and as whom that is known
			quoteSrc       string
			quoteDst       string
		}{
			{out, "uplink", tt.outside, tt.outside, tt.inside, tt.outside},
			{out, "uplink", "198.51.100.77", "198.51.100.77", tt.inside, tt.outside},
			{in, "a1", tt.inside, tt.known, tt.outside, tt.known},
			{in, "a1", tt.router, tt.router, tt.outside, tt.known},
		} {
			from := ip(x.from)
			if from.Is4() != ip(tt.inside).Is4() {
				from, x.want = ip("2001:db8:51::77"), "2001:db8:51::77"
			}
			src, gw := mac("99:01"), mac("cc:02")
			if x.at == "a1" {
				src, gw = mac("0a:01"), mac("ee:01")
			}
			e, err := packet.AppendICMPError(nil, parse(t, x.about), &packet.ICMPError{Kind: packet.PortUnreachable, Src: from, SrcMAC: src, DstMAC: gw})
			if err != nil {
				t.Fatal(err)
			}
			r := l.run(x.at, e)
			_, got := l.out(e)
			to := tt.outside
			if x.at == "uplink" {
				to = tt.inside
			}
			if got.src != x.want || got.dst != to || r.Installable || r.Track.Used || !r.Track.Quoted {
				t.Fatalf("%s: from %v: leaves as %+v, track %+v\n%v", tt.name, from, got, r.Track, r.Trace)
			}
			q := r.Track.Quote
			et := parse(t, e).EtherType
			if err := packet.RewriteQuote(e, parse(t, e), q.Src.Netip(et), q.Dst.Netip(et), q.SrcPort, q.DstPort); err != nil {
				t.Fatal(err)
			}
			if in, ok := packet.Quote(parse(t, e)); !ok || in.Src != ip(x.quoteSrc) || in.Dst != ip(x.quoteDst) {
				t.Errorf("%s: from %v: quotes %+v", tt.name, from, in)
			}
		}
		// One that is not addressed to who sent what it quotes is nobody's.
		e, err := packet.AppendICMPError(nil, parse(t, out), &packet.ICMPError{Kind: packet.PortUnreachable, Src: ip(tt.outside), SrcMAC: mac("99:01"), DstMAC: mac("cc:02")})
		if err != nil {
			t.Fatal(err)
		}
		f := parse(t, e)
		q, _ := packet.Quote(f)
		if err := packet.RewriteQuote(e, f, ip(tt.outside), q.Dst, q.SrcPort, q.DstPort); err != nil {
			t.Fatal(err)
		}
		if r := l.run("uplink", e); len(r.Outcomes) != 1 || r.Outcomes[0].Drop != DropNAT {
			t.Errorf("%s: forged: %+v\n%v", tt.name, r.Outcomes, r.Trace)
		}
	}
}

// mirroredGuard has, beside static NAT, a chain that asks for connections: those are stored, under both their keys, as they are on each side.
var mirroredGuard = strings.Replace(mirrored, `{name: a1, tenant: acme}, spec: {device: bridge/web,`, `{name: a1, tenant: acme}, spec: {device: bridge/web, filters: {egress: guard},`, 1) + `
---
apiVersion: weft/v1
kind: Chain
metadata: {name: guard, tenant: acme}
spec:
  rules:
  - {name: known, match: {states: [established, related]}, action: accept}
  - {name: dns, match: {states: [new], protocols: [udp], dstPorts: [53]}, action: accept}
  default: drop
`

func TestStaticTracked(t *testing.T) {
	for _, tt := range mirrors {
		outward := five{tt.inside, tt.outside, 4000, 9}.udp(mac("0a:01"), mac("ee:01"))
		back := five{tt.outside, tt.known, 9, 4000}.udp(mac("99:01"), mac("cc:02"))
		inward := five{tt.outside, tt.known, 4000, 53}.udp(mac("99:01"), mac("cc:02"))
		answer := five{tt.inside, tt.outside, 53, 4000}.udp(mac("0a:01"), mac("ee:01"))
		for _, x := range []struct {
			at, from        string
			first, second   []byte
			firstAs, nextAs five
		}{
			{"a1", "uplink", outward, back, five{tt.known, tt.outside, 4000, 9}, five{tt.outside, tt.inside, 9, 4000}},
			{"uplink", "a1", inward, answer, five{tt.outside, tt.inside, 4000, 53}, five{tt.known, tt.outside, 53, 4000}},
		} {
			l := staticLab(t, mirroredGuard)
			conns := table{}
			l.sim.Conns = conns
			l.run(x.at, x.first)
			if _, got := l.out(x.first); got != x.firstAs {
				t.Fatalf("%s: leaves as %+v, want %+v\n%v", tt.name, got, x.firstAs, l.res.Trace)
			}
			c := l.commit(conns)
			if key := c.Append(nil); len(c.Steps()) != 1 || !c.Steps()[0].Static || c.Chooses() {
				t.Errorf("%s: stores %+v (% x)", tt.name, c, key)
			}
			for range 2 { // before and after the answer
				l.run(x.at, x.first)
				if _, got := l.out(x.first); got != x.firstAs || !l.res.Installable {
					t.Errorf("%s: then leaves as %+v (%s)", tt.name, got, l.res.NotInstallable)
				}
				l.run(x.from, x.second)
				if _, got := l.out(x.second); got != x.nextAs || !l.res.Track.Reply || l.res.Track.State.String() != "both" {
					t.Fatalf("%s: the answer arrives as %+v, want %+v: %+v\n%v", tt.name, got, x.nextAs, l.res.Track, l.res.Trace)
				}
			}
			if r := l.run("uplink", five{tt.outside, tt.known, 4000, 80}.udp(mac("99:01"), mac("cc:02"))); r.Outcomes[0].Drop != DropFiltered {
				t.Errorf("%s: a port that is closed: %+v", tt.name, r.Outcomes)
			}
		}
	}
}

// TestMoved: an address goes to the same place of the other prefix, and back.
func TestMoved(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(v6 bool) netip.Addr {
		b := make([]byte, 4)
		if v6 {
			b = make([]byte, 16)
		}
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		a, _ := netip.AddrFromSlice(b)
		return a
	}
	for n := range 10000 {
		v6 := n&1 == 1
		a := random(v6)
		from := netip.PrefixFrom(a, rng.IntN(a.BitLen()+1)).Masked()
		to := netip.PrefixFrom(random(v6), from.Bits()).Masked()
		et := uint16(packet.EtherTypeIPv4)
		if v6 {
			et = packet.EtherTypeIPv6
		}
		there := moved(flow.AddrOf(a), &from, &to)
		if b := there.Netip(et); !to.Contains(b) || !slices.Equal(hostBits(a, from.Bits()), hostBits(b, from.Bits())) {
			t.Fatalf("%v of %v becomes %v of %v", a, from, b, to)
		}
		if moved(there, &to, &from) != flow.AddrOf(a) {
			t.Fatalf("%v of %v does not come back from %v", a, from, to)
		}
	}
}

// hostBits are the bits of an address behind a length.
func hostBits(a netip.Addr, length int) []byte {
	var bits []byte
	for i, b := range a.AsSlice() {
		for j := range 8 {
			if 8*i+j >= length {
				bits = append(bits, b>>(7-j)&1)
			}
		}
	}
	return bits
}

// TestStaticAnswers: a host with a static translation is the server of a virtual address, too. Its answers come from there, as do errors about them, and all
// else from the address that is its own.
func TestStaticAnswers(t *testing.T) {
	network := strings.Replace(mirrored, `  - {name: v4, action: dnat, nat: {from: 192.0.2.8/29`, `  - {name: service, match: {protocols: [udp], dst: [192.0.2.1, "2001:db8:64:2::1"], dstPorts: [53]}, action: dnat, nat: {addresses: [10.1.0.11, "2001:db8:1::11"]}}
  - {name: v4, action: dnat, nat: {from: 192.0.2.8/29`, 1)
	network = strings.Replace(network, `  - {dst: 192.0.2.8/29, via: 100.64.0.2, port: core-acme}`, `  - {dst: 192.0.2.0/28, via: 100.64.0.2, port: core-acme}
  - {dst: "2001:db8:64:2::/64", via: "2001:db8:64::2", port: core-acme}`, 1)
	for _, tt := range mirrors {
		l := staticLab(t, network)
		conns := table{}
		l.sim.Conns = conns
		service := "192.0.2.1"
		if tt.name == "IPv6" {
			service = "2001:db8:64:2::1"
		}
		ask := five{tt.outside, service, 4000, 53}.udp(mac("99:01"), mac("cc:02"))
		l.run("uplink", ask)
		if _, got := l.out(ask); got != (five{tt.outside, tt.inside, 4000, 53}) {
			t.Fatalf("%s: arrives as %+v\n%v", tt.name, got, l.res.Trace)
		}
		l.commit(conns)
		for first := range 2 {
			answer := five{tt.inside, tt.outside, 53, 4000}.udp(mac("0a:01"), mac("ee:01"))
			l.run("a1", answer)
			if _, got := l.out(answer); got != (five{service, tt.outside, 53, 4000}) || !l.res.Installable || !l.res.Track.Reply {
				t.Fatalf("%s: answers as %+v: %+v\n%v", tt.name, got, l.res.Track, l.res.Trace)
			}
			other := five{tt.inside, tt.outside, 53, 4001}.udp(mac("0a:01"), mac("ee:01"))
			l.run("a1", other)
			if _, got := l.out(other); got != (five{tt.known, tt.outside, 53, 4001}) || l.res.Installable != (first == 1) {
				t.Fatalf("%s: sends as %+v: %+v\n%v", tt.name, got, l.res.Track, l.res.Trace)
			}
			if first == 0 { // it might have been an answer, so that it is known from now on that it is none
				l.commit(conns)
			}
		}
		e, err := packet.AppendICMPError(nil, parse(t, five{tt.outside, tt.inside, 4000, 53}.udp(mac("0a:01"), mac("ee:01"))),
			&packet.ICMPError{Kind: packet.PortUnreachable, Src: ip(tt.inside), SrcMAC: mac("0a:01"), DstMAC: mac("ee:01")})
		if err != nil {
			t.Fatal(err)
		}
		r := l.run("a1", e)
		et := parse(t, e).EtherType
		if _, got := l.out(e); got.src != service || got.dst != tt.outside || !r.Track.Quoted || r.Track.Quote.Dst.Netip(et) != ip(service) {
			t.Errorf("%s: an error leaves as %+v, quoting %+v\n%v", tt.name, got, r.Track.Quote, r.Trace)
		}
	}
}

// TestStaticBesideConnection: a static translation that a connection does not have takes no other's place: what its device chose is undone all the same.
func TestStaticBesideConnection(t *testing.T) {
	l := newLab(t, strings.Replace(translated, "{name: core, tenant: isp}\nspec:\n", "{name: core, tenant: isp}\nspec:\n  filters: {egress: renumber}\n", 1)+`
---
apiVersion: weft/v1
kind: Chain
metadata: {name: renumber, tenant: isp}
spec: {rules: [{match: {inPorts: [uplink]}, action: snat, nat: {from: 203.0.113.0/24, to: 198.18.0.0/24}}]}
`)
	withUplink(l)
	conns := table{}
	l.sim.Conns = conns
	l.run("a1", five{"10.1.0.11", "203.0.113.9", 4000, 53}.udp(mac("0a:01"), mac("ee:01")))
	l.commit(conns)
	back := five{"203.0.113.9", "192.0.2.81", 53, 4000}.udp(mac("99:01"), mac("cc:02"))
	l.run("uplink", back)
	if d, got := l.out(back); d != l.port("a1").Dest() || got != (five{"203.0.113.9", "10.1.0.11", 53, 4000}) {
		t.Errorf("the answer leaves at %v as %+v\n%v", d, got, l.res.Trace)
	}
}

// TestFloatingIPAsksInsideAlone: a floating IP is decided by the header outside, and by the connection behind the other ports of the router, where a host's answer and what it
// sends of itself look alike; towards the host, what is not sent to the address asks for nothing.
func TestFloatingIPAsksInsideAlone(t *testing.T) {
	for _, tt := range mirrors {
		network := strings.NewReplacer(
			"{dst: 10.1.0.0/24, via: 100.64.0.2, port: core-acme}", "{dst: 192.0.2.8/29, via: 100.64.0.2, port: core-acme}",
			`{dst: "2001:db8:1::/64", via`, `{dst: "2001:db8:64:1::/64", via`,
		).Replace(twoTiers) + `
---
{apiVersion: weft/v1, kind: FloatingIP, metadata: {name: a1, tenant: acme}, spec: {addresses: [192.0.2.11, "2001:db8:64:1::11"], vport: a1, router: edge, outside: [edge-up], inside: edge-web}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lab, tenant: acme}, spec: {device: router/edge, mac: "02:00:00:00:ee:03", addresses: [10.3.0.1/24, "2001:db8:3::1/64"]}}
`
		near := map[string]string{"IPv4": "10.3.0.9", "IPv6": "2001:db8:3::9"}[tt.name]
		l := staticLab(t, network)
		l.change(topology.Changes{Neighbours: []topology.Neighbour{{Port: l.port("lab"), Addr: ip(near), MAC: mac("33:09"), State: topology.NeighbourOK}}})
		for _, x := range []struct {
			what, at string
			src, gw  packet.MAC
			in       five
			asks     bool
		}{
			{"out", "a1", mac("0a:01"), mac("ee:01"), five{tt.inside, tt.outside, 4000, 53}, false},
			{"in", "uplink", mac("99:01"), mac("cc:02"), five{tt.outside, tt.known, 53, 4000}, false},
			{"from inside", "lab", mac("33:09"), mac("ee:03"), five{near, tt.known, 53, 4000}, true},
			{"answers, or is not", "a1", mac("0a:01"), mac("ee:01"), five{tt.inside, near, 4000, 53}, true},
			{"by its own address", "lab", mac("33:09"), mac("ee:03"), five{near, tt.inside, 53, 4000}, false},
			{"from another port to outside", "lab", mac("33:09"), mac("ee:03"), five{near, tt.outside, 53, 4000}, false},
		} {
			r := l.run(x.at, x.in.udp(x.src, x.gw))
			if r.Track.Used != x.asks || r.Track.Wait != x.asks {
				t.Errorf("%s, %s: track %+v, want that it asks: %v\n%v", tt.name, x.what, r.Track, x.asks, r.Trace)
			}
			if !x.asks && (len(r.Outcomes) != 1 || r.Outcomes[0].Verdict != Forward) {
				t.Errorf("%s, %s: %+v\n%v", tt.name, x.what, r.Outcomes, r.Trace)
			}
		}
	}
}
