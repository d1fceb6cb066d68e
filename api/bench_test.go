package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// synced is a server with an etcd of its own that syncs to disk, as in production, and a guard that decides.
func synced(b *testing.B) *client.Client {
	b.Helper()
	store := open(b, state.Config{Embedded: &state.EmbeddedConfig{Dir: b.TempDir()}})
	guard, err := access.New(access.Config{Store: store})
	if err != nil {
		b.Fatal(err)
	}
	running(b, guard.Run)
	var token string
	for token == "" {
		if token, err = guard.First(b.Context()); err != nil && !errors.Is(err, access.ErrUnavailable) {
			b.Fatal(err)
		}
	}
	url := serve(b, store, func(o *Options) { o.Guard, o.Accounts = guard, guard })
	c, err := client.New(client.Config{Server: url, Token: client.Token(token), Timeout: 5 * time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// port is the n-th vport of a network of bridges with 100 each.
func port(n int) topology.Object {
	return topology.Object{
		APIVersion: topology.APIVersion, Kind: topology.KindVPort, Metadata: topology.Metadata{Name: fmt.Sprintf("port-%06d", n), Tenant: "acme", Labels: map[string]string{"tier": fmt.Sprint(n % 10)}},
		Spec: &topology.VPortSpec{Device: fmt.Sprintf("bridge/net-%04d", n/100), MTU: 1400},
	}
}

func bridge(n int) topology.Object {
	return topology.Object{APIVersion: topology.APIVersion, Kind: topology.KindBridge, Metadata: topology.Metadata{Name: fmt.Sprintf("net-%04d", n), Tenant: "acme"}, Spec: &topology.BridgeSpec{}}
}

// fill puts so many vports and their bridges, 10,000 objects at once.
func fill(b *testing.B, c *client.Client, ports int) {
	b.Helper()
	var change client.Change
	send := func() {
		if _, err := c.Apply(b.Context(), change, client.Options{}); err != nil {
			b.Fatal(err)
		}
		change = client.Change{}
	}
	for i := range (ports + 99) / 100 {
		change.Put = append(change.Put, bridge(i))
	}
	send()
	for i := range ports {
		if change.Put = append(change.Put, port(i)); len(change.Put) == 5000 || i == ports-1 {
			send()
		}
	}
}

const callersAtOnce = 64

// together has callers do something n times in all, and returns how often a second, and the processor time of each in microseconds: of client, server and etcd.
func together(b *testing.B, n int, do func(ctx context.Context, i int) error) (rate, cpu float64) {
	b.Helper()
	spent := processorTime(b)
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range callersAtOnce {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && !b.Failed(); i = next.Add(1) - 1 {
				if err := do(b.Context(), int(i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	return float64(n) / took.Seconds(), float64((processorTime(b) - spent).Microseconds()) / float64(n)
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWrites: changes of single objects by 64 callers, each with an Idempotency-Key and a record in the audit log; the client is on the same cores.
func BenchmarkWrites(b *testing.B) {
	c := synced(b)
	fill(b, c, 1000)
	best, least := 0.0, math.Inf(1)
	for b.Loop() {
		rate, cpu := together(b, 10_000, func(ctx context.Context, i int) error {
			o := port(i % 1000)
			o.Spec.(*topology.VPortSpec).MTU = uint16(1300 + i/1000)
			_, err := c.Put(ctx, &o, client.Options{})
			return err
		})
		best, least = max(best, rate), min(least, cpu)
	}
	b.ReportMetric(best, "api_writes_per_s:/s")
	b.ReportMetric(least, "api_write_cpu:us")
}

// BenchmarkReads: single objects among 1,000.
func BenchmarkReads(b *testing.B) {
	c := synced(b)
	fill(b, c, 1000)
	best, least := 0.0, math.Inf(1)
	for b.Loop() {
		rate, cpu := together(b, 100_000, func(ctx context.Context, i int) error {
			o := port(i % 1000)
			_, err := c.Do(ctx, client.Request{Method: http.MethodGet, Path: "/v1/vports/acme/" + o.Metadata.Name}, nil)
			return err
		})
		best, least = max(best, rate), min(least, cpu)
	}
	b.ReportMetric(best, "api_reads_per_s:/s")
	b.ReportMetric(least, "api_read_cpu:us")
}

// BenchmarkListFirstPage: the first 500 of 100,000 vports.
func BenchmarkListFirstPage(b *testing.B) {
	c := synced(b)
	fill(b, c, 100_000)
	for _, tc := range []struct {
		name string
		o    client.ListOptions
	}{
		{"all", client.ListOptions{}}, {"label", client.ListOptions{Selector: "tier=3"}}, {"field", client.ListOptions{Fields: []string{"spec.device=bridge/net-0500"}}}, {"sorted", client.ListOptions{Sort: "-metadata.name"}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			tc.o.Kinds = []topology.Kind{topology.KindVPort}
			for b.Loop() {
				list, err := c.List(b.Context(), tc.o)
				if err != nil || list.Total < 100 {
					b.Fatal(list, err)
				}
			}
			ms := b.Elapsed().Seconds() * 1e3 / float64(b.N)
			if tc.name == "all" {
				b.ReportMetric(ms, "api_list_first_page:ms")
			} else {
				b.ReportMetric(ms, "ms")
			}
		})
	}
}

// BenchmarkApply10k: a network of 10,000 objects, half of them exterior vports and half their bindings and bridges, at one revision.
func BenchmarkApply10k(b *testing.B) {
	var change client.Change
	for i := range 50 {
		change.Put = append(change.Put, bridge(i))
	}
	for i := range 4975 {
		p := port(i)
		change.Put = append(change.Put, p, topology.Object{
			APIVersion: topology.APIVersion, Kind: topology.KindBinding, Metadata: p.Metadata, Spec: &topology.BindingSpec{VPort: p.Metadata.Name, Edge: fmt.Sprintf("nic%d", i%100), Interface: fmt.Sprintf("eth%d", i)},
		})
	}
	worst := time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		c := synced(b)
		b.StartTimer()
		began := time.Now()
		r, err := c.Apply(b.Context(), change, client.Options{})
		if err != nil || len(r.Steps) != len(change.Put) {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(began))
	}
	b.ReportMetric(worst.Seconds(), "api_apply_10k:s")
}
