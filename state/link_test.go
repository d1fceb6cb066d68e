package state

import (
	"errors"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// TestSetLink: that a port's link is down is in everybody's view, can be taken back by whoever hosts it, and goes with the edge that said it, and with the port; an edge that is not registered
// says nothing that would stay.
func TestSetLink(t *testing.T) {
	s := embeddedStore(t)
	wait(t, s, apply(t, s, poolYAML))
	port := flow.VPortID(idOf(t, s, topology.KindVPort, "acme", "gw-lan"))
	if err := s.SetLink(t.Context(), port, "e1", true); !errors.Is(err, errUnregistered) {
		t.Errorf("an edge that is not registered: %v", err)
	}
	is := func(what string, want bool) {
		t.Helper()
		t.Log(what)
		await(t, s, func(topo *topology.Snapshot) bool { return topo.LinkDown(port) == want })
	}
	set := func(s *Store, edge string, down bool) {
		t.Helper()
		if err := s.SetLink(t.Context(), port, edge, down); err != nil {
			t.Fatal(err)
		}
	}
	stop := registered(t, s, "e1")
	set(s, "e1", true)
	is("said", true)
	set(s, "e1", true)
	other := second(t, s)
	registered(t, other, "e2")
	await(t, other, func(topo *topology.Snapshot) bool { return topo.LinkDown(port) })
	set(other, "e2", false)
	is("taken back by another edge, where the port is now", false)
	set(other, "e2", true)
	set(s, "e1", true)
	is("said by both, e1 last", true)
	stop()
	is("gone with e1", false)
	set(other, "e2", true)
	is("said anew", true)
	rev, err := s.Delete(t.Context(), topology.Ref{Kind: topology.KindPool, Tenant: "acme", Name: "web"}, topology.Ref{Kind: topology.KindVPort, Tenant: "acme", Name: "gw-lan"})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, s, rev)
	is("gone with the port", false)
	keys, err := s.client.Get(t.Context(), downKey(s.View().Topology.Router(topology.DeviceID(idOf(t, s, topology.KindRouter, "acme", "gw"))).ID, port))
	if err != nil || len(keys.Kvs) != 0 {
		t.Errorf("the key is still there: %v, %v", keys, err)
	}
	if err := s.SetLink(t.Context(), port, "e1", false); err != nil {
		t.Errorf("a port that is gone: %v", err)
	}
}

// registered registers an edge, and returns when the store writes by its lease.
func registered(t *testing.T, s *Store, edge string) (stop func()) {
	t.Helper()
	live := make(chan struct{}, 1)
	r, err := s.RegisterEdge(edgeInfo(edge), EdgeConfig{Live: func() { live <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	stop = running(t, r.Run)
	<-live
	return stop
}
