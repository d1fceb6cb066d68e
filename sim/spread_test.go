package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// randomKey is a flow of any family and protocol between any two stations.
func randomKey(rng *rand.Rand) flow.Key {
	k := flow.Key{EtherType: packet.EtherTypeIPv4, Proto: []uint8{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoICMP}[rng.IntN(3)]}
	from := 12
	if rng.IntN(2) == 0 {
		k.EtherType, from = packet.EtherTypeIPv6, 0
		if k.Proto == packet.ProtoICMP {
			k.Proto = packet.ProtoICMPv6
		}
	}
	for i := from; i < 16; i++ {
		k.Src[i], k.Dst[i] = byte(rng.Uint32()), byte(rng.Uint32())
	}
	k.SrcPort, k.DstPort = uint16(rng.Uint32()), uint16(rng.Uint32())
	return k
}

// reverse is the flow's other direction; of ICMP, the reply to an echo request.
func reverse(k flow.Key) flow.Key {
	k.Src, k.Dst = k.Dst, k.Src
	switch k.Proto {
	case packet.ProtoICMP:
		k.SrcPort = 0
	case packet.ProtoICMPv6:
		k.SrcPort = 129 << 8
	default:
		k.SrcPort, k.DstPort = k.DstPort, k.SrcPort
	}
	return k
}

// uplinks is a router with n exterior ports, and an equal route through each of them, of these weights.
func uplinks(t testing.TB, weights ...uint8) (*lab, []topology.Route) {
	var objects []*topology.Object
	add := func(kind topology.Kind, name string, spec topology.Spec) {
		objects = append(objects, &topology.Object{APIVersion: topology.APIVersion, Kind: kind, Metadata: topology.Metadata{Name: name}, Spec: spec})
	}
	add(topology.KindRouter, "r", &topology.RouterSpec{})
	for i := range weights {
		add(topology.KindVPort, string(rune('a'+i)), &topology.VPortSpec{Device: "router/r"})
	}
	topology.AssignIDs(objects, 0)
	l := &lab{t: t}
	l.snap, _ = new(topology.Snapshot).With(topology.Changes{Put: objects})
	var routes []topology.Route
	for i, w := range weights {
		routes = append(routes, topology.Route{Dst: prefix("0.0.0.0/0"), Via: ip("192.0.2.1"), Port: flow.VPortID(2 + i), Weight: w})
	}
	l.sim.begin(l.snap, &l.sim.ofrm, 0, &l.res)
	return l, routes
}

// pick is the port of the route that a flow gets.
func (l *lab) pick(routes []topology.Route, k flow.Key) flow.VPortID {
	l.res.reset()
	var w way
	if !l.sim.spread(routes, &k, &w) {
		return 0
	}
	return w.route.Port
}

func (l *lab) setDown(port flow.VPortID, down bool) []topology.Dep {
	v := l.snap.VPort(port)
	deps := l.change(topology.Changes{Put: []*topology.Object{{
		APIVersion: topology.APIVersion, Kind: topology.KindVPort, Metadata: topology.Metadata{Name: v.Name, Tenant: v.Tenant}, Status: topology.Status{ID: uint32(port)},
		Spec: &topology.VPortSpec{Device: "router/r", AdminDown: down},
	}}})
	l.sim.snap = l.snap
	return deps
}

// TestSpread (R1): equal routes get flows by weight, within 2 %; both directions of a flow get the same one; what goes, whether by its route or by its link,
// moves its own flows alone, to all others by their weights; and a weight that grows takes flows and gives none.
func TestSpread(t *testing.T) {
	const flows = 60_000
	for _, weights := range [][]uint8{{1, 1}, {1, 1, 1, 1, 1}, {1, 2, 3, 10}, {255, 1, 128, 64}} {
		rng := rand.New(rand.NewPCG(1, uint64(len(weights))))
		l, routes := uplinks(t, weights...)
		keys, picks := make([]flow.Key, flows), make([]flow.VPortID, flows)
		shares := map[flow.VPortID]float64{}
		total := 0.0
		for _, w := range weights {
			total += float64(w)
		}
		for i := range keys {
			keys[i] = randomKey(rng)
			picks[i] = l.pick(routes, keys[i])
			shares[picks[i]]++
			if back := l.pick(routes, reverse(keys[i])); back != picks[i] {
				t.Fatalf("%v: %v, but its other direction %v", keys[i], picks[i], back)
			}
		}
		for _, r := range routes {
			got, want := shares[r.Port]/flows, float64(r.Weight)/total
			if math.Abs(got-want) > 0.02*want+4*math.Sqrt(want/flows) || math.Abs(got-want) > 0.02 {
				t.Errorf("weights %v: port %v has %.4f of the flows, want %.4f", weights, r.Port, got, want)
			}
		}
		for gone := range routes {
			rest := slices.Delete(slices.Clone(routes), gone, gone+1)
			l.setDown(routes[gone].Port, true)
			moved := map[flow.VPortID]float64{}
			for i := range keys {
				now := l.pick(rest, keys[i])
				if down := l.pick(routes, keys[i]); down != now {
					t.Fatalf("%v: %v without the route, %v without the link", keys[i], now, down)
				}
				if now != picks[i] && picks[i] != routes[gone].Port {
					t.Fatalf("%v moved from %v to %v, though %v went", keys[i], picks[i], now, routes[gone].Port)
				}
				if picks[i] == routes[gone].Port {
					moved[now]++
				}
			}
			l.setDown(routes[gone].Port, false)
			for _, r := range rest {
				n := shares[routes[gone].Port]
				got, want := moved[r.Port]/n, float64(r.Weight)/(total-float64(routes[gone].Weight))
				if math.Abs(got-want) > 0.02+4*math.Sqrt(want/n) {
					t.Errorf("weights %v: port %v has %.4f of the flows of port %v, want %.4f", weights, r.Port, got, routes[gone].Port, want)
				}
			}
		}
		more := slices.Clone(routes)
		more[0].Weight = uint8(min(255, int(more[0].Weight)+100))
		for i := range keys {
			if now := l.pick(more, keys[i]); now != picks[i] && now != more[0].Port {
				t.Fatalf("%v moved from %v to %v, though %v grew", keys[i], picks[i], now, more[0].Port)
			}
		}
	}
}

// TestSpreadIsTheSameEverywhere: what a flow gets does not depend on the order of routes, and never changes from one version to the next: flows would move
// while edges are upgraded one by one.
func TestSpreadIsTheSameEverywhere(t *testing.T) {
	l, routes := uplinks(t, 1, 2, 3, 4)
	rng := rand.New(rand.NewPCG(5, 6))
	var got []flow.VPortID
	for range 24 {
		k := randomKey(rng)
		got = append(got, l.pick(routes, k))
		other := slices.Clone(routes)
		rng.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		if p := l.pick(other, k); p != got[len(got)-1] {
			t.Errorf("%v: %v, in another order %v", k, got[len(got)-1], p)
		}
	}
	want := []flow.VPortID{4, 3, 5, 5, 4, 4, 5, 5, 4, 5, 5, 5, 5, 3, 2, 3, 3, 5, 3, 5, 3, 3, 3, 5}
	if !slices.Equal(got, want) {
		t.Errorf("flows go to %v, went to %v", got, want)
	}
}

// TestSpreadReads: all that the hash covers, and the links that count: a link that the flow does not use is none of its business.
func TestSpreadReads(t *testing.T) {
	l, routes := uplinks(t, 1, 1, 1)
	rng := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		k := randomKey(rng)
		first := l.pick(routes, k)
		if m := l.res.Mask; m.Proto != 0xff || m.SrcPort != 0xffff || m.DstPort != 0xffff || m.Frag != 3 || l.sim.srcRead != 128 || l.sim.dstRead != 128 {
			t.Fatalf("mask %+v", m)
		}
		for _, r := range routes {
			deps := slices.Clone(l.res.Deps)
			l.setDown(r.Port, true)
			now := l.pick(routes, k)
			if now != first && !slices.Contains(deps, topology.VPortDep(r.Port)) {
				t.Fatalf("port %v went down and the flow from %v to %v, but it depends on %v", r.Port, first, now, deps)
			}
			if now != first && !slices.Contains(l.res.Deps, topology.VPortDep(first)) {
				t.Fatalf("the flow is to go back to port %v, but depends on %v", first, l.res.Deps)
			}
			l.setDown(r.Port, false)
			l.pick(routes, k)
		}
	}
	for _, r := range routes {
		l.setDown(r.Port, true)
	}
	if p := l.pick(routes, randomKey(rng)); p != 0 {
		t.Errorf("a flow goes to port %v, which is down as all of them", p)
	}
	reject := append(slices.Clone(routes), topology.Route{Kind: topology.RouteReject, Weight: 1})
	var w way
	if !l.sim.spread(reject, new(flow.Key), &w) || w.route.Kind != topology.RouteReject {
		t.Errorf("route %v, want the one that rejects", w.route)
	}
}

// TestFragmentsStayTogether: fragments of a datagram, of which only the first has ports, get one route.
func TestFragmentsStayTogether(t *testing.T) {
	l, routes := uplinks(t, 1, 1, 1, 1)
	rng := rand.New(rand.NewPCG(9, 9))
	for range 100 {
		first := randomKey(rng)
		first.Frag = uint8(packet.FragFirst)
		later := first
		later.Frag, later.SrcPort, later.DstPort = uint8(packet.FragLater), 0, 0
		if a, b := l.pick(routes, first), l.pick(routes, later); a != b {
			t.Fatalf("%v: first to %v, later to %v", first, a, b)
		}
	}
}

// TestLogarithm: the table, made by squaring, is the logarithm.
func TestLogarithm(t *testing.T) {
	for i, got := range logs {
		if want := math.Log2(1+float64(i)/256) * (1 << 24); math.Abs(float64(got)-want) > 1 {
			t.Errorf("logs[%d] = %d, want %.1f", i, got, want)
		}
	}
	for _, u := range []uint64{0, 1, 2, 3, 1 << 40, 1<<63 - 1, 1 << 63, 0xc000000000000000, math.MaxUint64} {
		want := (64 - math.Log2(float64(u|1))) * (1 << 24)
		if got := float64(minusLog2(u)); math.Abs(got-want) > 200 || got <= 0 {
			t.Errorf("minusLog2(%#x) = %.0f, want %.0f", u, got, want)
		}
	}
}

// TestInterfaceDown (O2): a route through an exterior port whose interface is down is passed over as one whose port is, at once and with the same dependency; up again, it has its flows back.
func TestInterfaceDown(t *testing.T) {
	l, routes := uplinks(t, 1, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	keys := make([]flow.Key, 200)
	before := make([]flow.VPortID, len(keys))
	for i := range keys {
		keys[i] = randomKey(rng)
		before[i] = l.pick(routes, keys[i])
	}
	for _, down := range []bool{true, false} {
		deps := l.change(topology.Changes{Links: []topology.PortLink{{Port: routes[0].Port, Down: down}}})
		l.sim.snap = l.snap
		if !slices.Equal(deps, []topology.Dep{topology.VPortDep(routes[0].Port)}) {
			t.Errorf("changed %v", deps)
		}
		for i, k := range keys {
			want := before[i]
			if down {
				want = routes[1].Port
			}
			if got := l.pick(routes, k); got != want {
				t.Fatalf("down %t: a flow goes by %d, want %d", down, got, want)
			}
		}
	}
	l.change(topology.Changes{Links: []topology.PortLink{{Port: routes[0].Port, Down: true}, {Port: routes[1].Port, Down: true}}})
	l.sim.snap = l.snap
	if got := l.pick(routes, keys[0]); got != 0 {
		t.Errorf("with both down a flow goes by %d", got)
	}
}
