package lab_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/topology"
)

// refused pings once, and fails the test unless an ICMP error of that kind comes from by.
func refused(t *testing.T, from *host.Host, to netip.Addr, kind host.Kind, by netip.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := from.PingWith(ctx, to, host.PingConfig{Timeout: 10 * time.Second})
	var icmp *host.ICMPError
	if !errors.As(err, &icmp) || icmp.Kind != kind || icmp.From != by {
		t.Errorf("ping %s: %v, want %s from %s", to, err, kind, by)
	}
}

// routedPair is one tenant's VMs at two edges, with their router between them.
func routedPair(t *testing.T, ctx context.Context, edges ...lab.EdgeConfig) (*lab.Lab, [2]*host.Host) {
	t.Helper()
	l := start(t, edges...)
	if err := l.Apply(ctx, "network.yaml", []byte(tenant("red", 1))); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	return l, [2]*host.Host{vm(t, l.Edges[0], 1, 1), vm(t, l.Edges[1], 2, 1)}
}

// TestUnbound: what goes to a vport that is bound nowhere gets host unreachable from the last router, by packets that have a flow and by those
// that have not; a bind ends it (E14).
func TestUnbound(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	l, vms := routedPair(t, ctx, lab.EdgeConfig{ID: "e1", N: 1, Tunnel: offload.VXLAN, Access: 1}, lab.EdgeConfig{ID: "e2", N: 2, Tunnel: offload.VXLAN, Access: 1})
	families := []struct{ to, by netip.Addr }{
		{vms[1].Addr4(), netip.MustParseAddr("10.0.1.1")},
		{vms[1].Addr6(), netip.MustParseAddr("fd00:1::1")},
	}
	for _, f := range families {
		if _, err := vms[0].Ping(ctx, f.to, 3); err != nil {
			t.Errorf("ping %s: %v", f.to, err)
		}
	}
	if err := l.Delete(ctx, topology.Ref{Kind: topology.KindBinding, Tenant: "red", Name: "vm2"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, f := range families {
			refused(t, vms[0], f.to, host.HostUnreachable, f.by)
		}
	}
	_, binding, _ := strings.Cut(tenant("red", 1), "metadata: {name: vm2, tenant: red}\nspec: {device: bridge/lan2}\n---\n")
	if err := l.Apply(ctx, "bind.yaml", []byte(binding)); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if r, err := vms[0].Ping(ctx, f.to, 3); err != nil {
			t.Errorf("ping %s after the bind: %d of 3, %v", f.to, r.Received(), err)
		}
	}
}

// TestNobodyAnswers: packets for an address that nobody has wait, and then get host unreachable from the router that asked; the question goes out of
// the database (R4).
func TestNobodyAnswers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	l, vms := routedPair(t, ctx, lab.EdgeConfig{ID: "e1", N: 1, Tunnel: offload.Geneve, Access: 1}, lab.EdgeConfig{ID: "e2", N: 2, Tunnel: offload.Geneve, Access: 1})
	refused(t, vms[0], netip.MustParseAddr("10.0.2.77"), host.HostUnreachable, netip.MustParseAddr("10.0.1.1"))
	refused(t, vms[0], netip.MustParseAddr("fd00:2::77"), host.HostUnreachable, netip.MustParseAddr("fd00:1::1"))
	port, ok := l.Store().View().Topology.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: "gw-lan2"})
	if !ok {
		t.Fatal("no router port")
	}
	eventually(t, l, "questions are left in the database", func(s *topology.Snapshot) bool {
		_, v4 := s.Neighbour(flow.VPortID(port), netip.MustParseAddr("10.0.2.77"))
		_, v6 := s.Neighbour(flow.VPortID(port), netip.MustParseAddr("fd00:2::77"))
		return v4 == topology.NeighbourAbsent && v6 == topology.NeighbourAbsent
	})
}

// TestAgeing: a MAC that no flow backs any more is forgotten, and learnt again when its host speaks (B3).
func TestAgeing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	quick := func(id string, n int) lab.EdgeConfig {
		return lab.EdgeConfig{ID: id, N: n, Tunnel: offload.VXLAN, Access: 1, IdleTimeout: time.Second, AgeTime: time.Second}
	}
	l, vms := routedPair(t, ctx, quick("e1", 1), quick("e2", 2))
	known := func(s *topology.Snapshot) bool {
		id, _ := s.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: "lan1"})
		_, ok := s.Bridge(topology.DeviceID(id)).FDB(packet.MAC(vms[0].MAC()))
		return ok
	}
	for range 2 {
		if _, err := vms[0].Ping(ctx, vms[1].Addr4(), 3); err != nil {
			t.Fatal(err)
		}
		eventually(t, l, "the MAC was not learnt", known)
		eventually(t, l, "the MAC was not forgotten", func(s *topology.Snapshot) bool { return !known(s) })
	}
}

// eventually waits until the database's view is as it should be.
func eventually(t *testing.T, l *lab.Lab, otherwise string, is func(*topology.Snapshot) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.Store().Wait(ctx, is); err != nil {
		t.Errorf("%s: %v", otherwise, err)
	}
}
