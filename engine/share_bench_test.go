package engine

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// The network of BenchmarkTopologyShare: 100,000 vports.
const (
	shareTenants = 1000
	shareVMs     = 97  // of a tenant, beside the three ports of its router and bridge
	shareLocal   = 50  // at the edge, five of a tenant
	shareOthers  = 999 // edges beside it
	shareCores   = 20  // routers of the provider, by which tenants reach what is outside
	shareBatch   = 25  // tenants in a transaction
)

// shareTenant is a tenant: a bridge with VMs, a chain that each of them has, and a router to the provider's. At most five of its VMs are at e1.
func shareTenant(n int) string {
	var y strings.Builder
	tenant := fmt.Sprintf("t%d", n)
	object := func(kind, tenant, name, spec string) {
		fmt.Fprintf(&y, "---\napiVersion: weft/v1\nkind: %s\nmetadata: {name: %s, tenant: %s}\nspec: {%s}\n", kind, name, tenant, spec)
	}
	host := fmt.Sprintf("%d.%d", n>>8, n&255)
	object("Chain", tenant, "ports", "default: drop, rules: [{match: {protocols: [tcp], dstPorts: [443]}, action: accept}]")
	object("Bridge", tenant, "lan", "")
	object("Router", tenant, "gw", fmt.Sprintf("routes: [{dst: 0.0.0.0/0, via: 100.64.%s, port: up}]", host))
	object("VPort", tenant, "lan-gw", "device: bridge/lan, peer: gw-lan")
	object("VPort", tenant, "gw-lan", `device: router/gw, peer: lan-gw, addresses: [10.0.0.1/16]`)
	object("VPort", tenant, "up", "device: router/gw, peer: isp/"+tenant)
	object("VPort", "isp", tenant, fmt.Sprintf("device: router/core%d, peer: %s/up, addresses: [100.64.%s/32]", n%shareCores, tenant, host))
	for i := range shareVMs {
		vm := fmt.Sprintf("vm%d", i)
		object("VPort", tenant, vm, "device: bridge/lan, filters: {ingress: ports}")
		all := n*shareVMs + i
		edge, at := fmt.Sprintf("e%d", 2+all%shareOthers), all/shareOthers
		if n*5 < shareLocal && i < 5 {
			edge, at = "e1", n*5+i
		}
		object("Binding", tenant, vm, fmt.Sprintf(`vport: %s, edge: %s, interface: "%d"`, vm, edge, at))
	}
	return y.String()
}

// BenchmarkTopologyShare reports topology_share: what the agent of an edge with 50 of a network's 100,000 vports holds of the network's devices, ports or
// chains, whichever is most, in percent.
func BenchmarkTopologyShare(b *testing.B) {
	for b.Loop() {
		all := runStore(b, state.Config{Embedded: &state.EmbeddedConfig{Dir: b.TempDir(), UnsafeNoFsync: true}})
		revision := provision(b, all, shareTenants, shareBatch, shareCores, shareTenant)
		store := runStore(b, state.Config{Client: state.ClientConfig{Endpoints: all.Endpoints()}, Edges: []string{"e1"}})
		target, err := newNullTarget()
		if err != nil {
			b.Fatal(err)
		}
		agent, err := NewAgent(Config{Store: store, Self: Edge{ID: "e1", VTEPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}, Dial: target.dial})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- agent.Run(ctx) }()
		if err := store.WaitRevision(b.Context(), revision); err != nil {
			b.Fatal(err)
		}
		if err := agent.WaitApplied(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := all.WaitRevision(b.Context(), revision); err != nil {
			b.Fatal(err)
		}
		names := all.View().Topology
		whole, held := contents(names, names), contents(store.View().Topology, names)
		most := 0.0
		for kind, n := range whole {
			share := 100 * float64(held[kind]) / float64(n)
			b.Logf("%d of %d %s: %.2f %%", held[kind], n, kind, share)
			most = max(most, share)
		}
		if held["ports"] < shareLocal || whole["ports"] < 100_000 {
			b.Fatalf("%v of %v", held, whole)
		}
		b.ReportMetric(most, "topology_share:%")
		cancel()
		<-done
	}
}

// provision stores a network of tenants, some in a transaction, behind routers of the provider.
func provision(b *testing.B, s *state.Store, tenants, atOnce, cores int, tenant func(n int) string) (revision int64) {
	b.Helper()
	for from := 0; from < tenants; from += atOnce {
		var y strings.Builder
		if from == 0 {
			for i := range cores {
				fmt.Fprintf(&y, "---\napiVersion: weft/v1\nkind: Router\nmetadata: {name: core%d, tenant: isp}\nspec: {}\n", i)
			}
		}
		for n := from; n < from+atOnce; n++ {
			y.WriteString(tenant(n))
		}
		revision = applyAll(b, s, y.String())
	}
	return revision
}

// applyAll stores objects.
func applyAll(b *testing.B, s *state.Store, objects string) int64 {
	b.Helper()
	list, err := topology.Decode("scale.yaml", []byte(objects))
	if err != nil {
		b.Fatal(err)
	}
	revision, err := s.Apply(b.Context(), list)
	if err != nil {
		b.Fatal(err)
	}
	return revision
}

// contents counts the devices, ports and chains of a snapshot; names has the ids of all.
func contents(s, names *topology.Snapshot) map[string]int {
	n := map[string]int{}
	for p := range s.VPorts() {
		if p.Device != 0 {
			n["ports"]++
		}
	}
	for range s.Bridges() {
		n["devices"]++
	}
	for range s.Routers() {
		n["devices"]++
	}
	for tenant := range shareTenants {
		id, _ := names.ID(topology.Ref{Kind: topology.KindChain, Tenant: fmt.Sprintf("t%d", tenant), Name: "ports"})
		if s.Chain(topology.DeviceID(id)) != nil {
			n["chains"]++
		}
	}
	return n
}
