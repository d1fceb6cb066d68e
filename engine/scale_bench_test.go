package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/bulk"
)

// The network of BenchmarkScale: 100,000 vports and 10,020 routers, at 1,000 edges.
const (
	scaleEdges    = 1000
	scaleTenants  = 10 * scaleEdges
	scaleVMs      = 6   // of a tenant, beside the four ports between them, its router and the provider's
	scaleSpread   = 4   // edges that have VMs of a tenant
	scaleCores    = 20  // routers of the provider
	scaleBatch    = 200 // tenants in a transaction
	scaleEdits    = 20
	scaleStarting = 4        // agents that start at once: they share the processors, and who gets none for longer than its lease lives is gone for the others
	scaleMemory   = 12 << 30 // bytes in use, from which on garbage is collected: that there are a thousand agents to look through is no part of what one of them takes
)

// scaleTenant is a tenant: a bridge with VMs, a chain that each of them has, and a router to the provider's.
func scaleTenant(n int) string {
	var y strings.Builder
	tenant := fmt.Sprintf("t%d", n)
	object := func(kind, tenant, name, spec string) {
		fmt.Fprintf(&y, "---\napiVersion: weft/v1\nkind: %s\nmetadata: {name: %s, tenant: %s}\nspec: {%s}\n", kind, name, tenant, spec)
	}
	host := fmt.Sprintf("%d.%d", n>>8, n&255)
	y.WriteString(scaleChain(n, 443))
	object("Bridge", tenant, "lan", "")
	object("Router", tenant, "gw", fmt.Sprintf("routes: [{dst: 0.0.0.0/0, via: 100.64.%s, port: up}]", host))
	object("VPort", tenant, "lan-gw", "device: bridge/lan, peer: gw-lan")
	object("VPort", tenant, "gw-lan", `device: router/gw, peer: lan-gw, addresses: [10.0.0.1/16]`)
	object("VPort", tenant, "up", "device: router/gw, peer: isp/"+tenant)
	object("VPort", "isp", tenant, fmt.Sprintf("device: router/core%d, peer: %s/up, addresses: [100.64.%s/32]", n%scaleCores, tenant, host))
	for i := range scaleVMs {
		vm := fmt.Sprintf("vm%d", i)
		object("VPort", tenant, vm, "device: bridge/lan, filters: {ingress: ports}")
		object("Binding", tenant, vm, scaleBinding(n, i, (scaleSpread*n+i%scaleSpread)%scaleEdges))
	}
	return y.String()
}

func scaleBinding(tenant, vm, edge int) string {
	return fmt.Sprintf(`vport: vm%d, edge: e%d, interface: "%d"`, vm, edge, tenant*scaleSpread/scaleEdges*scaleVMs+vm)
}

// scaleChain is a tenant's chain, which lets one port pass.
func scaleChain(tenant, port int) string {
	return fmt.Sprintf("---\napiVersion: weft/v1\nkind: Chain\nmetadata: {name: ports, tenant: t%d}\nspec: {default: drop, rules: [{match: {protocols: [tcp], dstPorts: [%d]}, action: accept}]}\n", tenant, port)
}

// BenchmarkScale reports what a network of 1,000 edges takes, with an agent for each and null targets, all in one process with etcd: scale_ready_s until all agents, some at a time,
// have started and programmed all that concerns them, and scale_ready_cpu_s of the processors for that; scale_agent_mb of memory each; scale_edit_ms from an edit of one tenant's
// chain until all 1,000 edges have acknowledged it (the slowest of 20, and scale_edit_p50), and the same of a move of one VM; scale_change_cpu_ms of the processors for one of these.
func BenchmarkScale(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(scaleMemory))
	for b.Loop() {
		all := runStore(b, state.Config{Embedded: &state.EmbeddedConfig{Dir: b.TempDir(), UnsafeNoFsync: true}})
		began := time.Now()
		revision := provision(b, all, scaleTenants, scaleBatch, scaleCores, scaleTenant)
		b.ReportMetric(time.Since(began).Seconds(), "scale_apply_s:s")
		before := heap()
		began, used := time.Now(), bulk.CPUTime(b)
		var stop func()
		profiled(b, "scale.ready.cpu", func() {
			stop = startScale(b, all.Endpoints())
			scaleApplied(b, all, revision, 20*time.Minute)
		})
		b.ReportMetric(time.Since(began).Seconds(), "scale_ready_s:s")
		b.ReportMetric((bulk.CPUTime(b) - used).Seconds(), "scale_ready_cpu_s:s")
		b.ReportMetric(float64(heap()-before)/scaleEdges/(1<<20), "scale_agent_mb:MB")
		keepProfile(b, "scale.heap")
		used = bulk.CPUTime(b)
		profiled(b, "scale.change.cpu", func() { scaleChanges(b, all) })
		b.ReportMetric((bulk.CPUTime(b)-used).Seconds()*1e3/(2*scaleEdits), "scale_change_cpu_ms:ms")
		stop()
	}
}

// scaleChanges edits chains and moves VMs in turn, and reports how long each kind takes.
func scaleChanges(b *testing.B, all *state.Store) {
	b.Helper()
	var edits, moves []time.Duration
	for i := range scaleEdits {
		tenant := i * (scaleTenants/scaleEdits + 1)
		edits = append(edits, scaleChange(b, all, scaleChain(tenant, 8000+i)))
		moves = append(moves, scaleChange(b, all, fmt.Sprintf("---\napiVersion: weft/v1\nkind: Binding\nmetadata: {name: vm0, tenant: t%d}\nspec: {vport: vm0, edge: e%d, interface: \"250\"}\n", tenant, (scaleSpread*tenant+scaleEdges/2)%scaleEdges)))
	}
	for name, took := range map[string][]time.Duration{"edit": edits, "move": moves} {
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds()*1e3, "scale_"+name+"_p50:ms")
		b.ReportMetric(took[len(took)-1].Seconds()*1e3, "scale_"+name+"_ms:ms")
	}
}

// heap is what is in use, once what is not is gone.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what is in a sync.Pool goes at the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// scaleChange applies objects and returns how long it took until all edges had acknowledged them.
func scaleChange(b *testing.B, s *state.Store, objects string) time.Duration {
	b.Helper()
	began := time.Now()
	scaleApplied(b, s, applyAll(b, s, objects), time.Minute)
	return time.Since(began)
}

// scaleApplied returns when all edges have acknowledged a revision.
func scaleApplied(b *testing.B, s *state.Store, revision int64, within time.Duration) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), within)
	defer cancel()
	var edges []string
	for i := range scaleEdges {
		edges = append(edges, fmt.Sprintf("e%d", i))
	}
	if err := s.WaitEdges(ctx, edges...); err != nil {
		b.Fatal(err)
	}
	if err := s.WaitApplied(ctx, revision); err != nil {
		b.Fatal(err)
	}
}

// startScale starts all agents, each with a database client of its own, and returns what stops them, once the target of each has been programmed.
func startScale(b *testing.B, endpoints []string) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	stop = func() {
		cancel()
		_ = running.Wait()
	}
	starting, startCtx := errgroup.WithContext(b.Context())
	starting.SetLimit(scaleStarting)
	for i := range scaleEdges {
		starting.Go(func() error { return startAgent(startCtx, ctx, &running, endpoints, i) })
	}
	if err := starting.Wait(); err != nil {
		stop()
		b.Fatal(err)
	}
	return stop
}

// startAgent starts the agent of an edge, which runs until ctx ends, and returns when its target is programmed.
func startAgent(starting, ctx context.Context, running *errgroup.Group, endpoints []string, i int) error {
	id := fmt.Sprintf("e%d", i)
	store, err := state.Open(ctx, state.Config{Client: state.ClientConfig{Endpoints: endpoints}, Edges: []string{id}})
	if err != nil {
		return err
	}
	target, err := newNullTarget()
	if err != nil {
		return errors.Join(err, store.Close())
	}
	agent, err := NewAgent(Config{
		Store: store, Self: Edge{ID: id, VTEPs: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})}}, Dial: target.dial,
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	running.Go(func() error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return store.Run(ctx) })
		g.Go(func() error { return agent.Run(ctx) })
		return errors.Join(g.Wait(), store.Close())
	})
	select {
	case <-agent.Ready():
		return nil
	case <-starting.Done():
		return fmt.Errorf("edge %s: %w", id, starting.Err())
	}
}
