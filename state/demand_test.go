package state

import (
	"errors"
	"maps"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

const demandYAML = `
{apiVersion: weft/v1, kind: Bridge, metadata: {name: x, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: Bridge, metadata: {name: y, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: a, tenant: acme}, spec: {device: bridge/x, peer: b, rate: 50M}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: b, tenant: acme}, spec: {device: bridge/y, peer: a}}
`

// TestSetDemand: what edges want of a link is in everybody's view, each edge's for itself, and goes with the edge that said it, and with the port; an edge that is not registered says nothing
// that would stay.
func TestSetDemand(t *testing.T) {
	s := embeddedStore(t)
	wait(t, s, apply(t, s, demandYAML))
	port := flow.VPortID(idOf(t, s, topology.KindVPort, "acme", "b"))
	if err := s.SetDemand(t.Context(), port, "e1", 1e6); !errors.Is(err, errUnregistered) {
		t.Errorf("an edge that is not registered: %v", err)
	}
	is := func(what string, want map[string]topology.BitRate) {
		t.Helper()
		t.Log(what)
		await(t, s, func(topo *topology.Snapshot) bool { return maps.Equal(topo.LinkDemands(port), want) })
	}
	set := func(s *Store, edge string, wants topology.BitRate) {
		t.Helper()
		if err := s.SetDemand(t.Context(), port, edge, wants); err != nil {
			t.Fatal(err)
		}
	}
	stop := registered(t, s, "e1")
	set(s, "e1", 1e6)
	is("said", map[string]topology.BitRate{"e1": 1e6})
	set(s, "e1", 3e6)
	other := second(t, s)
	registered(t, other, "e2")
	await(t, other, func(topo *topology.Snapshot) bool { return topo.LinkDemands(port)["e1"] == 3e6 })
	set(other, "e2", 5e6)
	is("said by both", map[string]topology.BitRate{"e1": 3e6, "e2": 5e6})
	stop()
	is("gone with e1", map[string]topology.BitRate{"e2": 5e6})
	set(other, "e2", 0)
	is("taken back", nil)
	set(other, "e2", 7e6)
	is("said anew", map[string]topology.BitRate{"e2": 7e6})
	rev, err := s.Delete(t.Context(), topology.Ref{Kind: topology.KindVPort, Tenant: "acme", Name: "a"}, topology.Ref{Kind: topology.KindVPort, Tenant: "acme", Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, s, rev)
	is("gone with the port", nil)
	if err := s.SetDemand(t.Context(), port, "e2", 1e6); err != nil {
		t.Errorf("a port that is gone: %v", err)
	}
}
