package openconfig

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestTreesAreForgotten: what was built for somebody who does not look any more is dropped after a while, with the view that it holds; what is looked at stays.
func TestTreesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := topology.Load("network.yaml", []byte(`{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}`))
		if err != nil {
			t.Fatal(err)
		}
		all, view := trees{of: map[scope]*tree{}}, &state.View{Topology: s}
		once, always := scope{tenant: "globex"}, scope{tenant: "acme"}
		all.leaves(once, view, nil)
		first := all.leaves(always, view, nil)
		if len(first) == 0 {
			t.Fatal("nothing is to be seen")
		}
		time.Sleep(treeLife - time.Second) // of the bubble's clock
		if again := all.leaves(always, view, nil); &again[0] != &first[0] {
			t.Error("the same is built again")
		}
		time.Sleep(2 * time.Second)
		all.drop(time.Now().Add(-treeLife))
		if len(all.of) != 1 || all.of[always] == nil {
			t.Errorf("%d trees are kept, want that which was looked at", len(all.of))
		}
		time.Sleep(treeLife)
		all.drop(time.Now().Add(-treeLife))
		if len(all.of) > 0 {
			t.Error("what nobody looks at is kept")
		}
	})
}
