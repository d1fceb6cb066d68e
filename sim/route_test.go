package sim

import (
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// routes is a router with exterior ports: two uplinks, a LAN, and two hosts that share a prefix.
const routes = `
apiVersion: weft/v1
kind: Router
metadata: {name: r, tenant: acme}
spec:
  routes:
  - {dst: 203.0.113.0/24, via: 198.51.1.9, port: u1}
  - {dst: 0.0.0.0/0, via: 198.51.2.9, port: u2}
  - {dst: "2001:db8:113::/48", via: "2001:db8:51:1::9", port: u1}
  - {dst: "::/0", via: "2001:db8:51:2::9", port: u2}
  tables:
  - name: second
    routes:
    - {dst: 203.0.113.0/28, via: 198.51.2.9, port: u2}
    - {dst: "2001:db8:113::/124", via: "2001:db8:51:2::9", port: u2}
  policies: []
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: u1, tenant: acme}, spec: {device: router/r, mac: "02:00:00:00:01:01", addresses: [198.51.1.1/24, "2001:db8:51:1::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: u2, tenant: acme}, spec: {device: router/r, mac: "02:00:00:00:01:02", addresses: [198.51.2.1/24, "2001:db8:51:2::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: lan, tenant: acme}, spec: {device: router/r, mac: "02:00:00:00:01:03", addresses: [10.0.0.1/24, "fd00::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: h5, tenant: acme}, spec: {device: router/r, singleHost: true, mac: "02:00:00:00:01:05", addresses: [10.1.0.5/24, "fd01::5/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: h6, tenant: acme}, spec: {device: router/r, singleHost: true, mac: "02:00:00:00:01:06", addresses: [10.1.0.6/24, "fd01::6/64"]}}
`

func routesLab(t testing.TB, policies string) *lab {
	l := newLab(t, strings.Replace(routes, "policies: []", "policies: ["+policies+"]", 1))
	known := map[string][]string{"u1": {"198.51.1.9", "2001:db8:51:1::9"}, "u2": {"198.51.2.9", "2001:db8:51:2::9"}, "h5": {"10.1.0.5", "fd01::5"}, "h6": {"10.1.0.6", "fd01::6"}}
	for port, addrs := range known {
		for _, a := range addrs {
			l.change(topology.Changes{Neighbours: []topology.Neighbour{{Port: l.port(port), Addr: ip(a), MAC: mac("ff:01"), State: topology.NeighbourOK}}})
		}
	}
	return l
}

// TestPolicies (R1): the first policy that is met and has a way decides, ahead of the routes, and the flow is no narrower than it asks.
func TestPolicies(t *testing.T) {
	l := routesLab(t, `
    {name: own, priority: 1, match: {dst: [203.0.113.200, "2001:db8:113::c8"]}, action: main},
    {name: web, priority: 2, match: {protocols: [udp], dstPorts: [2000], src: [10.0.0.64/26, "fd00::40/122"]}, action: reroute, nextHops: [{via: 198.51.2.9, port: u2}, {via: "2001:db8:51:2::9", port: u2}]},
    {name: part, priority: 3, match: {src: [10.0.0.128/26, "fd00::80/122"]}, action: table, table: second},
    {name: none, priority: 4, match: {dst: [203.0.113.66, "2001:db8:113::42"]}, action: drop},
    {name: no, priority: 4, match: {dst: [203.0.113.67, "2001:db8:113::43"]}, action: reject}`)
	for _, tt := range []struct {
		src, dst, out string
		drop          DropReason
		l4            bool // the ports of the packet count
	}{
		{"10.0.0.2", "203.0.113.9", "u1", 0, false},
		{"fd00::2", "2001:db8:113::9", "u1", 0, false},
		{"10.0.0.65", "203.0.113.9", "u2", 0, true},
		{"fd00::41", "2001:db8:113::9", "u2", 0, true},
		{"10.0.0.65", "203.0.113.200", "u1", 0, false}, // its policy comes first
		{"fd00::41", "2001:db8:113::c8", "u1", 0, false},
		{"10.0.0.130", "203.0.113.9", "u2", 0, false},
		{"fd00::82", "2001:db8:113::9", "u2", 0, false},
		{"10.0.0.130", "203.0.113.99", "u1", 0, false}, // not in that table
		{"fd00::82", "2001:db8:113::99", "u1", 0, false},
		{"10.0.0.2", "203.0.113.66", "", DropBlackhole, false},
		{"fd00::2", "2001:db8:113::42", "", DropBlackhole, false},
		{"10.0.0.2", "203.0.113.67", "", DropRejectRoute, false},
		{"fd00::2", "2001:db8:113::43", "", DropRejectRoute, false},
		{"10.0.0.65", "10.0.0.1", "", DropLocal, false}, // the router's own: no policy's business
		{"fd00::41", "fd00::1", "", DropLocal, false},
	} {
		r := l.run("lan", udp{from: mac("0a:01"), to: mac("01:03"), src: tt.src, dst: tt.dst, ttl: 9}.frame())
		o := r.Outcomes[0]
		if tt.out != "" && o.Dest != l.port(tt.out).Dest() || o.Drop != tt.drop || !r.Installable {
			t.Errorf("%s → %s: %+v, want %s %v\n%v", tt.src, tt.dst, o, tt.out, tt.drop, r.Trace)
		}
		if got := r.Mask.DstPort != 0; got != tt.l4 || r.Mask.SrcPort != 0 {
			t.Errorf("%s → %s: ports in mask %v, want %v", tt.src, tt.dst, got, tt.l4)
		}
		if n, _ := r.Mask.Src.PrefixLen(packet.EtherTypeIPv4); ip(tt.src).Is4() && n > 26 {
			t.Errorf("%s → %s: %d bits of the source are read, and rules name 26", tt.src, tt.dst, n)
		}
	}
}

// TestPolicyChange: flows depend on the policies that there are, and on those that are not.
func TestPolicyChange(t *testing.T) {
	frame := udp{from: mac("0a:01"), to: mac("01:03"), src: "10.0.0.2", dst: "203.0.113.9", ttl: 9}.frame()
	with := func(policies string) *topology.Object {
		objects, err := topology.Decode("net.yaml", []byte(strings.SplitN(strings.Replace(routes, "policies: []", "policies: ["+policies+"]", 1), "---\n", 2)[0]))
		if err != nil {
			t.Fatal(err)
		}
		objects[0].Status.ID = 1
		return objects[0]
	}
	l := routesLab(t, "")
	for _, step := range []struct {
		policies string
		verdict  Verdict
	}{{"{match: {inPorts: [lan]}, action: drop}", Drop}, {"{not: {inPorts: [lan]}, action: drop}", Forward}, {"{action: drop}", Drop}, {"", Forward}} {
		r := l.run("lan", frame)
		deps := slices.Clone(r.Deps)
		changed := l.change(topology.Changes{Put: []*topology.Object{with(step.policies)}})
		if !slices.ContainsFunc(changed, func(d topology.Dep) bool { return slices.ContainsFunc(deps, d.Affects) }) {
			t.Errorf("policies [%s] changed, and a flow that depends on %v does not care", step.policies, deps)
		}
		if got := l.run("lan", frame).Outcomes[0].Verdict; got != step.verdict {
			t.Errorf("policies [%s]: %v, want %v", step.policies, got, step.verdict)
		}
	}
}

// TestSingleHosts (R5): between hosts of one prefix TTL is neither checked nor changed; from and to all others it is.
func TestSingleHosts(t *testing.T) {
	l := routesLab(t, "")
	for _, tt := range []struct {
		src, dst, out string
		ttl, dec      uint8
		drop          DropReason
	}{
		{"10.1.0.5", "10.1.0.6", "h6", 1, 0, 0},
		{"fd01::5", "fd01::6", "h6", 1, 0, 0},
		{"10.1.0.5", "203.0.113.9", "u1", 2, 1, 0},
		{"fd01::5", "2001:db8:113::9", "u1", 2, 1, 0},
		{"10.1.0.5", "203.0.113.9", "", 1, 0, DropTTL},
		{"10.1.0.5", "10.1.0.7", "", 9, 0, DropNoNeighbour},
		{"fd01::5", "fd01::7", "", 9, 0, DropNoNeighbour},
		{"10.1.0.5", "10.1.0.1", "", 1, 0, DropLocal},
	} {
		r := l.run("h5", udp{from: mac("0a:05"), to: mac("01:05"), src: tt.src, dst: tt.dst, ttl: tt.ttl}.frame())
		o := r.Outcomes[0]
		if o.Drop != tt.drop || tt.out != "" && o.Dest != l.port(tt.out).Dest() || o.Rewrite.TTLDec != tt.dec || r.Guards.MinTTL != tt.dec && tt.drop == 0 {
			t.Errorf("%s → %s: %+v, TTL guard %d\n%v", tt.src, tt.dst, o, r.Guards.MinTTL, r.Trace)
		}
	}
}

// TestLinkDown: a route whose link is down gives way to a less specific one; of a link that is put back, what depended on it is decided anew.
func TestLinkDown(t *testing.T) {
	for _, x := range [][2]string{{"10.0.0.2", "203.0.113.9"}, {"fd00::2", "2001:db8:113::9"}} {
		l := routesLab(t, "")
		frame := udp{from: mac("0a:01"), to: mac("01:03"), src: x[0], dst: x[1], ttl: 9}.frame()
		set := func(name string, down bool) []topology.Dep {
			v := l.snap.VPort(l.port(name))
			return l.change(topology.Changes{Put: []*topology.Object{{
				APIVersion: topology.APIVersion, Kind: topology.KindVPort, Metadata: topology.Metadata{Name: name, Tenant: "acme"}, Status: topology.Status{ID: uint32(v.ID)},
				Spec: &topology.VPortSpec{Device: "router/r", MAC: v.MAC, Addresses: v.Addrs, AdminDown: down},
			}}})
		}
		for _, step := range []struct {
			port string
			down bool
			out  string
		}{{"u1", true, "u2"}, {"u2", true, ""}, {"u1", false, "u1"}, {"u2", false, "u1"}} {
			deps := slices.Clone(l.run("lan", frame).Deps)
			before := l.res.Outcomes[0]
			changed := set(step.port, step.down)
			r := l.run("lan", frame)
			o := r.Outcomes[0]
			if step.out == "" && (o.Drop != DropPortDown || !o.Reject || len(r.Originated) != 1) || step.out != "" && o.Dest != l.port(step.out).Dest() {
				t.Fatalf("%s down %v: %+v\n%v", step.port, step.down, o, r.Trace)
			}
			if o != before && !slices.ContainsFunc(changed, func(d topology.Dep) bool { return slices.ContainsFunc(deps, d.Affects) }) {
				t.Errorf("%s down %v: %+v became %+v, which depended on %v", step.port, step.down, before, o, deps)
			}
		}
	}
}

// TestSubnetBroadcastIsSilent (RFC 1812 section 4.3.2.7): nobody is told anything about a packet for all hosts of a link.
func TestSubnetBroadcastIsSilent(t *testing.T) {
	l := routesLab(t, "")
	for name, p := range map[string]udp{"ttl": {dst: "198.51.1.255", ttl: 1}, "length": {dst: "198.51.1.255", ttl: 9, size: 1500, df: true}} {
		p.from, p.to, p.src = mac("0a:01"), mac("01:03"), "10.0.0.2"
		if r := l.run("lan", p.frame()); len(r.Originated) != 0 || r.Outcomes[0].Verdict != Drop {
			t.Errorf("%s: %+v, %d answers", name, r.Outcomes, len(r.Originated))
		}
		p.dst = "198.51.1.9"
		if r := l.run("lan", p.frame()); len(r.Originated) != 1 {
			t.Errorf("%s of one host: %d answers", name, len(r.Originated))
		}
	}
}

// TestRouterAllocatesNothing: policies, spreading, and links that are down included.
func TestRouterAllocatesNothing(t *testing.T) {
	for _, extra := range []string{"", "spread", "policies"} {
		l := routerChain(t, 2, extra)
		f := parse(t, udp{from: mac("0a:01"), to: mac("ee:01"), src: "10.100.0.11", dst: "203.0.113.9", ttl: 64}.frame())
		in := l.port("in")
		if n := testing.AllocsPerRun(100, func() { l.sim.Simulate(l.snap, f, in, 0, &l.res) }); n != 0 {
			t.Errorf("%s: %v allocations", extra, n)
		}
		v := l.snap.VPort(l.port("out0"))
		l.change(topology.Changes{Put: []*topology.Object{{
			APIVersion: topology.APIVersion, Kind: topology.KindVPort, Metadata: topology.Metadata{Name: "out0", Tenant: "acme"}, Status: topology.Status{ID: uint32(v.ID)},
			Spec: &topology.VPortSpec{Device: "router/r2", MAC: v.MAC, Addresses: v.Addrs, AdminDown: true},
		}}})
		if n := testing.AllocsPerRun(100, func() { l.sim.Simulate(l.snap, f, in, 0, &l.res) }); n != 0 {
			t.Errorf("%s, with a link that is down: %v allocations", extra, n)
		}
	}
}
