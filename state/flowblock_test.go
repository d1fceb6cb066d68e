package state

import (
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// TestFlows (K7): blocks of a vport are read as they were written last, by any process, and no others; one that is taken out is gone.
func TestFlows(t *testing.T) {
	ctx := t.Context()
	s := embeddedStore(t)
	other := second(t, s)
	for _, v := range []flow.VPortID{5, 55} {
		if _, err := s.client.Put(ctx, vportKey(v), "1"); err != nil {
			t.Fatal(err)
		}
	}
	var all []FlowBlock
	for i := range uint32(200) {
		all = append(all, FlowBlock{5, i, []byte{byte(i)}}, FlowBlock{55, i, []byte{9}})
	}
	if err := s.SaveFlows(ctx, all); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveFlows(ctx, []FlowBlock{{5, 7, []byte("new")}, {5, 8, nil}}); err != nil {
		t.Fatal(err)
	}
	want := func(v flow.VPortID, n int) {
		t.Helper()
		got, err := other.Flows(ctx, v)
		if err != nil || len(got) != n {
			t.Fatalf("vport %d: %d blocks, %v, want %d", v, len(got), err, n)
		}
		for _, b := range got {
			if old := []byte{byte(b.Block)}; b.VPort != v || v == 5 && b.Block != 7 && !slices.Equal(b.Value, old) || v == 5 && b.Block == 7 && string(b.Value) != "new" {
				t.Errorf("%+v", b)
			}
		}
	}
	want(5, 199)
	want(55, 200)
	if err := other.ForgetFlows(ctx, 5); err != nil {
		t.Fatal(err)
	}
	want(5, 0)
	want(55, 200)
}

// TestFlowsOfDeletedVPort: what is stored of a vport's flows goes with it, and an edge that does not know yet stores nothing more.
func TestFlowsOfDeletedVPort(t *testing.T) {
	s := embeddedStore(t)
	apply(t, s, "{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}\n---\n"+vportYAML("a", "bridge/lan")+"---\n"+vportYAML("b", "bridge/lan"))
	a, b := flow.VPortID(id(t, s, topology.KindVPort, "a")), flow.VPortID(id(t, s, topology.KindVPort, "b"))
	if err := s.SaveFlows(t.Context(), []FlowBlock{{a, 0, []byte{1}}, {b, 0, []byte{1}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(t.Context(), ref(topology.KindVPort, "a")); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveFlows(t.Context(), []FlowBlock{{a, 1, []byte{1}}, {b, 0, []byte{2}}, {a, 2, nil}}); err != nil {
		t.Errorf("blocks of a vport that is not there: %v", err)
	}
	for v, want := range map[flow.VPortID]int{a: 0, b: 1} {
		if got, err := s.Flows(t.Context(), v); err != nil || len(got) != want {
			t.Errorf("vport %d: %d blocks, %v, want %d", v, len(got), err, want)
		}
	}
}
