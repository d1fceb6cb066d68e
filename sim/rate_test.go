package sim

import (
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

// TestTightestLink (Q1): of the links with a rate that a packet passes, the tightest is the outcome's, named by the port behind it, each way for itself; and the result depends on both ends.
func TestTightestLink(t *testing.T) {
	a1, gw, up := mac("0a:01"), mac("ee:01"), mac("ff:01")
	out := map[string]udp{"IPv4": {from: a1, to: gw, src: "10.1.0.11", dst: "203.0.113.9", ttl: 9}, "IPv6": {from: a1, to: gw, src: "2001:db8:1::11", dst: "2001:db8:113::9", ttl: 9}}
	in := map[string]udp{"IPv4": {from: up, to: mac("cc:02"), src: "203.0.113.9", dst: "10.1.0.11", ttl: 9}, "IPv6": {from: up, to: mac("cc:02"), src: "2001:db8:113::9", dst: "2001:db8:1::11", ttl: 9}}
	for _, x := range []struct {
		what, tenant, uplink string
		out, in              string // ports
	}{
		{"none", "", "", "", ""},
		{"the first", "10M", "", "edge-web", "web-edge"},
		{"the second", "", "50M", "core-acme", "edge-up"},
		{"both, the first is tighter", "10M", "50M", "edge-web", "web-edge"},
		{"both, the second is", "50M", "10M", "core-acme", "edge-up"},
		{"both alike", "50M", "50M", "edge-web", "edge-up"},
	} {
		l := newLab(t, limited(x.tenant, x.uplink, "10M"))
		withUplink(l)
		for family := range out {
			for _, way := range []struct {
				from, want string
				p          udp
			}{{"a1", x.out, out[family]}, {"uplink", x.in, in[family]}} {
				r := l.run(way.from, way.p.frame())
				var want flow.VPortID
				if way.want != "" {
					want = l.port(way.want)
				}
				if len(r.Outcomes) != 1 || r.Outcomes[0].Link != want || !r.Installable {
					t.Errorf("%s, %s from %s: %+v, installable %v, want link %d", x.what, family, way.from, r.Outcomes, r.Installable, want)
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
		links := map[flow.Dest]flow.VPortID{}
		for _, o := range r.Outcomes {
			links[o.Dest] = o.Link
		}
		b1, group := l.port("b1").Dest(), flow.Dest(l.bridge("web"))
		if link, there := links[group]; !there || link != 0 || links[b1] != l.port("back-web") || r.Installable {
			t.Errorf("%s: %+v, installable %v", family, r.Outcomes, r.Installable)
		}
		r = l.run("a1", udp{from: mac("0a:01"), to: mac("0a:02"), src: src, dst: src, ttl: 9}.frame())
		if len(r.Outcomes) != 1 || r.Outcomes[0].Link != 0 {
			t.Errorf("%s, within the bridge: %+v", family, r.Outcomes)
		}
	}
}
