package sim

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// guarded is twoTiers with chains: before a2, at a1's port, on the tenant's router.
var guarded = strings.NewReplacer(
	`{name: a1, tenant: acme}, spec: {device: bridge/web,`, `{name: a1, tenant: acme}, spec: {device: bridge/web, filters: {ingress: own},`,
	`{name: a2, tenant: acme}, spec: {device: bridge/web,`, `{name: a2, tenant: acme}, spec: {device: bridge/web, filters: {egress: in},`,
	"metadata: {name: edge, tenant: acme}\nspec:\n", "metadata: {name: edge, tenant: acme}\nspec:\n  filters: {ingress: gate, egress: out}\n",
).Replace(twoTiers) + `
---
apiVersion: weft/v1
kind: Chain
metadata: {name: own, tenant: acme}
spec:
  rules:
  - {name: spoofed, not: {srcMACs: ["02:00:00:00:0a:01"]}, action: drop}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: in, tenant: acme}
spec:
  rules:
  - {name: port, match: {protocols: [udp], dstPorts: [1000-3000]}, action: accept}
  - {name: closed, match: {protocols: [udp]}, action: reject}
  default: drop
---
apiVersion: weft/v1
kind: Chain
metadata: {name: gate, tenant: acme}
spec:
  rules:
  - {name: bogus, match: {src: [192.0.2.0/24, "2001:db8:bad::/48"]}, action: drop}
---
apiVersion: weft/v1
kind: Chain
metadata: {name: out, tenant: acme}
spec:
  rules:
  - {name: mark, match: {outPorts: [edge-up]}, action: mark, mark: 5}
  - {name: refuse, match: {marks: [5], dst: [203.0.113.128/25, "2001:db8:113:8000::/49"]}, action: reject}
`

// TestRulesMet: the rules that a packet met, by name, with the defaults of chains that decided (O2); chains that let it pass without one are not among them.
func TestRulesMet(t *testing.T) {
	l := newLab(t, guarded)
	withUplink(l)
	a1, a2, a3, gw := mac("0a:01"), mac("0a:02"), mac("0a:03"), mac("ee:01")
	for _, tt := range []struct {
		name, from string
		frame      []byte
		want       []string
	}{
		{"open", "a1", udp{from: a1, to: a2, src: "10.1.0.11", dst: "10.1.0.12"}.frame(), []string{"in/port"}},
		{"spoofed", "a1", udp{from: a3, to: gw, src: "10.1.0.11", dst: "203.0.113.1"}.frame(), []string{"own/spoofed"}},
		{"two of one chain", "a3", udp{from: a3, to: gw, src: "10.1.0.11", dst: "203.0.113.200"}.frame(), []string{"out/mark", "out/refuse"}},
		{"default", "a1", frameOf(a1, a2), []string{"in/"}},
	} {
		r := l.run(tt.from, tt.frame)
		var got []string
		for _, m := range r.Rules {
			got = append(got, l.snap.Chain(m.Chain).Name+"/"+m.Rule)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: met %v, want %v", tt.name, got, tt.want)
		}
	}
}

// frameOf is a frame of no known protocol.
func frameOf(from, to packet.MAC) []byte {
	f := make([]byte, 60)
	copy(f, to[:])
	copy(f[6:], from[:])
	f[12], f[13] = 0x88, 0xb5
	return f
}

// TestChains: what chains on ports, bridges and routers do, and which fields a megaflow has of them (E4).
func TestChains(t *testing.T) {
	l := newLab(t, guarded)
	withUplink(l)
	a1, a2, a3, gw := mac("0a:01"), mac("0a:02"), mac("0a:03"), mac("ee:01")
	v4 := flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast(), EtherType: 0xffff}
	with := func(m flow.Mask, set func(*flow.Mask)) flow.Mask { set(&m); return m }
	for _, tt := range []struct {
		name, from string
		frame      []byte
		want       Outcome
		mask       flow.Mask
		answers    int
	}{
		{"a port that is open", "a1", udp{from: a1, to: a2, src: "10.1.0.11", dst: "10.1.0.12"}.frame(), Outcome{Verdict: Forward, Dest: l.port("a2").Dest()},
			with(v4, func(m *flow.Mask) { m.SrcMAC, m.Proto, m.Frag, m.DstPort = packet.Broadcast(), 0xff, 3, 0xfc00 }), 0},
		{"a port that is closed", "web-none", udp{from: a1, to: a2, src: "2001:db8:1::11", dst: "2001:db8:1::12"}.frame(), Outcome{}, flow.Mask{}, 1},
		{"another's MAC", "a1", udp{from: a3, to: gw, src: "10.1.0.11", dst: "203.0.113.1"}.frame(), Outcome{Verdict: Drop, Drop: DropFiltered},
			flow.Mask{Ingress: flow.MaxID, SrcMAC: packet.Broadcast()}, 0},
		{"a source that is no one's", "a3", udp{from: a3, to: gw, src: "192.0.2.7", dst: "203.0.113.1"}.frame(), Outcome{Verdict: Drop, Drop: DropFiltered},
			with(v4, func(m *flow.Mask) { m.Src = flow.AddrMask(24, packet.EtherTypeIPv4) }), 0},
		{"beyond, refused", "a3", udp{from: a3, to: gw, src: "10.1.0.11", dst: "203.0.113.200"}.frame(), Outcome{Verdict: Drop, Drop: DropFiltered, Reject: true},
			with(v4, func(m *flow.Mask) {
				m.Src, m.Dst = flow.AddrMask(1, packet.EtherTypeIPv4), flow.AddrMask(25, packet.EtherTypeIPv4)
			}), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.from == "web-none" { // from a1 to a port beyond the range
				tt.from = "a1"
				u := tt.frame[14+40:]
				sum := packet.UpdateChecksum(binary.BigEndian.Uint16(u[6:]), binary.BigEndian.Uint16(u[2:]), 0x1000)
				binary.BigEndian.PutUint16(u[2:], 0x1000)
				binary.BigEndian.PutUint16(u[6:], sum)
				tt.want = Outcome{Verdict: Drop, Drop: DropFiltered, Reject: true}
				tt.mask = with(v4, func(m *flow.Mask) { m.SrcMAC, m.Proto, m.Frag, m.DstPort = packet.Broadcast(), 0xff, 3, 0xf000 })
			}
			r := l.run(tt.from, tt.frame)
			if !slices.Equal(r.Outcomes, []Outcome{tt.want}) {
				t.Fatalf("outcomes %+v, want %+v\n%v", r.Outcomes, tt.want, r.Trace)
			}
			if r.Mask != tt.mask {
				t.Errorf("read %v, want %v\n%v", r.Mask, tt.mask, r.Trace)
			}
			if len(r.Originated) != tt.answers {
				t.Errorf("%d answers, want %d", len(r.Originated), tt.answers)
			}
		})
	}
}

// TestRefuse: the sender of what a rule rejects hears of it from the address that it spoke to, or from the router that refused.
func TestRefuse(t *testing.T) {
	l := newLab(t, guarded)
	withUplink(l)
	syn := func(src, dst string, to packet.MAC) []byte {
		b := udp{from: mac("0a:01"), to: to, src: src, dst: dst, size: 12}.frame()
		at := len(b) - 20
		copy(b[at:], []byte{0x9c, 0x40, 0, 80, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0x50, packet.TCPSyn, 0, 0, 0, 0, 0, 0})
		if f := parse(t, b); f.Is4() {
			h := b[f.L3 : f.L3+packet.IPv4Len]
			h[9], h[10], h[11] = packet.ProtoTCP, 0, 0
			binary.BigEndian.PutUint16(h[10:], packet.Checksum(h))
		} else {
			b[f.L3+6] = packet.ProtoTCP
		}
		binary.BigEndian.PutUint16(b[at+16:], packet.PseudoSum(ip(src), ip(dst), packet.ProtoTCP, 20).Add(b[at:]).Fold())
		return b
	}
	for _, tt := range []struct{ src, dst, by, tcp string }{
		{"10.1.0.11", "203.0.113.200", "10.1.0.1", "203.0.113.200"},
		{"2001:db8:1::11", "2001:db8:113:8000::1", "2001:db8:1::1", "2001:db8:113:8000::1"},
	} {
		r := l.run("a1", udp{from: mac("0a:01"), to: mac("ee:01"), src: tt.src, dst: tt.dst}.frame())
		if len(r.Originated) != 1 || r.Originated[0].Kind != OriginError || r.Originated[0].Dest != l.port("a1").Dest() {
			t.Fatalf("%+v\n%v", r.Originated, r.Trace)
		}
		f := parse(t, r.Originated[0].Frame)
		if f.SrcAddr() != ip(tt.by) || f.DstAddr() != ip(tt.src) || f.Dst() != mac("0a:01") || !f.IsICMP() {
			t.Errorf("%v to %v at %v, proto %d", f.SrcAddr(), f.DstAddr(), f.Dst(), f.Proto)
		}
		r = l.run("a1", syn(tt.src, tt.dst, mac("ee:01")))
		if len(r.Originated) != 1 {
			t.Fatalf("a SYN: %+v\n%v", r.Originated, r.Trace)
		}
		f = parse(t, r.Originated[0].Frame)
		if f.SrcAddr() != ip(tt.tcp) || f.TCPFlags != packet.TCPRst|packet.TCPAck || f.SrcPort != 80 || f.Dst() != mac("0a:01") || f.Src() != mac("ee:01") {
			t.Errorf("reset %v:%d to %v at %v, flags %#x", f.SrcAddr(), f.SrcPort, f.DstAddr(), f.Dst(), f.TCPFlags)
		}
		damaged := syn(tt.src, tt.dst, mac("ee:01"))
		damaged[len(damaged)-1]++
		if r = l.run("a1", damaged); len(r.Originated) != 0 || r.Outcomes[0].Verdict != Drop {
			t.Errorf("a damaged SYN: %+v\n%v", r.Originated, r.Trace)
		}
	}
}

// TestChainsAndNeighbours: the end of a chain does not cut hosts off from their neighbours; a rule that names the EtherType does.
func TestChainsAndNeighbours(t *testing.T) {
	l := newLab(t, guarded)
	ask := packet.AppendARPRequest(nil, mac("0a:01"), ip("10.1.0.11"), ip("10.1.0.77"))
	flood := l.run("a1", ask)
	got := dests(flood)
	if !slices.Contains(got, l.port("a2").Dest()) || len(got) != 2 {
		t.Errorf("a question reaches %v\n%v", got, flood.Trace)
	}
	l.change(topology.Changes{Put: []*topology.Object{{
		APIVersion: topology.APIVersion, Kind: topology.KindChain, Metadata: topology.Metadata{Name: "in", Tenant: "acme"},
		Status: topology.Status{ID: l.id(topology.KindChain, "acme", "in")},
		Spec:   &topology.ChainSpec{Rules: []topology.RuleSpec{{Match: topology.MatchSpec{EtherTypes: []topology.EtherType{packet.EtherTypeARP}}, Action: "drop"}}},
	}}})
	if got := dests(l.run("a1", ask)); slices.Contains(got, l.port("a2").Dest()) || len(got) != 1 {
		t.Errorf("a rule against ARP lets it reach %v", got)
	}
	l.change(topology.Changes{Put: []*topology.Object{{
		APIVersion: topology.APIVersion, Kind: topology.KindChain, Metadata: topology.Metadata{Name: "own", Tenant: "acme"},
		Status: topology.Status{ID: l.id(topology.KindChain, "acme", "own")},
		Spec: &topology.ChainSpec{Rules: []topology.RuleSpec{
			{Match: topology.MatchSpec{Src: []topology.AddrSpec{{Prefix: netip.MustParsePrefix("2001:db8::/32")}}}, Action: "accept"},
			{Match: topology.MatchSpec{EtherTypes: []topology.EtherType{packet.EtherTypeIPv6}}, Action: "drop"},
		}},
	}}})
	r := l.run("a1", packet.AppendNS(nil, mac("0a:01"), ip("2001:db8:1::11"), ip("2001:db8:1::77")))
	if r.Outcomes[0].Verdict != Drop || r.Installable {
		t.Errorf("a solicitation, for which the rule that accepts does not count: %v, installable %v; want that it is dropped, and nothing else for that", r.Outcomes, r.Installable)
	}
}

func dests(r *Result) []flow.Dest {
	var d []flow.Dest
	for _, o := range r.Outcomes {
		if o.Verdict == Forward {
			d = append(d, o.Dest)
		}
	}
	return d
}

// TestChainLoop: a loop that no one could write fails closed.
func TestChainLoop(t *testing.T) {
	l := newLab(t, guarded)
	id := l.id(topology.KindChain, "acme", "own")
	l.change(topology.Changes{Put: []*topology.Object{{
		APIVersion: topology.APIVersion, Kind: topology.KindChain, Metadata: topology.Metadata{Name: "own", Tenant: "acme"},
		Status: topology.Status{ID: id, Uses: map[string]uint32{"chain acme/own": id}},
		Spec:   &topology.ChainSpec{Rules: []topology.RuleSpec{{Action: "jump", Chain: "own"}}},
	}}})
	r := l.run("a1", udp{from: mac("0a:01"), to: mac("0a:02"), src: "10.1.0.11", dst: "10.1.0.12"}.frame())
	if want := []Outcome{{Verdict: Drop, Drop: DropChainLoop}}; !slices.Equal(r.Outcomes, want) {
		t.Errorf("%+v", r.Outcomes)
	}
}

// TestRuleLog: a rule that is to be logged says so by an effect, once.
func TestRuleLog(t *testing.T) {
	l := newLab(t, strings.Replace(guarded, "name: spoofed,", "name: spoofed, log: true,", 1))
	r := l.run("a1", udp{from: mac("0a:09"), to: mac("0a:02"), src: "10.1.0.11", dst: "10.1.0.12"}.frame())
	want := Effect{Kind: LogRule, Device: topology.DeviceID(l.id(topology.KindChain, "acme", "own")), Port: l.port("a1")}
	if !slices.Equal(r.Effects, []Effect{want}) || r.Installable {
		t.Errorf("effects %+v, installable %v", r.Effects, r.Installable)
	}
	if !bytes.Contains([]byte(r.Trace.String()), []byte("chain acme/own rule spoofed: drop")) {
		t.Errorf("trace\n%v", r.Trace)
	}
}
