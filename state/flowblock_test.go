package state

import (
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
)

// TestFlows (K7): blocks of a vport are read as they were written last, by any process, and no others; one that is taken out is gone.
func TestFlows(t *testing.T) {
	ctx := t.Context()
	s := embeddedStore(t)
	other := second(t, s)
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
