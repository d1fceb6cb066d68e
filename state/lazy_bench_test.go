package state

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/topology"
)

// provision stores a provider and n tenants, the first hosted of them at edge e1 and the others at e2, and returns the revision.
func provision(b *testing.B, s *Store, n, hosted int) int64 {
	b.Helper()
	rev, err := s.Apply(b.Context(), decode(b, provider))
	for from := 0; from < n && err == nil; from += 500 {
		var y strings.Builder
		for i := from; i < min(n, from+500); i++ {
			edge := "e2"
			if i < hosted {
				edge = "e1"
			}
			y.WriteString(tenantYAML(i, edge))
		}
		rev, err = s.Apply(b.Context(), decode(b, y.String()))
	}
	if err != nil {
		b.Fatal(err)
	}
	return rev
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkView compares a store that holds 10,000 tenants with one that holds what an edge needs that hosts ten of them: the time to the first view, the
// memory that it keeps, and the time from a change of a hosted tenant to the view that has it.
func BenchmarkView(b *testing.B) {
	const tenants, hosted = 10_000, 10
	s, err := Open(b.Context(), Config{Embedded: &EmbeddedConfig{Dir: b.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	running(b, s.writer.Run) // no view of its own: its memory would be counted
	rev := provision(b, s, tenants, hosted)
	objects, _, err := s.List(b.Context(), topology.KindBridge, "t1")
	if err != nil {
		b.Fatal(err)
	}
	vms, _, err := s.List(b.Context(), topology.KindVPort, "t1")
	if err != nil {
		b.Fatal(err)
	}
	bridge, vm := topology.DeviceID(objects[0].Status.ID), uint32(0)
	for _, o := range vms {
		if o.Metadata.Name == "vm" {
			vm = o.Status.ID
		}
	}
	s.desired = desired{}
	for _, tc := range []struct {
		name  string
		edges []string
	}{{"Whole", nil}, {"Lazy", []string{"e1"}}} {
		b.Run(fmt.Sprintf("%s/10kTenants10Hosted", tc.name), func(b *testing.B) {
			before, began := heap(), time.Now()
			o, end := openStore(b, Config{Client: ClientConfig{Endpoints: s.Endpoints()}, Edges: tc.edges})
			wait(b, o, rev)
			first := time.Since(began)
			kept := heap() - before
			n := 0
			for b.Loop() {
				n++
				key, value := fdbKey(bridge, mac(byte(n))), appendFDB(nil, fdbValue{vport: flowVPortID(vm)})
				resp, err := s.client.Put(b.Context(), key, string(value))
				if err != nil {
					b.Fatal(err)
				}
				wait(b, o, resp.Header.Revision)
			}
			b.ReportMetric(float64(first.Milliseconds()), "ms/first-view")
			b.ReportMetric(float64(kept)/1e6, "MB/view")
			b.ReportMetric(float64(len(loadedIDs(o.View()))), "devices")
			end()
		})
	}
}

// BenchmarkLoad is the time to load and release 1,000 devices, and that of an event while they are followed: one stream, a watch each.
func BenchmarkLoad(b *testing.B) {
	const tenants = 500 // with two devices each
	s, err := Open(b.Context(), Config{Embedded: &EmbeddedConfig{Dir: b.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	rev := provision(b, s, tenants, 0)
	var ids []topology.DeviceID
	for _, kind := range []topology.Kind{topology.KindBridge, topology.KindRouter} {
		objects, _, err := s.List(b.Context(), kind, "")
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range objects {
			if o.Tenant() != "isp" {
				ids = append(ids, topology.DeviceID(o.Status.ID))
			}
		}
	}
	o, _ := openStore(b, Config{Client: ClientConfig{Endpoints: s.Endpoints()}, Edges: []string{"e9"}, Linger: time.Hour})
	wait(b, o, rev)
	loaded := func(n int) func(*topology.Snapshot) bool {
		return func(t *topology.Snapshot) bool { return len(loadedIDs(&View{Topology: t})) == n }
	}
	b.Run("1000Devices", func(b *testing.B) {
		for b.Loop() {
			for _, id := range ids {
				o.Load(id)
			}
			await(b, o, loaded(len(ids)))
			b.StopTimer()
			for _, id := range ids {
				o.Release(id)
			}
			o.loader.mu.Lock()
			for id := range o.loader.followed {
				delete(o.loader.followed, id)
				o.watcher.Remove(devicePrefix(id))
			}
			o.loader.mu.Unlock()
			await(b, o, loaded(0))
			b.StartTimer()
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(ids)), "µs/device")
	})
	b.Run("Event/1000Devices", func(b *testing.B) {
		for _, id := range ids {
			o.Load(id)
		}
		await(b, o, loaded(len(ids)))
		n := 0
		for b.Loop() {
			n++
			resp, err := s.client.Put(b.Context(), arpKey(ids[n%tenants], addr(fmt.Sprintf("10.0.0.%d", 2+n%250))), string(appendNeigh(nil, neighValue{known: true, mac: mac(byte(n))})))
			if err != nil {
				b.Fatal(err)
			}
			wait(b, o, resp.Header.Revision)
		}
	})
}
