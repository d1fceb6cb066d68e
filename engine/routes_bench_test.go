package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/bulk"
	"github.com/weft-sdn/weft/topology"
)

// routeFlows are to destinations with a route of their own.
const routeFlows = bulk.VMs * bulk.Addrs

// BenchmarkRouteFlap reports route_flap_us_10k, _100k and _1m: a route that eight of 1,000 flows go by is withdrawn from a router with so many, and comes
// again; from the change to the target's acknowledgement, the mean of both. The routes are those that a protocol brings, given to the agent as views of the
// database are, since nothing stores such routes yet: what etcd takes is not in it.
func BenchmarkRouteFlap(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"10k", 10_000}, {"100k", 100_000}, {"1m", 1_000_000}} {
		b.Run(size.name, func(b *testing.B) {
			t := newNullBench(b, bulk.Network(bulk.OddPorts(), ""), false)
			r := newRouteBench(t, size.n)
			t.decide(func(i int) bulk.Flow { return bulk.Flow{VM: i % bulk.VMs, Dst: i / bulk.VMs, Port: bulk.FirstOdd} }, 0, routeFlows, true)
			var took []time.Duration
			for b.Loop() {
				i := len(took) / 2 % bulk.Addrs
				for _, withdraw := range []bool{true, false} {
					took = append(took, r.change(r.host(i), withdraw))
					r.again(i)
				}
			}
			if stats := t.agent.Stats(); stats.Removed < uint64(len(took)*bulk.VMs) {
				b.Fatalf("%d changes, each of a route of %d flows: %+v", len(took), bulk.VMs, stats)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2])/1e3, "route_flap_us_"+size.name+":us")
			b.ReportMetric(float64(took[len(took)*99/100])/1e3, "route_flap_p99_us_"+size.name+":us")
		})
	}
}

// routeBench is an agent whose router has many routes.
type routeBench struct {
	*nullBench
	router topology.DeviceID
	port   flow.VPortID
	view   state.View
}

// newRouteBench gives the router n routes, a host route to each destination of a flow among them.
func newRouteBench(t *nullBench, n int) *routeBench {
	t.Helper()
	r := &routeBench{nullBench: t, view: *t.store.View()}
	router, _ := r.view.Topology.ID(topology.Ref{Kind: topology.KindRouter, Tenant: "red", Name: "gw"})
	port, _ := r.view.Topology.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: "gw-out"})
	r.router, r.port = topology.DeviceID(router), flow.VPortID(port)
	all := make([]topology.LearnedRoute, n)
	for i := range all {
		all[i] = r.host(i)
		if i >= bulk.Addrs { // 20.0.0.0/24 and on
			all[i].Route.Dst = netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(i>>16), byte(i >> 8), byte(i), 0}), 24)
		}
	}
	r.give(topology.Changes{Routes: all})
	return r
}

// host is the route to a destination of flows.
func (r *routeBench) host(i int) topology.LearnedRoute {
	dst := bulk.Dst(i%bulk.Addrs, false)
	return topology.LearnedRoute{Router: r.router, Route: topology.Route{
		Dst: netip.PrefixFrom(dst, 32), Via: bulk.Dst(0, false), Port: r.port, Origin: topology.OriginLearned, Weight: 1,
	}}
}

// change withdraws a route, or brings it, and returns the time until the target had acknowledged all that this led to.
func (r *routeBench) change(route topology.LearnedRoute, withdraw bool) time.Duration {
	r.Helper()
	route.Delete = withdraw
	begin := time.Now()
	r.give(topology.Changes{Routes: []topology.LearnedRoute{route}})
	return time.Since(begin)
}

// again has the flows to a destination decided that a change took out.
func (r *routeBench) again(host int) {
	r.Helper()
	r.call(func(c *core) { c.snap = r.view.Topology }) // whatever came from the database, which has no such routes
	r.decide(func(vm int) bulk.Flow { return bulk.Flow{VM: vm, Dst: host, Port: bulk.FirstOdd} }, 0, bulk.VMs, true)
}

// give has the agent take the next view.
func (r *routeBench) give(c topology.Changes) {
	r.Helper()
	snap, deps := r.view.Topology.With(c)
	r.view.Topology = snap
	view := r.view
	r.call(func(c *core) { c.world(state.Change{View: &view, Deps: deps}) })
	for open := 1; open > 0; {
		r.call(func(c *core) { open = len(c.target.open) })
	}
}
