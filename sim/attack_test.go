package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// chainsOfAttacks are what the tests below try to get past.
const chainsOfAttacks = `
---
apiVersion: weft/v1
kind: Chain
metadata: {name: guard, tenant: acme}
spec:
  rules:
  - {name: known, match: {states: [established, related]}, action: accept}
  - {name: dns, match: {states: [new], protocols: [udp], dstPorts: [53]}, action: accept}
  - {name: ssh, match: {states: [new], protocols: [tcp], dstPorts: [22]}, action: accept}
  default: drop
---
apiVersion: weft/v1
kind: Chain
metadata: {name: no-ssh, tenant: acme}
spec: {rules: [{name: x, match: {protocols: [tcp], dstPorts: [22]}, action: reject}]}
`

// evil is a tenant beside acme, whose router asks for connections.
const evil = `
---
{apiVersion: weft/v1, kind: Chain, metadata: {name: ask, tenant: evil}, spec: {rules: [{match: {states: [established]}, action: accept}]}}
---
{apiVersion: weft/v1, kind: Router, metadata: {name: r, tenant: evil}, spec: {filters: {ingress: ask}, routes: [{dst: 0.0.0.0/0, via: 100.65.0.1, port: r-up}]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: r-vm, tenant: evil}, spec: {device: router/r, mac: "02:00:00:00:dd:01", addresses: [10.9.0.1/24]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: r-up, tenant: evil}, spec: {device: router/r, peer: isp/core-evil, mac: "02:00:00:00:dd:02", addresses: [100.65.0.2/30]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: core-evil, tenant: isp}, spec: {device: router/core, peer: evil/r-up, mac: "02:00:00:00:cc:03", addresses: [100.65.0.1/30]}}
`

// forge has evil's host begin a connection in the name of another.
func (l *lab) forge(conns table, of five) {
	l.t.Helper()
	id, _ := l.snap.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "evil", Name: "r-vm"})
	l.sim.Simulate(l.snap, parse(l.t, of.udp(mac("d0:01"), mac("dd:01"))), flow.VPortID(id), 0, &l.res)
	if !l.res.Track.Commit {
		l.t.Fatalf("the attack does not begin: %+v", l.res.Outcomes)
	}
	conns.add(l.res.Track.New)
}

// filtering gives a bridge port of acme a chain.
func filtering(network, port, filters string) string {
	return strings.Replace(network, "{name: "+port+", tenant: acme}, spec: {device: bridge/web", "{name: "+port+", tenant: acme}, spec: {filters: {"+filters+"}, device: bridge/web", 1)
}

func attacked(t *testing.T, network string) (*lab, table) {
	l := newLab(t, network+chainsOfAttacks)
	withUplink(l)
	conns := table{}
	l.sim.Conns = conns
	return l, conns
}

// TestForgedConnection: a tenant that begins a connection in the name of another's host does not open the other's chains to the answer.
func TestForgedConnection(t *testing.T) {
	l, conns := attacked(t, filtering(twoTiers, "a2", "egress: guard")+evil)
	l.forge(conns, five{"10.1.0.12", "203.0.113.9", 9999, 7777})
	r := l.run("uplink", five{"203.0.113.9", "10.1.0.12", 7777, 9999}.udp(mac("99:01"), mac("cc:02")))
	if len(r.Outcomes) != 1 || r.Outcomes[0].Drop != DropForgedAnswer || r.Installable || r.Track.Changed {
		t.Errorf("the answer: %+v, %+v\n%v", r.Outcomes, r.Track, r.Trace)
	}
}

// TestFloodOpensNothing: what is flooded because its MAC or address is everybody's, or its MAC is not known, begins no connection by which the next such packet, or one to a single station,
// would pass a chain that refused the first one's copy.
func TestFloodOpensNothing(t *testing.T) {
	for _, x := range []five{
		{"10.1.0.11", "255.255.255.255", 6999, 6999}, {"10.1.0.11", "224.0.0.251", 6999, 6999}, {"10.1.0.11", "10.1.0.12", 6999, 6999},
		{"2001:db8:1::11", "ff02::1", 6999, 6999}, {"2001:db8:1::11", "2001:db8:1::12", 6999, 6999},
	} {
		l, conns := attacked(t, filtering(filtering(twoTiers, "a1", "egress: guard"), "a2", "egress: guard"))
		for i, to := range []packet.MAC{packet.Broadcast(), packet.Broadcast(), mac("0a:99"), mac("0a:99")} { // the latter is behind no port
			r := l.run("a1", x.udp(mac("0a:01"), to))
			if len(r.Outcomes) == 0 || r.Outcomes[0].Verdict != Forward || slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return o.Dest == l.port("a2").Dest() }) {
				t.Errorf("%+v, packet %d: %+v\n%v", x, i, r.Outcomes, r.Trace)
			}
			if r.Track.Commit {
				conns.add(r.Track.New)
			}
		}
		if r := l.run("a1", x.udp(mac("0a:01"), mac("0a:02"))); r.Outcomes[0].Verdict != Drop {
			t.Errorf("%+v to a2 alone: %+v\n%v", x, r.Outcomes, r.Trace)
		}
	}
}

// TestForgedConnectionFlooded: nor is the answer flooded past them.
func TestForgedConnectionFlooded(t *testing.T) {
	guarded := strings.Replace(twoTiers, "{name: edge, tenant: acme}\nspec:\n", "{name: edge, tenant: acme}\nspec:\n  filters: {ingress: guard}\n", 1)
	l, conns := attacked(t, guarded+evil)
	l.forge(conns, five{"10.1.0.13", "203.0.113.9", 9999, 7777})
	l.change(topology.Changes{Neighbours: []topology.Neighbour{{Port: l.port("edge-web"), Addr: ip("10.1.0.13"), MAC: mac("0a:13"), State: topology.NeighbourOK}}})
	r := l.run("uplink", five{"203.0.113.9", "10.1.0.13", 7777, 9999}.udp(mac("99:01"), mac("cc:02")))
	if len(r.Outcomes) != 1 || r.Outcomes[0].Drop != DropForgedAnswer || r.Installable {
		t.Errorf("the answer: %+v\n%v", r.Outcomes, r.Trace)
	}
}

// TestOwnSourcesOnly: a chain on the provider's port that lets in a tenant's own addresses alone keeps the tenant from taking the keys of others' connections
// (docs/connections.md, Limits).
func TestOwnSourcesOnly(t *testing.T) {
	own := strings.Replace(evil, "{device: router/core, peer: evil/r-up,", "{device: router/core, filters: {ingress: own-sources}, peer: evil/r-up,", 1) + `
---
apiVersion: weft/v1
kind: Chain
metadata: {name: own-sources, tenant: isp}
spec:
  rules:
  - {name: tenant, match: {src: [10.9.0.0/24, 100.65.0.2, "2001:db8:9::/64"]}, action: return}
  default: drop
`
	l := newLab(t, translated+own)
	withUplink(l)
	conns := table{}
	l.sim.Conns = conns
	id, _ := l.snap.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "evil", Name: "r-vm"})
	begin := func(src string) *Result {
		l.sim.Simulate(l.snap, parse(t, five{src, "203.0.113.9", 80, 4000}.udp(mac("d0:01"), mac("dd:01"))), flow.VPortID(id), 0, &l.res)
		return &l.res
	}
	if r := begin("192.0.2.80"); len(r.Outcomes) != 1 || r.Outcomes[0].Drop != DropFiltered || r.Track.Commit {
		t.Fatalf("another's address passes: %+v", r.Outcomes)
	}
	if r := begin("10.9.0.7"); r.Outcomes[0].Verdict != Forward || !r.Track.Commit {
		t.Errorf("an address of its own does not: %+v", r.Outcomes)
	}
	if r := l.run("uplink", five{"203.0.113.9", "192.0.2.80", 4000, 80}.udp(mac("99:01"), mac("cc:02"))); r.Outcomes[0].Verdict != Forward {
		t.Errorf("the client is kept out: %+v\n%v", r.Outcomes, r.Trace)
	}
}

// TestForeignError: an ICMP error that quotes one host's connection is related to nothing when it is addressed to another.
func TestForeignError(t *testing.T) {
	l, conns := attacked(t, filtering(filtering(twoTiers, "a1", "egress: guard"), "a2", "egress: guard"))
	l.run("uplink", five{"203.0.113.9", "10.1.0.12", 7777, 53}.udp(mac("99:01"), mac("cc:02")))
	l.commit(conns)
	answer := five{"10.1.0.12", "203.0.113.9", 53, 7777}.udp(mac("0a:02"), mac("ee:01"))
	e, err := packet.AppendICMPError(nil, parse(t, answer), &packet.ICMPError{Kind: packet.PortUnreachable, Src: ip("203.0.113.9"), SrcMAC: mac("99:01"), DstMAC: mac("cc:02")})
	if err != nil {
		t.Fatal(err)
	}
	if r := l.run("uplink", e); r.Outcomes[0].Dest != l.port("a2").Dest() {
		t.Errorf("to who sent what it quotes: %+v\n%v", r.Outcomes, r.Trace)
	}
	other := ip("10.1.0.11").As4()
	copy(e[30:], other[:])
	settleIPv4(e)
	if r := l.run("uplink", e); r.Outcomes[0].Verdict != Drop {
		t.Errorf("to another: %+v\n%v", r.Outcomes, r.Trace)
	}
}

// settleIPv4 computes the header's checksum anew.
func settleIPv4(b []byte) {
	b[24], b[25] = 0, 0
	c := packet.Checksum(b[14:34])
	b[24], b[25] = byte(c>>8), byte(c)
}

// TestLand: a packet from the address that it is to is dropped where it comes in, bridged or routed, before any chain, and no entry is made of it.
func TestLand(t *testing.T) {
	l, _ := attacked(t, filtering(twoTiers, "a1", "ingress: guard"))
	for _, x := range []five{{"10.1.0.12", "10.1.0.12", 22, 22}, {"2001:db8:1::12", "2001:db8:1::12", 22, 22}} {
		for _, to := range []packet.MAC{mac("0a:02"), mac("ee:01")} {
			if r := l.run("a1", x.udp(mac("0a:01"), to)); len(r.Outcomes) != 1 || r.Outcomes[0].Drop != DropLand || r.Installable || len(r.Originated)+len(r.Effects) > 0 {
				t.Errorf("%+v: %+v\n%v", x, r.Outcomes, r.Trace)
			}
		}
	}
}

// TestManyJumps: chains that jump to one another again and again end a packet, not the engine.
func TestManyJumps(t *testing.T) {
	var b strings.Builder
	for level := range 16 {
		rule := fmt.Sprintf("{action: jump, chain: j%d}, ", level+1)
		if level == 15 {
			rule = "{action: continue}, "
		}
		fmt.Fprintf(&b, "\n---\n{apiVersion: weft/v1, kind: Chain, metadata: {name: j%d, tenant: acme}, spec: {rules: [%s]}}\n", level, strings.Repeat(rule, 25))
	}
	l, _ := attacked(t, filtering(twoTiers, "a1", "ingress: j0")+b.String())
	r := l.run("a1", five{"10.1.0.11", "10.1.0.12", 1, 2}.udp(mac("0a:01"), mac("0a:02")))
	if r.Outcomes[0].Drop != DropChainLoop {
		t.Errorf("%+v", r.Outcomes)
	}
}

// TestDroppedChangesNothing (C5): a reset that does not arrive ends nothing, and one out of nowhere begins nothing.
func TestDroppedChangesNothing(t *testing.T) {
	network := strings.Replace(twoTiers, "metadata: {name: edge, tenant: acme}\nspec:\n", "metadata: {name: edge, tenant: acme}\nspec:\n  filters: {ingress: guard}\n", 1)
	l, conns := attacked(t, network)
	tcp := func(flags, ttl uint8) []byte {
		b := packet.AppendTCP(nil, &packet.TCP{SrcMAC: mac("99:01"), DstMAC: mac("cc:02"), Src: ip("203.0.113.9"), Dst: ip("10.1.0.12"), SrcPort: 999, DstPort: 22, Flags: flags})
		b[22] = ttl
		settleIPv4(b)
		return b
	}
	l.run("uplink", tcp(packet.TCPSyn, 64))
	l.commit(conns)
	if r := l.run("uplink", tcp(packet.TCPRst, 2)); r.Outcomes[0].Verdict != Drop || r.Track.Changed {
		t.Errorf("a reset that expires: %+v, %+v", r.Outcomes, r.Track)
	}
	if r := l.run("uplink", tcp(packet.TCPRst, 64)); r.Outcomes[0].Verdict != Forward || !r.Track.Changed || r.Track.State.String() != "reset" {
		t.Errorf("a reset that arrives: %+v, %+v", r.Outcomes, r.Track)
	}
	stray := packet.AppendTCP(nil, &packet.TCP{SrcMAC: mac("0a:02"), DstMAC: mac("ee:01"), Src: ip("10.1.0.12"), Dst: ip("203.0.113.9"), SrcPort: 22, DstPort: 5, Flags: packet.TCPRst})
	if r := l.run("a2", stray); r.Track.Commit {
		t.Errorf("a stray reset: %+v", r.Track)
	}
}

// TestHiddenProtocol: an extension header does not hide a protocol from a rule that asks for it, and only what finds neighbours passes a chain's end as such.
func TestHiddenProtocol(t *testing.T) {
	l, _ := attacked(t, filtering(twoTiers, "a2", "egress: no-ssh"))
	syn := packet.AppendTCP(nil, &packet.TCP{SrcMAC: mac("0a:01"), DstMAC: mac("0a:02"), Src: ip("2001:db8:1::11"), Dst: ip("2001:db8:1::12"), SrcPort: 999, DstPort: 22, Flags: packet.TCPSyn})
	behind := func(proto uint8, hops uint8, payload ...byte) []byte {
		b := slices.Clone(syn[:54])
		b[20], b[21] = proto, hops
		b = append(b, payload...)
		b[18], b[19] = 0, byte(len(b)-54)
		return b
	}
	hidden := behind(packet.ProtoDestOpts, 64, append([]byte{packet.ProtoTCP, 0, 1, 4, 0, 0, 0, 0}, syn[54:]...)...)
	if r := l.run("a1", hidden); r.Outcomes[0].Drop != DropExtension {
		t.Errorf("behind destination options: %+v\n%v", r.Outcomes, r.Trace)
	}
	l, _ = attacked(t, filtering(twoTiers, "a2", "egress: guard"))
	for _, typ := range []byte{133, 134, 135, 136, 137} {
		b := behind(packet.ProtoICMPv6, 9, append([]byte{typ, 77, 0, 0, 0, 0, 0, 0}, "any payload"...)...)
		if r := l.run("a1", b); r.Outcomes[0].Verdict != Drop {
			t.Errorf("type %d that is nothing of the kind: %+v\n%v", typ, r.Outcomes, r.Trace)
		}
	}
	ask := packet.AppendNS(nil, mac("0a:01"), ip("2001:db8:1::11"), ip("2001:db8:1::77"))
	if got := dests(l.run("a1", ask)); !slices.Contains(got, l.port("a2").Dest()) {
		t.Errorf("a question reaches %v\n%v", got, l.res.Trace)
	}
}

// TestRefusedCopy: one member of a flood that rejects its copy does not answer for the one that the packet is for.
func TestRefusedCopy(t *testing.T) {
	l, _ := attacked(t, filtering(twoTiers, "a3", "egress: no-ssh"))
	syn := packet.AppendTCP(nil, &packet.TCP{SrcMAC: mac("0a:01"), DstMAC: mac("0a:77"), Src: ip("10.1.0.11"), Dst: ip("10.1.0.99"), SrcPort: 999, DstPort: 22, Flags: packet.TCPSyn})
	if r := l.run("a1", syn); len(r.Originated) != 0 {
		t.Errorf("answered: %+v\n%v", r.Originated, r.Trace)
	}
}
