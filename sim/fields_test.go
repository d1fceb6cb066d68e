package sim

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// fieldsOf names the fields that a decision read, with the number of bits where it did not read all.
func fieldsOf(m *flow.Mask) string {
	ones := func(b []byte) (n int) {
		for _, x := range b {
			n += bits.OnesCount8(x)
		}
		return n
	}
	var all []string
	for _, f := range []struct {
		name   string
		n, all int
	}{
		{"src_mac", bits.OnesCount64(m.SrcMAC.Uint64()), 48}, {"dst_mac", bits.OnesCount64(m.DstMAC.Uint64()), 48}, {"ether_type", bits.OnesCount16(m.EtherType), 16},
		{"src", ones(m.Src[:]), -1}, {"dst", ones(m.Dst[:]), -1}, {"proto", bits.OnesCount8(m.Proto), 8}, {"frag", bits.OnesCount8(m.Frag), 2},
		{"sport", bits.OnesCount16(m.SrcPort), 16}, {"dport", bits.OnesCount16(m.DstPort), 16},
	} {
		switch {
		case f.n == f.all:
			all = append(all, f.name)
		case f.n > 0:
			all = append(all, fmt.Sprintf("%s/%d", f.name, f.n))
		}
	}
	return strings.Join(all, " ")
}

// TestFields (K5): what a megaflow matches. A bridge's flow has no IP and no L4; a router's has the bits of the destination that choose its route and next hop,
// and the TTL as a guard; a chain adds what its rules ask for, and not a bit more; connections and translations take all that a connection is named by.
func TestFields(t *testing.T) {
	const (
		routed = "dst_mac ether_type "
		five   = "dst_mac ether_type src/%[1]d dst/%[1]d proto frag sport dport"
	)
	in := func(rules string) string { return onEdge("ingress: rules", rules) }
	out := func(rules string) string { return onEdge("egress: rules", rules) }
	for _, c := range []struct {
		name, network string
		known         bool
		v4, v6        string
		ttl           uint8
	}{
		{"bridge", "bridge", false, "dst_mac", "dst_mac", 0},
		{"bridge behind a bridge", "bridges", false, "dst_mac", "dst_mac", 0},
		{"bridge, rule for a protocol", "bridge {match: {protocols: [tcp]}, action: drop}", false, "dst_mac ether_type proto", "dst_mac ether_type proto", 0},
		{"bridge, rule for a station", `bridge {match: {srcMACs: ["02:00:00:00:0a:09"]}, action: drop}`, false, "src_mac dst_mac", "src_mac dst_mac", 0},
		{"bridge, rule for a station's port", `bridge {match: {srcMACs: ["02:00:00:00:0a:09"], protocols: [tcp], dstPorts: [22]}, action: drop}`, false, "dst_mac ether_type proto", "dst_mac ether_type proto", 0},
		{"two routers", onEdge("", ""), false, routed + "dst/24", routed + "dst/48", 2},
		{"rule without conditions", in("{action: accept}"), false, routed + "dst/24", routed + "dst/48", 2},
		{"rule for a port that is not the packet's", in("{match: {protocols: [udp], dstPorts: [80]}, action: drop}"), false, routed + "dst/24 proto frag dport/10", routed + "dst/48 proto frag dport/10", 2},
		{"rule for the packet's port", in("{match: {protocols: [udp], dstPorts: [53]}, action: accept}"), false, routed + "dst/24 proto frag dport", routed + "dst/48 proto frag dport", 2},
		{"rule for many ports", in("{match: {protocols: [udp], dstPorts: [0-1023]}, action: accept}"), false, routed + "dst/24 proto frag dport/6", routed + "dst/48 proto frag dport/6", 2},
		{"rule for source ports of another protocol", in("{match: {protocols: [tcp], srcPorts: [4000]}, action: accept}"), false, routed + "dst/24 proto", routed + "dst/48 proto", 2},
		{"rule for a source", in("{match: {src: [10.1.0.0/24, '2001:db8:1::/48']}, action: accept}"), false, routed + "src/24 dst/24", routed + "src/48 dst/48", 2},
		{"rule for a destination", in("{match: {dst: [203.0.113.8/29, '2001:db8:113::/64']}, action: accept}"), false, routed + "dst/29", routed + "dst/64", 2},
		{"rule for a port of the router", out("{match: {outPorts: [edge-web]}, action: drop}"), false, routed + "dst/24", routed + "dst/48", 2},
		{"state", in("{match: {states: [established]}, action: accept}"), true, fmt.Sprintf(five, 32), fmt.Sprintf(five, 128), 2},
		{"source translated", out("{action: snat, nat: {addresses: [192.0.2.81, '2001:db8:64::81']}}"), true, fmt.Sprintf(five, 32), fmt.Sprintf(five, 128), 2},
		{"translation of others", out("{match: {src: [10.9.0.0/16, '2001:db8:9::/48']}, action: snat, nat: {addresses: [192.0.2.81, '2001:db8:64::81']}}"), false, routed + "src/13 dst/24 proto", routed + "src/45 dst/48 proto", 2},
		{"destination of others translated", in("{match: {dst: [192.0.2.81, '2001:db8:64::81']}, action: dnat, nat: {addresses: [10.1.0.12, '2001:db8:1::12']}}"), false, routed + "src/30 dst/24 proto", routed + "src/127 dst/48 proto", 2},
	} {
		for fam, want := range []string{c.v4, c.v6} {
			x := toOutside(fam == 1)
			l, from, to := fieldLab(t, c.network)
			conns := table{}
			l.sim.Conns = conns
			frame := x.udp(from, to)
			r := l.run(l.from, frame)
			if c.known {
				conns.add(r.Track.New)
				r = l.run(l.from, frame)
			}
			if got := fieldsOf(&r.Mask); got != want || r.Guards.MinTTL != c.ttl || !r.Installable || r.Outcomes[0].Verdict != Forward {
				t.Errorf("%s, %s: reads %q, want %q; guards %+v; %s\n%v", c.name, map[int]string{0: "IPv4", 1: "IPv6"}[fam], got, want, r.Guards, r.NotInstallable, r.Trace)
			}
		}
	}
}

// fieldNet is a lab, and where packets come in.
type fieldNet struct {
	*lab
	from string
}

func toOutside(v6 bool) five {
	if v6 {
		return five{"2001:db8:1::11", "2001:db8:113::9", 4000, 53}
	}
	return five{"10.1.0.11", "203.0.113.9", 4000, 53}
}

// fieldLab makes the network of a case: bridge, with a rule perhaps, bridges, or one as it is written. It returns the MACs of a packet from a VM to another, or
// to the router.
func fieldLab(t *testing.T, network string) (*fieldNet, packet.MAC, packet.MAC) {
	kind, rule, _ := strings.Cut(network, " ")
	switch kind {
	case "bridge", "bridges":
		n := twoTiers
		if rule != "" {
			n = strings.Replace(n, "  macs: []\n", "  filters: {ingress: rules}\n", 1) + "\n---\n{apiVersion: weft/v1, kind: Chain, metadata: {name: rules, tenant: acme}, spec: {rules: [" + rule + "]}}\n"
		}
		l := newLab(t, n)
		web, back := l.bridge("web"), l.bridge("back")
		l.change(topology.Changes{FDB: []topology.FDBEntry{
			{Bridge: back, MAC: mac("0b:01"), Port: l.port("b1")}, {Bridge: back, MAC: mac("0a:02"), Port: l.port("back-web")}, {Bridge: web, MAC: mac("0b:01"), Port: l.port("web-back")},
		}})
		if kind == "bridges" {
			return &fieldNet{l, "b1"}, mac("0b:01"), mac("0a:02")
		}
		return &fieldNet{l, "a1"}, mac("0a:01"), mac("0a:02")
	}
	l := newLab(t, network)
	withUplink(l)
	return &fieldNet{l, "a1"}, mac("0a:01"), mac("ee:01")
}
