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

// limited are the links of twoTiers with rates: web-edge, edge-up to core-acme, web-back; 0: none.
func limited(tenant, uplink, back string) string {
	with := func(yaml, port, rate string) string {
		if rate == "" {
			return yaml
		}
		return strings.Replace(yaml, "metadata: {name: "+port+", tenant: acme}, spec: {", "metadata: {name: "+port+", tenant: acme}, spec: {rate: "+rate+", ", 1)
	}
	return with(with(with(twoTiers, "web-edge", tenant), "edge-up", uplink), "web-back", back)
}

// TestLinksOnTheWay (Q1): the outcome has the links with a rate that a packet passes, named by the ports behind them, each way for itself; and the result depends on both ends.
func TestLinksOnTheWay(t *testing.T) {
	a1, gw, up := mac("0a:01"), mac("ee:01"), mac("ff:01")
	out := map[string]udp{"IPv4": {from: a1, to: gw, src: "10.1.0.11", dst: "203.0.113.9", ttl: 9}, "IPv6": {from: a1, to: gw, src: "2001:db8:1::11", dst: "2001:db8:113::9", ttl: 9}}
	in := map[string]udp{"IPv4": {from: up, to: mac("cc:02"), src: "203.0.113.9", dst: "10.1.0.11", ttl: 9}, "IPv6": {from: up, to: mac("cc:02"), src: "2001:db8:113::9", dst: "2001:db8:1::11", ttl: 9}}
	for _, x := range []struct {
		what, tenant, uplink string
		out, in              []string // ports
	}{
		{"none", "", "", nil, nil},
		{"the first", "10M", "", []string{"edge-web"}, []string{"web-edge"}},
		{"the second", "", "50M", []string{"core-acme"}, []string{"edge-up"}},
		{"both", "10M", "50M", []string{"edge-web", "core-acme"}, []string{"web-edge", "edge-up"}},
	} {
		l := newLab(t, limited(x.tenant, x.uplink, "10M"))
		withUplink(l)
		for family := range out {
			for _, way := range []struct {
				from string
				want []string
				p    udp
			}{{"a1", x.out, out[family]}, {"uplink", x.in, in[family]}} {
				r := l.run(way.from, way.p.frame())
				var want flow.LinkSet
				for _, port := range way.want {
					want.Add(l.port(port))
				}
				if len(r.Outcomes) != 1 || r.Outcomes[0].Links != want || !r.Installable {
					t.Errorf("%s, %s from %s: %+v, installable %v, want links %d", x.what, family, way.from, r.Outcomes, r.Installable, want)
				}
				for _, port := range []string{"edge-up", "core-acme"} {
					if !slices.Contains(r.Deps, topology.VPortDep(l.port(port))) {
						t.Errorf("%s, %s from %s: does not depend on %s", x.what, family, way.from, port)
					}
				}
			}
		}
	}
}

// TestFloodOverLink (Q1): what is flooded over a link between bridges that has a rate is decided copy by copy, so that the copies behind it, and no others, take from that; it is no entry.
func TestFloodOverLink(t *testing.T) {
	l := newLab(t, limited("", "", "10M"))
	for family, src := range map[string]string{"IPv4": "10.1.0.11", "IPv6": "2001:db8:1::11"} {
		dst := "255.255.255.255"
		if family == "IPv6" {
			dst = "ff02::99"
		}
		r := l.run("a1", udp{from: mac("0a:01"), to: packet.Broadcast(), src: src, dst: dst, ttl: 9}.frame())
		links := map[flow.Dest]flow.LinkSet{}
		for _, o := range r.Outcomes {
			links[o.Dest] = o.Links
		}
		b1, group := l.port("b1").Dest(), flow.Dest(l.bridge("web"))
		if link, there := links[group]; !there || !link.IsZero() || links[b1] != flow.LinkSetOf(l.port("back-web")) || r.Installable {
			t.Errorf("%s: %+v, installable %v", family, r.Outcomes, r.Installable)
		}
		r = l.run("a1", udp{from: mac("0a:01"), to: mac("0a:02"), src: src, dst: src, ttl: 9}.frame())
		if len(r.Outcomes) != 1 || !r.Outcomes[0].Links.IsZero() {
			t.Errorf("%s, within the bridge: %+v", family, r.Outcomes)
		}
	}
}

// TestManyLinks (Q1): of more links than a set holds those with the least rates count, of several alike the ones that come first; the trace tells of the others.
func TestManyLinks(t *testing.T) {
	for _, x := range []struct{ rates, want string }{
		{"10M 20M 30M 40M", "0 1 2 3"},
		{"10M 20M 30M 40M 50M", "0 1 2 3"},
		{"50M 40M 30M 20M 10M", "1 2 3 4"},
		{"10M 60M 30M 50M 20M 40M", "0 2 4 5"},
		{"10M 10M 10M 10M 10M", "0 1 2 3"},
	} {
		rates := strings.Fields(x.rates)
		var yaml strings.Builder
		for i := range len(rates) + 1 {
			fmt.Fprintf(&yaml, "{apiVersion: weft/v1, kind: Bridge, metadata: {name: b%d, tenant: acme}, spec: {}}\n---\n", i)
		}
		for i, rate := range rates {
			fmt.Fprintf(&yaml, "{apiVersion: weft/v1, kind: VPort, metadata: {name: near%d, tenant: acme}, spec: {device: bridge/b%d, peer: far%d, rate: %s}}\n---\n", i, i, i, rate)
			fmt.Fprintf(&yaml, "{apiVersion: weft/v1, kind: VPort, metadata: {name: far%d, tenant: acme}, spec: {device: bridge/b%d, peer: near%d}}\n---\n", i, i+1, i)
		}
		fmt.Fprintf(&yaml, "{apiVersion: weft/v1, kind: VPort, metadata: {name: a, tenant: acme}, spec: {device: bridge/b0}}\n---\n")
		fmt.Fprintf(&yaml, "{apiVersion: weft/v1, kind: VPort, metadata: {name: z, tenant: acme}, spec: {device: bridge/b%d, mac: \"02:00:00:00:00:0a\"}}\n", len(rates))
		l := newLab(t, yaml.String())
		r := l.run("a", udp{from: mac("00:01"), to: mac("00:0a"), src: "10.0.0.1", dst: "10.0.0.2", ttl: 9}.frame())
		var want flow.LinkSet
		for _, i := range strings.Fields(x.want) {
			want.Add(l.port("far" + i))
		}
		found := false
		for _, o := range r.Outcomes {
			found = found || o.Verdict == Forward && o.Dest == l.port("z").Dest() && o.Links == want
		}
		if !found {
			t.Errorf("%s: %+v, want links %v", x.rates, r.Outcomes, want)
		}
	}
}
