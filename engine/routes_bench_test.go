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

// BenchmarkRouteFlap reports route_flap_us_10k, _100k and _1m: to a router with so many routes comes one by which eight of its 1,000 flows are dropped, and it
// goes again; from the change to the target's acknowledgement of the eight entries, the median of both. The routes are those that a protocol brings, given to
// the agent as views of the database are, since nothing stores such routes yet: what etcd takes is not in it.
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
				host := len(took) / 2 % bulk.Addrs
				took = append(took, r.flap(host, false), r.flap(host, true))
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
	view   state.View
}

// newRouteBench gives the router n routes, none of which leads to a destination of flows.
func newRouteBench(t *nullBench, n int) *routeBench {
	t.Helper()
	r := &routeBench{nullBench: t, view: *t.store.View()}
	router, _ := r.view.Topology.ID(topology.Ref{Kind: topology.KindRouter, Tenant: "red", Name: "gw"})
	port, _ := r.view.Topology.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: "gw-out"})
	r.router = topology.DeviceID(router)
	all := make([]topology.LearnedRoute, n)
	for i := range all { // 20.0.0.0/24 and on
		all[i] = topology.LearnedRoute{Router: r.router, Route: topology.Route{
			Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(i>>16), byte(i >> 8), byte(i), 0}), 24), Via: bulk.Dst(0, false), Port: flow.VPortID(port),
			Origin: topology.OriginLearned, Weight: 1,
		}}
	}
	r.give(topology.Changes{Routes: all})
	return r
}

// flap has the route come by which flows to a destination are dropped, or go, and returns the time until the target has their entries.
func (r *routeBench) flap(host int, gone bool) time.Duration {
	r.Helper()
	route := topology.LearnedRoute{Router: r.router, Delete: gone, Route: topology.Route{
		Dst: netip.PrefixFrom(bulk.Dst(host, false), 32), Kind: topology.RouteBlackhole, Origin: topology.OriginLearned, Weight: 1,
	}}
	before, begin := r.target.changed(), time.Now()
	r.give(topology.Changes{Routes: []topology.LearnedRoute{route}})
	took := time.Since(begin)
	if n := r.target.changed() - before; n < bulk.VMs {
		r.Fatalf("a route of %d flows changed, and %d updates were written; agent %+v", bulk.VMs, n, r.agent.Stats())
	}
	return took
}

// give has the agent take the next view, and returns when all that follows is acknowledged.
func (r *routeBench) give(c topology.Changes) {
	r.Helper()
	snap, deps := r.view.Topology.With(c)
	r.view.Topology = snap
	view := r.view
	r.call(func(c *core) { c.world(state.Change{View: &view, Deps: deps}) })
	for busy := true; busy; {
		r.call(func(c *core) { busy = len(c.target.open) > 0 || c.staleSince() >= 0 })
	}
}
