package state

import (
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/testbed/internet"
	"github.com/weft-sdn/weft/topology"
)

// internetTable returns every stride-th route of a table of the Internet, both families. Metrics are spread as lengths of AS paths are, about.
func internetTable(tb testing.TB, stride int) []RIBRoute {
	tb.Helper()
	prefixes, err := internet.Prefixes(stride)
	if err != nil {
		tb.Fatal(err)
	}
	via4, via6 := addr("192.0.2.9"), addr("2001:db8:1::9")
	routes := make([]RIBRoute, len(prefixes))
	for i, p := range prefixes {
		routes[i] = RIBRoute{Dst: p, Via: via4, Metric: uint64(i * stride % 97 % 8)}
		if p.Addr().Is6() {
			routes[i].Via = via6
		}
	}
	return routes
}

// BenchmarkRIB reports, of a session's table of the Internet that is stored and read by another process of an edge: bgp_stored_mb, what etcd's database has in use then, history included;
// bgp_etcd_keys; bgp_store_ms, until all is stored; bgp_read_ms, from there until the other's view has all of it; bgp_reader_bytes, memory a route that this takes; and
// bgp_route_change_ms, from one change until the other's view has it, the median of 20; bgp_lose_ms,
// from the loss of the session until none of its routes is in force in the view; bgp_swept_ms, until they have left the table, too. With _100k: of a tenth of the table.
func BenchmarkRIB(b *testing.B) {
	for _, size := range []struct {
		name   string
		stride int
	}{{"_100k", 10}, {"", 1}} {
		b.Run("Internet"+size.name, func(b *testing.B) {
			routes := internetTable(b, size.stride)
			for b.Loop() {
				benchRIB(b, routes, size.name)
			}
		})
	}
}

func benchRIB(b *testing.B, routes []RIBRoute, name string) {
	s, end := openStore(b, Config{Embedded: &EmbeddedConfig{Dir: b.TempDir()}, Edges: []string{"e1"}})
	defer end()
	rev := apply(b, s, ribNetwork)
	wait(b, s, rev)
	vports, _, err := s.List(b.Context(), topology.KindVPort, "isp")
	if err != nil {
		b.Fatal(err)
	}
	routers, _, err := s.List(b.Context(), topology.KindRouter, "isp")
	if err != nil {
		b.Fatal(err)
	}
	router, port := topology.DeviceID(routers[0].Status.ID), flow.VPortID(vports[0].Status.ID)
	live := make(chan struct{}, 1)
	e, err := s.RegisterEdge(edgeInfo("e1"), EdgeConfig{Live: func() { live <- struct{}{} }})
	if err != nil {
		b.Fatal(err)
	}
	running(b, e.Run)
	within(b, live)
	r, err := s.NewRIB(RIBSource{router, port, "e1", "upstream"})
	if err != nil {
		b.Fatal(err)
	}
	running(b, r.Run)
	reader, endReader := openStore(b, Config{Client: ClientConfig{Endpoints: s.Endpoints()}, Edges: []string{"e2"}})
	defer endReader()
	reader.Load(router)
	has := func(v *View) int {
		if r := v.Topology.Router(router); r != nil {
			return r.Routes.Len()
		}
		return -1
	}
	if err := reader.Wait(b.Context(), func(*topology.Snapshot) bool { return has(reader.View()) >= 0 }); err != nil {
		b.Fatal(err)
	}
	own, before, began := has(reader.View()), heap(), time.Now()
	for i := 0; i < len(routes); i += 1000 { // as a session brings them
		if err := r.Update(routes[i:min(len(routes), i+1000)]); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	stored := time.Since(began)
	if err := reader.Wait(b.Context(), func(*topology.Snapshot) bool { return has(reader.View()) == own+len(routes) }); err != nil {
		b.Fatal(err)
	}
	read := time.Since(began) - stored
	status, err := s.client.Status(b.Context(), s.Endpoints()[0])
	if err != nil {
		b.Fatal(err)
	}
	kept := heap() - before
	stats := r.Stats()
	b.ReportMetric(float64(status.DbSizeInUse)/1e6, "bgp_stored_mb"+name+":MB")
	b.ReportMetric(float64(stats.Blocks), "bgp_etcd_keys"+name+":keys")
	b.ReportMetric(float64(stats.Bytes)/float64(stats.Routes), "bgp_block_bytes"+name+":B/route")
	b.ReportMetric(float64(stored.Milliseconds()), "bgp_store_ms"+name+":ms")
	b.ReportMetric(float64(read.Milliseconds()), "bgp_read_ms"+name+":ms")
	b.ReportMetric(float64(kept)/float64(stats.Routes), "bgp_reader_bytes"+name+":B/route")
	change := changeRIB(b, r, reader, router, routes)
	began = time.Now()
	r.Clear()
	if err := reader.Wait(b.Context(), func(s *topology.Snapshot) bool {
		for r := range s.Router(router).Routes.All() {
			if r.Origin == topology.OriginLearned {
				return false
			}
		}
		return true
	}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "bgp_lose_ms"+name+":ms")
	if err := reader.Wait(b.Context(), func(*topology.Snapshot) bool { return has(reader.View()) == own }); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "bgp_swept_ms"+name+":ms")
	b.ReportMetric(float64(change.Microseconds())/1e3, "bgp_route_change_ms"+name+":ms")
}

// changeRIB returns the median time from a change of one route until the reader has it.
func changeRIB(b *testing.B, r *RIB, reader *Store, router topology.DeviceID, routes []RIBRoute) time.Duration {
	var took []time.Duration
	for i := range 20 {
		u := routes[len(routes)/20*i]
		u.Metric = 99
		began := time.Now()
		if err := r.Update([]RIBRoute{u}); err != nil {
			b.Fatal(err)
		}
		want := r.source.learned(&u, false).Route
		if err := reader.Wait(b.Context(), func(s *topology.Snapshot) bool { return s.Router(router).Routes.Has(want) }); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}
