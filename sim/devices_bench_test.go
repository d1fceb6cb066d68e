package sim

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// stage is a walk that has one device, or stage of a device, more than its base.
type stage struct {
	name    string
	base    string // name of the stage that it is compared with; "": it is a base itself
	network string
	in      string
	conns   stageConns
}

// stageConns tells what the packet of a stage has to do with connections.
type stageConns uint8

const (
	untracked stageConns = iota
	established
	first // the connection's first packet: not installable, what is chosen is to be stored
)

// onEdge gives the tenant's router of twoTiers chains, the last of which is made of rules.
func onEdge(filters, rules string) string {
	n := strings.ReplaceAll(twoTiers, "mtu: 1300", "mtu: 1400")
	n = strings.Replace(n, "metadata: {name: edge, tenant: acme}\nspec:\n", "metadata: {name: edge, tenant: acme}\nspec:\n  filters: {"+filters+"}\n", 1)
	return n + "\n---\n{apiVersion: weft/v1, kind: Chain, metadata: {name: rules, tenant: acme}, spec: {rules: [" + rules + "]}}\n"
}

// twenty are rules of which the packet of the stages meets the last, for protocol, port and source; half of the others are for its protocol.
func twenty() string {
	var b strings.Builder
	for i := range 19 {
		fmt.Fprintf(&b, "{match: {protocols: [%s], dstPorts: [%d], src: [10.9.%d.0/24, 'fd99:%x::/32']}, action: drop}, ", []string{"tcp", "udp"}[i%2], 3000+i, i, i)
	}
	return b.String() + "{match: {protocols: [udp], dstPorts: [53], src: [10.1.0.0/24, '2001:db8:1::/48']}, action: accept}"
}

// thousandRules are rules that the packet of the stages does not meet, each with a port and two groups of 10,000 prefixes of each family, and the groups.
func thousandRules() (rules, groups string) {
	var r, g strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&r, "{match: {protocols: [udp], dstPorts: [%d], srcGroups: [g%d], dstGroups: [g%d]}, action: drop}, ", 1000+i, i%3, (i+1)%3)
	}
	for n := range 3 {
		fmt.Fprintf(&g, "\n---\n{apiVersion: weft/v1, kind: AddressGroup, metadata: {name: g%d, tenant: acme}, spec: {addresses: [", n)
		for i := range 10_000 {
			fmt.Fprintf(&g, "%d.%d.%d.%d/28, 'fd%02x:%x::/48', ", 10+n, i>>12, i>>4&0xff, i&0xf<<4, n, i)
		}
		g.WriteString("10.1.0.0/24, 203.0.113.0/24, '2001:db8:1::/48', '2001:db8:113::/48']}}\n")
	}
	return r.String(), g.String()
}

func stages() []stage {
	base := onEdge("", "")
	rules, groups := thousandRules()
	pool := "\n---\n{apiVersion: weft/v1, kind: Pool, metadata: {name: web, tenant: acme}, spec: {method: hash, members: ["
	for i := range 8 {
		pool += fmt.Sprintf("{address: 203.0.113.%d}, {address: '2001:db8:113::%x'}, ", 100+i, 100+i)
	}
	pool += "]}}\n"
	const (
		to     = "{match: {dst: [203.0.113.9, '2001:db8:113::9']}, action: "
		snat   = "{action: snat, nat: {addresses: [192.0.2.81, '2001:db8:64::81']}}"
		dnat   = to + "dnat, nat: {addresses: [203.0.113.100, '2001:db8:113::100']}}"
		pooled = to + "dnat, nat: {pool: web}}"
		known  = "{match: {states: [established, related]}, action: accept}"
		anew   = "{match: {states: [new]}, action: accept}"
		dhcp   = "\n---\n{apiVersion: weft/v1, kind: DHCP, metadata: {name: leases, tenant: acme}, spec: {subnets: [{prefix: 10.1.0.0/24, router: 10.1.0.1, ranges: [10.1.0.100-10.1.0.109]}, {prefix: '2001:db8:1::/64', ranges: ['2001:db8:1::100-2001:db8:1::109']}]}}\n"
	)
	return []stage{
		{"base", "", base, "a1", untracked},
		{"bridge", "base", base, "b1", untracked},
		{"filter", "base", onEdge("ingress: rules", twenty()), "a1", untracked},
		{"conntrack", "base", onEdge("ingress: rules", known), "a1", established},
		{"tracked", "", onEdge("egress: rules", known), "a1", established},
		{"nat", "tracked", onEdge("egress: rules", snat), "a1", established},
		{"tracked_first", "", onEdge("egress: rules", anew), "a1", first},
		{"nat_first", "tracked_first", onEdge("egress: rules", snat), "a1", first},
		{"dnat", "", onEdge("ingress: rules", dnat), "a1", established},
		{"pool", "dnat", onEdge("ingress: rules", pooled) + pool, "a1", established},
		{"dnat_first", "", onEdge("ingress: rules", dnat), "a1", first},
		{"pool_first", "dnat_first", onEdge("ingress: rules", pooled) + pool, "a1", first},
		{"dhcp", "base", strings.Replace(base, "metadata: {name: a1, tenant: acme}, spec: {", "metadata: {name: a1, tenant: acme}, spec: {dhcp: leases, ", 1) + dhcp, "a1", untracked},
		{"chain_1000", "base", onEdge("ingress: rules", rules) + groups, "a1", untracked},
	}
}

// staged is a lab with a stage, and its packet.
type staged struct {
	*lab
	f     *packet.Frame
	from  flow.VPortID
	least time.Duration // of some walks, the quickest time so far
}

func newStaged(b *testing.B, s stage, v6 bool) *staged {
	l := newLab(b, s.network)
	withUplink(l)
	x := five{"10.1.0.11", "203.0.113.9", 4000, 53}
	if v6 {
		x = five{"2001:db8:1::11", "2001:db8:113::9", 4000, 53}
	}
	from := mac("0a:01")
	if s.in == "b1" {
		from = mac("0b:01")
		web, back := l.bridge("web"), l.bridge("back")
		l.change(topology.Changes{FDB: []topology.FDBEntry{
			{Bridge: back, MAC: from, Port: l.port("b1")}, {Bridge: back, MAC: mac("ee:01"), Port: l.port("back-web")}, {Bridge: web, MAC: from, Port: l.port("web-back")},
		}, BridgeNeighbours: []topology.BridgeNeighbour{{Bridge: back, Addr: ip("10.1.0.11"), MAC: from}, {Bridge: back, Addr: ip("2001:db8:1::11"), MAC: from}}})
	}
	g := &staged{lab: l, f: parse(b, x.udp(from, mac("ee:01"))), from: l.port(s.in)}
	conns := table{}
	l.sim.Conns = conns
	g.run()
	if s.conns == established {
		conns.add(l.res.Track.New)
		g.run()
	}
	if o := l.res.Outcomes; len(o) != 1 || o[0].Dest != l.port("uplink").Dest() || l.res.Installable != (s.conns != first) || l.res.Track.Used != (s.conns != untracked) {
		b.Fatalf("%s: %+v, %s", s.name, o, l.res.NotInstallable)
	}
	return g
}

func (g *staged) run() { g.sim.Simulate(g.snap, g.f, g.from, 0, &g.res) }

// walksOfPass are timed together: long enough for the clock, short enough that some passes have the processor for themselves.
const walksOfPass = 200

func (g *staged) pass(b *testing.B) {
	begin := cpuTime(b)
	for range walksOfPass {
		g.sim.Simulate(g.snap, g.f, g.from, 0, &g.res)
	}
	if t := cpuTime(b) - begin; g.least == 0 || t < g.least {
		g.least = t
	}
}

// BenchmarkDevices reports device_<stage>_ns, what each stage adds to a walk, of the slower family; device_ns_max of all of them but chain_1000_ns, which has
// a goal of its own; and device_allocs. Times are processor time of the quickest of many passes, which take turns: what else the machine does counts least.
//
// Connection tracking is a device of its own: NAT adds to a walk whose connection is tracked at the same place, a pool to a walk that is translated to one
// address by the same match. What a connection's first packet takes, whose translation is chosen, and how much all that is together, is reported beside.
func BenchmarkDevices(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all := stages()
	rigs := map[string][2]*staged{}
	allocs := 0.0
	for _, s := range all {
		r := [2]*staged{newStaged(b, s, false), newStaged(b, s, true)}
		for _, g := range r {
			allocs = max(allocs, testing.AllocsPerRun(100, g.run))
		}
		rigs[s.name] = r
	}
	routers := [2][2]*staged{newRouters(b, 1), newRouters(b, 2)}
	all = append(all, stage{name: "router", base: "one router"})
	rigs["one router"], rigs["router"] = routers[0], routers[1]
	for b.Loop() {
		for _, r := range rigs {
			r[0].pass(b)
			r[1].pass(b)
		}
	}
	worst := 0.0
	for _, s := range all {
		if s.base == "" {
			continue
		}
		added := 0.0
		for fam, g := range rigs[s.name] {
			added = max(added, float64(g.least-rigs[s.base][fam].least)/walksOfPass)
		}
		if s.name == "chain_1000" {
			b.ReportMetric(added, "chain_1000_ns:ns")
			continue
		}
		worst = max(worst, added)
		b.ReportMetric(added, "device_"+s.name+"_ns:ns")
	}
	b.ReportMetric(worst, "device_ns_max:ns")
	for _, name := range []string{"nat", "nat_first", "pool", "pool_first"} {
		r := rigs[name]
		b.ReportMetric(float64(max(r[0].least-rigs["base"][0].least, r[1].least-rigs["base"][1].least))/walksOfPass, "devices_of_"+name+"_ns:ns")
	}
	b.ReportMetric(allocs, "device_allocs:allocs")
	b.ReportMetric(0, "ns/op")
}

// newRouters is a walk through a number of routers in a row, for each family.
func newRouters(b *testing.B, n int) (r [2]*staged) {
	for fam, x := range []five{{"10.100.0.11", "203.0.113.9", 4000, 53}, {"2001:db8:64::11", "2001:db8:113::9", 4000, 53}} {
		l := routerChain(b, n, "")
		r[fam] = &staged{lab: l, f: parse(b, x.udp(mac("0a:01"), mac("ee:01"))), from: l.port("in")}
		if r[fam].run(); len(l.res.Outcomes) != 1 || l.res.Outcomes[0].Verdict != Forward {
			b.Fatalf("%d routers: %+v", n, l.res.Outcomes)
		}
	}
	return r
}

// BenchmarkDevice is the walk of each stage, to be profiled.
func BenchmarkDevice(b *testing.B) {
	for _, s := range stages() {
		for fam, name := range []string{"v4", "v6"} {
			g := newStaged(b, s, fam == 1)
			b.Run(s.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					g.sim.Simulate(g.snap, g.f, g.from, 0, &g.res)
				}
			})
		}
	}
}
