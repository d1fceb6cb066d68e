package engine

import (
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/state"
)

// TestLacksAreTold: what an edge can not do is told by name beside the revision that has it, and again when it can: an interface that it does not have,
// and a vport for which no number is left.
func TestLacksAreTold(t *testing.T) {
	c := detached(t, idleStore(t))
	var told []state.Lack
	conf := int64(0)
	c.start(t.Context(), func(r int64, l []state.Lack) { conf, told = r, l })
	w := served(c)
	vm1 := vportOf(t, c, "vm1")
	bound := func(rev int64, iface string) {
		t.Helper()
		c.settleAt(state.Binding{VPort: vm1, Tenant: "red", Name: "vm1", Edge: "e1", Interface: iface})
		c.rebuild(map[subject]struct{}{vportSubject(vm1): {}})
		c.mark(rev)
		c.settle()
		for len(w.sent) > 0 {
			w.answer(t, false)
		}
		if conf != rev {
			t.Fatalf("revision %d is acknowledged, want %d", conf, rev)
		}
	}
	want := func(what string, lacks ...state.Lack) {
		t.Helper()
		if !slices.Equal(told, lacks) {
			t.Errorf("%s: told %v, want %v", what, told, lacks)
		}
	}
	delete(c.view.places, vm1)
	bound(7, "eth9")
	want("interface that is not there", state.Lack{Tenant: "red", Object: "vport/red/vm1", Why: `bound to an interface that the edge does not have: "eth9"`})
	delete(c.view.strays, vm1)
	bound(8, "1")
	want("interface that is there")
	bind(c, vm1, false)
	w.answer(t, false)
	c.locals.vports = offload.NewIDs[flow.VPortID](0)
	bound(9, "1")
	want("no number", state.Lack{Tenant: "red", Object: "vport/red/vm1", Why: "local ids used up: more than 4095 vports"})
}
