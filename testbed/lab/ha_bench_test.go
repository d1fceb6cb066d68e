//go:build unix

package lab

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/bulk"
	"github.com/weft-sdn/weft/topology"
)

// The routers that are linked to that of a benchmark, and the routes of each, with it a million.
const (
	haRouters = 10
	haRoutes  = 100_000
)

// BenchmarkStandby reports ha_new_flow_ms and ha_lost_packets: of two agents of an edge, with a million routes and 10,000 translated connections, the one that acts is killed (its
// connections end, and it says nothing more), three times, and the next one takes over; the time from then until the first packet of a connection that did not exist arrives, one being begun
// each 5 ms, the worst. ha_handover_ms is the same of one that ends by itself. Lost are those frames of an old connection, one each
// millisecond through it all, that did not arrive. ha_entries_kept are the entries of connections that were never touched.
func BenchmarkStandby(b *testing.B) {
	const conns, turns = 10_000, 3
	for b.Loop() {
		r := newRig(b, rigConfig{
			objects: bulk.Network(bulk.OddPorts(), "filters: {egress: hide}") + hide, share: 100, frames: conns + 40_000 + 600_000, reachable: true, routes: haRouters * haRoutes,
		})
		active := r.another("agent0")
		active.serves()
		r.agent = active.agent
		r.install(bulk.Odd, 0, conns, 96*bulk.VMs)
		on := r.keepOn(bulk.Odd(0), conns+40_000)
		modified, deleted, next := r.modified.Load(), r.deleted.Load(), conns
		var killed, ended []time.Duration
		for i := range 2 * turns {
			standby := r.another(fmt.Sprintf("agent%d", i+1))
			standby.standsBy()
			runtime.GC() // what it took to read the routes
			strike, took := active.kill, &killed
			if i >= turns {
				strike, took = active.cancel, &ended
			}
			begin := time.Now()
			strike()
			d, n := r.fresh(next, begin)
			*took, next = append(*took, d), next+n
			standby.serves()
			active.end()
			active = standby
		}
		r.agent = active.agent
		slices.Sort(killed)
		slices.Sort(ended)
		b.Logf("killed: %v; ended: %v; agent %+v", killed, ended, active.agent.Stats())
		b.ReportMetric(float64(killed[turns-1])/1e6, "ha_new_flow_ms:ms")
		b.ReportMetric(float64(ended[turns-1])/1e6, "ha_handover_ms:ms")
		b.ReportMetric(float64(on.lost()), "ha_lost_packets:packets")
		b.ReportMetric(float64(conns-(r.modified.Load()-modified)-(r.deleted.Load()-deleted)), "ha_entries_kept:entries")
		active.end()
	}
}

// addRoutes gives the rig's router, and others that are linked to it, n routes in all.
func (r *rig) addRoutes(n int) {
	r.Helper()
	for i := range n / haRoutes {
		name, port := fmt.Sprintf("far%d", i), fmt.Sprintf("far%d-gw", i)
		links := bulk.Object("Router", "red", name, "") +
			bulk.Object("VPort", "red", fmt.Sprintf("gw-far%d", i), fmt.Sprintf("device: router/gw, peer: %s, addresses: [100.64.%d.1/30]", port, i)) +
			bulk.Object("VPort", "red", port, fmt.Sprintf("device: router/%s, peer: gw-far%d, addresses: [100.64.%d.2/30]", name, i, i))
		objects, err := topology.Decode("links.yaml", []byte(links))
		if err != nil {
			r.Fatal(err)
		}
		spec := &topology.RouterSpec{Routes: make([]topology.RouteSpec, haRoutes)}
		for k := range spec.Routes {
			dst := uint32(i*haRoutes + k) // 20.0.0.0/24 and on
			spec.Routes[k] = topology.RouteSpec{
				Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(dst>>16), byte(dst >> 8), byte(dst), 0}), 24), Via: netip.AddrFrom4([4]byte{100, 64, byte(i), 1}), Port: port,
			}
		}
		for _, o := range objects {
			if o.Kind == topology.KindRouter {
				o.Spec = spec
			}
		}
		if r.revision, err = r.store.Apply(r.Context(), objects); err != nil {
			r.Fatal(err)
		}
	}
}
