package lab_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
	"github.com/weft-sdn/weft/topology"
)

// routed opens the lab of testdata/routed.txtar.
func routed(t *testing.T) (*lab.Lab, *state.Store) {
	t.Helper()
	return open(t, lab.Config{Scenario: parseFile(t, "testdata/routed.txtar")})
}

// open starts a lab, and a connection to its database.
func open(t *testing.T, cfg lab.Config) (*lab.Lab, *state.Store) {
	t.Helper()
	l := start(t, cfg)
	s, err := state.Open(t.Context(), state.Config{Client: state.ClientConfig{Endpoints: l.Endpoints()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.WaitRevision(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return l, s
}

func ping(t *testing.T, l *lab.Lab, to scenario.Target, count int, outcome scenario.Outcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	if _, err := l.Ping(ctx, scenario.Ping{From: "red1", To: to, Count: count, Outcome: outcome, Within: 15 * time.Second}); err != nil {
		t.Errorf("ping %v: %v", to, err)
	}
}

// unreachable wants host unreachable from red1's router.
var unreachable = scenario.Outcome{Errors: []host.Kind{host.HostUnreachable}, By: []netip.Addr{netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("fd00:1::1")}}

// TestUnbound: what goes to a vport that is bound nowhere gets host unreachable from the last router, by packets that have a flow and by those
// that have not, IPv4 and IPv6; a bind ends it (E14).
func TestUnbound(t *testing.T) {
	l, s := routed(t)
	red2, vm2 := scenario.Target{Host: "red2"}, topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: "vm2"}
	ping(t, l, red2, 3, scenario.Outcome{})
	id, _ := s.View().Topology.ID(vm2)
	at, ok := s.View().Bindings.Get(flow.VPortID(id))
	if !ok {
		t.Fatal("vm2 is not bound")
	}
	revision, err := s.Unbind(t.Context(), vm2)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WaitApplied(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ping(t, l, red2, 1, unreachable)
	}
	if revision, err = s.Bind(t.Context(), vm2, at.Edge, at.Interface, at.VLAN); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitApplied(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
	ping(t, l, red2, 3, scenario.Outcome{})
}

// TestNobodyAnswers: packets for an address that nobody has wait, and then get host unreachable from the router that asked; the question goes out of
// the database (R4).
func TestNobodyAnswers(t *testing.T) {
	l, s := routed(t)
	a4, a6 := netip.MustParseAddr("10.0.2.77"), netip.MustParseAddr("fd00:2::77")
	ping(t, l, scenario.Target{Addr: a4}, 1, unreachable)
	ping(t, l, scenario.Target{Addr: a6}, 1, unreachable)
	port, ok := s.View().Topology.ID(topology.Ref{Kind: topology.KindVPort, Tenant: "red", Name: "gw-lan2"})
	if !ok {
		t.Fatal("no router port")
	}
	eventually(t, s, "questions are left in the database", func(s *topology.Snapshot) bool {
		_, v4 := s.Neighbour(flow.VPortID(port), a4)
		_, v6 := s.Neighbour(flow.VPortID(port), a6)
		return v4 == topology.NeighbourAbsent && v6 == topology.NeighbourAbsent
	})
}

// learnt is a bridge whose hosts' MACs no configuration tells.
const learnt = `
-- network.yaml --
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: red}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: red}, spec: {device: bridge/lan}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: red}, spec: {device: bridge/lan}}
-- hosts --
red1 vport=red/vm1 edge=e1 mac=02:00:00:00:00:01 ip=10.0.0.1/24,fd00::1/64
red2 vport=red/vm2 edge=e2 mac=02:00:00:00:00:02 ip=10.0.0.2/24,fd00::2/64
`

// TestAgeing: a MAC that was learnt, and the addresses learnt at it, go when no flow backs them any more, and come back when the host speaks (B3).
func TestAgeing(t *testing.T) {
	file, err := scenario.Parse("learnt.txtar", []byte(learnt))
	if err != nil {
		t.Fatal(err)
	}
	l, s := open(t, lab.Config{Scenario: file, IdleTimeout: time.Second, AgeTime: time.Second})
	known := func(s *topology.Snapshot) (mac, addrs bool) {
		id, _ := s.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: "lan"})
		b := s.Bridge(topology.DeviceID(id))
		_, mac = b.FDB(packet.MAC{2, 0, 0, 0, 0, 1})
		_, v4 := b.Neighbour(netip.MustParseAddr("10.0.0.1"))
		_, v6 := b.Neighbour(netip.MustParseAddr("fd00::1"))
		return mac, v4 && v6
	}
	for round := range 2 {
		// The edge may see later than this view that the host was forgotten: then what it says next is learnt.
		for tries := 0; ; tries++ {
			ping(t, l, scenario.Target{Host: "red2"}, 3, scenario.Outcome{})
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			err := s.Wait(ctx, func(s *topology.Snapshot) bool {
				mac, addrs := known(s)
				return mac && (addrs || round > 0) // a host that knows its neighbours does not ask for them again
			})
			cancel()
			if err == nil {
				break
			}
			if tries == 20 {
				mac, addrs := known(s.View().Topology)
				t.Fatalf("what the host says is not learnt: MAC %v, addresses %v: %v", mac, addrs, err)
			}
		}
		eventually(t, s, "what was learnt was not forgotten", func(s *topology.Snapshot) bool {
			mac, addrs := known(s)
			return !mac && !addrs
		})
	}
}

// eventually waits until the database's view is as it should be.
func eventually(t *testing.T, s *state.Store, otherwise string, is func(*topology.Snapshot) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Wait(ctx, is); err != nil {
		t.Errorf("%s: %v", otherwise, err)
	}
}
